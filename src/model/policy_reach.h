/* SPDX-License-Identifier: Apache-2.0 */
/* All ports that policies allow, by asking policy_decide() wherever its answer may change. */
#ifndef VRUN_MODEL_POLICY_REACH_H
#define VRUN_MODEL_POLICY_REACH_H

#include "model/policy_decide.h"

/* The ports at which one party may be connected to; the attempt's own port is not looked at. -ENOMEM. */
int policy_reach(const struct policy *p, const struct policy *ceiling, const struct policy_attempt *a,
		 struct arena *arena, struct port_set *ret, struct err *e);

/*
 * The ports of `server` that both domains allow, and those that the client's
 * policy allows and the server's does not. -ENOMEM.
 */
int policy_reach_pair(const struct policy_side *client, const struct policy_side *server, enum policy_proto proto,
		      struct arena *arena, struct port_set *ret_both, struct port_set *ret_client, struct err *e);

#endif
