/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of `vrun policy`, one file each, behind the table in cmd_policy.c. */
#ifndef VRUN_CLI_CMD_POLICY_H
#define VRUN_CLI_CMD_POLICY_H

#include "model/policy_attempt.h"

/* Arguments begin at argv[1]. 0: yes, 1: no, EXIT_VRUN: the question could not be answered. */
int policy_cmd_apply(int argc, char **argv);
int policy_cmd_check(int argc, char **argv);
int policy_cmd_diff(int argc, char **argv);
int policy_cmd_seccomp(int argc, char **argv);
int policy_cmd_show(int argc, char **argv);
int policy_cmd_suggest(int argc, char **argv);
int policy_cmd_test(int argc, char **argv);
int policy_cmd_why(int argc, char **argv);

/* bundle-spec/policy.schema.json, made into C by the build. */
extern const char policy_schema[];

/* Policies of a fabric, from files. Zeroed is empty. */
struct policy_files {
	struct policy *v;
	const struct policy **list; /* to each of v */
	size_t n;
};

/* Loads the files that a NULL-terminated list names. */
int policy_files_load(struct policy_files *f, const char *const *paths, struct err *e);
void policy_files_fini(struct policy_files *f);

/* For options that may be given again: appends to a NULL-terminated list on the heap. */
int policy_list_add(const char ***list, const char *item, struct err *e);

/* Prints the help of `vrun policy`; returns 0, or EXIT_VRUN when that fails. */
int policy_help(void);

#endif
