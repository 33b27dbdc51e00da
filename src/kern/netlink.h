/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces, addresses and routes of a network namespace over rtnetlink(7), through libnl-3. All of it acts on the calling
 * thread's network namespace. */
#ifndef VRUN_KERN_NETLINK_H
#define VRUN_KERN_NETLINK_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

/* Sets lo up and gives it the addresses ("10.88.0.10", "fd00::1/64"; no length means one host). */
int netlink_loopback_up(const char *const *addresses, size_t n, struct err *e);

/*
 * Refuses a namespace that others could be reached through: -EEXIST when an
 * interface but lo is up.
 */
int netlink_check_empty(struct err *e);

/* One end of a veth pair. Neither has ARP, multicast or link-local addresses. */
struct netlink_veth {
	const char *name;
	int index;      /* of the interface */
	uint8_t mac[6];
};
/*
 * Makes a pair with `here` in this namespace, where its index is free, and
 * `there` in that of ns_fd, with its index or the next one that is free, and
 * sets `here` up. -EOPNOTSUPP with a hint when the kernel has no veth.
 */
int netlink_veth_make(const struct netlink_veth *here, struct netlink_veth *there, int ns_fd, struct err *e);
/*
 * Sets lo up and, in the namespace of that end, the end, gives it the addresses
 * and routes everything through it, from the first of each family; sending to
 * many is prohibited (EACCES). NULL: the addresses are lo's, and there are no routes.
 */
int netlink_domain(const struct netlink_veth *end, const struct addr *addresses, size_t n, struct err *e);

/*
 * Sets lo up and makes every IPv6 address one of this namespace's own: the route local ::/0 dev lo.
 * *ret_sock is the socket that it took: the kernel counts a netlink socket of the namespace for some
 * time after it was closed, so who counts sockets there has to keep it open.
 */
int netlink_everything_local(int *ret_sock, struct err *e);

#endif
