/*
 * podprof get: the file of a job, once it is over.
 */
#include "tool.h"

#include <string.h>

enum tool_status
tool_check_output(const struct tool_call *call)
{
	const char *path = call->values[OPTION_OUTPUT];

	if (path != NULL && path[0] == '\0')
		return tool_usage("-o needs the name of a file, or -", NULL);
	if (path != NULL && strcmp(path, "-") == 0 &&
	    tool_has(call, OPTION_JSON))
		return tool_usage("-o - and --json both want standard output",
		    NULL);
	return TOOL_DONE;
}

enum tool_status
tool_get(const struct tool_call *call)
{
	enum tool_status status = tool_check_output(call);
	struct tool_service service;
	char id[UUID_MAX];
	struct err err;

	if (status != TOOL_DONE)
		return status;
	status = tool_open(call, &service);
	if (status == TOOL_DONE &&
	    fetch_check_place(call->values[OPTION_OUTPUT], &err) != 0)
		status = tool_failed(&err);
	if (status == TOOL_DONE &&
	    tool_find_id(service.client, call->args[0], id, &err) != 0)
		status = tool_refused(&err);
	if (status == TOOL_DONE) {
		tool_catch_signals(&service);
		status = tool_bring(&service, id);
	}
	tool_close(&service);
	return status;
}
