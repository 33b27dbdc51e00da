/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/helper.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
