#include "test.h"

#include "activate.h"
#include "clock.h"
#include "closed_node.h"
#include "opening.h"
#include "port.h"
#include "target.h"

/* A user who has no processes. */
#define STRANGER 54321u

struct fixture {
	char dir[256];		/* the state directory, too */
	char program[400];
	char inspector[PORT_TEXT_MAX];
	char pid[16];
	uint16_t port;
	struct conf_app app;
	struct ws *ws;
	struct activate_order order;
	struct closed_node node;
};

/* Added to the wall clock. */
static int64_t ahead_ms;

int64_t __wrap_clock_utc_ms(void);
int64_t __real_clock_utc_ms(void);

int64_t
__wrap_clock_utc_ms(void)
{
	return __real_clock_utc_ms() + ahead_ms;
}

/* So many times one that is there does not answer in time. */
static int finds_in_vain;

/* Ends in the moment after it was found; NULL: nobody does. */
static struct closed_node *found_dying;

/* Somebody else is there. */
static int
connect_to(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address,
	    sizeof(address)), 0);
	return fd;
}

/* Where somebody else comes in the moment after it was found; 0: nobody. */
static uint16_t found_joining;
static int joined_fd;

int __wrap_target_find(struct ws *ws, const char *inspector,
    int64_t deadline_ms, struct target *ret_target, struct err *err);
int __real_target_find(struct ws *ws, const char *inspector,
    int64_t deadline_ms, struct target *ret_target, struct err *err);

int
__wrap_target_find(struct ws *ws, const char *inspector,
    int64_t deadline_ms, struct target *ret_target, struct err *err)
{
	const int rc = __real_target_find(
	    ws, inspector, deadline_ms, ret_target, err);

	if (rc == 0 && finds_in_vain > 0) {
		finds_in_vain--;
		return err_set(err, ERR_TARGET_TIMEOUT, "it does not answer");
	}
	if (rc == 0 && found_joining != 0) {
		joined_fd = connect_to(found_joining);
		found_joining = 0;
	}
	if (rc == 0 && found_dying != NULL) {
		closed_node_stop(found_dying);
		found_dying = NULL;
	}
	return rc;
}

/* One that nobody listens to. */
static uint16_t
free_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)close(fd);
	return ntohs(address.sin_port);
}

static int
set_up(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	struct err err;

	test_make_dir(f->dir);
	closed_node_install(f->dir, "node", f->program);
	f->port = free_port();
	(void)snprintf(f->inspector, sizeof(f->inspector), "127.0.0.1:%u",
	    (unsigned)f->port);
	assert_ok(ws_new(&f->ws, &err), err);
	f->app = (struct conf_app){
		.name = "shop",
		.inspector = f->inspector,
		.activate = ACTIVATE_SIGUSR1,
		.pid = f->pid,
	};
	f->order = (struct activate_order){
		.state_dir = f->dir,
		.app = &f->app,
		.ws = f->ws,
		.deadline_ms = clock_mono_ms() + 30000,
		.may_open = true,
	};
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	ahead_ms = 0;
	finds_in_vain = 0;
	if (f->node.pid != 0)
		closed_node_stop(&f->node);
	ws_free(&f->ws);
	test_remove_dir(f->dir);
	test_free(f);
	return 0;
}

/* The app, which does that when it gets the signal. */
static void
start_app(struct fixture *f, const char *what)
{
	closed_node_start(&f->node, f->program, what, NULL, NULL);
	(void)snprintf(f->pid, sizeof(f->pid), "%d", (int)f->node.pid);
}

/* The app, which opens its inspector at that port then. */
static void
start_app_at(struct fixture *f, uint16_t port)
{
	char what[8];

	(void)snprintf(what, sizeof(what), "%u", (unsigned)port);
	start_app(f, what);
}

static bool
is_open(uint16_t number)
{
	struct port port;

	assert_true(port_parse("127.0.0.1", number, &port));
	return port_holder(&port) != 0;
}

/* What it does after it has got the signal. */
static void
await_open(uint16_t port)
{
	while (!is_open(port))
		(void)usleep(1000);
}

