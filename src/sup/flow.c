/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/flow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/decide.h"
#include "sup/sup.h"

#define SWEEP_MS 5000

/* --- the table ------------------------------------------------------------------------------ */

static size_t hash_end(const struct addr *a, uint16_t port)
{
	size_t h = (size_t)port * 31;

	for (int i = 10; i < 16; i++)
		h = h * 131 + a->b[i];
	return h;
}

/* The same for both directions. */
static size_t bucket_of(const struct frame_ends *e)
{
	return (hash_end(&e->from, e->from_port) ^ hash_end(&e->to, e->to_port)) % FLOW_BUCKETS;
}

static bool is_same(const struct frame_ends *x, const struct frame_ends *y)
{
	return x->from_port == y->from_port && x->to_port == y->to_port && addr_equal(&x->from, &y->from) &&
	       addr_equal(&x->to, &y->to);
}

/* 0: the first sender's direction; 1: the other; -1: no such flow. */
static int find(struct flows *f, const struct frame_ends *e, struct flow **ret)
{
	const struct frame_ends back = { e->to, e->from, e->to_port, e->from_port };
	struct flow *w;

	LIST_FOREACH(w, &f->buckets[bucket_of(e)], by_hash) {
		*ret = w;
		if (is_same(&w->ends, e))
			return 0;
		if (!w->denied && is_same(&w->ends, &back))
			return 1;
	}
	return -1;
}

/* Those who come in from outside are kept apart: they do not end what the domain has begun. */
static struct flow_list *list_of(const struct flow *w)
{
	return w->port ? &w->port->flows : &w->from->flows;
}

static size_t *count_of(const struct flow *w)
{
	return w->port ? &w->port->n_flows : &w->from->n_flows;
}

static void touch(struct flow *w)
{
	TAILQ_REMOVE(list_of(w), w, in_domain);
	TAILQ_INSERT_TAIL(list_of(w), w, in_domain);
}

void flow_free(struct sup *s, struct flow *w)
{
	flow_out_end(w);
	LIST_REMOVE(w, by_hash);
	TAILQ_REMOVE(list_of(w), w, in_domain);
	--*count_of(w);
	s->flows.n--;
	free(w);
}

static bool is_over(const struct flow *w, int64_t now)
{
	return now - w->last > (w->answered ? FLOW_LONG_MS : FLOW_SHORT_MS);
}

static struct flow *flow_new(struct sup *s, struct domain *from, struct publish *port, const struct frame_ends *e)
{
	struct flows *f = &s->flows;
	struct flow *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->from = from;
	w->port = port;
	w->ends = *e;
	if (*count_of(w) >= (port ? FLOW_IN_MAX : FLOW_DOMAIN_MAX))
		flow_free(s, TAILQ_FIRST(list_of(w)));
	w->generation = from->generation;
	w->id = s->table.next_id++;
	LIST_INSERT_HEAD(&f->buckets[bucket_of(e)], w, by_hash);
	TAILQ_INSERT_TAIL(list_of(w), w, in_domain);
	++*count_of(w);
	f->n++;
	if (!f->sweep.due)
		loop_set_alarm(&s->loop, &f->sweep, SWEEP_MS);
	return w;
}

struct flow *flow_come(struct publish *p, const struct frame_ends *e, bool denied)
{
	const struct frame_ends back = { e->to, e->from, e->to_port, e->from_port };
	struct flow *w = flow_new(p->domain->sup, p->domain, p, denied ? e : &back);

	if (w) {
		w->denied = denied;
		w->last = loop_now();
	}
	return w;
}

struct flow *flow_find(struct sup *s, const struct frame_ends *e)
{
	struct flow *w;

	return find(&s->flows, e, &w) >= 0 ? w : NULL;
}

static void sweep_list(struct sup *s, struct flow_list *list)
{
	int64_t now = loop_now();
	struct flow *w = TAILQ_FIRST(list), *next;

	for (; w; w = next) {
		next = TAILQ_NEXT(w, in_domain);
		if (is_over(w, now))
			flow_free(s, w);
	}
}

