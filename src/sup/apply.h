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

/*
 * Puts the policy in `text`, called `name` in messages, in force for the
 * domain. -EINVAL and the like with the reason: the old one stays, untouched. With `dry`
 * it is only checked.
 */
int apply_policy(struct sup *s, struct domain *d, const char *name, const char *text, bool dry,
		 struct revoked *ret, struct err *e);

#endif
