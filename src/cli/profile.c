/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "kern/profile.h"
#include "kern/profile_export.h"
#include "kern/profile_oci.h"
#include "kern/traps.h"
#include "model/bundle.h"
#include "model/policy.h"

/* The launcher's filter for such a policy; see plan_filter() in run/launch_plan.c. */
int profile_of_policy(const struct policy *p, json_t **ret, struct err *e)
{
	AUTO_FREE struct traps *traps = calloc(1, sizeof *traps);
	AUTO_FREE struct bpf_table *table = calloc(1, sizeof *table);
	struct profile_params params = { .net = p->net == POLICY_NET_LOOPBACK ? PROFILE_NET_LOOPBACK : PROFILE_NET_NONE };
	int rc;

	if (!traps || !table)
		return err_num(e, ENOMEM, "profile");
	if (p->net == POLICY_NET_RULES) {
		traps_rules(policy_needs(p), traps);
		params.extra = traps->rules;
		params.n_extra = traps->n;
	}
	rc = profile_default_table(&params, table, e);
	return rc < 0 ? rc : profile_export(table, ret, e);
}

/* As a runtime reads it: in a configuration that has nothing else. */
static int read_back(json_t *profile, struct bundle *ret)
{
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	json_t *all;
	int rc;

	(void)json_object_set_new(profile, "listenerPath", json_string("/"));
	all = json_pack("{s:s, s:{s:[s], s:s}, s:{s:s}, s:{s:o}}", "ociVersion", "1.2.0", "process", "args", "-", "cwd", "/",
			"root", "path", "-", "linux", "seccomp", profile);
	text = all ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	rc = text ? json_doc_parse(&doc, "profile", text, strlen(text), NULL) : -ENOMEM;
	if (rc < 0)
		return rc;
	rc = bundle_read(ret, "/", &doc, NULL);
	json_doc_fini(&doc);
	return rc;
}

bool profile_is_ours(const struct bundle_seccomp *s, const struct policy *p)
{
	struct profile_oci own = { .flags = 0 }, theirs = { .flags = 0 };
	struct bundle b = { .dir = NULL };
	json_t *profile = NULL;
	bool same = false;

	if (!s->given || profile_of_policy(p, &profile, NULL) < 0 || read_back(profile, &b) < 0)
		return false;
	if (profile_oci_build(&b.seccomp, -1, &own, NULL) == 0 && profile_oci_build(s, -1, &theirs, NULL) == 0)
		same = own.prog.n == theirs.prog.n && memcmp(own.prog.v, theirs.prog.v, own.prog.n * sizeof *own.prog.v) == 0;
	bpf_prog_fini(&own.prog);
	bpf_prog_fini(&theirs.prog);
	bundle_fini(&b);
	return same;
}
