/* SPDX-License-Identifier: Apache-2.0 */
/* With whose rights a task acts, from /proc/TID/status (proc_pid_status(5)). */
#ifndef VRUN_KERN_TASKSTATUS_H
#define VRUN_KERN_TASKSTATUS_H

#include <stdint.h>
#include <sys/types.h>

#define TASKSTATUS_GROUPS_MAX 256

struct taskstatus {
	uint32_t uid, gid;  /* those for files (fsuid, fsgid) */
	uint32_t umask;
	uint64_t effective; /* capabilities, in its user namespace */
	uint32_t n_groups;
	uint32_t groups[TASKSTATUS_GROUPS_MAX];
};

/*
 * As numbers of the task's own user namespace, whether that is the caller's or one
 * below. -ESRCH: it is gone; -E2BIG: too many groups; -EOVERFLOW: an id that has
 * no number there.
 */
int taskstatus_read(pid_t tid, struct taskstatus *ret);

#endif
