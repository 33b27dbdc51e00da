/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network that an engine has made for a container, a pod's for instance. An app with a policy has a network
 * namespace of its own, so that rules hold; what the engine has made is where its gateway is: the outside.
 */
#ifndef VRUN_RUN_OUTSIDE_H
#define VRUN_RUN_OUTSIDE_H

#include "base/addr.h"
#include "run/launch.h"

#define OUTSIDE_SERVERS 3 /* resolv.conf(5): MAXNS */
#define OUTSIDE_SERVERS_MAX ((size_t)OUTSIDE_SERVERS * (ADDR_TEXT_MAX + 1))

/* Before namespaces are planned: takes the network namespace that the bundle joins by path for l->outside, when its
 * policy needs one of its own. Only for an engine's containers: elsewhere a bundle would choose what an address that
 * the policy names leads to. */
void outside_plan(struct launch *l);

/* Opens l->outside. *ret_fd is -1 when the outside is the caller's own network. */
int outside_open(const struct launch *l, int *ret_fd, struct err *e);

/* The name servers of that network, by the resolv.conf that the engine mounts into the container: addresses with commas
 * between them, or "" when it names none, or the outside is the caller's own. */
void outside_servers(const struct launch *l, char ret[static OUTSIDE_SERVERS_MAX]);

/* The container that an engine makes first in a pod, to hold its namespaces; nothing of the pod's runs in it. */
bool outside_is_sandbox(const struct bundle *b);

#endif
