/* SPDX-License-Identifier: Apache-2.0 */
/* The last audit records of a domain, for "vrun log": the oldest go when there are too many. */
#ifndef VRUN_SUP_TRAIL_H
#define VRUN_SUP_TRAIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define TRAIL_RECORDS 512
#define TRAIL_BYTES 262144

struct trail_record {
	STAILQ_ENTRY(trail_record) link;
	size_t len;
	char text[]; /* one JSON object and the end of its line */
};

/* Zeroed is not enough: trail_init(). */
struct trail {
	STAILQ_HEAD(, trail_record) records; /* the oldest first */
	size_t n, bytes;
	uint64_t dropped; /* for want of room or memory */
};

void trail_init(struct trail *t);
void trail_fini(struct trail *t);
void trail_add(struct trail *t, const char *line, size_t len);

#endif
