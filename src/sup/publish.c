/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/publish.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/handoff.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define WINDOW (2 * GATEWAY_ARRIVALS_MAX) /* connections that are parked or may come, of one listener at a port */
#define UNDER_WAY 512 /* parked beyond the backlog at one of several that share a port */
#define SEEN_MS 20    /* that a listener is taken for open without asking the kernel again */
#define LOOK_MS 20    /* between looks at those who wait to be accepted */

/* --- who comes ------------------------------------------------------------------------------- */

/* The client sees a reset, as from a port where nobody listens. */
static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* The gateway has decided already; here it is put on record, and decided by what is in force here. */
static bool let_in(struct publish *p, const struct gateway_arrival *a, const struct addr *local,
		   struct policy_verdict *ret)
{
	struct domain *d = p->domain;
	struct policy_attempt at = { .kind = ATTEMPT_ACCEPT, .proto = POLICY_TCP, .port = p->local_port,
				     .peer = gateway_visitor(&a->from, &a->at),
				     .local = local };
	struct audit_record r = { .domain = d, .call = "accept", .attempt = &at, .verdict = ret };

	policy_decide_bounded(&d->policy, domain_ceiling(d), &at, ret);
	if (ret->allow || domain_may_record(d))
		sup_audit(d, &r);
	return ret->allow;
}

static bool is_listening(struct sup *s, const struct vsk *v)
{
	const struct transport *t = transport_of(v);

	return t->is_there ? t->is_there(s, v) : t->in_use(v);
}

static void saw(struct publish *p, const struct vsk *v)
{
	p->seen[v->cookie % PUBLISH_SEEN].cookie = v->cookie;
	p->seen[v->cookie % PUBLISH_SEEN].at = loop_now();
}

/* The kernel's answer takes as long as all else that is to be done for a connection. */
static bool seems_listening(struct publish *p, const struct vsk *v)
{
	if (p->seen[v->cookie % PUBLISH_SEEN].cookie == v->cookie && loop_now() - p->seen[v->cookie % PUBLISH_SEEN].at < SEEN_MS)
		return true;
	if (!is_listening(p->domain->sup, v))
		return false;
	saw(p, v);
	return true;
}

/* --- how many may come ------------------------------------------------------------------------- */

/*
 * As full as its queue may be: the next ones wait in the gateway's, and beyond that the kernel lets them try
 * again. What fills the queue of one listener waits there, too, but for the next thirty or so: they come many at a
 * time then. Of several listeners at a port one that nobody serves must not stop the others.
 */
static unsigned window(const struct publish *p, unsigned *ret_parked)
{
	struct vsk_table *t = &p->domain->sup->table;
	const struct vsk *v = vsk_next_listener(t, p->domain, p->local_port, NULL);
	const struct vsk *next = v ? vsk_next_listener(t, p->domain, p->local_port, v) : NULL;

	*ret_parked = 0;
	if (v && !next && !v->reuse_port) {
		*ret_parked = v->n_parked;
		return v->backlog + 1 < WINDOW ? v->backlog + 1 : WINDOW;
	}
	for (; v; v = vsk_next_listener(t, p->domain, p->local_port, v)) {
		if (v->reuse_port)
			return WINDOW;
		if (v->n_parked > v->backlog)
			return 0;
	}
	return next ? WINDOW : 0;
}

/* Half of them at a time, so that a message is sent for many. */
static void let_come(struct publish *p)
{
	unsigned parked = 0, all = p->open && p->credit <= WINDOW / 2 ? window(p, &parked) : 0;
	struct gateway_request r = { .kind = GATEWAY_OPEN, .id = p->id, .nonblock = p->nonblock };

	if (all == 0 || (p->credit + parked) * 2 > all)
		return;
	r.port = (uint16_t)(all - p->credit - parked);
	if (gateway_note(&p->domain->gateway, &r))
		p->credit += r.port;
}

