/*
 * Judges processes by what /proc/PID tells of them: status, exe, cmdline,
 * environ, and the namespaces.  Nothing of that is the process's own word but
 * cmdline, which it may have changed.
 */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "str.h"

#define STATUS_MAX (16 << 10)
#define WORDS_MAX (512 << 10)	/* of a command line, or an environment */
#define PID_FILE_MAX 256
/* A child that has not come to its exec(2) yet looks like its parent. */
#define LOOKS 3
#define LOOK_PAUSE_MS 20
/* So many are named where there are several. */
#define NAMED_MAX 5
#define CATCHES_SIGUSR1 (UINT64_C(1) << (SIGUSR1 - 1))

/* What /proc/PID/status tells. */
struct status {
	uid_t real, effective;
	uint64_t caught;	/* signals */
	char state;
};

/* What the command line and NODE_OPTIONS ask for. */
struct flags {
	bool is_permitted_only;		/* --permission */
	bool is_inspector_allowed;	/* --allow-inspector, beside it */
	bool is_disabled;		/* --disable-sigusr1 */
	bool is_hidden;			/* --inspect-publish-uid without http */
	bool is_exposed;		/* --inspect-port beyond loopback */
	bool is_port_next;		/* its value is the next word */
};

static void
path_of(int64_t pid, const char *name, char out[64])
{
	(void)snprintf(out, 64, "/proc/%" PRId64 "/%s", pid, name);
}

/* What follows "\nNAME:" and blanks; NULL if there is no such line. */
static const char *
status_field(const char *text, const char *name)
{
	const char *at = text;
	const size_t len = strlen(name);

	while (strncmp(at, name, len) != 0 || at[len] != ':') {
		at = strchr(at, '\n');
		if (at == NULL)
			return NULL;
		at++;
	}
	at += len + 1;
	return at + strspn(at, " \t");
}

static bool
status_parse(const char *text, struct status *ret_status)
{
	const char *state = status_field(text, "State");
	const char *uids = status_field(text, "Uid");
	const char *caught = status_field(text, "SigCgt");
	struct status status;
	char *end;

	if (state == NULL || uids == NULL || caught == NULL)
		return false;
	status.state = *state;
	status.real = (uid_t)strtoul(uids, &end, 10);
	status.effective = (uid_t)strtoul(end, NULL, 10);
	status.caught = strtoull(caught, NULL, 16);
	*ret_status = status;
	return true;
}

/* False if there is no such process, or it is hidden from us. */
static bool
status_read(int64_t pid, struct status *ret_status)
{
	struct buf text;
	char path[64];
	bool good;

	buf_init(&text, STATUS_MAX);
	path_of(pid, "status", path);
	good = file_read(path, &text, NULL) == 0 &&
	    status_parse(buf_str(&text), ret_status);
	buf_fini(&text);
	return good && strchr("ZXx", ret_status->state) == NULL;
}

/* 0, or an errno. */
static int
link_read(int64_t pid, const char *name, char out[PATH_MAX])
{
	char path[64];
	ssize_t n;

	path_of(pid, name, path);
	n = readlink(path, out, PATH_MAX - 1);
	if (n < 0)
		return errno;
	out[n] = '\0';
	return 0;
}

/* "node", "nodejs", "node20", "node-v22.1"; not "node_exporter". */
static bool
is_node_name(const char *exe)
{
	static const char deleted[] = " (deleted)";
	const char *base = strrchr(exe, '/');
	size_t len;

	base = base != NULL ? base + 1 : exe;
	len = strlen(base);
	/* The program was replaced by a newer one. */
	if (len >= sizeof(deleted) &&
	    strcmp(base + len - (sizeof(deleted) - 1), deleted) == 0)
		len -= sizeof(deleted) - 1;
	if (strncmp(base, "nodejs", 6) == 0)
		return len == 6 + strspn(base + 6, "0123456789.v-");
	return strncmp(base, "node", 4) == 0 &&
	    len == 4 + strspn(base + 4, "0123456789.v-");
}

