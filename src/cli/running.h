/* SPDX-License-Identifier: Apache-2.0 */
/* The policies in force where sandboxes run, from their supervisor (sup/query.h). */
#ifndef VRUN_CLI_RUNNING_H
#define VRUN_CLI_RUNNING_H

#include "cli/ask.h"
#include "model/policy_attempt.h"

/* One domain of a running fabric. Its policy has the names and addresses that it was given. */
struct running_domain {
	char *id; /* owned */
	struct policy policy, ceiling;
	bool has_ceiling;
};

struct running {
	struct running_domain *v; /* owned */
	size_t n;
	const struct policy **others, **ceilings; /* owned; of fabric */
	struct fabric fabric;                     /* about the one that was asked for, or no "self" */
};

/*
 * Asks for a run's domain and those beside it; without an id for all that a
 * fabric or supervisor has. -ENOENT: there is no such run, or it has no
 * supervisor. The caller calls running_fini(), also after a failure.
 */
int running_load(struct running *r, const struct ask_whom *whom, struct err *e);
void running_fini(struct running *r);

#endif
