/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process carries through execve besides identity and capabilities:
 * resource limits, OOM score, scheduling, I/O priority, CPU affinity,
 * personality. Each acts on the calling process.
 */
#ifndef VRUN_KERN_ATTRIBUTES_H
#define VRUN_KERN_ATTRIBUTES_H

#include "base/err.h"
#include "model/bundle.h"

int attributes_set_rlimits(const struct rlimit_entry *v, size_t n, struct err *e);

/* proc_fd: a descriptor of a /proc in which /self is the caller. Lowering the score below what the
 * process was given needs CAP_SYS_RESOURCE outside: -EACCES with a hint. */
int attributes_set_oom_score(int proc_fd, int value, struct err *e);

/* sched_setattr(2), ioprio_set(2), sched_setaffinity(2) from a list such as "0-3,7". */
int attributes_set_scheduler(const struct bundle_scheduler *s, struct err *e);
int attributes_set_ioprio(int ioprio, struct err *e);
int attributes_set_affinity(const char *cpus, struct err *e);

int attributes_set_personality(unsigned long persona, struct err *e);

#endif
