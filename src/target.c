/*
 * Discovery.  Node answers only to a Host header that is an IP literal or
 * "localhost" (its guard against DNS rebinding), so names are resolved here;
 * and the address it gives for its session is built from that header, so only
 * the path of it is used.
 */
#include "target.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buf.h"
#include "evaluate.h"
#include "json.h"
#include "str.h"

#define LIST_BYTES_MAX (1 << 20)

/* Where SIGUSR1 opens the inspector of a process that was not told a port. */
#define NODE_PORT 9229

/*
 * What target_ask() has the app run.  It only reads, keeps to what every Node
 * from 18 on has, and goes on where something is missing: an app may have
 * replaced any global, /proc may be hidden, and under --inspect-brk neither
 * `require` nor process.pid work yet.  It gives JSON, where the first of two
 * equal names counts.
 *
 *	{"pid","node","arch","addonsOff","rss","rssPeak","heapUsed",
 *	"heapLarge","heapYoung","memAvailable","constrained","available",
 *	"groups":[[limit,used,cached],…]}
 *
 * groups are the app's memory control groups and those above, as far as they
 * are mounted; those without a limit are left out.  In a container the group's
 * own path often is not to be seen: the root of the mount is the container's.
 */
static const char ASK[] =
    "reset => {\n"
    "let p = globalThis.process, fs, v8, text = '';\n"
    "const tell = (name, find) => { try {\n"
    "  const v = find();\n"
    "  if (typeof v === 'number' && v >= 0 && v < 2 ** 53)\n"
    "    text += ',\"' + name + '\":' + v;\n"
    "  else if (typeof v === 'string' && /^[0-9A-Za-z_.+-]+$/.test(v))\n"
    "    text += ',\"' + name + '\":\"' + v + '\"';\n"
    "} catch {} };\n"
    "const load = name => {\n"
    "  try { return p.getBuiltinModule(name) } catch {}\n"
    "  try { return require(name) } catch {}\n"
    "};\n"
    "const read = path => fs.readFileSync(path, 'utf8');\n"
    "const field = (lines, name) => {\n"
    "  const at = ('\\n' + lines).indexOf('\\n' + name);\n"
    "  return at < 0 ? NaN : parseInt(lines.slice(at + name.length));\n"
    "};\n"
    /* Control groups. */
    "const bytes = path => {\n"
    "  try { const n = +read(path); return n >= 0 && n < 2 ** 53 ? n : -1 }\n"
    "  catch { return -1 }\n"
    "};\n"
    "const cached = (path, head) => { try {\n"
    "  const lines = read(path), f = name => field(lines, head + name) || 0;\n"
    "  return f('active_file ') + f('inactive_file ') +\n"
    "    f('slab_reclaimable ') - f('mapped_file ') - f('file_mapped ');\n"
    "} catch { return 0 } };\n"
    "const groups = [];\n"
    "const group = (dir, limit, used, head) => {\n"
    "  const n = bytes(dir + limit);\n"
    "  if (n >= 0) groups.push('[' + n + ',' + bytes(dir + used) + ',' +\n"
    "    cached(dir + 'stat', head) + ']');\n"
    "};\n"
    "const climb = (base, path, isV2) => {\n"
    "  for (let n = 0; n < 32; n++) {\n"
    "    const dir = base + path + '/memory.';\n"
    "    if (isV2) {\n"
    "      group(dir, 'max', 'current', '');\n"
    "      group(dir, 'high', 'current', '');\n"
    "    } else\n"
    "      group(dir, 'limit_in_bytes', 'usage_in_bytes', 'total_');\n"
    "    if (path === '') return;\n"
    "    path = path.slice(0, path.lastIndexOf('/'));\n"
    "  }\n"
    "};\n"
    "const plain = s => s.replace(/\\\\([0-7]{3})/g, (all, octal) =>\n"
    "  String.fromCharCode(parseInt(octal, 8)));\n"
    "const mounts = isV2 => {\n"
    "  const found = [];\n"
    "  for (const line of read('/proc/self/mountinfo').split('\\n')) {\n"
    "    const [left, right] = line.split(' - ');\n"
    "    const [type, , options] = (right || '').split(' ');\n"
    "    if (isV2 ? type !== 'cgroup2' : type !== 'cgroup' ||\n"
    "      !options.split(',').includes('memory')) continue;\n"
    "    const [, , , root, at] = left.split(' ');\n"
    "    found.push([root === '/' ? '' : plain(root), plain(at)]);\n"
    "  }\n"
    "  return found;\n"
    "};\n"
    "const hierarchy = (path, isV2) => {\n"
    "  const all = mounts(isV2);\n"
    "  if (path === '/' || path.startsWith('/..')) path = '';\n"
    "  const own = all.find(([root]) =>\n"
    "    path === root || path.startsWith(root + '/'));\n"
    "  if (own) climb(own[1], path.slice(own[0].length), isV2);\n"
    "  else if (all.length > 0) climb(all[0][1], '', isV2);\n"
    "};\n"
    "const look = () => {\n"
    "  for (const line of read('/proc/self/cgroup').split('\\n')) try {\n"
    "    const [id, names, ...path] = line.split(':');\n"
    "    const isV2 = id === '0' && names === '';\n"
    "    if (isV2 || names.split(',').includes('memory'))\n"
    "      hierarchy(path.join(':'), isV2);\n"
    "  } catch {}\n"
    "};\n"
    "p = load('process') || p; fs = load('fs'); v8 = load('v8');\n"
    "tell('pid', () => p.pid);\n"
    "tell('pid', () => +fs.readlinkSync('/proc/self'));\n"
    "tell('node', () => p.version);\n"
    "tell('arch', () => p.arch);\n"
    /* The last one counts, and the command line is read last. */
    "tell('addonsOff', () => [p.env.NODE_OPTIONS || '', ...p.execArgv]\n"
    "  .join(' ').replace(/_/g, '-').split(' ').reduce((off, word) =>\n"
    "  word === '--no-addons' ? 1 : word === '--addons' ? 0 : off, 0));\n"
    "const status = name => field(read('/proc/self/status'), name) * 1024;\n"
    "tell('rss', () => status('VmRSS:'));\n"
    "tell('rss', () => p.memoryUsage().rss);\n"
    /* Told only if it could be begun anew. */
    "tell('rssPeak', () => {\n"
    "  if (reset) fs.writeFileSync('/proc/self/clear_refs', '5');\n"
    "  return status('VmHWM:');\n"
    "});\n"
    "tell('heapUsed', () => v8.getHeapStatistics().used_heap_size);\n"
    "tell('heapUsed', () => p.memoryUsage().heapUsed);\n"
    "const spaces = pattern => v8.getHeapSpaceStatistics().reduce(\n"
    "  (sum, space) => sum + (pattern.test(space.space_name) ?\n"
    "  space.space_used_size : 0), 0);\n"
    "tell('heapLarge', () => spaces(/large_object_space$/));\n"
    "tell('heapYoung', () => spaces(/^new_space$/));\n"
    "tell('memAvailable', () => 1024 *\n"
    "  field(read('/proc/meminfo'), 'MemAvailable:'));\n"
    "tell('constrained', () => p.constrainedMemory());\n"
    "tell('available', () => p.availableMemory());\n"
    "try { look() } catch {}\n"
    "return '{\"groups\":[' + groups.join(',') + ']' + text + '}';\n"
    "}";

