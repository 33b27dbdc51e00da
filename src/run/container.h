/* SPDX-License-Identifier: Apache-2.0 */
/* The container's side of a launch, from the clone to the exec. */
#ifndef VRUN_RUN_CONTAINER_H
#define VRUN_RUN_CONTAINER_H

#include <signal.h>

#include "run/launch.h"

/* Runs in the clone. `sync`: the container's end; ns_fds: of namespaces_open(); mask: the signal mask
 * for the app. Never returns. */
void container_main(struct launch *l, int sync, const int *ns_fds, const sigset_t *mask)
	__attribute__((noreturn));

#endif
