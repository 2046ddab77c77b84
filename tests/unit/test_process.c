#include <dirent.h>
#include <sys/pidfd.h>

#include "test.h"

#include "closed_node.h"
#include "process.h"

#define CROWD_MAX 10

struct fixture {
	char dir[256];
	char node[400];		/* the program */
};

/* Those of /proc that a look sees; 0 after the last. */
static pid_t crowd[CROWD_MAX + 1];
static bool has_no_pidfd;

struct dirent *__wrap_readdir(DIR *dir);
struct dirent *__real_readdir(DIR *dir);
int __wrap_pidfd_open(pid_t pid, unsigned flags);
int __real_pidfd_open(pid_t pid, unsigned flags);

static bool
is_in_crowd(const char *name)
{
	const pid_t pid = (pid_t)strtol(name, NULL, 10);
	size_t i;

	for (i = 0; crowd[i] != 0; i++)
		if (crowd[i] == pid)
			return true;
	return false;
}

struct dirent *
__wrap_readdir(DIR *dir)
{
	struct dirent *entry;

	do
		entry = __real_readdir(dir);
	while (entry != NULL && crowd[0] != 0 && !is_in_crowd(entry->d_name));
	return entry;
}

int
__wrap_pidfd_open(pid_t pid, unsigned flags)
{
	if (!has_no_pidfd)
		return __real_pidfd_open(pid, flags);
	errno = EPERM;
	return -1;
}

static int
set_up(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	test_make_dir(f->dir);
	closed_node_install(f->dir, "node", f->node);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	memset(crowd, 0, sizeof(crowd));
	has_no_pidfd = false;
	test_remove_dir(f->dir);
	test_free(f);
	return 0;
}

static int
find_number(pid_t pid, struct process *ret_process, struct err *err)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", (int)pid);
	return process_find(number, geteuid(), ret_process, err);
}

static void
by_its_number(void **state)
{
	static const char *const args[] = { "--title", "x",
		"/srv/app/server.js", "--secret", NULL };
	struct fixture *f = *state;
	struct closed_node node;
	struct process process;
	struct err err;

	closed_node_start(&node, f->node, "idle", args, NULL);
	assert_ok(find_number(node.pid, &process, &err), err);
	assert_int_equal(process.proc.pid, node.pid);
	assert_int_equal(proc_life(&process.proc), PROC_ALIVE);
	assert_string_equal(process.name, "node server.js");
	closed_node_stop(&node);
	assert_err(find_number(node.pid, &process, &err), err,
	    ERR_TARGET_UNREACHABLE, "there is no process");
}

