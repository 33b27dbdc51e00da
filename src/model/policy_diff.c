/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/policy_write.h"

struct diff {
	struct policy_changes *c;
	const struct policy *a, *b;
	size_t room;
};

static int add_change(struct diff *d, const struct policy_change *change)
{
	if (!change->text)
		return -ENOMEM;
	if (d->c->n == d->room) {
		size_t room = d->room ? d->room * 2 : 16;
		struct policy_change *v = arena_array(&d->c->arena, room, sizeof *v);

		if (!v)
			return -ENOMEM;
		if (d->c->n)
			memcpy(v, d->c->v, d->c->n * sizeof *v);
		d->c->v = v;
		d->room = room;
	}
	d->c->v[d->c->n++] = *change;
	return 0;
}

/* --- ports ------------------------------------------------------------------------------- */

/* Where a decision may change from one port to the next: the beginnings of all ranges, and what
 * follows them. Sorted; the caller frees. */
struct steps {
	unsigned *v;
	size_t n;
};

static int step_order(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Rules about other names have no say about a region, nor have those about other IPv4 addresses about
 * an IPv4 one. An IPv6 address may carry another. */
static bool is_elsewhere(const struct host_pattern *h, const struct policy_region *who)
{
	const struct host_pattern *w = &who->pattern;

	if (h->kind == HOST_PREFIX && w->kind == HOST_PREFIX && addr_is_v4(&w->prefix.addr) && w->prefix.bits >= 96)
		return addr_is_v4(&h->prefix.addr) && h->prefix.bits >= 96 && !host_covers(h, w);
	return (h->kind == HOST_DOMAIN || h->kind == HOST_NAME || h->kind == HOST_WILDCARD) && !host_covers(h, w);
}

static size_t put_steps(const struct policy *p, enum policy_op op, const struct policy_region *who,
			unsigned *v)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		for (size_t j = 0; r->op == op && j < r->n_endpoints; j++) {
			const struct endpoint *ep = &r->endpoints[j];

			if (op == POLICY_CONNECT && is_elsewhere(&ep->host, who))
				continue;
			for (size_t k = 0; k < ep->ports.n; k++) {
				if (v) {
					v[n] = ep->ports.v[k].lo;
					v[n + 1] = ep->ports.v[k].hi + 1U;
				}
				n += 2;
			}
		}
	}
	return n;
}

static int make_steps(const struct diff *d, enum policy_op op, const struct policy_region *who,
		      struct steps *ret)
{
	size_t n = put_steps(d->a, op, who, NULL) + put_steps(d->b, op, who, NULL), out = 1;
	unsigned *v = calloc(n + 1, sizeof *v);

	if (!v)
		return -ENOMEM;
	v[0] = 1;
	n = 1 + put_steps(d->a, op, who, v + 1);
	n += put_steps(d->b, op, who, v + n);
	qsort(v, n, sizeof *v, step_order);
	for (size_t i = 1; i < n; i++) {
		if (v[i] != v[out - 1] && v[i] <= UINT16_MAX)
			v[out++] = v[i];
	}
	*ret = (struct steps){ v, out };
	return 0;
}

/* --- one region ------------------------------------------------------------------------------ */

static bool same_options(const struct policy_verdict *x, const struct policy_verdict *y)
{
	struct policy_options a, b;

	policy_verdict_options(x, &a);
	policy_verdict_options(y, &b);
	return policy_options_equal(&a, &b);
}

static const char *options_text(struct arena *arena, const struct policy_verdict *v)
{
	AUTO_FREE char *text = NULL;
	struct policy_options o;

	policy_verdict_options(v, &o);
	if (policy_options_format(&o, &text, NULL) < 0)
		return NULL;
	return arena_strdup(arena, *text ? text : "no options");
}