/* No machine has as much; nor may what the app says overflow a sum. */
#define FACT_BYTES_MAX ((int64_t)1 << 50)
#define ANSWER_BYTES_MAX (64 << 10)

/* HOST:PORT[/PATH] behind an optional "ws://", taken apart. */
struct place {
	char host[256];
	char port[8];
	char path[TARGET_PATH_MAX];	/* "" if none */
};

static int
place_parse(const char *inspector, struct place *place, struct err *err)
{
	const char *at = inspector;
	const char *host_end, *port, *path;
	size_t host_len;

	if (strncmp(at, "ws://", 5) == 0)
		at += 5;
	path = at + strcspn(at, "/");
	if (*at == '[') {
		at++;
		host_end = strchr(at, ']');
		port = host_end == NULL ? NULL : host_end + 1;
	} else {
		host_end = memchr(at, ':', (size_t)(path - at));
		port = host_end;
	}
	host_len = host_end == NULL ? 0 : (size_t)(host_end - at);
	if (port == NULL || *port != ':' || host_len == 0 ||
	    host_len >= sizeof(place->host) ||
	    (size_t)(path - port - 1) >= sizeof(place->port) ||
	    !str_copy(place->path, sizeof(place->path), path))
		return err_set(err, ERR_INVALID,
		    "inspector \"%s\" is neither HOST:PORT nor "
		    "ws://HOST:PORT/UUID", inspector);
	memcpy(place->host, at, host_len);
	place->host[host_len] = '\0';
	memcpy(place->port, port + 1, (size_t)(path - port - 1));
	place->port[path - port - 1] = '\0';
	return 0;
}