/* Node as a library in a program of another name. */
static bool
has_libnode(int64_t pid)
{
	char path[64], *line = NULL;
	size_t size = 0;
	bool found = false;
	FILE *maps;

	path_of(pid, "maps", path);
	maps = fopen(path, "re");
	if (maps == NULL)
		return false;
	while (!found && getline(&line, &size, maps) > 0)
		found = strstr(line, "/libnode.so") != NULL;
	free(line);
	(void)fclose(maps);
	return found;
}

/* NUL ends each word, and there is one at the end. */
static int
words_read(int64_t pid, const char *name, struct buf *out)
{
	char path[64];

	path_of(pid, name, path);
	return file_read(path, out, NULL) != 0 ||
	    buf_addc(out, '\0', NULL) != 0 ? -1 : 0;
}

/* Words that a message may have: no argument with a secret looks so. */
static bool
is_script(const char *word)
{
	const char *dot = strrchr(word, '.');

	return dot != NULL && word[0] != '-' && strspn(word,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789._/@+-") == strlen(word) &&
	    (strcmp(dot, ".js") == 0 || strcmp(dot, ".mjs") == 0 ||
	    strcmp(dot, ".cjs") == 0 || strcmp(dot, ".ts") == 0);
}

static const char *
base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
name_of(int64_t pid, char out[PROCESS_NAME_MAX])
{
	const char *word, *end, *script = NULL;
	struct buf words;
	size_t i;

	buf_init(&words, WORDS_MAX);
	(void)str_copy(out, PROCESS_NAME_MAX, "node");
	if (words_read(pid, "cmdline", &words) == 0) {
		end = words.data + words.len;
		for (word = words.data; word < end && script == NULL;
		     word += strlen(word) + 1)
			if (is_script(word))
				script = base_of(word);
		(void)snprintf(out, PROCESS_NAME_MAX, "%.30s%s%.30s",
		    base_of(words.data), script != NULL ? " " : "",
		    script != NULL ? script : "");
	}
	buf_fini(&words);
	for (i = 0; out[i] != '\0'; i++)
		if (!isprint((unsigned char)out[i]))
			out[i] = '?';
}

/* PORT, HOST or HOST:PORT of --inspect-port; one without a host leaves that of
 * the one before. */
static void
flag_judge_port(const char *value, struct flags *flags)
{
	if (value[strspn(value, "0123456789")] != '\0')
		flags->is_exposed = strncmp(value, "127.", 4) != 0 &&
		    strncmp(value, "[::1]", 5) != 0 &&
		    strcmp(value, "::1") != 0 &&
		    strcmp(value, "localhost") != 0 &&
		    strncmp(value, "localhost:", 10) != 0;
}

/* One of Node's own options; the last one counts. */
static void
flag_judge(const char *word, size_t len, struct flags *flags)
{
	const bool is_port = flags->is_port_next;
	char option[64];
	size_t i;

	flags->is_port_next = false;
	if (len >= sizeof(option))
		return;
	for (i = 0; i < len; i++)
		option[i] = (char)(word[i] == '_' ? '-' : word[i]);
	option[len] = '\0';
	if (is_port)
		flag_judge_port(option, flags);
	else if (strcmp(option, "--inspect-port") == 0 ||
	    strcmp(option, "--debug-port") == 0)
		flags->is_port_next = true;
	else if (strncmp(option, "--inspect-port=", 15) == 0 ||
	    strncmp(option, "--debug-port=", 13) == 0)
		flag_judge_port(strchr(option, '=') + 1, flags);
	else if (strcmp(option, "--permission") == 0 ||
	    strcmp(option, "--experimental-permission") == 0)
		flags->is_permitted_only = true;
	else if (strcmp(option, "--no-permission") == 0 ||
	    strcmp(option, "--no-experimental-permission") == 0)
		flags->is_permitted_only = false;
	else if (strcmp(option, "--allow-inspector") == 0)
		flags->is_inspector_allowed = true;
	else if (strcmp(option, "--disable-sigusr1") == 0)
		flags->is_disabled = true;
	else if (strncmp(option, "--inspect-publish-uid=", 22) == 0)
		flags->is_hidden = strstr(option + 22, "http") == NULL;
}

static void
flags_of_environment(int64_t pid, struct flags *flags)
{
	static const char name[] = "NODE_OPTIONS=";
	const char *word, *end;
	struct buf words;
	size_t len;

	buf_init(&words, WORDS_MAX);
	if (words_read(pid, "environ", &words) == 0) {
		word = words.data;
		end = words.data + words.len;
		while (word < end && strncmp(word, name, strlen(name)) != 0)
			word += strlen(word) + 1;
		if (word < end)
			for (word += strlen(name); *word != '\0'; word += len) {
				word += strspn(word, " ");
				len = strcspn(word, " ");
				flag_judge(word, len, flags);
			}
	}
	buf_fini(&words);
}

/* Options that have a word of their own behind them. */
static bool
has_value(const char *option)
{
	static const char *const options[] = {"-r", "--require", "--import",
	    "-C", "--conditions", "--loader", "--experimental-loader",
	    "--title", "--env-file"};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(option, options[i]) == 0)
			return true;
	return false;
}

