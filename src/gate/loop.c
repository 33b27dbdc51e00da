/* SPDX-License-Identifier: Apache-2.0 */
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

#define FIRST_DIRECT 2

int gate_watch_add_direct(struct gate *g, int fd, struct gate_watch *w)
{
	unsigned i = FIRST_DIRECT + g->n_direct;

	if (g->n_direct == GATE_DIRECT)
		return gate_watch_add(g, fd, EPOLLIN, w);
	g->direct[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
	g->direct_watch[i] = w;
	g->n_direct++;
	return 0;
}

/* Its place, or 0. */
static unsigned find_direct(const struct gate *g, int fd)
{
	for (unsigned i = FIRST_DIRECT; i < FIRST_DIRECT + g->n_direct; i++)
		if (g->direct[i].fd == fd || g->direct[i].fd == ~fd)
			return i;
	return 0;
}

void gate_watch_change(struct gate *g, int fd, uint32_t events, struct gate_watch *w)
{
	unsigned i = find_direct(g, fd);

	if (i)
		g->direct[i].fd = events ? fd : ~fd;
	else
		(void)control(g, EPOLL_CTL_MOD, fd, events, w);
}

/* Its place is taken by the last one, which may have been ready and then is found so by the next turn. */
void gate_watch_remove(struct gate *g, int fd)
{
	unsigned i = find_direct(g, fd), last = FIRST_DIRECT + g->n_direct - 1;

	if (!i) {
		(void)control(g, EPOLL_CTL_DEL, fd, 0, NULL);
		return;
	}
	g->direct[i] = g->direct[last];
	g->direct[i].revents = 0;
	g->direct_watch[i] = g->direct_watch[last];
	g->n_direct--;
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

/* Those that come meanwhile have no events yet; those that leave take theirs along. */
static void turn_direct(struct gate *g)
{
	for (unsigned i = FIRST_DIRECT; i < FIRST_DIRECT + g->n_direct; i++) {
		short events = g->direct[i].revents;

		g->direct[i].revents = 0;
		if (events && g->direct[i].fd >= 0) /* poll's and epoll's bits are the same */
			g->direct_watch[i]->ready(g, g->direct_watch[i], (uint32_t)events);
	}
}

/*
 * One event of epoll's at a time: what a later one of a batch means may have been freed by an
 * earlier. The supervisor is waited for beside epoll, as it waits for us (sup/loop.h).
 */
int gate_turn(struct gate *g)
{
	struct pollfd *p = g->direct;
	struct epoll_event ev;
	struct gate_timer *t;

	p[0] = (struct pollfd){ .fd = g->sock, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = g->ep, .events = POLLIN };
	if (poll(p, FIRST_DIRECT + g->n_direct, timeout(g)) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[0].revents)
		g->requests.ready(g, &g->requests, (uint32_t)p[0].revents);
	turn_direct(g);
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
