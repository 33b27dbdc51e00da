/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/loop.h"

#include "base/fd.h"

int loop_init(struct loop *l, struct err *e)
{
	l->n_left = 0;
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

int loop_turn(struct loop *l, int timeout)
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
