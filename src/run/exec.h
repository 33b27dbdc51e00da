/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more process in a container that runs: in its namespaces and its cgroup,
 * with an identity, capabilities and limits of its own, under the container's
 * filter, and served by the container's supervisor.
 */
#ifndef VRUN_RUN_EXEC_H
#define VRUN_RUN_EXEC_H

#include "run/launch.h"
#include "run/state.h"

struct exec_target {
	int state_fd;
	const struct state_record *record; /* of a container that runs */
	bool detach;                       /* return when the program has been executed */
	struct bundle_user user;           /* the new process' */
};

/*
 * `l` is the plan of the container, made with the new process in its bundle
 * but for the user. 0 with the program's exit code (0 when detached); or
 * -errno with 255, 126 or 127.
 */
int exec_run(struct launch *l, const struct exec_target *t, int *ret_exit_code, struct err *e);

#endif
