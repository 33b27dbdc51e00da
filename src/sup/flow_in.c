/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams that come to published ports: the sockets are the gateway's, the frames are made here. */
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/flow.h"
#include "sup/sup.h"

#define BATCH 32          /* that come in one turn */
#define BYTES (128 << 10) /* after which it is over: others wait meanwhile */

/* --- who comes ------------------------------------------------------------------------------ */

/*
 * Whom the app sees. The machine's own loopback is not the app's, so it is "host". What else is an address of
 * somebody inside nobody outside can have: it would be taken for theirs. False: that.
 */
static bool seen_as(const struct publish *p, const struct addr *peer, struct addr *ret)
{
	const struct domain *d = p->domain;
	enum addr_kind kind = addr_kind(peer);

	*ret = kind == ADDR_LOOPBACK ? policy_host_addr(&d->policy, addr_is_v4(peer)) : *peer;
	if (kind == ADDR_LOOPBACK)
		return true;
	return kind != ADDR_UNSPECIFIED && kind != ADDR_MULTICAST && kind != ADDR_BROADCAST && !domain_owns(d, peer) &&
	       !domain_find(d->sup, peer) && !names_in_pool(d, peer);
}

/* The address of the domain's that they come to: the one that the rule names, else the first of the family. */
static const struct addr *local_of(const struct publish *p)
{
	const struct domain *d = p->domain;
	bool v4 = addr_is_v4(&p->addr);

	for (size_t i = 0; i < d->n_virtual; i++)
		if (addr_is_v4(&d->virtual[i]) == v4 && (!p->one_local || prefix_match(&p->local, &d->virtual[i])))
			return &d->virtual[i];
	return NULL;
}

static bool decide(const struct publish *p, const struct addr *peer, const struct addr *at, const struct addr *local,
		   const char *call, struct policy_verdict *ret)
{
	struct domain *d = p->domain;
	const struct policy_attempt a = { .kind = ATTEMPT_ACCEPT, .proto = POLICY_UDP, .port = p->local_port,
					  .peer = gateway_visitor(peer, at),
					  .local = local };
	struct audit_record r = { .domain = d, .call = call, .attempt = &a, .verdict = ret };

	policy_decide_bounded(&d->policy, domain_ceiling(d), &a, ret);
	if (domain_may_record(d))
		sup_audit(d, &r);
	return ret->allow;
}

static const struct policy_rule *own_rule(const struct domain *d, const struct policy_verdict *v)
{
	return v->policy == &d->policy ? v->rule : NULL;
}

/* The flow of a visitor, who is decided on when he is new. NULL: not let in. */
static struct flow *flow_of(struct publish *p, const struct gateway_visit *v, const struct frame_ends *e)
{
	struct domain *d = p->domain;
	struct flow *w = flow_find(d->sup, e);
	struct policy_verdict verdict;
	bool in;

	/* All of the machine's loopback is seen as one: who comes last from a port of theirs has it. */
	if (w && w->port == p && (w->denied || (addr_equal(&w->peer, &v->peer) && addr_equal(&w->at, &v->at))))
		return w->denied || v->error ? NULL : w;
	in = decide(p, &v->peer, &v->at, &e->to, "receive", &verdict) && !v->error;
	/* The gateway tells of those whom it denies now and then: they take no room from those who are let in. */
	if (v->error)
		return NULL;
	/* Somebody whom the app has sent to, from that port: answers go the way that they came. */
	if (w && in)
		flow_free(d->sup, w);
	else if (w)
		return NULL;
	w = flow_come(p, e, !in);
	if (!w || !in)
		return NULL;
	w->peer = v->peer;
	w->at = v->at;
	w->rule = own_rule(d, &verdict);
	if (w->rule)
		d->hits[w->rule - d->policy.rules]++;
	return w;
}

bool flow_in_decide(struct flow *w)
{
	struct domain *d = w->from;
	struct policy_verdict v;

	w->generation = d->generation;
	if (!decide(w->port, &w->peer, &w->at, &w->ends.from, "policy", &v))
		return false;
	w->rule = own_rule(d, &v);
	return true;
}

/* --- what they send --------------------------------------------------------------------------- */

/* A message in the buffer, its bytes where those of a frame are. */
static void arrived(struct publish *p, const struct gateway_visit *v, size_t len)
{
	struct sup *s = p->domain->sup;
	const struct addr *local = local_of(p);
	struct frame_ends e = { .from_port = v->port, .to_port = p->local_port };
	struct flow *w;

	if (!local || v->port == 0 || addr_is_v4(&v->peer) != addr_is_v4(local) || !seen_as(p, &v->peer, &e.from))
		return;
	e.to = *local;
	w = flow_of(p, v, &e);
	if (!w)
		return;
	flow_answered(w, len);
	len = frame_write(s->flows.buffer, &e, len);
	if (len)
		flow_deliver(s, p->domain, len);
}

static void ready(struct watch *watch, uint32_t events)
{
	struct publish *p = (struct publish *)((char *)watch - offsetof(struct publish, visits));
	struct flows *f = &p->domain->sup->flows;
	size_t at = FRAME_PAYLOAD(addr_is_v4(&p->addr)), bytes = 0;

	(void)events;
	for (int i = 0; i < BATCH && bytes < BYTES; i++) {
		struct gateway_visit v;
		struct iovec iov[] = { { &v, sizeof v }, { f->buffer + at, sizeof f->buffer - at } };
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
		ssize_t n = recvmsg(p->fd, &m, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < (ssize_t)sizeof v) {
			flow_in_end(p); /* the gateway has gone */
			p->open = false;
			return;
		}
		bytes += (size_t)n;
		arrived(p, &v, (size_t)n - sizeof v);
	}
}

/* --- what they are answered --------------------------------------------------------------------- */

/* What finds no room is lost, as datagrams are. */
void flow_in_send(struct flow *w, size_t payload)
{
	const uint8_t *buffer = w->from->sup->flows.buffer, *bytes = buffer + frame_payload_at(buffer);
	const struct gateway_visit head = { .peer = w->peer, .port = w->ends.to_port };
	size_t size = frame_payload_size(buffer, payload);

	do {
		size_t n = payload < size ? payload : size;
		struct iovec iov[] = { { (void *)(uintptr_t)&head, sizeof head }, { (void *)(uintptr_t)bytes, n } };
		const struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

		(void)sendmsg(w->port->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		bytes += n;
		payload -= n;
	} while (payload);
}

/* --- ports ---------------------------------------------------------------------------------------- */

int flow_in_begin(struct publish *p, int fd)
{
	int rc;

	p->visits = (struct watch){ ready };
	rc = loop_add(&p->domain->sup->loop, fd, EPOLLIN, &p->visits);
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	p->fd = fd;
	return 0;
}

void flow_in_end(struct publish *p)
{
	if (p->fd >= 0)
		loop_remove(&p->domain->sup->loop, p->fd, &p->visits);
	fd_close(&p->fd);
	while (!TAILQ_EMPTY(&p->flows))
		flow_free(p->domain->sup, TAILQ_FIRST(&p->flows));
}
