/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's part in a launch: which network the app has, and its limits. */
#ifndef VRUN_RUN_POLICY_APPLY_H
#define VRUN_RUN_POLICY_APPLY_H

#include "base/err.h"
#include "kern/profile.h"
#include "model/bundle.h"

/*
 * Finds the policy (`file` of -p, else the bundle's policy.json, else its
 * annotation, else none), bounds it by `ceiling` (--ceiling, else ceiling.json
 * of the system's configuration directory when it is there), writes its limits
 * into the bundle and gives the network mode. -ENOTSUP for a policy that this
 * version cannot enforce: it is never enforced in part.
 */
int policy_apply(struct bundle *b, const char *file, const char *ceiling, enum profile_net *ret_net,
		 struct err *e);

#endif