static const char *change_text(struct diff *d, const struct policy_change *c,
			       const struct policy_attempt *a)
{
	size_t size = 16 + 12 * c->ports.n;
	char *ports = arena_alloc(&d->c->arena, size);
	const char *proto = policy_proto_name(c->proto);
	char at[ADDR_TEXT_MAX + 2] = "";
	struct policy_verdict x, y;

	if (!ports)
		return NULL;
	(void)ports_format(&c->ports, ports, size);
	if (c->at) {
		struct host_pattern h = { .kind = HOST_PREFIX, .prefix = prefix_of(c->at, 128) };

		(void)host_format(&h, at, sizeof at);
	}
	if (c->what == ATTEMPT_LISTEN)
		return arena_printf(&d->c->arena, "listen at %s:%s/%s", at, ports, proto);
	if (c->what == ATTEMPT_ACCEPT)
		return arena_printf(&d->c->arena, "accept from %s at %s:%s/%s", c->who->words, at, ports, proto);
	if (c->kind != CHANGE_OPTIONS)
		return arena_printf(&d->c->arena, "connect to %s:%s/%s", c->who->words, ports, proto);
	policy_decide(d->a, a, &x);
	policy_decide(d->b, a, &y);
	return arena_printf(&d->c->arena, "connect to %s:%s/%s: %s instead of %s", c->who->words, ports, proto,
			    options_text(&d->c->arena, &y), options_text(&d->c->arena, &x));
}

static int classify(const struct diff *d, const struct policy_attempt *a)
{
	struct policy_verdict x, y;

	policy_decide(d->a, a, &x);
	policy_decide(d->b, a, &y);
	if (x.allow != y.allow)
		return y.allow ? CHANGE_ALLOWED : CHANGE_DENIED;
	return x.allow && !same_options(&x, &y) ? CHANGE_OPTIONS : -1;
}

/* --- what a line leaves out --------------------------------------------------------------------- */

#define EXCEPTIONS_MAX 3 /* that a line names */

/* Whether somewhere among the change's ports this narrower region is decided otherwise. */
static bool is_exception(const struct diff *d, const struct policy_change *c, const struct policy_region *q,
			 const struct addr *local)
{
	struct policy_attempt a = { .kind = c->what, .proto = c->proto, .peer = q->party, .local = local };
	struct steps steps;
	bool differs = false;

	if (make_steps(d, c->what == ATTEMPT_CONNECT ? POLICY_CONNECT : POLICY_LISTEN, q, &steps) < 0)
		return false;
	for (size_t i = 0; i < c->ports.n && !differs; i++) {
		a.port = c->ports.v[i].lo;
		differs = classify(d, &a) != (int)c->kind;
	}
	for (size_t i = 0; i < steps.n && !differs; i++) {
		a.port = (uint16_t)steps.v[i];
		differs = ports_have(&c->ports, a.port) && classify(d, &a) != (int)c->kind;
	}
	free(steps.v);
	return differs;
}

/* "10.0.0.0/8" is what no narrower pattern has: those for which the line is not true are named in it. */
static const char *exceptions(struct diff *d, const struct policy_change *c, const struct addr *local)
{
	const struct policy_regions *all = c->what == ATTEMPT_CONNECT ? &d->c->to : &d->c->from;
	const char *text = "";
	size_t n = 0;

	for (size_t i = 0; c->who && c->who->is_rest && c->who->pattern.kind != HOST_ANY && i < all->n && text; i++) {
		const struct policy_region *q = &all->v[i];

		if (q->party.kind != c->who->party.kind || !host_covers(&c->who->pattern, &q->pattern) ||
		    host_equal(&c->who->pattern, &q->pattern) || !is_exception(d, c, q, local))
			continue;
		if (++n > EXCEPTIONS_MAX)
			return arena_printf(&d->c->arena, "%s and others", text);
		text = arena_printf(&d->c->arena, "%s%s%s", text, n > 1 ? ", " : ", but not ", q->words);
	}
	return text;
}

/* --- ports put together -------------------------------------------------------------------------- */

/* Options differ from port to port, so their runs are told apart; allowed and denied are sets. */
static int flush(struct diff *d, struct policy_change *c, struct port_range *ranges, size_t *n,
		 struct policy_attempt *a)
{
	const char *rest;
	int rc;

