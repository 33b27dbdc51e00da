/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipes of relays: what one side has sent and the other cannot take yet
 * stays in one. Making one costs more than a connection of few bytes, so that
 * some empty ones are kept.
 */
#ifndef VRUN_SUP_RELAY_PIPES_H
#define VRUN_SUP_RELAY_PIPES_H

#include <stdbool.h>
#include <stddef.h>

struct domain;

#define RELAY_PIPES 32 /* empty ones that are kept */
#define RELAY_PIPE_SIZE (256 << 10) /* what is asked for; a user's share may be used up (pipe(7)) */

/* Of a supervisor. Zeroed: none. */
struct relay_pipes {
	size_t n;
	int spare[RELAY_PIPES][2]; /* owned */
};

/*
 * An empty pipe, both ends non-blocking, in ret, to be given back with
 * relay_pipe_give(). The payer's share of descriptors counts it; NULL: nobody's.
 * False, with nothing counted: the share is used up, or the process's.
 */
bool relay_pipe_take(struct relay_pipes *p, struct domain *payer, int *ret);
/* An empty one of relay_pipe_take(), of the same payer; it is no longer the caller's. -1: none. */
void relay_pipe_give(struct relay_pipes *p, struct domain *payer, int *pipe);
/* The same of one that is not empty: it is closed, with what is in it. */
void relay_pipe_drop(struct domain *payer, int *pipe);
void relay_pipes_fini(struct relay_pipes *p);

#endif