/* Up to the script: what follows is its own. */
static void
flags_of_command(int64_t pid, struct flags *flags)
{
	const char *word, *end;
	struct buf words;

	buf_init(&words, WORDS_MAX);
	if (words_read(pid, "cmdline", &words) == 0) {
		end = words.data + words.len;
		for (word = words.data + strlen(words.data) + 1;
		     word < end && word[0] == '-' && strcmp(word, "--") != 0;
		     word += strlen(word) + 1) {
			flag_judge(word, strlen(word), flags);
			if (word + strlen(word) + 1 >= end ||
			    (!flags->is_port_next && !has_value(word)))
				continue;
			word += strlen(word) + 1;
			if (flags->is_port_next)
				flag_judge(word, strlen(word), flags);
		}
	}
	buf_fini(&words);
}

static int
judge_program(int64_t pid, struct err *err)
{
	char exe[PATH_MAX];
	const int errnum = link_read(pid, "exe", exe);

	if (errnum == ENOENT || errnum == ESRCH)
		return err_set(err, ERR_TARGET_UNREACHABLE, "process %" PRId64
		    " does not run any more", pid);
	if (errnum != 0)
		return err_set_errno(err, ERR_TARGET_REFUSED, errnum,
		    "podprof cannot see whether process %" PRId64 " is Node: "
		    "a process that has changed its user by itself, or has "
		    "capabilities, hides that; start it as that user instead "
		    "(/proc/%" PRId64 "/exe)", pid, pid);
	if (is_node_name(exe) || has_libnode(pid))
		return 0;
	return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64 " is "
	    "%.200s, not Node: SIGUSR1 might kill it, so nothing was sent; "
	    "set pid to the Node.js process itself, not to what starts it",
	    pid, exe);
}

/* Its ports are in our network, and are who they seem to be. */
static int
judge_network(int64_t pid, struct err *err)
{
	char theirs[PATH_MAX], ours[PATH_MAX];
	const int errnum = link_read(pid, "ns/net", theirs);

	if (errnum == 0 && link_read(getpid(), "ns/net", ours) == 0 &&
	    strcmp(theirs, ours) == 0)
		return 0;
	if (errnum != 0)
		return err_set_errno(err, ERR_TARGET_REFUSED, errnum,
		    "podprof cannot see the network of process %" PRId64, pid);
	return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64 " has a "
	    "network of its own (%.40s), in which podprof cannot reach its "
	    "inspector: run podprof in the same pod or network namespace", pid,
	    theirs);
}

