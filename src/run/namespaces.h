/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces of a container: which clone(2) makes, which the container makes or joins itself, and what is
 * set inside them (namespaces(7), time_namespaces(7)). */
#ifndef VRUN_RUN_NAMESPACES_H
#define VRUN_RUN_NAMESPACES_H

#include "run/launch.h"

/* Flags for the clone that is the container. */
uint64_t namespaces_clone_flags(const struct launch *l);

/* Opens the namespaces that the bundle joins by path, checking their kinds. ret_fds[NS_KINDS], -1 where none; the caller's. */
int namespaces_open(const struct bundle *b, int ret_fds[static NS_KINDS], struct err *e);

/* One namespace that must be of that kind; the caller's. */
int namespaces_open_one(enum ns_kind kind, const char *path, int *ret_fd, struct err *e);

/* Before that clone, by a process that is made for it: joins what is given by path. A user namespace comes
 * first, for it gives the right to join others; without one they are joined with the caller's rights,
 * before a new user namespace takes these away. */
int namespaces_join(const struct bundle *b, const int fds[static NS_KINDS], struct err *e);

/* In the container: joins the network namespace that the keeper makes, waiting for it. Does nothing when that
 * has been done or another one is used. */
int namespaces_join_network(struct launch *l, struct err *e);

/* In the container, after the monitor has put it into its cgroup. */
int namespaces_enter_cgroup(const struct launch *l, struct err *e);

/* In the container: hostname, domainname, sysctls. proc_fd: a /proc seen from the new namespaces. */
int namespaces_set_up(struct launch *l, struct err *e);

/* Refuses sysctls that are not of a namespace of the container's own. */
int namespaces_check_sysctl(const struct bundle *b, struct err *e);

#endif
