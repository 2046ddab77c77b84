/* Downloads from a server that cuts, lies and changes its mind. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "test.h"
#include "inspector.h"

#include "client.h"
#include "clock.h"
#include "digest.h"
#include "fetch.h"
#include "str.h"

#define JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"
#define NAME "pod-20261122T202500Z.heapsnapshot"
#define DATA_BYTES 300000

/* What the server does with one request for the file. */
enum deed {
	SENDS,		/* what was asked for */
	CUTS,		/* .. and breaks off after some bytes of it */
	SENDS_WHOLE,	/* whatever part was asked for */
	CUTS_WHOLE,	/* .. and breaks off before it is where it was */
	SPOILS,		/* a byte is another one */
	LIES_LENGTH,	/* Content-Length */
	LIES_DIGEST,	/* Repr-Digest */
	OVERFLOWS,	/* more than it is, without a length */
	FALLS_SHORT,	/* less, without a length */
	LEAVES,		/* closes without a word */
	BUSY,		/* 503, Retry-After: 7 */
	UNREADY,	/* 409 */
};

static struct fixture {
	struct inspector in;
	struct client *client;
	char dir[256], before[4096];
	struct fetch_result result;
	struct err err;
} f;

static struct {
	char data[DATA_BYTES];
	size_t len;
	const char *name, *sha256;	/* as the job says; NULL: null */
	char hex[DIGEST_HEX_MAX], base64[DIGEST_BASE64_MAX];
	enum deed deeds[64];		/* one by one, then SENDS */
	size_t deeds_len, deeds_done;
	size_t cut_bytes;
	char ranges[512];		/* what was asked for, "5 0 …" */
	char if_range[128];		/* of the last */
} server;

static volatile sig_atomic_t stop;
static int64_t clock_offset_ms;
static char pauses[256];	/* "250 500 …" */
static int fail_at;		/* which allocation fails */
static int64_t disk_bytes;	/* that are free; -1: as it is */
static int write_errno, fsync_errno, rename_errno;
static int64_t write_left;	/* bytes until write_errno */

int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);
int __wrap_client_pause(const struct client *client, int64_t ms,
    struct err *err);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __real_write(int fd, const void *data, size_t len);
int __wrap_fsync(int fd);
int __real_fsync(int fd);
int __wrap_renameat2(int from_dir, const char *from, int to_dir,
    const char *to, unsigned flags);
int __real_renameat2(int from_dir, const char *from, int to_dir,
    const char *to, unsigned flags);
int __wrap_statvfs(const char *path, struct statvfs *out);
int __real_statvfs(const char *path, struct statvfs *out);
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + clock_offset_ms;
}

int
__wrap_client_pause(const struct client *client, int64_t ms, struct err *err)
{
	const size_t len = strlen(pauses);

	assert_ptr_equal(client, f.client);
	clock_offset_ms += ms;
	(void)snprintf(pauses + len, sizeof(pauses) - len, "%lld ",
	    (long long)ms);
	return stop ? err_set(err, ERR_INTERRUPTED, "stopped") : 0;
}

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (write_errno == 0)
		return __real_write(fd, data, len);
	if (write_left < (int64_t)len) {
		errno = write_errno;
		return -1;
	}
	write_left -= (int64_t)len;
	return __real_write(fd, data, len);
}

int
__wrap_fsync(int fd)
{
	errno = fsync_errno;
	return fsync_errno != 0 ? -1 : __real_fsync(fd);
}

int
__wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to,
    unsigned flags)
{
	errno = rename_errno;
	return rename_errno != 0 ? -1 :
	    __real_renameat2(from_dir, from, to_dir, to, flags);
}

int
__wrap_statvfs(const char *path, struct statvfs *out)
{
	const int rc = __real_statvfs(path, out);

	if (rc == 0 && disk_bytes >= 0) {
		out->f_frsize = 1;
		out->f_bavail = (fsblkcnt_t)disk_bytes;
	}
	return rc;
}