	if (*n == 0)
		return 0;
	c->ports = (struct port_set){ arena_array(&d->c->arena, *n, sizeof *ranges), *n };
	if (!c->ports.v)
		return -ENOMEM;
	memcpy((void *)(uintptr_t)c->ports.v, ranges, *n * sizeof *ranges);
	a->port = ranges[0].lo;
	c->text = change_text(d, c, a);
	rest = exceptions(d, c, a->local);
	if (c->text && rest && *rest)
		c->text = arena_printf(&d->c->arena, "%s%s", c->text, rest);
	rc = rest ? add_change(d, c) : -ENOMEM;
	*n = 0;
	return rc;
}

static int compare_proto(struct diff *d, struct policy_change c, struct policy_attempt a,
			 const struct steps *steps, struct port_range *ranges)
{
	for (int kind = CHANGE_ALLOWED; kind <= CHANGE_OPTIONS; kind++) {
		size_t n = 0;

		c.kind = (enum change_kind)kind;
		for (size_t i = 0; i < steps->n; i++) {
			unsigned hi = i + 1 < steps->n ? steps->v[i + 1] - 1 : UINT16_MAX;

			a.port = (uint16_t)steps->v[i];
			if (classify(d, &a) != kind)
				continue;
			if (n > 0 && ranges[n - 1].hi + 1U == steps->v[i] && kind != CHANGE_OPTIONS)
				ranges[n - 1].hi = (uint16_t)hi;
			else
				ranges[n++] = (struct port_range){ a.port, (uint16_t)hi };
			if (kind == CHANGE_OPTIONS && flush(d, &c, ranges, &n, &a) < 0)
				return -ENOMEM;
		}
		if (flush(d, &c, ranges, &n, &a) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare_region(struct diff *d, enum attempt_kind what, const struct policy_region *who,
			  const struct addr *local, bool rest)
{
	enum policy_op op = what == ATTEMPT_CONNECT ? POLICY_CONNECT : POLICY_LISTEN;
	struct policy_change c = { .what = what, .who = who, .at = rest ? NULL : local };
	struct policy_attempt a = { .kind = what, .local = local };
	struct port_range *ranges;
	struct steps steps;
	int rc = make_steps(d, op, who, &steps);

	if (rc < 0)
		return rc;
	ranges = calloc(steps.n + 1, sizeof *ranges);
	if (!ranges)
		rc = -ENOMEM;
	if (who)
		a.peer = who->party;
	else
		a.peer.kind = PARTY_OWN;
	for (unsigned proto = POLICY_TCP; rc == 0 && proto <= POLICY_UDP; proto <<= 1) {
		c.proto = a.proto = (enum policy_proto)proto;
		rc = compare_proto(d, c, a, &steps, ranges);
	}
	free(ranges);
	free(steps.v);
	return rc;
}

static int compare_connect(struct diff *d)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->c->to.n; i++)
		rc = compare_region(d, ATTEMPT_CONNECT, &d->c->to.v[i], NULL, true);
	return rc;
}

/* --- listeners ------------------------------------------------------------------------------------ */

/* The single addresses that "at" names in either policy, and one that it does not, the last. */
static int gather_locals(struct diff *d, struct addr **ret, size_t *ret_n)
{
	const struct policy *both[] = { d->a, d->b };
	size_t n = 0, max = 2;
	struct addr *v;

	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < both[k]->n_rules; i++)
			max += both[k]->rules[i].op == POLICY_LISTEN ? both[k]->rules[i].n_endpoints : 0;
	}
	v = arena_array(&d->c->arena, max, sizeof *v);
	if (!v)
		return -ENOMEM;
	if (d->a->net == POLICY_NET_LOOPBACK || d->b->net == POLICY_NET_LOOPBACK)
		v[n++] = addr_v4(127, 0, 0, 1);
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < both[k]->n_rules; i++) {
			const struct policy_rule *r = &both[k]->rules[i];

			for (size_t j = 0; r->op == POLICY_LISTEN && j < r->n_endpoints; j++) {
				bool seen = r->endpoints[j].host.kind != HOST_PREFIX;

				for (size_t m = 0; !seen && m < n; m++)
					seen = addr_equal(&v[m], &r->endpoints[j].host.prefix.addr);
				if (!seen)
					v[n++] = r->endpoints[j].host.prefix.addr;
			}
		}
	}
	v[n] = addr_v4(10, 255, 255, 254);
	for (size_t m = 0; m < n; m++) {
		if (!addr_equal(&v[m], &v[n]))
			continue;
		v[n].b[14]--; /* another; v[] has fewer than 65536 of these in practice */
		m = (size_t)-1;
	}
	*ret = v;
	*ret_n = n + 1;
	return 0;
}

