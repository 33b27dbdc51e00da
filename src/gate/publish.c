/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GATEWAY_PUBLISH: a port of the machine that leads to one of the domain. The port is
 * taken when the container starts, so that nobody else has it and everybody
 * knows it; the gateway listens there while somebody in the domain does. Without,
 * clients are refused, as they would be by the domain itself.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"

#define BACKLOG 4096
#define PAUSE_MS 100 /* without descriptors */
#define TRIES 16     /* for a port that the kernel chooses */
#define BATCH 16     /* connections in one turn */

struct published {
	struct gate_job job;
	struct gate_watch arrivals;
	struct gate_timer pause;
	struct addr addr;
	uint16_t port, local_port;
	int fd;    /* owned */
	bool open; /* it listens */
	bool held; /* and leaves those who come where they are */
};

static void end(struct gate *g, struct gate_job *job)
{
	struct published *p = (struct published *)((char *)job - offsetof(struct published, job));

	gate_job_remove(g, job);
	gate_timer_clear(g, &p->pause);
	if (p->open)
		gate_watch_remove(g, p->fd);
	fd_close(&p->fd);
	free(p);
}

/* --- who comes --------------------------------------------------------------------------- */

/* Refused as a firewall would: the client sees a reset. */
static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static bool get_addr(int fd, int (*get)(int, struct sockaddr *, socklen_t *), struct addr *ret, uint16_t *ret_port)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	return get(fd, (struct sockaddr *)&sa, &len) == 0 &&
	       addr_from_sockaddr((struct sockaddr *)&sa, len, ret, ret_port) == 0;
}

static void take(struct gate *g, struct published *p, int *fd)
{
	struct gateway_answer a = { .kind = GATEWAY_ARRIVED, .id = p->job.id, .n = 2 };
	uint16_t own;
	bool in;

	if (!get_addr(*fd, getpeername, &a.addresses[0], &a.port) ||
	    !get_addr(*fd, getsockname, &a.addresses[1], &own))
		return; /* it has left again */
	in = gate_publishes(g, &p->addr, p->port, p->local_port) &&
	     gate_lets_in(g, &a.addresses[0], &a.addresses[1], p->local_port) &&
	     gate_lock(*fd, &a.addresses[0], a.port) == 0;
	if (!in)
		reset(*fd);
	gate_tell(g, &a, in ? fd_take(fd) : -1);
}

static void arrived(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct published *p = (struct published *)((char *)w - offsetof(struct published, arrivals));

	(void)events;
	for (int i = 0; i < BATCH && !g->over; i++) {
		AUTO_FD int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take(g, p, &fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			gate_watch_change(g, p->fd, 0, &p->arrivals);
			gate_timer_set(g, &p->pause, PAUSE_MS);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

static void go_on(struct gate *g, struct gate_timer *t)
{
	struct published *p = (struct published *)((char *)t - offsetof(struct published, pause));

	if (p->open && !p->held)
		gate_watch_change(g, p->fd, EPOLLIN, &p->arrivals);
}

static void tell_published(struct gate *g, const struct published *p)
{
	struct gateway_answer a = { .kind = GATEWAY_PUBLISHED, .id = p->job.id, .port = p->port, .n = 1,
				    .addresses = { p->addr } };

	gate_tell(g, &a, -1);
}

static void hold(struct gate *g, struct published *p, bool on)
{
	if (!p->open || p->held == on)
		return;
	p->held = on;
	gate_timer_clear(g, &p->pause);
	gate_watch_change(g, p->fd, on ? 0 : EPOLLIN, &p->arrivals);
}

static void reuse(int fd, int on)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

void gate_publish_open(struct gate *g, const struct gateway_request *r)
{
	struct gate_job *job = gate_job_find(g, r->id, end);
	struct published *p = job ? (struct published *)((char *)job - offsetof(struct published, job)) : NULL;
	bool open = r->kind == GATEWAY_OPEN;

	if (p && (r->kind == GATEWAY_HOLD || (open && p->open)))
		hold(g, p, !open);
	if (!p || r->kind == GATEWAY_HOLD || open == p->open)
		return;
	if (open) {
		reuse(p->fd, 1); /* for those of its own connections that are left */
		p->open = listen(p->fd, BACKLOG) == 0 && gate_watch_add(g, p->fd, EPOLLIN, &p->arrivals) == 0;
		tell_published(g, p);
		return;
	}
	/* Those in its queue are reset with it. A port that was asked for stays with the socket. */
	p->open = p->held = false;
	gate_timer_clear(g, &p->pause);
	gate_watch_remove(g, p->fd);
	(void)shutdown(p->fd, SHUT_RDWR);
	reuse(p->fd, 0);
}

/* --- the port ------------------------------------------------------------------------------- */

/*
 * In AF_INET6, which an app of either family can be given, where the machine has it.
 * A port that was bound without SO_REUSEADDR is nobody else's even while nobody
 * listens; with it others may bind there as long, so only where what is left of
 * closed connections is in the way. -errno.
 */
static int bind_there(const struct addr *a, uint16_t port, int family)
{
	AUTO_FD int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(a, port, family, &sa);
	int only = !addr_is_v4(a), rc;

	if (fd < 0)
		return -errno;
	if (len == 0)
		return -EADDRNOTAVAIL;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0)
		return -errno;
	rc = bind(fd, (const struct sockaddr *)&sa, len);
	if (rc < 0 && errno == EADDRINUSE) {
		reuse(fd, 1);
		rc = bind(fd, (const struct sockaddr *)&sa, len);
	}
	return rc < 0 ? -errno : fd_take(&fd);
}

static int bind_any(const struct addr *a, uint16_t port)
{
	int rc = bind_there(a, port, AF_INET6);

	return rc == -EAFNOSUPPORT && addr_is_v4(a) ? bind_there(a, port, AF_INET) : rc;
}

/* A port that the kernel chose it also takes back when the socket listens no more: it is asked for by its number then. */
static int claim(struct published *p)
{
	int rc = -EADDRINUSE;

	for (int i = 0; i < TRIES && rc == -EADDRINUSE; i++) {
		uint16_t port = p->port;
		struct addr own;
		AUTO_FD int fd = port ? -1 : bind_any(&p->addr, 0);

		if (port == 0 && (fd < 0 || !get_addr(fd, getsockname, &own, &port)))
			return fd < 0 ? fd : -EIO;
		fd_close(&fd);
		rc = bind_any(&p->addr, port);
		if (rc >= 0) {
			p->fd = rc;
			p->port = port;
			return 0;
		}
		if (p->port)
			break;
	}
	return rc;
}

void gate_publish(struct gate *g, const struct gateway_request *r)
{
	struct gateway_answer denied = { .kind = GATEWAY_DENIED, .id = r->id, .n = 1, .addresses = { r->addr } };
	struct published *p;
	int rc;

	if (!gate_publishes(g, &r->addr, r->port, r->local_port)) {
		gate_tell(g, &denied, -1);
		return;
	}
	p = calloc(1, sizeof *p);
	if (!p || !gate_job_add(g, &p->job, r->id)) {
		free(p);
		gate_tell_failed(g, r->id, ENOBUFS);
		return;
	}
	p->job.end = end;
	p->arrivals.ready = arrived;
	p->pause.ring = go_on;
	p->addr = r->addr;
	p->port = r->port;
	p->local_port = r->local_port;
	p->fd = -1;
	rc = claim(p);
	if (rc < 0) {
		gate_tell_failed(g, r->id, -rc);
		end(g, &p->job);
		return;
	}
	tell_published(g, p);
}