static bool
fails(void)
{
	return fail_at > 0 && --fail_at == 0;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

static void sayf(int fd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
sayf(int fd, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	inspector_send(fd, text, strlen(text));
}

static void
send_job(int fd)
{
	char artifact[512] = "null", text[700];

	if (server.sha256 != NULL)
		(void)snprintf(artifact, sizeof(artifact), "{\"name\":\"%s\","
		    "\"size\":%zu,\"sha256\":\"%s\"}", server.name,
		    server.len, server.sha256);
	(void)snprintf(text, sizeof(text), "{\"id\":\"" JOB "\","
	    "\"artifact\":%s}", artifact);
	sayf(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    strlen(text), text);
}

static void
send_problem(int fd, int status, const char *more, const char *detail)
{
	sayf(fd, "HTTP/1.1 %d X\r\nConnection: close\r\n%s"
	    "Content-Type: application/problem+json\r\n\r\n"
	    "{\"detail\":\"%s\"}", status, more, detail);
}

/* The first byte that is asked for; noted. */
static size_t
read_range(void)
{
	const char *range = strcasestr(f.in.request, "\r\nRange: bytes=");
	const char *tag = strcasestr(f.in.request, "\r\nIf-Range: ");
	const size_t first = range != NULL ? (size_t)atol(range + 15) : 0;
	const size_t len = strlen(server.ranges);

	(void)snprintf(server.ranges + len, sizeof(server.ranges) - len,
	    "%zu ", first);
	server.if_range[0] = '\0';
	if (tag != NULL)
		(void)sscanf(tag + 12, "%127s", server.if_range);
	return first;
}

static void
send_head(int fd, size_t first, bool is_part, size_t length)
{
	if (is_part)
		sayf(fd, "HTTP/1.1 206 Partial Content\r\n"
		    "Content-Range: bytes %zu-%zu/%zu\r\n", first,
		    server.len - 1, server.len);
	else
		sayf(fd, "HTTP/1.1 200 OK\r\n");
	sayf(fd, "Connection: close\r\nETag: \"%s\"\r\n"
	    "Repr-Digest: sha-256=:%s:\r\nContent-Length: %zu\r\n\r\n",
	    server.hex, server.base64, length);
}

static void
send_file(int fd, enum deed deed, size_t first)
{
	static const char more[] = "this is more";
	size_t len = server.len - first;
	char spoilt = (char)(server.data[first] + 1);

	if (deed == LIES_DIGEST)
		sayf(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
		    "Repr-Digest: sha-256=:YWJj:\r\n\r\n");
	else if (deed == OVERFLOWS || deed == FALLS_SHORT)
		sayf(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	else
		send_head(fd, first, first > 0,
		    deed == LIES_LENGTH ? len + 1 : len);
	if (deed == CUTS)
		len = server.cut_bytes;
	if (deed == CUTS_WHOLE)
		len = server.cut_bytes / 2;
	if (deed == FALLS_SHORT)
		len -= 10;
	if (deed == SPOILS) {
		inspector_send(fd, &spoilt, 1);
		first++;
		len--;
	}
	inspector_send(fd, server.data + first, len);
	if (deed == OVERFLOWS)
		inspector_send(fd, more, sizeof(more));
}

static void
serve(struct inspector *in, int fd, int n)
{
	enum deed deed = SENDS;
	size_t first;

	(void)n;
	inspector_read_head(in, fd);
	if (strstr(in->request, "/artifact ") == NULL) {
		send_job(fd);
		return;
	}
	first = read_range();
	if (server.deeds_done < server.deeds_len)
		deed = server.deeds[server.deeds_done++];
	if (deed == BUSY)
		send_problem(fd, 503, "Retry-After: 7\r\n", "in a moment");
	else if (deed == UNREADY)
		send_problem(fd, 409, "", "the job is running");
	else if (deed != LEAVES)
		send_file(fd, deed, deed == SENDS_WHOLE ||
		    deed == CUTS_WHOLE ? 0 : first);
}

static void
does(size_t len, const enum deed deeds[])
{
	memcpy(server.deeds, deeds, len * sizeof(deeds[0]));
	server.deeds_len = len;
	server.deeds_done = 0;
	server.ranges[0] = pauses[0] = '\0';
}
#define DOES(...)                                                              \
	does(sizeof((enum deed[]){__VA_ARGS__}) / sizeof(enum deed),           \
	    (enum deed[]){__VA_ARGS__})

static int
set_up(void **state)
{
	unsigned char sum[DIGEST_BYTES];
	char base[128];
	size_t i;

	(void)state;
	memset(&f, 0, sizeof(f));
	memset(&server, 0, sizeof(server));
	stop = 0;
	clock_offset_ms = 0;
	fail_at = write_errno = fsync_errno = rename_errno = 0;
	disk_bytes = -1;
	for (i = 0; i < DATA_BYTES; i++)
		server.data[i] = (char)(i * 7 + i / 1000);
	server.len = DATA_BYTES;
	server.name = NAME;
	server.cut_bytes = 100000;
	assert_ok(digest_hex(server.data, server.len, server.hex, &f.err),
	    f.err);
	server.sha256 = server.hex;
	assert_true(str_unhex(server.hex, sizeof(sum), sum));
	digest_base64(sum, server.base64);
	DOES(SENDS);
	test_make_dir(f.dir);
	assert_non_null(getcwd(f.before, sizeof(f.before)));
	assert_int_equal(chdir(f.dir), 0);
	inspector_start(&f.in, serve);
	(void)snprintf(base, sizeof(base),
	    "http://127.0.0.1:%u/shop/private/papi", (unsigned)f.in.port);
	assert_ok(client_open_url(base, NULL, NULL, &f.client, &f.err),
	    f.err);
	client_set_stop(f.client, &stop);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	client_close(&f.client);
	inspector_stop(&f.in);
	assert_int_equal(chdir(f.before), 0);
	test_remove_dir(f.dir);
	return 0;
}

static int
fetch(const char *path)
{
	return fetch_artifact(
	    f.client, JOB, path, NULL, NULL, &f.result, &f.err);
}

static bool
exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void
write_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int64_t
size_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_size;
}

/* The file is there, whole, ours alone, and nothing beside it. */
static void
expect_file(const char *path)
{
	static char data[DATA_BYTES + 1];
	char part[300];
	struct stat st;
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_int_equal(
	    fread(data, 1, sizeof(data), file), server.len);
	(void)fclose(file);
	assert_memory_equal(data, server.data, server.len);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)snprintf(part, sizeof(part), "%s.part", path);
	assert_false(exists(part));
	assert_string_equal(f.result.path, path);
	assert_string_equal(f.result.sha256, server.hex);
	assert_int_equal(f.result.bytes, server.len);
}

static void
test_whole(void **state)
{
	(void)state;
	assert_ok(fetch(NULL), f.err);
	expect_file(NAME);
	assert_string_equal(server.ranges, "0 ");
	assert_int_equal(f.result.cuts, 0);
	assert_int_equal(f.result.resumed_bytes, 0);
	/* Once more: never over a file that is there. */
	assert_err(fetch(NULL), f.err, ERR_CONFLICT, "is there already");
	assert_string_equal(server.ranges, "0 ");
	/* But where it is named. */
	write_file("mine", "x", 1);
	assert_ok(fetch("mine"), f.err);
	expect_file("mine");
	/* In a directory. */
	assert_int_equal(mkdir("sub", 0700), 0);
	assert_ok(fetch("sub"), f.err);
	expect_file("sub/" NAME);
	assert_err(fetch("sub/"), f.err, ERR_CONFLICT, "sub/" NAME);
}

static void
test_empty(void **state)
{
	(void)state;
	server.len = 0;
	assert_ok(digest_hex("", 0, server.hex, &f.err), f.err);
	assert_ok(fetch("e"), f.err);
	expect_file("e");
}

static void
test_cuts(void **state)
{
	(void)state;
	DOES(CUTS, LEAVES, CUTS, BUSY);
	assert_ok(fetch(NULL), f.err);
	expect_file(NAME);
	/* From where it was cut; new bytes make it hopeful again. */
	assert_string_equal(server.ranges, "0 100000 100000 200000 200000 ");
	assert_string_equal(pauses, "250 500 250 7000 ");
	assert_int_equal(f.result.cuts, 4);
	assert_string_equal(f.result.sha256, server.hex);
	assert_int_equal(strlen(server.if_range), 66);
}

/* Given up at last, with what has come kept; but at once where nobody has ever
 * been there. */
static void
test_patience(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 40; i++)
		server.deeds[i] = BUSY;
	server.deeds_len = 40;
	write_file(NAME ".part", server.data, 1000);
	assert_err(fetch(NULL), f.err, ERR_TARGET_UNREACHABLE,
	    "given up after 180 seconds");
	assert_non_null(strstr(f.err.msg, "in a moment"));
	assert_non_null(strstr(f.err.msg, ".part has 1000 of 300000"));
	assert_int_equal(size_of(NAME ".part"), 1000);
	client_close(&f.client);
	assert_ok(client_open_url("http://127.0.0.1:1", "shop", NULL,
	    &f.client, &f.err), f.err);
	assert_err(fetch(NULL), f.err, ERR_TARGET_UNREACHABLE, "127.0.0.1:1");
	assert_int_equal(size_of(NAME ".part"), 1000);
}