static bool leads_to(const struct publish *p, uint16_t local_port)
{
	return p->proto == POLICY_TCP && p->local_port == local_port;
}

void publish_taken(const struct vsk *listener, bool nonblock)
{
	struct domain *d = listener->domain;

	for (size_t i = 0; i < d->published.n; i++) {
		struct publish *p = d->published.v[i];

		if (!leads_to(p, listener->local_port))
			continue;
		saw(p, listener);
		p->nonblock = nonblock;
		let_come(p);
	}
}

/* --- who comes in ------------------------------------------------------------------------------ */

/*
 * Nothing tells when an app closes a listener; those who came in would wait for ever. And where the thread that
 * accepts has something else to do, another one that sleeps may not have been woken.
 */
static void look_after(struct publish *p, struct vsk *listener)
{
	struct sup *s = p->domain->sup;
	struct vsk_parked *first = TAILQ_FIRST(&listener->parked);

	if (!seems_listening(p, listener))
		vsk_free(&s->table, listener);
	else if (first->looked)
		accept_show(s, listener, true);
	else
		first->looked = true;
}

static void look(struct loop_alarm *a)
{
	struct publish *p = (struct publish *)((char *)a - offsetof(struct publish, look));
	struct sup *s = p->domain->sup;
	struct vsk *v = vsk_next_listener(&s->table, p->domain, p->local_port, NULL), *next;

	for (; v; v = next) {
		next = vsk_next_listener(&s->table, p->domain, p->local_port, v);
		if (v->n_parked == 0)
			continue;
		look_after(p, v);
		if (!a->due)
			loop_set_alarm(&s->loop, a, LOOK_MS);
	}
	let_come(p); /* one that was closed was in the way of others */
}

/* The listener that a connection to the port from an address of that family reaches, and at which of ours. */
static struct vsk *find_listener(struct publish *p, bool v4, const struct addr **ret_local)
{
	struct domain *d = p->domain;
	struct sup *s = d->sup;

	for (size_t i = 0; i < d->n_virtual; i++) {
		struct vsk *v;

		if (addr_is_v4(&d->virtual[i]) != v4)
			continue;
		/* The app may have closed it: nothing tells. */
		while ((v = vsk_find_listener(&s->table, d, &d->virtual[i], p->local_port)) && !seems_listening(p, v))
			vsk_free(&s->table, v);
		*ret_local = &d->virtual[i];
		if (v)
			return v;
	}
	return NULL;
}

static struct vsk *new_row(struct sup *s, const struct vsk *listener, int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof cookie;
	struct vsk *v;

	/* One that is not known to be open is none that a new policy could cut. */
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 || handoff_init(s) < 0 ||
	    alive_add(&s->handed, fd, cookie) < 0)
		return NULL;
	v = vsk_new(&s->table, listener->domain, cookie, listener->v6);
	if (!v)
		return NULL;
	vsk_set_host(&s->table, v);
	v->v6only = listener->v6only;
	v->linger = listener->linger;
	v->local_port = listener->local_port;
	v->generation = listener->generation;
	v->accepted = true;
	return v;
}

static void set_options(const struct publish *p, int fd)
{
	for (unsigned i = 0; i < p->n_options; i++)
		(void)setsockopt(fd, p->options[i].level, p->options[i].name, p->options[i].value,
				 p->options[i].len);
}

/* What makes room may find that the listener was closed, and free its row: NULL. Or there is no room. */
static struct vsk *make_room(struct publish *p, const struct vsk *listener)
{
	struct sup *s = p->domain->sup;
	uint64_t cookie = listener->cookie;

	return sup_make_room(s, p->domain, domain_sockets_max(p->domain)) ? vsk_find(&s->table, cookie) : NULL;
}

