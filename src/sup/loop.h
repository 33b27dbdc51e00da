/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one loop: epoll(7) with what to call. Everything that waits is a watch in it.
 *
 * Some descriptors are waited for directly, in ppoll(2): the kernel wakes one
 * who waits for a seccomp listener or a socket of a gateway's on the CPU of the
 * call, but not through epoll, which is woken wherever a CPU is idle, and that takes
 * twenty times as long.
 */
#ifndef VRUN_SUP_LOOP_H
#define VRUN_SUP_LOOP_H

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "base/err.h"

/* Embedded in whatever waits. */
struct watch {
	void (*ready)(struct watch *w, uint32_t events);
};

#define LOOP_BATCH 32
#define LOOP_DIRECT 32 /* more than that are waited for through epoll as well */

/*
 * Embedded in whatever has to be done later. Zeroed: not set. There may be one for each of
 * thousands of relays, so those that are set are a heap (pairing heap), the next one to ring on top.
 */
struct loop_alarm {
	struct loop_alarm *below;  /* the first of those that it is on top of */
	struct loop_alarm *beside; /* the next of those that have the same on top */
	struct loop_alarm **from;  /* what points to it */
	void (*ring)(struct loop_alarm *a); /* once; may set it again */
	int64_t due;                        /* 0: not set */
};

struct loop {
	int ep; /* owned */
	const sigset_t *mask; /* borrowed; signals that are blocked while it waits, or NULL: as they are */
	struct loop_alarm *alarms; /* the next one to ring */
	int n_left;
	struct epoll_event *left; /* of the batch in work, those still to come */
	struct epoll_event batch[LOOP_BATCH];
	nfds_t n_direct;
	struct pollfd direct[1 + LOOP_DIRECT]; /* the first is epoll's */
	struct watch *direct_watch[1 + LOOP_DIRECT];
};

int loop_init(struct loop *l, struct err *e);
void loop_fini(struct loop *l);

/* Level-triggered. The watch must live until loop_remove(). 0 or -errno. */
int loop_add(struct loop *l, int fd, uint32_t events, struct watch *w);
/* The same for EPOLLIN alone, of a descriptor that others wake for. */
int loop_add_direct(struct loop *l, int fd, struct watch *w);
/* Other events for a watch that was added. */
void loop_change(struct loop *l, int fd, uint32_t events, struct watch *w);
/* Comes before the close of fd. No event of the watch is delivered after it, so it may be freed. */
void loop_remove(struct loop *l, int fd, const struct watch *w);

/* Milliseconds of the monotonic clock. */
int64_t loop_now(void);
/* Microseconds that the thread has worked. */
int64_t loop_worked(void);
/* Rings after that many milliseconds, instead of when it was set to before. */
void loop_set_alarm(struct loop *l, struct loop_alarm *a, int64_t after);
void loop_clear_alarm(struct loop_alarm *a);

/* Waits at most that many milliseconds (-1: for ever) and calls what is ready. 0 or -errno. */
int loop_turn(struct loop *l, int timeout);

#endif
