/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/procstat.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"

#define FIELD_STATE 3
#define FIELD_START 22

int procstat_read(pid_t pid, struct procstat *ret)
{
	AUTO_FREE char *text = NULL;
	struct procstat st = { 0 };
	char path[48], *p;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (pid <= 0 || fd_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0)
		return -ESRCH;
	/* The program's name is in brackets and may have any byte in it, also brackets. */
	p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return -ESRCH;
	st.state = p[2];
	p += 2;
	for (int field = FIELD_STATE; p && field < FIELD_START; field++)
		p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL;
	if (!p)
		return -ESRCH;
	p[strcspn(p, " \n")] = '\0';
	if (num_parse_u64(p, 0, UINT64_MAX, &st.start_time) < 0)
		return -ESRCH;
	*ret = st;
	return 0;
}
