/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `vrun supervise`, outside its supervisor: a process for each connection. Runs of vrun and
 * questions it hands on. For a container of another runtime it is what a monitor is for
 * one of vrun's: it finds the policy, starts the gateway, hands the container over, and stays
 * until that has ended. The supervisor has no say in any of it.
 */
#ifndef VRUN_CLI_ATTEND_H
#define VRUN_CLI_ATTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/control.h"

/*
 * The gateways of those who attend, in memory that they share and the supervisor does not have: who puts another
 * policy in force speaks to the gateway itself, and a supervisor that was taken over must not say which one that is.
 */
struct attend_slot {
	int ready; /* set last */
	char id[128];
	char control[CONTROL_NAME_SIZE];
	uint64_t since; /* ns: what a runtime has put into a container later has one of its own */
};

struct attend_params {
	struct attend_slot *slots; /* AGENT_PEERS_MAX */
	size_t slot;               /* of this one */
	int door;            /* of the supervisor (sup/door.h) */
	const char *policy;  /* file for every container, or NULL */
	const char *ceiling; /* file, or NULL: the system's */
	const char *record;  /* where each container's records get a directory, or NULL */
	uint64_t record_max; /* bytes of a file; 0: as many as without saying */
	bool closing;        /* who comes later finds nobody */
};

/*
 * What a hook says ahead of a container: this, with a pidfd of the container's first process beside its first
 * byte. While that lives somebody listens; the answer is a '+', or nothing where nobody will.
 */
#define ATTEND_EXPECT "{\"expect\":true}"

/* Which gateway a container has, asked by "vrun policy apply"; "" when it has none. */
#define ATTEND_GATEWAY_OF "gatewayOf"

/* The exit status of such a process. */
#define ATTEND_SERVED 0  /* a container, or one that was announced, until its end */
#define ATTEND_NOTHING 1 /* a question, somebody who hung up, or a container that was refused */

/* Takes a connection that was accepted, in a process of its own. */
int attend(const struct attend_params *p, int conn);

#endif
