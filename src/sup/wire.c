/* SPDX-License-Identifier: Apache-2.0 */
/* sendto(2) with an address, and shutdown(2), of which the second is trapped for wires alone. */
#include <signal.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/datagram.h"
#include "sup/sup.h"
#include "sup/transport.h"

/* What an AF_UNIX stream knows. The others say how to send, or mean nothing to a stream. */
#define SEND_FLAGS (MSG_OOB | MSG_MORE | MSG_EOR)

/* Sends what goes without waiting; bytes, or -errno. */
static int64_t send_some(struct call *c, int fd)
{
	char buf[GUESTMEM_MAX];
	int flags = (int)(c->args[3] & SEND_FLAGS) | MSG_DONTWAIT | MSG_NOSIGNAL;
	uint64_t left = c->args[2], at = c->args[1];
	int64_t sent = 0;

	do {
		size_t n = left < sizeof buf ? (size_t)left : sizeof buf;
		ssize_t got;

		if (guestmem_read(c->tid, at, buf, n) < 0)
			return sent ? sent : -EFAULT;
		if (!call_valid(c))
			return CALL_ANSWERED;
		got = send(fd, buf, n, flags);
		if (got < 0)
			return sent ? sent : -errno;
		sent += got;
		at += (uint64_t)got;
		left -= (uint64_t)got;
		if ((size_t)got < n)
			break;
	} while (left && sent < 16 * (int64_t)sizeof buf); /* the loop has others to serve */
	return sent;
}

/* The signal comes after the answer: before it, it would interrupt the call and have it begun anew. */
static int64_t finish(struct call *c, int64_t rc, uint64_t cookie)
{
	if (rc == CALL_ANSWERED)
		return rc;
	call_reply(c, rc, cookie);
	if (rc == -EPIPE && !(c->args[3] & MSG_NOSIGNAL))
		procs_signal(&c->sup->procs, c->tid, SIGPIPE);
	return CALL_ANSWERED;
}

static int64_t retry(struct wait *w)
{
	int64_t rc = send_some(&w->call, w->fd);

	return rc == -EAGAIN ? rc : finish(&w->call, rc, w->cookie);
}

/* A TCP socket ignores the address. Done here, since a wire would not. */
int64_t handle_sendto(struct call *c)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);

	if (rc < 0)
		return rc;
	if (t.datagram)
		return datagram_send(c, &t);
	if (!t.row || !t.row->wire)
		return CALL_CONTINUE; /* TCP ignores it; a socket of the app's own, for which it is as it always was */
	if (t.row->status != VSK_CONNECTED)
		return finish(c, -EPIPE, 0);
	rc = send_some(c, t.fd);
	if (rc != -EAGAIN || (c->args[3] & MSG_DONTWAIT) || socket_nonblocking(t.fd))
		return finish(c, rc, t.cookie);
	return call_wait(c, &t.fd, t.cookie, EPOLLOUT, socket_timeout(t.fd, SO_SNDTIMEO), EAGAIN, retry) == 0 ?
		       CALL_ANSWERED :
		       -EAGAIN;
}

int64_t handle_shutdown(struct call *c)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);
	int how = (int)c->args[1];

	if (rc < 0)
		return rc;
	if (!t.row || !transport_of(t.row)->shutdown)
		return CALL_CONTINUE; /* it only ever closes something */
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (!call_valid(c))
		return CALL_ANSWERED;
	rc = transport_of(t.row)->shutdown(t.fd, t.row, how);
	if (t.row->spent && t.row->status == VSK_LISTENING)
		vsk_set_status(&c->sup->table, t.row, VSK_BOUND);
	return rc;
}
