/*
 * Requests to the installation on this machine: podprof.fcgi as a CGI program
 * (RFC 3875), one process for each.
 */
#include <config.h>

#include "client_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "owner.h"
#include "spawn.h"

#define PROGRAM "podprof.fcgi"
#define PIECE 65536
#define TICK_MS 100
/* What it says that is kept for a message: its last bytes. */
#define SAID_MAX 400
/* After its answer it looks after the state, if it was long ago. */
#define END_MS 2000
/* One that is told to end. */
#define STOP_MS 100

struct client_local {
	struct owner owner;
	char program[PATH_MAX];
	char *conf_path;	/* absolute; NULL: there is no file */
};

/* The variables of a process, NULL after the last; each is owned. */
struct variables {
	char **vars;
	size_t len, cap;
};

struct run {
	pid_t pid;
	int out_fd, err_fd;
	struct buf head;	/* until it is whole */
	char said[SAID_MAX + 1];
	size_t said_len;
};

int
client_local_open(const struct conf *conf, struct client_local **ret_local,
    struct err *err)
{
	struct client_local *local = calloc(1, sizeof(*local));
	int rc = -1;

	if (local == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a client");
	if (owner_find(conf->state_dir, &local->owner, err) != 0)
		goto out;
	file_own_program(PROGRAM, local->program, sizeof(local->program));
	if (access(local->program, X_OK) != 0) {
		(void)err_set_errno(err, ERR_INTERNAL, errno, "%s, which "
		    "answers for this machine, cannot be run (install podprof "
		    "anew)", local->program);
		goto out;
	}
	/* It is started in another directory. */
	if (conf->path != NULL)
		local->conf_path = realpath(conf->path, NULL);
	if (conf->path != NULL && local->conf_path == NULL) {
		(void)err_set_errno(err, ERR_STORE, errno, "%s", conf->path);
		goto out;
	}
	*ret_local = local;
	local = NULL;
	rc = 0;
out:
	client_local_close(&local);
	return rc;
}

void
client_local_close(struct client_local **local)
{
	if (*local == NULL)
		return;
	free((*local)->conf_path);
	free(*local);
	*local = NULL;
}

static void
free_variables(struct variables *set)
{
	size_t i;

	for (i = 0; i < set->len; i++)
		free(set->vars[i]);
	free(set->vars);
	memset(set, 0, sizeof(*set));
}

static int add_variable(struct variables *set, struct err *err,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int
add_variable(struct variables *set, struct err *err, const char *fmt, ...)
{
	size_t cap = set->cap == 0 ? 32 : 2 * set->cap;
	char *text = NULL, **longer;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return err_set(err, ERR_NOMEM, "no memory for a request");
	if (set->len + 1 >= set->cap) {
		longer = reallocarray(set->vars, cap, sizeof(*longer));
		if (longer == NULL) {
			free(text);
			return err_set(
			    err, ERR_NOMEM, "no memory for a request");
		}
		set->vars = longer;
		set->cap = cap;
	}
	set->vars[set->len++] = text;
	set->vars[set->len] = NULL;
	return 0;
}

/* Those that are the tool's alone, or told anew. */
static bool
is_ours(const char *variable)
{
	static const char *const names[] = {"PODPROF_CONFIG=",
	    "PODPROF_LOCAL_UID=", "PODPROF_URL="};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static int
inherit(struct variables *set, struct err *err)
{
	size_t i;

	for (i = 0; environ[i] != NULL; i++)
		if (spawn_keeps(environ[i]) && !is_ours(environ[i]) &&
		    add_variable(set, err, "%s", environ[i]) != 0)
			return -1;
	return 0;
}

static int
describe_fields(const struct client_request *request, struct variables *set,
    struct err *err)
{
	if (request->body != NULL &&
	    (add_variable(set, err, "CONTENT_TYPE=application/json") != 0 ||
	    add_variable(set, err, "CONTENT_LENGTH=%zu",
	    strlen(request->body)) != 0))
		return -1;
	if (request->key != NULL && add_variable(set, err,
	    "HTTP_IDEMPOTENCY_KEY=%s", request->key) != 0)
		return -1;
	if (request->wait_s > 0 && add_variable(set, err,
	    "HTTP_PREFER=wait=%lld", (long long)request->wait_s) != 0)
		return -1;
	if (request->first_byte <= 0)
		return 0;
	if (add_variable(set, err, "HTTP_RANGE=bytes=%lld-",
	    (long long)request->first_byte) != 0)
		return -1;
	return request->etag == NULL ? 0 :
	    add_variable(set, err, "HTTP_IF_RANGE=%s", request->etag);
}

static int
describe(const struct client_local *local, const struct client_answer *answer,
    struct variables *set, struct err *err)
{
	const struct client_request *request = answer->request;
	const char *query = strchr(request->path, '?');
	size_t len = strcspn(request->path, "?");

	if (inherit(set, err) != 0 || (local->conf_path != NULL &&
	    add_variable(set, err, "PODPROF_CONFIG=%s",
	    local->conf_path) != 0))
		return -1;
	if (add_variable(set, err, "GATEWAY_INTERFACE=CGI/1.1") != 0 ||
	    add_variable(set, err, "SERVER_PROTOCOL=HTTP/1.1") != 0 ||
	    add_variable(set, err, "SERVER_NAME=localhost") != 0 ||
	    add_variable(set, err, "SERVER_SOFTWARE=podprof/%s",
	    PACKAGE_VERSION) != 0 ||
	    add_variable(set, err, "PODPROF_LOCAL_UID=%lu",
	    (unsigned long)getuid()) != 0 ||
	    add_variable(set, err, "REQUEST_METHOD=%s", request->method) !=
	    0 ||
	    add_variable(set, err, "PATH_INFO=/%s/private/papi/%.*s",
	    client_app(answer->client), (int)len, request->path) != 0 ||
	    add_variable(set, err, "QUERY_STRING=%s",
	    query != NULL ? query + 1 : "") != 0 ||
	    add_variable(set, err, "HTTP_HOST=localhost") != 0 ||
	    add_variable(set, err, "HTTP_ACCEPT=application/json") != 0)
		return -1;
	return describe_fields(request, set, err);
}

/* A file without a name, so that nobody has to write while he reads. */
static int
make_input(const char *body, int *ret_fd, struct err *err)
{
	int fd = memfd_create("request", MFD_CLOEXEC);

	if (fd < 0)
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot make a request for " PROGRAM);
	if (body != NULL && file_write(fd, body, strlen(body), err) != 0)
		goto fail;
	if (lseek(fd, 0, SEEK_SET) != 0) {
		(void)err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot make a request for " PROGRAM);
		goto fail;
	}
	*ret_fd = fd;
	return 0;
fail:
	(void)close(fd);
	return -1;
}

static void say_and_exit(const char *what)
    __attribute__((noreturn));

/* To descriptor 2, where we are read. */
static void
say_and_exit(const char *what)
{
	(void)!write(2, what, strlen(what));
	_exit(127);
}

static void
reset_signals(void)
{
	struct sigaction plain;
	sigset_t none;
	int number;

	memset(&plain, 0, sizeof(plain));
	plain.sa_handler = SIG_DFL;
	for (number = 1; number < NSIG; number++)
		(void)sigaction(number, &plain, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What the child gets as 0, 1 and 2. */
struct ends {
	int in_fd, out_fd, err_fd;
};

/* Each of them may be one of the three by itself. */
static void
take_ends(const struct ends *ends)
{
	int in = fcntl(ends->in_fd, F_DUPFD_CLOEXEC, 3);
	int out = fcntl(ends->out_fd, F_DUPFD_CLOEXEC, 3);
	int said = fcntl(ends->err_fd, F_DUPFD_CLOEXEC, 3);

	if (in < 0 || out < 0 || said < 0 || dup2(said, 2) < 0)
		_exit(127);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
	    close_range(3, UINT_MAX, 0) != 0)
		say_and_exit("cannot arrange its descriptors");
}

static void become_program(const struct client_local *local,
    const struct ends *ends, char *const envp[]) __attribute__((noreturn));

/* In the child: of a session of its own, so that an interrupt from the
 * terminal reaches us and not it; and in no directory that somebody may want
 * to remove. */
static void
become_program(const struct client_local *local, const struct ends *ends,
    char *const envp[])
{
	char name[] = PROGRAM, *argv[] = {name, NULL};
	struct err err;

	reset_signals();
	(void)setsid();
	(void)umask(0077);
	take_ends(ends);
	if (owner_become(&local->owner, &err) != 0)
		say_and_exit(err.msg);
	if (chdir("/") != 0)
		say_and_exit("cannot change to the directory /");
	(void)execve(local->program, argv, envp);
	(void)err_set_errno(&err, ERR_INTERNAL, errno, "cannot run %s as %s",
	    local->program, local->owner.name);
	say_and_exit(err.msg);
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static int
start(const struct client_local *local, const struct client_answer *answer,
    struct run *run, struct err *err)
{
	int out[2] = {-1, -1}, said[2] = {-1, -1}, rc = -1;
	struct variables set = {0};
	struct ends ends = {-1, -1, -1};

	if (describe(local, answer, &set, err) != 0 ||
	    make_input(answer->request->body, &ends.in_fd, err) != 0)
		goto out;
	if (pipe2(out, O_CLOEXEC) != 0 || pipe2(said, O_CLOEXEC) != 0) {
		(void)err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot start " PROGRAM);
		goto out;
	}
	ends.out_fd = out[1];
	ends.err_fd = said[1];
	run->pid = fork();
	if (run->pid == 0)
		become_program(local, &ends, set.vars);
	if (run->pid < 0) {
		(void)err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot start " PROGRAM);
		goto out;
	}
	run->out_fd = out[0];
	run->err_fd = said[0];
	out[0] = said[0] = -1;
	rc = 0;
out:
	free_variables(&set);
	close_fd(&ends.in_fd);
	close_fd(&out[0]);
	close_fd(&out[1]);
	close_fd(&said[0]);
	close_fd(&said[1]);
	return rc;
}

/* Wait for its end; false if it goes on after that time, or until we are
 * stopped.  client NULL: nothing stops us. */
static bool
await_end(struct run *run, const struct client *client, int64_t ms,
    int *ret_status)
{
	const int64_t end_ms = clock_mono_ms() + ms;
	pid_t pid;

	while ((pid = waitpid(run->pid, ret_status, WNOHANG)) == 0) {
		if (clock_mono_ms() >= end_ms ||
		    (client != NULL && client_is_stopped(client)))
			return false;
		(void)poll(NULL, 0, 1);
	}
	run->pid = -1;
	return pid > 0;
}

/* It gets no further word from us, and we none from it.  What changes nothing
 * is ended; an order that is under way comes to its end, without us. */
static void
leave(struct run *run, const struct client_request *request)
{
	const bool changes = strcmp(request->method, "GET") != 0 &&
	    strcmp(request->method, "HEAD") != 0;
	int status;

	close_fd(&run->out_fd);
	close_fd(&run->err_fd);
	if (run->pid <= 0)
		return;
	if (!changes)
		(void)kill(run->pid, SIGTERM);
	(void)await_end(run, NULL, STOP_MS, &status);
}

/* Keep the last of what it says; without a line's end. */
static void
keep_said(struct run *run, const char *data, size_t len)
{
	size_t over;

	if (len > SAID_MAX) {
		data += len - SAID_MAX;
		len = SAID_MAX;
	}
	over = run->said_len + len > SAID_MAX ?
	    run->said_len + len - SAID_MAX : 0;
	memmove(run->said, run->said + over, run->said_len - over);
	run->said_len -= over;
	memcpy(run->said + run->said_len, data, len);
	run->said_len += len;
	run->said[run->said_len] = '\0';
}

/* Its last line: the others are of what went before. */
static const char *
last_line(struct run *run)
{
	char *at;

	while (run->said_len > 0 && run->said[run->said_len - 1] == '\n')
		run->said[--run->said_len] = '\0';
	at = strrchr(run->said, '\n');
	return at != NULL ? at + 1 : run->said;
}

/* One of its pipes: 1 there was something, 0 nothing now or its end, when *fd
 * is -1. */
static int
read_some(int *fd, char *piece, size_t *ret_len)
{
	ssize_t n;

	do
		n = read(*fd, piece, PIECE);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		close_fd(fd);
		return 0;
	}
	*ret_len = (size_t)n;
	return 1;
}

/* A line of the head; Status is what CGI has in the place of a status line. */
static int
take_line(struct client_answer *answer, const char *line, size_t len)
{
	static const char name[] = "Status:";
	const size_t name_len = sizeof(name) - 1;
	char text[16];
	const char *rest;
	int64_t status = 0;

	if (len <= name_len || strncasecmp(line, name, name_len) != 0)
		return client_answer_header(answer, line, len);
	line += name_len;
	len -= name_len;
	for (; len > 0 && *line == ' '; line++)
		len--;
	(void)snprintf(text, sizeof(text), "%.*s",
	    len < sizeof(text) ? (int)len : (int)sizeof(text) - 1, line);
	if (!str_take_int(text, &status, &rest) || status > 999)
		status = 0;
	return client_answer_status(answer, (int)status);
}

/* The lines of a head that is whole; podprof.fcgi has Status as the first. */
static int
take_head(struct client_answer *answer, const char *head)
{
	size_t len, text_len;

	for (; *head != '\0'; head += len) {
		len = text_len = strcspn(head, "\n");
		if (text_len > 0 && head[text_len - 1] == '\r')
			text_len--;
		if (text_len > 0 && take_line(answer, head, text_len) != 0)
			return -1;
		if (head[len] == '\n')
			len++;
	}
	return client_answer_head(answer);
}

static const char *
find_end_of_head(const struct buf *head)
{
	const char *crlf = strstr(buf_str(head), "\r\n\r\n");
	const char *lf = strstr(buf_str(head), "\n\n");

	if (crlf != NULL && (lf == NULL || crlf < lf))
		return crlf + 4;
	return lf != NULL ? lf + 2 : NULL;
}

/* A piece of the answer; the err of the answer says why not. */
static int
take_piece(struct run *run, struct client_answer *answer, const char *piece,
    size_t len)
{
	const char *body;
	size_t body_len;

	if (answer->is_head_whole)
		return client_answer_body(answer, piece, len);
	if (buf_add(&run->head, piece, len, &answer->err) != 0)
		return -1;
	body = find_end_of_head(&run->head);
	if (body == NULL)
		return 0;
	body_len = run->head.len - (size_t)(body - run->head.data);
	/* Up to the empty line; what is after it is in place still. */
	run->head.data[run->head.len - body_len - 1] = '\0';
	if (take_head(answer, run->head.data) != 0)
		return -1;
	return body_len == 0 ? 0 : client_answer_body(answer, body, body_len);
}

/* Until the answer is at its end. */
static int
receive(struct run *run, struct client_answer *answer, char *piece)
{
	const int64_t silence_ms = client_silence_ms(answer->request);
	int64_t heard_ms = clock_mono_ms();
	struct pollfd fds[2];
	size_t len;

	while (run->out_fd >= 0) {
		if (client_is_stopped(answer->client))
			return client_stopped(&answer->err);
		if (clock_mono_ms() - heard_ms > silence_ms)
			return err_set(&answer->err, ERR_TARGET_TIMEOUT,
			    PROGRAM " has been silent for %lld seconds",
			    (long long)silence_ms / 1000);
		fds[0] = (struct pollfd){.fd = run->out_fd, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = run->err_fd, .events = POLLIN};
		if (poll(fds, 2, TICK_MS) <= 0)
			continue;
		heard_ms = clock_mono_ms();
		if (fds[1].revents != 0 &&
		    read_some(&run->err_fd, piece, &len) > 0)
			keep_said(run, piece, len);
		if (fds[0].revents != 0 &&
		    read_some(&run->out_fd, piece, &len) > 0 &&
		    take_piece(run, answer, piece, len) != 0)
			return -1;
	}
	return 0;
}

/* What it said at last, without waiting for more. */
static void
hear_out(struct run *run, char *piece)
{
	struct pollfd pfd = {.events = POLLIN};
	size_t len;

	while (run->err_fd >= 0) {
		pfd.fd = run->err_fd;
		if (poll(&pfd, 1, 0) <= 0)
			return;
		if (read_some(&run->err_fd, piece, &len) > 0)
			keep_said(run, piece, len);
	}
}

static int
no_answer(struct run *run, char *piece, int status, bool has_ended,
    struct err *err)
{
	char how[64] = "";
	const char *said;

	hear_out(run, piece);
	said = last_line(run);
	if (has_ended && WIFSIGNALED(status))
		(void)snprintf(how, sizeof(how), " (signal %d)",
		    WTERMSIG(status));
	else if (has_ended)
		(void)snprintf(how, sizeof(how), " (exit status %d)",
		    WEXITSTATUS(status));
	return err_set(err, ERR_INTERNAL, PROGRAM " ended without an "
	    "answer%s%s%s", how, said[0] != '\0' ? ": " : "; see "
	    "capture.log in state_dir", said);
}

/* An answer that refers to a web server's log means what was said to us. */
static int
not_set_up(const struct client_local *local, struct run *run,
    struct client_answer *answer)
{
	return err_set(&answer->err, ERR_INTERNAL, "%s (it runs as %s, the "
	    "owner of state_dir)", last_line(run), local->owner.name);
}

/* Is it a whole answer? */
static int
judge(const struct client_local *local, struct run *run,
    struct client_answer *answer, char *piece)
{
	const struct client_reply *reply = &answer->reply;
	bool has_body = strcmp(answer->request->method, "HEAD") != 0;
	int status = 0;
	bool has_ended = await_end(run, answer->client, END_MS, &status);

	if (!answer->is_head_whole)
		return no_answer(run, piece, status, has_ended, &answer->err);
	hear_out(run, piece);
	if (reply->status == 500 && run->said_len > 0)
		return not_set_up(local, run, answer);
	if (!has_body || reply->length < 0 ||
	    answer->body_bytes == reply->length)
		return 0;
	return err_set(&answer->err, ERR_INTERRUPTED, PROGRAM " sent %lld "
	    "bytes of %lld; capture.log in state_dir may say why",
	    (long long)answer->body_bytes, (long long)reply->length);
}

int
client_local_call(struct client_local *local, struct client_answer *answer,
    struct err *err)
{
	struct run run = {.pid = -1, .out_fd = -1, .err_fd = -1};
	char *piece = NULL;
	int rc;

	buf_init(&run.head, CLIENT_HEAD_MAX + PIECE);
	piece = malloc(PIECE);
	if (piece == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a request");
	rc = start(local, answer, &run, &answer->err);
	if (rc == 0)
		rc = receive(&run, answer, piece);
	if (rc == 0)
		rc = judge(local, &run, answer, piece);
	leave(&run, answer->request);
	buf_fini(&run.head);
	free(piece);
	if (rc != 0 && err != NULL)
		*err = answer->err;
	return rc;
}
