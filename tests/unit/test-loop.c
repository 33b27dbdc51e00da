/* SPDX-License-Identifier: Apache-2.0 */
/* Alarms of the loop: thousands that are set, set again, cleared, and ring, some from within others. */
#include <stdlib.h>
#include <string.h>

#include "sup/loop.h"
#include "rng.h"
#include "tap.h"

#define N 5000

static struct {
	struct loop_alarm alarm;
	int64_t want; /* when it is to ring; 0: not at all */
	unsigned rung;
} all[N];

static struct loop loop;
static int64_t last;
static unsigned early, late_order, unwanted, chained;

static void ring(struct loop_alarm *a)
{
	size_t i = (size_t)((char *)a - (char *)all) / sizeof *all;
	size_t other = (i * 7919 + 1) % N;

	early += loop_now() < all[i].want;
	unwanted += all[i].want == 0;
	/* Of those that are due in one turn the earlier come first. */
	late_order += all[i].want < last;
	last = all[i].want;
	all[i].want = 0;
	all[i].rung++;
	/* One in three takes another away, one in five sets itself again. */
	if (i % 3 == 0 && all[other].want) {
		loop_clear_alarm(&all[other].alarm);
		all[other].want = 0;
	}
	if (i % 5 == 0 && all[i].rung == 1) {
		loop_set_alarm(&loop, a, 3);
		all[i].want = a->due;
		chained++;
	}
}

static void set_all(void)
{
	for (size_t i = 0; i < N; i++) {
		all[i].alarm.ring = ring;
		loop_set_alarm(&loop, &all[i].alarm, (int)(rng() % 40));
		if (i % 4 == 0) /* at another time */
			loop_set_alarm(&loop, &all[i].alarm, (int)(rng() % 40));
		all[i].want = all[i].alarm.due;
	}
	for (size_t i = 0; i < N; i += 6) {
		loop_clear_alarm(&all[i].alarm);
		loop_clear_alarm(&all[i].alarm); /* twice is nothing */
		all[i].want = 0;
	}
}

int main(void)
{
	unsigned waiting = 0, twice = 0;
	struct err e;
	int64_t since;

	TAP_INT(loop_init(&loop, &e), 0, "a loop");
	set_all();
	since = loop_now();
	while (loop.alarms) {
		if (loop_now() - since > 20000)
			break;
		last = 0;
		if (loop_turn(&loop, 50) < 0)
			break;
	}
	for (size_t i = 0; i < N; i++) {
		waiting += all[i].want != 0;
		twice += all[i].rung > (i % 5 ? 1 : 2);
	}
	TAP_INT(waiting, 0, "each that was set and not cleared has rung");
	TAP_INT(twice, 0, "and once");
	TAP_INT(unwanted, 0, "none that was cleared");
	TAP_INT(early, 0, "none too early");
	TAP_INT(late_order, 0, "the earlier ones first");
	TAP_OK(chained > 0, "some were set from within (%u)", chained);
	TAP_INT(loop_turn(&loop, 0), 0, "nothing is left to wait for");
	loop_fini(&loop);
	return tap_done();
}