static void arrive(struct publish *p, const struct gateway_arrival *a, bool nonblock, int *fd)
{
	struct sup *s = p->domain->sup;
	const struct addr *local = NULL;
	struct vsk *listener = find_listener(p, addr_is_v4(&a->from), &local), *v = NULL;
	struct policy_verdict verdict;
	bool in = let_in(p, a, listener ? local : NULL, &verdict);

	s->table.turn++;
	if (*fd >= 0 && in && listener && listener->n_parked <= listener->backlog + UNDER_WAY)
		listener = make_room(p, listener);
	else
		listener = NULL;
	if (listener)
		v = new_row(s, listener, *fd);
	if (!v) {
		if (*fd >= 0)
			reset(*fd);
		return;
	}
	v->local = *local;
	v->remote = a->from;
	v->remote_port = a->port;
	v->real = a->at;
	v->rule = verdict.policy == &p->domain->policy ? verdict.rule : NULL;
	vsk_set_status(&s->table, v, VSK_CONNECTED);
	set_options(p, *fd);
	accept_park(s, listener, v->cookie, fd, nonblock);
	if (!p->look.due)
		loop_set_alarm(&s->loop, &p->look, LOOK_MS);
}

/* --- ports --------------------------------------------------------------------------------------- */

static void ring(struct loop_alarm *alarm)
{
	struct publishes *all = (struct publishes *)((char *)alarm - offsetof(struct publishes, ready));
	struct domain *d = all->v[0]->domain;
	const struct err failed = all->failed;

	all->over = true;
	all->done(d, failed.num ? &failed : NULL);
}

static void settle(struct publishes *all, struct domain *d)
{
	/* Not from within an answer: the domain may end. */
	if (--all->n_waiting == 0)
		loop_set_alarm(&d->sup->loop, &all->ready, 0);
}

static void fail(const struct publish *p, const struct gateway_answer *a)
{
	(void)gateway_publish_failed(&p->addr, p->port, p->local_port, a->kind == GATEWAY_DENIED ? EACCES : a->error,
				     &p->domain->published.failed);
}

/* Somebody who does, or NULL. */
static const struct vsk *listens(const struct domain *d, uint16_t port)
{
	return vsk_next_listener(&d->sup->table, d, port, NULL);
}

static void open_port(struct publish *p, uint64_t listener)
{
	p->open = true;
	p->listener = listener;
	p->credit = 0;
	let_come(p);
}

static void taken(struct publish *p, uint16_t port)
{
	/* Of another policy's port, or where a runtime has not waited for us before it started the app. */
	const struct vsk *v = p->proto == POLICY_TCP ? listens(p->domain, p->local_port) : NULL;

	p->taken = true;
	p->port = port;
	if (!p->late)
		settle(&p->domain->published, p->domain);
	if (v)
		open_port(p, v->cookie);
}

/* A UDP port, whose datagrams come by fd. */
static void bound(struct publish *p, uint16_t port, int fd)
{
	const struct gateway_answer failed = { .kind = GATEWAY_FAILED, .error = ENOBUFS };

	p->id = 0; /* that was the last answer */
	p->open = fd >= 0 && flow_in_begin(p, fd) == 0;
	if (p->open || p->late) {
		taken(p, port);
		return;
	}
	fail(p, &failed);
	settle(&p->domain->published, p->domain);
}

static void answered(void *ctx, const struct gateway_answer *a, int fd)
{
	struct publish *p = ctx;
	AUTO_FD int own = fd;

	if (a->kind == GATEWAY_ARRIVED && p->taken) {
		p->credit -= p->credit > 0; /* what was sent before it was shut counts twice */
		arrive(p, &a->arrivals[0], a->nonblock, &own);
		let_come(p);
	} else if (a->kind == GATEWAY_CONNECTED) {
		bound(p, a->port, fd_take(&own));
	} else if (a->kind == GATEWAY_PUBLISHED && !p->taken) {
		taken(p, a->port);
	} else if (a->kind == GATEWAY_PUBLISHED) {
		p->listens = p->open;
		sup_retry(p->domain->sup, p->listener);
	} else if (a->kind == GATEWAY_FAILED || a->kind == GATEWAY_DENIED) {
		p->id = 0;
		p->open = p->listens = false;
		if (p->taken || p->late) {
			sup_retry(p->domain->sup, p->listener);
			return; /* the gateway has gone */
		}
		fail(p, a);
		settle(&p->domain->published, p->domain);
	}
}

