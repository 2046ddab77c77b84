# Unit programs of the modules below everything else, of the configuration and
# the tokens.  A program that makes calls fail says which: --wrap.
UNIT_SRC += tests/unit/test_err tests/unit/test_buf tests/unit/test_str \
	tests/unit/test_clock tests/unit/test_log tests/unit/test_file \
	tests/unit/test_ini tests/unit/test_json tests/unit/test_uuid \
	tests/unit/test_digest tests/unit/test_pack tests/unit/test_conf \
	tests/unit/test_token tests/unit/test_snapshot tests/unit/test_classes \
	tests/unit/test_http
tests_unit_test_err_SOURCES = tests/unit/test_err.c
tests_unit_test_err_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_err_LDADD = $(UNIT_LIBS)
tests_unit_test_buf_SOURCES = tests/unit/test_buf.c
tests_unit_test_buf_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_buf_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=realloc
tests_unit_test_buf_LDADD = $(UNIT_LIBS)
tests_unit_test_str_SOURCES = tests/unit/test_str.c
tests_unit_test_str_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_str_LDADD = $(UNIT_LIBS)
tests_unit_test_clock_SOURCES = tests/unit/test_clock.c
tests_unit_test_clock_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_clock_LDADD = $(UNIT_LIBS)
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_log_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=write
tests_unit_test_log_LDADD = $(UNIT_LIBS)
tests_unit_test_file_SOURCES = tests/unit/test_file.c
tests_unit_test_file_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_file_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=write \
	-Wl,--wrap=fsync -Wl,--wrap=rename -Wl,--wrap=fchown \
	-Wl,--wrap=statvfs
tests_unit_test_file_LDADD = $(UNIT_LIBS)
tests_unit_test_ini_SOURCES = tests/unit/test_ini.c
tests_unit_test_ini_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ini_LDADD = $(UNIT_LIBS)
tests_unit_test_json_SOURCES = tests/unit/test_json.c
tests_unit_test_json_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_json_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc
tests_unit_test_json_LDADD = $(UNIT_LIBS)
tests_unit_test_uuid_SOURCES = tests/unit/test_uuid.c
tests_unit_test_uuid_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_uuid_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getrandom \
	-Wl,--wrap=clock_utc_ms
tests_unit_test_uuid_LDADD = $(UNIT_LIBS)
tests_unit_test_digest_SOURCES = tests/unit/test_digest.c
tests_unit_test_digest_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_digest_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=RAND_bytes \
	-Wl,--wrap=EVP_MD_CTX_new
tests_unit_test_digest_LDADD = $(UNIT_LIBS)
# It brings pack.c itself.
tests_unit_test_pack_SOURCES = tests/unit/test_pack.c
tests_unit_test_pack_CPPFLAGS = $(UNIT_CPPFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_pack_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pread \
	-Wl,--wrap=calloc -Wl,--wrap=reallocarray \
	-Wl,--wrap=ZSTD_createCCtx -Wl,--wrap=ZSTD_createDCtx \
	-Wl,--wrap=ZSTD_freeCCtx -Wl,--wrap=ZSTD_freeDCtx \
	-Wl,--wrap=ZSTD_compressStream2 -Wl,--wrap=ZSTD_decompressStream
tests_unit_test_pack_LDADD = $(UNIT_LIBS)
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_conf_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc \
	-Wl,--wrap=calloc -Wl,--wrap=strdup -Wl,--wrap=strndup \
	-Wl,--wrap=reallocarray -Wl,--wrap=realloc -Wl,--wrap=gethostname
tests_unit_test_conf_LDADD = $(UNIT_LIBS)
tests_unit_test_token_SOURCES = tests/unit/test_token.c
tests_unit_test_token_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_token_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rename \
	-Wl,--wrap=chown -Wl,--wrap=getgrnam -Wl,--wrap=geteuid
tests_unit_test_token_LDADD = $(UNIT_LIBS)
tests_unit_test_snapshot_SOURCES = tests/unit/test_snapshot.c
tests_unit_test_snapshot_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_snapshot_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=calloc \
	-Wl,--wrap=buf_addc
tests_unit_test_snapshot_LDADD = $(UNIT_LIBS)
tests_unit_test_classes_SOURCES = tests/unit/test_classes.c
tests_unit_test_classes_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_classes_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=calloc \
	-Wl,--wrap=realloc
tests_unit_test_classes_LDADD = $(UNIT_LIBS)
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_http_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_port
tests_unit_test_port_SOURCES = tests/unit/test_port.c
tests_unit_test_port_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_port_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fopen
tests_unit_test_port_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_tool_screen
tests_unit_test_tool_screen_SOURCES = tests/unit/test_tool_screen.c \
	src/tool_screen.c
tests_unit_test_tool_screen_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_tool_screen_LDADD = $(UNIT_LIBS)
