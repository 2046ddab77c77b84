/*
 * The files of speedscope, a viewer of profiles, where podprof was configured
 * --with-speedscope.  fcgi/speedscope.c is made of them by fcgi/speedscope.sh.
 */
#ifndef PODPROF_SPEEDSCOPE_H
#define PODPROF_SPEEDSCOPE_H

#include "asset.h"

/* What is asked for by that name; "" is its page.  NULL: there is no such file.
 * Without speedscope there is none at all. */
const struct asset *speedscope_find(const char *name);

#endif
