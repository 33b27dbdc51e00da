/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- addresses -------------------------------------------------------------------- */

bool prefix_find_free(const struct prefix *in, const struct prefix *taken, size_t n, struct addr *ret)
{
	struct prefix half;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (prefix_covers(&taken[i], in))
			return false;
		any |= prefix_covers(in, &taken[i]);
	}
	if (!any) {
		*ret = in->addr;
		return true;
	}
	/* Something inside is taken, so it is no single address and has halves. */
	half = *in;
	half.bits++;
	if (prefix_find_free(&half, taken, n, ret))
		return true;
	half.addr.b[in->bits / 8] |= (uint8_t)(0x80 >> (in->bits % 8));
	return prefix_find_free(&half, taken, n, ret);
}

/* --- gathering patterns ------------------------------------------------------------- */

struct gather {
	struct policy_regions *r;
	struct host_pattern *v; /* each once */
	size_t n;
	struct prefix *prefixes; /* those of v */
	size_t n_prefixes;
	struct prefix *inside, *room; /* for add_address() */
	bool any_allowed; /* some rule allows connecting to "*" */
};

static bool add_pattern(struct gather *g, const struct host_pattern *h)
{
	for (size_t i = 0; i < g->n; i++) {
		if (host_equal(&g->v[i], h))
			return false;
	}
	g->v[g->n++] = *h;
	return true;
}

static size_t count_patterns(const struct policy *p, enum policy_op op)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].op == op)
			n += op == POLICY_CONNECT ? p->rules[i].n_endpoints : p->rules[i].n_from;
	}
	return n;
}

static bool overlap(const struct prefix *a, const struct prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}

/* Whether some rule allows a part of it by address. */
static bool is_allowed_somewhere(const struct host_pattern *all, const bool *allows, size_t n, const struct prefix *x)
{
	for (size_t i = 0; i < n; i++) {
		if (allows[i] && all[i].kind == HOST_PREFIX && overlap(&all[i].prefix, x))
			return true;
	}
	return false;
}

/* A deny of IPv4 addresses takes those out of an IPv6 prefix that carry them. Returns the new n. */
static size_t add_carriers(struct host_pattern *all, const bool *allows, size_t n)
{
	struct prefix carriers[PREFIX_CARRIERS];
	size_t out = n;

	for (size_t i = 0; i < n; i++) {
		if (allows[i] || all[i].kind != HOST_PREFIX || !addr_is_v4(&all[i].prefix.addr) ||
		    all[i].prefix.bits < ADDR_V4_BITS)
			continue;
		prefix_carriers(&all[i].prefix, carriers);
		for (size_t k = 0; k < PREFIX_CARRIERS; k++) {
			if (is_allowed_somewhere(all, allows, n, &carriers[k]))
				all[out++] = (struct host_pattern){ .kind = HOST_PREFIX, .prefix = carriers[k] };
		}
	}
	return out;
}

static int pattern_order(const void *a, const void *b)
{
	const struct host_pattern *x = a, *y = b;

	if (x->kind != y->kind)
		return (int)x->kind - (int)y->kind;
	if (x->kind == HOST_PREFIX) {
		int d = memcmp(x->prefix.addr.b, y->prefix.addr.b, 16);

		return d ? d : (int)x->prefix.bits - (int)y->prefix.bits;
	}
	return x->name ? strcmp(x->name, y->name) : 0;
}

/* Sorted first, so that what is equal lies together and thousands take no time. */
static int gather_patterns(struct gather *g, const struct policy *a, const struct policy *b,
			   enum policy_op op)
{
	const struct policy *both[] = { a, b };
	struct host_pattern *all;
	size_t n = 0, total = count_patterns(a, op) + count_patterns(b, op);
	bool *allows = arena_array(&g->r->arena, total, sizeof *allows);

