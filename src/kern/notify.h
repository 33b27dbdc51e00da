/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener of a seccomp filter: system calls that wait for an answer
 * (seccomp_unotify(2)). Nothing here decides anything.
 */
#ifndef VRUN_KERN_NOTIFY_H
#define VRUN_KERN_NOTIFY_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct notify {
	int fd;            /* owned; readable when a call waits, EPOLLHUP when no task is left */
	bool sync_wake_up; /* the kernel wakes the other side on this CPU (6.6) */
	size_t size;       /* of the kernel's struct seccomp_notif */
	void *buf;         /* that many bytes */
};

/* Takes the fd, which stays the caller's on failure. -EINVAL when it is no listener. */
int notify_init(struct notify *n, int fd, struct err *e);
void notify_fini(struct notify *n);

/*
 * Takes one waiting call. Only after the fd polled readable, else it may
 * block. -ENOENT: the call was given up meanwhile; -EINTR. The pid is that of
 * the thread in the reader's pid namespace; 0 when it is not visible there.
 */
int notify_receive(struct notify *n, struct seccomp_notif *ret);

/*
 * The three answers; each ends the call. `error` is positive, and then the
 * value does not count. -ENOENT: nobody waits any more (interrupted, killed);
 * -EINPROGRESS: it has an answer already.
 */
int notify_reply(const struct notify *n, uint64_t id, int64_t value, int error);
int notify_continue(const struct notify *n, uint64_t id);
/* Installs a duplicate of fd in the task, which gets its number as the call's value; returns it. Also
 * -EMFILE, when the task has no room; the call then still waits. */
int notify_reply_fd(const struct notify *n, uint64_t id, int fd, bool cloexec);

/*
 * Puts a duplicate of fd at a number of the task's, in place of what is there.
 * No answer: the call waits on. 0 or -errno as above.
 */
int notify_place_fd(const struct notify *n, uint64_t id, int fd, int at, bool cloexec);

/*
 * The call still waits, so its thread and pid are those that made it. What was
 * read before from memory or /proc by that pid is the caller's own.
 */
bool notify_valid(const struct notify *n, uint64_t id);

#endif