static int
place_resolve(const struct place *place, struct addrinfo **ret_list,
    struct err *err)
{
	struct addrinfo hints;
	int fault;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	fault = getaddrinfo(place->host, place->port, &hints, ret_list);
	if (fault == 0)
		return 0;
	return err_set(err, ERR_TARGET_UNREACHABLE,
	    "the inspector's host \"%s\" does not resolve: %s", place->host,
	    gai_strerror(fault));
}

static int
address_of(const struct addrinfo *found, struct ws_address *ret_address,
    struct err *err)
{
	char port[8];
	int fault = getnameinfo(found->ai_addr, found->ai_addrlen,
	    ret_address->ip, sizeof(ret_address->ip), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV);

	if (fault != 0)
		return err_set(err, ERR_TARGET_UNREACHABLE,
		    "the inspector's host has no usable address: %s",
		    gai_strerror(fault));
	ret_address->port = (uint16_t)strtoul(port, NULL, 10);
	return 0;
}

/* Say where the error came from and, where it helps, what to do. */
static int
explain(struct err *err, const struct ws_address *address)
{
	struct err cause;
	char where[64];

	if (err == NULL)
		return -1;
	cause = *err;
	(void)snprintf(where, sizeof(where),
	    strchr(address->ip, ':') != NULL ? "[%s]:%u" : "%s:%u",
	    address->ip, (unsigned)address->port);
	switch ((int)cause.code) {
	case ERR_TARGET_UNREACHABLE:
		return err_set(err, cause.code, "no inspector at %s (%s): "
		    "start the app with --inspect=%s%s, and check `inspector` "
		    "of its [app] section", where, cause.msg, where,
		    address->port == NODE_PORT ?
		    " (or send its process SIGUSR1)" : "");
	case ERR_TARGET_TIMEOUT:
		return err_set(err, cause.code, "the inspector at %s does not "
		    "answer: the process may be stopped (SIGSTOP, a debugger) "
		    "or starved of CPU, or something, such as a firewall, "
		    "drops what is sent there", where);
	case ERR_TARGET_REFUSED:
	case ERR_TARGET_EXITED:
		return err_set(err, ERR_TARGET_REFUSED, "what listens at %s "
		    "does not answer as a Node inspector (%s): check "
		    "`inspector` of the [app] section", where, cause.msg);
	default:
		return -1;
	}
}

/* The path of the first Node target in the answer of /json/list. */
static int
list_pick(const char *text, size_t len, char path[TARGET_PATH_MAX],
    struct err *err)
{
	struct json *list = NULL;
	const struct json *item;
	const char *type, *url, *at;
	int ret = -1;

	if (json_parse(text, len, &list, err) != 0 &&
	    (err == NULL || err->code == ERR_NOMEM))
		goto out;
	if (!json_is_array(list)) {
		(void)err_set(err, ERR_TARGET_REFUSED,
		    "GET /json/list gave no list");
		goto out;
	}
	for (item = json_first(list); item != NULL; item = json_next(item)) {
		type = json_string(json_get(item, "type"));
		url = json_string(json_get(item, "webSocketDebuggerUrl"));
		if (type == NULL || strcmp(type, "node") != 0 || url == NULL ||
		    strncmp(url, "ws://", 5) != 0)
			continue;
		at = strchr(url + 5, '/');
		if (at == NULL || !str_is_visible(at) ||
		    !str_copy(path, TARGET_PATH_MAX, at))
			continue;
		ret = 0;
		goto out;
	}
	(void)err_set(err, ERR_TARGET_REFUSED,
	    "GET /json/list names no Node process");
out:
	json_free(&list);
	return ret;
}

