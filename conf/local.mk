# conf/: what an installation starts from.
podprofconfdir = $(sysconfdir)/podprof
EXTRA_DIST += conf/podprof.conf conf/quickstart conf/build

# Examples, below $(datadir)/podprof.
dist_pkgdata_DATA = conf/sample-app.js conf/check-artifact.js
nginxexampledir = $(pkgdatadir)/nginx
dist_nginxexample_DATA = conf/nginx/podprof.conf conf/nginx/podprof-fastcgi.conf
apacheexampledir = $(pkgdatadir)/apache
dist_apacheexample_DATA = conf/apache/proxy_fcgi.conf
lighttpdexampledir = $(pkgdatadir)/lighttpd
dist_lighttpdexample_DATA = conf/lighttpd/podprof.conf
systemdexampledir = $(pkgdatadir)/systemd
dist_systemdexample_DATA = conf/systemd/podprof.socket

# These two name installed files.  Not made before the installation: in a
# build inside the source they would have the names of their sources.
EXTRA_DIST += conf/apache/cgid.conf conf/systemd/podprof.service
put_paths = sed -e 's,/usr/local/libexec,$(libexecdir),g' \
	-e 's,/usr/local/etc,$(sysconfdir),g'

# A configuration that somebody has edited is never overwritten, nor removed.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(podprofconfdir)
	test -f $(DESTDIR)$(podprofconfdir)/podprof.conf || \
		$(INSTALL_DATA) $(top_srcdir)/conf/podprof.conf \
		$(DESTDIR)$(podprofconfdir)/podprof.conf
	$(MKDIR_P) $(DESTDIR)$(apacheexampledir) $(DESTDIR)$(systemdexampledir)
	$(put_paths) $(top_srcdir)/conf/apache/cgid.conf \
		>$(DESTDIR)$(apacheexampledir)/cgid.conf
	$(put_paths) $(top_srcdir)/conf/systemd/podprof.service \
		>$(DESTDIR)$(systemdexampledir)/podprof.service
	chmod 644 $(DESTDIR)$(apacheexampledir)/cgid.conf \
		$(DESTDIR)$(systemdexampledir)/podprof.service

uninstall-local:
	cmp -s $(top_srcdir)/conf/podprof.conf \
		$(DESTDIR)$(podprofconfdir)/podprof.conf && \
		rm -f $(DESTDIR)$(podprofconfdir)/podprof.conf || :
	rm -f $(DESTDIR)$(apacheexampledir)/cgid.conf \
		$(DESTDIR)$(systemdexampledir)/podprof.service
