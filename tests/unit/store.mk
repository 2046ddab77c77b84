# Unit programs of the job store.
UNIT_SRC += tests/unit/test_db tests/unit/test_migrate tests/unit/test_proc \
	tests/unit/test_spawn tests/unit/test_artifact \
	tests/unit/test_artifact_dir tests/unit/test_artifact_read \
	tests/unit/test_artifact_remove tests/unit/test_artifact_scan \
	tests/unit/test_ballast \
	tests/unit/test_link tests/unit/test_job \
	tests/unit/test_job_list tests/unit/test_job_schema \
	tests/unit/test_job_key tests/unit/test_job_cancel \
	tests/unit/test_job_hold tests/unit/test_job_sweep \
	tests/unit/test_job_lock \
	tests/unit/test_job_plan tests/unit/test_job_retain \
	tests/unit/test_job_reserve tests/unit/test_job_reconcile \
	tests/unit/test_job_round \
	tests/unit/test_job_space \
	tests/unit/test_job_settle tests/unit/test_job_json \
	tests/unit/test_job_many tests/unit/test_job_attempts \
	tests/unit/test_look tests/unit/test_summary
tests_unit_test_db_SOURCES = tests/unit/test_db.c
tests_unit_test_db_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_db_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=sqlite3_busy_timeout,--wrap=calloc,--wrap=strdup
tests_unit_test_db_LDADD = $(UNIT_LIBS)
tests_unit_test_migrate_SOURCES = tests/unit/test_migrate.c
tests_unit_test_migrate_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_migrate_LDADD = $(UNIT_LIBS)
tests_unit_test_proc_SOURCES = tests/unit/test_proc.c
tests_unit_test_proc_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_proc_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getpid
tests_unit_test_proc_LDADD = $(UNIT_LIBS)
tests_unit_test_spawn_SOURCES = tests/unit/test_spawn.c
tests_unit_test_spawn_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_spawn_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=readlink
tests_unit_test_spawn_LDADD = $(UNIT_LIBS)
EXTRA_DIST += tests/unit/artifacts.h
tests_unit_test_artifact_SOURCES = tests/unit/test_artifact.c
tests_unit_test_artifact_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_artifact_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=write \
	-Wl,--wrap=fsync,--wrap=rename,--wrap=close,--wrap=calloc \
	-Wl,--wrap=strndup
