# Unit programs of the modules that talk to the inspector.
UNIT_SRC += tests/unit/test_jsoncut tests/unit/test_cdp
tests_unit_test_jsoncut_SOURCES = tests/unit/test_jsoncut.c
tests_unit_test_jsoncut_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jsoncut_LDADD = $(UNIT_LIBS)
tests_unit_test_cdp_SOURCES = tests/unit/test_cdp.c
tests_unit_test_cdp_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cdp_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_capture
tests_unit_test_capture_SOURCES = tests/unit/test_capture.c
tests_unit_test_capture_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_capture_LDADD = $(UNIT_LIBS)
tests_unit_test_capture_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=write \
	-Wl,--wrap=fsync
EXTRA_DIST += tests/unit/inspector.h
