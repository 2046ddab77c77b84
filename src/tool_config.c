/*
 * podprof config and check: what is configured, and what is wrong with it.
 */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum tool_status
tool_config_show(const struct tool_call *call)
{
	struct conf *conf = NULL;
	enum tool_status status;
	struct buf text;
	struct err err;
	int rc;

	buf_init(&text, TOOL_OUT_MAX);
	rc = tool_load_conf(call, &conf, &err);
	if (rc == 0 && tool_has(call, OPTION_JSON)) {
		rc = conf_show_json(conf, &text, &err);
		if (rc == 0)
			rc = buf_addc(&text, '\n', &err);
	} else if (rc == 0) {
		rc = conf_show(conf, &text, &err);
	}
	if (rc == 0) {
		(void)fputs(buf_str(&text), stdout);
		status = tool_finish();
	} else {
		status = tool_failed(&err);
	}
	buf_fini(&text);
	conf_free(&conf);
	return status;
}

enum tool_status
tool_config_template(const struct tool_call *call)
{
	enum tool_status status;
	struct buf text;
	struct err err;

	(void)call;
	buf_init(&text, TOOL_OUT_MAX);
	if (conf_template(&text, &err) != 0) {
		status = tool_failed(&err);
	} else {
		(void)fputs(buf_str(&text), stdout);
		status = tool_finish();
	}
	buf_fini(&text);
	return status;
}

struct findings {
	struct json *array;	/* NULL: lines, at once */
	bool built;
};

static const char *const check_words[] = {
	[CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail",
};

static check_report_fn report_finding;
static void
report_finding(void *ctx, enum check_status status, const char *what,
    const char *text)
{
	struct findings *findings = ctx;
	struct json *row;

	if (findings->array == NULL) {
		(void)printf("%-4s %s: ", check_words[status], what);
		tool_put_text(stdout, text);
		(void)putchar('\n');
		return;
	}
	row = json_add_object(findings->array);
	findings->built = findings->built &&
	    json_put_string(row, "status", check_words[status]) == 0 &&
	    json_put_string(row, "what", what) == 0 &&
	    json_put_string(row, "text", text) == 0;
}

/* PODPROF_URL names an app; what is checked stands before all of them. */
static enum tool_status
check_url(const char *url)
{
	static const char papi[] = "/private/papi";
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	if (len < sizeof(papi) || strncmp(url + len - (sizeof(papi) - 1), papi,
	    sizeof(papi) - 1) != 0)
		return TOOL_DONE;
	len -= sizeof(papi) - 1;
	while (len > 0 && url[len - 1] != '/')
		len--;
	/* "http://HOST/private/papi" has no app. */
	if (len < 2 || url[len - 2] == '/')
		return TOOL_DONE;
	tool_complain("--url %.300s is the address of an app; check wants what "
	    "stands before it: --url %.*s", url, (int)len - 1, url);
	return TOOL_USAGE;
}

enum tool_status
tool_check(const struct tool_call *call)
{
	const struct check_options options = {
	    .socket = call->values[OPTION_SOCKET],
	    .url = call->values[OPTION_URL],
	    .token = getenv("PODPROF_TOKEN")};
	struct findings findings = {.built = true};
	struct json *root = NULL;
	struct conf *conf = NULL;
	bool sound = false;
	enum tool_status status;
	struct err err;

	if (options.url != NULL && check_url(options.url) != TOOL_DONE)
		return TOOL_USAGE;
	if (tool_has(call, OPTION_JSON)) {
		root = json_new_object();
		findings.array = json_put_array(root, "findings");
		if (findings.array == NULL) {
			json_free(&root);
			return tool_put_json(NULL, false);
		}
	}
	/* Without a configuration there is nothing else to look at. */
	if (tool_load_conf(call, &conf, &err) != 0)
		report_finding(&findings, CHECK_FAIL, "configuration",
		    err.msg);
	else
		sound = check_run(conf, &options, report_finding, &findings);
	status = root != NULL ? tool_put_json(findings.array, findings.built)
			      : tool_finish();
	json_free(&root);
	conf_free(&conf);
	return status == TOOL_DONE && !sound ? TOOL_FAILED : status;
}
