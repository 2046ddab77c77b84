# fcgi/: the program podprof.fcgi.  Its modules are a library, so that unit
# tests can have them without main().
noinst_LIBRARIES += libfront.a
libfront_a_SOURCES = \
	fcgi/gate.c fcgi/gate.h fcgi/request.c fcgi/request.h \
	fcgi/params.c fcgi/params.h fcgi/auth.c fcgi/auth.h \
	fcgi/answer.c fcgi/answer.h fcgi/problem.c fcgi/problem.h \
	fcgi/service.c fcgi/service.h fcgi/route.c fcgi/route.h \
	fcgi/download.c fcgi/download.h fcgi/handle_papi.c \
	fcgi/handle_jobs.c fcgi/handle_probe.c fcgi/handle.h \
	fcgi/waiter.c fcgi/waiter.h fcgi/pool.c fcgi/pool.h

pkglibexec_PROGRAMS += podprof.fcgi
podprof_fcgi_SOURCES = fcgi/podprof_fcgi.c
podprof_fcgi_LDADD = libfront.a libpodprof.a $(FCGI_LIBS) $(CJSON_LIBS) \
	$(SQLITE_LIBS) $(CRYPTO_LIBS)
