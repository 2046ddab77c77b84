/*
 * A stand-in for Node whose inspector is closed: the test program itself,
 * copied to a file "node" (or another name) and started there.  CLOSED_NODE in
 * its environment says what it is like:
 *
 *	deaf	it does not catch SIGUSR1
 *	idle	it does, and says "signal"
 *	spin	the same, and it never rests
 *	PORT	it opens an inspector there then, which says "closed" once it is
 *		told to close
 *
 * main() of the test program begins with closed_node_main().
 */
#ifndef PODPROF_TEST_CLOSED_NODE_H
#define PODPROF_TEST_CLOSED_NODE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "inspector.h"

#define CLOSED_NODE_ARGS 8

static const char *closed_node_program;

/* One that runs. */
struct closed_node {
	pid_t pid;
	int said_fd;		/* what it says */
};

static inline void
closed_node_on_signal(int signo)
{
	(void)signo;
	if (write(1, "signal\n", 7) != 7)
		_exit(1);
}

/* A session: of its commands only the one to close is understood. */
static inline bool
closed_node_converse(struct inspector *in, int fd)
{
	char message[4096];

	inspector_upgrade(in, fd);
	while (inspector_hear(fd, message, sizeof(message)) >= 0)
		if (strstr(message, "close()") != NULL)
			return true;
	return false;
}

/* Until it is told to close. */
static inline void
closed_node_open(uint16_t port)
{
	struct inspector in = { .port = port };
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int on = 1;
	char list[256];
	bool is_over = false;
	int fd;

	in.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(in.listener, SOL_SOCKET, SO_REUSEADDR, &on,
	    sizeof(on));
	if (bind(in.listener, (struct sockaddr *)&address,
	    sizeof(address)) != 0 || listen(in.listener, 8) != 0)
		_exit(3);
	(void)snprintf(list, sizeof(list), "[{\"type\":\"node\","
	    "\"webSocketDebuggerUrl\":\"ws://127.0.0.1:%u/1\"}]",
	    (unsigned)port);
	while (!is_over) {
		fd = accept(in.listener, NULL, NULL);
		if (fd < 0)
			continue;
		inspector_read_head(&in, fd);
		if (strncmp(in.request, "GET /json", 9) == 0)
			inspector_answer(fd, 200, list);
		else
			is_over = closed_node_converse(&in, fd);
		if (is_over)
			(void)close(in.listener);
		(void)close(fd);
	}
	if (write(1, "closed\n", 7) != 7)
		_exit(1);
}

static inline void
closed_node_run(const char *what)
{
	struct sigaction action = { .sa_handler = closed_node_on_signal };
	const long port = strtol(what, NULL, 10);
	const bool is_spinning = strcmp(what, "spin") == 0;
	sigset_t none, one;

	if (strcmp(what, "deaf") != 0)
		(void)sigaction(SIGUSR1, &action, NULL);
	(void)sigemptyset(&none);
	(void)sigemptyset(&one);
	(void)sigaddset(&one, SIGUSR1);
	/* So that none comes between two waits. */
	(void)sigprocmask(SIG_SETMASK, is_spinning ? &none : &one, NULL);
	if (write(1, "ready\n", 6) != 6)
		_exit(1);
	while (is_spinning)
		continue;
	for (;;)
		if (sigsuspend(&none) < 0 && port > 0)
			closed_node_open((uint16_t)port);
}

/* argv of main(). */
static inline void
closed_node_main(char *argv[])
{
	const char *what = getenv("CLOSED_NODE");

	closed_node_program = argv[0];
	if (what != NULL)
		closed_node_run(what);
}

/* Copy the program to that name in dir. */
static inline void
closed_node_install(const char *dir, const char *name, char out[400])
{
	char command[1200];

	(void)snprintf(out, 400, "%s/%s", dir, name);
	(void)snprintf(command, sizeof(command), "cp '%s' '%s'",
	    closed_node_program, out);
	assert_int_equal(system(command), 0);
}

static inline void
closed_node_hear(const struct closed_node *node, const char *word)
{
	char said[32] = "";
	const size_t len = strlen(word);

	assert_true(len < sizeof(said));
	assert_int_equal(read(node->said_fd, said, len), (ssize_t)len);
	assert_string_equal(said, word);
}

/*
 * Start it, as what; args are further arguments, NULL after the last, and
 * options is NODE_OPTIONS, or NULL.
 */
static inline void
closed_node_start(struct closed_node *node, const char *program,
    const char *what, const char *const args[], const char *options)
{
	char *argv[CLOSED_NODE_ARGS + 2] = { NULL };
	size_t i;
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	node->pid = fork();
	assert_true(node->pid >= 0);
	if (node->pid == 0) {
		argv[0] = strdup(program);
		for (i = 0; args != NULL && args[i] != NULL; i++)
			argv[i + 1] = strdup(args[i]);
		(void)setenv("CLOSED_NODE", what, 1);
		if (options != NULL)
			(void)setenv("NODE_OPTIONS", options, 1);
		(void)dup2(pipes[1], 1);
		(void)execv(program, argv);
		_exit(127);
	}
	(void)close(pipes[1]);
	node->said_fd = pipes[0];
	closed_node_hear(node, "ready\n");
}

static inline void
closed_node_stop(struct closed_node *node)
{
	assert_int_equal(kill(node->pid, SIGKILL), 0);
	assert_int_equal(waitpid(node->pid, NULL, 0), node->pid);
	(void)close(node->said_fd);
}

#endif
