/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that no rule allows and that wait for a person's word ("vrun learn
 * --ask"). A question is about the rule that would allow it, so calls that the
 * same rule would allow wait for one answer. Yes is said by a policy that
 * allows it and is in force before the answer; the call is then made anew, as if
 * it had just come, and decided like any other. No is remembered.
 */
#ifndef VRUN_SUP_ASKS_H
#define VRUN_SUP_ASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "model/policy_decide.h"

struct call;
struct domain;
struct listener;

#define ASKS_MAX 512       /* questions of a domain; what comes then is denied */
#define ASKS_CALLS_MAX 1024 /* that wait */

struct ask_call;

struct ask {
	STAILQ_ENTRY(ask) link;
	uint32_t number;
	bool denied; /* it was answered so */
	char *line;  /* owned, as the next one */
	char *text;  /* JSON with the end of its line, for who is to answer */
	STAILQ_HEAD(, ask_call) calls;
};

struct asks {
	STAILQ_HEAD(, ask) all;
	uint32_t n, n_calls;
};

struct asks *asks_new(void);
void asks_free(struct asks *a); /* NULL is fine. Calls that wait are let go: their domain is gone */

/* Whether the call waits now: the verdict is a denial that a rule could turn, and nobody has said no. */
bool asks_hold(const struct call *c, const struct policy_attempt *at, const struct policy_verdict *v);

/* The answer to a question: its calls are made anew. -ENOENT: there is no such question. */
int asks_answer(struct domain *d, uint32_t number, bool allow);

/* Its process has ended, and nobody waits for calls that came by it. NULL is fine. */
void asks_forget(struct asks *a, const struct listener *l);

#endif
