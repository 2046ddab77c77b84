# Unit programs of the addon: as the app loads it, and its parts alone.
UNIT_SRC += tests/unit/test_addon tests/unit/test_addon_parts
tests_unit_test_addon_SOURCES = tests/unit/test_addon.c
tests_unit_test_addon_CPPFLAGS = $(UNIT_CPPFLAGS)
# It plays Node: the addon finds its functions.
tests_unit_test_addon_LDFLAGS = $(AM_LDFLAGS) -rdynamic
tests_unit_test_addon_LDADD = $(UNIT_LIBS)
tests_unit_test_addon_parts_SOURCES = tests/unit/test_addon_parts.c \
	src/addon/lines.c src/addon/quota.c src/addon/ranges.c \
	src/addon/ranges_probe.c src/addon/ranges_smaps.c \
	src/addon/table.c src/addon/text.c
tests_unit_test_addon_parts_CPPFLAGS = $(UNIT_CPPFLAGS) \
	-iquote $(top_srcdir)/src/addon
tests_unit_test_addon_parts_LDADD = $(UNIT_LIBS)
EXTRA_DIST += tests/unit/host.h