	total *= 1 + PREFIX_CARRIERS;
	all = arena_array(&g->r->arena, total, sizeof *all);
	g->v = arena_array(&g->r->arena, total + 2, sizeof *g->v);
	g->prefixes = arena_array(&g->r->arena, total, sizeof *g->prefixes);
	g->inside = arena_array(&g->r->arena, total, sizeof *g->inside);
	g->room = arena_array(&g->r->arena, total + ADDR_SPECIAL_MAX, sizeof *g->room);
	if (!all || !allows || !g->v || !g->prefixes || !g->inside || !g->room)
		return -ENOMEM;
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < both[k]->n_rules; i++) {
			const struct policy_rule *r = &both[k]->rules[i];

			for (size_t j = 0; r->op == op && op == POLICY_CONNECT && j < r->n_endpoints; j++) {
				allows[n] = r->allow;
				all[n++] = r->endpoints[j].host;
			}
			for (size_t j = 0; r->op == op && op == POLICY_CONNECT && j < r->n_endpoints; j++)
				g->any_allowed |= r->allow && r->endpoints[j].host.kind == HOST_ANY;
			for (size_t j = 0; r->op == op && op == POLICY_LISTEN && j < r->n_from; j++) {
				allows[n] = r->allow;
				all[n++] = r->from[j];
			}
		}
	}
	n = add_carriers(all, allows, n);
	qsort(all, n, sizeof *all, pattern_order);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && host_equal(&all[i], &all[i - 1]))
			continue;
		g->v[g->n++] = all[i];
		if (all[i].kind == HOST_PREFIX)
			g->prefixes[g->n_prefixes++] = all[i].prefix;
	}
	/* What no pattern names, and the machine outside, are always regions. */
	(void)add_pattern(g, &(struct host_pattern){ .kind = HOST_ANY });
	(void)add_pattern(g, &(struct host_pattern){ .kind = HOST_OUTSIDE });
	return 0;
}

/* --- a party for each ------------------------------------------------------------------ */

/* A name below the zone (or a single label for NULL) that only this pattern and wider ones match. */
static char *fresh_name(struct gather *g, const char *zone)
{
	for (unsigned k = 0;; k++) {
		char *name = zone ? arena_printf(&g->r->arena, "a%u.%s", k, zone) :
				    arena_printf(&g->r->arena, "a%u", k);
		bool clash = false;

		for (size_t i = 0; name && !clash && i < g->n; i++) {
			const struct host_pattern *h = &g->v[i];

			clash = (h->kind == HOST_DOMAIN || h->kind == HOST_NAME) ?
					strcmp(h->name, name) == 0 :
					h->kind == HOST_WILDCARD && (!zone || strcmp(h->name, zone) != 0) &&
						name_is_below(name, h->name) && (!zone || strlen(h->name) > strlen(zone));
		}
		if (!clash)
			return name;
	}
}

static struct policy_region *add(struct gather *g, const struct host_pattern *h, enum party_kind kind,
				 const char *words)
{
	struct policy_region *x = &g->r->v[g->r->n++];

	*x = (struct policy_region){ .pattern = *h, .party.kind = kind, .words = words };
	return x;
}

static int add_named(struct gather *g, const struct host_pattern *h, enum party_kind kind, const char *name,
		     const char *words)
{
	const char **names = arena_array(&g->r->arena, 1, sizeof *names);
	struct policy_region *x;

	if (!names || !name || !words)
		return -ENOMEM;
	names[0] = name;
	x = add(g, h, kind, words);
	x->party.names = names;
	x->party.n_names = 1;
	return 0;
}

enum part { PART_WHOLE, PART_PUBLIC, PART_SPECIAL };

/* An address of a part of the prefix that is in none of the taken ones. */
static bool find_part(const struct prefix *in, enum part part, const struct prefix *taken, size_t n,
		      struct prefix *room, struct addr *ret)
{
	struct prefix special[ADDR_SPECIAL_MAX];
	size_t n_special = addr_special(special);

	if (part == PART_WHOLE)
		return prefix_find_free(in, taken, n, ret) && prefix_match(in, ret);
	for (size_t i = 0; part == PART_SPECIAL && i < n_special; i++) {
		const struct prefix *within = prefix_covers(in, &special[i]) ? &special[i] : in;

		if (prefix_covers(&special[i], within) && prefix_find_free(within, taken, n, ret) &&
		    prefix_match(in, ret))
			return true;
	}
	if (part == PART_SPECIAL)
		return false;
	memcpy(room, taken, n * sizeof *taken);
	memcpy(room + n, special, n_special * sizeof *special);
	return prefix_find_free(in, room, n + n_special, ret) && prefix_match(in, ret);
}

static int add_address(struct gather *g, const struct host_pattern *h, const struct prefix *in,
		       enum part part, enum party_kind kind, const char *words)
{
	struct addr *a = arena_alloc(&g->r->arena, sizeof *a);
	struct policy_region *x;
	size_t n = 0;

	if (!a || !words)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_prefixes; i++) {
		bool itself = h->kind == HOST_PREFIX && g->prefixes[i].bits == in->bits &&
			      addr_equal(&g->prefixes[i].addr, &in->addr);

		/* For what no pattern names, every prefix is taken; for a pattern, what is narrower. */
		if (!itself && (prefix_covers(in, &g->prefixes[i]) ||
				(h->kind != HOST_PREFIX && prefix_covers(&g->prefixes[i], in))))
			g->inside[n++] = g->prefixes[i];
	}
	if (!find_part(in, part, g->inside, n, g->room, a))
		return 0; /* narrower patterns fill it */
	x = add(g, h, kind, words);
	x->party.addr = a;
	x->is_rest = n > 0;
	return 0;
}

