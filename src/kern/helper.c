/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define MEMORY "/memfd:"

int helper_find(const char *helper, char path[static PATH_MAX], struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		/* A copy in memory bears the name of what it was made from (run/selfexe.c). */
		if (strncmp(path, MEMORY, strlen(MEMORY)) == 0)
			memmove(path, path + strlen(MEMORY), strlen(path + strlen(MEMORY)) + 1);
		slash = strrchr(path, '/');
		if (slash && (size_t)snprintf(slash + 1, PATH_MAX - (size_t)(slash + 1 - path), "%s", helper) <
				     PATH_MAX - (size_t)(slash + 1 - path) &&
		    access(path, X_OK) == 0)
			return 0;
	}
	(void)snprintf(path, PATH_MAX, "%s/%s", VRUN_LIBEXECDIR, helper);
	if (access(path, X_OK) == 0)
		return 0;
	(void)err_sys(e, "helper program %s", path);
	return err_hint(e, "\"make install\" puts it there");
}

int helper_open(const char *helper, bool by_others, struct err *e)
{
	char path[PATH_MAX];
	AUTO_FD int fd = -1;
	struct stat st;
	int rc = helper_find(helper, path, e);

	if (rc < 0)
		return rc;
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "helper program %s", path);
	if (by_others && !(st.st_mode & S_IXOTH)) {
		(void)err_num(e, EACCES, "helper program %s", path);
		return err_hint(e, "it runs with ids of its own: chmod a+rx %s", path);
	}
	return fd_take(&fd);
}

void helper_exec_fd(int fd, const char *name)
{
	char *argv[] = { (char *)(uintptr_t)name, NULL }, *envp[] = { NULL };

	(void)syscall(__NR_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}
