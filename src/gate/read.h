/* SPDX-License-Identifier: Apache-2.0 */
/* The text from which a gateway decides, as the launcher gives it. */
#ifndef VRUN_GATE_READ_H
#define VRUN_GATE_READ_H

#include <stdbool.h>
#include <sys/types.h>

#include "model/policy.h"

/* {"policy": {"name", "text"}, "ceiling": ..., "owner": UID, "servers": "ADDRESS,..."}; without "ceiling" there is none. */
struct gate_text {
	struct policy policy, ceiling;
	bool has_ceiling;
	char *servers; /* owned; name servers with commas between them. NULL: those of this machine */
	int64_t owner; /* who may change the policy; -1: nobody but root */
};

/* Reads it from the descriptor to its end. -EINVAL with what is wrong. gate_text_fini() after success. */
int gate_text_read(struct gate_text *ret, int fd, struct err *e);
void gate_text_fini(struct gate_text *t);

#endif
