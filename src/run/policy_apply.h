/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's part in a launch: which network the app has, who serves it, and its limits. */
#ifndef VRUN_RUN_POLICY_APPLY_H
#define VRUN_RUN_POLICY_APPLY_H

#include <stdbool.h>

#include "base/err.h"
#include "kern/profile.h"
#include "model/bundle.h"
#include "model/json.h"
#include "model/policy.h"

struct policy_applied {
	struct policy policy, ceiling;
	struct json_doc text, ceiling_text; /* as they were read, for the supervisor */
	bool has_policy, has_ceiling;       /* there is a text */
	bool supervised;                    /* rules: a supervisor serves the app's sockets */
	enum profile_net net;               /* without one */
};

/*
 * Finds the policy (`file` of -p, else the bundle's policy.json, else its
 * annotation, else none), adds what is to be published (NULL: nothing), bounds it by `ceiling` (--ceiling, else ceiling.json
 * of the system's configuration directory when it is there), writes its limits
 * into the bundle and says what the app's network is. policy_applied_fini()
 * after success. -ENOTSUP for a policy that cannot be enforced: it never is in
 * part.
 */
int policy_apply(struct bundle *b, const char *file, const char *ceiling, const char *const *publish,
		 struct policy_applied *ret, struct err *e);

/*
 * The same of a container that another runtime makes, and limits itself: its policy is `text` (NULL: none is given
 * this way), else what the sources have, else none at all, and there is always a document of it.
 */
int policy_apply_foreign(const struct policy_sources *from, const char *text, const char *ceiling,
			 struct policy_applied *ret, struct err *e);
void policy_applied_fini(struct policy_applied *a);

/* --publish: adds rules for these to a policy's document (policy_publish.c). Of none it makes one. */
int policy_publish(struct json_doc *doc, bool has_doc, const char *const *list, struct err *e);

#endif
