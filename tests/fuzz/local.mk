# Fuzz targets, replaying their corpus as tests.
FUZZ = tests/fuzz/fuzz_jsoncut tests/fuzz/fuzz_cdp tests/fuzz/fuzz_conf \
	tests/fuzz/fuzz_token \
	tests/fuzz/fuzz_request tests/fuzz/fuzz_gate tests/fuzz/fuzz_range \
	tests/fuzz/fuzz_pack tests/fuzz/fuzz_snapshot tests/fuzz/fuzz_classes \
	tests/fuzz/fuzz_client
check_PROGRAMS += $(FUZZ)
TESTS += $(FUZZ)
FUZZ_LIBS = libpodprof.a $(CJSON_LIBS) $(CRYPTO_LIBS) $(ZSTD_LIBS)
tests_fuzz_fuzz_jsoncut_SOURCES = tests/fuzz/fuzz_jsoncut.c \
	tests/fuzz/replay.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_jsoncut_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_cdp_SOURCES = tests/fuzz/fuzz_cdp.c tests/fuzz/replay.c \
	tests/fuzz/fuzz.h
tests_fuzz_fuzz_cdp_LDADD = $(FUZZ_LIBS)
# Its inspector, tests/fuzz/run has the same.
tests_fuzz_fuzz_cdp_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=ws_connect,--wrap=ws_send,--wrap=ws_service \
	-Wl,--wrap=ws_fd,--wrap=ws_disconnect
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c tests/fuzz/replay.c
tests_fuzz_fuzz_conf_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_token_SOURCES = tests/fuzz/fuzz_token.c tests/fuzz/replay.c
tests_fuzz_fuzz_token_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_request_LDADD = libfront.a $(FUZZ_LIBS) $(SQLITE_LIBS)
tests_fuzz_fuzz_gate_SOURCES = tests/fuzz/fuzz_gate.c tests/fuzz/replay.c
tests_fuzz_fuzz_gate_LDADD = $(FUZZ_LIBS) $(FCGI_LIBS)
tests_fuzz_fuzz_range_SOURCES = tests/fuzz/fuzz_range.c tests/fuzz/replay.c
tests_fuzz_fuzz_range_LDADD = libfront.a $(FUZZ_LIBS)
tests_fuzz_fuzz_pack_SOURCES = tests/fuzz/fuzz_pack.c tests/fuzz/replay.c
tests_fuzz_fuzz_pack_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_snapshot_SOURCES = tests/fuzz/fuzz_snapshot.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_snapshot_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_classes_SOURCES = tests/fuzz/fuzz_classes.c \
	tests/fuzz/replay.c
tests_fuzz_fuzz_classes_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_client_SOURCES = tests/fuzz/fuzz_client.c \
	tests/fuzz/replay.c $(CLIENT_SRC)
tests_fuzz_fuzz_client_CPPFLAGS = $(AM_CPPFLAGS) $(CURL_CFLAGS)
tests_fuzz_fuzz_client_LDADD = $(FUZZ_LIBS) $(CURL_LIBS)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/run
