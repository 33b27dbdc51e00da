/* SPDX-License-Identifier: Apache-2.0 */
/* What the policies on both sides say of a connection or flow: the supervisor's way to policy_decide(). */
#ifndef VRUN_SUP_DECIDE_H
#define VRUN_SUP_DECIDE_H

#include "model/policy_decide.h"

struct domain;
struct sup;

struct decision {
	struct policy_attempt attempt;
	struct policy_verdict verdict; /* of the side that says no, else of the sender's */
	struct domain *to;             /* whose address that is; NULL: nobody's */
	struct addr source, target;    /* what the attempt points to */
	const struct policy_rule *theirs; /* of `to`, that lets it in; or NULL */
	const char *name;              /* that the address stands for outside (names.h), or NULL */
	bool host;                     /* it stands for the machine outside */
};

/*
 * A connection (POLICY_TCP) or flow (POLICY_UDP) of the domain to a port of
 * an address. `source`: NULL: the address that the domain has for it. The decision
 * stays where it is: it points to itself.
 */
void decide_connect(struct sup *s, struct domain *from, enum policy_proto proto, const struct addr *source,
		    const struct addr *to, uint16_t port, struct decision *ret);
/* Listening at an address and port of the domain's own. */
void decide_listen(struct domain *d, enum policy_proto proto, const struct addr *at, uint16_t port,
		   struct decision *ret);

/* The rule of the domain's own policy that allowed it, or NULL. */
const struct policy_rule *decision_rule(const struct decision *d, const struct domain *of);

/* Counts it for the rules that made it; once for each call of an app. */
void decision_count(const struct decision *d, struct domain *from);

#endif
