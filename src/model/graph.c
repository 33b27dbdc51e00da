/* SPDX-License-Identifier: Apache-2.0 */
#include "model/graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/policy_reach.h"
#include "model/policy_region.h"

#define LABEL_MAX 96    /* bytes of a port list that are drawn */
#define NAME_COLUMNS 60 /* of a name that are drawn */
#define LABEL_PORTS 8   /* ports of what was seen that are drawn */
#define PORTS_TEXT 4096 /* of the longest list that is looked at */

void graph_fini(struct graph *g)
{
	for (size_t i = 0; i < g->n_edges; i++)
		free(g->edges[i].ports);
	free(g->nodes);
	free(g->edges);
	arena_fini(&g->arena);
	*g = (struct graph){ 0 };
}

/* --- nodes and edges ---------------------------------------------------------------------- */

static bool is_called(const struct graph_node *n, const char *name)
{
	if (strcmp(n->name, name) == 0)
		return true;
	for (size_t i = 0; i < n->n_names; i++)
		if (strcmp(n->names[i], name) == 0)
			return true;
	return false;
}

static struct graph_node *add_node(struct graph *g, enum graph_node_kind kind, const char *name)
{
	struct graph_node *n;

	if (!g->nodes)
		g->nodes = calloc(GRAPH_NODES_MAX, sizeof *g->nodes);
	if (!g->nodes || g->n_nodes == GRAPH_NODES_MAX) {
		g->dropped++;
		return NULL;
	}
	n = &g->nodes[g->n_nodes];
	*n = (struct graph_node){ .kind = kind, .name = arena_strdup(&g->arena, name) };
	if (!n->name)
		return NULL;
	g->n_nodes++;
	return n;
}

static enum graph_node_kind kind_of(const char *name)
{
	if (strcmp(name, "host") == 0)
		return GRAPH_HOST;
	return strpbrk(name, ".:*/ ") ? GRAPH_OUTSIDE : GRAPH_UNKNOWN;
}

const struct graph_node *graph_find(struct graph *g, const char *name)
{
	for (size_t i = 0; i < g->n_nodes; i++)
		if (is_called(&g->nodes[i], name))
			return &g->nodes[i];
	return add_node(g, kind_of(name), name);
}

static struct graph_edge *find_edge(struct graph *g, const struct graph_node *from, const struct graph_node *to,
				    enum graph_edge_kind kind)
{
	size_t a = (size_t)(from - g->nodes), b = (size_t)(to - g->nodes);

	for (size_t i = 0; i < g->n_edges; i++)
		if (g->edges[i].from == a && g->edges[i].to == b && g->edges[i].kind == kind)
			return &g->edges[i];
	if (!g->edges)
		g->edges = calloc(GRAPH_EDGES_MAX, sizeof *g->edges);
	if (!g->edges || g->n_edges == GRAPH_EDGES_MAX) {
		g->dropped++;
		return NULL;
	}
	g->edges[g->n_edges] = (struct graph_edge){ .from = a, .to = b, .kind = kind };
	return &g->edges[g->n_edges++];
}

/* --- what happened --------------------------------------------------------------------------- */

static int count_port(struct graph_edge *edge, enum policy_proto proto, uint16_t port, uint64_t count, bool recorded,
		      struct err *e)
{
	struct graph_port *v = edge->ports;

	for (size_t i = 0; i < edge->n_ports; i++)
		if (v[i].proto == proto && v[i].port == port) {
			v[i].count += recorded || !v[i].recorded ? count : 0;
			return 0;
		}
	if (edge->n_ports == GRAPH_PORTS_MAX) {
		edge->more++;
		return 0;
	}
	if (edge->n_ports == edge->room) {
		size_t room = edge->room ? 2 * edge->room : 8;

		v = realloc(v, room * sizeof *v);
		if (!v)
			return err_num(e, ENOMEM, "graph");
		edge->ports = v;
		edge->room = room;
	}
	v[edge->n_ports++] = (struct graph_port){ proto, port, count, recorded };
	return 0;
}

int graph_add_seen(struct graph *g, const char *from, const char *to, enum graph_edge_kind kind,
		   enum policy_proto proto, uint16_t port, uint64_t count, struct err *e)
{
	const struct graph_node *a = graph_find(g, from), *b = a ? graph_find(g, to) : NULL;
	struct graph_edge *edge = b ? find_edge(g, a, b, kind) : NULL;