static struct activation *
begin(const struct fixture *f)
{
	struct activation *activation = NULL;
	struct err err;

	assert_ok(activate_begin(&f->order, &activation, &err), err);
	return activation;
}

static void
refuse(const struct fixture *f, enum err_code code, const char *text)
{
	struct activation *activation = NULL;
	struct err err;

	assert_err(activate_begin(&f->order, &activation, &err), err, code,
	    text);
	assert_null(activation);
}

/* What is told of, for whoever comes next: 1, or 0 if nothing is. */
static int
told(const struct fixture *f, struct opening *opening)
{
	struct opening_lock *lock = NULL;
	struct err err;
	int rc;

	assert_ok(opening_lock(f->dir, "shop", 0, &lock, &err), err);
	assert_ok(opening_use(lock, &err), err);
	rc = opening_read(lock, opening, &err);
	opening_unlock(&lock);
	assert_true(rc >= 0);
	return rc;
}

static bool
is_told(const struct fixture *f)
{
	struct opening opening;

	return told(f, &opening) > 0;
}

static void
never_is_nothing(void **state)
{
	struct fixture *f = *state;
	struct activation *activation;

	f->app.activate = ACTIVATE_NEVER;
	activation = begin(f);
	assert_null(activation);
	assert_false(activate_is_ours(activation));
	activate_end(&activation, f->ws);
}

static void
the_last_closes(void **state)
{
	struct fixture *f = *state;
	struct activation *first, *second;

	start_app_at(f, f->port);
	first = begin(f);
	assert_true(activate_is_ours(first));
	assert_true(is_open(f->port));
	/* One that only looks joins, too. */
	f->order.may_open = false;
	second = begin(f);
	assert_true(activate_is_ours(second));
	activate_end(&first, f->ws);
	assert_null(first);
	assert_true(is_open(f->port));
	assert_true(is_told(f));
	activate_end(&second, f->ws);
	assert_false(is_open(f->port));
	assert_false(is_told(f));
	closed_node_hear(&f->node, "signal\n");
	closed_node_hear(&f->node, "closed\n");
	refuse(f, ERR_TARGET_UNREACHABLE, "is closed; a job opens it");
	/* And again. */
	f->order.may_open = true;
	first = begin(f);
	closed_node_hear(&f->node, "signal\n");
	activate_end(&first, f->ws);
	assert_false(is_open(f->port));
}

static void
what_was_open_stays_open(void **state)
{
	struct fixture *f = *state;
	struct activation *activation;

	start_app_at(f, f->port);
	assert_int_equal(kill(f->node.pid, SIGUSR1), 0);
	await_open(f->port);
	closed_node_hear(&f->node, "signal\n");
	activation = begin(f);
	assert_null(activation);
	activate_end(&activation, f->ws);
	assert_true(is_open(f->port));
	/* But it is not that of another process, which is no Node, */
	(void)snprintf(f->pid, sizeof(f->pid), "%d", (int)getpid());
	refuse(f, ERR_TARGET_REFUSED, "listens another process than the app's");
	refuse(f, ERR_TARGET_REFUSED, "not Node");
	/* or of a pid that is none, */
	f->app.pid = "/proc/self/comm";
	refuse(f, ERR_TARGET_REFUSED, "is not a process id");
	f->app.pid = f->pid;
	/* or of a process that is gone. */
	(void)snprintf(f->pid, sizeof(f->pid), "%d", INT32_MAX);
	refuse(f, ERR_TARGET_UNREACHABLE, "there is no process");
	assert_true(is_open(f->port));
}

/* What is not to be judged by its program is by its sockets. */
static void
a_node_by_another_name(void **state)
{
	struct fixture *f = *state;
	char program[400];

	closed_node_install(f->dir, "electron", program);
	(void)str_copy(f->program, sizeof(f->program), program);
	start_app_at(f, f->port);
	refuse(f, ERR_TARGET_REFUSED, "not Node");
	assert_int_equal(kill(f->node.pid, SIGUSR1), 0);
	await_open(f->port);
	assert_null(begin(f));
	assert_true(is_open(f->port));
}