static void sweep(struct loop_alarm *a)
{
	struct flows *f = (struct flows *)((char *)a - offsetof(struct flows, sweep));
	struct sup *s = (struct sup *)((char *)f - offsetof(struct sup, flows));
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link) {
		sweep_list(s, &d->flows);
		for (size_t i = 0; i < d->published.n; i++)
			sweep_list(s, &d->published.v[i]->flows);
	}
	if (f->n)
		loop_set_alarm(&s->loop, a, SWEEP_MS);
}

/* --- frames ---------------------------------------------------------------------------------- */

static bool has_address(const struct domain *d, const struct addr *a)
{
	return domain_owns(d, a) && addr_kind(a) != ADDR_LOOPBACK && addr_kind(a) != ADDR_UNSPECIFIED;
}

/* The first datagram, or the first since the flow was over. */
static struct flow *open_flow(struct sup *s, struct domain *from, const struct frame_ends *e)
{
	struct decision d;
	struct audit_record r = { .domain = from, .call = "send", .attempt = &d.attempt, .verdict = &d.verdict };
	struct flow *w = flow_new(s, from, NULL, e);

	if (!w)
		return NULL;
	decide_connect(s, from, POLICY_UDP, &e->from, &e->to, e->to_port, &d);
	w->to = d.verdict.allow && d.to != from ? d.to : NULL;
	w->denied = !w->to && !(d.verdict.allow && !d.to && flow_out_begin(s, w, &d));
	w->rule = decision_rule(&d, from);
	decision_count(&d, from);
	if (domain_may_record(from))
		sup_audit(from, &r);
	return w;
}

bool flow_is_open(struct sup *s, const struct domain *d, const struct addr *own, uint16_t own_port,
		  const struct addr *to, uint16_t port)
{
	bool any = addr_kind(own) == ADDR_UNSPECIFIED;
	struct flow *w;

	for (size_t i = 0; own_port && i < d->n_virtual; i++) {
		const struct frame_ends e = { d->virtual[i], *to, own_port, port };

		if ((any || addr_equal(own, &e.from)) && addr_is_v4(to) == addr_is_v4(&e.from) &&
		    find(&s->flows, &e, &w) >= 0 && !w->denied && !is_over(w, loop_now()))
			return true;
	}
	return false;
}

void flow_deliver(struct sup *s, const struct domain *to, size_t len)
{
	frame_address(s->flows.buffer, to->net.mac);
	/* What finds no room is lost, as datagrams are. */
	(void)send(to->net.packets, s->flows.buffer, len, MSG_DONTWAIT);
}

static void pass_datagram(struct sup *s, struct domain *from, const struct frame_ends *e, size_t len,
			  size_t payload)
{
	int64_t now = loop_now();
	struct flow *w = NULL;
	int way;

	/* Only the domain's own addresses are believed; those that nobody may send to are nobody's. */
	if (!has_address(from, &e->from) || has_address(from, &e->to) || addr_kind(&e->to) == ADDR_MULTICAST ||
	    addr_kind(&e->to) == ADDR_BROADCAST)
		return;
	way = find(&s->flows, e, &w);
	if (way >= 0 && is_over(w, now)) {
		flow_free(s, w);
		way = -1;
	}
	if (way < 0) {
		w = open_flow(s, from, e);
		way = 0;
	}
	if (!w)
		return;
	/* Somebody who is denied and goes on trying stays denied, and is put on record again now and then. */
	if (w->denied) {
		if (w->packets[0]++ == 0)
			w->last = now;
		return;
	}
	w->last = now;
	w->answered = w->answered || way || w->port;
	w->packets[way]++;
	w->bytes[way] += payload;
	touch(w);
	if (w->out)
		flow_out_send(s, w, payload);
	else if (w->port)
		flow_in_send(w, payload);
	else
		flow_deliver(s, way ? w->from : w->to, len);
}

void flow_answered(struct flow *w, size_t payload)
{
	w->last = loop_now();
	w->answered = w->answered || !w->port;
	w->packets[1]++;
	w->bytes[1] += payload;
	touch(w);
}

/* A datagram did not arrive: to whoever sent it, if it passed here. */
static void pass_error(struct sup *s, const struct domain *d, const struct frame_ends *e, size_t len)
{
	struct flow *w;
	int way = has_address(d, &e->to) ? find(&s->flows, e, &w) : -1;

	if (way >= 0 && !w->denied && !w->out && !w->port)
		flow_deliver(s, way ? w->to : w->from, len);
}

