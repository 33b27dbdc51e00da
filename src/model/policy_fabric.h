/* SPDX-License-Identifier: Apache-2.0 */
/* Several policies as one fabric: do their two sides fit together? */
#ifndef VRUN_MODEL_POLICY_FABRIC_H
#define VRUN_MODEL_POLICY_FABRIC_H

#include "model/policy_attempt.h"

/* Two domains of a fabric cannot share a name or an address. -EEXIST with what they share, or 0. */
int policy_fabric_conflict(const struct policy *a, const struct policy *b, struct err *e);

/*
 * What f->self asks of domains that do not offer it: names that nobody has,
 * connections that the other side does not accept, parties in "from" that do
 * not exist. Adds to `warnings`. -ENOMEM is the only failure.
 */
int policy_fabric_check(const struct fabric *f, struct policy_warnings *warnings, struct err *e);

#endif