static void
test_resume(void **state)
{
	(void)state;
	write_file(NAME ".part", server.data, 12345);
	assert_ok(fetch(NULL), f.err);
	expect_file(NAME);
	assert_string_equal(server.ranges, "12345 ");
	assert_int_equal(f.result.resumed_bytes, 12345);
	/* All of it is there already. */
	assert_int_equal(rename(NAME, "x.part"), 0);
	DOES(SENDS);
	assert_ok(fetch("x"), f.err);
	expect_file("x");
	assert_string_equal(server.ranges, "");
	/* Of something else: found by the digest. */
	write_file("y.part", "no no no", 8);
	assert_ok(fetch("y"), f.err);
	expect_file("y");
	assert_string_equal(server.ranges, "8 0 ");
	/* Of something larger. */
	write_file("z.part", server.data, DATA_BYTES);
	assert_int_equal(truncate("z.part", DATA_BYTES + 1), 0);
	DOES(SENDS);
	assert_ok(fetch("z"), f.err);
	expect_file("z");
	assert_string_equal(server.ranges, "0 ");
	/* The service has another file now, or no parts. */
	write_file("w.part", "no no no", 8);
	DOES(SENDS_WHOLE);
	assert_ok(fetch("w"), f.err);
	expect_file("w");
	assert_string_equal(server.ranges, "8 ");
	assert_int_equal(f.result.resumed_bytes, 0);
}