static void
refuse_open(const struct fixture *f, enum err_code code, const char *text)
{
	struct ws_address address = { "127.0.0.1", f->port };
	struct err err;

	assert_err(activate_check_open(f->dir, &f->app, geteuid(), &address,
	    &err), err, code, text);
}

/* The same, without asking anybody. */
static void
whose_is_open(void **state)
{
	struct fixture *f = *state;
	struct ws_address address = { "127.0.0.1", f->port };
	struct closed_node other;
	struct err err;

	start_app_at(f, f->port);
	other = f->node;
	assert_int_equal(kill(other.pid, SIGUSR1), 0);
	await_open(f->port);
	assert_ok(activate_check_open(f->dir, &f->app, geteuid(), &address,
	    &err), err);
	start_app(f, "idle");
	refuse_open(f, ERR_TARGET_REFUSED, "listens process");
	(void)snprintf(f->pid, sizeof(f->pid), "%d", (int)getpid());
	refuse_open(f, ERR_TARGET_REFUSED, "not Node");
	(void)snprintf(f->pid, sizeof(f->pid), "%d", INT32_MAX);
	refuse_open(f, ERR_TARGET_UNREACHABLE, "there is no process");
	closed_node_stop(&other);
}

static void
a_handler_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct err err;

	start_app(f, "idle");
	refuse(f, ERR_TARGET_REFUSED, "a handler of its own");
	closed_node_hear(&f->node, "signal\n");
	/* It may open yet: that is not forgotten, */
	assert_true(is_told(f));
	assert_ok(activate_close(f->dir, "shop", &err), err);
	assert_true(is_told(f));
	/* but not for ever. */
	ahead_ms = ACTIVATE_LATE_MS + 1000;
	assert_ok(activate_close(f->dir, "shop", &err), err);
	assert_false(is_told(f));
}

static void
say_hello(struct inspector *in, int fd, int n)
{
	(void)n;
	inspector_read_head(in, fd);
	inspector_answer(fd, 200, "hello");
}

/* What is told of the app as it is signalled: it should open at f->port, and
 * listened at that number before; 0: nowhere. */
static struct opening
signaled(const struct fixture *f, uint16_t before)
{
	struct opening opening = { .signaled_ms = clock_utc_ms(),
		.port.ip = in6addr_any, .port.number = f->port,
		.before[0] = before, .before_len = before != 0 };
	struct err err;

	assert_ok(proc_of(f->node.pid, &opening.proc, &err), err);
	return opening;
}

static void
tell(const struct fixture *f, const struct opening *opening)
{
	struct opening_lock *lock = NULL;
	struct err err;

	assert_ok(opening_lock(f->dir, "shop", 0, &lock, &err), err);
	assert_ok(opening_use(lock, &err), err);
	assert_ok(opening_write(lock, opening, &err), err);
	opening_unlock(&lock);
}

static void
close_left(const struct fixture *f)
{
	struct err err;

	assert_ok(activate_close(f->dir, "shop", &err), err);
}

static void
open_late(const struct fixture *f, uint16_t port)
{
	assert_int_equal(kill(f->node.pid, SIGUSR1), 0);
	await_open(port);
	closed_node_hear(&f->node, "signal\n");
}

static void
what_opens_late_is_closed(void **state)
{
	struct fixture *f = *state;
	struct opening opening;

	start_app_at(f, f->port);
	opening = signaled(f, 0);
	tell(f, &opening);
	close_left(f);
	assert_true(is_told(f));
	open_late(f, f->port);
	close_left(f);
	assert_false(is_told(f));
	assert_false(is_open(f->port));
}

/* [app] inspector names another port than the one where it opens. */
static void
what_opens_late_elsewhere_is_closed(void **state)
{
	struct fixture *f = *state;
	const uint16_t port = free_port();
	struct opening opening;

	start_app_at(f, port);
	opening = signaled(f, f->port);
	tell(f, &opening);
	close_left(f);
	assert_true(is_told(f));
	open_late(f, port);
	finds_in_vain = 1;
	close_left(f);
	/* It has not answered in time. */
	assert_int_equal(finds_in_vain, 0);
	assert_true(is_told(f));
	assert_true(is_open(port));
	close_left(f);
	closed_node_hear(&f->node, "closed\n");
	assert_false(is_told(f));
	assert_false(is_open(port));
}

