/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit "trapRate": how many calls of a domain are taken in a second. The
 * others wait in the kernel, in their order, and cost nothing meanwhile. It is
 * a bucket of tokens that holds a tenth of a second's.
 */
#ifndef VRUN_SUP_RATE_H
#define VRUN_SUP_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint64_t per_second; /* 0: no limit */
	uint64_t tokens;     /* in thousandths of a call */
	int64_t at;          /* milliseconds of the monotonic clock at which they were counted */
};

void rate_init(struct rate *r, uint64_t per_second, int64_t now);

/* One call is about to be taken. False: not yet; rate_wait() says when. */
bool rate_take(struct rate *r, int64_t now);

/* Milliseconds until the next call may be taken, at least 1. */
int64_t rate_wait(const struct rate *r);

#endif
