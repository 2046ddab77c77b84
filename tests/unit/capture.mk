# Unit programs of the modules that talk to the inspector.
UNIT_SRC += tests/unit/test_jsoncut tests/unit/test_cdp \
	tests/unit/test_cdp_worker \
	tests/unit/test_predict
tests_unit_test_jsoncut_SOURCES = tests/unit/test_jsoncut.c
tests_unit_test_jsoncut_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jsoncut_LDADD = $(UNIT_LIBS)
tests_unit_test_cdp_SOURCES = tests/unit/test_cdp.c
tests_unit_test_cdp_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cdp_LDADD = $(UNIT_LIBS)
tests_unit_test_cdp_worker_SOURCES = tests/unit/test_cdp_worker.c
tests_unit_test_cdp_worker_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cdp_worker_LDADD = $(UNIT_LIBS)
tests_unit_test_predict_SOURCES = tests/unit/test_predict.c
tests_unit_test_predict_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_predict_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_capture tests/unit/test_capture_cancel \
	tests/unit/test_capture_room tests/unit/test_capture_growth
tests_unit_test_capture_SOURCES = tests/unit/test_capture.c
tests_unit_test_capture_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_capture_LDADD = $(UNIT_LIBS)
tests_unit_test_capture_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=write \
	-Wl,--wrap=fsync,--wrap=watchdog_start,--wrap=activate_end \
	-Wl,--wrap=job_set_target
tests_unit_test_capture_cancel_SOURCES = tests/unit/test_capture_cancel.c
tests_unit_test_capture_cancel_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_capture_cancel_LDADD = $(UNIT_LIBS)
tests_unit_test_capture_cancel_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fsync,--wrap=clock_mono_ms,--wrap=watchdog_start
tests_unit_test_capture_room_SOURCES = tests/unit/test_capture_room.c
tests_unit_test_capture_room_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_capture_room_LDADD = $(UNIT_LIBS)
tests_unit_test_capture_room_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=job_reserve,--wrap=file_free_bytes,--wrap=watchdog_start
tests_unit_test_capture_growth_SOURCES = tests/unit/test_capture_growth.c
tests_unit_test_capture_growth_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_capture_growth_LDADD = $(UNIT_LIBS)
tests_unit_test_capture_growth_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=job_reserve,--wrap=file_free_bytes,--wrap=watchdog_start
EXTRA_DIST += tests/unit/inspector.h tests/unit/captures.h tests/unit/room.h

UNIT_SRC += tests/unit/test_capture_methods
tests_unit_test_capture_methods_SOURCES = tests/unit/test_capture_methods.c
tests_unit_test_capture_methods_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_capture_methods_LDADD = $(UNIT_LIBS)
tests_unit_test_capture_methods_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=file_beside_program,--wrap=watchdog_start

UNIT_SRC += tests/unit/test_capture_shield
tests_unit_test_capture_shield_SOURCES = tests/unit/test_capture_shield.c
tests_unit_test_capture_shield_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_capture_shield_LDADD = $(UNIT_LIBS)
tests_unit_test_capture_shield_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=job_shield,--wrap=job_set_drained,--wrap=watchdog_start
UNIT_SRC += tests/unit/test_activate
tests_unit_test_activate_SOURCES = tests/unit/test_activate.c
tests_unit_test_activate_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_activate_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms \
	-Wl,--wrap=target_find
tests_unit_test_activate_LDADD = $(UNIT_LIBS)
