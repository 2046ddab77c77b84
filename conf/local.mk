# conf/: what an installation starts from.
podprofconfdir = $(sysconfdir)/podprof
EXTRA_DIST += conf/podprof.conf

# Never overwrite a configuration that somebody has edited.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(podprofconfdir)
	test -f $(DESTDIR)$(podprofconfdir)/podprof.conf || \
		$(INSTALL_DATA) $(top_srcdir)/conf/podprof.conf \
		$(DESTDIR)$(podprofconfdir)/podprof.conf

uninstall-local:
	rm -f $(DESTDIR)$(podprofconfdir)/podprof.conf
