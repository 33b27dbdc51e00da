/* SPDX-License-Identifier: Apache-2.0 */
/* Files for "record" of rules, in the directory that the caller of a run gives (sup/tape.h writes them). */
#ifndef VRUN_RUN_RECORDS_H
#define VRUN_RUN_RECORDS_H

#include <stdbool.h>

#include "model/policy.h"
#include "run/launch.h"

#define RECORD_MAX_DEFAULT (UINT64_C(1) << 30) /* bytes of a file */

struct records {
	int dir; /* owned; -1: none */
	int n;
	struct policy_record_file files[POLICY_RECORDS_MAX];
	int fds[POLICY_RECORDS_MAX]; /* owned */
};

/* Whether there are any, or would be if they were not in contradiction. */
bool records_wanted(const struct launch *l);

/* Whether the policy's records have a place, and can be made there: before a process is. -ENOTSUP: they have none. */
int records_check(const struct launch *l, struct err *e);

/*
 * Makes the files of the policy and its ceiling, empty and for the caller alone.
 * None is there already: -EEXIST. A directory that the app could write to is
 * refused. records_fini() afterwards, records_remove() before it when they are for nothing.
 */
int records_open(struct records *r, const struct launch *l, struct err *e);
void records_remove(struct records *r);
void records_fini(struct records *r);

#endif
