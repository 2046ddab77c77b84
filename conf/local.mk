# conf/: what an installation starts from.
podprofconfdir = $(sysconfdir)/podprof
EXTRA_DIST += conf/podprof.conf conf/quickstart conf/build

# Examples, below $(datadir)/podprof.
dist_pkgdata_DATA = conf/sample-app.js conf/check-artifact.js
nginxexampledir = $(pkgdatadir)/nginx
dist_nginxexample_DATA = conf/nginx/podprof.conf conf/nginx/podprof-fastcgi.conf
apacheexampledir = $(pkgdatadir)/apache
dist_apacheexample_DATA = conf/apache/proxy_fcgi.conf conf/apache/cgid.conf
lighttpdexampledir = $(pkgdatadir)/lighttpd
dist_lighttpdexample_DATA = conf/lighttpd/podprof.conf
systemdexampledir = $(pkgdatadir)/systemd
dist_systemdexample_DATA = conf/systemd/podprof.socket \
	conf/systemd/podprof.service

# Never overwrite a configuration that somebody has edited.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(podprofconfdir)
	test -f $(DESTDIR)$(podprofconfdir)/podprof.conf || \
		$(INSTALL_DATA) $(top_srcdir)/conf/podprof.conf \
		$(DESTDIR)$(podprofconfdir)/podprof.conf

uninstall-local:
	rm -f $(DESTDIR)$(podprofconfdir)/podprof.conf
