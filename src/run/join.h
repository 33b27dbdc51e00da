/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a container into namespaces that there are already. */
#ifndef VRUN_RUN_JOIN_H
#define VRUN_RUN_JOIN_H

#include "run/launch.h"

/*
 * Joins the namespaces that are given by path (ns_fds) and the supervisor's,
 * and goes on in another clone that has the new ones: setns to a pid namespace
 * moves only children, and a new user namespace would take the right to join
 * the others. That clone, too, has the monitor as its parent, which hears of it
 * (SYNC_PID). Nothing is done when there is nothing to join.
 */
int join_namespaces(const struct launch *l, int sync, const int *ns_fds, struct err *e);

#endif
