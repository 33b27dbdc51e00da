/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process table: from the thread that made a call to a pidfd through which
 * its descriptors can be had, and to what /proc says of those that were asked for.
 *
 * It is a cache of a fixed size, so an app cannot make it grow. An entry may
 * be of a task that is gone and whose number another has now: its pidfd then
 * answers ESRCH, and the entry is made anew. The caller asks notify_valid()
 * after getting a descriptor, as it does after reading memory.
 */
#ifndef VRUN_KERN_PROCS_H
#define VRUN_KERN_PROCS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCS_SLOTS 512
#define PROCS_INFOS 16

struct procs {
	bool threads_known; /* whether pidfds of threads were tried */
	bool threads;       /* there are any (6.9); else those of thread groups serve */
	struct procs_entry {
		pid_t tid;
		int pidfd; /* owned; -1: free */
	} v[PROCS_SLOTS];
	struct procs_info {
		pid_t tid;
		int number; /* a descriptor of its */
		int fd;     /* owned; the fdinfo of that; -1: free */
	} infos[PROCS_INFOS];
};

void procs_init(struct procs *p);
void procs_fini(struct procs *p);

/*
 * A close-on-exec duplicate of the task's descriptor, the caller's, or -EBADF;
 * -ESRCH: the task is gone; -EPERM: no rights over it. Without pidfds of
 * threads also -EOPNOTSUPP, for a thread whose descriptors are not those of
 * its process.
 */
int procs_getfd(struct procs *p, pid_t tid, int fd);

/*
 * Whether a task's descriptor closes at execve(2), which a duplicate does not tell: 0, -errno. Of a file
 * that the caller knows, since the fdinfo of another may be as long as its owner likes. The fdinfo stays open
 * for the next time: the kernel looks for task and descriptor each time that it is read (fs/proc/fd.c, seq_show()).
 */
int procs_cloexec(struct procs *p, pid_t tid, int fd, bool *ret);
/* Whether two tasks have one table of descriptors: a thread may have left that of its process (unshare(2)). */
bool procs_share_files(pid_t pid, pid_t tid);

/*
 * A signal to the task that procs_getfd() was last asked about under that
 * number, never to a later one that has it. Without pidfds of threads to its
 * process.
 */
void procs_signal(const struct procs *p, pid_t tid, int sig);

#endif
