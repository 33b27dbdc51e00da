/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for what was seen: attempts, each as the rule that allows just it,
 * become few rules that allow just them. Ports of a host are put together, and
 * who comes in at a port; nothing that was not seen is allowed by that.
 */
#ifndef VRUN_MODEL_PROPOSAL_H
#define VRUN_MODEL_PROPOSAL_H

#include "model/policy_decide.h"

#define PROPOSAL_MAX 10000 /* things seen */

/* Something that was seen, or several of them that one rule allows. */
struct proposal_part {
	bool listen;
	unsigned protos;
	struct host_pattern host; /* "to" or "at" */
	const char *host_text;
	const struct host_pattern *from; /* of a listener */
	const char **from_texts;
	size_t n_from;
	const char *from_key; /* from_texts in one */
	const struct port_range *ports;
	size_t n_ports;
	uint64_t seen; /* how often */
	char *line;    /* once merged: the rule */
	bool folded;   /* a rule of the base takes it in (learned_base.h) */
};

/* Zeroed is empty; proposal_fini() frees. */
struct proposal {
	struct arena arena;
	struct proposal_part *v; /* owned */
	size_t n, room;
};

/*
 * Takes a rule as audit records have it in "line". -EINVAL for one that allows
 * more than one attempt, or asks for anything beside, and -E2BIG.
 */
int proposal_add(struct proposal *p, const char *line, uint64_t seen, struct err *e);
void proposal_fini(struct proposal *p);

/* Something that is allowed, by this rule; NULL: by none, since it is its own. */
typedef void proposal_dropped(void *ctx, const struct proposal_part *t, const struct policy_rule *rule);

/* Takes out what the policy allows. How many there were. `dropped` may be NULL. */
size_t proposal_drop_allowed(struct proposal *p, const struct policy *by, proposal_dropped *dropped, void *ctx);

/* Puts together; each part then has its line. In an order that does not depend on that of adding. -ENOMEM. */
int proposal_merge(struct proposal *p, struct err *e);

#endif