static void
by_a_file(void **state)
{
	static const char *const lines[] = { "%d", "%d\n", "%d \nmore\n",
		"%d\r\n" };
	static const char *const bad[] = { "", "\n%d", "x%d", "-%d", "%dx",
		"99999999999" };
	struct fixture *f = *state;
	char path[300], text[64];
	struct closed_node node;
	struct process process;
	struct err err;
	FILE *file;
	size_t i;

	closed_node_start(&node, f->node, "idle", NULL, NULL);
	(void)snprintf(path, sizeof(path), "%s/app.pid", f->dir);
	assert_err(process_find(path, geteuid(), &process, &err), err,
	    ERR_TARGET_UNREACHABLE, "app.pid: no such file");
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]) +
	    sizeof(bad) / sizeof(bad[0]); i++) {
		const bool is_good = i < sizeof(lines) / sizeof(lines[0]);
		const char *form = is_good ? lines[i] :
		    bad[i - sizeof(lines) / sizeof(lines[0])];
		const char *at = strstr(form, "%d");

		(void)snprintf(text, sizeof(text), "%.*s", at != NULL ?
		    (int)(at - form) : (int)strlen(form), form);
		if (at != NULL)
			(void)snprintf(text + strlen(text), 32, "%d%s",
			    (int)node.pid, at + 2);
		file = fopen(path, "w");
		assert_non_null(file);
		assert_true(fputs(text, file) >= 0);
		assert_int_equal(fclose(file), 0);
		if (is_good)
			assert_ok(process_find(path, geteuid(), &process,
			    &err), err);
		else
			assert_err(process_find(path, geteuid(), &process,
			    &err), err, ERR_TARGET_REFUSED,
			    "is not a process id");
	}
	/* It could be a link to anything: of that nothing is told. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/proc/sys/kernel/ostype", path), 0);
	assert_err(process_find(path, geteuid(), &process, &err), err,
	    ERR_TARGET_REFUSED, "is not a process id");
	assert_null(strstr(err.msg, "Linux"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_err(process_find(path, geteuid(), &process, &err), err,
	    ERR_TARGET_UNREACHABLE, "not a regular file");
	closed_node_stop(&node);
}

static void
names_of_the_program(void **state)
{
	static const struct {
		const char *name;
		bool is_node;
	} cases[] = {
		{ "nodejs", true }, { "node20", true },
		{ "node-v22.1.0", true }, { "nodejs18", true }, { "node_exporter", false },
		{ "nodes", false }, { "nginx", false }, { "nod", false },
	};
	struct fixture *f = *state;
	struct closed_node node;
	struct process process;
	char program[400];
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		closed_node_install(f->dir, cases[i].name, program);
		closed_node_start(&node, program, "idle", NULL, NULL);
		if (cases[i].is_node)
			assert_ok(find_number(node.pid, &process, &err), err);
		else
			assert_err(find_number(node.pid, &process, &err), err,
			    ERR_TARGET_REFUSED, "not Node");
		/* It was replaced by a newer one. */
		assert_int_equal(unlink(program), 0);
		if (cases[i].is_node)
			assert_ok(find_number(node.pid, &process, &err), err);
		closed_node_stop(&node);
	}
}

static void
what_is_not_signalled(void **state)
{
	static const struct {
		const char *what;
		const char *args[CLOSED_NODE_ARGS];
		const char *options;
		const char *reason;	/* NULL: it is */
	} cases[] = {
		{ "deaf", { NULL }, NULL, "does not catch SIGUSR1" },
		{ "deaf", { "--disable-sigusr1" }, NULL,
		    "started with --disable-sigusr1" },
		{ "deaf", { NULL }, "--max-old-space-size=9 --disable_sigusr1",
		    "started with --disable-sigusr1" },
		{ "idle", { "--permission" }, NULL, "--permission" },
		{ "idle", { "-r", "a.js", "--experimental-permission" }, NULL,
		    "--permission" },
		{ "idle", { NULL }, "--experimental_permission",
		    "--permission" },
		{ "idle", { "--no-permission" }, "--permission", NULL },
		{ "idle", { "--permission", "--allow-inspector" }, NULL, NULL },
		/* The script's own. */
		{ "idle", { "app.js", "--permission" }, NULL, NULL },
		{ "idle", { "--", "--permission" }, NULL, NULL },
		{ "idle", { "--inspect-publish-uid=stderr" }, NULL,
		    "--inspect-publish-uid" },
		{ "idle", { "--inspect-publish-uid=stderr,http" }, NULL, NULL },
		{ "idle", { NULL }, "   ", NULL },
		/* Reached from elsewhere. */
		{ "idle", { "--inspect-port=0.0.0.0:9229" }, NULL,
		    "not of loopback" },
		{ "idle", { "--inspect_port", "10.1.2.3", "app.js" }, NULL,
		    "not of loopback" },
		{ "idle", { "--debug-port=[::]:0" }, NULL, "not of loopback" },
		{ "idle", { "--inspect-port=9230" },
		    "--debug-port 0.0.0.0:9229", "not of loopback" },
		{ "idle", { "--inspect-port=127.0.0.1:9230" },
		    "--inspect-port=0.0.0.0", NULL },
		{ "idle", { "--inspect-port=127.0.0.2" }, NULL, NULL },
		{ "idle", { "--inspect-port", "9230" }, NULL, NULL },
		{ "idle", { "--inspect-port", "9230", "app.js",
		    "--inspect-port=0.0.0.0" }, NULL, NULL },
		{ "idle", { "--inspect-port=[::1]:9230" }, NULL, NULL },
		{ "idle", { "--inspect-port=::1" }, NULL, NULL },
		{ "idle", { "--inspect-port=localhost" }, NULL, NULL },
		{ "idle", { "--inspect-port=localhost:9230" }, NULL, NULL },
		{ "idle", { "--inspect-port=localhost.example.com:9230" },
		    NULL, "not of loopback" },
		{ "idle", { "--inspect-port" }, NULL, NULL },
	};
	struct fixture *f = *state;
	struct closed_node node;
	struct process process;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		closed_node_start(&node, f->node, cases[i].what, cases[i].args,
		    cases[i].options);
		if (cases[i].reason == NULL)
			assert_ok(find_number(node.pid, &process, &err), err);
		else
			assert_err(find_number(node.pid, &process, &err), err,
			    ERR_TARGET_REFUSED, cases[i].reason);
		closed_node_stop(&node);
	}
}