/* "*" allows the public addresses of a prefix and not the others: two regions, where both are there. */
static int add_prefix(struct gather *g, const struct host_pattern *h, enum party_kind kind,
		      const char *words)
{
	size_t before = g->r->n;
	int rc = add_address(g, h, &h->prefix, g->any_allowed ? PART_PUBLIC : PART_WHOLE, kind, words);

	if (rc < 0 || !g->any_allowed)
		return rc;
	rc = add_address(g, h, &h->prefix, PART_SPECIAL, kind, words);
	if (rc < 0 || g->r->n != before + 2)
		return rc;
	g->r->v[before].words = arena_printf(&g->r->arena, "%s (public)", words);
	g->r->v[before + 1].words = arena_printf(&g->r->arena, "%s (not public)", words);
	return g->r->v[before].words && g->r->v[before + 1].words ? 0 : -ENOMEM;
}

static const struct prefix loopback = { { { [10] = 0xff, 0xff, 127 } }, 104 };

/* What no pattern names: a domain, a host name, a public address, the domain itself. */
static int add_rest(struct gather *g, const struct host_pattern *h, enum policy_op op)
{
	/* Somewhere in these there is room for one. */
	static const struct prefix public[] = {
		{ { { [10] = 0xff, 0xff, 8 } }, 104 },  { { { [10] = 0xff, 0xff, 64 } }, 102 },
		{ { { [10] = 0xff, 0xff, 128 } }, 100 }, { { { 0x26 } }, 12 }, { { { 0x20, 0x01, 0x04 } }, 23 },
	};
	size_t before = g->r->n;
	int rc = add_named(g, h, PARTY_DOMAIN, fresh_name(g, NULL), "any other domain");

	if (rc == 0 && op == POLICY_CONNECT)
		rc = add_named(g, h, PARTY_NAME, fresh_name(g, "invalid"), "any other host name");
	for (size_t i = 0; rc == 0 && i < sizeof public / sizeof *public; i++) {
		size_t n = g->r->n;

		rc = add_address(g, h, &public[i], PART_WHOLE, PARTY_ADDR,
				 op == POLICY_CONNECT ? "any other public address" : "any other address");
		if (g->r->n > n)
			break;
	}
	if (rc == 0)
		rc = add_address(g, h, &loopback, PART_WHOLE, PARTY_OWN, "itself");
	for (; before < g->r->n; before++)
		g->r->v[before].is_rest = true;
	return rc;
}

static int add_region(struct gather *g, const struct host_pattern *h, enum policy_op op)
{
	char text[PREFIX_TEXT_MAX + NAME_TEXT_MAX];
	const char *words = arena_strdup(&g->r->arena, host_format(h, text, sizeof text));

	if (!words)
		return -ENOMEM;
	switch (h->kind) {
	case HOST_ANY:
		return add_rest(g, h, op);
	case HOST_OUTSIDE:
		(void)add(g, h, PARTY_HOST, words);
		return 0;
	case HOST_DOMAIN:
		return add_named(g, h, PARTY_DOMAIN, h->name, words);
	case HOST_NAME:
		return add_named(g, h, PARTY_NAME, h->name, words);
	case HOST_WILDCARD:
		if (add_named(g, h, PARTY_NAME, fresh_name(g, h->name), words) < 0)
			return -ENOMEM;
		g->r->v[g->r->n - 1].is_rest = true;
		return 0;
	case HOST_PREFIX:
		/* A rule about loopback is about the domain's own, and about names that resolve to it. */
		if (prefix_covers(&loopback, &h->prefix) && add_prefix(g, h, PARTY_OWN, words) < 0)
			return -ENOMEM;
		return add_prefix(g, h, PARTY_ADDR, words);
	}
	return 0;
}

int policy_regions_make(struct policy_regions *ret, const struct policy *a, const struct policy *b,
			enum policy_op op, struct err *e)
{
	struct policy_regions r = { 0 };
	struct gather g = { .r = &r };
	int rc = gather_patterns(&g, a, b, op);

	if (rc == 0) {
		r.v = arena_array(&r.arena, 4 * g.n + 4, sizeof *r.v);
		rc = r.v ? 0 : -ENOMEM;
	}
	for (size_t i = 0; rc == 0 && i < g.n; i++)
		rc = add_region(&g, &g.v[i], op);
	if (rc < 0) {
		arena_fini(&r.arena);
		return err_num(e, -rc, "comparing policies");
	}
	*ret = r;
	return 0;
}

void policy_regions_fini(struct policy_regions *r)
{
	arena_fini(&r->arena);
	*r = (struct policy_regions){ 0 };
}
