/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "In progress" for a wire that leads outside and cannot be replaced (limbo.h is
 * the same for TCP): it is connected to the supervisor, and full, so those who poll it
 * sleep and nobody can send. It opens when the supervisor reads what fills it.
 */
#ifndef VRUN_SUP_PLUG_H
#define VRUN_SUP_PLUG_H

#include <stddef.h>

#include "sup/guard.h"

/* The other end. */
struct plug {
	int fd;        /* owned; -1: none */
	size_t filler; /* bytes in it that are nobody's */
};

/* 0; -EMLINK: the wire was connected before, and never can be again; or -errno. */
int plug_enter(struct plug *p, const struct guard *g, int wire);
/* Opens it. Returns the descriptor, which is the caller's. */
int plug_open(struct plug *p);

#endif
