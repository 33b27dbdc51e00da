/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that a domain tried and that others tried with it, each thing
 * once: what "vrun learn" makes a policy of. Kept for a domain whose launcher
 * asks for it, and told at its end.
 */
#ifndef VRUN_SUP_ATTEMPTS_H
#define VRUN_SUP_ATTEMPTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct addr;
struct audit_record;
struct domain;
struct policy_attempt;
struct policy_verdict;

#define ATTEMPTS_BYTES 98304 /* of all of them: the end of a domain is told in one message */
#define ATTEMPTS_BUCKETS 256

struct attempt_seen {
	SLIST_ENTRY(attempt_seen) link;
	STAILQ_ENTRY(attempt_seen) order;
	uint64_t hash, count;
	char text[]; /* a JSON object without its brace: a count follows */
};

/* Zeroed is not enough: attempts_new(). */
struct attempts {
	SLIST_HEAD(, attempt_seen) buckets[ATTEMPTS_BUCKETS];
	STAILQ_HEAD(, attempt_seen) all; /* in the order of their first time */
	size_t bytes;
	uint64_t others; /* that found no room */
};

struct attempts *attempts_new(void);
void attempts_free(struct attempts *a); /* NULL is fine */

/* Something was decided: what it is for the domain, and for the other one of the fabric. Either may not want to know. */
void attempts_note(const struct audit_record *r);

/* A name that a rule allows was looked up: only what is denied is on record. */
void attempts_looked_up(struct domain *d, const struct policy_attempt *at, const struct policy_verdict *v);

/*
 * A name was connected to at this address: one that is not public needs a rule
 * of its own. Does nothing for a domain that nobody asks about.
 */
void attempts_address(struct domain *d, const struct policy_attempt *at, const struct addr *address);

/*
 * A JSON array of {"decision", "reason", "what", "peer", "attempt", "line" or
 * "why", "program", "count"}, the last one {"others": N}. The caller frees;
 * NULL without memory.
 */
char *attempts_text(const struct attempts *a);

#endif