static int
list_get(struct ws *ws, const struct ws_address *address, int64_t deadline_ms,
    char path[TARGET_PATH_MAX], struct err *err)
{
	struct buf body;
	int status = 0, ret = -1;

	buf_init(&body, LIST_BYTES_MAX);
	if (ws_get(ws, address, "/json/list", deadline_ms, &body, &status,
		err) != 0)
		goto out;
	if (status != 200) {
		(void)err_set(err, ERR_TARGET_REFUSED,
		    "GET /json/list answered %d; an app started with "
		    "--inspect-publish-uid=stderr needs inspector = "
		    "ws://HOST:PORT/UUID", status);
		goto out;
	}
	ret = list_pick(buf_str(&body), body.len, path, err);
out:
	buf_fini(&body);
	return ret;
}

/* Is it there, and at which path? */
static int
address_try(struct ws *ws, const struct place *place, int64_t deadline_ms,
    struct target *target, struct err *err)
{
	struct buf body;
	int status, ret;

	if (place->path[0] == '\0')
		return list_get(ws, &target->address, deadline_ms, target->path,
		    err);
	/* With --inspect-publish-uid=stderr the answer is 404: any will do. */
	buf_init(&body, LIST_BYTES_MAX);
	ret = ws_get(ws, &target->address, "/json/version", deadline_ms, &body,
	    &status, err);
	buf_fini(&body);
	(void)str_copy(target->path, sizeof(target->path), place->path);
	return ret;
}

int
target_find(struct ws *ws, const char *inspector, int64_t deadline_ms,
    struct target *ret_target, struct err *err)
{
	struct addrinfo *list = NULL, *found;
	struct place place = { .path = "" };
	struct target target;
	struct err why;
	int ret = -1;

	memset(&target, 0, sizeof(target));
	(void)err_set(&why, ERR_TARGET_UNREACHABLE, "it has no address");
	if (place_parse(inspector, &place, err) != 0 ||
	    place_resolve(&place, &list, err) != 0)
		return -1;
	/* A name may stand for ::1 and 127.0.0.1, and Node listens on one. */
	for (found = list; found != NULL && ret != 0; found = found->ai_next) {
		if (address_of(found, &target.address, &why) != 0)
			continue;
		ret = address_try(ws, &place, deadline_ms, &target, &why);
		if (ret != 0 && why.code != ERR_TARGET_UNREACHABLE)
			break;
	}
	freeaddrinfo(list);
	if (ret == 0) {
		*ret_target = target;
		return 0;
	}
	(void)explain(&why, &target.address);
	return err_set(err, why.code, "%s", why.msg);
}

int
target_attach(struct ws *ws, const struct target *target, int64_t deadline_ms,
    const struct cdp_handler *handler, struct cdp **ret_cdp, struct err *err)
{
	if (cdp_open(ws, &target->address, target->path, deadline_ms, handler,
		ret_cdp, err) != 0)
		return explain(err, &target->address);
	return 0;
}

static int64_t
fact(const struct json *value, int64_t max)
{
	int64_t n = json_int(value, -1);

	return n >= 0 && n <= max ? n : -1;
}

static int64_t
fact_bytes(const struct json *facts, const char *name)
{
	return fact(json_get(facts, name), FACT_BYTES_MAX);
}

static void
fact_word(const struct json *facts, const char *name, char *out, size_t size)
{
	const char *word = json_string(json_get(facts, name));

	if (word == NULL || !str_is_visible(word) ||
	    !str_copy(out, size, word))
		out[0] = '\0';
}

