# man/: mdoc pages.
dist_man_MANS = man/podprof.1 man/podprof.conf.5 man/podprof.fcgi.8 \
	man/podprof-capture.8