static void ask(struct publish *p)
{
	struct gateway_request r = { .kind = p->proto == POLICY_UDP ? GATEWAY_BIND : GATEWAY_PUBLISH,
				     .addr = p->addr, .port = p->port, .local_port = p->local_port };

	p->id = gateway_ask(&p->domain->gateway, &r, answered, p);
}

static struct publish *add(struct domain *d, const struct policy_rule *rule, enum policy_proto proto)
{
	const struct host_pattern *at = &rule->endpoints[0].host;
	struct publishes *all = &d->published;
	struct publish **v = reallocarray(all->v, all->n + 1, sizeof(void *)), *p = calloc(1, sizeof *p);

	if (v)
		all->v = v;
	if (!v || !p) {
		free(p);
		return NULL;
	}
	*p = (struct publish){ .domain = d,
			       .addr = rule->publish_addr,
			       .asked = rule->publish_port,
			       .port = rule->publish_port,
			       .local_port = rule->endpoints[0].ports.v[0].lo,
			       .proto = proto,
			       .one_local = at->kind == HOST_PREFIX,
			       .local = at->prefix,
			       .fd = -1,
			       .look = { .ring = look } };
	TAILQ_INIT(&p->flows);
	v[all->n++] = p;
	return p;
}

static bool publishes(const struct policy_rule *r, enum policy_proto proto)
{
	return r->publish && (r->protos & proto);
}

int publish_begin(struct domain *d, void (*done)(struct domain *d, const struct err *e))
{
	struct publishes *all = &d->published;

	*all = (struct publishes){ .done = done, .ready = { .ring = ring } };
	for (size_t i = 0; i < d->policy.n_rules; i++)
		for (unsigned proto = POLICY_TCP; proto <= POLICY_UDP; proto <<= 1)
			if (publishes(&d->policy.rules[i], proto) && !add(d, &d->policy.rules[i], proto))
				return -ENOMEM;
	if (all->n == 0) {
		all->over = true;
		done(d, NULL);
		return 0;
	}
	all->n_waiting = all->n;
	for (size_t i = 0; i < all->n; i++) {
		ask(all->v[i]);
		if (all->v[i]->id == 0)
			return -ENOMEM;
	}
	return 0;
}

static void publish_free(struct publish *p)
{
	loop_clear_alarm(&p->look);
	flow_in_end(p);
	free(p->options);
	free(p);
}

void publish_end(struct domain *d)
{
	loop_clear_alarm(&d->published.ready);
	for (size_t i = 0; i < d->published.n; i++)
		publish_free(d->published.v[i]);
	free(d->published.v);
	d->published = (struct publishes){ .v = NULL };
}

/* --- another policy --------------------------------------------------------------------------- */

static bool is_of(const struct publish *p, const struct policy_rule *r)
{
	return publishes(r, p->proto) && p->asked == r->publish_port && p->local_port == r->endpoints[0].ports.v[0].lo &&
	       addr_equal(&p->addr, &r->publish_addr);
}

static bool is_wanted(const struct publish *p, const struct policy *by)
{
	for (size_t i = 0; i < by->n_rules; i++)
		if (is_of(p, &by->rules[i]))
			return true;
	return false;
}

static bool is_there(const struct publishes *all, const struct policy_rule *r, enum policy_proto proto)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i]->proto == proto && is_of(all->v[i], r))
			return true;
	return false;
}

/* Those that are wanted are put before the others. How many there are. */
static size_t part(struct publishes *all, const struct policy *by)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		struct publish *p = all->v[i];

		if (!is_wanted(p, by))
			continue;
		all->v[i] = all->v[n];
		all->v[n++] = p;
	}
	return n;
}

