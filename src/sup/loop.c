/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/loop.h"

#include <assert.h>
#include <stdbool.h>
#include <time.h>

#include "base/fd.h"

static_assert(POLLIN == EPOLLIN && POLLHUP == EPOLLHUP && POLLERR == EPOLLERR, "the bits are the same");

int loop_init(struct loop *l, struct err *e)
{
	l->n_left = 0;
	l->alarms = NULL;
	l->mask = NULL;
	l->ep = epoll_create1(EPOLL_CLOEXEC);
	l->direct[0] = (struct pollfd){ .fd = l->ep, .events = POLLIN };
	l->n_direct = 0;
	return l->ep < 0 ? err_sys(e, "epoll") : 0;
}

void loop_fini(struct loop *l)
{
	fd_close(&l->ep);
}

int loop_add(struct loop *l, int fd, uint32_t events, struct watch *w)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(l->ep, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void loop_change(struct loop *l, int fd, uint32_t events, struct watch *w)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	for (nfds_t i = 1; i <= l->n_direct; i++)
		if (l->direct_watch[i] == w) {
			l->direct[i].events = (short)events;
			return;
		}
	(void)epoll_ctl(l->ep, EPOLL_CTL_MOD, fd, &ev); /* of a watch that is there, it does not fail */
}

int loop_add_direct(struct loop *l, int fd, struct watch *w)
{
	if (l->n_direct == LOOP_DIRECT)
		return loop_add(l, fd, EPOLLIN, w);
	l->n_direct++;
	l->direct[l->n_direct] = (struct pollfd){ .fd = fd, .events = POLLIN };
	l->direct_watch[l->n_direct] = w;
	return 0;
}

/* Its place is taken by the last one, which may have been ready and then is found so by the next turn. */
static bool remove_direct(struct loop *l, const struct watch *w)
{
	for (nfds_t i = 1; i <= l->n_direct; i++) {
		if (l->direct_watch[i] != w)
			continue;
		l->direct[i] = l->direct[l->n_direct];
		l->direct[i].revents = 0;
		l->direct_watch[i] = l->direct_watch[l->n_direct];
		l->n_direct--;
		return true;
	}
	return false;
}

void loop_remove(struct loop *l, int fd, const struct watch *w)
{
	if (remove_direct(l, w))
		return;
	(void)epoll_ctl(l->ep, EPOLL_CTL_DEL, fd, NULL);
	for (int i = 0; i < l->n_left; i++)
		if (l->left[i].data.ptr == w)
			l->left[i].data.ptr = NULL;
}

int64_t loop_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

int64_t loop_worked(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* --- alarms ----------------------------------------------------------------------------- */

/* One heap of two; both are on their own. */
static struct loop_alarm *meld(struct loop_alarm *a, struct loop_alarm *b)
{
	struct loop_alarm *top, *sub;

	if (!a || !b)
		return a ? a : b;
	top = b->due < a->due ? b : a;
	sub = top == a ? b : a;
	sub->beside = top->below;
	if (sub->beside)
		sub->beside->from = &sub->beside;
	sub->from = &top->below;
	top->below = sub;
	return top;
}

/* One heap of those beside each other: two by two, then one after the other, which keeps it flat. */
static struct loop_alarm *meld_all(struct loop_alarm *a)
{
	struct loop_alarm *pairs = NULL, *all = NULL, *next;

	for (; a; a = next) {
		struct loop_alarm *b = a->beside;

		next = b ? b->beside : NULL;
		a->beside = NULL;
		if (b)
			b->beside = NULL;
		a = meld(a, b);
		a->beside = pairs;
		pairs = a;
	}
	for (; pairs; pairs = next) {
		next = pairs->beside;
		pairs->beside = NULL;
		all = meld(all, pairs);
	}
	return all;
}

static void put(struct loop_alarm **place, struct loop_alarm *a)
{
	*place = a;
	if (a)
		a->from = place;
}

/* What was below it takes its place, which is none of a later one's. */
void loop_clear_alarm(struct loop_alarm *a)
{
	struct loop_alarm *rest, *beside = a->beside, **from = a->from;

	if (!a->due)
		return;
	rest = meld_all(a->below);
	if (rest) {
		rest->beside = beside;
		if (beside)
			beside->from = &rest->beside;
		beside = rest;
	}
	put(from, beside);
	a->below = a->beside = NULL;
	a->from = NULL;
	a->due = 0;
}

void loop_set_alarm(struct loop *l, struct loop_alarm *a, int64_t after)
{
	loop_clear_alarm(a);
	a->due = loop_now() + after;
	put(&l->alarms, meld(l->alarms, a));
}

/* --- turns ------------------------------------------------------------------------------ */

/* Rings what is due; returns the time until the next, no more than `timeout`. */
static int ring(struct loop *l, int timeout)
{
	int64_t now = l->alarms ? loop_now() : 0, left;
	struct loop_alarm *a;

	while ((a = l->alarms) && a->due <= now) {
		loop_clear_alarm(a);
		a->ring(a);
	}
	if (!a)
		return timeout;
	left = a->due - now;
	if (timeout < 0 || left < timeout)
		timeout = (int)(left < INT32_MAX ? left : INT32_MAX);
	return timeout;
}

static int turn_epoll(struct loop *l, int timeout)
{
	int n = epoll_pwait(l->ep, l->batch, LOOP_BATCH, timeout, l->mask);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct watch *w = l->batch[i].data.ptr;

		l->left = &l->batch[i + 1];
		l->n_left = n - i - 1;
		if (w)
			w->ready(w, l->batch[i].events);
	}
	l->n_left = 0;
	return 0;
}

int loop_turn(struct loop *l, int timeout)
{
	struct timespec t;
	int n;

	timeout = ring(l, timeout);
	if (l->n_direct == 0)
		return turn_epoll(l, timeout);
	t = (struct timespec){ .tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L };
	n = ppoll(l->direct, l->n_direct + 1, timeout < 0 ? NULL : &t, l->mask);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	/* Those that come meanwhile have no events yet; those that leave take theirs along. */
	for (nfds_t i = 1; i <= l->n_direct; i++) {
		short events = l->direct[i].revents;

		l->direct[i].revents = 0;
		if (events) /* poll's and epoll's bits are the same */
			l->direct_watch[i]->ready(l->direct_watch[i], (uint32_t)events);
	}
	return l->direct[0].revents ? turn_epoll(l, 0) : 0;
}
