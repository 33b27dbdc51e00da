/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile for other runtimes answers as vrun's own filter does: what
 * libseccomp makes of it is compared with what our compiler makes of the table,
 * for calls whose arguments are those of the rules, their neighbours, and others.
 */
#include "kern/profile_export.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "bpf_sim.h"
#include "kern/profile.h"
#include "kern/profile_oci.h"
#include "kern/traps.h"
#include "model/bundle.h"
#include "model/policy.h"
#include "tap.h"

#define ROUNDS 400000

static uint64_t seed = 88172645463325252U;

static uint64_t next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int load(const char *profile, struct profile_oci *ret, struct err *e)
{
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	struct bundle b;
	int len = asprintf(&text, "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"linux\":{\"seccomp\":%s}}", profile);
	int rc = json_doc_parse(&doc, "test", text, (size_t)len, e);

	if (rc < 0)
		return rc;
	rc = bundle_read(&b, "/bundle", &doc, e);
	json_doc_fini(&doc);
	if (rc < 0)
		return rc;
	rc = profile_oci_build(&b.seccomp, -1, ret, e);
	bundle_fini(&b);
	return rc;
}

/* A value that some rule compares with, or one beside it, or any. The high half is garbage now and then. */
static uint64_t argument(const struct bpf_table *t, uint32_t nr)
{
	const struct bpf_rule *r = &t->rules[next() % t->n_rules];
	uint64_t v = next() >> (next() % 64);

	for (int tries = 0; tries < 50 && (r->nr != nr || !r->n_conds); tries++)
		r = &t->rules[next() % t->n_rules];
	if (r->n_conds && next() % 8) {
		const struct bpf_cond *c = &r->conds[next() % r->n_conds];

		v = c->value + next() % 3 - 1;
		if (c->mask && next() % 2)
			v = c->mask & next();
	}
	return next() % 16 ? v & UINT32_MAX : v;
}

static bool is_named(int nr)
{
	AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

	return name != NULL;
}

static bool same(uint32_t ours, uint32_t theirs)
{
	uint32_t a = ours & SECCOMP_RET_ACTION_FULL, b = theirs & SECCOMP_RET_ACTION_FULL;

	/* Which error, is not always told. */
	return a == b;
}

static void compare(const struct bpf_table *t, const struct bpf_prog *ours, const struct bpf_prog *theirs, const char *what)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < ROUNDS && wrong < 5; i++) {
		struct seccomp_data d = { .arch = BPF_NATIVE_ARCH };
		uint32_t a, b;

		d.nr = next() % 4 ? (int)t->rules[next() % t->n_rules].nr : (int)(next() % 470);
		/* Vrun's own call, and those that are newer than libseccomp: they are not there then. */
		if (!is_named(d.nr))
			continue;
		for (int k = 0; k < 6; k++)
			d.args[k] = next() % 5 ? argument(t, (uint32_t)d.nr) : 0;
		a = bpf_sim_run(ours->v, ours->n, &d, NULL);
		b = bpf_sim_run(theirs->v, theirs->n, &d, NULL);
		if (same(a, b))
			continue;
		wrong++;
		printf("# call %d(%#llx, %#llx, %#llx, %#llx, %#llx, %#llx): ours %#x, exported %#x\n", d.nr,
			 (unsigned long long)d.args[0], (unsigned long long)d.args[1], (unsigned long long)d.args[2],
			 (unsigned long long)d.args[3], (unsigned long long)d.args[4], (unsigned long long)d.args[5], a, b);
	}
	TAP_OK(wrong == 0, "%s: the exported profile answers as the filter does", what);
}

static void check(unsigned needs, bool rules, enum profile_net net, const char *what)
{
	AUTO_FREE struct traps *traps = calloc(1, sizeof *traps);
	AUTO_FREE struct bpf_table *table = calloc(1, sizeof *table);
	struct profile_params params = { .net = net };
	struct bpf_prog ours = { 0 };
	struct profile_oci theirs = { 0 };
	AUTO_FREE char *text = NULL;
	json_t *profile = NULL;
	struct err e = { 0 };

	traps_rules(needs, traps);
	if (rules) {
		params.extra = traps->rules;
		params.n_extra = traps->n;
	}
	if (profile_default_table(&params, table, &e) < 0 || bpf_compile(table, &ours, &e) < 0 ||
	    profile_export(table, &profile, &e) < 0) {
		TAP_OK(false, "%s: %s", what, e.text);
		return;
	}
	if (rules)
		(void)json_object_set_new(profile, "listenerPath", json_string("/agent"));
	text = json_dumps(profile, JSON_COMPACT);
	json_decref(profile);
	if (load(text, &theirs, &e) < 0)
		TAP_OK(false, "%s: %s", what, e.text);
	else
		compare(table, &ours, &theirs.prog, what);
	bpf_prog_fini(&ours);
	bpf_prog_fini(&theirs.prog);
}

int main(void)
{
	check(0, true, PROFILE_NET_NONE, "rules");
	check(POLICY_NEEDS_UDP | POLICY_NEEDS_WIRE, true, PROFILE_NET_NONE, "rules with wires");
	check(0, false, PROFILE_NET_NONE, "no network");
	check(0, false, PROFILE_NET_LOOPBACK, "loopback");
	return tap_done();
}
