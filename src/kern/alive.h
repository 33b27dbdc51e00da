/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which open files are still open somewhere, without holding them open: an
 * epoll knows a file until the last of its descriptors is closed, and what it
 * knows is in /proc/self/fdinfo. The epoll is never waited for.
 */
#ifndef VRUN_KERN_ALIVE_H
#define VRUN_KERN_ALIVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct alive {
	int ep;   /* owned */
	int info; /* owned; its fdinfo */
	pid_t pid; /* the caller's */
};

/* 0 or -errno; -ENOENT where there is no /proc. */
int alive_init(struct alive *a);
void alive_fini(struct alive *a);

/* From now on it is told of, by that number. Close the descriptor, or it stays open. 0 or -errno. */
int alive_add(const struct alive *a, int fd, uint64_t number);
void alive_remove(const struct alive *a, int fd);

/* Whether a task's descriptor is the file that was added by our number `fd`; -errno where the kernel does not tell. */
int alive_is_at(const struct alive *a, int fd, pid_t tid, int number);

/* Tells of each that is open. 0 or -errno, and then not of all of them. */
int alive_list(const struct alive *a, void (*each)(void *ctx, uint64_t number), void *ctx);

/* What an epoll's fdinfo says of one file of it (proc(5)). */
struct alive_entry {
	int fd; /* under which it was added */
	uint32_t events;
	uint64_t data;
	uint64_t ino;
};
/* Each line of an fdinfo that is open at `info`. 0 or -errno. */
int alive_read(int info, void (*each)(void *ctx, const struct alive_entry *e), void *ctx);

#endif
