/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GATEWAY_BIND: a UDP port of the machine that leads to one of the domain. The
 * supervisor gets one end of a socket pair, through which what comes goes to it with
 * who it is from, and answers come back with who they are for. Answers go
 * to nobody but those who were let in and have sent something a while ago, and
 * from the address that they sent it to. What finds no room is lost, as datagrams are. The
 * end of the pair gives up the port.
 *
 * As in publish.c ports of a policy that is to come are claims.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"

#define BATCH 32         /* datagrams of one direction in one turn */
#define BUFFER (1 << 20) /* bytes that wait for us on the host's side */
#define DATAGRAM_MAX 65535
#define VISITORS_MAX 4096    /* of one port; then the one that was silent longest goes */
#define VISITOR_BUCKETS 1024
#define VISITOR_MS 180000 /* silence after which nobody is answered any more */
#define DENIED_MS 30000   /* after which one who goes on trying is told of again */
#define DENIED_PLACES 256
#define DENIED_RATE 64    /* told of in a second */
#define LAST 1024         /* answers that are passed on at the end */

struct visitor {
	LIST_ENTRY(visitor) by_hash;
	TAILQ_ENTRY(visitor) by_age; /* the longest silent first */
	struct addr addr, at;        /* at: the machine's own address that was sent to */
	uint16_t port;
	int64_t last;
};

/* Who was told of as denied; at the place of its hash. */
struct denied {
	struct addr addr;
	uint16_t port;
	int64_t until;
};

struct bound {
	LIST_ENTRY(bound) link; /* in bound or bound_claims */
	struct gate_watch outside, inside;
	struct addr addr;
	uint16_t asked, port, local_port; /* asked: as the policy has it; 0: any */
	int fd;   /* owned */
	int pair; /* owned; -1 of a claim */
	/* cppcheck-suppress unusedStructMember ; LIST_FOREACH does */
	LIST_HEAD(, visitor) buckets[VISITOR_BUCKETS];
	/* cppcheck-suppress unusedStructMember ; TAILQ_FIRST does */
	TAILQ_HEAD(, visitor) ages;
	unsigned n;
	struct denied denied[DENIED_PLACES];
	int64_t denied_since; /* the second that is counted */
	unsigned n_denied;
};

static uint8_t buffer[DATAGRAM_MAX];

/* --- who may be answered ------------------------------------------------------------------- */

static size_t bucket_of(const struct addr *a, uint16_t port)
{
	size_t h = port;

	for (int i = 0; i < 16; i++)
		h = h * 131 + a->b[i];
	return h % VISITOR_BUCKETS;
}

static struct visitor *visitor_find(struct bound *b, const struct addr *a, uint16_t port)
{
	struct visitor *v;

	LIST_FOREACH(v, &b->buckets[bucket_of(a, port)], by_hash)
		if (v->port == port && addr_equal(&v->addr, a))
			return v;
	return NULL;
}

static void visitor_free(struct bound *b, struct visitor *v)
{
	LIST_REMOVE(v, by_hash);
	TAILQ_REMOVE(&b->ages, v, by_age);
	b->n--;
	free(v);
}

static struct visitor *visitor_new(struct bound *b, const struct addr *a, uint16_t port)
{
	struct visitor *v;

	if (b->n == VISITORS_MAX)
		visitor_free(b, TAILQ_FIRST(&b->ages));
	v = calloc(1, sizeof *v);
	if (!v)
		return NULL;
	v->addr = *a;
	v->port = port;
	LIST_INSERT_HEAD(&b->buckets[bucket_of(a, port)], v, by_hash);
	TAILQ_INSERT_TAIL(&b->ages, v, by_age);
	b->n++;
	return v;
}

static bool may_come(const struct gate *g, const struct bound *b, const struct addr *from, const struct addr *at)
{
	return gate_publishes(g, POLICY_UDP, &b->addr, b->asked, b->local_port) &&
	       gate_lets_in(g, POLICY_UDP, from, at, b->local_port);
}

/* --- a port's end ---------------------------------------------------------------------------- */

static void bound_free(struct gate *g, struct bound *b)
{
	if (b->pair >= 0) {
		gate_watch_remove(g, b->fd);
		gate_watch_remove(g, b->pair);
	}
	fd_close(&b->fd);
	fd_close(&b->pair);
	while (!TAILQ_EMPTY(&b->ages))
		visitor_free(b, TAILQ_FIRST(&b->ages));
	LIST_REMOVE(b, link);
	free(b);
}

