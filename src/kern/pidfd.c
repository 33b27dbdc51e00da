/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/pidfd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"

pid_t pidfd_number(int pidfd)
{
	AUTO_FREE char *text = NULL;
	char path[64], *p;
	uint64_t pid;

	(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	if (fd_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return -ESRCH;
	p = strstr(text, "\nPid:\t");
	if (!p)
		return -ESRCH;
	p += strlen("\nPid:\t");
	p[strcspn(p, "\n")] = '\0';
	return num_parse_u64(p, 1, INT32_MAX, &pid) < 0 ? -ESRCH : (pid_t)pid;
}
