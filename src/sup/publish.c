/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/handoff.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define UNDER_WAY 512 /* connections that a gateway may have sent before it hears to wait */

/* --- who comes ------------------------------------------------------------------------------- */

/* The client sees a reset, as from a port where nobody listens. */
static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* The gateway has decided already; here it is put on record, and decided by what is in force here. */
static bool let_in(struct publish *p, const struct gateway_answer *a, const struct addr *local,
		   struct policy_verdict *ret)
{
	struct domain *d = p->domain;
	struct policy_attempt at = { .kind = ATTEMPT_ACCEPT, .proto = POLICY_TCP, .port = p->local_port,
				     .peer = gateway_visitor(&a->addresses[0], &a->addresses[1]),
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

	return !t->is_there || t->is_there(s, v);
}

/* The listener that a connection to the port from an address of that family reaches, and at which of ours. */
static struct vsk *find_listener(const struct publish *p, bool v4, const struct addr **ret_local)
{
	struct domain *d = p->domain;
	struct sup *s = d->sup;

	for (size_t i = 0; i < d->n_virtual; i++) {
		struct vsk *v;

		if (addr_is_v4(&d->virtual[i]) != v4)
			continue;
		/* The app may have closed it: nothing tells. */
		while ((v = vsk_find_listener(&s->table, d, &d->virtual[i], p->local_port)) && !is_listening(s, v))
			vsk_free(&s->table, v);
		*ret_local = &d->virtual[i];
		if (v)
			return v;
	}
	return NULL;
}

/*
 * As full as its queue may be: the next ones wait in the gateway's, and beyond that the kernel lets them try
 * again. Of several listeners at a port one that nobody serves must not stop the others.
 */
static void hold_if_full(struct publish *p, const struct vsk *listener)
{
	if (p->held || !p->open || listener->reuse_port || listener->n_parked <= listener->backlog)
		return;
	p->held = true;
	gateway_note(&p->domain->gateway, GATEWAY_HOLD, p->id);
}

void publish_taken(const struct vsk *listener)
{
	struct domain *d = listener->domain;

	for (size_t i = 0; i < d->published.n && listener->n_parked <= listener->backlog / 2; i++) {
		struct publish *p = &d->published.v[i];

		if (!p->held || p->local_port != listener->local_port)
			continue;
		p->held = false;
		gateway_note(&d->gateway, GATEWAY_OPEN, p->id);
	}
}

static struct vsk *new_row(struct sup *s, const struct vsk *listener, int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof cookie;
	struct vsk *v;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 || handoff_init(s) < 0)
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

static void arrive(struct publish *p, const struct gateway_answer *a, int *fd)
{
	struct sup *s = p->domain->sup;
	const struct addr *local = NULL;
	struct vsk *listener = find_listener(p, addr_is_v4(&a->addresses[0]), &local), *v = NULL;
	uint64_t most = p->domain->policy.limits.sockets ?: POLICY_SOCKETS_DEFAULT;
	struct policy_verdict verdict;
	bool in = let_in(p, a, listener ? local : NULL, &verdict);

	s->table.turn++;
	if (*fd >= 0 && in && listener && listener->n_parked <= listener->backlog + UNDER_WAY &&
	    sup_make_room(s, p->domain, most))
		v = new_row(s, listener, *fd);
	if (!v) {
		if (*fd >= 0)
			reset(*fd);
		return;
	}
	v->local = *local;
	v->remote = a->addresses[0];
	v->remote_port = a->port;
	v->real = a->addresses[1];
	v->rule = verdict.policy == &p->domain->policy ? verdict.rule : NULL;
	vsk_set_status(&s->table, v, VSK_CONNECTED);
	for (unsigned i = 0; i < p->n_options; i++)
		(void)setsockopt(*fd, p->options[i].level, p->options[i].name, p->options[i].value,
				 p->options[i].len);
	(void)alive_add(&s->handed, *fd, v->cookie);
	accept_park(s, listener, fd);
	hold_if_full(p, listener);
}

/* --- ports --------------------------------------------------------------------------------------- */

static void ring(struct loop_alarm *alarm)
{
	struct publishes *all = (struct publishes *)((char *)alarm - offsetof(struct publishes, ready));
	struct domain *d = all->v[0].domain;
	const struct err failed = all->failed;

	all->done(d, failed.num ? &failed : NULL);
}

static void settle(struct publishes *all, struct domain *d)
{
	/* Not from within an answer: the domain may end. */
	if (--all->n_waiting == 0)
		loop_set_alarm(&d->sup->loop, &all->ready, 0);
}

static const char *where(const struct publish *p, char *buf, size_t size)
{
	char text[ADDR_TEXT_MAX];
	bool v4 = addr_is_v4(&p->addr);

	(void)snprintf(buf, size, "%s%s%s:%u", v4 ? "" : "[", addr_format(&p->addr, text, sizeof text), v4 ? "" : "]",
		       p->port);
	return buf;
}

static void fail(struct publish *p, const struct gateway_answer *a)
{
	struct err *e = &p->domain->published.failed;
	char text[ADDR_TEXT_MAX + 8];

	(void)err_num(e, a->kind == GATEWAY_DENIED ? EACCES : a->error, "publishing port %u at %s", p->local_port,
		      where(p, text, sizeof text));
	if (e->num == EACCES && p->port && p->port < 1024)
		(void)err_hint(e, "ports below 1024 need root: publish at a higher one");
	else if (e->num == EADDRINUSE)
		(void)err_hint(e, "something listens there: publish at another port, or at 0 for any");
}

static void answered(void *ctx, const struct gateway_answer *a, int fd)
{
	struct publish *p = ctx;
	AUTO_FD int own = fd;

	if (a->kind == GATEWAY_ARRIVED && p->taken && a->n == 2) {
		arrive(p, a, &own);
	} else if (a->kind == GATEWAY_PUBLISHED && !p->taken) {
		p->taken = true;
		p->port = a->port;
		settle(&p->domain->published, p->domain);
	} else if (a->kind == GATEWAY_PUBLISHED) {
		p->listens = p->open;
		sup_retry(p->domain->sup, p->listener);
	} else if (a->kind == GATEWAY_FAILED || a->kind == GATEWAY_DENIED) {
		p->id = 0;
		p->open = p->held = p->listens = false;
		if (p->taken) {
			sup_retry(p->domain->sup, p->listener);
			return; /* the gateway has gone */
		}
		fail(p, a);
		settle(&p->domain->published, p->domain);
	}
}

static void ask(struct publish *p)
{
	struct gateway_request r = { .kind = GATEWAY_PUBLISH, .addr = p->addr, .port = p->port,
				     .local_port = p->local_port };

	p->id = gateway_ask(&p->domain->gateway, &r, answered, p);
}

int publish_begin(struct domain *d, void (*done)(struct domain *d, const struct err *e))
{
	struct publishes *all = &d->published;
	size_t n = 0;

	for (size_t i = 0; i < d->policy.n_rules; i++)
		n += d->policy.rules[i].publish;
	if (n == 0) {
		done(d, NULL);
		return 0;
	}
	*all = (struct publishes){ .v = calloc(n, sizeof *all->v), .done = done, .ready = { .ring = ring } };
	if (!all->v)
		return -ENOMEM;
	for (size_t i = 0; i < d->policy.n_rules; i++) {
		const struct policy_rule *rule = &d->policy.rules[i];

		if (rule->publish)
			all->v[all->n++] = (struct publish){ .domain = d,
							     .addr = rule->publish_addr,
							     .port = rule->publish_port,
							     .local_port = rule->endpoints[0].ports.v[0].lo };
	}
	all->n_waiting = all->n;
	for (size_t i = 0; i < all->n; i++) {
		ask(&all->v[i]);
		if (all->v[i].id == 0)
			return -ENOMEM;
	}
	return 0;
}

void publish_end(struct domain *d)
{
	loop_clear_alarm(&d->published.ready);
	for (size_t i = 0; i < d->published.n; i++)
		free(d->published.v[i].options);
	free(d->published.v);
	d->published = (struct publishes){ .v = NULL };
}

static void keep_options(struct sup *s, struct publish *p, const struct target *t)
{
	if (!p->options)
		p->options = calloc(GATEWAY_OPTIONS_MAX, sizeof *p->options);
	p->n_options = p->options ? handoff_options(s, t, p->options) : 0;
}

void publish_listening(struct sup *s, const struct target *t)
{
	struct domain *d = t->row->domain;
	uint16_t port = t->row->local_port;

	for (size_t i = 0; i < d->published.n; i++) {
		struct publish *p = &d->published.v[i];

		if (p->local_port == port)
			keep_options(s, p, t);
		if (p->local_port == port && p->taken && p->id && !p->open) {
			p->open = true;
			p->listener = t->cookie;
			gateway_note(&d->gateway, GATEWAY_OPEN, p->id);
		}
	}
}

bool publish_is_open(const struct vsk *listener)
{
	const struct domain *d = listener->domain;

	for (size_t i = 0; i < d->published.n; i++) {
		const struct publish *p = &d->published.v[i];

		if (p->local_port == listener->local_port && p->open && !p->listens)
			return false;
	}
	return true;
}

static bool listens(const struct domain *d, uint16_t port)
{
	const struct vsk *v;

	LIST_FOREACH(v, &d->rows, in_domain)
		if (v->status == VSK_LISTENING && v->local_port == port)
			return true;
	return false;
}

void publish_closed(struct domain *d, uint16_t port)
{
	for (size_t i = 0; i < d->published.n; i++) {
		struct publish *p = &d->published.v[i];

		if (p->local_port != port || !p->open || listens(d, port))
			continue;
		p->open = p->held = p->listens = false;
		gateway_note(&d->gateway, GATEWAY_SHUT, p->id);
	}
}

json_t *publish_json(const struct domain *d)
{
	json_t *all = json_array();
	char text[ADDR_TEXT_MAX + 8];

	for (size_t i = 0; i < d->published.n; i++) {
		const struct publish *p = &d->published.v[i];

		if (p->taken)
			(void)json_array_append_new(all, json_pack("{s:s, s:i, s:b}", "at",
								   where(p, text, sizeof text), "port",
								   (int)p->local_port, "open", (int)p->open));
	}
	return all;
}
