/* SPDX-License-Identifier: Apache-2.0 */
/* Subordinate ids with their helpers, and idmapped mounts. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/num.h"
#include "kern/ids.h"
#include "kern/mount.h"
#include "kern/probe.h"

#define SECONDS 4
#define FIRST_SUBORDINATE 100000U /* SUB_UID_MIN of login.defs(5) */

void probe_idmaps(struct probe_user *u, int userns)
{
	static const char *const paths[PROBE_PATHS] = { [PROBE_PATH_ROOT] = "/",
							[PROBE_PATH_CWD] = ".",
							[PROBE_PATH_TMP] = "/tmp" };

	for (int i = 0; i < PROBE_PATHS; i++) {
		AUTO_FD int fd = -1;
		int rc = mount_clone(AT_FDCWD, paths[i], false, &fd, NULL, paths[i]);

		if (rc == 0)
			rc = mount_change(fd, MOUNT_ATTR_IDMAP, 0, 0, userns, false);
		u->idmap[i] = -rc;
	}
}

/* 0 when the program can do what it is for: set-uid to root, or with the capability in the file. */
static int helper(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if ((st.st_mode & S_ISUID) && st.st_uid == 0)
		return 0;
	return getxattr(path, "security.capability", NULL, 0) > 0 ? 0 : EPERM;
}

static int map_range(const struct probe_user *u, const uint32_t first[2], pid_t pid)
{
	struct idmap_entry uid[2] = { { 0, u->uid, 1 }, { 1, first[0], u->sub_uids } };
	struct idmap_entry gid[2] = { { 0, u->gid, 1 }, { 1, first[1], u->sub_gids } };
	struct idmap uids = { uid, 2 }, gids = { gid, 2 };

	return -ids_run_helpers(pid, &uids, &gids, NULL);
}

static int try_range(const struct probe_user *u, const uint32_t first[2])
{
	int sp[2], result = EPERM;
	char b = 'U';
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sp) < 0)
		return errno;
	pid = fork();
	if (pid == 0) {
		(void)close(sp[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)alarm(SECONDS);
		if (unshare(CLONE_NEWUSER) == 0 && write(sp[1], &b, 1) == 1)
			(void)!read(sp[1], &b, 1);
		_exit(0);
	}
	fd_close(&sp[1]);
	if (pid < 0)
		result = errno;
	else if (read(sp[0], &b, 1) == 1)
		result = map_range(u, first, pid);
	fd_close(&sp[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return result;
}

/* Behind the last range of a file of "name:first:count" lines. */
static void go_past(int etc, const char *file, uint32_t *first)
{
	AUTO_FREE char *text = NULL;
	char *rest, *field[3];

	if (fd_read_file(etc, file, 16U << 20, &text, NULL, NULL) < 0)
		return;
	rest = text;
	while (rest) {
		char *line = strsep(&rest, "\n");
		uint64_t from, count;

		for (size_t i = 0; i < 3; i++)
			field[i] = strsep(&line, ":");
		if (field[2] && num_parse_u64(field[1], 0, UINT32_MAX, &from) == 0 &&
		    num_parse_u64(field[2], 0, UINT32_MAX, &count) == 0 &&
		    from + count < UINT32_MAX && from + count > *first)
			*first = (uint32_t)(from + count);
	}
}

/* Sum of the last column of our own uid map (user_namespaces(7)). */
static uint64_t ids_here(void)
{
	AUTO_FREE char *text = NULL;
	char *rest;
	uint64_t sum = 0, count;

	if (fd_read_file(AT_FDCWD, "/proc/self/uid_map", 65536, &text, NULL, NULL) < 0)
		return 0;
	rest = text;
	while (rest) {
		char *line = strsep(&rest, "\n"), *last = strrchr(line, ' ');

		if (last && num_parse_u64(last + 1, 0, UINT32_MAX, &count) == 0)
			sum += count;
	}
	return sum;
}

void probe_subids(struct probe_user *u)
{
	AUTO_FD int etc = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint32_t first[2] = { 0 }, count[2] = { 0 };

	for (int i = 0; i < 2; i++)
		if (etc < 0 || ids_find_subordinate(etc, i == 1, u->name, u->uid, 1, &first[i],
						    &count[i], NULL) <= 0)
			count[i] = 0;
	u->ids = ids_here();
	u->sub_free = FIRST_SUBORDINATE;
	go_past(etc, "subuid", &u->sub_free);
	go_past(etc, "subgid", &u->sub_free);
	u->sub_uids = count[0];
	u->sub_gids = count[1];
	u->helper_uid = helper("/usr/bin/newuidmap");
	u->helper_gid = helper("/usr/bin/newgidmap");
	if (u->uid != 0 && u->user_ns == 0 && count[0] && count[1] && !u->helper_uid &&
	    !u->helper_gid)
		u->helper_map = try_range(u, first);
}
