/* SPDX-License-Identifier: Apache-2.0 */
#include "run/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/supervisor.h"

static bool starts_with(const char *name, const char *start)
{
	return strncmp(name, start, strlen(start)) == 0;
}

static int only_sockets(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot && strcmp(dot, ".sock") == 0 && (starts_with(d->d_name, "supervisor-") || starts_with(d->d_name, "fabric-"));
}

static bool is_old(int state_fd, const char *name)
{
	struct stat st;

	return fstatat(state_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
	       time(NULL) - st.st_mtime >= SWEEP_AGE;
}

/* Nobody makes one of the same name meanwhile: that is done under the directory's lock (supervisor.c). */
static void remove_dead(int state_fd, const char *name)
{
	AUTO_FD int lock = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return; /* somebody is starting one; there will be another time */
	if (is_old(state_fd, name) && supervisor_is_dead(state_fd, name))
		(void)unlinkat(state_fd, name, 0);
}

void sweep_sockets(int state_fd)
{
	struct dirent **list = NULL;
	int n = scandirat(state_fd, ".", &list, only_sockets, NULL);

	for (int i = 0; i < n; i++) {
		if (is_old(state_fd, list[i]->d_name) && supervisor_is_dead(state_fd, list[i]->d_name))
			remove_dead(state_fd, list[i]->d_name);
		free(list[i]);
	}
	free(list);
}
