/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_index.h"

#include <string.h>

#include "model/policy_load.h"

static uint32_t hash_bytes(uint32_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619U; /* FNV-1a */
	return h;
}

static uint32_t hash_host(const struct host_pattern *h)
{
	uint8_t kind = (uint8_t)h->kind;
	uint32_t v = hash_bytes(2166136261U, &kind, 1);

	if (h->kind == HOST_PREFIX)
		return hash_bytes(hash_bytes(v, h->prefix.addr.b, 16), &h->prefix.bits, 1);
	return h->name ? hash_bytes(v, h->name, strlen(h->name)) : v;
}

/* The slot of a host pattern: of its chain, or the free one where it would begin. */
static uint32_t *host_slot(const struct policy_index *x, const struct host_pattern *h)
{
	size_t i = hash_host(h) & x->host_mask;

	while (x->hosts[i] != POLICY_ENTRY_NONE &&
	       !host_equal(&x->connect[x->hosts[i]].ep->host, h))
		i = (i + 1) & x->host_mask;
	return &x->hosts[i];
}

static uint32_t *port_slot(const struct policy_index *x, uint16_t port)
{
	return &x->ports[(port * 2654435761U >> 16) & x->port_mask];
}

static uint32_t *new_table(struct arena *arena, size_t n, size_t *ret_mask)
{
	size_t size = 4;
	uint32_t *t;

	while (size < n * 2)
		size *= 2;
	t = arena_array(arena, size, sizeof *t);
	if (!t)
		return NULL;
	memset(t, 0xff, size * sizeof *t); /* POLICY_ENTRY_NONE everywhere */
	*ret_mask = size - 1;
	return t;
}

static void add_connect(struct policy_index *x, const struct policy_rule *r,
			const struct endpoint *ep)
{
	uint32_t i = (uint32_t)x->n_connect++;
	uint32_t *slot;

	x->connect[i] = (struct policy_entry){ r, ep, POLICY_ENTRY_NONE };
	slot = host_slot(x, &ep->host);
	x->connect[i].next = *slot;
	*slot = i;
	x->has_wildcards |= ep->host.kind == HOST_WILDCARD;
	if (ep->host.kind == HOST_PREFIX)
		x->bits[ep->host.prefix.bits] = 1; /* a set, until they are listed below */
}

static void add_listen(struct policy_index *x, const struct policy_rule *r,
		       const struct endpoint *ep)
{
	bool wide = ep->ports.n != 1 || ep->ports.v[0].lo != ep->ports.v[0].hi;
	uint32_t *head = wide ? &x->wide : port_slot(x, ep->ports.v[0].lo);
	uint32_t i = (uint32_t)x->n_listen++;

	x->listen[i] = (struct policy_entry){ r, ep, *head };
	*head = i;
}

static void list_bits(struct policy_index *x)
{
	uint8_t set[129];

	memcpy(set, x->bits, sizeof set);
	for (unsigned b = 0; b <= 128; b++) {
		if (set[b])
			x->bits[x->n_bits++] = (uint8_t)b;
	}
}

int policy_index_build(struct policy *p, struct err *e)
{
	struct policy_index *x = arena_alloc(&p->arena, sizeof *x);
	size_t n_connect = 0, n_listen = 0;

	for (size_t i = 0; i < p->n_rules; i++)
		*(p->rules[i].op == POLICY_CONNECT ? &n_connect : &n_listen) +=
			p->rules[i].n_endpoints;
	if (!x)
		goto no_memory;
	x->wide = POLICY_ENTRY_NONE;
	x->connect = arena_array(&p->arena, n_connect, sizeof *x->connect);
	x->listen = arena_array(&p->arena, n_listen, sizeof *x->listen);
	x->hosts = new_table(&p->arena, n_connect, &x->host_mask);
	x->ports = new_table(&p->arena, n_listen, &x->port_mask);
	if (!x->connect || !x->listen || !x->hosts || !x->ports)
		goto no_memory;
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		for (size_t j = 0; j < r->n_endpoints; j++) {
			if (r->op == POLICY_CONNECT)
				add_connect(x, r, &r->endpoints[j]);
			else
				add_listen(x, r, &r->endpoints[j]);
		}
	}
	list_bits(x);
	x->any = *host_slot(x, &(struct host_pattern){ .kind = HOST_ANY });
	p->index = x;
	return 0;