	return edge ? count_port(edge, proto, port, count, true, e) : 0; /* it is counted as dropped */
}

int graph_add_open(struct graph *g, const char *from, const char *to, enum policy_proto proto, uint16_t port,
		   struct err *e)
{
	const struct graph_node *a = graph_find(g, from), *b = a ? graph_find(g, to) : NULL;
	struct graph_edge *edge = b ? find_edge(g, a, b, GRAPH_DID) : NULL;

	return edge ? count_port(edge, proto, port, 1, false, e) : 0;
}

/* --- what is allowed --------------------------------------------------------------------------- */

/* "80,443/tcp", cut. Adds to a label. */
static const char *add_ports(struct graph *g, const char *label, const struct port_set *ports,
			     enum policy_proto proto)
{
	char text[PORTS_TEXT], *end;

	(void)ports_format(ports, text, sizeof text);
	if (strlen(text) > LABEL_MAX) {
		text[LABEL_MAX] = '\0';
		end = strrchr(text, ',');
		(void)snprintf(end ? end : text + LABEL_MAX, 8, ",...");
	}
	return arena_printf(&g->arena, "%s%s%s/%s", label ? label : "", label ? "\n" : "", text,
			    policy_proto_name(proto));
}

static int add_may(struct graph *g, const struct graph_node *from, const struct graph_node *to,
		   enum graph_edge_kind kind, const struct port_set *ports, enum policy_proto proto, struct err *e)
{
	struct graph_edge *edge = ports->n ? find_edge(g, from, to, kind) : NULL;

	if (!edge)
		return 0;
	edge->label = add_ports(g, edge->label, ports, proto);
	return edge->label ? 0 : err_num(e, ENOMEM, "graph");
}

/* One domain of the fabric as a side of a pair. */
struct member {
	struct policy_side side;
	const struct graph_node *node;
};

static int add_pair(struct graph *g, struct member *from, struct member *to, struct err *e)
{
	int rc = 0;

	for (unsigned proto = POLICY_TCP; rc == 0 && proto <= POLICY_UDP; proto <<= 1) {
		struct port_set both, half;

		rc = policy_reach_pair(&from->side, &to->side, (enum policy_proto)proto, &g->arena, &both, &half, e);
		if (rc == 0)
			rc = add_may(g, from->node, to->node, GRAPH_MAY, &both, (enum policy_proto)proto, e);
		/* A rule for everybody is not meant for this one. */
		if (rc == 0 && ports_count(&half) < UINT16_MAX / 2)
			rc = add_may(g, from->node, to->node, GRAPH_HALF, &half, (enum policy_proto)proto, e);
	}
	return rc;
}

/* Domains are nodes of their own; what no pattern names is worth an edge only when something allows it. */
static bool is_outside(const struct policy_region *r, const struct member *all, size_t n)
{
	if (r->party.kind == PARTY_OWN || r->party.kind == PARTY_RESOLVER)
		return false;
	for (size_t i = 0; r->party.kind == PARTY_DOMAIN && i < n; i++)
		if (r->party.n_names && is_called(all[i].node, r->party.names[0]))
			return false;
	/* The domain's own addresses have been asked about as domains. */
	for (size_t i = 0; r->party.addr && i < n; i++)
		for (size_t k = 0; k < all[i].side.policy->n_addresses; k++)
			if (addr_equal(r->party.addr, &all[i].side.policy->addresses[k]))
				return false;
	return true;
}

static int add_outside(struct graph *g, const struct member *from, const struct member *all, size_t n, struct err *e)
{
	const struct policy *p = from->side.policy;
	struct policy_regions regions;
	int rc = policy_regions_make(&regions, p, p, POLICY_CONNECT, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < regions.n; i++) {
		const struct policy_region *r = &regions.v[i];
		struct policy_attempt a = { .kind = ATTEMPT_CONNECT, .peer = r->party };

		for (unsigned proto = POLICY_TCP; rc == 0 && proto <= POLICY_UDP && is_outside(r, all, n); proto <<= 1) {
			const struct graph_node *to;
			struct port_set ports;

			a.proto = (enum policy_proto)proto;
			rc = policy_reach(p, from->side.ceiling, &a, &g->arena, &ports, e);
			to = rc == 0 && ports.n ? graph_find(g, r->words) : NULL;
			if (to)
				rc = add_may(g, from->node, to, GRAPH_MAY, &ports, a.proto, e);
		}
	}
	policy_regions_fini(&regions);
	return rc;
}

