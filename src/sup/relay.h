/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves the bytes between two TCP sockets: one whose other end an app has, and
 * one that leads out. What one side cannot take yet stays in a pipe, and beyond
 * that at the sender; an end of sending goes across alone, a reset takes both
 * with it. Where nobody has to look at the bytes they are spliced, not copied, and urgent data
 * goes across as such; who looks sees a stream without it, and so does the other side.
 */
#ifndef VRUN_SUP_RELAY_H
#define VRUN_SUP_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "model/clienthello.h"
#include "sup/loop.h"
#include "sup/tape.h"

struct sup;
struct relay;

/* Of a supervisor: those that wait for a ClientHello, longest first. Zeroed: none. */
struct relay_waits {
	TAILQ_HEAD(, relay) list;
	struct loop_alarm alarm; /* for the first */
};

/* What it is under; zero: nothing. */
struct relay_terms {
	uint64_t rate;      /* bytes per second, each direction */
	uint64_t burst;     /* bytes that may pass at once; 0: a tenth of a second's */
	uint64_t max_bytes; /* both directions together; then both sides are reset */
	/* Nothing passes before this has allowed its ClientHello, else both sides are reset (tls.h). */
	bool (*tls)(void *ctx, enum hello h, const char *name);
	struct recording recording; /* begun; without a tape: none. What cannot be recorded resets both */
	struct domain *payer; /* whose share of descriptors pipes are taken from; NULL: nobody's */
	int64_t patience;   /* for it, in milliseconds, the same for all; 0: TLS_PATIENCE_MS */
};

/*
 * Takes both sockets on success. `ended` is called from the
 * loop when both sides are done, never from within this; it calls
 * relay_free(). NULL without memory.
 */
struct relay *relay_new(struct sup *s, int *near, int *far, const struct relay_terms *terms, void (*ended)(void *ctx), void *ctx);
/* It ended because it had moved all that it may. */
bool relay_is_used_up(const struct relay *r);
/*
 * The app has ended: what it has sent goes on, as it would from the kernel, and
 * nothing comes back. False: nothing of that is left, or can be; the caller
 * calls relay_free().
 */
bool relay_linger(struct relay *r);
/* What is left is given up: the other side sees a reset, and `ended` is called. */
void relay_abandon(struct relay *r);
/* Closes both. */
void relay_free(struct relay *r);

#endif
