/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy newly allows and newly denies against another, by meaning:
 * rules that are written otherwise and decide alike make no difference.
 *
 * What host names resolve to is not enumerated: a change of address rules
 * shows as a change for these addresses.
 */
#ifndef VRUN_MODEL_POLICY_DIFF_H
#define VRUN_MODEL_POLICY_DIFF_H

#include "model/policy_region.h"

enum change_kind {
	CHANGE_ALLOWED, /* newly allowed */
	CHANGE_DENIED,  /* newly denied */
	CHANGE_OPTIONS, /* allowed by both, under other options */
	CHANGE_SETTING, /* anything but rules */
};

struct policy_change {
	enum change_kind kind;
	/* Not for CHANGE_SETTING: */
	enum attempt_kind what; /* CONNECT, LISTEN or ACCEPT */
	enum policy_proto proto;
	struct port_set ports;
	const struct policy_region *who; /* to whom, from whom; NULL for LISTEN */
	const struct addr *at;           /* LISTEN and ACCEPT: one address of the domain; NULL: any other */
	/* For people: "connect to db:5432/tcp". */
	const char *text;
};

struct policy_changes {
	struct arena arena;
	struct policy_regions to, from;
	struct policy_change *v;
	size_t n;
};

/* From a to b. The caller calls policy_changes_fini(). -ENOMEM is the only failure. */
int policy_diff(struct policy_changes *ret, const struct policy *a, const struct policy *b,
		struct err *e);
void policy_changes_fini(struct policy_changes *c);

#endif