/* Who may come in from the machine outside, and what is published there. */
static int add_incoming(struct graph *g, const struct member *to, struct err *e)
{
	struct policy_attempt a = { .kind = ATTEMPT_ACCEPT, .peer = { .kind = PARTY_HOST } };
	int rc = 0;

	for (unsigned proto = POLICY_TCP; rc == 0 && proto <= POLICY_UDP; proto <<= 1) {
		const struct graph_node *host;
		struct port_set ports;

		a.proto = (enum policy_proto)proto;
		rc = policy_reach(to->side.policy, to->side.ceiling, &a, &g->arena, &ports, e);
		host = rc == 0 && ports.n ? graph_find(g, "host") : NULL;
		if (host)
			rc = add_may(g, host, to->node, GRAPH_MAY, &ports, a.proto, e);
	}
	return rc;
}

static int add_member(struct graph *g, const struct policy *p, const struct policy *ceiling, struct member *ret)
{
	struct graph_node *node = add_node(g, GRAPH_DOMAIN, p->n_names ? p->names[0] : p->file);

	if (!node)
		return -ENOMEM;
	node->names = p->names;
	node->n_names = p->n_names;
	node->file = arena_strdup(&g->arena, p->file);
	*ret = (struct member){ .side = { .policy = p, .ceiling = ceiling }, .node = node };
	return node->file ? 0 : -ENOMEM;
}

/* An address of the family that both have. */
static void set_addresses(struct member *a, struct member *b)
{
	const struct policy *x = a->side.policy, *y = b->side.policy;

	a->side.addr = x->n_addresses ? &x->addresses[0] : NULL;
	b->side.addr = y->n_addresses ? &y->addresses[0] : NULL;
	for (size_t i = 0; i < x->n_addresses; i++)
		for (size_t k = 0; k < y->n_addresses; k++)
			if (addr_is_v4(&x->addresses[i]) == addr_is_v4(&y->addresses[k])) {
				a->side.addr = &x->addresses[i];
				b->side.addr = &y->addresses[k];
				return;
			}
}

int graph_add_policies(struct graph *g, const struct fabric *f, struct err *e)
{
	size_t n = 0, total = f->n_others + (f->self ? 1 : 0);
	struct member *v = calloc(total + 1, sizeof *v);
	int rc = v ? 0 : -ENOMEM;

	if (rc == 0 && f->self)
		rc = add_member(g, f->self, f->ceiling, &v[n++]);
	for (size_t i = 0; rc == 0 && i < f->n_others; i++)
		rc = add_member(g, f->others[i], f->ceilings ? f->ceilings[i] : NULL, &v[n++]);
	if (rc < 0)
		(void)err_num(e, ENOMEM, "graph of %zu domains (at most %d)", total, GRAPH_NODES_MAX);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		for (size_t k = 0; rc == 0 && k < n; k++) {
			if (i == k)
				continue;
			set_addresses(&v[i], &v[k]);
			rc = add_pair(g, &v[i], &v[k], e);
		}
		if (rc == 0)
			rc = add_outside(g, &v[i], v, n, e);
		if (rc == 0)
			rc = add_incoming(g, &v[i], e);
	}
	free(v);
	return rc;
}

/* --- Graphviz ------------------------------------------------------------------------------------ */

/*
 * A text in quotes, cut where it is long. A backslash and a quote are its
 * language's, "&" begins an entity, and what is no printing character has no
 * business in a picture.
 */
static void put_text(FILE *f, const char *text)
{
	char safe[1024];
	size_t columns = 0;

	(void)log_quote(safe, sizeof safe, text);
	for (const char *p = safe; *p; p++) {
		if (((unsigned char)*p & 0xc0) != 0x80 && ++columns > NAME_COLUMNS) {
			(void)fputs("...", f);
			break;
		}
		if (*p == '&')
			(void)fputs("&amp;", f);
		else if (*p == '"' || *p == '\\')
			(void)fprintf(f, "\\%c", *p);
		else
			(void)fputc(*p, f);
	}
}