/* How often it was said that a digest was wrong. */
static fetch_progress_fn hear;
static void
hear(void *ctx, const struct fetch_progress *progress)
{
	if (progress->phase == FETCH_WAITING &&
	    strstr(progress->why, "wrong SHA-256") != NULL)
		++*(int *)ctx;
}

static void
test_lies(void **state)
{
	int heard = 0;

	(void)state;
	DOES(SPOILS);
	assert_ok(fetch_artifact(f.client, JOB, NULL, hear, &heard, &f.result,
	    &f.err), f.err);
	assert_int_equal(heard, 1);
	expect_file(NAME);
	assert_string_equal(server.ranges, "0 0 ");
	DOES(SPOILS, SPOILS);
	assert_err(fetch("x"), f.err, ERR_STORE, "twice with a wrong");
	assert_false(exists("x"));
	assert_false(exists("x.part"));
	DOES(LIES_LENGTH);
	assert_err(fetch("x"), f.err, ERR_STORE, "300001 bytes");
	DOES(LIES_DIGEST);
	assert_err(fetch("x"), f.err, ERR_STORE, "another digest");
	DOES(OVERFLOWS);
	assert_err(fetch("x"), f.err, ERR_STORE, "more is sent");
	assert_false(exists("x"));
	/* Less is as good as cut. */
	assert_int_equal(unlink("x.part"), 0);
	DOES(FALLS_SHORT);
	assert_ok(fetch("x"), f.err);
	expect_file("x");
	assert_string_equal(server.ranges, "0 299990 ");
}

static void
test_refused(void **state)
{
	(void)state;
	assert_err(fetch_artifact(f.client, "../x", NULL, NULL, NULL,
	    &f.result, &f.err), f.err, ERR_INVALID, "no job's id");
	assert_int_equal(f.in.connections, 0);
	DOES(UNREADY);
	assert_err(fetch(NULL), f.err, ERR_CONFLICT, "the job is running");
	assert_string_equal(pauses, "");
	assert_false(exists(NAME ".part"));
	/* What has no digest has no file: the service says why. */
	server.sha256 = NULL;
	DOES(UNREADY);
	assert_err(fetch(NULL), f.err, ERR_CONFLICT, "the job is running");
	assert_err(fetch(NULL), f.err, ERR_TARGET_REFUSED, "no artifact");
	server.sha256 = "short";
	assert_err(fetch(NULL), f.err, ERR_TARGET_REFUSED, "no artifact");
}

