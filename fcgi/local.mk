# fcgi/: the program podprof.fcgi.  Its modules are a library, so that unit
# tests can have them without main().
noinst_LIBRARIES += libfront.a
libfront_a_SOURCES = \
	fcgi/thread.c fcgi/thread.h fcgi/gate.c fcgi/gate.h \
	fcgi/params.c fcgi/params.h fcgi/negotiate.c fcgi/negotiate.h \
	fcgi/range.c fcgi/range.h \
	fcgi/answer.c fcgi/answer.h fcgi/auth.c fcgi/auth.h \
	fcgi/request.c fcgi/request.h fcgi/service.c fcgi/service.h \
	fcgi/shield.c fcgi/shield.h fcgi/share.c fcgi/share.h \
	fcgi/order.c fcgi/order.h fcgi/view.c fcgi/view.h \
	fcgi/launch.c fcgi/launch.h fcgi/handle.h fcgi/handle_papi.c \
	fcgi/handle_jobs.c fcgi/handle_summary.c \
	fcgi/handle_target.c fcgi/handle_probe.c \
	fcgi/handle_metrics.c fcgi/expose.c fcgi/expose.h \
	fcgi/traffic.c fcgi/traffic.h fcgi/vitals.c fcgi/vitals.h \
	fcgi/handle_openapi.c fcgi/handle_page.c fcgi/asset.h \
	fcgi/speedscope.h \
	fcgi/problem.c fcgi/problem.h fcgi/route.c fcgi/route.h \
	fcgi/download.c fcgi/download.h fcgi/waiter.c fcgi/waiter.h \
	fcgi/keeper.c fcgi/keeper.h fcgi/pool.c fcgi/pool.h \
	fcgi/cgi.c fcgi/cgi.h
nodist_libfront_a_SOURCES = fcgi/asset.c
BUILT_SOURCES += fcgi/asset.c
CLEANFILES += fcgi/asset.c
EXTRA_DIST += fcgi/embed.sh

# What is built in; a name stands for one file.
ASSETS = $(top_srcdir)/conf/openapi.json \
	$(top_srcdir)/conf/page/index.html $(top_srcdir)/conf/page/page.css \
	$(top_srcdir)/conf/page/page.js $(top_srcdir)/conf/page/flame.js \
	$(top_srcdir)/conf/page/profile.js $(top_srcdir)/conf/page/icon.svg

fcgi/asset.c: $(ASSETS) $(top_srcdir)/fcgi/embed.sh
	$(AM_V_GEN)$(MKDIR_P) fcgi && \
	$(SHELL) $(top_srcdir)/fcgi/embed.sh $(ASSETS) >$@.tmp && mv $@.tmp $@

# Empty, unless configured --with-speedscope.
nodist_libfront_a_SOURCES += fcgi/speedscope.c
BUILT_SOURCES += fcgi/speedscope.c
CLEANFILES += fcgi/speedscope.c
EXTRA_DIST += fcgi/speedscope.sh

fcgi/speedscope.c: $(top_srcdir)/fcgi/speedscope.sh Makefile
	$(AM_V_GEN)$(MKDIR_P) fcgi && \
	$(SHELL) $(top_srcdir)/fcgi/speedscope.sh '$(SPEEDSCOPE_DIR)' \
		>$@.tmp && mv $@.tmp $@

pkglibexec_PROGRAMS += podprof.fcgi
podprof_fcgi_SOURCES = fcgi/podprof_fcgi.c
podprof_fcgi_LDADD = libfront.a libpodprof.a $(FCGI_LIBS) $(CJSON_LIBS) \
	$(SQLITE_LIBS) $(CRYPTO_LIBS) $(ZSTD_LIBS)
