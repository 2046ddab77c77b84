# Unit programs of what podprof, the tool, has of its own: requests, downloads.
UNIT_SRC += tests/unit/test_owner tests/unit/test_client \
	tests/unit/test_client_local tests/unit/test_fetch
tests_unit_test_owner_SOURCES = tests/unit/test_owner.c
tests_unit_test_owner_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_owner_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=geteuid \
	-Wl,--wrap=getpwuid,--wrap=initgroups,--wrap=setgroups \
	-Wl,--wrap=setresgid,--wrap=setresuid
tests_unit_test_owner_LDADD = $(UNIT_LIBS)
tests_unit_test_client_SOURCES = tests/unit/test_client.c $(CLIENT_SRC)
tests_unit_test_client_CPPFLAGS = $(UNIT_CPPFLAGS) $(CURL_CFLAGS)
tests_unit_test_client_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_mono_ms \
	-Wl,--wrap=calloc,--wrap=malloc,--wrap=realloc \
	-Wl,--wrap=curl_slist_append,--wrap=curl_easy_init \
	-Wl,--wrap=curl_multi_init
tests_unit_test_client_LDADD = $(UNIT_LIBS) $(CURL_LIBS)
tests_unit_test_client_local_SOURCES = tests/unit/test_client_local.c \
	$(CLIENT_SRC)
tests_unit_test_client_local_CPPFLAGS = $(UNIT_CPPFLAGS) $(CURL_CFLAGS)
tests_unit_test_client_local_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_mono_ms,--wrap=file_own_program \
	-Wl,--wrap=calloc,--wrap=malloc,--wrap=vasprintf \
	-Wl,--wrap=reallocarray,--wrap=memfd_create,--wrap=pipe2,--wrap=fork
tests_unit_test_client_local_LDADD = $(UNIT_LIBS) $(CURL_LIBS)
tests_unit_test_fetch_SOURCES = tests/unit/test_fetch.c $(CLIENT_SRC)
tests_unit_test_fetch_CPPFLAGS = $(UNIT_CPPFLAGS) $(CURL_CFLAGS)
tests_unit_test_fetch_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_mono_ms \
	-Wl,--wrap=client_pause,--wrap=write,--wrap=fsync \
	-Wl,--wrap=renameat2,--wrap=statvfs,--wrap=calloc,--wrap=malloc
tests_unit_test_fetch_LDADD = $(UNIT_LIBS) $(CURL_LIBS)
# The tool, with a service that says what a test has written.
UNIT_SRC += tests/unit/test_tool
tests_unit_test_tool_SOURCES = tests/unit/test_tool.c src/tool.c \
	src/tool_follow.c src/tool_progress.c src/tool_screen.c $(CLIENT_SRC)
tests_unit_test_tool_CPPFLAGS = $(UNIT_CPPFLAGS) $(CURL_CFLAGS)
tests_unit_test_tool_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_mono_ms \
	-Wl,--wrap=client_call,--wrap=client_get,--wrap=client_pause \
	-Wl,--wrap=client_is_stopped
tests_unit_test_tool_LDADD = $(UNIT_LIBS) $(CURL_LIBS)
