/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding a policy's rules by what they are about, so that a decision does not
 * grow with their number: connect rules by host, listen rules by port.
 */
#ifndef VRUN_MODEL_POLICY_INDEX_H
#define VRUN_MODEL_POLICY_INDEX_H

#include "model/policy.h"

struct policy_entry {
	const struct policy_rule *rule;
	const struct endpoint *ep;
	uint32_t next; /* in its chain; POLICY_ENTRY_NONE ends */
};
#define POLICY_ENTRY_NONE UINT32_MAX

struct policy_index {
	struct policy_entry *connect;
	size_t n_connect;
	uint32_t *hosts; /* heads of chains of one host pattern each, by open addressing */
	size_t host_mask;
	uint32_t *ports; /* heads by port, of listen ranges of one port; mixed chains */
	size_t port_mask;
	uint32_t wide; /* head: listen entries of more than one port */
	struct policy_entry *listen;
	size_t n_listen;
	uint32_t any;       /* head: "*" */
	bool has_wildcards; /* otherwise a name's zones need not be looked for */
	uint8_t bits[129];  /* the prefix lengths that connect rules use, ascending */
	size_t n_bits;
};

/* Makes the index of a policy's rules, in its arena. -ENOMEM is the only failure. */
int policy_index_build(struct policy *p, struct err *e);

/*
 * Walks the connect entries whose host pattern covers `inner` (host_covers()):
 *	policy_walk_init(&w, p, &inner);
 *	while ((entry = policy_walk_next(&w)))
 * `inner` is copied; its name must live on. With `but_any` the entries for "*"
 * are left out, which a caller that asks for several patterns has had already.
 */
struct policy_walk {
	const struct policy_index *index;
	struct host_pattern inner;
	const char *zone; /* next wildcard zone to look for, or NULL */
	size_t bit;       /* next prefix length to look for */
	bool exact_done, any_done;
	uint32_t chain;
};
void policy_walk_init(struct policy_walk *w, const struct policy *p, const struct host_pattern *inner,
		      bool but_any);
const struct policy_entry *policy_walk_next(struct policy_walk *w);

/* The listen entries that have a port; in no order. `chain` starts at POLICY_ENTRY_NONE. */
struct policy_listen_walk {
	const struct policy_index *index;
	uint16_t port;
	bool wide;
	uint32_t chain;
};
void policy_listen_walk_init(struct policy_listen_walk *w, const struct policy *p, uint16_t port);
const struct policy_entry *policy_listen_walk_next(struct policy_listen_walk *w);

#endif
