/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is learned over a policy that is there: its rules stay, and take in what
 * was seen where one of them differs in its ports, peers or protocols alone. So
 * runs that follow each other give the policy that one run would have given.
 */
#ifndef VRUN_MODEL_LEARNED_BASE_H
#define VRUN_MODEL_LEARNED_BASE_H

#include "model/learned.h"
#include "model/policy_edit.h"

/* What this run needed of a rule of the base. */
struct base_use {
	uint64_t connected; /* or came in, or listened */
	uint64_t looked_up;
};

struct learned_base {
	struct policy *policy; /* borrowed; its arena is used */
	const struct json_doc *doc;
	struct base_use *use;       /* borrowed; of each rule */
	struct policy_swap *swaps;  /* owned, and so are their texts */
	size_t n_swaps;
};

/*
 * Marks what fits into rules of the base in l->rules, which are merged, and
 * says in l->folded and l->idle what became of the base. learned_base_fini()
 * in any case. -ENOMEM.
 */
int learned_base_fold(struct learned_base *b, struct learned *l, struct err *e);
/* The base's own comment, when a run wrote it, with the new one's command added. -ENOMEM. */
int learned_base_comment(struct learned_base *b, const char *comment, struct err *e);
void learned_base_fini(struct learned_base *b);

#endif
