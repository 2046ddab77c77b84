# Fuzz targets, replaying their corpus as tests.
FUZZ = tests/fuzz/fuzz_jsoncut tests/fuzz/fuzz_conf tests/fuzz/fuzz_token
check_PROGRAMS += $(FUZZ)
TESTS += $(FUZZ)
FUZZ_LIBS = libpodprof.a $(CJSON_LIBS) $(CRYPTO_LIBS)
tests_fuzz_fuzz_jsoncut_SOURCES = tests/fuzz/fuzz_jsoncut.c \
	tests/fuzz/replay.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_jsoncut_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c tests/fuzz/replay.c
tests_fuzz_fuzz_conf_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_token_SOURCES = tests/fuzz/fuzz_token.c tests/fuzz/replay.c
tests_fuzz_fuzz_token_LDADD = $(FUZZ_LIBS)
EXTRA_DIST += tests/fuzz/corpus