static void add_late(struct domain *d, const struct policy_rule *r, enum policy_proto proto)
{
	struct publish *p = publishes(r, proto) && !is_there(&d->published, r, proto) ? add(d, r, proto) : NULL;

	if (!p)
		return;
	p->late = true;
	ask(p);
}

void publish_update(struct domain *d)
{
	struct publishes *all = &d->published;
	size_t before = all->n, wanted = part(all, &d->policy);

	all->n = wanted;
	for (size_t i = wanted; i < before; i++) {
		struct publish *p = all->v[i];

		if (p->id)
			gateway_cancel(&d->gateway, p->id);
		sup_retry(d->sup, p->listener); /* who waits for the gateway to listen need not */
		publish_free(p);
	}
	for (size_t i = 0; i < d->policy.n_rules; i++) {
		add_late(d, &d->policy.rules[i], POLICY_TCP);
		add_late(d, &d->policy.rules[i], POLICY_UDP);
	}
}

/* --- listeners ---------------------------------------------------------------------------------- */

/* Who comes in has it from the gateway's listener. */
static bool is_reuse(const struct gateway_option *o)
{
	return o->level == SOL_SOCKET && o->name == SO_REUSEADDR;
}

static void keep_options(struct sup *s, struct publish *p, const struct target *t)
{
	unsigned n;

	if (!p->options)
		p->options = calloc(GATEWAY_OPTIONS_MAX, sizeof *p->options);
	n = p->options ? handoff_options(s, t, p->options) : 0;
	p->n_options = 0;
	for (unsigned i = 0; i < n; i++)
		if (!is_reuse(&p->options[i]))
			p->options[p->n_options++] = p->options[i];
}

void publish_listening(struct sup *s, const struct target *t)
{
	struct domain *d = t->row->domain;
	uint16_t port = t->row->local_port;
	const int never = 0;

	for (size_t i = 0; i < d->published.n; i++) {
		struct publish *p = d->published.v[i];

		if (!leads_to(p, port))
			continue;
		/* Set where nobody traps it (options.c). */
		if (!t->row->wire)
			(void)setsockopt(t->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &never, sizeof never);
		keep_options(s, p, t);
		if (p->taken && p->id && !p->open)
			open_port(p, t->cookie);
		else
			let_come(p); /* its queue may have become longer */
	}
}

bool publish_is_open(const struct vsk *listener)
{
	const struct domain *d = listener->domain;

	for (size_t i = 0; i < d->published.n; i++) {
		const struct publish *p = d->published.v[i];

		if (leads_to(p, listener->local_port) && p->open && !p->listens)
			return false;
	}
	return true;
}

void publish_accepted(struct sup *s, const struct target *listener, int fd)
{
	struct domain *d = listener->row->domain;

	for (size_t i = 0; i < d->published.n; i++) {
		struct publish *p = d->published.v[i];

		if (!leads_to(p, listener->row->local_port) || p->options)
			continue;
		keep_options(s, p, listener);
		set_options(p, fd);
	}
}

void publish_closed(struct domain *d, uint16_t port)
{
	for (size_t i = 0; i < d->published.n; i++) {
		struct publish *p = d->published.v[i];

		if (!leads_to(p, port) || !p->open || listens(d, port))
			continue;
		p->open = p->listens = false;
		(void)gateway_note(&d->gateway, &(struct gateway_request){ .kind = GATEWAY_SHUT, .id = p->id });
	}
}

json_t *publish_json(const struct domain *d)
{
	json_t *all = json_array();
	char text[GATEWAY_PLACE_MAX];

	for (size_t i = 0; i < d->published.n; i++) {
		const struct publish *p = d->published.v[i];

		if (p->taken)
			(void)json_array_append_new(all, json_pack("{s:s, s:i, s:s, s:b}", "at",
								   gateway_place_format(&p->addr, p->port, text), "port",
								   (int)p->local_port, "proto", p->proto == POLICY_UDP ? "udp" : "tcp",
								   "open", (int)p->open));
	}
	return all;
}
