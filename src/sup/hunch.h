/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepts that come again and again.
 *
 * A thread of a busy server accepts before the next client connects, and has a
 * connection some microseconds later. What was asked of its socket before that (its
 * mode, its timeout, whether it was shut down, whether it still waits) was asked for
 * nothing. So when a thread has not waited long, its next accept at the same number
 * is taken to be of the same listener and to wait again: unseen, without a
 * duplicate. When a connection comes to that listener, and after two milliseconds at
 * most, it is served as a call that came that moment, with all that is checked of one.
 *
 * Nothing is decided on what is believed: a thread that lies, closes the socket, puts
 * another one at its number, or is killed meanwhile only hears two milliseconds later
 * what it would have heard at once, and the time after that is looked at first.
 */
#ifndef VRUN_SUP_HUNCH_H
#define VRUN_SUP_HUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call;
struct loop_alarm;
struct wait;

#define HUNCH_SLOTS 64

/* A thread's last accept that waited. */
struct hunch {
	pid_t tid; /* 0: free */
	uint32_t serial; /* of the domain: another one's thread may have the number by now */
	int fd;          /* the app's */
	bool quick;      /* it got a connection soon */
	uint64_t cookie; /* of the listener */
	int64_t since;   /* loop_now() */
};

/* An accept waits for a connection to that listener; it has got one. */
void hunch_waits(const struct call *c, uint64_t cookie);
void hunch_served(const struct call *c, uint64_t cookie);

/* Makes it wait unseen. `look` serves it, as a retry of its wait that never returns -EAGAIN. */
bool hunch_follow(struct call *c, int64_t (*look)(struct wait *w));

/* sup->unseen_until: all that are unseen are looked at. */
void hunch_over(struct loop_alarm *a);

#endif
