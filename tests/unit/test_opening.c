#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#include "opening.h"

struct fixture {
	char dir[256];
};

static int
set_up(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	test_make_dir(f->dir);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	test_remove_dir(f->dir);
	test_free(f);
	return 0;
}

static struct opening
opening_at(uint16_t number)
{
	struct opening opening = { .signaled_ms = 1234567890123 };
	struct err err;

	assert_ok(proc_self(&opening.proc, &err), err);
	assert_true(port_parse("127.0.0.1", number, &opening.port));
	return opening;
}

/* Both locks. */
static struct opening_lock *
begin(const struct fixture *f, const char *app)
{
	struct opening_lock *lock = NULL;
	struct err err;

	assert_ok(opening_lock(f->dir, app, 0, &lock, &err), err);
	assert_ok(opening_use(lock, &err), err);
	return lock;
}

static void
put_text(const struct fixture *f, const char *app, const char *text)
{
	char path[400];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/inspectors/%s.opened", f->dir,
	    app);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* What a process leaves that is killed after it has opened one. */
static void
leave(const struct fixture *f, const char *app, uint16_t number)
{
	const struct opening opening = opening_at(number);
	struct opening_lock *lock = begin(f, app);
	struct err err;

	assert_ok(opening_write(lock, &opening, &err), err);
	opening_unlock(&lock);
	assert_null(lock);
}

static void
what_is_written_is_read(void **state)
{
	static const char *const ips[] = { "127.0.0.1", "::1", "::",
		"0.0.0.0", "fe80::1234:5678:9abc:def0" };
	struct fixture *f = *state;
	struct opening opening = opening_at(9229), read;
	struct opening_lock *lock = begin(f, "shop");
	struct err err;
	size_t i;

	assert_int_equal(opening_read(lock, &read, &err), 0);
	for (i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		assert_true(port_parse(ips[i], 9229, &opening.port));
		assert_ok(opening_write(lock, &opening, &err), err);
		memset(&read, 0xee, sizeof(read));
		assert_int_equal(opening_read(lock, &read, &err), 1);
		assert_int_equal(read.proc.pid, opening.proc.pid);
		assert_int_equal(read.proc.start_ticks,
		    opening.proc.start_ticks);
		assert_string_equal(read.proc.host, opening.proc.host);
		assert_int_equal(read.signaled_ms, opening.signaled_ms);
		assert_memory_equal(&read.port.ip, &opening.port.ip,
		    sizeof(read.port.ip));
		assert_int_equal(read.port.number, 9229);
		assert_int_equal(read.before_len, 0);
	}
	/* A longer one before leaves nothing behind. */
	assert_ok(opening_write(lock, NULL, &err), err);
	assert_int_equal(opening_read(lock, &read, &err), 0);
	opening_unlock(&lock);
}

/* Where the process listened before, up to the longest text there can be. */
static void
the_ports_before(void **state)
{
	static const size_t lens[] = { 1, PORT_LIST_MAX, 2, 0 };
	struct fixture *f = *state;
	struct opening opening = { .signaled_ms = INT64_MAX }, read;
	struct opening_lock *lock = begin(f, "shop");
	struct err err;
	size_t i;

	opening.proc.pid = opening.proc.start_ticks = INT64_MAX;
	memset(opening.proc.host, 'h', sizeof(opening.proc.host) - 1);
	assert_true(port_parse("2001:db8:1111:2222:3333:4444:5555:6666", 65535,
	    &opening.port));
	for (i = 0; i < PORT_LIST_MAX; i++)
		opening.before[i] = (uint16_t)(UINT16_MAX - i);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		opening.before_len = lens[i];
		assert_ok(opening_write(lock, &opening, &err), err);
		memset(&read, 0xee, sizeof(read));
		assert_int_equal(opening_read(lock, &read, &err), 1);
		assert_int_equal(read.port.number, 65535);
		assert_int_equal(read.before_len, lens[i]);
		assert_memory_equal(read.before, opening.before,
		    lens[i] * sizeof(read.before[0]));
	}
	opening_unlock(&lock);
}