static int
judge_flags(const struct process *process, const struct flags *flags,
    struct err *err)
{
	if (flags->is_permitted_only && !flags->is_inspector_allowed)
		return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64
		    " (%s) runs with --permission, under which Node opens no "
		    "inspector: start it without, or with --allow-inspector "
		    "where its version has that", process->proc.pid,
		    process->name);
	if (flags->is_hidden)
		return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64
		    " (%s) runs with --inspect-publish-uid without http, so "
		    "nobody is told the address of a session: start it "
		    "without", process->proc.pid, process->name);
	if (flags->is_exposed)
		return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64
		    " (%s) runs with an --inspect-port that is not of "
		    "loopback: others could reach its inspector, and run code "
		    "in it, so nothing was sent; start it with "
		    "--inspect-port=127.0.0.1:PORT", process->proc.pid,
		    process->name);
	return 0;
}

static int
judge_signal(const struct process *process, const struct status *status,
    const struct flags *flags, struct err *err)
{
	if ((status->caught & CATCHES_SIGUSR1) != 0)
		return 0;
	return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64 " (%s) does "
	    "not catch SIGUSR1, so nothing was sent: %s", process->proc.pid,
	    process->name, flags->is_disabled ?
	    "it was started with --disable-sigusr1" :
	    "it has not come up yet, or was started so that Node leaves that "
	    "signal alone (--disable-sigusr1), or is none");
}

/* Is it Node, and one that podprof may look at? */
static int
identify(int64_t pid, uid_t user, struct process *ret_process,
    struct err *err)
{
	struct process process;
	struct status status;
	struct err why;

	if (proc_of(pid, &process.proc, &why) != 0 ||
	    !status_read(pid, &status))
		return err_set(err, ERR_TARGET_UNREACHABLE, "there is no "
		    "process %" PRId64 " that podprof can see: does the app "
		    "run, and do both share a process namespace "
		    "(shareProcessNamespace in Kubernetes)?", pid);
	if (status.real != user || status.effective != user)
		return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64
		    " belongs to user %u, and podprof to user %u: only the "
		    "app's own user may open its inspector, so run podprof "
		    "as user %u", pid, (unsigned)status.effective,
		    (unsigned)user, (unsigned)status.effective);
	if (judge_program(pid, err) != 0 || judge_network(pid, err) != 0)
		return -1;
	name_of(pid, process.name);
	*ret_process = process;
	return 0;
}

/* Would SIGUSR1 open its inspector, as far as that can be seen? */
static int
judge(const struct process *process, struct err *err)
{
	const int64_t pid = process->proc.pid;
	struct flags flags = { .is_disabled = false };
	struct status status;

	if (!status_read(pid, &status))
		return err_set(err, ERR_TARGET_UNREACHABLE,
		    "process %" PRId64 " does not run any more", pid);
	flags_of_environment(pid, &flags);
	flags_of_command(pid, &flags);
	if (judge_flags(process, &flags, err) != 0 ||
	    judge_signal(process, &status, &flags, err) != 0)
		return -1;
	if (strchr("Tt", status.state) == NULL)
		return 0;
	return err_set(err, ERR_TARGET_UNREACHABLE, "process %" PRId64
	    " (%s) is stopped, by SIGSTOP or a debugger: let it go on "
	    "(kill -CONT %" PRId64 ")", pid, process->name, pid);
}

static int
pid_of_file(const char *path, int64_t *ret_pid, struct err *err)
{
	struct buf text;
	struct err why;
	int ret = -1;

	buf_init(&text, PID_FILE_MAX);
	if (file_read(path, &text, &why) != 0) {
		(void)err_set(err, ERR_TARGET_UNREACHABLE, "the pid file "
		    "cannot be used (%s): does the app run, and do both see "
		    "the file at this path?", why.msg);
		goto out;
	}
	if (text.data != NULL)
		text.data[strcspn(text.data, " \t\r\n")] = '\0';
	/* What else may stand there is not told: the path could be a link. */
	if (str_parse_int(buf_str(&text), 1, INT32_MAX, ret_pid, NULL) != 0)
		(void)err_set(err, ERR_TARGET_REFUSED, "the first line of the "
		    "pid file %s is not a process id", path);
	else
		ret = 0;
out:
	buf_fini(&text);
	return ret;
}