void gate_bound_review(struct gate *g)
{
	struct bound *b = LIST_FIRST(&g->bound), *next;

	for (; b; b = next) {
		struct visitor *v = TAILQ_FIRST(&b->ages), *following;

		next = LIST_NEXT(b, link);
		if (!gate_publishes(g, POLICY_UDP, &b->addr, b->asked, b->local_port)) {
			bound_free(g, b);
			continue;
		}
		for (; v; v = following) {
			following = TAILQ_NEXT(v, by_age);
			if (!may_come(g, b, &v->addr, &v->at))
				visitor_free(b, v);
		}
		memset(b->denied, 0, sizeof b->denied);
	}
}

/* --- what comes ------------------------------------------------------------------------------- */

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Where it was sent to: an address of the machine's own, not one of many machines. */
static bool get_at(struct msghdr *m, struct addr *ret)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct in_pktinfo v4;
	struct in6_pktinfo v6;

	if (c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		memcpy(&v4, CMSG_DATA(c), sizeof v4);
		*ret = addr_v4(0, 0, 0, 0);
		memcpy(ret->b + ADDR_V4_BITS / 8, &v4.ipi_spec_dst, sizeof v4.ipi_spec_dst);
		return v4.ipi_spec_dst.s_addr == v4.ipi_addr.s_addr;
	}
	if (!c || c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
		return false;
	memcpy(&v6, CMSG_DATA(c), sizeof v6);
	memcpy(ret->b, &v6.ipi6_addr, sizeof ret->b);
	return addr_kind(ret) != ADDR_MULTICAST;
}