/* Once it was found it is not forgotten, whatever the time. */
static void
what_is_found_elsewhere_is_kept_in_mind(void **state)
{
	struct fixture *f = *state;
	const uint16_t port = free_port();
	struct opening opening;

	start_app_at(f, port);
	opening = signaled(f, 0);
	tell(f, &opening);
	open_late(f, port);
	found_joining = port;
	close_left(f);
	assert_int_equal(found_joining, 0);
	ahead_ms = ACTIVATE_LATE_MS + 1000;
	close_left(f);
	assert_true(is_told(f));
	/* Nor if a capture comes meanwhile, which has no need of a signal. */
	refuse(f, ERR_TARGET_REFUSED, "opens its inspector at");
	assert_true(is_told(f));
	assert_true(is_open(port));
	(void)close(joined_fd);
	close_left(f);
	closed_node_hear(&f->node, "closed\n");
	assert_false(is_told(f));
	assert_false(is_open(port));
}

/* A capture that comes before anybody has closed it. */
static void
the_next_finds_it_elsewhere(void **state)
{
	struct fixture *f = *state;
	const uint16_t port = free_port();
	struct opening opening;

	start_app_at(f, port);
	opening = signaled(f, 0);
	tell(f, &opening);
	open_late(f, port);
	refuse(f, ERR_TARGET_REFUSED, "opens its inspector at");
	closed_node_hear(&f->node, "closed\n");
	assert_false(is_told(f));
	assert_false(is_open(port));
	/* It is asked before the signal, after it, and once more: what does not
	 * answer was still not open before the first one. */
	opening = signaled(f, 0);
	tell(f, &opening);
	open_late(f, port);
	finds_in_vain = 3;
	refuse(f, ERR_TARGET_REFUSED, "opened no inspector");
	assert_int_equal(finds_in_vain, 0);
	assert_int_equal(told(f, &opening), 1);
	assert_false(opening_is_known(&opening));
	assert_int_equal(opening.before_len, 0);
}

/* It is asked for no more than that. */
static void
what_is_new_may_be_no_inspector(void **state)
{
	struct fixture *f = *state;
	struct inspector web;
	struct opening opening = { .signaled_ms = clock_utc_ms(),
		.port.ip = in6addr_any, .port.number = f->port };
	struct err err;

	assert_ok(proc_self(&opening.proc, &err), err);
	inspector_start(&web, say_hello);
	tell(f, &opening);
	close_left(f);
	assert_int_equal(strncmp(web.request, "GET /json/list ", 15), 0);
	assert_true(is_told(f));
	ahead_ms = ACTIVATE_LATE_MS + 1000;
	close_left(f);
	assert_false(is_told(f));
	assert_true(is_open(web.port));
	inspector_stop(&web);
}

static void
what_was_open_elsewhere_stays_open(void **state)
{
	struct fixture *f = *state;
	const uint16_t port = free_port();
	struct opening opening;

	start_app_at(f, port);
	open_late(f, port);
	opening = signaled(f, port);
	tell(f, &opening);
	close_left(f);
	assert_true(is_told(f));
	ahead_ms = ACTIVATE_LATE_MS + 1000;
	close_left(f);
	assert_false(is_told(f));
	assert_true(is_open(port));
	ahead_ms = 0;
	/* Of a capture, too, and of what it leaves. */
	refuse(f, ERR_TARGET_REFUSED, "or one open elsewhere");
	close_left(f);
	assert_true(is_told(f));
	assert_true(is_open(port));
}

