/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts and /etc/resolv.conf of an app with a supervisor. */
#ifndef VRUN_RUN_NETFILES_H
#define VRUN_RUN_NETFILES_H

#include "run/launch.h"

/*
 * Mounts files of vrun's own over both, inside the root (a mount's
 * descriptor): names are asked of the supervisor's resolver, which knows the
 * domains that come and go. What the bundle mounts there itself stays. A root
 * without the file, which cannot be written to, stays without.
 */
int netfiles_mount(const struct launch *l, int root, struct err *e);

#endif
