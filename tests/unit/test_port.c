#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "test.h"

#include "port.h"

#define NOBODY 65534

/* So many others listen, of whom the kernel tells first. */
static int crowd_len;

FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__real_fopen(const char *path, const char *mode);

FILE *
__wrap_fopen(const char *path, const char *mode)
{
	FILE *real = __real_fopen(path, mode), *table;
	char line[256];
	int i;

	if (crowd_len == 0 || strstr(path, "/net/tcp") == NULL)
		return real;
	table = tmpfile();
	assert_non_null(real);
	assert_non_null(table);
	for (i = 0; i < crowd_len; i++)
		(void)fprintf(table, "%4d: 0100007F:0001 00000000:0000 0A "
		    "00000000:00000000 00:00000000 00000000     0        0 1\n",
		    i);
	while (fgets(line, sizeof(line), real) != NULL)
		(void)fputs(line, table);
	(void)fclose(real);
	rewind(table);
	return table;
}

/* A socket that listens there; *ret_port is where. */
static int
listen_at(const char *ip, struct port *ret_port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	const bool is_v4 = strchr(ip, ':') == NULL;
	struct sockaddr *address = is_v4 ? (struct sockaddr *)&v4 :
	    (struct sockaddr *)&v6;
	socklen_t len = is_v4 ? sizeof(v4) : sizeof(v6);
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(is_v4 ? inet_pton(AF_INET, ip, &v4.sin_addr) :
	    inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
	assert_int_equal(bind(fd, address, len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, address, &len), 0);
	assert_true(port_parse(ip, ntohs(is_v4 ? v4.sin_port : v6.sin6_port),
	    ret_port));
	return fd;
}

static struct port
port_of(const char *ip, uint16_t number)
{
	struct port port;

	assert_true(port_parse(ip, number, &port));
	return port;
}

static bool
is_listed(int64_t pid, const struct port *port)
{
	struct port list[PORT_LIST_MAX];
	struct err err;
	size_t len = 99;

	assert_ok(port_list(pid, list, &len, &err), err);
	assert_true(len <= PORT_LIST_MAX);
	return port_is_in(port, list, len);
}

static void
text_and_back(void **state)
{
	char text[PORT_TEXT_MAX];
	struct port port;

	(void)state;
	port = port_of("127.0.0.1", 9229);
	port_format(&port, text);
	assert_string_equal(text, "127.0.0.1:9229");
	port = port_of("::1", 65535);
	port_format(&port, text);
	assert_string_equal(text, "[::1]:65535");
	port = port_of("ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888", 1);
	port_format(&port, text);
	assert_string_equal(text,
	    "[ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888]:1");
	assert_false(port_parse("localhost", 1, &port));
	assert_false(port_parse("127.0.0.1.1", 1, &port));
	assert_false(port_parse("", 1, &port));
}

static void
all_addresses_cover_each(void **state)
{
	const struct port all[] = { port_of("0.0.0.0", 80),
		port_of("::", 443) };
	const struct port one = port_of("127.0.0.1", 80),
	    other = port_of("127.0.0.2", 80), wrong = port_of("127.0.0.1", 81),
	    v6 = port_of("::1", 80), both = port_of("127.0.0.1", 443);

	(void)state;
	assert_true(port_is_in(&one, all, 2));
	assert_true(port_is_in(&other, all, 2));
	assert_false(port_is_in(&wrong, all, 2));
	assert_false(port_is_in(&v6, all, 2));
	assert_true(port_is_in(&both, all, 2));
	assert_true(port_is_in(&one, &one, 1));
	assert_false(port_is_in(&other, &one, 1));
	assert_false(port_is_in(&one, all, 0));
}

static void
what_a_process_listens_to(void **state)
{
	static const char *const ips[] = { "127.0.0.1", "127.0.0.9", "0.0.0.0",
		"::1" };
	struct port port;
	uid_t user;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		fd = listen_at(ips[i], &port);
		assert_true(is_listed(getpid(), &port));
		assert_int_equal(port_holder(&port), getpid());
		user = NOBODY;
		assert_true(port_user(&port, &user));
		assert_int_equal(user, geteuid());
		(void)close(fd);
		assert_false(is_listed(getpid(), &port));
		assert_int_equal(port_holder(&port), 0);
		assert_false(port_user(&port, &user));
	}
}

