# man/: mdoc pages.
dist_man_MANS = man/podprof.1 man/podprof.conf.5 man/podprof.fcgi.8 \
	man/podprof-capture.8 man/podprof-operations.7 man/podprof-security.7 \
	man/podprof-troubleshooting.7
# The picture of the page in README.md, which tests/pictures makes.
EXTRA_DIST += man/page.png