static void
only_its_owner_sees_it(void **state)
{
	struct fixture *f = *state;
	char path[400];
	struct stat st;

	leave(f, "shop", 9229);
	(void)snprintf(path, sizeof(path), "%s/inspectors", f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	(void)snprintf(path, sizeof(path), "%s/inspectors/shop.opened",
	    f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
what_makes_no_sense_is_nothing(void **state)
{
	static const char *const texts[] = { "\n", "garbage", "1 2 3 4 5 6",
		"1 2 host", "-", "1 2 host 3 127.0.0.1", "x y z",
		"1 2 host 3 nowhere 9229 0\n",
		"1 2 host 3 127.0.0.1 65536 0\n",
		/* The ports before: missing, */
		"1 2 host 3 127.0.0.1 9229\n",
		"1 2 host 3 127.0.0.1 9229\n0\n",
		"1 2 host 3 127.0.0.1 9229 1\n",
		"1 2 host 3 127.0.0.1 9229 2 80\n443\n",
		/* cut off, */
		"1 2 host 3 127.0.0.1 9229 0",
		"1 2 host 3 127.0.0.1 9229 2 80 44",
		/* too many, */
		"1 2 host 3 127.0.0.1 9229 0 80\n",
		"1 2 host 3 127.0.0.1 9229 1 80 443\n",
		"1 2 host 3 127.0.0.1 9229 9223372036854775807 80\n",
		"1 2 host 3 127.0.0.1 9229 99999999999999999999 80\n",
		/* and none. */
		"1 2 host 3 127.0.0.1 9229 none\n",
		"1 2 host 3 127.0.0.1 9229 -1\n",
		"1 2 host 3 127.0.0.1 9229 1 http\n",
		"1 2 host 3 127.0.0.1 9229 1 80,\n",
		"1 2 host 3 127.0.0.1 9229 1 -80\n",
		"1 2 host 3 127.0.0.1 9229 1 65536\n" };
	struct fixture *f = *state;
	char app[STR_NAME_MAX + 1], text[2000];
	struct opening_lock *lock;
	struct opening opening;
	struct port port;
	struct err err;
	size_t i, at;

	leave(f, "shop", 9229);
	assert_true(port_parse("127.0.0.1", 9229, &port));
	for (i = 0; i <= sizeof(texts) / sizeof(texts[0]); i++) {
		memset(text, '7', sizeof(text));
		text[sizeof(text) - 1] = '\0';
		put_text(f, "shop",
		    i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : text);
		lock = begin(f, "shop");
		assert_int_equal(opening_read(lock, &opening, &err), 0);
		opening_unlock(&lock);
		at = 0;
		assert_int_equal(opening_left(f->dir, &at, app, &err), 0);
		assert_false(opening_find(f->dir, &port, app, &opening));
	}
}

/* As many ports before as are said, each of them the same. */
static int
read_ports(const struct fixture *f, size_t count, size_t said)
{
	char text[2000];
	struct opening opening;
	struct opening_lock *lock;
	struct err err;
	size_t i, len;
	int rc;

	len = (size_t)snprintf(text, sizeof(text),
	    "1 2 host 3 127.0.0.1 9229 %zu", said);
	for (i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " 80");
	(void)snprintf(text + len, sizeof(text) - len, "\nrubbish\n");
	lock = begin(f, "shop");
	put_text(f, "shop", text);
	rc = opening_read(lock, &opening, &err);
	opening_unlock(&lock);
	return rc;
}

static void
so_many_ports(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_ports(f, 0, 0), 1);
	assert_int_equal(read_ports(f, PORT_LIST_MAX, PORT_LIST_MAX), 1);
	assert_int_equal(read_ports(f, PORT_LIST_MAX - 1, PORT_LIST_MAX), 0);
	assert_int_equal(read_ports(f, PORT_LIST_MAX, PORT_LIST_MAX - 1), 0);
	assert_int_equal(
	    read_ports(f, PORT_LIST_MAX + 1, PORT_LIST_MAX + 1), 0);
}

static void
one_opens_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct opening_lock *lock = begin(f, "shop"), *second = NULL;
	struct err err;

	assert_err(opening_lock(f->dir, "shop", 30, &second, &err), err,
	    ERR_TARGET_TIMEOUT, "try again");
	assert_null(second);
	/* Another app is no matter. */
	second = begin(f, "bank");
	opening_unlock(&second);
	opening_share(lock);
	second = begin(f, "shop");
	assert_err(opening_relock(lock, 0, &err), err, ERR_TARGET_TIMEOUT,
	    "still");
	opening_unlock(&second);
	assert_ok(opening_relock(lock, 0, &err), err);
	opening_unlock(&lock);
	opening_unlock(&lock);
}

static void
the_last_one_knows(void **state)
{
	struct fixture *f = *state;
	struct opening_lock *first = begin(f, "shop"), *second;
	struct err err;

	opening_share(first);
	second = begin(f, "shop");
	opening_share(second);
	assert_ok(opening_relock(first, 0, &err), err);
	assert_false(opening_is_last(first));
	opening_unlock(&first);
	assert_ok(opening_relock(second, 0, &err), err);
	assert_true(opening_is_last(second));
	/* And can use it again. */
	opening_leave(second);
	assert_ok(opening_use(second, &err), err);
	opening_unlock(&second);
}

/* A process that uses what was opened, or is about to close it, until it is
 * killed. */
static pid_t
start_user(const struct fixture *f, bool keeps_lock)
{
	struct opening_lock *lock;
	int pipes[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		lock = begin(f, "shop");
		if (!keeps_lock)
			opening_share(lock);
		if (write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &c, 1), 1);
	(void)close(pipes[0]);
	return pid;
}

static void
what_is_left_is_found(void **state)
{
	struct fixture *f = *state;
	char app[STR_NAME_MAX + 1] = "";
	struct err err;
	size_t at = 0;
	int round;
	pid_t pid;

	/* There is not even a directory. */
	assert_int_equal(opening_left(f->dir, &at, app, &err), 0);
	leave(f, "shop", 9229);
	for (round = 0; round < 2; round++) {
		pid = start_user(f, round == 1);
		at = 0;
		assert_int_equal(opening_left(f->dir, &at, app, &err), 0);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		at = 0;
		assert_int_equal(opening_left(f->dir, &at, app, &err), 1);
		assert_string_equal(app, "shop");
		assert_int_equal(opening_left(f->dir, &at, app, &err), 0);
	}
}

/* Names that files have meanings for. */
static void
every_app_that_is_left(void **state)
{
	static const char *const apps[] = { ".", "..", "a.lock", "a",
		"a.opened",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz_123456789"
		"a" };
	const size_t len = sizeof(apps) / sizeof(apps[0]);
	struct fixture *f = *state;
	char app[STR_NAME_MAX + 1], path[400];
	bool seen[6] = { false };
	struct err err;
	size_t at = 0, found = 0, i;

	for (i = 0; i < len; i++)
		leave(f, apps[i], 9229);
	/* What is not ours. */
	(void)snprintf(path, sizeof(path), "%s/inspectors/b c.opened", f->dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	(void)snprintf(path, sizeof(path), "%s/inspectors/link.opened", f->dir);
	assert_int_equal(symlink("a.opened", path), 0);
	while (opening_left(f->dir, &at, app, &err) == 1) {
		for (i = 0; i < len && strcmp(app, apps[i]) != 0; i++)
			continue;
		assert_true(i < len);
		assert_false(seen[i]);
		seen[i] = true;
		found++;
	}
	assert_int_equal(found, len);
}

static void
an_address_is_found(void **state)
{
	struct fixture *f = *state;
	char app[STR_NAME_MAX + 1] = "none";
	struct opening_lock *lock;
	struct opening opening = opening_at(9230), found;
	struct port port;
	struct err err;

	assert_true(port_parse("127.0.0.1", 9230, &port));
	assert_false(opening_find(f->dir, &port, app, &found));
	leave(f, "bank", 9229);
	leave(f, "shop", 9230);
	assert_true(opening_find(f->dir, &port, app, &found));
	assert_string_equal(app, "shop");
	assert_int_equal(found.proc.pid, getpid());
	/* Before it is open only the number is known. */
	lock = begin(f, "shop");
	opening.port.ip = in6addr_any;
	assert_ok(opening_write(lock, &opening, &err), err);
	assert_true(opening_find(f->dir, &port, app, &found));
	/* It will be one of loopback: an address elsewhere is another's. */
	assert_true(port_parse("192.0.2.1", 9230, &port));
	assert_false(opening_find(f->dir, &port, app, &found));
	assert_true(port_parse("2001:db8::1", 9230, &port));
	assert_false(opening_find(f->dir, &port, app, &found));
	assert_true(port_parse("::1", 9230, &port));
	assert_true(opening_find(f->dir, &port, app, &found));
	assert_true(port_parse("0.0.0.0", 9230, &port));
	assert_true(opening_find(f->dir, &port, app, &found));
	assert_true(port_parse("127.0.0.1", 9230, &port));
	/* With its process it is gone. */
	opening.proc.start_ticks++;
	assert_ok(opening_write(lock, &opening, &err), err);
	(void)snprintf(app, sizeof(app), "none");
	assert_false(opening_find(f->dir, &port, app, &found));
	assert_string_equal(app, "none");
	opening_unlock(&lock);
}

static bool
may_be_new(const struct opening *opening, const char *ip, uint16_t number)
{
	struct port port;

	assert_true(port_parse(ip, number, &port));
	return opening_may_be_new(opening, &port);
}

/* What opened at another port than it should. */
static void
where_it_was_not_before(void **state)
{
	struct opening opening = opening_at(9229);
	size_t i;

	(void)state;
	opening.before[0] = 80;
	opening.before[1] = 443;
	opening.before_len = 2;
	assert_true(opening_is_known(&opening));
	assert_false(may_be_new(&opening, "127.0.0.1", 9230));
	opening.port.ip = in6addr_any;
	assert_false(opening_is_known(&opening));
	assert_true(may_be_new(&opening, "127.0.0.1", 9230));
	assert_true(may_be_new(&opening, "127.1.2.3", 9230));
	assert_true(may_be_new(&opening, "0.0.0.0", 9230));
	assert_true(may_be_new(&opening, "::1", 9230));
	assert_true(may_be_new(&opening, "::", 9230));
	assert_false(may_be_new(&opening, "192.0.2.1", 9230));
	assert_false(may_be_new(&opening, "2001:db8::1", 9230));
	/* Whatever the address was. */
	assert_false(may_be_new(&opening, "127.0.0.1", 80));
	assert_false(may_be_new(&opening, "::1", 443));
	/* It may have been one that is not told. */
	for (i = 0; i < PORT_LIST_MAX; i++)
		opening.before[i] = 80;
	opening.before_len = PORT_LIST_MAX - 1;
	assert_true(may_be_new(&opening, "127.0.0.1", 9230));
	opening.before_len = PORT_LIST_MAX;
	assert_false(may_be_new(&opening, "127.0.0.1", 9230));
}

static void
a_state_that_cannot_be_used(void **state)
{
	struct fixture *f = *state;
	char path[300], app[STR_NAME_MAX + 1];
	struct opening_lock *lock = NULL;
	struct err err;
	size_t at = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/inspectors", f->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_err(opening_lock(f->dir, "shop", 0, &lock, &err), err,
	    ERR_STORE, "inspectors");
	assert_null(lock);
	assert_err(opening_left(f->dir, &at, app, &err), err, ERR_STORE,
	    "inspectors");
	(void)snprintf(path, sizeof(path), "%s/missing", f->dir);
	assert_err(opening_lock(path, "shop", 0, &lock, &err), err, ERR_STORE,
	    "missing");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_written_is_read,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_ports_before, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(only_its_owner_sees_it, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(what_makes_no_sense_is_nothing,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_ports, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(one_opens_at_a_time, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(the_last_one_knows, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(what_is_left_is_found, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(every_app_that_is_left, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(an_address_is_found, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(where_it_was_not_before,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_state_that_cannot_be_used,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
