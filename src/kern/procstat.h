/* SPDX-License-Identifier: Apache-2.0 */
/* What tells a process from a later one with its number. */
#ifndef VRUN_KERN_PROCSTAT_H
#define VRUN_KERN_PROCSTAT_H

#include <stdint.h>
#include <sys/types.h>

struct procstat {
	char state; /* 'Z': a zombie */
	uint64_t start_time; /* clock ticks since boot, proc_pid_stat(5) */
};

/* 0; -ESRCH when there is no such process. */
int procstat_read(pid_t pid, struct procstat *ret);

#endif
