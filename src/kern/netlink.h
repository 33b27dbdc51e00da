/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces, addresses and routes of a network namespace over rtnetlink(7), through libnl-3. All of it acts on the calling
 * thread's network namespace. */
#ifndef VRUN_KERN_NETLINK_H
#define VRUN_KERN_NETLINK_H

#include <stddef.h>

#include "base/err.h"

/* Sets lo up and gives it the addresses ("10.88.0.10", "fd00::1/64"; no length means one host). */
int netlink_loopback_up(const char *const *addresses, size_t n, struct err *e);

/* Makes every IPv6 address one of this namespace's own: the route local ::/0 dev lo. */
int netlink_route_everything_local(struct err *e);

#endif
