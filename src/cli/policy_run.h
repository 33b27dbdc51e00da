/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of "vrun policy" have in common that ask or change a sandbox that runs. */
#ifndef VRUN_CLI_POLICY_RUN_H
#define VRUN_CLI_POLICY_RUN_H

#include "cli/ask.h"

/* --json, --root, --supervisor, and one of the verb's own. */
struct policy_run {
	struct ask_whom whom; /* the id is the caller's to set */
	bool json;
	bool flag;         /* the verb's own was given */
	const char **list; /* owned; its values */
};

/*
 * Reads options; arguments are then from optind on. `own` is the verb's own
 * one, "dry-run", or "p:policy" for one that takes values and has a letter. -1: go
 * on; else what is the exit status.
 */
int policy_run_options(struct policy_run *r, int argc, char **argv, const char *own);
void policy_run_fini(struct policy_run *r);

/* Asks the supervisor of whom.id, as ask_question() does. -ENOTSUP with the hint when it has none. */
int policy_run_ask(const struct ask_whom *whom, json_t *question, int (*each)(void *ctx, json_t *o), void *ctx,
		   const char *hint, struct err *e);

#endif
