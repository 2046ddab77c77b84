/*
 * A bucket of CPU time that fills at the rate which the app leaves over, and
 * a timer on the child's own CPU time that takes from it.
 */
#include "pace.h"

#include <signal.h>
#include <stdint.h>
#include <sys/time.h>

#include "quota.h"
#include "signals.h"
#include "sys.h"

#define TICK_US 4000
#define PER_MILLION 1000000
#define SHARE_PERCENT 90
#define FLOOR_PERCENT 5
/* What the app takes is averaged over this; so much may be saved up. */
#define WINDOW_NS 100000000
#define SAVED_NS 4000000
#define SLEEP_MAX_NS 50000000

/* Rates are in millionths of one CPU. */
static struct {
	int clock;		/* of the app's CPU time */
	int64_t quota;
	int64_t app_rate;
	int64_t wall_ns, app_ns, own_ns;	/* as last looked at */
	int64_t debt_ns;	/* what was taken too much; below 0: saved */
} pace;

/* The rate that is the child's, as the app is now. */
static int64_t
own_rate(void)
{
	int64_t rate = pace.quota * SHARE_PERCENT / 100 - pace.app_rate;
	int64_t floor = pace.quota * FLOOR_PERCENT / 100;

	if (rate < floor)
		rate = floor;
	return rate > 0 ? rate : 1;
}

static void
look(void)
{
	int64_t wall_ns = sys_clock_ns(CLOCK_MONOTONIC);
	int64_t app_ns = sys_clock_ns(pace.clock);
	int64_t own_ns = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	int64_t span_ns = wall_ns - pace.wall_ns, weight_ns = span_ns, rate;

	if (span_ns <= 0)
		return;
	if (weight_ns > WINDOW_NS)
		weight_ns = WINDOW_NS;
	rate = (app_ns - pace.app_ns) * 1000 / (span_ns / 1000 + 1);
	pace.app_rate += (rate - pace.app_rate) * (weight_ns / 1000) /
	    (WINDOW_NS / 1000);
	pace.debt_ns += own_ns - pace.own_ns;
	pace.debt_ns -= span_ns / 1000 * own_rate() / 1000;
	if (pace.debt_ns < -SAVED_NS)
		pace.debt_ns = -SAVED_NS;
	pace.wall_ns = wall_ns;
	pace.app_ns = app_ns;
	pace.own_ns = own_ns;
}

static void
on_tick(int signo)
{
	int64_t sleep_ns;

	(void)signo;
	look();
	while (pace.debt_ns > 0) {
		sleep_ns = pace.debt_ns * PER_MILLION / own_rate();
		if (sleep_ns > SLEEP_MAX_NS)
			sleep_ns = SLEEP_MAX_NS;
		sys_sleep_ns(sleep_ns);
		look();
	}
}

void
pace_start(int parent)
{
	const struct sys_timer timer = {
	    .every_us = TICK_US, .first_us = TICK_US};

	pace.quota = quota_read("/proc/self/cgroup", "/proc/self/mountinfo");
	if (pace.quota == 0)
		return;
	/* The kernel's number for the CPU time of a process. */
	pace.clock = (int)(~(unsigned)parent << 3 | 2);
	pace.wall_ns = sys_clock_ns(CLOCK_MONOTONIC);
	pace.app_ns = sys_clock_ns(pace.clock);
	pace.own_ns = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	signals_handle(SIGPROF, on_tick, 0);
	(void)sys_timer(ITIMER_PROF, &timer);
}
