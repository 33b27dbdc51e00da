/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going through the socket table together with the kernel's lists, in slices:
 * with a hundred thousand rows that takes a second, in which the loop serves
 * apps all the same. One at a time; others wait in line.
 *
 * A job hears of each row once: with what the kernel says of the socket, or
 * with NULL when it does not list it. It may hear NULL of a socket that is
 * there after all (sockdiag.h). Rows that come while it runs may be left out.
 * The kernel goes through the tables of the whole machine, so it is asked only
 * for kinds of sockets of which there are rows.
 */
#ifndef VRUN_SUP_SURVEY_H
#define VRUN_SUP_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "kern/sockdiag.h"
#include "sup/vsk.h"

#define SURVEY_ROWS 64 /* of a slice */

struct survey_job {
	TAILQ_ENTRY(survey_job) link;
	bool brief; /* which sockets there are is enough: no details, nothing of closed ones */
	/* There is room for another slice: SURVEY_ROWS rows, or as many as a message of the kernel's has. */
	bool (*ready)(struct survey_job *j);
	/* May free the row. */
	void (*row)(struct survey_job *j, struct vsk *v, const struct sockdiag_entry *e);
	void (*end)(struct survey_job *j); /* it is out of the line; may free the job */
};

struct survey {
	struct sockdiag diag;
	struct vsk_table *table; /* borrowed */
	TAILQ_HEAD(, survey_job) jobs;
	enum { SURVEY_IDLE, SURVEY_TCP, SURVEY_UNIX, SURVEY_TABLE, SURVEY_DRAIN } phase;
	uint32_t number;    /* of the running one, from 1 */
	bool whole[2];      /* by enum sockdiag_kind: its list came to its end */
	unsigned parts[2];  /* in which it came; in a single one nothing is left out */
	bool part_begun;    /* the part in work told of somebody */
	int64_t took;       /* microseconds of the processor that the slices before this one took */
	size_t bucket, n_buckets; /* of the table, in the last phase */
};

int survey_init(struct survey *s, struct vsk_table *t, struct err *e);
/* The jobs have to be out. */
void survey_fini(struct survey *s);

void survey_add(struct survey *s, struct survey_job *j);
/* Takes a job out of the line before its end, which it does not hear of. */
void survey_remove(struct survey *s, struct survey_job *j);

/* There is something to do now. */
bool survey_due(const struct survey *s);
/* One slice, if there is one to do. */
void survey_step(struct survey *s);

#endif