tests_unit_test_artifact_LDADD = $(UNIT_LIBS)
tests_unit_test_artifact_dir_SOURCES = tests/unit/test_artifact_dir.c
tests_unit_test_artifact_dir_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_artifact_dir_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write,--wrap=fchmod,--wrap=geteuid
tests_unit_test_artifact_dir_LDADD = $(UNIT_LIBS)
tests_unit_test_artifact_read_SOURCES = tests/unit/test_artifact_read.c
tests_unit_test_artifact_read_CPPFLAGS = $(UNIT_CPPFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_artifact_read_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=pread,--wrap=calloc
tests_unit_test_artifact_read_LDADD = $(UNIT_LIBS)
tests_unit_test_artifact_remove_SOURCES = tests/unit/test_artifact_remove.c
tests_unit_test_artifact_remove_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_artifact_remove_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=flock
tests_unit_test_artifact_remove_LDADD = $(UNIT_LIBS)
tests_unit_test_artifact_scan_SOURCES = tests/unit/test_artifact_scan.c
tests_unit_test_artifact_scan_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_artifact_scan_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=readdir,--wrap=calloc
tests_unit_test_artifact_scan_LDADD = $(UNIT_LIBS)
tests_unit_test_ballast_SOURCES = tests/unit/test_ballast.c
tests_unit_test_ballast_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ballast_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=statvfs,--wrap=posix_fallocate
tests_unit_test_ballast_LDADD = $(UNIT_LIBS)
EXTRA_DIST += tests/unit/database.h tests/unit/store.h \
	tests/unit/disk.h tests/unit/reconcile.h
tests_unit_test_link_SOURCES = tests/unit/test_link.c
tests_unit_test_link_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_link_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=RAND_bytes
tests_unit_test_link_LDADD = $(UNIT_LIBS)
tests_unit_test_summary_SOURCES = tests/unit/test_summary.c
tests_unit_test_summary_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_summary_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=clock_mono_ms \
	-Wl,--wrap=proc_life,--wrap=artifact_read \
	-Wl,--wrap=sqlite3_prepare_v3
tests_unit_test_summary_LDADD = $(UNIT_LIBS)
tests_unit_test_job_SOURCES = tests/unit/test_job.c
tests_unit_test_job_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_job_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=db_set_durable
tests_unit_test_job_LDADD = $(UNIT_LIBS)
tests_unit_test_job_list_SOURCES = tests/unit/test_job_list.c
tests_unit_test_job_list_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_list_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_list_LDADD = $(UNIT_LIBS)
tests_unit_test_job_schema_SOURCES = tests/unit/test_job_schema.c
tests_unit_test_job_schema_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_schema_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_schema_LDADD = $(UNIT_LIBS)
tests_unit_test_job_key_SOURCES = tests/unit/test_job_key.c
tests_unit_test_job_key_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_key_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_key_LDADD = $(UNIT_LIBS)
tests_unit_test_job_cancel_SOURCES = tests/unit/test_job_cancel.c
tests_unit_test_job_cancel_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_cancel_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_cancel_LDADD = $(UNIT_LIBS)
tests_unit_test_job_plan_SOURCES = tests/unit/test_job_plan.c
tests_unit_test_job_plan_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_job_plan_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=sqlite3_prepare_v3
tests_unit_test_job_plan_LDADD = $(UNIT_LIBS)
tests_unit_test_job_retain_SOURCES = tests/unit/test_job_retain.c
tests_unit_test_job_retain_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_retain_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=file_free_bytes
tests_unit_test_job_retain_LDADD = $(UNIT_LIBS)
tests_unit_test_job_reserve_SOURCES = tests/unit/test_job_reserve.c
tests_unit_test_job_reserve_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_reserve_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=file_free_bytes \
	-Wl,--wrap=nanosleep,--wrap=clock_mono_ms
tests_unit_test_job_reserve_LDADD = $(UNIT_LIBS)
tests_unit_test_job_reconcile_SOURCES = tests/unit/test_job_reconcile.c
tests_unit_test_job_reconcile_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_reconcile_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms
tests_unit_test_job_reconcile_LDADD = $(UNIT_LIBS)
tests_unit_test_job_space_SOURCES = tests/unit/test_job_space.c
tests_unit_test_job_space_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_job_space_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_space_LDADD = $(UNIT_LIBS)
tests_unit_test_job_hold_SOURCES = tests/unit/test_job_hold.c
tests_unit_test_job_hold_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_hold_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=job_audit_end
tests_unit_test_job_hold_LDADD = $(UNIT_LIBS)
tests_unit_test_job_sweep_SOURCES = tests/unit/test_job_sweep.c
tests_unit_test_job_sweep_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_sweep_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_sweep_LDADD = $(UNIT_LIBS)
tests_unit_test_job_lock_SOURCES = tests/unit/test_job_lock.c
tests_unit_test_job_lock_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_lock_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms,--wrap=flock
tests_unit_test_job_lock_LDADD = $(UNIT_LIBS)
tests_unit_test_job_round_SOURCES = tests/unit/test_job_round.c
tests_unit_test_job_round_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_round_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=artifact_is_there \
	-Wl,--wrap=job_set_removed,--wrap=log_warn
tests_unit_test_job_round_LDADD = $(UNIT_LIBS)
tests_unit_test_job_settle_SOURCES = tests/unit/test_job_settle.c
tests_unit_test_job_settle_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_settle_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=proc_life
tests_unit_test_job_settle_LDADD = $(UNIT_LIBS)
tests_unit_test_job_json_SOURCES = tests/unit/test_job_json.c
tests_unit_test_job_json_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_json_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=json_put_string
tests_unit_test_job_json_LDADD = $(UNIT_LIBS)
tests_unit_test_job_many_SOURCES = tests/unit/test_job_many.c
tests_unit_test_job_many_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_many_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_many_LDADD = $(UNIT_LIBS)
tests_unit_test_job_attempts_SOURCES = tests/unit/test_job_attempts.c
tests_unit_test_job_attempts_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_attempts_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=json_put_string,--wrap=json_parse
tests_unit_test_job_attempts_LDADD = $(UNIT_LIBS)
tests_unit_test_look_SOURCES = tests/unit/test_look.c
tests_unit_test_look_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_look_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=json_put_string,--wrap=json_parse
tests_unit_test_look_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_exchange tests/unit/test_watchdog \
	tests/unit/test_check
tests_unit_test_exchange_SOURCES = tests/unit/test_exchange.c
tests_unit_test_exchange_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_exchange_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=write \
	-Wl,--wrap=mkdirat,--wrap=mkfifoat,--wrap=flock,--wrap=calloc \
	-Wl,--wrap=readdir,--wrap=log_warn
tests_unit_test_exchange_LDADD = $(UNIT_LIBS)
tests_unit_test_watchdog_SOURCES = tests/unit/test_watchdog.c
tests_unit_test_watchdog_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_watchdog_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=posix_spawn \
	-Wl,--wrap=socketpair,--wrap=calloc,--wrap=pidfd_open \
	-Wl,--wrap=log_warn
tests_unit_test_watchdog_LDADD = $(UNIT_LIBS)
tests_unit_test_check_SOURCES = tests/unit/test_check.c $(CHECK_SRC)
tests_unit_test_check_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_check_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=geteuid \
	-Wl,--wrap=statvfs,--wrap=access,--wrap=getpwuid,--wrap=statfs \
	-Wl,--wrap=clock_utc_ms,--wrap=file_read,--wrap=ws_new \
	-Wl,--wrap=target_find,--wrap=target_attach,--wrap=target_ask \
	-Wl,--wrap=process_find,--wrap=activate_check_open
tests_unit_test_check_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_rate tests/unit/test_meter
tests_unit_test_rate_SOURCES = tests/unit/test_rate.c
tests_unit_test_rate_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_rate_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_rate_LDADD = $(UNIT_LIBS)
tests_unit_test_meter_SOURCES = tests/unit/test_meter.c
tests_unit_test_meter_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_meter_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_meter_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_job_shield tests/unit/test_lease
tests_unit_test_job_shield_SOURCES = tests/unit/test_job_shield.c
tests_unit_test_job_shield_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_shield_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_utc_ms
tests_unit_test_job_shield_LDADD = $(UNIT_LIBS)
tests_unit_test_lease_SOURCES = tests/unit/test_lease.c
tests_unit_test_lease_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lease_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_mono_ms
tests_unit_test_lease_LDADD = $(UNIT_LIBS)
UNIT_SRC += tests/unit/test_opening tests/unit/test_process
tests_unit_test_opening_SOURCES = tests/unit/test_opening.c
tests_unit_test_opening_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_opening_LDADD = $(UNIT_LIBS)
tests_unit_test_process_SOURCES = tests/unit/test_process.c
tests_unit_test_process_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_process_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=readdir,--wrap=pidfd_open
tests_unit_test_process_LDADD = $(UNIT_LIBS)
EXTRA_DIST += tests/unit/closed_node.h