/* The smaller of two that may be unknown. */
static int64_t
smaller(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* One of "groups": its limit, and what is left below it. */
static void
judge_group(const struct json *group, struct target_facts *facts)
{
	const struct json *item = json_first(group);
	int64_t limit, used, cached;

	if (!json_is_array(group))
		return;
	limit = fact(item, FACT_BYTES_MAX);
	item = json_next(item);
	used = fact(item, FACT_BYTES_MAX);
	cached = fact(json_next(item), FACT_BYTES_MAX);
	if (limit < 0)
		return;
	facts->limit_bytes = smaller(facts->limit_bytes, limit);
	if (used < 0)
		return;
	if (cached > 0)
		used -= cached < used ? cached : used;
	facts->available_bytes = smaller(facts->available_bytes,
	    used < limit ? limit - used : 0);
}

static void
judge_memory(const struct json *json, struct target_facts *facts)
{
	const struct json *groups = json_get(json, "groups"), *group = NULL;
	const int64_t machine = fact_bytes(json, "memAvailable");
	int64_t left;

	facts->limit_bytes = -1;
	facts->available_bytes = -1;
	if (json_is_array(groups))
		group = json_first(groups);
	for (; group != NULL; group = json_next(group))
		judge_group(group, facts);
	/* Node's own view: 0 where it has none, and an availableMemory() that
	 * counts what is only cached as taken. */
	left = fact_bytes(json, "constrained");
	if (facts->limit_bytes < 0 && left > 0)
		facts->limit_bytes = left;
	if (facts->available_bytes < 0 &&
	    (facts->limit_bytes >= 0 || machine < 0))
		facts->available_bytes = fact_bytes(json, "available");
	if (facts->available_bytes < 0 && facts->limit_bytes >= 0 &&
	    facts->rss_bytes >= 0)
		facts->available_bytes = facts->rss_bytes <
		    facts->limit_bytes ?
		    facts->limit_bytes - facts->rss_bytes : 0;
	facts->available_bytes = smaller(facts->available_bytes, machine);
}

static int
facts_read(const char *text, size_t len, struct target_facts *ret_facts,
    struct err *err)
{
	struct target_facts facts;
	struct json *json = NULL;
	int ret = -1;

	if (json_parse(text, len, &json, err) != 0) {
		if (err == NULL || err->code != ERR_NOMEM)
			(void)err_set(err, ERR_TARGET_REFUSED,
			    "the app's answer about itself is not JSON");
		goto out;
	}
	if (!json_is_object(json)) {
		(void)err_set(err, ERR_TARGET_REFUSED,
		    "the app's answer about itself is no object");
		goto out;
	}
	facts.pid = fact(json_get(json, "pid"), INT32_MAX);
	fact_word(json, "node", facts.node, sizeof(facts.node));
	fact_word(json, "arch", facts.arch, sizeof(facts.arch));
	facts.is_addons_off = json_int(json_get(json, "addonsOff"), 0) == 1;
	facts.rss_bytes = fact_bytes(json, "rss");
	facts.rss_peak_bytes = fact_bytes(json, "rssPeak");
	facts.heap_used_bytes = fact_bytes(json, "heapUsed");
	facts.heap_large_bytes = fact(json_get(json, "heapLarge"),
	    facts.heap_used_bytes);
	facts.heap_young_bytes = fact(json_get(json, "heapYoung"),
	    facts.heap_used_bytes);
	judge_memory(json, &facts);
	*ret_facts = facts;
	ret = 0;
out:
	json_free(&json);
	return ret;
}

int
target_ask(struct cdp *cdp, const struct cdp_limit *limit, bool is_reset,
    struct target_facts *ret_facts, struct err *err)
{
	const char *const args[] = { is_reset ? "reset" : "", NULL };
	struct buf answer;
	int ret = -1;

	buf_init(&answer, ANSWER_BYTES_MAX);
	if (evaluate(cdp, ASK, args, limit, &answer, err) != 0)
		(void)err_wrap(err, "what the app tells about itself");
	else
		ret = facts_read(buf_str(&answer), answer.len, ret_facts, err);
	buf_fini(&answer);
	return ret;
}
