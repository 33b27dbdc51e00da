/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a person about what a run tries ("vrun learn --ask"): questions from its supervisor, answers by policies. */
#ifndef VRUN_CLI_PROMPT_H
#define VRUN_CLI_PROMPT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct prompt {
	const char *id, *root; /* of the run; root: NULL for the default */
	const char *policy;    /* the file of the policy that it was started with */
	const char *dir;       /* where policies may be written */
	pid_t pid;             /* of its launcher, a child of ours */
};

/* There is a terminal to ask on. */
bool prompt_possible(void);

/* Until the run ends. -errno with an error when nobody can be asked any more. */
int prompt_serve(const struct prompt *p, struct err *e);

/* Removes what that has written to the directory. */
void prompt_clean(const char *dir);

#endif
