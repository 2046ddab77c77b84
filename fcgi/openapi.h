/*
 * conf/openapi.json, which describes the addresses for machines (OpenAPI 3.1).
 * fcgi/openapi.c is made of it by fcgi/embed.sh.
 */
#ifndef PODPROF_OPENAPI_H
#define PODPROF_OPENAPI_H

#include <stddef.h>

extern const char openapi_document[];
extern const size_t openapi_document_len;	/* without a NUL */

#endif