/* Of a user who has no Node: what is open counts only if it is his. */
static void
what_is_open_is_another_users(void **state)
{
	struct fixture *f = *state;
	struct ws_address address = { "127.0.0.1", f->port };
	char text[64];
	struct err err;

	start_app_at(f, f->port);
	assert_int_equal(kill(f->node.pid, SIGUSR1), 0);
	await_open(f->port);
	(void)snprintf(text, sizeof(text), "listens a process of user %u, and "
	    "podprof is user %u:", (unsigned)geteuid(), STRANGER);
	f->app.pid = "";
	assert_err(activate_check_open(f->dir, &f->app, STRANGER, &address,
	    &err), err, ERR_TARGET_REFUSED, text);
	assert_err(activate_check_open(f->dir, &f->app, STRANGER, &address,
	    &err), err, ERR_TARGET_REFUSED, "take activate away");
	/* Nor is it known whose it is where no socket is to be seen. */
	address.port = free_port();
	assert_err(activate_check_open(f->dir, &f->app, STRANGER, &address,
	    &err), err, ERR_TARGET_REFUSED, "cannot be seen from here");
	/* But that pid may say whose it is. */
	address.port = f->port;
	f->app.pid = f->pid;
	assert_ok(activate_check_open(f->dir, &f->app, STRANGER, &address,
	    &err), err);
}

/* That is not signalled, and the other's inspector is not touched. */
static void
the_port_is_anothers(void **state)
{
	struct fixture *f = *state;
	struct closed_node other;
	char what[8], holder[40];

	(void)snprintf(what, sizeof(what), "%u", (unsigned)f->port);
	closed_node_start(&other, f->program, what, NULL, NULL);
	assert_int_equal(kill(other.pid, SIGUSR1), 0);
	await_open(f->port);
	(void)snprintf(holder, sizeof(holder), "listens process %d,",
	    (int)other.pid);
	/* Whether it would open its own is no matter. */
	start_app(f, "deaf");
	refuse(f, ERR_TARGET_REFUSED, holder);
	closed_node_stop(&f->node);
	start_app(f, "idle");
	refuse(f, ERR_TARGET_REFUSED, holder);
	assert_true(is_open(f->port));
	assert_false(is_told(f));
	assert_int_equal(kill(f->node.pid, SIGUSR1), 0);
	closed_node_hear(&f->node, "signal\n");
	closed_node_stop(&other);
}

/* What was found is gone before it is looked at whose it is: as where another
 * app's is closed in that moment. */
static void
the_port_is_free_again(void **state)
{
	struct fixture *f = *state;
	struct closed_node other;
	struct activation *activation;
	char what[8];

	(void)snprintf(what, sizeof(what), "%u", (unsigned)f->port);
	closed_node_start(&other, f->program, what, NULL, NULL);
	assert_int_equal(kill(other.pid, SIGUSR1), 0);
	await_open(f->port);
	start_app_at(f, f->port);
	found_dying = &other;
	activation = begin(f);
	assert_null(found_dying);
	assert_true(activate_is_ours(activation));
	activate_end(&activation, f->ws);
	assert_false(is_open(f->port));
}

/* Nor is it where that is no inspector at all. */
static void
the_port_is_a_strangers(void **state)
{
	struct fixture *f = *state;
	struct inspector other;

	inspector_start(&other, say_hello);
	(void)snprintf(f->inspector, sizeof(f->inspector), "127.0.0.1:%u",
	    (unsigned)other.port);
	start_app(f, "idle");
	refuse(f, ERR_TARGET_REFUSED, "listens another process");
	assert_false(is_told(f));
	/* Nothing had arrived before this. */
	assert_int_equal(kill(f->node.pid, SIGUSR1), 0);
	closed_node_hear(&f->node, "signal\n");
	inspector_stop(&other);
}

static void
it_opens_elsewhere(void **state)
{
	struct fixture *f = *state;
	const uint16_t port = free_port();
	char text[64];

	start_app_at(f, port);
	(void)snprintf(text, sizeof(text), "opens its inspector at "
	    "127.0.0.1:%u", (unsigned)port);
	refuse(f, ERR_TARGET_REFUSED, text);
	assert_false(is_open(port));
	assert_false(is_told(f));
	closed_node_hear(&f->node, "signal\n");
	closed_node_hear(&f->node, "closed\n");
}

