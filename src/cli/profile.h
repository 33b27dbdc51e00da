/* SPDX-License-Identifier: Apache-2.0 */
/* The filter that a policy makes of vrun's own, as other runtimes take it. */
#ifndef VRUN_CLI_PROFILE_H
#define VRUN_CLI_PROFILE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct bundle_seccomp;
struct policy;

/* A new "linux.seccomp" object, without where the supervisor listens. */
int profile_of_policy(const struct policy *p, json_t **ret, struct err *e);

/* Whether a container's filter comes to the very same program as that one. */
bool profile_is_ours(const struct bundle_seccomp *s, const struct policy *p);

#endif
