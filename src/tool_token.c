/*
 * podprof token: the tokens file.
 */
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "str.h"
#include "token.h"

static enum tool_status
put_token(const struct tool_call *call, const char *token)
{
	struct json *json = NULL;
	enum tool_status status;
	bool built;

	if (!tool_has(call, OPTION_JSON)) {
		(void)puts(token);
		return tool_finish();
	}
	json = json_new_object();
	built = json_put_string(json, "name", call->args[0]) == 0 &&
	    json_put_string(json, "role", call->values[OPTION_ROLE]) == 0 &&
	    json_put_string(json, "token", token) == 0;
	status = tool_put_json(json, built);
	json_free(&json);
	return status;
}

static int
store_token(const struct tool_call *call, const char *line, struct err *err)
{
	struct conf *conf = NULL;
	int rc;

	if (tool_load_conf(call, &conf, err) != 0)
		return -1;
	rc = token_add(conf->auth_tokens, line, err);
	conf_free(&conf);
	return rc;
}

enum tool_status
tool_token_new(const struct tool_call *call)
{
	char token[TOKEN_MAX], line[TOKEN_LINE_MAX];
	struct err err;
	int role;

	if (!tool_has(call, OPTION_ROLE))
		return tool_usage("--role viewer or --role operator is "
		    "missing", NULL);
	role = conf_role_of_name(call->values[OPTION_ROLE]);
	if (role != ROLE_VIEWER && role != ROLE_OPERATOR)
		return tool_usage("--role is viewer or operator, not",
		    call->values[OPTION_ROLE]);
	if (!str_is_name(call->args[0]))
		return tool_usage("a token's name is 1 to 64 of letters, "
		    "digits, \".\", \"_\", \"-\", not", call->args[0]);
	if (token_make(call->args[0], (enum conf_role)role, token, line,
	    &err) != 0)
		return tool_failed(&err);
	if (tool_has(call, OPTION_PRINT)) {
		(void)fprintf(stderr, "%s\n", line);
	} else if (store_token(call, line, &err) != 0) {
		return tool_failed(&err);
	}
	return put_token(call, token);
}

static enum tool_status
put_token_list(const struct tool_call *call, const struct token_list *list)
{
	struct json *root, *array, *row;
	const struct token *token;
	enum tool_status status;
	bool built;
	size_t i;

	if (!tool_has(call, OPTION_JSON)) {
		for (i = 0; (token = token_list_at(list, i)) != NULL; i++)
			(void)printf("%-8s %s\n", conf_role_name(token->role),
			    token->name);
		return tool_finish();
	}
	root = json_new_object();
	array = json_put_array(root, "tokens");
	built = array != NULL;
	for (i = 0; (token = token_list_at(list, i)) != NULL; i++) {
		row = json_add_object(array);
		built = built &&
		    json_put_string(row, "name", token->name) == 0 &&
		    json_put_string(row, "role",
			conf_role_name(token->role)) == 0;
	}
	status = tool_put_json(array, built);
	json_free(&root);
	return status;
}

/* Whom the file is closed to is refused; any other failure is one. */
static enum tool_status
refuse_list(const char *path, const struct err *err)
{
	const enum tool_status status = tool_failed(err);

	if (err->code == ERR_STORE && access(path, R_OK) != 0 &&
	    errno == EACCES)
		return TOOL_REFUSED;
	return status;
}

enum tool_status
tool_token_list(const struct tool_call *call)
{
	struct token_list *list = NULL;
	struct conf *conf = NULL;
	enum tool_status status;
	struct err err;

	if (tool_load_conf(call, &conf, &err) != 0)
		status = tool_failed(&err);
	else if (token_list_read(conf->auth_tokens, &list, &err) != 0)
		status = refuse_list(conf->auth_tokens, &err);
	else
		status = put_token_list(call, list);
	token_list_free(&list);
	conf_free(&conf);
	return status;
}

enum tool_status
tool_token_rm(const struct tool_call *call)
{
	enum tool_status status = TOOL_DONE;
	struct json *json = NULL;
	struct conf *conf = NULL;
	struct err err;

	if (tool_load_conf(call, &conf, &err) != 0 ||
	    token_remove(conf->auth_tokens, call->args[0], &err) != 0) {
		status = tool_failed(&err);
	} else if (tool_has(call, OPTION_JSON)) {
		json = json_new_object();
		status = tool_put_json(json,
		    json_put_string(json, "removed", call->args[0]) == 0);
	}
	json_free(&json);
	conf_free(&conf);
	return status;
}