/* Processes of one look around. */
struct crowd {
	size_t len;		/* Node, and catches SIGUSR1 */
	int64_t pid;		/* the first of them */
	int64_t deaf_pid;	/* one that does not catch it; 0: none */
	char names[NAMED_MAX * (PROCESS_NAME_MAX + 24)];
};

static void
crowd_add(struct crowd *crowd, int64_t pid)
{
	const size_t at = strlen(crowd->names);
	char name[PROCESS_NAME_MAX];

	if (crowd->len++ == 0)
		crowd->pid = pid;
	if (crowd->len > NAMED_MAX)
		return;
	name_of(pid, name);
	(void)snprintf(crowd->names + at, sizeof(crowd->names) - at,
	    "%s%" PRId64 " (%s)", at > 0 ? ", " : "", pid, name);
}

static void
crowd_look_at(struct crowd *crowd, int64_t pid, uid_t user)
{
	struct status status;
	char exe[PATH_MAX];

	if (!status_read(pid, &status) || status.real != user ||
	    status.effective != user || link_read(pid, "exe", exe) != 0 ||
	    !is_node_name(exe))
		return;
	if ((status.caught & CATCHES_SIGUSR1) != 0)
		crowd_add(crowd, pid);
	else
		crowd->deaf_pid = pid;
}

static int
look_around(uid_t user, struct crowd *crowd, struct err *err)
{
	const struct dirent *entry;
	DIR *dir = opendir("/proc");
	int64_t pid;

	*crowd = (struct crowd){ .len = 0 };
	if (dir == NULL)
		return err_set_errno(err, ERR_INTERNAL, errno, "/proc");
	while ((entry = readdir(dir)) != NULL)
		if (str_parse_int(entry->d_name, 1, INT32_MAX, &pid, NULL) == 0)
			crowd_look_at(crowd, pid, user);
	(void)closedir(dir);
	return 0;
}

