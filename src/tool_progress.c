/*
 * What is going on, while somebody waits for it.
 */
#include "tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "str.h"

/* A time that is left is guessed from no less. */
#define GUESS_MS 500
/* A guess of more than a week is none. */
#define LEFT_MAX_MS 6e8
#define DRAW_MS 100

void
tool_progress_init(struct tool_progress *progress)
{
	memset(progress, 0, sizeof(*progress));
	tool_screen_init(&progress->screen, stderr);
}

void
tool_progress_end(struct tool_progress *progress)
{
	if (progress->is_drawn)
		(void)fputs("\r\033[K", stderr);
	progress->is_drawn = false;
	(void)fflush(stderr);
}

void
tool_progress_say(struct tool_progress *progress, const char *fmt, ...)
{
	char text[2 * ERR_MSG_MAX];
	va_list ap;

	tool_progress_end(progress);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tool_complain("%s", text);
}

static void
draw(struct tool_progress *progress, const struct tool_bar *bar)
{
	const size_t width = tool_screen_width(&progress->screen);
	const int64_t now_ms = clock_mono_ms();
	char line[TOOL_BAR_MAX];

	if (!progress->screen.can_draw || width < 2)
		return;
	if (progress->is_drawn && now_ms - progress->drawn_ms < DRAW_MS)
		return;
	/* Some terminals begin a new line at the last column already. */
	tool_draw_bar(bar, width - 1, line);
	(void)fprintf(stderr, "\r%s\033[K", line);
	(void)fflush(stderr);
	progress->is_drawn = true;
	progress->drawn_ms = now_ms;
}

/* Of what is done already no time can be guessed. */
static void
enter(struct tool_progress *progress, const char *phase, int64_t done)
{
	if (strcmp(progress->phase, phase) == 0)
		return;
	(void)str_copy(progress->phase, sizeof(progress->phase), phase);
	progress->phase_since_ms = clock_mono_ms();
	progress->phase_done = done > 0 ? done : 0;
	/* The new one is seen at once. */
	progress->drawn_ms = 0;
	if (!progress->screen.can_draw)
		tool_complain("%s", phase);
}

/* What takes as long for the rest as it took so far. */
static int64_t
guess_left(int64_t elapsed_ms, int64_t done, int64_t total)
{
	double left_ms;

	if (elapsed_ms < GUESS_MS || done <= 0 || total <= done)
		return -1;
	left_ms = (double)elapsed_ms * (double)(total - done) / (double)done;
	return left_ms < LEFT_MAX_MS ? (int64_t)left_ms : -1;
}

/* One word of the API; another would be drawn into the line. */
static const char *
phase_of(const struct json *job)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz-";
	const char *state = tool_text(job, "state");
	const char *phase = tool_text(job, "phase");

	if (strcmp(state, "running") != 0 || phase[0] == '\0')
		phase = state;
	return strspn(phase, letters) == strlen(phase) ? phase : "running";
}

/* A snapshot by these stops the app from its beginning to its end. */
static bool
is_freezing(const struct json *job, const char *phase)
{
	const char *method = tool_text(job, "method");

	return strcmp(tool_text(job, "kind"), "heap-snapshot") == 0 &&
	    (strcmp(method, "direct") == 0 || strcmp(method, "stream") == 0) &&
	    (strcmp(phase, "starting") == 0 || strcmp(phase, "writing") == 0);
}

static void
fill_freeze(struct tool_progress *progress, const struct json *job,
    struct tool_bar *bar)
{
	const int64_t now_ms = clock_mono_ms();

	bar->freeze_ms = tool_number(job, "freezeMs");
	if (!is_freezing(job, progress->phase)) {
		progress->frozen_since_ms = 0;
		return;
	}
	if (progress->frozen_since_ms == 0)
		progress->frozen_since_ms = now_ms;
	bar->is_frozen = true;
	bar->freeze_ms = now_ms - progress->frozen_since_ms;
}

/* How long a profile has run: from when this phase was seen to begin, or, if
 * it was under way by then, from what the service says. */
static int64_t
profiled_ms(const struct tool_progress *progress, const struct json *job,
    int64_t duration_ms)
{
	const int64_t seen_ms = clock_mono_ms() - progress->phase_since_ms;
	const int64_t begun = tool_parse_time(tool_text(job, "startedAt"));
	const int64_t age_ms = begun < 0 ? -1 : clock_utc_ms() - begun;

	/* Clocks may differ. */
	if (progress->is_late && age_ms > seen_ms && age_ms <= duration_ms)
		return age_ms;
	return seen_ms < duration_ms ? seen_ms : duration_ms;
}

static void
fill_profile(const struct tool_progress *progress, const struct json *job,
    struct tool_bar *bar)
{
	const int64_t duration_ms = json_int(json_path(job, "options",
	    "durationMs"), -1);

	if (duration_ms <= 0)
		return;
	bar->total = duration_ms;
	bar->done = profiled_ms(progress, job, duration_ms);
	bar->left_ms = bar->total - bar->done;
}

static void
fill_snapshot(const struct tool_progress *progress, const struct json *job,
    struct tool_bar *bar)
{
	const struct json *numbers = json_get(job, "progress");

	bar->done = tool_number(numbers, "done");
	bar->total = tool_number(numbers, "total");
	bar->bytes = tool_number(numbers, "bytes");
	/* Nodes are counted before the first byte comes. */
	if (bar->bytes == 0)
		bar->bytes = -1;
	bar->is_estimated = json_is_true(json_get(numbers, "estimated"));
	bar->left_ms = guess_left(clock_mono_ms() - progress->phase_since_ms,
	    bar->done - progress->phase_done,
	    bar->total - progress->phase_done);
}

void
tool_progress_job(struct tool_progress *progress, const struct json *job)
{
	const bool is_first = progress->phase[0] == '\0';
	struct tool_bar bar = {.done = -1, .total = -1, .bytes = -1,
	    .left_ms = -1, .freeze_ms = -1};

	enter(progress, phase_of(job),
	    json_int(json_path(job, "progress", "done"), 0));
	if (is_first)
		progress->is_late = strcmp(progress->phase, "profiling") == 0;
	bar.what = progress->phase;
	if (strcmp(progress->phase, "profiling") == 0)
		fill_profile(progress, job, &bar);
	else if (strcmp(progress->phase, "writing") == 0)
		fill_snapshot(progress, job, &bar);
	fill_freeze(progress, job, &bar);
	draw(progress, &bar);
}

void
tool_progress_fetch(void *ctx, const struct fetch_progress *fetch)
{
	struct tool_progress *progress = ctx;
	struct tool_bar bar = {.done = fetch->done_bytes,
	    .total = fetch->total_bytes, .bytes = fetch->done_bytes,
	    .left_ms = -1, .freeze_ms = -1};

	if (fetch->phase == FETCH_WAITING) {
		if (strcmp(progress->phase, "waiting") != 0)
			tool_progress_say(progress, "%s; trying again",
			    fetch->why);
		(void)str_copy(progress->phase, sizeof(progress->phase),
		    "waiting");
		return;
	}
	enter(progress, fetch->phase == FETCH_READING ? "checking" : "loading",
	    fetch->done_bytes);
	bar.left_ms = guess_left(clock_mono_ms() - progress->phase_since_ms,
	    fetch->done_bytes - progress->phase_done,
	    fetch->total_bytes - progress->phase_done);
	bar.what = progress->phase;
	draw(progress, &bar);
}
