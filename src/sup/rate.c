/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/rate.h"

#define CALL UINT64_C(1000) /* thousandths: a limit of one a second fills one in a millisecond */

static uint64_t most(const struct rate *r)
{
	uint64_t tenth = r->per_second * CALL / 10;

	return tenth > CALL ? tenth : CALL;
}

void rate_init(struct rate *r, uint64_t per_second, int64_t now)
{
	*r = (struct rate){ .per_second = per_second, .at = now };
	r->tokens = most(r);
}

bool rate_take(struct rate *r, int64_t now)
{
	uint64_t passed = now > r->at ? (uint64_t)(now - r->at) : 0;

	if (r->per_second == 0)
		return true;
	/* Longer than it takes to fill the bucket, and what is multiplied could overflow. */
	r->tokens = passed > 10000 ? most(r) : r->tokens + passed * r->per_second;
	if (r->tokens > most(r))
		r->tokens = most(r);
	r->at = now;
	if (r->tokens < CALL)
		return false;
	r->tokens -= CALL;
	return true;
}

int64_t rate_wait(const struct rate *r)
{
	return r->tokens >= CALL ? 1 : (int64_t)((CALL - r->tokens + r->per_second - 1) / r->per_second);
}
