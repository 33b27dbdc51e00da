/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/helper.h"

int helper_exec(const char *helper, char **argv, struct err *e)
{
	char path[PATH_MAX];
	int rc = helper_find(helper, path, e);

	if (rc < 0)
		return rc;
	(void)execv(path, argv);
	return err_sys(e, "%s", path);
}

int helper_verify(const char *dir, struct err *e)
{
	char path[PATH_MAX];
	int rc = helper_find("vrun-pack", path, e), status;
	pid_t pid;

	if (rc < 0)
		return rc;
	pid = fork();
	if (pid < 0)
		return err_sys(e, "%s", path);
	if (pid == 0) {
		(void)execl(path, "vrun-pack", "verify", "-q", "--", dir, (char *)NULL);
		_exit(125);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1) {
		(void)err_set(e, EBADMSG, "bundle %s differs from its manifest", dir);
		return err_hint(e, "\"vrun verify %s\" names each file", dir);
	}
	return err_set(e, EIO, "the bundle %s could not be verified", dir);
}
