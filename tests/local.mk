# tests/: unit programs and lints under automake's TAP driver.  The
# end-to-end cases need web servers and several Node versions: tests/run.
TEST_EXTENSIONS = .sh
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = \
	CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	PYTHON3='$(PYTHON3)'; export PYTHON3;

UNIT_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
UNIT_LIBS = libpodprof.a $(WEBSOCKETS_LIBS) $(CJSON_LIBS) $(SQLITE_LIBS) \
	$(CRYPTO_LIBS) $(ZSTD_LIBS) $(CMOCKA_LIBS)
FRONT_LIBS = libfront.a libpodprof.a $(FCGI_LIBS) $(CJSON_LIBS) \
	$(SQLITE_LIBS) $(CRYPTO_LIBS) $(ZSTD_LIBS) $(CMOCKA_LIBS)

UNIT_SRC =
UNIT_FRONT =
include tests/unit/src.mk
include tests/unit/store.mk
include tests/unit/capture.mk
include tests/unit/addon.mk
include tests/unit/fcgi.mk
include tests/unit/client.mk
include tests/fuzz/local.mk
include tests/bench/local.mk

if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_SRC) $(UNIT_FRONT)
TESTS += $(UNIT_SRC) $(UNIT_FRONT)
endif

LINTS = tests/lint/layers.sh tests/lint/headers.sh tests/lint/config.sh \
	tests/lint/schema.sh tests/lint/man.sh tests/lint/addon.sh \
	tests/lint/completion.sh
TESTS += $(LINTS) tests/e2e/cli.sh
EXTRA_DIST += $(LINTS) tests/unit/test.h tests/run tests/soak tests/pictures
EXTRA_DIST += tests/e2e/cli.sh tests/prepare.sh tests/fake/inspector.py tests/e2e/run.py \
	tests/e2e/harness.py tests/e2e/fastcgi.py tests/e2e/soak.py \
	tests/e2e/case_activate.py tests/e2e/closed-app.js \
	tests/e2e/case_artifact.py tests/e2e/case_asset.py \
	tests/e2e/case_auth.py \
	tests/e2e/case_apps.py tests/e2e/case_check.py tests/e2e/case_cli.py \
	tests/e2e/case_container.py \
	tests/e2e/image.py tests/e2e/kustomize.py tests/e2e/pod.py \
	tests/e2e/validate-manifests.mjs \
	tests/e2e/case_debian.py tests/e2e/case_delete.py \
	tests/e2e/case_deploy.py \
	tests/e2e/case_failure.py tests/e2e/case_fork.py \
	tests/e2e/case_harness.py tests/e2e/guard.py \
	tests/e2e/case_heap_profile.py \
	tests/e2e/case_hostile.py tests/e2e/hostile.py \
	tests/e2e/case_idempotency.py tests/e2e/case_jobs.py \
	tests/e2e/case_links.py tests/e2e/case_list.py \
	tests/e2e/case_load.py tests/e2e/case_methods.py \
	tests/e2e/case_metrics.py tests/e2e/case_openapi.py \
	tests/e2e/openapi.py tests/e2e/prometheus.py \
	tests/e2e/validate-openapi.mjs \
	tests/e2e/case_nodes.py tests/e2e/case_papi.py \
	tests/e2e/busy-app.js tests/e2e/musl-libstdc++.c tests/nodes.sh \
	tests/e2e/case_page.py tests/e2e/page.mjs tests/e2e/leak-app.js \
	tests/e2e/pictures.py tests/e2e/png.py \
	tests/e2e/case_recovery.py tests/e2e/case_retention.py \
	tests/e2e/case_sendfile.py tests/e2e/case_server.py \
	tests/e2e/case_shield.py \
	tests/e2e/case_state.py tests/e2e/case_summary.py tests/e2e/case_systemd.py \
	tests/e2e/case_worker.py tests/e2e/worker-app.js \
	tests/e2e/stress.py tests/e2e/load-app.js \
	tests/e2e/browser-fetch.mjs tests/e2e/read-snapshot.js \
	tests/e2e/devtools-read.mjs tests/e2e/page-read.mjs
