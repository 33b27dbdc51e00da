/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <time.h>

#include "gate/gate.h"

int64_t gate_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static int control(struct gate *g, int op, int fd, uint32_t events, struct gate_watch *w)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(g->ep, op, fd, &ev) < 0 ? -errno : 0;
}

int gate_watch_add(struct gate *g, int fd, uint32_t events, struct gate_watch *w)
{
	return control(g, EPOLL_CTL_ADD, fd, events, w);
}

void gate_watch_change(struct gate *g, int fd, uint32_t events, struct gate_watch *w)
{
	(void)control(g, EPOLL_CTL_MOD, fd, events, w);
}

void gate_watch_remove(struct gate *g, int fd)
{
	(void)control(g, EPOLL_CTL_DEL, fd, 0, NULL);
}

/* Most are set for the same time ahead: the place is near the end. */
void gate_timer_set(struct gate *g, struct gate_timer *t, int64_t after)
{
	struct gate_timer *o;

	gate_timer_clear(g, t);
	t->due = gate_now() + after;
	TAILQ_FOREACH_REVERSE(o, &g->timers, gate_timers, link)
		if (o->due <= t->due)
			break;
	if (o)
		TAILQ_INSERT_AFTER(&g->timers, o, t, link);
	else
		TAILQ_INSERT_HEAD(&g->timers, t, link);
}

void gate_timer_clear(struct gate *g, struct gate_timer *t)
{
	if (t->due)
		TAILQ_REMOVE(&g->timers, t, link);
	t->due = 0;
}

static int timeout(const struct gate *g)
{
	const struct gate_timer *t = TAILQ_FIRST(&g->timers);
	int64_t left = t ? t->due - gate_now() : -1;

	if (!t)
		return -1;
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/*
 * One event at a time: what a later one of a batch means may have been freed by an
 * earlier. The supervisor is waited for beside epoll, as it waits for us (sup/loop.h).
 */
int gate_turn(struct gate *g)
{
	struct pollfd p[2] = { { .fd = g->sock, .events = POLLIN }, { .fd = g->ep, .events = POLLIN } };
	struct epoll_event ev;
	struct gate_timer *t;

	if (poll(p, 2, timeout(g)) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[0].revents)
		g->requests.ready(g, &g->requests, (uint32_t)p[0].revents);
	if (p[1].revents && epoll_wait(g->ep, &ev, 1, 0) > 0) {
		struct gate_watch *w = ev.data.ptr;

		w->ready(g, w, ev.events);
	}
	t = TAILQ_FIRST(&g->timers);
	if (t && t->due <= gate_now()) {
		gate_timer_clear(g, t);
		t->ring(g, t);
	}
	return 0;
}
