# conf/: what an installation starts from.
podprofconfdir = $(sysconfdir)/podprof
EXTRA_DIST += conf/podprof.conf conf/quickstart conf/build

# Examples, below $(datadir)/podprof.
dist_pkgdata_DATA = conf/sample-app.js conf/check-artifact.js conf/openapi.json
# The web page: built into podprof.fcgi, and here to be read.
pagedir = $(pkgdatadir)/page
dist_page_DATA = conf/page/index.html conf/page/page.css conf/page/page.js \
	conf/page/flame.js conf/page/profile.js conf/page/icon.svg
nginxexampledir = $(pkgdatadir)/nginx
dist_nginxexample_DATA = conf/nginx/podprof.conf \
	conf/nginx/podprof-fastcgi.conf
apacheexampledir = $(pkgdatadir)/apache
dist_apacheexample_DATA = conf/apache/proxy_fcgi.conf
lighttpdexampledir = $(pkgdatadir)/lighttpd
dist_lighttpdexample_DATA = conf/lighttpd/podprof.conf
systemdexampledir = $(pkgdatadir)/systemd
dist_systemdexample_DATA = conf/systemd/podprof.socket \
	conf/systemd/podprof.sysusers conf/systemd/podprof.tmpfiles

containerexampledir = $(pkgdatadir)/container
dist_containerexample_DATA = conf/container/Containerfile \
	conf/container/nginx.conf
dist_containerexample_SCRIPTS = conf/container/serve
kubernetesexampledir = $(pkgdatadir)/kubernetes
dist_kubernetesexample_DATA = conf/kubernetes/README.md
kubernetesappdir = $(kubernetesexampledir)/app
dist_kubernetesapp_DATA = conf/kubernetes/app/deployment.yaml \
	conf/kubernetes/app/kustomization.yaml conf/kubernetes/app/service.yaml
kubernetesbasedir = $(kubernetesexampledir)/base
dist_kubernetesbase_DATA = conf/kubernetes/base/kustomization.yaml \
	conf/kubernetes/base/networkpolicy.yaml conf/kubernetes/base/sidecar.yaml
kubernetesshielddir = $(kubernetesexampledir)/overlays/shield
dist_kubernetesshield_DATA = conf/kubernetes/overlays/shield/shield.yaml \
	conf/kubernetes/overlays/shield/kustomization.yaml
kubernetesexecprobedir = $(kubernetesexampledir)/overlays/exec-probe
dist_kubernetesexecprobe_DATA = \
	conf/kubernetes/overlays/exec-probe/exec-probe.yaml \
	conf/kubernetes/overlays/exec-probe/kustomization.yaml
kubernetesactivationdir = $(kubernetesexampledir)/overlays/activation
dist_kubernetesactivation_DATA = \
	conf/kubernetes/overlays/activation/activation.yaml \
	conf/kubernetes/overlays/activation/kustomization.yaml

# Completion of the tool's commands; each shell looks in its own place.
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = conf/completion/podprof
zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = conf/completion/_podprof
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_fishcompletion_DATA = conf/completion/podprof.fish

# These name installed files.  Not made before the installation: in a build
# inside the source they would have the names of their sources.
path_examples = apache/cgid.conf apache/fcgid.conf \
	nginx/podprof-fcgiwrap.conf systemd/podprof.service
EXTRA_DIST += conf/apache/cgid.conf conf/apache/fcgid.conf \
	conf/nginx/podprof-fcgiwrap.conf conf/systemd/podprof.service
put_paths = sed -e 's,/usr/local/libexec,$(libexecdir),g' \
	-e 's,/usr/local/etc,$(sysconfdir),g'

# A configuration that somebody has edited is never overwritten, nor removed.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(podprofconfdir)
	test -f $(DESTDIR)$(podprofconfdir)/podprof.conf || \
		$(INSTALL_DATA) $(top_srcdir)/conf/podprof.conf \
		$(DESTDIR)$(podprofconfdir)/podprof.conf
	for name in $(path_examples); do \
		to=$(DESTDIR)$(pkgdatadir)/$$name; \
		$(MKDIR_P) "$${to%/*}" && \
		$(put_paths) $(top_srcdir)/conf/$$name >"$$to" && \
		chmod 644 "$$to" || exit; \
	done

uninstall-local:
	cmp -s $(top_srcdir)/conf/podprof.conf \
		$(DESTDIR)$(podprofconfdir)/podprof.conf && \
		rm -f $(DESTDIR)$(podprofconfdir)/podprof.conf || :
	for name in $(path_examples); do \
		rm -f "$(DESTDIR)$(pkgdatadir)/$$name"; \
	done

# Debian's package is built from the tree, or from the tarball.
EXTRA_DIST += debian/changelog debian/clean debian/control debian/copyright \
	debian/podprof.README.Debian debian/podprof.docs \
	debian/podprof.lintian-overrides debian/podprof.postrm \
	debian/rules debian/source/format debian/source/options