/* A child that has none of our sockets but this one. */
static pid_t
start_child(int fd)
{
	const pid_t pid = fork();
	int other;

	if (pid == 0) {
		for (other = 3; other < 64; other++)
			if (other != fd)
				(void)close(other);
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	return pid;
}

static void
end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
another_process_has_it(void **state)
{
	struct port list[PORT_LIST_MAX], port;
	struct err err;
	size_t len = 7;
	pid_t pid;
	int fd;

	(void)state;
	fd = listen_at("127.0.0.1", &port);
	pid = start_child(fd);
	(void)close(fd);
	assert_true(is_listed(pid, &port));
	assert_false(is_listed(getpid(), &port));
	assert_int_equal(port_holder(&port), pid);
	end_child(pid);
	assert_err(port_list(pid, list, &len, &err), err, ERR_TARGET_EXITED,
	    "has ended");
	assert_int_equal(len, 7);
}

static int
connect_to(const struct port *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port->number),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address,
	    sizeof(address)), 0);
	return fd;
}

static void
connections_are_counted(void **state)
{
	struct port port;
	int fd, first, second;

	(void)state;
	fd = listen_at("127.0.0.1", &port);
	assert_int_equal(port_connections(&port), 0);
	first = connect_to(&port);
	second = connect_to(&port);
	assert_int_equal(port_connections(&port), 2);
	(void)close(first);
	assert_int_equal(port_connections(&port), 1);
	(void)close(second);
	assert_int_equal(port_connections(&port), 0);
	(void)close(fd);
}

/* More than are told of: what is told is right, and nothing else is written. */
static void
more_ports_than_are_told(void **state)
{
	struct port list[PORT_LIST_MAX], ports[PORT_LIST_MAX + 8];
	int fds[PORT_LIST_MAX + 8];
	struct err err;
	size_t len, i;

	(void)state;
	for (i = 0; i < PORT_LIST_MAX + 8; i++)
		fds[i] = listen_at("127.0.0.1", &ports[i]);
	assert_ok(port_list(getpid(), list, &len, &err), err);
	assert_int_equal(len, PORT_LIST_MAX);
	for (i = 0; i < len; i++)
		assert_true(port_is_in(&list[i], ports, PORT_LIST_MAX + 8));
	for (i = 0; i < PORT_LIST_MAX + 8; i++)
		(void)close(fds[i]);
}

/* Ours is found among many; among too many, that is said. */
static void
many_others_listen(void **state)
{
	struct port list[PORT_LIST_MAX], port;
	struct err err;
	size_t len = 7;
	int fd;

	(void)state;
	fd = listen_at("127.0.0.1", &port);
	crowd_len = 3000;
	assert_true(is_listed(getpid(), &port));
	assert_int_equal(port_holder(&port), getpid());
	crowd_len = PORT_SOCKETS_MAX;
	assert_err(port_list(getpid(), list, &len, &err), err,
	    ERR_TARGET_REFUSED, "more than 16384 sockets listen");
	assert_int_equal(len, 7);
	/* The others are elsewhere. */
	assert_int_equal(port_holder(&port), getpid());
	crowd_len = 0;
	(void)close(fd);
}

/* Is it the process's, or, where that cannot be seen, its user's? */
static void
who_may_have_it(void **state)
{
	const uid_t user = geteuid();
	struct port port;
	pid_t pid;
	int fd, status;

	(void)state;
	fd = listen_at("127.0.0.1", &port);
	pid = start_child(fd);
	assert_true(port_may_be_of(getpid(), user, &port));
	assert_true(port_may_be_of(pid, user, &port));
	(void)close(fd);
	assert_false(port_may_be_of(getpid(), user, &port));
	assert_true(port_may_be_of(pid, user, &port));
	end_child(pid);
	assert_false(port_may_be_of(pid, user, &port));
	if (user != 0)
		return;
	fd = listen_at("127.0.0.1", &port);
	pid = fork();
	if (pid == 0) {
		/* From here on the first process's descriptors are hidden. */
		if (setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) != 0)
			_exit(9);
		_exit((port_may_be_of(getppid(), 0, &port) ? 1 : 0) +
		    (port_may_be_of(getppid(), 77, &port) ? 2 : 0));
	}
	(void)close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(all_addresses_cover_each),
		cmocka_unit_test(what_a_process_listens_to),
		cmocka_unit_test(another_process_has_it),
		cmocka_unit_test(connections_are_counted),
		cmocka_unit_test(more_ports_than_are_told),
		cmocka_unit_test(many_others_listen),
		cmocka_unit_test(who_may_have_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