/* The supervisor puts it on record. */
static void deny(struct bound *b, const struct addr *from, uint16_t port, const struct addr *at)
{
	const struct gateway_visit head = { .peer = *from, .at = *at, .port = port, .error = EACCES };
	struct denied *d = &b->denied[bucket_of(from, port) % DENIED_PLACES];
	int64_t now = gate_now();

	if (d->until > now && d->port == port && addr_equal(&d->addr, from))
		return;
	/* Anybody can send from as many ports as they like; the supervisor is there for others, too. */
	if (now - b->denied_since >= 1000) {
		b->denied_since = now;
		b->n_denied = 0;
	}
	if (b->n_denied >= DENIED_RATE)
		return;
	b->n_denied++;
	*d = (struct denied){ *from, port, now + DENIED_MS };
	(void)send(b->pair, &head, sizeof head, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Who has sent it; decided on when it is somebody new, or who has been silent. NULL: not let in. */
static struct visitor *visitor_of(const struct gate *g, struct bound *b, const struct sockaddr_storage *from,
				  socklen_t len, const struct addr *at)
{
	struct visitor *v;
	struct addr a;
	uint16_t port;

	/* Link-local ones of IPv6 are answered by an interface, which the app has not; mapped ones are nobody's. */
	if (addr_from_sockaddr((const struct sockaddr *)from, len, &a, &port) < 0 || port == 0 ||
	    addr_is_v4(&a) != addr_is_v4(&b->addr) || (!addr_is_v4(&a) && addr_kind(&a) == ADDR_LINK_LOCAL))
		return NULL;
	v = visitor_find(b, &a, port);
	if (v && gate_now() - v->last <= VISITOR_MS && addr_equal(&v->at, at))
		return v;
	if (!may_come(g, b, &a, at)) {
		if (v)
			visitor_free(b, v);
		deny(b, &a, port, at);
		return NULL;
	}
	v = v ? v : visitor_new(b, &a, port);
	if (v)
		v->at = *at;
	return v;
}

static void pass(struct bound *b, struct visitor *v, size_t len)
{
	struct gateway_visit head = { .peer = v->addr, .at = v->at, .port = v->port };
	struct iovec iov[] = { { &head, sizeof head }, { buffer, len } };
	const struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	v->last = gate_now();
	TAILQ_REMOVE(&b->ages, v, by_age);
	TAILQ_INSERT_TAIL(&b->ages, v, by_age);
	(void)sendmsg(b->pair, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void from_outside(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct bound *b = (struct bound *)((char *)w - offsetof(struct bound, outside));

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_storage from;
		union control control;
		struct iovec iov = { buffer, sizeof buffer };
		struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1,
				    .msg_control = &control, .msg_controllen = sizeof control };
		ssize_t n = recvmsg(b->fd, &m, MSG_DONTWAIT);
		struct visitor *v;
		struct addr at;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0 || !get_at(&m, &at)) /* an error of what was sent before */
			continue;
		v = visitor_of(g, b, &from, m.msg_namelen, &at);
		if (v)
			pass(b, v, (size_t)n);
	}
}

/* --- answers ----------------------------------------------------------------------------------- */

static void send_out(const struct bound *b, const struct visitor *v, size_t len)
{
	const bool v4 = addr_is_v4(&v->addr);
	struct sockaddr_storage to;
	socklen_t to_len = addr_to_sockaddr(&v->addr, v->port, v4 ? AF_INET : AF_INET6, &to);
	struct iovec iov = { buffer, len };
	union control control = { .align = { .cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6,
					     .cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO } };
	struct msghdr m = { .msg_name = &to, .msg_namelen = to_len, .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = &control };

	if (v4) {
		struct in_pktinfo info = { .ipi_ifindex = 0 };

		memcpy(&info.ipi_spec_dst, v->at.b + ADDR_V4_BITS / 8, sizeof info.ipi_spec_dst);
		control.align.cmsg_len = CMSG_LEN(sizeof info);
		m.msg_controllen = CMSG_SPACE(sizeof info);
		memcpy(CMSG_DATA(&control.align), &info, sizeof info);
	} else {
		struct in6_pktinfo info = { .ipi6_ifindex = 0 };

		memcpy(&info.ipi6_addr, v->at.b, sizeof v->at.b);
		control.align.cmsg_len = CMSG_LEN(sizeof info);
		m.msg_controllen = CMSG_SPACE(sizeof info);
		memcpy(CMSG_DATA(&control.align), &info, sizeof info);
	}
	(void)sendmsg(b->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* One that the supervisor has for somebody. False: there is none now; or no more, *ret_over. */
static bool answer_one(struct bound *b, bool *ret_over)
{
	struct gateway_visit head;
	struct iovec iov[] = { { &head, sizeof head }, { buffer, sizeof buffer } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = recvmsg(b->pair, &m, MSG_DONTWAIT);
	const struct visitor *v;

	if (n < (ssize_t)sizeof head) {
		*ret_over = n >= 0 || (errno != EAGAIN && errno != EINTR);
		return false;
	}
	v = visitor_find(b, &head.peer, head.port);
	if (v && gate_now() - v->last <= VISITOR_MS)
		send_out(b, v, (size_t)n - sizeof head);
	return true;
}

static void from_inside(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct bound *b = (struct bound *)((char *)w - offsetof(struct bound, inside));
	bool over = false;

	(void)events;
	for (int i = 0; i < BATCH && answer_one(b, &over); i++)
		;
	if (over)
		bound_free(g, b);
}

void gate_bound_fini(struct gate *g)
{
	struct bound *b;
	bool over;

	while ((b = LIST_FIRST(&g->bound))) {
		for (int i = 0; i < LAST && answer_one(b, &over); i++)
			; /* a server may answer and end */
		bound_free(g, b);
	}
	gate_bind_unclaim(g);
}

/* --- the port ------------------------------------------------------------------------------------ */

/* -errno. Without SO_REUSEADDR it is nobody else's. */
static int bind_there(const struct addr *a, uint16_t port)
{
	const int family = addr_is_v4(a) ? AF_INET : AF_INET6, on = 1, size = BUFFER;
	AUTO_FD int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(a, port, family, &sa);
	int rc;

	if (fd < 0)
		return -errno;
	/* What is sent to many is passed on to nobody. */
	if (len == 0 || addr_kind(a) == ADDR_MULTICAST || addr_kind(a) == ADDR_BROADCAST)
		return -EADDRNOTAVAIL;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	rc = family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) :
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0 ?
				 -1 :
				 setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
	if (rc < 0 || bind(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	return fd_take(&fd);
}

static bool get_port(int fd, uint16_t *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr own;

	return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
	       addr_from_sockaddr((const struct sockaddr *)&sa, len, &own, ret) == 0;
}

/* Takes fd; -1: a port is taken now. NULL: *ret_error. */
static struct bound *bound_new(const struct addr *a, uint16_t port, uint16_t local_port, int fd, int *ret_error)
{
	struct bound *b = calloc(1, sizeof *b);

	*ret_error = ENOBUFS;
	if (fd < 0) {
		fd = bind_there(a, port);
		*ret_error = fd < 0 ? -fd : ENOBUFS;
	}
	if (!b || fd < 0 || !get_port(fd, &b->port)) {
		free(b);
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	b->outside.ready = from_outside;
	b->inside.ready = from_inside;
	b->addr = *a;
	b->asked = port;
	b->local_port = local_port;
	b->fd = fd;
	b->pair = -1;
	TAILQ_INIT(&b->ages);
	return b;
}

/* The first of a list that is asked for so. */
static struct bound *find(struct bound *first, const struct addr *a, uint16_t port, uint16_t local_port)
{
	for (; first; first = LIST_NEXT(first, link))
		if (first->asked == port && first->local_port == local_port && addr_equal(&first->addr, a))
			break;
	return first;
}

/* One that is in a list: the supervisor's end of its pair, or -errno; it is gone then. */
static int begin(struct gate *g, struct bound *b)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		bound_free(g, b);
		return -ENOBUFS;
	}
	b->pair = pair[0];
	if (gate_watch_add(g, b->fd, EPOLLIN, &b->outside) == 0 && gate_watch_add(g, b->pair, EPOLLIN, &b->inside) == 0)
		return pair[1];
	(void)close(pair[1]);
	bound_free(g, b);
	return -ENOBUFS;
}

/* As many as there are rules that say so: any port may be taken for each of them. */
static bool are_all_taken(const struct gate *g, const struct gateway_request *r, unsigned n)
{
	struct bound *b = LIST_FIRST(&g->bound);

	for (; n && (b = find(b, &r->addr, r->port, r->local_port)); b = LIST_NEXT(b, link))
		n--;
	return n == 0;
}

void gate_bind(struct gate *g, const struct gateway_request *r)
{
	struct gateway_answer a = { .kind = GATEWAY_CONNECTED, .id = r->id, .error = EADDRINUSE };
	struct bound *b = find(LIST_FIRST(&g->bound_claims), &r->addr, r->port, r->local_port);
	unsigned n = gate_publishes_now(g, POLICY_UDP, &r->addr, r->port, r->local_port);
	int fd;

	if (!b && n == 0) {
		a = (struct gateway_answer){ .kind = GATEWAY_DENIED, .id = r->id, .n = 1, .addresses = { r->addr } };
		gate_tell(g, &a, -1);
		return;
	}
	if (b)
		LIST_REMOVE(b, link);
	else if (!are_all_taken(g, r, n))
		b = bound_new(&r->addr, r->port, r->local_port, -1, &a.error);
	if (!b) {
		gate_tell_failed(g, r->id, a.error);
		return;
	}
	LIST_INSERT_HEAD(&g->bound, b, link);
	a.port = b->port;
	fd = begin(g, b);
	a.error = fd < 0 ? -fd : 0;
	a.kind = fd < 0 ? GATEWAY_FAILED : GATEWAY_CONNECTED;
	gate_tell(g, &a, fd);
}

/* --- of a policy that is to come --------------------------------------------------------------------- */

int gate_bind_claim(struct gate *g, const struct policy_rule *r, struct err *e)
{
	const uint16_t local_port = r->endpoints[0].ports.v[0].lo;
	const struct bound *other;
	int error, fd = -1;
	struct bound *b;

	if (find(LIST_FIRST(&g->bound), &r->publish_addr, r->publish_port, local_port))
		return 0;
	/* For another port of the domain until that policy is in force. */
	LIST_FOREACH(other, &g->bound, link)
		if (fd < 0 && r->publish_port && other->asked == r->publish_port &&
		    addr_equal(&other->addr, &r->publish_addr))
			fd = fcntl(other->fd, F_DUPFD_CLOEXEC, 3);
	b = bound_new(&r->publish_addr, r->publish_port, local_port, fd, &error);
	if (!b)
		return gateway_publish_failed(&r->publish_addr, r->publish_port, local_port, error, e);
	LIST_INSERT_HEAD(&g->bound_claims, b, link);
	return 0;
}

void gate_bind_unclaim(struct gate *g)
{
	struct bound *b;

	while ((b = LIST_FIRST(&g->bound_claims)))
		bound_free(g, b);
}