static fetch_progress_fn stop_soon;
static void
stop_soon(void *ctx, const struct fetch_progress *progress)
{
	(void)ctx;
	assert_true(progress->done_bytes > 0);
	stop = 1;
}

static void
test_stop(void **state)
{
	(void)state;
	DOES(CUTS);
	assert_err(fetch_artifact(f.client, JOB, "x", stop_soon, NULL,
	    &f.result, &f.err), f.err, ERR_INTERRUPTED, "goes on from there");
	assert_non_null(strstr(f.err.msg, "x.part has "));
	assert_true(exists("x.part"));
	stop = 0;
	assert_ok(fetch("x"), f.err);
	expect_file("x");
}

static void
test_places(void **state)
{
	(void)state;
	assert_err(fetch("/dev/null"), f.err, ERR_INVALID, "no regular file");
	assert_int_equal(symlink("target", "link"), 0);
	assert_err(fetch("link"), f.err, ERR_INVALID, "no regular file");
	assert_err(fetch("none/x"), f.err, ERR_STORE, "none");
	assert_err(fetch(""), f.err, ERR_INVALID, "empty");
	/* What somebody has put in the part's place. */
	write_file("target", "safe", 4);
	assert_int_equal(symlink("target", "a.part"), 0);
	assert_err(fetch("a"), f.err, ERR_STORE, "a.part");
	assert_int_equal(link("target", "b.part"), 0);
	assert_err(fetch("b"), f.err, ERR_STORE, "b.part");
	assert_int_equal(mkfifo("c.part", 0600), 0);
	assert_err(fetch("c"), f.err, ERR_STORE, "c.part");
	assert_int_equal(size_of("target"), 4);
	assert_string_equal(server.ranges, "");
	assert_ok(fetch_check_place("-", &f.err), f.err);
	assert_ok(fetch_check_place(NULL, &f.err), f.err);
	assert_ok(fetch_check_place(".", &f.err), f.err);
	assert_ok(fetch_check_place("target", &f.err), f.err);
	assert_ok(fetch_check_place("/tmp/none", &f.err), f.err);
	assert_err(fetch_check_place("target/x", &f.err), f.err, ERR_STORE,
	    "target");
	if (getuid() != 0) {
		assert_int_equal(chmod(".", 0500), 0);
		assert_err(fetch_check_place(NULL, &f.err), f.err, ERR_STORE,
		    "the current directory");
		assert_int_equal(chmod(".", 0700), 0);
	}
}

