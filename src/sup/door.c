/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/door.h"

#include "base/fd.h"

static void knocked(struct watch *w, uint32_t events)
{
	struct door *d = (struct door *)((char *)w - offsetof(struct door, watch));
	char kind;
	int fd, n = fd_recv(d->fd, &kind, &fd, 1);

	(void)events;
	if (n == 1)
		(void)agent_adopt(d->agent, fd, false);
	else if (n == -EPIPE)
		door_fini(d);
}

int door_init(struct door *d, struct agent *a, int fd)
{
	int rc;

	*d = (struct door){ .watch = { knocked }, .agent = a, .fd = -1 };
	rc = fd < 0 ? 0 : loop_add(&a->sup->loop, fd, EPOLLIN, &d->watch);
	if (rc == 0)
		d->fd = fd;
	a->has_door = d->fd >= 0;
	return rc;
}

void door_fini(struct door *d)
{
	if (d->fd >= 0)
		loop_remove(&d->agent->sup->loop, d->fd, &d->watch);
	fd_close(&d->fd);
	d->agent->has_door = false;
}
