/*
 * Finding state_dir's owner, and becoming him.
 */
#include "owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "str.h"

int
owner_find(const char *state_dir, struct owner *ret_owner, struct err *err)
{
	const uid_t uid = geteuid();
	const struct passwd *entry;
	struct owner owner;
	struct stat st;

	if (stat(state_dir, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(err, ERR_NOT_FOUND, "there is no podprof on "
		    "this machine: its state_dir %s is not there; name a "
		    "service by --url, or another configuration by -c",
		    state_dir);
	if (stat(state_dir, &st) != 0)
		return err_set_errno(err, ERR_STORE, errno, "state_dir %s",
		    state_dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_STORE, "state_dir %s is no directory",
		    state_dir);
	memset(&owner, 0, sizeof(owner));
	owner.uid = st.st_uid;
	owner.gid = st.st_gid;
	entry = getpwuid(st.st_uid);
	if (entry != NULL)
		owner.gid = entry->pw_gid;
	if (entry == NULL ||
	    !str_copy(owner.name, sizeof(owner.name), entry->pw_name))
		(void)snprintf(owner.name, sizeof(owner.name), "uid %lu",
		    (unsigned long)st.st_uid);
	if (uid != 0 && uid != owner.uid)
		return err_set(err, ERR_FORBIDDEN, "state_dir %s belongs to "
		    "%s, and only that user and root may use it: run this "
		    "with sudo, or name the service's address by --url",
		    state_dir, owner.name);
	*ret_owner = owner;
	return 0;
}

/* With no name there is no list of his groups. */
static int
set_groups(const struct owner *owner)
{
	const struct passwd *entry = getpwuid(owner->uid);

	if (entry != NULL)
		return initgroups(entry->pw_name, entry->pw_gid);
	return setgroups(0, NULL);
}

int
owner_become(const struct owner *owner, struct err *err)
{
	if (geteuid() == owner->uid)
		return 0;
	if (set_groups(owner) != 0 ||
	    setresgid(owner->gid, owner->gid, owner->gid) != 0 ||
	    setresuid(owner->uid, owner->uid, owner->uid) != 0)
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot become %s, the owner of state_dir", owner->name);
	return 0;
}