static void read_frames(struct sup *s, struct domain *d, unsigned most)
{
	for (unsigned i = 0; i < most; i++) {
		struct frame_ends ends;
		size_t payload;
		ssize_t n = recvfrom(d->net.packets, s->flows.buffer, sizeof s->flows.buffer,
				     MSG_DONTWAIT | MSG_TRUNC, NULL, NULL);

		if (n < 0)
			return;
		if ((size_t)n > sizeof s->flows.buffer)
			continue;
		switch (frame_read(s->flows.buffer, (size_t)n, &ends, &payload)) {
		case FRAME_DATAGRAM:
			pass_datagram(s, d, &ends, (size_t)n, payload);
			break;
		case FRAME_ERROR:
			pass_error(s, d, &ends, (size_t)n);
			break;
		case FRAME_OTHER:
			break;
		}
	}
}

static void frames_ready(struct watch *watch, uint32_t events)
{
	struct domain *d = (struct domain *)((char *)watch - offsetof(struct domain, net.frames));

	(void)events;
	read_frames(d->sup, d, FLOW_BATCH);
}

/* --- domains ---------------------------------------------------------------------------------- */

void flows_init(struct flows *f)
{
	for (size_t i = 0; i < FLOW_BUCKETS; i++)
		LIST_INIT(&f->buckets[i]);
	f->sweep = (struct loop_alarm){ .ring = sweep };
	f->n = 0;
}

/* What was begun with somebody outside who has an address that is the domain's now, and what was denied as nobody's. */
static void forget_strangers(struct sup *s, const struct domain *d)
{
	struct flow *w, *next;

	for (size_t i = 0; s->flows.n && i < FLOW_BUCKETS; i++)
		for (w = LIST_FIRST(&s->flows.buckets[i]); w; w = next) {
			next = LIST_NEXT(w, by_hash);
			if (has_address(d, &w->ends.to) && (w->out || w->port || w->denied))
				flow_free(s, w);
		}
}

int flow_add_domain(struct sup *s, struct domain *d)
{
	forget_strangers(s, d);
	d->net.frames = (struct watch){ frames_ready };
	return d->net.packets >= 0 ? loop_add(&s->loop, d->net.packets, EPOLLIN, &d->net.frames) : 0;
}

void flow_remove_domain(struct sup *s, struct domain *d)
{
	struct flow *w, *next;

	if (d->net.packets >= 0) {
		read_frames(s, d, FLOW_LAST); /* a server may answer and end */
		loop_remove(&s->loop, d->net.packets, &d->net.frames);
	}
	fd_close(&d->net.packets);
	for (size_t i = 0; s->flows.n && i < FLOW_BUCKETS; i++)
		for (w = LIST_FIRST(&s->flows.buckets[i]); w; w = next) {
			next = LIST_NEXT(w, by_hash);
			if (w->from == d || w->to == d)
				flow_free(s, w);
		}
	if (s->flows.n == 0)
		loop_clear_alarm(&s->flows.sweep);
}

/* Whether it is still allowed. */
static bool decide_again(struct sup *s, struct flow *w)
{
	struct decision d;
	struct audit_record r = { .domain = w->from, .call = "policy", .attempt = &d.attempt, .verdict = &d.verdict };

	if (w->port)
		return flow_in_decide(w);
	decide_connect(s, w->from, POLICY_UDP, &w->ends.from, &w->ends.to, w->ends.to_port, &d);
	w->rule = decision_rule(&d, w->from);
	w->generation = w->from->generation;
	if (!d.verdict.allow && domain_may_record(w->from))
		sup_audit(w->from, &r);
	return d.verdict.allow && d.to == w->to;
}

size_t flow_revoke(struct sup *s, const struct domain *changed)
{
	struct flow *w, *next;
	size_t n = 0;

	for (size_t i = 0; s->flows.n && i < FLOW_BUCKETS; i++)
		for (w = LIST_FIRST(&s->flows.buckets[i]); w; w = next) {
			next = LIST_NEXT(w, by_hash);
			if (w->from != changed && w->to != changed && !w->denied)
				continue;
			if (!w->denied && decide_again(s, w) && !flow_out_is_over(w))
				continue;
			n += !w->denied && !flow_out_is_over(w);
			flow_free(s, w); /* what was denied may be allowed now */
		}
	return n;
}
