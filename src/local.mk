# src/: all that is not HTTP, as one library, and the two programs made of it.
# By layer: a file includes headers of smaller layers only (tests/lint/layers).
noinst_LIBRARIES += libpodprof.a
libpodprof_a_SOURCES = \
	src/err.c src/err.h \
	src/buf.c src/buf.h src/str.c src/str.h src/clock.c src/clock.h \
	src/log.c src/log.h src/file.c src/file.h src/ini.c src/ini.h \
	src/json.c src/json.h src/uuid.c src/uuid.h src/digest.c src/digest.h \
	src/jsoncut.c src/jsoncut.h src/pack.c src/pack.h \
	src/conf.c src/conf.h src/conf_table.c src/conf_show.c src/conf_parts.h \
	src/db.c src/db.h src/ws.c src/ws.h src/http.c src/http.h \
	src/proc.c src/proc.h src/process.c src/process.h \
	src/port.c src/port.h src/opening.c src/opening.h \
	src/activate.c src/activate.h \
	src/migrate.c src/migrate.h src/cdp.c src/cdp.h src/cdp_parts.h \
	src/cdp_worker.c \
	src/artifact.c src/artifact.h src/token.c src/token.h \
	src/spawn.c src/spawn.h src/owner.c src/owner.h src/ballast.c src/ballast.h \
	src/rate.c src/rate.h src/meter.c src/meter.h \
	src/snapshot.c src/snapshot.h src/classes.c src/classes.h \
	src/exchange.c src/exchange.h \
	src/job.c src/job.h src/job_parts.h src/job_row.c src/job_run.c \
	src/job_attempts.c src/job_settle.c src/job_retain.c \
	src/job_reconcile.c src/job_shield.c src/job_json.c \
	src/job_audit.c src/link.c src/link.h \
	src/summary.c src/summary.h src/summary_run.c \
	src/lease.c src/lease.h src/evaluate.c src/evaluate.h \
	src/target.c src/target.h src/watchdog.c src/watchdog.h \
	src/predict.c src/predict.h src/look.c src/look.h \
	src/capture.c src/capture.h src/capture_parts.h \
	src/capture_heap_snapshot.c src/capture_profile.c \
	src/capture_cpu_profile.c src/capture_heap_profile.c \
	src/capture_fork.c src/capture_direct.c src/capture_stream.c \
	src/capture_intake.c src/capture_meet.c src/capture_look.c src/capture_shield.c
nodist_libpodprof_a_SOURCES = sql/migrations.c
libpodprof_a_CPPFLAGS = $(AM_CPPFLAGS) $(CJSON_CFLAGS) $(SQLITE_CFLAGS) \
	$(CRYPTO_CFLAGS) $(ZSTD_CFLAGS) $(WEBSOCKETS_CFLAGS)

bin_PROGRAMS += podprof
podprof_SOURCES = src/podprof.c $(TOOL_SRC) $(CHECK_SRC) $(CLIENT_SRC)
podprof_CPPFLAGS = $(AM_CPPFLAGS) $(CURL_CFLAGS)
TOOL_SRC = src/tool.c src/tool.h src/tool_screen.c src/tool_screen.h \
	src/tool_progress.c src/tool_follow.c src/tool_take.c src/tool_get.c \
	src/tool_jobs.c src/tool_classes.c src/tool_target.c src/tool_sweep.c \
	src/tool_token.c src/tool_config.c
CLIENT_SRC = src/client.c src/client.h src/client_parts.h src/client_reply.c \
	src/client_http.c src/client_local.c src/fetch.c src/fetch.h \
	src/fetch_place.c src/fetch_parts.h
CHECK_SRC = src/check.c src/check.h src/check_parts.h src/check_state.c \
	src/check_host.c src/check_socket.c src/check_app.c src/check_web.c
podprof_LDADD = libpodprof.a $(WEBSOCKETS_LIBS) $(CJSON_LIBS) \
	$(SQLITE_LIBS) $(CRYPTO_LIBS) $(ZSTD_LIBS) $(CURL_LIBS)

pkglibexec_PROGRAMS += podprof-capture
podprof_capture_SOURCES = src/podprof_capture.c
podprof_capture_LDADD = libpodprof.a $(WEBSOCKETS_LIBS) $(CJSON_LIBS) \
	$(SQLITE_LIBS) $(CRYPTO_LIBS) $(ZSTD_LIBS)
