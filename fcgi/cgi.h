/*
 * podprof.fcgi as a plain CGI program: one request, in one thread.
 */
#ifndef PODPROF_CGI_H
#define PODPROF_CGI_H

#include "conf.h"
#include "err.h"

/*
 * Answer the request on descriptors 0 and 1.  What goes wrong is in the answer,
 * or logged: to descriptor 2, or, for podprof(1), to STATE_DIR/capture.log.
 *
 * env  as environ(7), the process's own.
 */
void cgi_run(const struct conf *conf, char *const env[]);

/* Answer it with a fault of the installation: 500, whose text is in the web
 * server's error log. */
void cgi_refuse(char *const env[]);

#endif
