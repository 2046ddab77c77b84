/*
 * The file that is shared:
 *
 *	"12345678 pod-1 1 \n"		by clock_mono_ms(): up
 *	"12345678 pod-1 0 health_url answered 500\n"
 */
#include "share.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifact.h"
#include "clock.h"
#include "file.h"
#include "str.h"

#define TEXT_MAX (ERR_MSG_MAX + 512)

struct share {
	int fd;		/* holds the lock */
	const char *pod;
};

int
share_open(const char *state_dir, const char *app, const char *pod,
    int64_t deadline_ms, struct share **ret_share, struct err *err)
{
	int64_t wait_ms = deadline_ms - clock_mono_ms();
	struct share *share = NULL;
	char path[ARTIFACT_PATH_MAX];
	int n, rc;

	n = snprintf(path, sizeof(path), "%s/health-%s", state_dir, app);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(err, ERR_STORE, "state_dir is too long");
	share = malloc(sizeof(*share));
	if (share == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a probe");
	share->pod = pod;
	rc = file_lock(
	    path, true, wait_ms > 0 ? wait_ms : 0, &share->fd, err);
	if (rc == 1) {
		*ret_share = share;
		return 0;
	}
	free(share);
	if (rc == 0)
		return err_set(err, ERR_TARGET_TIMEOUT,
		    "health_url was not to be asked in time");
	return -1;
}

/* One line, all of it ours. */
static bool
parse(char *text, const char *pod, int64_t *ret_at_ms, int *ret_up,
    char **ret_why)
{
	char *end = strchr(text, '\n'), *up;
	const size_t pod_len = strlen(pod);

	if (end == NULL || end[1] != '\0')
		return false;
	*end = '\0';
	up = strchr(text, ' ');
	if (up == NULL || strncmp(up + 1, pod, pod_len) != 0)
		return false;
	*up = '\0';
	up += 1 + pod_len;
	if (up[0] != ' ' || (up[1] != '0' && up[1] != '1') || up[2] != ' ')
		return false;
	*ret_up = up[1] == '1';
	*ret_why = up + 3;
	return str_parse_int(text, 0, INT64_MAX, ret_at_ms, NULL) == 0 &&
	    str_is_utf8(*ret_why, strlen(*ret_why));
}

bool
share_read(const struct share *share, int64_t fresh_ms, int *ret_up,
    struct err *ret_why)
{
	const int64_t now_ms = clock_mono_ms();
	char text[TEXT_MAX + 1], *why;
	int64_t at_ms;
	ssize_t n;
	int up;

	n = pread(share->fd, text, TEXT_MAX, 0);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (strlen(text) != (size_t)n ||
	    !parse(text, share->pod, &at_ms, &up, &why) ||
	    at_ms > now_ms || now_ms - at_ms >= fresh_ms)
		return false;
	if (up == 0)
		(void)err_set(ret_why, ERR_UNHEALTHY, "%s", why);
	*ret_up = up;
	return true;
}

void
share_write(const struct share *share, int up, const struct err *why)
{
	char text[TEXT_MAX];
	int n;

	n = snprintf(text, sizeof(text), "%" PRId64 " %s %d %s\n",
	    clock_mono_ms(), share->pod, up, up == 1 ? "" : why->msg);
	if (n > 0 && (size_t)n < sizeof(text) && ftruncate(share->fd, 0) == 0)
		(void)!pwrite(share->fd, text, (size_t)n, 0);
}

void
share_close(struct share **share)
{
	if (*share == NULL)
		return;
	file_unlock(&(*share)->fd);
	free(*share);
	*share = NULL;
}
