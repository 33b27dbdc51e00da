/* SPDX-License-Identifier: Apache-2.0 */
/* The audit stream: what was tried and what was decided. */
#ifndef VRUN_SUP_AUDIT_H
#define VRUN_SUP_AUDIT_H

#include <sys/types.h>

#include "model/policy_decide.h"

struct domain;

/* Borrowed for the callback. */
struct audit_record {
	const struct domain *domain;
	pid_t pid;        /* of the thread, as the supervisor sees it */
	const char *call; /* "connect" */
	const struct policy_attempt *attempt;
	const struct policy_verdict *verdict;
	const char *line; /* audit_json() of it, for those who are told; NULL before */
};

/*
 * One JSON object in a line, with its end; the caller frees. Members: time,
 * id, domain, pid, program, call, attempt, and the same in parts (what, proto,
 * port, peer, address, local, tls: the server name of its ClientHello), decision, reason, rule, message (of the rule), generation, why, policy
 * (the file whose decision it is), line (the JSON rule that allows or would
 * allow just this), and for a denial advice, and in also the attempt, policy,
 * advice and line of the other domain when that one denies it too. Strings that come from an app are
 * escaped as JSON has it. NULL without memory.
 */
char *audit_json(const struct audit_record *r);

#endif
