/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions in words: one voice for audit records, summaries, `policy why` and
 * the errors of a run. Texts are safe for a terminal.
 */
#ifndef VRUN_MODEL_POLICY_EXPLAIN_H
#define VRUN_MODEL_POLICY_EXPLAIN_H

#include "model/policy_decide.h"

#define EXPLAIN_TEXT_MAX 768

/*
 * What was tried: "connect to db:5432/tcp (10.88.0.11)", "listen at :8080/tcp",
 * "accept from lb at :8080/tcp", "look up api.example.com". Returns buf.
 */
const char *policy_attempt_text(const struct policy_attempt *a, char *buf, size_t size);

/* Who it was about: "db", "api.example.com", "10.0.0.1", "host". Returns buf. */
const char *policy_party_text(const struct policy_party *peer, char *buf, size_t size);

/* Why: "allowed by rule db (web.json:9)", "denied: no rule of web.json allows it" ... Returns buf. */
const char *policy_verdict_text(const struct policy_verdict *v, const struct policy_attempt *a,
				char *buf, size_t size);

/* "rule", "own", "default", "address", "host", "net-none", "net-loopback"; never NULL. */
const char *policy_reason_name(enum policy_reason r);

enum policy_remedy {
	REMEDY_NONE,    /* no policy could */
	REMEDY_ADD,     /* add the line to "rules" */
	REMEDY_NET,     /* make "net" an object and add the line */
	REMEDY_RULE,    /* a rule stands in the way: take it out or make it narrower */
	REMEDY_REPLACE, /* the same, and add the line */
};

struct policy_advice {
	enum policy_remedy remedy;
	char line[512];                  /* with ADD, NET and REPLACE: the JSON of one rule */
	char text[2 * EXPLAIN_TEXT_MAX]; /* the same as a sentence */
};

/*
 * The smallest change of the verdict's policy that turns the verdict: that
 * allows what is denied, or denies what is allowed.
 */
void policy_advise(const struct policy_verdict *v, const struct policy_attempt *a,
		   struct policy_advice *ret);

/* The rule that allows just this attempt, as JSON; "" when there is none. Returns buf. */
const char *policy_attempt_rule(const struct policy_verdict *v, const struct policy_attempt *a, char *buf,
				size_t size);

/* What the rule that decides has for people, or NULL. */
const char *policy_verdict_message(const struct policy_verdict *v);

#endif
