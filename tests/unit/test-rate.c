/* SPDX-License-Identifier: Apache-2.0 */
/* The bucket of "trapRate", with a clock of the test's own. */
#include "sup/rate.h"
#include "tap.h"

/* How many calls are taken in that many milliseconds by somebody who always has one. */
static unsigned count(struct rate *r, int64_t *now, int64_t ms)
{
	int64_t end = *now + ms;
	unsigned n = 0;

	while (*now < end) {
		if (rate_take(r, *now)) {
			n++;
			continue;
		}
		*now += rate_wait(r);
	}
	return n;
}

int main(void)
{
	static const uint64_t limits[] = { 1, 7, 100, 1000, 99999, 100000000 };
	struct rate r;
	int64_t now = 12345;
	int taken = 0;

	rate_init(&r, 0, now);
	for (int i = 0; i < 100000; i++)
		taken += rate_take(&r, now);
	TAP_INT(taken, 100000, "without a limit none waits");
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		uint64_t seconds = limits[i] > 1000000 ? 1 : 10, want = limits[i] * seconds, burst = limits[i] / 10 + 1;
		unsigned got;

		rate_init(&r, limits[i], now);
		got = count(&r, &now, (int64_t)seconds * 1000);
		TAP_OK(got + 1 >= want && got <= want + burst + limits[i] / 500 + 1,
		       "%llu a second: %u in %llu s", (unsigned long long)limits[i], got,
		       (unsigned long long)seconds);
	}
	/* Whoever was silent may not catch up with more than the bucket holds. */
	rate_init(&r, 100, now);
	now += INT64_C(3600) * 1000;
	TAP_INT(count(&r, &now, 1), 10, "an hour of silence: a tenth of a second's at once");
	rate_init(&r, 100, now);
	TAP_OK(rate_take(&r, now - 5000), "a clock that goes back stops nothing");
	return tap_done();
}
