/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GATEWAY_PUBLISH: a port of the machine that leads to one of the domain. The port is
 * taken when the container starts, so that nobody else has it and everybody
 * knows it; the gateway listens there while somebody in the domain does. Without,
 * clients are refused, as they would be by the domain itself.
 *
 * Ports of a policy that is to come are taken while it is prepared (control.c), so that
 * it is refused where one cannot be had: they are claims until the supervisor,
 * which has that policy then, asks for them.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"

#define BACKLOG 4096
#define PAUSE_MS 100 /* without descriptors */
#define TRIES 16     /* for a port that the kernel chooses */
#define BATCH GATEWAY_ARRIVALS_MAX /* connections in one turn */
#define LOOKS 8      /* turns after which one more is looked for */

struct published {
	struct gate_job job; /* once it is one */
	LIST_ENTRY(published) link; /* in published or claims */
	struct gate_watch arrivals;
	struct gate_timer pause;
	struct addr addr;
	uint16_t port, local_port;
	uint16_t asked; /* the port as the policy has it: 0: any */
	int fd;    /* owned */
	bool open; /* it listens */
	bool nonblock;   /* who accepts there wants them so */
	uint16_t credit; /* how many may be passed on; others are left where they are */
	uint8_t expected; /* how many are taken to have come when somebody has */
	uint8_t as_many;  /* turns in which it was so */
};

static void drop(struct gate *g, struct published *p)
{
	LIST_REMOVE(p, link);
	gate_timer_clear(g, &p->pause);
	if (p->open) {
		gate_watch_remove(g, p->fd);
		(void)shutdown(p->fd, SHUT_RDWR); /* a claim may have the same socket */
	}
	fd_close(&p->fd);
	free(p);
}

