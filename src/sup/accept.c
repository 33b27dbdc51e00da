/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept(2) and accept4(2), on the duplicate, when it is readable. Nobody else
 * accepts from a listener of F, so a connection that was seen is still there.
 *
 * A connection that was accepted for a thread that had left meanwhile is
 * parked in the listener's row. Those who poll the listener have to see it
 * still, so a token, a connection of the supervisor's own, takes its place in
 * the kernel's queue.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/sup.h"
#include "sup/transport.h"
#include "sup/wire_options.h"

void accept_park(struct sup *s, struct vsk *listener, int *fd)
{
	struct vsk_parked *p = malloc(sizeof *p);

	if (!p)
		return; /* the client sees a reset */
	p->fd = fd_take(fd);
	TAILQ_INSERT_TAIL(&listener->parked, p, link);
	transport_of(listener)->send_token(s, listener);
	sup_arrived(s, listener->cookie);
}

static int unpark(struct vsk *listener, int flags)
{
	struct vsk_parked *p = TAILQ_FIRST(&listener->parked);
	int fd = p->fd;

	(void)fcntl(fd, F_SETFL, (flags & SOCK_NONBLOCK) ? O_NONBLOCK : 0); /* nobody has it yet */
	TAILQ_REMOVE(&listener->parked, p, link);
	free(p);
	return fd;
}

static struct vsk *new_row(struct call *c, struct vsk *listener, const struct vsk_arrival *a, uint64_t cookie)
{
	struct vsk *v = vsk_new(&c->sup->table, c->domain, cookie, listener->v6);

	if (!v)
		return NULL;
	v->v6only = listener->v6only;
	v->linger = listener->linger;
	if (v->wire)
		wire_inherit_options(v, listener);
	v->accepted = true;
	v->local = a->local;
	v->local_port = listener->local_port;
	v->remote = a->peer;
	v->remote_port = a->port;
	v->at = listener->at;
	v->to = a->from;
	v->rule = listener->rule;
	v->generation = listener->generation;
	vsk_set_status(&c->sup->table, v, VSK_CONNECTED);
	return v;
}

/* The next connection of a virtual listener, or -errno; -EAGAIN: none. */
static int take(struct call *c, struct target *t, int flags, struct vsk **ret)
{
	struct vsk_arrival who;
	uint64_t cookie;
	socklen_t len = sizeof cookie;
	bool parked = !TAILQ_EMPTY(&t->row->parked);
	AUTO_FD int fd = -1;

	if (parked)
		fd = unpark(t->row, flags);
	else
		fd = transport_of(t->row)->accept(c->sup, t->fd, t->row, flags, &who);
	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return -errno;
	*ret = parked ? vsk_find(&c->sup->table, cookie) : new_row(c, t->row, &who, cookie);
	return *ret ? fd_take(&fd) : -ENOMEM;
}

/*
 * The last connection that was parked has its taker: the tokens for those before
 * would make a listener readable that has nothing. What lies among them is parked.
 */
static void drain(struct call *c, struct target *t)
{
	struct vsk_arrival who;
	uint64_t cookie;
	socklen_t len = sizeof cookie;
	AUTO_FD int fd = -1;

	if (t->row->n_tokens == 0 || !TAILQ_EMPTY(&t->row->parked))
		return;
	fd = transport_of(t->row)->accept(c->sup, t->fd, t->row, 0, &who);
	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && new_row(c, t->row, &who, cookie))
		accept_park(c->sup, t->row, &fd);
}

static int64_t accept_virtual(struct call *c, struct target *t, int flags)
{
	struct vsk *v = NULL;
	AUTO_FD int fd = take(c, t, flags, &v);
	uint64_t cookie = t->cookie;
	int rc;

	if (fd < 0 || !v)
		return fd < 0 ? fd : -ENOMEM;
	rc = c->args[1] ? call_write_name(c, c->args[1], c->args[2], v, &v->remote, v->remote_port) : 0;
	if (rc == -EFAULT || rc == -EINVAL) {
		vsk_free(&c->sup->table, v); /* lost, as it would be with the kernel */
	} else {
		if (rc == 0)
			rc = notify_reply_fd(&c->listener->notify, c->id, fd, flags & SOCK_CLOEXEC);
		if (rc < 0)
			accept_park(c->sup, t->row, &fd);
		else
			drain(c, t);
	}
	sup_retry(c->sup, cookie);
	return rc >= 0 || rc == -ENOENT ? CALL_ANSWERED : rc;
}

/* AF_UNIX: the same without names of ours. */
static int64_t accept_other(struct call *c, struct target *t, int flags)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	AUTO_FD int fd = -1;
	int rc = 0;

	if (t->family != AF_UNIX)
		return -EOPNOTSUPP;
	if (!socket_readable(t->fd))
		return -EAGAIN;
	fd = accept4(t->fd, (struct sockaddr *)&sa, &len, flags | SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (c->args[1])
		rc = call_write_address(c, c->args[1], c->args[2], &sa, len);
	if (rc == 0)
		rc = notify_reply_fd(&c->listener->notify, c->id, fd, flags & SOCK_CLOEXEC);
	return rc >= 0 || rc == -ENOENT ? CALL_ANSWERED : rc;
}

static int flags_of(const struct call *c)
{
	return c->trap == TRAP_ACCEPT4 ? (int)c->args[3] : 0;
}

static int64_t try_accept(struct call *c, struct target *t)
{
	if (t->row && t->row->status != VSK_LISTENING)
		return -EINVAL;
	return t->row ? accept_virtual(c, t, flags_of(c)) : accept_other(c, t, flags_of(c));
}

static int64_t retry(struct wait *w)
{
	struct target t = { .fd = w->fd, .cookie = w->cookie, .family = AF_UNIX };

	t.row = vsk_find(&w->call.sup->table, w->cookie);
	/* AF_UNIX may have a thousand readers with one connection; so may a listener of F. */
	return try_accept(&w->call, &t);
}

/* Without asking the kernel. */
static bool is_empty(const struct target *t)
{
	const struct vsk *v = t->row;

	return v && v->wire && v->status == VSK_LISTENING && v->n_arrivals == 0 && TAILQ_EMPTY(&v->parked);
}

/*
 * Connections to a listener of F are made by the supervisor, which remembers
 * the accepts that wait for them. It does not know which of several TCP
 * listeners at one port the kernel chose, nor when a packet that was put off
 * comes.
 */
static uint32_t events_of(const struct target *t)
{
	const struct vsk *v = t->row;

	return v && (v->wire || (!v->reuse_port && v->n_arrivals == 0)) ? 0 : EPOLLIN;
}

int64_t handle_accept(struct call *c)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);
	int room;

	if (rc < 0)
		return rc;
	if (flags_of(c) & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	if (c->args[1] && guestmem_read(c->tid, c->args[2], &room, sizeof room) < 0)
		return -EFAULT; /* before a connection would be lost for it */
	if (is_empty(&t))
		rc = -EAGAIN; /* it only waits, and may be long gone: whoever ends the wait finds out */
	else
		rc = call_valid(c) ? try_accept(c, &t) : CALL_ANSWERED;
	if (rc != -EAGAIN || socket_nonblocking(t.fd))
		return rc;
	return call_wait(c, &t.fd, t.cookie, events_of(&t), socket_timeout(t.fd, SO_RCVTIMEO), EAGAIN, retry) == 0 ?
		       CALL_ANSWERED :
		       -EAGAIN;
}
