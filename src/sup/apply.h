/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another policy for a container that runs: checked as a whole before anything
 * changes, in force from one call of its apps to the next, and what it forbids
 * is cut (revoke.h).
 */
#ifndef VRUN_SUP_APPLY_H
#define VRUN_SUP_APPLY_H

#include <stdbool.h>

#include "base/err.h"
#include "sup/revoke.h"

struct sup;
struct domain;

/* A policy, borrowed. */
struct apply_request {
	const char *name, *text; /* what messages call it */
	bool dry;                /* it is only checked */
	bool gateway;            /* the domain's gateway has it already, and decides by both */
};

/*
 * Puts the policy in force for the domain. -EINVAL and the like with the
 * reason: the old one stays, untouched.
 */
int apply_policy(struct sup *s, struct domain *d, const struct apply_request *how, struct revoked *ret,
		 struct err *e);

#endif
