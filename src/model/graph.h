/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may reach whom, who did, and what was denied, as a graph that Graphviz
 * draws. What policies allow is asked of policy_decide(), by region
 * (policy_region.h) for what is outside. Names may come from anybody: every
 * text is made safe when the graph is written.
 */
#ifndef VRUN_MODEL_GRAPH_H
#define VRUN_MODEL_GRAPH_H

#include <stdio.h>

#include "model/policy_attempt.h"

#define GRAPH_NODES_MAX 400
#define GRAPH_EDGES_MAX 4000
#define GRAPH_PORTS_MAX 256 /* of one edge that are told apart */

enum graph_node_kind {
	GRAPH_DOMAIN,  /* a policy was given for it */
	GRAPH_UNKNOWN, /* a domain that only others speak of */
	GRAPH_HOST,    /* the machine outside */
	GRAPH_OUTSIDE, /* a host name, an address, or all that a rule means */
};

enum graph_edge_kind {
	GRAPH_MAY,    /* allowed on both sides */
	GRAPH_HALF,   /* allowed by the one that connects, not by the other */
	GRAPH_DID,    /* a connection that is there, or was */
	GRAPH_DENIED, /* it was tried and denied */
	GRAPH_EDGE_KINDS
};

struct graph_node {
	enum graph_node_kind kind;
	const char *name;
	const char *const *names; /* of a domain: all it has */
	size_t n_names;
	const char *file; /* of its policy, or NULL */
};

/* What is seen at one port. */
struct graph_port {
	enum policy_proto proto;
	uint16_t port; /* 0: a look-up */
	uint64_t count;
	bool recorded; /* graph_add_seen() has counted it */
};

struct graph_edge {
	size_t from, to;
	enum graph_edge_kind kind;
	const char *label; /* of MAY and HALF */
	struct graph_port *ports;
	size_t n_ports, room;
	uint64_t more; /* at other ports */
};

/* Zeroed is empty. */
struct graph {
	struct arena arena;
	struct graph_node *nodes;
	size_t n_nodes;
	struct graph_edge *edges;
	size_t n_edges;
	uint64_t dropped; /* for want of room */
};

/* The policies, and what they allow. `f->self` is one of the domains like the others. -ENOMEM. */
int graph_add_policies(struct graph *g, const struct fabric *f, struct err *e);

/* The node of a name or address text: a domain by any of its names, else made. NULL without room. */
const struct graph_node *graph_find(struct graph *g, const char *name);

/* Something that happened `count` times. -ENOMEM. */
int graph_add_seen(struct graph *g, const char *from, const char *to, enum graph_edge_kind kind,
		   enum policy_proto proto, uint16_t port, uint64_t count, struct err *e);

/* A connection that is open. It is not counted where records have counted it already: they come first. */
int graph_add_open(struct graph *g, const char *from, const char *to, enum policy_proto proto, uint16_t port,
		   struct err *e);

/* In Graphviz' language. */
void graph_write_dot(const struct graph *g, FILE *f);
void graph_fini(struct graph *g);

#endif
