/* SPDX-License-Identifier: Apache-2.0 */
/* What was denied to a domain, each thing once: what a run says when it ends. */
#ifndef VRUN_SUP_SUMMARY_H
#define VRUN_SUP_SUMMARY_H

#include <stdint.h>

struct audit_record;
struct domain;

#define SUMMARY_MAX 16 /* different things that are kept; of the others only the number */

struct summary {
	struct summary_entry {
		char call[24];
		char *attempt; /* owned, as is all below: "connect to db:5432/tcp" */
		char *file;    /* the policy that says no */
		char *advice, *line; /* what would allow it; the line may be NULL */
		char *message; /* of the rule that denies, or NULL */
		uint64_t count;
	} v[SUMMARY_MAX];
	unsigned n;
	uint64_t denied, others; /* all; those of things that found no room */
};

/* Zeroed is empty. */
void summary_add(struct summary *s, const struct audit_record *r);
void summary_fini(struct summary *s);

/*
 * One JSON object, which the caller frees: {"denied": N, "list": [{"call",
 * "attempt", "count", "policy", "advice", "line", "message"} ...], "others": N}. NULL
 * when nothing was denied, or without memory.
 */
char *summary_json(const struct domain *d);

#endif