/* Another process writes the same file. */
static void
test_lock(void **state)
{
	int fd = open(NAME ".part", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_err(fetch(NULL), f.err, ERR_CONFLICT, "another podprof");
	(void)close(fd);
	assert_ok(fetch(NULL), f.err);
	expect_file(NAME);
}

static void
test_no_room(void **state)
{
	(void)state;
	disk_bytes = 100000;
	assert_err(fetch("x"), f.err, ERR_SPACE, "0.3 MB more are needed, "
	    "and 0.1 MB are free");
	assert_string_equal(server.ranges, "");
	disk_bytes = -1;
	write_errno = ENOSPC;
	write_left = 200000;
	assert_err(fetch("x"), f.err, ERR_SPACE, "MB more are needed");
	assert_non_null(strstr(f.err.msg, "goes on from there"));
	assert_true(size_of("x.part") > 0);
	write_errno = EIO;
	write_left = 0;
	assert_err(fetch("x"), f.err, ERR_STORE, "x.part");
	write_errno = 0;
	fsync_errno = EIO;
	assert_err(fetch("x"), f.err, ERR_STORE, "x.part");
	fsync_errno = 0;
	assert_ok(fetch("x"), f.err);
	expect_file("x");
}

/* The last step, where another file has come in between, and on a file system
 * that cannot tell. */
static void
test_last_step(void **state)
{
	(void)state;
	rename_errno = EEXIST;
	assert_err(fetch(NULL), f.err, ERR_CONFLICT, "the file is whole, in");
	rename_errno = EINVAL;
	assert_ok(fetch(NULL), f.err);
	expect_file(NAME);
}

static void
test_stdout(void **state)
{
	static char data[DATA_BYTES + 1];
	int keep = dup(1), out;
	struct err err;
	FILE *file;
	int rc;

	(void)state;
	out = open("out", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(keep >= 0 && out >= 0);
	/* One that sends everything again has it left out; and only that. */
	DOES(CUTS, CUTS_WHOLE, CUTS, SENDS_WHOLE);
	(void)fflush(stdout);
	assert_int_equal(dup2(out, 1), 1);
	rc = fetch("-");
	assert_int_equal(dup2(keep, 1), 1);
	assert_ok(rc, f.err);
	file = fopen("out", "r");
	assert_non_null(file);
	assert_int_equal(fread(data, 1, sizeof(data), file), DATA_BYTES);
	(void)fclose(file);
	assert_memory_equal(data, server.data, DATA_BYTES);
	assert_string_equal(f.result.path, "-");
	DOES(SPOILS);
	assert_int_equal(dup2(out, 1), 1);
	rc = fetch_artifact(f.client, JOB, "-", NULL, NULL, &f.result, &err);
	assert_int_equal(dup2(keep, 1), 1);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, ERR_STORE);
	assert_non_null(strstr(err.msg, "do not use it"));
	(void)close(out);
	(void)close(keep);
	assert_false(exists("-"));
	assert_false(exists("-.part"));
}

struct seen {
	struct fetch_progress last;
	int phases[3], calls;
	char why[64];
};

static fetch_progress_fn look;
static void
look(void *ctx, const struct fetch_progress *progress)
{
	struct seen *seen = ctx;

	assert_true(progress->done_bytes <= progress->total_bytes);
	assert_true(progress->done_bytes >= seen->last.done_bytes);
	assert_int_equal(progress->why != NULL,
	    progress->phase == FETCH_WAITING);
	seen->phases[progress->phase]++;
	seen->last = *progress;
	if (progress->why != NULL)
		(void)snprintf(seen->why, sizeof(seen->why), "%s",
		    progress->why);
}

static void
test_progress(void **state)
{
	struct seen seen = {0};

	(void)state;
	write_file("x.part", server.data, 70000);
	DOES(BUSY);
	assert_ok(fetch_artifact(f.client, JOB, "x", look, &seen, &f.result,
	    &f.err), f.err);
	assert_int_equal(seen.phases[FETCH_READING], 2);
	assert_int_equal(seen.phases[FETCH_WAITING], 1);
	assert_true(seen.phases[FETCH_LOADING] > 1);
	assert_string_equal(seen.why, "in a moment");
	assert_int_equal(seen.last.begin_bytes, 70000);
	assert_int_equal(seen.last.done_bytes, DATA_BYTES);
	assert_int_equal(seen.last.total_bytes, DATA_BYTES);
	assert_int_equal(seen.last.cuts, 1);
}

static void
test_names(void **state)
{
	static const char *const names[][2] = {
		{"a-b_c.d", "a-b_c.d"},
		{"/etc/passwd", "passwd"},
		{"../../x", "x"},
		{"..", "artifact"},
		{"", "artifact"},
		{"a/", "artifact"},
		{".profile", "profile"},
		{"-rf", "rf"},
		{"a b\n\x1b[1m\xc3\xa4.heapsnapshot",
		    "a_b___1m__.heapsnapshot"},
		{"a\\..\\b", "a_.._b"},
	};
	char lengthy[400], out[FETCH_NAME_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fetch_safe_name(names[i][0], out);
		assert_string_equal(out, names[i][1]);
	}
	memset(lengthy, 'a', sizeof(lengthy));
	memcpy(lengthy + 380, ".heapsnapshot", 14);
	fetch_safe_name(lengthy, out);
	assert_int_equal(strlen(out), 249);
	assert_string_equal(out + 236, ".heapsnapshot");
	/* And in use: whatever the service says stays in the directory. */
	server.name = "../../etc/x y";
	assert_ok(fetch(NULL), f.err);
	expect_file("x_y");
}

static void
test_no_memory(void **state)
{
	int n, rc = -1;

	(void)state;
	/* What an earlier one has loaded is there still. */
	write_file("x.part", server.data, 1000);
	for (n = 1; rc != 0; n++) {
		assert_true(n < 50);
		fail_at = n;
		rc = fetch("x");
		fail_at = 0;
		if (rc == 0)
			continue;
		assert_int_equal(f.err.code, ERR_NOMEM);
		assert_int_equal(size_of("x.part"), 1000);
	}
	assert_true(n > 2);
	expect_file("x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cuts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_patience, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_resume, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_last_step, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_stdout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_progress, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
