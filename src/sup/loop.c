/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/loop.h"

#include <time.h>

#include "base/fd.h"

int loop_init(struct loop *l, struct err *e)
{
	l->n_left = 0;
	LIST_INIT(&l->alarms);
	l->mask = NULL;
	l->ep = epoll_create1(EPOLL_CLOEXEC);
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

	(void)epoll_ctl(l->ep, EPOLL_CTL_MOD, fd, &ev); /* of a watch that is there, it does not fail */
}

void loop_remove(struct loop *l, int fd, const struct watch *w)
{
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

void loop_clear_alarm(struct loop_alarm *a)
{
	if (a->due)
		LIST_REMOVE(a, link);
	a->due = 0;
}

void loop_set_alarm(struct loop *l, struct loop_alarm *a, int64_t after)
{
	loop_clear_alarm(a);
	a->due = loop_now() + after;
	LIST_INSERT_HEAD(&l->alarms, a, link);
}

/* Rings what is due; returns the time until the next, no more than `timeout`. */
static int ring(struct loop *l, int timeout)
{
	int64_t now = LIST_EMPTY(&l->alarms) ? 0 : loop_now(), left;
	struct loop_alarm *a;

again:
	LIST_FOREACH(a, &l->alarms, link)
		if (a->due <= now) {
			loop_clear_alarm(a);
			a->ring(a);
			goto again; /* it may have changed the list; what it set is not due yet */
		}
	LIST_FOREACH(a, &l->alarms, link) {
		left = a->due - now;
		if (timeout < 0 || left < timeout)
			timeout = (int)(left < INT32_MAX ? left : INT32_MAX);
	}
	return timeout;
}

int loop_turn(struct loop *l, int timeout)
{
	int n = epoll_pwait(l->ep, l->batch, LOOP_BATCH, ring(l, timeout), l->mask);

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