static int compare_listen(struct diff *d)
{
	struct addr *locals;
	size_t n;
	int rc = gather_locals(d, &locals, &n);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		bool rest = i + 1 == n;

		rc = compare_region(d, ATTEMPT_LISTEN, NULL, &locals[i], rest);
		for (size_t j = 0; rc == 0 && j < d->c->from.n; j++) {
			/* What the domain does with itself follows from LISTEN. */
			if (d->c->from.v[j].party.kind != PARTY_OWN)
				rc = compare_region(d, ATTEMPT_ACCEPT, &d->c->from.v[j], &locals[i], rest);
		}
	}
	return rc;
}

/* --- settings ---------------------------------------------------------------------------------------- */

static char *dump(const json_t *v)
{
	return v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : strdup("nothing");
}

static int add_setting(struct diff *d, const char *place, const char *now, const char *was)
{
	struct policy_change c = { .kind = CHANGE_SETTING };

	c.text = arena_printf(&d->c->arena, "%s: %s instead of %s", place, now, was);
	return add_change(d, &c);
}

static int compare_member(struct diff *d, const char *place, const json_t *x, const json_t *y)
{
	AUTO_FREE char *was = dump(x), *now = dump(y);

	if (!was || !now)
		return -ENOMEM;
	return strcmp(was, now) == 0 ? 0 : add_setting(d, place, now, was);
}

static bool publishes_as(const struct policy *p, const struct policy_rule *r, enum policy_proto proto)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *o = &p->rules[i];

		if (o->publish && (o->protos & proto) && o->publish_port == r->publish_port &&
		    addr_equal(&o->publish_addr, &r->publish_addr) &&
		    host_equal(&o->endpoints[0].host, &r->endpoints[0].host) &&
		    ports_equal(&o->endpoints[0].ports, &r->endpoints[0].ports))
			return true;
	}
	return false;
}

/* Each protocol is a port of its own. */
static int compare_published(struct diff *d, const struct policy_rule *r, const struct policy *q,
			     enum policy_proto proto, bool added)
{
	struct policy_change c = { .kind = CHANGE_SETTING };
	char addr[ADDR_TEXT_MAX], at[ENDPOINT_TEXT_MAX];

	if (!(r->protos & proto) || publishes_as(q, r, proto))
		return 0;
	c.text = arena_printf(&d->c->arena, "%s %s port %u for %s%s", added ? "publishes" : "no longer publishes",
			      addr_format(&r->publish_addr, addr, sizeof addr), r->publish_port,
			      endpoint_format_local(&r->endpoints[0], at, sizeof at), proto == POLICY_UDP ? "/udp" : "");
	return add_change(d, &c);
}

static int compare_publish(struct diff *d, const struct policy *p, const struct policy *q, bool added)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < p->n_rules; i++)
		for (unsigned proto = POLICY_TCP; rc >= 0 && p->rules[i].publish && proto <= POLICY_UDP; proto <<= 1)
			rc = compare_published(d, &p->rules[i], q, (enum policy_proto)proto, added);
	return rc < 0 ? -ENOMEM : 0;
}

static const char *own_error(const struct policy *p, const char *id)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		if (strcmp(p->rules[i].id, id) == 0 && p->rules[i].on_deny != POLICY_DENY_INHERIT)
			return policy_on_deny_name(p->rules[i].on_deny);
	}
	return "nothing";
}

