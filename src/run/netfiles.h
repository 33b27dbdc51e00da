/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts and /etc/resolv.conf of an app with a supervisor. */
#ifndef VRUN_RUN_NETFILES_H
#define VRUN_RUN_NETFILES_H

#include "run/launch.h"

#define NETFILES_RESOLV_CONF "/etc/resolv.conf"

/*
 * Mounts files of vrun's own over both, inside the root (a mount's
 * descriptor): names are asked of the supervisor's resolver, which knows the
 * domains that come and go. What the bundle mounts there itself stays, but for an engine's
 * resolv.conf whose servers are the gateway's to ask (outside.h). A root
 * without the file, which cannot be written to, stays without.
 */
int netfiles_mount(const struct launch *l, int root, struct err *e);

#endif
