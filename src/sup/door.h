/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of `vrun supervise`: a process outside, which is called by runtimes and
 * runs, hands their connections in, one by one, over a socket pair (SOCK_SEQPACKET: a byte and a
 * descriptor). It decides what a container's policy is and starts its gateway, neither of
 * which a supervisor that was taken over should have a say in.
 */
#ifndef VRUN_SUP_DOOR_H
#define VRUN_SUP_DOOR_H

#include "sup/agent.h"

struct door {
	struct watch watch;
	struct agent *agent;
	int fd; /* owned; -1: there is none, or it is closed: nobody comes any more */
};

/* Takes the socket, on success; -1: a supervisor without one. 0 or -errno. */
int door_init(struct door *d, struct agent *a, int fd);
void door_fini(struct door *d);

#endif