/* What a program gets by a rule of its own: it may be its death. */
static int compare_on_deny(struct diff *d)
{
	const struct policy *both[] = { d->a, d->b };
	char place[96];

	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < both[k]->n_rules; i++) {
			const struct policy_rule *r = &both[k]->rules[i];
			const char *was = own_error(d->a, r->id), *now = own_error(d->b, r->id);

			/* What both have has been told with the first. */
			if (r->on_deny == POLICY_DENY_INHERIT || strcmp(was, now) == 0 ||
			    (k == 1 && strcmp(was, "nothing") != 0))
				continue;
			(void)snprintf(place, sizeof place, "onDeny of rule %s", r->id);
			if (add_setting(d, place, now, was) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

/* Other records of names. */
static int compare_forward(struct diff *d)
{
	for (size_t i = 0; i < d->c->to.n; i++) {
		const struct policy_region *who = &d->c->to.v[i];
		struct policy_attempt a = { .kind = ATTEMPT_RESOLVE, .proto = POLICY_TCP, .peer = who->party };

		for (size_t k = 0; who->party.kind == PARTY_NAME && (a.query = policy_query_type_at(k)); k++) {
			struct policy_change c = { .kind = CHANGE_SETTING };
			struct policy_verdict x, y;
			char type[16];

			policy_decide(d->a, &a, &x);
			policy_decide(d->b, &a, &y);
			if (x.allow == y.allow)
				continue;
			c.text = arena_printf(&d->c->arena, "%s %s of %s", y.allow ? "forwards" : "no longer forwards",
					      policy_query_type_name(a.query, type, sizeof type), who->words);
			if (add_change(d, &c) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static json_t *canonical(const struct policy *p, struct err *e)
{
	AUTO_FREE char *text = NULL;

	return policy_format(p, &text, e) < 0 ? NULL : json_loads(text, 0, NULL);
}

/* Each key of the canonical forms but the rules. */
static int compare_settings(struct diff *d, struct err *e)
{
	static const char *const keys[] = { "domain", "limits", "audit", "onDeny", NULL };
	static const char *const net_keys[] = { "address", "names", "transport", "resolver", NULL };
	json_t *x = canonical(d->a, e), *y = canonical(d->b, e);
	int rc = x && y ? 0 : -ENOMEM;
	char place[32];

	for (const char *const *k = keys; rc == 0 && *k; k++)
		rc = compare_member(d, *k, json_object_get(x, *k), json_object_get(y, *k));
	if (rc == 0 && d->a->net != d->b->net)
		rc = add_setting(d, "net", policy_net_name(d->b->net), policy_net_name(d->a->net));
	for (const char *const *k = net_keys; rc == 0 && *k; k++) {
		(void)snprintf(place, sizeof place, "net.%s", *k);
		rc = compare_member(d, place, json_object_get(json_object_get(x, "net"), *k),
				    json_object_get(json_object_get(y, "net"), *k));
	}
	json_decref(x);
	json_decref(y);
	if (rc == 0)
		rc = compare_forward(d);
	if (rc == 0)
		rc = compare_on_deny(d);
	if (rc == 0)
		rc = compare_publish(d, d->a, d->b, false);
	return rc < 0 ? rc : compare_publish(d, d->b, d->a, true);
}

void policy_changes_fini(struct policy_changes *c)
{
	policy_regions_fini(&c->to);
	policy_regions_fini(&c->from);
	arena_fini(&c->arena);
	*c = (struct policy_changes){ 0 };
}

int policy_diff(struct policy_changes *ret, const struct policy *a, const struct policy *b,
		struct err *e)
{
	struct diff d = { .c = ret, .a = a, .b = b };
	int rc;

	*ret = (struct policy_changes){ 0 };
	rc = policy_regions_make(&ret->to, a, b, POLICY_CONNECT, e);
	if (rc == 0)
		rc = policy_regions_make(&ret->from, a, b, POLICY_LISTEN, e);
	if (rc == 0)
		rc = compare_connect(&d);
	if (rc == 0)
		rc = compare_listen(&d);
	if (rc == 0)
		rc = compare_settings(&d, e);
	if (rc < 0) {
		policy_changes_fini(ret);
		return err_num(e, -rc, "comparing policies");
	}
	return 0;
}
