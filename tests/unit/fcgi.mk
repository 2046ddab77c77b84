# Unit programs of podprof.fcgi; see tests/local.mk.  A program that makes
# calls fail says which: --wrap.
UNIT_FRONT += tests/unit/test_params tests/unit/test_negotiate \
	tests/unit/test_range \
	tests/unit/test_order tests/unit/test_answer tests/unit/test_auth \
	tests/unit/test_gate tests/unit/test_request tests/unit/test_route \
	tests/unit/test_view tests/unit/test_handle_jobs \
	tests/unit/test_handle_links tests/unit/test_handle_target \
	tests/unit/test_handle_summary \
	tests/unit/test_download tests/unit/test_waiter \
	tests/unit/test_keeper tests/unit/test_pool tests/unit/test_cgi
EXTRA_DIST += tests/unit/front.h tests/unit/site.h tests/unit/call.h \
	tests/unit/stand_in.h
tests_unit_test_params_SOURCES = tests/unit/test_params.c
tests_unit_test_params_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_params_LDADD = $(FRONT_LIBS)
tests_unit_test_negotiate_SOURCES = tests/unit/test_negotiate.c
tests_unit_test_negotiate_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_negotiate_LDADD = $(FRONT_LIBS)
tests_unit_test_range_SOURCES = tests/unit/test_range.c
tests_unit_test_range_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_range_LDADD = $(FRONT_LIBS)
tests_unit_test_order_SOURCES = tests/unit/test_order.c
tests_unit_test_order_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_order_LDADD = $(FRONT_LIBS)
tests_unit_test_answer_SOURCES = tests/unit/test_answer.c
tests_unit_test_answer_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_answer_LDADD = $(FRONT_LIBS)
tests_unit_test_auth_SOURCES = tests/unit/test_auth.c
tests_unit_test_auth_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_auth_LDADD = $(FRONT_LIBS)
tests_unit_test_gate_SOURCES = tests/unit/test_gate.c
tests_unit_test_gate_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_gate_LDADD = $(FRONT_LIBS)
tests_unit_test_request_SOURCES = tests/unit/test_request.c
tests_unit_test_request_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_request_LDADD = $(FRONT_LIBS)
tests_unit_test_route_SOURCES = tests/unit/test_route.c
tests_unit_test_route_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_route_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=spawn_capture
tests_unit_test_route_LDADD = $(FRONT_LIBS)
tests_unit_test_view_SOURCES = tests/unit/test_view.c
tests_unit_test_view_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_view_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=spawn_capture
tests_unit_test_view_LDADD = $(FRONT_LIBS)
tests_unit_test_handle_jobs_SOURCES = tests/unit/test_handle_jobs.c
tests_unit_test_handle_jobs_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_handle_jobs_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=spawn_capture,--wrap=job_cancel
tests_unit_test_handle_jobs_LDADD = $(FRONT_LIBS)
tests_unit_test_handle_links_SOURCES = tests/unit/test_handle_links.c
tests_unit_test_handle_links_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_handle_links_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=spawn_capture,--wrap=clock_utc_ms
tests_unit_test_handle_links_LDADD = $(FRONT_LIBS)
tests_unit_test_handle_target_SOURCES = tests/unit/test_handle_target.c
tests_unit_test_handle_target_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_handle_target_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=spawn_capture,--wrap=clock_utc_ms,--wrap=clock_mono_ms
tests_unit_test_handle_target_LDADD = $(FRONT_LIBS)
tests_unit_test_handle_summary_SOURCES = tests/unit/test_handle_summary.c
tests_unit_test_handle_summary_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_handle_summary_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=spawn_capture,--wrap=clock_mono_ms,--wrap=clock_utc_ms
tests_unit_test_handle_summary_LDADD = $(FRONT_LIBS)
tests_unit_test_waiter_SOURCES = tests/unit/test_waiter.c
tests_unit_test_waiter_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_waiter_LDADD = $(FRONT_LIBS)
tests_unit_test_download_SOURCES = tests/unit/test_download.c
tests_unit_test_download_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_download_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=service_hand_over,--wrap=gate_set_deadline \
	-Wl,--wrap=gate_flush
tests_unit_test_download_LDADD = $(FRONT_LIBS)
tests_unit_test_keeper_SOURCES = tests/unit/test_keeper.c
tests_unit_test_keeper_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_keeper_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_utc_ms,--wrap=clock_mono_ms,--wrap=ballast_make \
	-Wl,--wrap=artifact_free_bytes,--wrap=job_settle \
	-Wl,--wrap=exchange_sweep,--wrap=spawn_capture
tests_unit_test_keeper_LDADD = $(FRONT_LIBS)
tests_unit_test_pool_SOURCES = tests/unit/test_pool.c
tests_unit_test_pool_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_pool_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=shield_park
tests_unit_test_pool_LDADD = $(FRONT_LIBS)
tests_unit_test_cgi_SOURCES = tests/unit/test_cgi.c
tests_unit_test_cgi_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cgi_LDADD = $(FRONT_LIBS)
UNIT_FRONT += tests/unit/test_expose tests/unit/test_traffic \
	tests/unit/test_handle_metrics tests/unit/test_openapi
tests_unit_test_expose_SOURCES = tests/unit/test_expose.c
tests_unit_test_expose_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_expose_LDADD = $(FRONT_LIBS)
tests_unit_test_traffic_SOURCES = tests/unit/test_traffic.c
tests_unit_test_traffic_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_traffic_LDADD = $(FRONT_LIBS)
tests_unit_test_handle_metrics_SOURCES = tests/unit/test_handle_metrics.c
tests_unit_test_handle_metrics_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_handle_metrics_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=spawn_capture,--wrap=shield_see
tests_unit_test_handle_metrics_LDADD = $(FRONT_LIBS)
tests_unit_test_openapi_SOURCES = tests/unit/test_openapi.c
tests_unit_test_openapi_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_openapi_LDADD = $(FRONT_LIBS)
UNIT_FRONT += tests/unit/test_share tests/unit/test_shield \
	tests/unit/test_handle_probe
tests_unit_test_share_SOURCES = tests/unit/test_share.c
tests_unit_test_share_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_share_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_mono_ms
tests_unit_test_share_LDADD = $(FRONT_LIBS)
tests_unit_test_shield_SOURCES = tests/unit/test_shield.c
tests_unit_test_shield_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_shield_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=job_find_shield \
	-Wl,--wrap=http_ask,--wrap=thread_start
tests_unit_test_shield_LDADD = $(FRONT_LIBS)
tests_unit_test_handle_probe_SOURCES = tests/unit/test_handle_probe.c
tests_unit_test_handle_probe_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_handle_probe_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=spawn_capture,--wrap=shield_see
tests_unit_test_handle_probe_LDADD = $(FRONT_LIBS)
UNIT_FRONT += tests/unit/test_handle_page
tests_unit_test_handle_page_SOURCES = tests/unit/test_handle_page.c
tests_unit_test_handle_page_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_handle_page_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=spawn_capture
tests_unit_test_handle_page_LDADD = $(FRONT_LIBS)
# The page's modules in Node, and what is built in of speedscope.
UNIT_SH = tests/unit/page.sh tests/unit/speedscope.sh
TESTS += $(UNIT_SH)
EXTRA_DIST += $(UNIT_SH) tests/unit/page.test.mjs
