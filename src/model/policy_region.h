/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parties that two policies can tell apart. Every pattern of theirs makes
 * a region: what it matches and no narrower pattern does. All parties of a
 * region are decided on alike, so one stands for all of them.
 */
#ifndef VRUN_MODEL_POLICY_REGION_H
#define VRUN_MODEL_POLICY_REGION_H

#include "model/policy_decide.h"

struct policy_region {
	struct host_pattern pattern; /* what it is the rest of */
	bool is_rest;                /* narrower patterns are taken out of it */
	struct policy_party party;   /* one of it; points into the regions' arena */
	const char *words;           /* for people: "*.example.com", "any other domain" ... */
};

struct policy_regions {
	struct arena arena;
	struct policy_region *v;
	size_t n;
};

/*
 * The regions of what connect rules name (POLICY_CONNECT), or of what "from"
 * names in listen rules (POLICY_LISTEN). The caller calls policy_regions_fini().
 * -ENOMEM is the only failure.
 */
int policy_regions_make(struct policy_regions *ret, const struct policy *a, const struct policy *b,
			enum policy_op op, struct err *e);
void policy_regions_fini(struct policy_regions *r);

/* An address of `in` that is in none of the prefixes. False when they fill it. */
bool prefix_find_free(const struct prefix *in, const struct prefix *taken, size_t n, struct addr *ret);

#endif