static void
another_app_has_it(void **state)
{
	const struct ws_address elsewhere = { "127.0.0.1", 1 };
	struct fixture *f = *state;
	struct ws_address address = { "127.0.0.1", f->port };
	struct activation *activation;
	struct err err;

	start_app_at(f, f->port);
	activation = begin(f);
	assert_ok(activate_check_other(f->dir, "shop", &address, &err), err);
	assert_ok(activate_check_other(f->dir, "bank", &elsewhere, &err), err);
	assert_err(activate_check_other(f->dir, "bank", &address, &err), err,
	    ERR_TARGET_UNREACHABLE, "for app shop");
	activate_end(&activation, f->ws);
	assert_ok(activate_check_other(f->dir, "bank", &address, &err), err);
}

/* It is waited for some time, and tried again for as long as a test has. */
static struct activation *
begin_in_turn(struct fixture *f)
{
	struct activation *activation;
	struct err err;
	int64_t began_ms;

	for (;;) {
		began_ms = clock_mono_ms();
		if (activate_begin(&f->order, &activation, &err) == 0)
			return activation;
		assert_int_equal(err.code, ERR_TARGET_UNREACHABLE);
		assert_non_null(strstr(err.msg, "for app bank"));
		assert_true(clock_mono_ms() - began_ms >= ACTIVATE_TURN_MS);
	}
}

/* Whose job is over may be known before its inspector is closed. */
static void
one_after_the_other(void **state)
{
	struct fixture *f = *state;
	struct activation *activation;
	struct closed_node bank;
	char what[8], number[16];
	int go[2];
	char byte = 0;
	pid_t pid;

	(void)snprintf(what, sizeof(what), "%u", (unsigned)f->port);
	closed_node_start(&bank, f->program, what, NULL, NULL);
	start_app_at(f, f->port);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		(void)snprintf(number, sizeof(number), "%d", (int)bank.pid);
		f->app.name = "bank";
		f->app.pid = number;
		activation = begin(f);
		if (read(go[0], &byte, 1) != 1)
			_exit(9);
		(void)usleep(100000);
		activate_end(&activation, f->ws);
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	await_open(f->port);
	/* It is used for long. */
	refuse(f, ERR_TARGET_UNREACHABLE, "for app bank");
	assert_int_equal(write(go[1], &byte, 1), 1);
	activation = begin_in_turn(f);
	assert_true(activate_is_ours(activation));
	closed_node_hear(&bank, "signal\n");
	closed_node_hear(&bank, "closed\n");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	closed_node_hear(&f->node, "signal\n");
	activate_end(&activation, f->ws);
	assert_false(is_open(f->port));
	closed_node_stop(&bank);
	(void)close(go[0]);
	(void)close(go[1]);
}

/* Killed while it is open: whoever comes next takes it over, or closes it. */
static void
who_opened_it_is_killed(void **state)
{
	struct fixture *f = *state;
	struct opening_lock *lock = NULL;
	struct activation *activation;
	struct err err;
	int round;
	pid_t pid;

	start_app_at(f, f->port);
	for (round = 0; round < 2; round++) {
		pid = fork();
		if (pid == 0) {
			(void)begin(f);
			for (;;)
				(void)pause();
		}
		assert_true(pid > 0);
		closed_node_hear(&f->node, "signal\n");
		await_open(f->port);
		/* Until it has done all that it has to. */
		assert_ok(opening_lock(f->dir, "shop", 20000, &lock, &err),
		    err);
		opening_unlock(&lock);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(is_open(f->port));
		if (round == 0) {
			activation = begin(f);
			assert_true(activate_is_ours(activation));
			activate_end(&activation, f->ws);
		} else
			assert_ok(activate_close(f->dir, "shop", &err), err);
		closed_node_hear(&f->node, "closed\n");
		assert_false(is_open(f->port));
		assert_false(is_told(f));
	}
}

static void
not_while_somebody_works_there(void **state)
{
	struct fixture *f = *state;
	struct activation *activation;
	struct err err;
	int fd;

	start_app_at(f, f->port);
	activation = begin(f);
	fd = connect_to(f->port);
	activate_end(&activation, f->ws);
	assert_true(is_open(f->port));
	assert_true(is_told(f));
	assert_ok(activate_close(f->dir, "shop", &err), err);
	assert_true(is_open(f->port));
	(void)close(fd);
	assert_ok(activate_close(f->dir, "shop", &err), err);
	assert_false(is_open(f->port));
	assert_false(is_told(f));
}

