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
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/sup.h"

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void send_token(struct sup *s, const struct vsk *listener)
{
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on) == 0 &&
	    fabric_bind(fd, &s->fabric.own, 0) == 0)
		(void)fabric_connect(fd, listener->at, listener->local_port);
}

static void park(struct call *c, struct vsk *listener, int *fd)
{
	struct vsk_parked *p = malloc(sizeof *p);

	if (!p)
		return; /* the client sees a reset */
	p->fd = fd_take(fd);
	TAILQ_INSERT_TAIL(&listener->parked, p, link);
	send_token(c->sup, listener);
}

static int unpark(struct vsk *listener)
{
	struct vsk_parked *p = TAILQ_FIRST(&listener->parked);
	int fd = p->fd;

	TAILQ_REMOVE(&listener->parked, p, link);
	free(p);
	return fd;
}

/* The row of a connection: what the client said at its connect, else what F's addresses tell. */
static struct vsk *new_row(struct call *c, struct vsk *listener, const struct sockaddr_in6 *peer,
			   uint64_t cookie)
{
	struct faddr *from = fabric_find(&c->sup->fabric, &peer->sin6_addr);
	struct vsk_arrival a = { .from = from, .local = listener->local, .port = ntohs(peer->sin6_port) };
	struct vsk *v = vsk_new(&c->sup->table, c->domain, cookie, listener->v6);

	if (!v)
		return NULL;
	if (from)
		a.peer = from->virtual;
	(void)vsk_take_arrival(listener, from, a.port, &a);
	v->v6only = listener->v6only;
	v->local = a.local;
	v->local_port = listener->local_port;
	v->remote = a.peer;
	v->remote_port = a.port;
	v->at = listener->at;
	v->to = from;
	v->rule = listener->rule;
	v->generation = listener->generation;
	vsk_set_status(&c->sup->table, v, VSK_CONNECTED);
	return v;
}

/* The next connection of a virtual listener, or -errno; -EAGAIN: none. */
static int take(struct call *c, struct target *t, int flags, struct vsk **ret)
{
	struct sockaddr_in6 peer;
	uint64_t cookie;
	socklen_t len = sizeof peer, cookie_len = sizeof cookie;
	AUTO_FD int fd = -1;

	if (!TAILQ_EMPTY(&t->row->parked)) {
		fd = unpark(t->row);
		if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
			peer = (struct sockaddr_in6){ 0 };
	}
	while (fd < 0) {
		if (!readable(t->fd))
			return -EAGAIN;
		len = sizeof peer;
		fd = accept4(t->fd, (struct sockaddr *)&peer, &len, flags | SOCK_CLOEXEC);
		if (fd < 0)
			return errno == EMFILE ? -ENFILE : -errno;
		if (memcmp(&peer.sin6_addr, &c->sup->fabric.own.addr, sizeof peer.sin6_addr) == 0)
			fd_close(&fd); /* a token whose connection was delivered before */
	}
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_len) < 0)
		return -errno;
	*ret = vsk_find(&c->sup->table, cookie); /* a parked one has its row */
	if (!*ret)
		*ret = new_row(c, t->row, &peer, cookie);
	return *ret ? fd_take(&fd) : -ENOMEM;
}

static int64_t accept_virtual(struct call *c, struct target *t, int flags)
{
	struct vsk *v = NULL;
	AUTO_FD int fd = take(c, t, flags, &v);
	uint64_t cookie = t->cookie;
	int rc;

	if (fd < 0)
		return fd;
	rc = c->args[1] ? call_write_name(c, c->args[1], c->args[2], v, &v->remote, v->remote_port) : 0;
	if (rc == -EFAULT || rc == -EINVAL) {
		vsk_free(&c->sup->table, v); /* lost, as it would be with the kernel */
	} else {
		if (rc == 0)
			rc = notify_reply_fd(&c->domain->notify, c->id, fd, flags & SOCK_CLOEXEC);
		if (rc < 0)
			park(c, t->row, &fd);
	}
	sup_retry(c->sup, cookie);
	return rc == 0 || rc == -ENOENT ? CALL_ANSWERED : rc;
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
	if (!readable(t->fd))
		return -EAGAIN;
	fd = accept4(t->fd, (struct sockaddr *)&sa, &len, flags | SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (c->args[1])
		rc = call_write_address(c, c->args[1], c->args[2], &sa, len);
	if (rc == 0)
		rc = notify_reply_fd(&c->domain->notify, c->id, fd, flags & SOCK_CLOEXEC);
	return rc == 0 || rc == -ENOENT ? CALL_ANSWERED : rc;
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
	if (!call_valid(c))
		return CALL_ANSWERED;
	rc = try_accept(c, &t);
	if (rc != -EAGAIN || socket_nonblocking(t.fd))
		return rc;
	return call_wait(c, &t.fd, t.cookie, true, socket_timeout(t.fd, SO_RCVTIMEO), EAGAIN, retry) == 0 ?
		       CALL_ANSWERED :
		       -EAGAIN;
}
