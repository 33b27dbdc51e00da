/* SPDX-License-Identifier: Apache-2.0 */
/* Removing a kept container with all that is left of it, whatever its processes were stopped in. */
#ifndef VRUN_RUN_DISCARD_H
#define VRUN_RUN_DISCARD_H

#include <stdbool.h>

#include "base/err.h"
#include "run/state.h"

/*
 * The container must be stopped; with `force` it is killed first. -EBUSY: it
 * is not stopped. -ENOENT: somebody else has removed it meanwhile. Of a
 * container that is not kept only the processes are ended, and with them all
 * the rest goes.
 */
int discard_container(int root_fd, const struct state_record *r, bool force, struct err *e);

#endif