static void
the_app_is_another_now(void **state)
{
	struct fixture *f = *state;
	struct activation *activation;
	struct closed_node old;

	start_app_at(f, f->port);
	old = f->node;
	activation = begin(f);
	/* While the old one is used, */
	start_app_at(f, f->port);
	refuse(f, ERR_TARGET_UNREACHABLE, "pid is now another");
	assert_true(is_open(f->port));
	/* and with its end. */
	closed_node_stop(&old);
	activate_end(&activation, f->ws);
	activation = begin(f);
	assert_true(activate_is_ours(activation));
	activate_end(&activation, f->ws);
	assert_false(is_open(f->port));
}

static void
an_address_with_a_uuid(void **state)
{
	struct fixture *f = *state;
	char inspector[128];

	start_app(f, "idle");
	(void)snprintf(inspector, sizeof(inspector), "ws://%s/0198c0de-7b1e-"
	    "4c3a-9f00-5d2e6a1b4c77", f->inspector);
	f->app.inspector = inspector;
	refuse(f, ERR_TARGET_REFUSED, "needs inspector = HOST:PORT");
	assert_false(is_told(f));
}

static int
give_up(void *ctx, struct err *err)
{
	int *calls = ctx;

	(*calls)++;
	return err_set(err, ERR_CONFLICT, "canceled");
}

static void
the_wait_can_be_ended(void **state)
{
	struct fixture *f = *state;
	int calls = 0;

	start_app(f, "spin");
	f->order.tick = give_up;
	f->order.ctx = &calls;
	refuse(f, ERR_CONFLICT, "canceled");
	assert_int_equal(calls, 1);
	/* A busy one is waited for until the deadline. */
	f->order.tick = NULL;
	f->order.deadline_ms = clock_mono_ms() + ACTIVATE_OPEN_MS + 300;
	refuse(f, ERR_TARGET_TIMEOUT, "it is busy");
	assert_true(clock_mono_ms() >= f->order.deadline_ms);
}

static void
nothing_is_left_to_close(void **state)
{
	struct fixture *f = *state;
	struct activation *activation;
	struct err err;

	assert_ok(activate_close(f->dir, "shop", &err), err);
	/* The app has ended by itself. */
	start_app_at(f, f->port);
	activation = begin(f);
	closed_node_stop(&f->node);
	f->node.pid = 0;
	activate_end(&activation, f->ws);
	assert_false(is_told(f));
}

#define WITH_APP(test)                                                         \
	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		WITH_APP(never_is_nothing),
		WITH_APP(the_last_closes),
		WITH_APP(what_was_open_stays_open),
		WITH_APP(a_node_by_another_name),
		WITH_APP(whose_is_open),
		WITH_APP(what_is_open_is_another_users),
		WITH_APP(a_handler_of_its_own),
		WITH_APP(what_opens_late_is_closed),
		WITH_APP(what_opens_late_elsewhere_is_closed),
		WITH_APP(what_is_found_elsewhere_is_kept_in_mind),
		WITH_APP(the_next_finds_it_elsewhere),
		WITH_APP(what_is_new_may_be_no_inspector),
		WITH_APP(what_was_open_elsewhere_stays_open),
		WITH_APP(the_port_is_anothers),
		WITH_APP(the_port_is_free_again),
		WITH_APP(the_port_is_a_strangers),
		WITH_APP(it_opens_elsewhere),
		WITH_APP(another_app_has_it),
		WITH_APP(one_after_the_other),
		WITH_APP(who_opened_it_is_killed),
		WITH_APP(not_while_somebody_works_there),
		WITH_APP(the_app_is_another_now),
		WITH_APP(an_address_with_a_uuid),
		WITH_APP(the_wait_can_be_ended),
		WITH_APP(nothing_is_left_to_close),
	};

	(void)argc;
	closed_node_main(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