no_memory:
	return err_num(e, ENOMEM, "%s: index of rules", p->file);
}

void policy_walk_init(struct policy_walk *w, const struct policy *p, const struct host_pattern *inner,
		      bool but_any)
{
	*w = (struct policy_walk){ .index = p->index,
				   .inner = *inner,
				   .bit = inner->kind == HOST_PREFIX ? 0 : SIZE_MAX,
				   .any_done = but_any,
				   .chain = POLICY_ENTRY_NONE };
	/* What the other steps find anyway is not looked for twice. */
	w->exact_done = inner->kind == HOST_ANY || inner->kind == HOST_PREFIX ||
			inner->kind == HOST_WILDCARD;
	if (!p->index || !p->index->has_wildcards)
		w->zone = NULL;
	else if (inner->kind == HOST_WILDCARD)
		w->zone = inner->name;
	else if (inner->kind == HOST_NAME)
		w->zone = strchr(inner->name, '.') + 1; /* a HOST_NAME has a dot */
}

/* The next wildcard chain for a name: its zones from the longest to the shortest. */
static uint32_t next_zone(struct policy_walk *w)
{
	struct host_pattern h = { .kind = HOST_WILDCARD, .name = w->zone };
	const char *dot = strchr(w->zone, '.');

	w->zone = dot ? dot + 1 : NULL;
	return *host_slot(w->index, &h);
}

static uint32_t next_prefix(struct policy_walk *w)
{
	const struct prefix *in = &w->inner.prefix;
	struct host_pattern h = { .kind = HOST_PREFIX };
	uint8_t bits = w->index->bits[w->bit++];

	if (bits > in->bits) {
		w->bit = SIZE_MAX;
		return POLICY_ENTRY_NONE;
	}
	if (bits < ADDR_V4_BITS && addr_is_v4(&in->addr))
		return POLICY_ENTRY_NONE;
	h.prefix = prefix_of(&in->addr, bits);
	return *host_slot(w->index, &h);
}

const struct policy_entry *policy_walk_next(struct policy_walk *w)
{
	const struct policy_entry *entry;

	if (!w->index)
		return NULL;
	while (w->chain == POLICY_ENTRY_NONE) {
		if (!w->exact_done) {
			w->exact_done = true;
			w->chain = *host_slot(w->index, &w->inner);
		} else if (w->zone) {
			w->chain = next_zone(w);
		} else if (w->bit < w->index->n_bits) {
			w->chain = next_prefix(w);
		} else if (!w->any_done) {
			w->any_done = true;
			w->chain = w->index->any;
		} else {
			return NULL;
		}
	}
	entry = &w->index->connect[w->chain];
	w->chain = entry->next;
	return entry;
}

void policy_listen_walk_init(struct policy_listen_walk *w, const struct policy *p, uint16_t port)
{
	*w = (struct policy_listen_walk){ .index = p->index, .port = port,
					  .chain = POLICY_ENTRY_NONE };
	if (p->index)
		w->chain = *port_slot(p->index, port);
}

const struct policy_entry *policy_listen_walk_next(struct policy_listen_walk *w)
{
	while (w->index) {
		const struct policy_entry *entry;

		if (w->chain == POLICY_ENTRY_NONE) {
			if (w->wide)
				return NULL;
			w->wide = true;
			w->chain = w->index->wide;
			continue;
		}
		entry = &w->index->listen[w->chain];
		w->chain = entry->next;
		if (ports_have(&entry->ep->ports, w->port))
			return entry;
	}
	return NULL;
}
