/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policies in force for a domain as lines of an answer (query.h): a text
 * may have megabytes, and a reader gets what there is room for. What is told is
 * a copy, so that the domain may get another policy, or end, meanwhile.
 */
#ifndef VRUN_SUP_TELLING_H
#define VRUN_SUP_TELLING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct domain;

#define TELLING_LINE_MAX 65536 /* bytes of one line at most */

/* Zeroed: nothing is being told. */
struct telling {
	char *text[2]; /* owned; the policy's and the ceiling's, or NULL */
	size_t at[2];
	json_t *hits;  /* owned; by the rules' ids */
	void *next;    /* of them */
	bool on;
};

/* Begins with what is in force now, and puts the names of both into the domain's line. -ENOMEM. */
int telling_begin(struct telling *t, const struct domain *d, json_t *line);
/* The next line, NULL without memory; the last one is {"whole": true}, and nothing is being told any more. */
json_t *telling_next(struct telling *t);
void telling_end(struct telling *t);

#endif