static void
of_another_user(void **state)
{
	struct fixture *f = *state;
	struct closed_node node;
	struct process process;
	char number[16];
	struct err err;

	closed_node_start(&node, f->node, "idle", NULL, NULL);
	(void)snprintf(number, sizeof(number), "%d", (int)node.pid);
	assert_err(process_find(number, geteuid() + 1, &process, &err), err,
	    ERR_TARGET_REFUSED, "belongs to user");
	closed_node_stop(&node);
}

static void
by_looking(void **state)
{
	static const char *const args[] = { "--token=geheim", "web.js", NULL };
	struct fixture *f = *state;
	struct closed_node nodes[CROWD_MAX];
	struct process process;
	char other[400];
	struct err err;
	size_t i;

	/* Nobody but who is not Node. */
	closed_node_install(f->dir, "python", other);
	closed_node_start(&nodes[0], other, "idle", NULL, NULL);
	crowd[0] = nodes[0].pid;
	assert_err(process_find("", geteuid(), &process, &err), err,
	    ERR_TARGET_UNREACHABLE, "has no Node.js process");
	/* One that does not catch the signal is told of, */
	closed_node_start(&nodes[1], f->node, "deaf", NULL, NULL);
	crowd[1] = nodes[1].pid;
	assert_err(process_find("", geteuid(), &process, &err), err,
	    ERR_TARGET_REFUSED, "does not catch SIGUSR1");
	/* unless there is one that does. */
	closed_node_start(&nodes[2], f->node, "idle", args, NULL);
	crowd[2] = nodes[2].pid;
	assert_ok(process_find("", geteuid(), &process, &err), err);
	assert_int_equal(process.proc.pid, nodes[2].pid);
	assert_err(process_find("", geteuid() + 1, &process, &err), err,
	    ERR_TARGET_UNREACHABLE, "has no Node.js process");
	for (i = 3; i < CROWD_MAX; i++) {
		closed_node_start(&nodes[i], f->node, "idle", args, NULL);
		crowd[i] = nodes[i].pid;
	}
	assert_err(process_find("", geteuid(), &process, &err), err,
	    ERR_TARGET_REFUSED, "8 Node.js processes: ");
	assert_non_null(strstr(err.msg, "(node web.js)"));
	assert_non_null(strstr(err.msg, "Set pid"));
	assert_null(strstr(err.msg, "geheim"));
	for (i = 0; i < CROWD_MAX; i++)
		closed_node_stop(&nodes[i]);
}