static int
look_for(uid_t user, int64_t *ret_pid, struct err *err)
{
	const struct timespec pause = {0, LOOK_PAUSE_MS * 1000000L};
	struct crowd crowd;
	int looks;

	for (looks = 1; ; looks++) {
		if (look_around(user, &crowd, err) != 0)
			return -1;
		if (crowd.len < 2 || looks == LOOKS)
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (crowd.len > 1)
		return err_set(err, ERR_TARGET_REFUSED, "user %u has %zu "
		    "Node.js processes: %s%s. Set pid to the number of the "
		    "app's, or to a file that has it (each worker of a "
		    "cluster is an [app] of its own)", (unsigned)user,
		    crowd.len, crowd.names, crowd.len > NAMED_MAX ? " ..." : "");
	*ret_pid = crowd.len == 1 ? crowd.pid : crowd.deaf_pid;
	if (*ret_pid == 0)
		return err_set(err, ERR_TARGET_UNREACHABLE, "user %u, as whom "
		    "podprof runs, has no Node.js process that podprof can "
		    "see: run podprof as the app's user and, in containers, "
		    "in one process namespace (shareProcessNamespace)",
		    (unsigned)user);
	return 0;
}

/* What [app NAME] pid says, where it says something. */
static int
read_number(const char *pid, int64_t *ret_number, struct err *err)
{
	return pid[0] == '/' ? pid_of_file(pid, ret_number, err) :
	    str_parse_int(pid, 1, INT32_MAX, ret_number, err);
}

int
process_identify(const char *pid, uid_t user, struct process *ret_process,
    struct err *err)
{
	int64_t number = 0;

	if ((pid[0] == '\0' ? look_for(user, &number, err) :
	    read_number(pid, &number, err)) != 0)
		return -1;
	return identify(number, user, ret_process, err);
}

bool
process_number(const char *pid, int64_t *ret_number, uid_t *ret_user)
{
	struct status status;
	int64_t number;

	if (read_number(pid, &number, NULL) != 0 ||
	    !status_read(number, &status))
		return false;
	*ret_number = number;
	*ret_user = status.effective;
	return true;
}

int
process_find(const char *pid, uid_t user, struct process *ret_process,
    struct err *err)
{
	struct process process;

	if (process_identify(pid, user, &process, err) != 0 ||
	    judge(&process, err) != 0)
		return -1;
	*ret_process = process;
	return 0;
}

/* By a descriptor of the process, where the kernel, or a filter of calls, lets
 * us have one.  0, or an errno. */
static int
send_signal(const struct process *process, int pidfd)
{
	/* The descriptor was there first: if the pid is still the process's
	 * own now, so is the descriptor. */
	if (proc_life(&process->proc) != PROC_ALIVE)
		return ESRCH;
	if (pidfd >= 0 && pidfd_send_signal(pidfd, SIGUSR1, NULL, 0) == 0)
		return 0;
	if (pidfd >= 0 && errno != ENOSYS && errno != EPERM)
		return errno;
	return kill((pid_t)process->proc.pid, SIGUSR1) == 0 ? 0 : errno;
}

/* It is the one that was found, and what was found of it is still so. */
static int
check_again(const struct process *process, struct err *err)
{
	struct process now;

	if (proc_life(&process->proc) != PROC_ALIVE)
		return err_set(err, ERR_TARGET_EXITED,
		    "process %" PRId64 " (%s) has ended", process->proc.pid,
		    process->name);
	if (identify(process->proc.pid, geteuid(), &now, err) != 0)
		return -1;
	return judge(&now, err);
}

int
process_signal(const struct process *process, struct err *err)
{
	int pidfd, errnum, ret = -1;

	pidfd = pidfd_open((pid_t)process->proc.pid, 0);
	if (check_again(process, err) != 0)
		goto out;
	errnum = send_signal(process, pidfd);
	if (errnum == 0)
		ret = 0;
	else if (errnum == ESRCH)
		(void)err_set(err, ERR_TARGET_EXITED,
		    "process %" PRId64 " (%s) has ended", process->proc.pid,
		    process->name);
	else
		(void)err_set_errno(err, ERR_TARGET_REFUSED, errnum,
		    "SIGUSR1 cannot be sent to process %" PRId64 " (%s)",
		    process->proc.pid, process->name);
out:
	if (pidfd >= 0)
		(void)close(pidfd);
	return ret;
}

/* Of /proc/PID/task/TID/stat: the letter behind the name, which may have any
 * character. */
static char
state_of_task(int64_t pid, const char *tid)
{
	char path[64];
	const char *at;
	struct buf text;
	char state = '\0';

	buf_init(&text, STATUS_MAX);
	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/task/%.12s/stat",
	    pid, tid);
	if (file_read(path, &text, NULL) == 0) {
		at = strrchr(buf_str(&text), ')');
		if (at != NULL && at[1] == ' ')
			state = at[2];
	}
	buf_fini(&text);
	return state;
}

enum process_activity
process_look(const struct process *process)
{
	enum process_activity activity = PROCESS_QUIET;
	const struct dirent *entry;
	char path[64], state;
	int64_t tid;
	DIR *dir;

	path_of(process->proc.pid, "task", path);
	dir = opendir(path);
	if (dir == NULL)
		return PROCESS_QUIET;
	while (activity != PROCESS_BUSY && (entry = readdir(dir)) != NULL) {
		if (str_parse_int(entry->d_name, 1, INT32_MAX, &tid, NULL) != 0)
			continue;
		state = state_of_task(process->proc.pid, entry->d_name);
		if (state == 'R' || state == 'D')
			activity = tid == process->proc.pid ? PROCESS_BUSY :
			    PROCESS_STIRRING;
	}
	(void)closedir(dir);
	return activity;
}