static void end(struct gate *g, struct gate_job *job)
{
	gate_job_remove(g, job);
	drop(g, (struct published *)((char *)job - offsetof(struct published, job)));
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

static bool is_wildcard(const struct addr *a)
{
	static const struct addr any6;
	const struct addr any4 = addr_v4(0, 0, 0, 0);

	return addr_equal(a, &any6) || addr_equal(a, &any4);
}

/* Where they came to; the kernel is asked only where that is not known. */
static bool get_own(const struct published *p, int fd, struct addr *ret)
{
	uint16_t own;

	*ret = p->addr;
	return !is_wildcard(&p->addr) || get_addr(fd, getsockname, ret, &own);
}

/* Those who came in one turn. */
struct batch {
	struct gateway_answer a;
	int fds[BATCH]; /* owned */
};

/* Told of at once, without a descriptor. */
static void deny(struct gate *g, const struct published *p, const struct gateway_arrival *v, int fd)
{
	struct gateway_answer a = { .kind = GATEWAY_ARRIVED, .id = p->job.id, .n = 1, .arrivals = { *v } };

	reset(fd);
	(void)gate_tell_arrived(g, &a, NULL, 0);
}

static void take(struct gate *g, struct published *p, struct batch *b, int *fd, const struct sockaddr_storage *from,
		 socklen_t len)
{
	struct gateway_arrival *v = &b->a.arrivals[b->a.n];

	if (addr_from_sockaddr((const struct sockaddr *)from, len, &v->from, &v->port) < 0 ||
	    !get_own(p, *fd, &v->at))
		return; /* it has left again */
	p->credit--;
	if (gate_publishes(g, POLICY_TCP, &p->addr, p->asked, p->local_port) &&
	    gate_lets_in(g, POLICY_TCP, &v->from, &v->at, p->local_port) &&
	    gate_lock(*fd, &v->from, v->port) == 0)
		b->fds[b->a.n++] = fd_take(fd);
	else
		deny(g, p, v, *fd);
}

static void pass_on(struct gate *g, struct batch *b)
{
	bool passed = b->a.n && gate_tell_arrived(g, &b->a, b->fds, b->a.n);

	for (uint32_t i = 0; i < b->a.n; i++) {
		if (!passed)
			reset(b->fds[i]);
		(void)close(b->fds[i]);
	}
}

/*
 * accept4(2) makes a socket before it finds that nobody has come. So it is asked for as many as there were
 * the last time; whether there are more poll says. Now and then one more is looked for.
 */
static void expect(struct published *p, unsigned came)
{
	if (came < p->expected) {
		p->expected = came ? (uint8_t)came : 1;
		p->as_many = 0;
	} else if (p->expected > 1 || ++p->as_many == LOOKS) {
		p->expected = p->expected < BATCH / 2 ? p->expected * 2 : BATCH;
		p->as_many = 0;
	}
}

/* Accepts as many as are expected. False: there are no descriptors. */
static bool accept_all(struct gate *g, struct published *p, struct batch *b)
{
	const int flags = SOCK_CLOEXEC | (p->nonblock ? SOCK_NONBLOCK : 0);
	unsigned i;

	for (i = 0; i < p->expected && p->credit && !g->over; i++) {
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		AUTO_FD int fd = accept4(p->fd, (struct sockaddr *)&from, &len, flags);

		if (fd >= 0)
			take(g, p, b, &fd, &from, len);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			return false;
		else if (errno != ECONNABORTED && errno != EINTR)
			break;
	}
	if (p->credit)
		expect(p, i);
	return true;
}

static void arrived(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct published *p = (struct published *)((char *)w - offsetof(struct published, arrivals));
	struct batch b = { .a = { .kind = GATEWAY_ARRIVED, .id = p->job.id, .nonblock = p->nonblock } };
	bool rest = !accept_all(g, p, &b);

	(void)events;
	pass_on(g, &b);
	if (rest)
		gate_timer_set(g, &p->pause, PAUSE_MS);
	if (rest || p->credit == 0)
		gate_watch_change(g, p->fd, 0, &p->arrivals);
}

static void go_on(struct gate *g, struct gate_timer *t)
{
	struct published *p = (struct published *)((char *)t - offsetof(struct published, pause));

	if (p->open && p->credit)
		gate_watch_change(g, p->fd, EPOLLIN, &p->arrivals);
}

static void tell_published(struct gate *g, const struct published *p)
{
	struct gateway_answer a = { .kind = GATEWAY_PUBLISHED, .id = p->job.id, .port = p->port, .n = 1,
				    .addresses = { p->addr } };

	gate_tell(g, &a, -1);
}

/* Where connections had to wait there are as many as may be. */
static void allow(struct gate *g, struct published *p, const struct gateway_request *r)
{
	bool waited = p->open && p->credit == 0;

	p->nonblock = r->nonblock;
	p->credit = r->port < UINT16_MAX - p->credit ? p->credit + r->port : UINT16_MAX;
	if (!waited || p->credit == 0)
		return;
	p->expected = BATCH;
	if (!p->pause.due)
		gate_watch_change(g, p->fd, EPOLLIN, &p->arrivals);
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

	if (p && open)
		allow(g, p, r);
	if (!p || open == p->open)
		return;
	if (open) {
		reuse(p->fd, 1); /* for those of its own connections that are left */
		p->open = listen(p->fd, BACKLOG) == 0 && gate_watch_add_direct(g, p->fd, &p->arrivals) == 0;
		if (p->open && p->credit == 0)
			gate_watch_change(g, p->fd, 0, &p->arrivals);
		tell_published(g, p);
		return;
	}
	/* Those in its queue are reset with it. A port that was asked for stays with the socket. */
	p->open = false;
	p->credit = 0;
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

static struct published *published_new(const struct addr *addr, uint16_t port, uint16_t local_port)
{
	struct published *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	*p = (struct published){ .job = { .end = end },
				 .arrivals = { .ready = arrived },
				 .pause = { .ring = go_on },
				 .addr = *addr,
				 .asked = port,
				 .port = port,
				 .local_port = local_port,
				 .expected = 1,
				 .fd = -1 };
	return p;
}

/* Where any port may be taken, that is one for each rule, and the kernel chooses it. */
static unsigned count_published(const struct gate *g, const struct gateway_request *r)
{
	const struct published *p;
	unsigned n = 0;

	LIST_FOREACH(p, &g->published, link)
		n += p->asked == r->port && p->local_port == r->local_port && addr_equal(&p->addr, &r->addr);
	return n;
}

/* One that was claimed becomes a job; else it is taken now. */
static struct published *begin(struct gate *g, const struct gateway_request *r, int *ret_error)
{
	struct published *p;
	int rc = 0;

	g->over = g->over || gate_job_find(g, r->id, end); /* an id in use ends us, whatever it is asked for */
	LIST_FOREACH(p, &g->claims, link)
		if (p->asked == r->port && p->local_port == r->local_port && addr_equal(&p->addr, &r->addr))
			break;
	if (p) {
		LIST_REMOVE(p, link);
	} else {
		unsigned n = gate_publishes_now(g, POLICY_TCP, &r->addr, r->port, r->local_port);

		*ret_error = n ? EADDRINUSE : EACCES;
		if (count_published(g, r) >= n)
			return NULL;
		p = published_new(&r->addr, r->port, r->local_port);
		rc = p ? claim(p) : -ENOBUFS;
	}
	if (rc == 0 && !gate_job_add(g, &p->job, r->id))
		rc = -ENOBUFS;
	if (rc == 0) {
		LIST_INSERT_HEAD(&g->published, p, link);
		return p;
	}
	*ret_error = -rc;
	if (p)
		fd_close(&p->fd);
	free(p);
	return NULL;
}

void gate_publish(struct gate *g, const struct gateway_request *r)
{
	struct gateway_answer denied = { .kind = GATEWAY_DENIED, .id = r->id, .n = 1, .addresses = { r->addr } };
	int error = 0;
	const struct published *p = begin(g, r, &error);

	if (p) {
		tell_published(g, p);
	} else if (error == EACCES && !gate_publishes_now(g, POLICY_TCP, &r->addr, r->port, r->local_port)) {
		gate_tell(g, &denied, -1);
	} else {
		gate_tell_failed(g, r->id, error);
	}
}

/* --- of a policy that is to come -------------------------------------------------------------- */

/* Whether the port is there for this one already; a socket of ours at that place: for another port of the domain. */
static bool is_taken(const struct gate *g, const struct policy_rule *r, uint16_t local_port, int *ret_same_place)
{
	const struct published *p;

	LIST_FOREACH(p, &g->published, link) {
		if (p->asked != r->publish_port || !addr_equal(&p->addr, &r->publish_addr))
			continue;
		if (p->local_port == local_port)
			return true;
		if (p->asked)
			*ret_same_place = p->fd;
	}
	return false;
}

static int claim_one(struct gate *g, const struct policy_rule *r, struct err *e)
{
	uint16_t local_port = r->endpoints[0].ports.v[0].lo;
	int same_place = -1, rc;
	struct published *p;

	if (is_taken(g, r, local_port, &same_place))
		return 0;
	p = published_new(&r->publish_addr, r->publish_port, local_port);
	if (!p)
		return err_num(e, ENOMEM, "publishing");
	if (same_place < 0) {
		rc = claim(p);
	} else {
		p->fd = fcntl(same_place, F_DUPFD_CLOEXEC, 3);
		rc = p->fd < 0 ? -errno : 0;
	}
	if (rc == 0) {
		LIST_INSERT_HEAD(&g->claims, p, link);
		return 0;
	}
	free(p);
	return gateway_publish_failed(&r->publish_addr, r->publish_port, local_port, -rc, e);
}

int gate_publish_claim(struct gate *g, const struct policy *next, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < next->n_rules; i++) {
		const struct policy_rule *r = &next->rules[i];

		if (r->publish && (r->protos & POLICY_TCP))
			rc = claim_one(g, r, e);
		if (rc == 0 && r->publish && (r->protos & POLICY_UDP))
			rc = gate_bind_claim(g, r, e);
	}
	if (rc < 0)
		gate_publish_unclaim(g);
	return rc;
}

void gate_publish_unclaim(struct gate *g)
{
	struct published *p;

	while ((p = LIST_FIRST(&g->claims)))
		drop(g, p);
	gate_bind_unclaim(g);
}
