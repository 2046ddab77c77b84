/*
 * Bytes that come through FIFOs, while the session and the row are served.
 */
#include "capture_parts.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* Bytes at once, and in one step: others want to be served too. */
#define PIECE_BYTES 65536
#define STEP_BYTES (4 << 20)

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int
intake_open(struct intake *intake, struct capture *c, bool with_status,
    struct err *err)
{
	*intake = (struct intake){
		.capture = c,
		.data_fd = -1,
		.status_fd = -1,
		.heard_ms = clock_mono_ms(),
	};
	if (exchange_open_fifo(c->exchange, EXCHANGE_DATA, &intake->data_fd,
		err) != 0)
		return -1;
	if (!with_status || exchange_open_fifo(c->exchange, EXCHANGE_STATUS,
		&intake->status_fd, err) == 0)
		return 0;
	intake_close(intake);
	return -1;
}

void
intake_close_data(struct intake *intake)
{
	close_fd(&intake->data_fd);
}

void
intake_close(struct intake *intake)
{
	struct exchange *exchange = intake->capture->exchange;

	close_fd(&intake->data_fd);
	close_fd(&intake->status_fd);
	exchange_drop(exchange, EXCHANGE_DATA);
	exchange_drop(exchange, EXCHANGE_STATUS);
}

/* 1: something came; 0: nothing is there; -1 with *err. */
static int
take_data(struct intake *intake, struct err *err)
{
	struct capture *c = intake->capture;
	char piece[PIECE_BYTES];
	ssize_t n;

	n = read(intake->data_fd, piece, sizeof(piece));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot read what the app writes");
	if (n == 0) {
		close_fd(&intake->data_fd);
		return 0;
	}
	intake->heard_ms = clock_mono_ms();
	c->progress.phase = PHASE_WRITING;
	watchdog_beat(c->watchdog);
	return capture_heap_sink(c, piece, (size_t)n, err) != 0 ? -1 : 1;
}

/* As much as there is, and as one step may take. */
static int
take_some(struct intake *intake, struct err *err)
{
	size_t taken = 0;
	int rc = 1;

	while (rc == 1 && intake->data_fd >= 0 && taken < STEP_BYTES) {
		rc = take_data(intake, err);
		taken += PIECE_BYTES;
	}
	return rc < 0 ? -1 : 0;
}

/* Lines that are over; what is too long for one is no line of ours. */
static int
take_lines(struct intake *intake, struct err *err)
{
	char *end;
	size_t len;

	while ((end = memchr(intake->text, '\n', intake->text_len)) != NULL) {
		*end = '\0';
		if (strlen(intake->text) == (size_t)(end - intake->text) &&
		    intake->line(intake->ctx, intake->text, err) != 0)
			return -1;
		len = (size_t)(end + 1 - intake->text);
		intake->text_len -= len;
		memmove(intake->text, end + 1, intake->text_len);
	}
	if (intake->text_len == sizeof(intake->text))
		intake->text_len = 0;
	return 0;
}

static int
take_status(struct intake *intake, struct err *err)
{
	ssize_t n;

	n = read(intake->status_fd, intake->text + intake->text_len,
	    sizeof(intake->text) - intake->text_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot read what the app's copy says");
	if (n == 0) {
		close_fd(&intake->status_fd);
		return 0;
	}
	intake->text_len += (size_t)n;
	return take_lines(intake, err);
}

/* Serve the session.  What the kind or the row made of it is an error; that
 * the session is gone is not. */
static int
pump(struct intake *intake, struct err *err)
{
	struct capture *c = intake->capture;
	struct err fault;

	intake->pumped_ms = clock_mono_ms();
	if (c->cdp == NULL)
		return 0;
	if (cdp_pump(c->cdp, &fault) != 0) {
		if (fault.code != ERR_TARGET_EXITED &&
		    fault.code != ERR_TARGET_REFUSED)
			return err_set(err, fault.code, "%s", fault.msg);
		log_info("capture", "%s", fault.msg);
	} else if (!cdp_is_exiting(c->cdp)) {
		return 0;
	}
	/* An app that wants to exit waits for us to leave. */
	capture_detach(c);
	intake->has_lost_app = true;
	return 0;
}

int
intake_step(struct intake *intake, struct err *err)
{
	/* poll(2) says POLLHUP only once somebody had opened it to write. */
	struct pollfd fds[] = {
		{ .fd = intake->data_fd, .events = POLLIN },
		{ .fd = intake->status_fd, .events = POLLIN },
	};

	if (poll(fds, 2, INTAKE_STEP_MS) > 0) {
		if (fds[0].revents != 0 && take_some(intake, err) != 0)
			return -1;
		if (fds[1].revents != 0 && take_status(intake, err) != 0)
			return -1;
	}
	if (clock_mono_ms() - intake->pumped_ms < INTAKE_STEP_MS)
		return 0;
	if (capture_tick(intake->capture, err) != 0)
		return -1;
	return pump(intake, err);
}

int
intake_drain(struct intake *intake, struct err *err)
{
	int rc = 1;

	while (rc == 1 && intake->data_fd >= 0)
		rc = take_data(intake, err);
	return rc < 0 ? -1 : 0;
}