/* Also one that podprof may not signal, or look into. */
static void
whatever_it_is(void **state)
{
	struct fixture *f = *state;
	char number[16], path[300];
	int64_t pid = 0;
	uid_t user = 77;
	FILE *file;

	(void)snprintf(number, sizeof(number), "%d", (int)getpid());
	assert_true(process_number(number, &pid, &user));
	assert_int_equal(pid, getpid());
	assert_int_equal(user, geteuid());
	assert_true(process_number("1", &pid, &user));
	assert_int_equal(pid, 1);
	assert_false(process_number("2147483647", &pid, &user));
	assert_int_equal(pid, 1);
	(void)snprintf(path, sizeof(path), "%s/pid", f->dir);
	assert_false(process_number(path, &pid, &user));
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("garbage\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_false(process_number(path, &pid, &user));
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fprintf(file, "%s\n", number) > 0);
	assert_int_equal(fclose(file), 0);
	assert_true(process_number(path, &pid, &user));
	assert_int_equal(pid, getpid());
}

static void
the_signal_arrives(void **state)
{
	struct fixture *f = *state;
	struct closed_node node;
	struct process process;
	struct err err;
	int round;

	closed_node_start(&node, f->node, "idle", NULL, NULL);
	assert_ok(find_number(node.pid, &process, &err), err);
	for (round = 0; round < 2; round++) {
		has_no_pidfd = round == 1;
		assert_ok(process_signal(&process, &err), err);
		closed_node_hear(&node, "signal\n");
	}
	closed_node_stop(&node);
	assert_err(process_signal(&process, &err), err, ERR_TARGET_EXITED,
	    "has ended");
}

/* Another has its pid: that one is left alone.  So is one that became another
 * program, and one that could not answer. */
static void
who_gets_no_signal(void **state)
{
	struct fixture *f = *state;
	struct closed_node node, deaf;
	struct process process, other;
	struct err err;
	int status;

	closed_node_start(&node, f->node, "idle", NULL, NULL);
	assert_ok(find_number(node.pid, &process, &err), err);
	other = process;
	other.proc.start_ticks--;
	assert_err(process_signal(&other, &err), err, ERR_TARGET_EXITED,
	    "has ended");
	assert_int_equal(kill(node.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(node.pid, &status, WUNTRACED), node.pid);
	assert_err(process_signal(&process, &err), err, ERR_TARGET_UNREACHABLE,
	    "is stopped");
	assert_int_equal(kill(node.pid, SIGCONT), 0);
	closed_node_start(&deaf, f->node, "deaf", NULL, NULL);
	other = process;
	assert_ok(proc_of(deaf.pid, &other.proc, &err), err);
	assert_err(process_signal(&other, &err), err, ERR_TARGET_REFUSED,
	    "does not catch");
	/* Nothing had arrived before this. */
	assert_ok(process_signal(&process, &err), err);
	closed_node_hear(&node, "signal\n");
	closed_node_stop(&node);
	closed_node_stop(&deaf);
}

static void
who_is_busy(void **state)
{
	struct fixture *f = *state;
	struct closed_node idle, spin;
	struct process process;
	struct err err;

	closed_node_start(&idle, f->node, "idle", NULL, NULL);
	closed_node_start(&spin, f->node, "spin", NULL, NULL);
	assert_ok(find_number(spin.pid, &process, &err), err);
	assert_int_equal(process_look(&process), PROCESS_BUSY);
	assert_ok(find_number(idle.pid, &process, &err), err);
	/* Once it has come to rest. */
	while (process_look(&process) != PROCESS_QUIET)
		continue;
	closed_node_stop(&spin);
	closed_node_stop(&idle);
	assert_int_equal(process_look(&process), PROCESS_QUIET);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(by_its_number, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(by_a_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_of_the_program, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_signalled, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(of_another_user, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(by_looking, set_up, tear_down),
		cmocka_unit_test_setup_teardown(whatever_it_is, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(the_signal_arrives, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(who_gets_no_signal, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(who_is_busy, set_up,
		    tear_down),
	};

	(void)argc;
	closed_node_main(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
