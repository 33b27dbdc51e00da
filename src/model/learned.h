/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what an app tried to a policy that allows just that: what is taken into
 * it, what is worth a look, and what nobody but a person may decide.
 */
#ifndef VRUN_MODEL_LEARNED_H
#define VRUN_MODEL_LEARNED_H

#include <stdio.h>

#include "model/json.h"
#include "model/proposal.h"

/* Zeroed is empty; learned_fini() frees. */
struct learned {
	struct proposal rules;
	json_t *looked_up; /* owned; object: names that were looked up and not connected to */
	json_t *refused; /* owned; array of texts: denied by rules of the base, or not to be allowed at all */
	json_t *folded;    /* owned; array: rules of the base that have taken something in */
	json_t *idle;      /* owned; array: allows of the base that nothing needed, the first of them */
	size_t n_kept, n_idle;
	bool asked;        /* what was denied was denied by a person, and is not learned */
	uint64_t attempts; /* all */
	uint64_t others;   /* that found no room, and are not among the rules */
};

/* Takes the array that "vrun run --attempts" writes (sup/attempts.h). -EINVAL for what is none. */
int learned_take(struct learned *l, const json_t *attempts, struct err *e);
void learned_fini(struct learned *l);

/*
 * The base's text with what it does not allow, in its rules or in new ones, or a new policy with
 * the comment. l->rules is then what was added, merged. The caller frees.
 */
int learned_write(struct learned *l, const struct json_doc *base, const char *comment, char **ret_text,
		  struct err *e);

/* For a person, a line each, after learned_write(): what was added, seen once, unusual, not generalised, refused. */
void learned_report(const struct learned *l, FILE *f);

/* --- for learned_base.c ---------------------------------------------------------------- */

#define LEARNED_ON "Learned on "
#define LEARNED_READ_IT ". Read it before you use it."
#define LEARNED_GUESS "only looked up, so the port is a guess"

/* "seen once; an address without a name", or "". `guess`: its port is one, whatever l has seen. */
const char *learned_remark(const struct learned *l, const struct proposal_part *t, bool guess, char *buf, size_t size);
/* It is the second half of such a remark. */
bool learned_is_unusual(const char *text);
/* A rule's line with a comment; NULL or "": without. The caller frees. -ENOMEM. */
int learned_comment_line(const char *comment, const char *line, char **ret, struct err *e);

#endif