/* The lines of a label; our own ends of lines are kept. */
static void put_lines(FILE *f, const char *text)
{
	char line[256];
	size_t n;

	for (; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		(void)snprintf(line, sizeof line, "%.*s", (int)n, text);
		put_text(f, line);
		if (text[n])
			(void)fputs("\\n", f);
	}
}

static void put_node(FILE *f, const struct graph_node *n, size_t i)
{
	static const char *const looks[] = {
		[GRAPH_DOMAIN] = "shape=box, style=\"rounded,filled\", fillcolor=\"#dbe9f6\", color=\"#2b5f91\"",
		[GRAPH_UNKNOWN] = "shape=box, style=\"rounded,dashed\", color=\"#777777\"",
		[GRAPH_HOST] = "shape=house, style=filled, fillcolor=\"#f3e6c8\", color=\"#8a6d1f\"",
		[GRAPH_OUTSIDE] = "shape=ellipse, style=filled, fillcolor=\"#f2f2f2\", color=\"#777777\"",
	};

	(void)fprintf(f, "  n%zu [%s, label=\"", i, looks[n->kind]);
	put_text(f, n->name);
	for (size_t k = 1; k < n->n_names && k < 4; k++) {
		(void)fputs(k == 1 ? "\\n(" : ", ", f);
		put_text(f, n->names[k]);
		if (k + 1 == n->n_names || k == 3)
			(void)fputs(n->n_names > 4 ? ", ...)" : ")", f);
	}
	(void)fputs("\"];\n", f);
}

static void put_seen(FILE *f, const struct graph_edge *edge)
{
	for (size_t i = 0; i < edge->n_ports && i < LABEL_PORTS; i++) {
		const struct graph_port *p = &edge->ports[i];

		(void)fputs(i ? "\\n" : "", f);
		if (p->port)
			(void)fprintf(f, "%u/%s", p->port, policy_proto_name(p->proto));
		else
			(void)fputs("look-up", f);
		if (p->count > 1)
			(void)fprintf(f, " (%llu)", (unsigned long long)p->count);
	}
	if (edge->more)
		(void)fputs("\\nand many more", f);
	else if (edge->n_ports > LABEL_PORTS)
		(void)fprintf(f, "\\nand %zu more", edge->n_ports - LABEL_PORTS);
}

static void put_edge(FILE *f, const struct graph_edge *edge)
{
	static const char *const looks[GRAPH_EDGE_KINDS] = {
		[GRAPH_MAY] = "color=\"#2b5f91\", fontcolor=\"#2b5f91\"",
		[GRAPH_HALF] = "color=\"#999999\", fontcolor=\"#777777\", style=dotted",
		[GRAPH_DID] = "color=\"#2e7d32\", fontcolor=\"#2e7d32\", penwidth=2.5",
		[GRAPH_DENIED] = "color=\"#c62828\", fontcolor=\"#c62828\", style=dashed, arrowhead=teetee",
	};

	(void)fprintf(f, "  n%zu -> n%zu [%s, label=\"", edge->from, edge->to, looks[edge->kind]);
	if (edge->label)
		put_lines(f, edge->label);
	if (edge->kind == GRAPH_HALF)
		(void)fputs("\\nnot let in", f);
	if (edge->kind == GRAPH_DENIED)
		(void)fputs("\xe2\x9c\x95 ", f); /* a cross, for who cannot tell the colours */
	put_seen(f, edge);
	(void)fputs("\"];\n", f);
}

void graph_write_dot(const struct graph *g, FILE *f)
{
	(void)fputs("digraph vrun {\n  rankdir=LR;\n  nodesep=0.4;\n  ranksep=1.2;\n"
		    "  node [fontname=\"sans-serif\", fontsize=12];\n"
		    "  edge [fontname=\"sans-serif\", fontsize=10];\n",
		    f);
	for (size_t i = 0; i < g->n_nodes; i++)
		put_node(f, &g->nodes[i], i);
	for (size_t i = 0; i < g->n_edges; i++)
		put_edge(f, &g->edges[i]);
	if (g->dropped)
		(void)fprintf(f, "  more [shape=plaintext, label=\"%llu more are not drawn\"];\n",
			      (unsigned long long)g->dropped);
	(void)fputs("}\n", f);
}
