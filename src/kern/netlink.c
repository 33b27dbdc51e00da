/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/netlink.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>

#define LO_INDEX 1 /* the first interface of every namespace (drivers/net/loopback.c) */

static int nl_failed(int rc, struct err *e, const char *what)
{
	return err_set(e, rc == -NLE_PERM ? EPERM : EIO, "%s: %s", what, nl_geterror(rc));
}

static int set_up(struct nl_sock *sock, struct err *e)
{
	struct ifinfomsg msg = { .ifi_family = AF_UNSPEC,
				 .ifi_index = LO_INDEX,
				 .ifi_flags = IFF_UP,
				 .ifi_change = IFF_UP };
	int rc = nl_send_simple(sock, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &msg, sizeof msg);

	if (rc >= 0)
		rc = nl_wait_for_ack(sock);
	return rc < 0 ? nl_failed(rc, e, "setting the loopback interface up") : 0;
}

static int add_address(struct nl_sock *sock, const char *text, struct err *e)
{
	struct rtnl_addr *addr = rtnl_addr_alloc();
	struct nl_addr *local = NULL;
	int rc = nl_addr_parse(text, AF_UNSPEC, &local);

	if (addr && rc >= 0) {
		rtnl_addr_set_ifindex(addr, LO_INDEX);
		rc = rtnl_addr_set_local(addr, local);
		if (rc >= 0)
			rc = rtnl_addr_add(sock, addr, NLM_F_CREATE);
	}
	nl_addr_put(local);
	rtnl_addr_put(addr);
	if (!addr)
		return err_num(e, ENOMEM, "address %s", text);
	return rc < 0 && rc != -NLE_EXIST ? nl_failed(rc, e, text) : 0;
}

int netlink_loopback_up(const char *const *addresses, size_t n, struct err *e)
{
	struct nl_sock *sock = nl_socket_alloc();
	int rc;

	if (!sock)
		return err_num(e, ENOMEM, "netlink socket");
	rc = nl_connect(sock, NETLINK_ROUTE);
	if (rc < 0)
		rc = nl_failed(rc, e, "netlink socket");
	else
		rc = set_up(sock, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = add_address(sock, addresses[i], e);
	nl_socket_free(sock);
	return rc;
}

static int route_everything(struct nl_sock *sock, struct err *e)
{
	const struct rtmsg route = { .rtm_family = AF_INET6,
				     .rtm_table = RT_TABLE_LOCAL,
				     .rtm_protocol = RTPROT_BOOT,
				     .rtm_scope = RT_SCOPE_HOST,
				     .rtm_type = RTN_LOCAL };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWROUTE, NLM_F_CREATE);
	int rc = msg ? nlmsg_append(msg, (void *)(uintptr_t)&route, sizeof route, NLMSG_ALIGNTO) : -NLE_NOMEM;

	if (rc >= 0)
		rc = nla_put_u32(msg, RTA_OIF, LO_INDEX);
	if (rc >= 0) {
		rc = nl_send_sync(sock, msg); /* frees the message */
		msg = NULL;
	}
	nlmsg_free(msg);
	return rc < 0 ? nl_failed(rc, e, "route to every address by lo") : 0;
}

int netlink_everything_local(int *ret_sock, struct err *e)
{
	struct nl_sock *sock = nl_socket_alloc();
	int rc;

	if (!sock)
		return err_num(e, ENOMEM, "netlink socket");
	rc = nl_connect(sock, NETLINK_ROUTE);
	rc = rc < 0 ? nl_failed(rc, e, "netlink socket") : set_up(sock, e);
	if (rc == 0)
		rc = route_everything(sock, e);
	if (rc == 0) {
		*ret_sock = fcntl(nl_socket_get_fd(sock), F_DUPFD_CLOEXEC, 3);
		rc = *ret_sock < 0 ? err_sys(e, "netlink socket") : 0;
	}
	nl_socket_free(sock);
	return rc;
}
