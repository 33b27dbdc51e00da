/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces between two namespaces; messages as rtnetlink(7) and linux/veth.h have them. */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>

#include "base/addr.h"
#include "kern/netlink.h"

/* The largest there is: no datagram that an app can send over IPv4 is cut into fragments. */
#define VETH_MTU 65535
#define LO_INDEX 1     /* the first interface of every namespace (drivers/net/loopback.c) */
#define SETTABLE (IFF_UP | IFF_NOARP | IFF_MULTICAST)
#define INDEX_TRIES 64

static int failed(int rc, struct err *e, const char *what)
{
	return err_set(e, rc == -NLE_PERM ? EPERM : rc == -NLE_NOMEM ? ENOMEM : EIO, "%s: %s", what,
		       nl_geterror(rc));
}

static int open_socket(struct nl_sock **ret, struct err *e)
{
	struct nl_sock *sock = nl_socket_alloc();
	int rc = sock ? nl_connect(sock, NETLINK_ROUTE) : -NLE_NOMEM;

	if (rc < 0) {
		nl_socket_free(sock);
		return failed(rc, e, "netlink socket");
	}
	*ret = sock;
	return 0;
}

static struct nl_msg *begin(int type, int flags, const void *head, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (msg && nlmsg_append(msg, (void *)(uintptr_t)head, len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* Sends a message that was put together without an error so far, and frees it. */
static int finish(struct nl_sock *sock, struct nl_msg *msg, int rc)
{
	if (!msg)
		return -NLE_NOMEM;
	if (rc == 0)
		return nl_send_sync(sock, msg);
	nlmsg_free(msg);
	return rc;
}

/* --- what is there ------------------------------------------------------------- */

static int look(struct nl_msg *msg, void *arg)
{
	const struct ifinfomsg *m = nlmsg_data(nlmsg_hdr(msg));

	if ((m->ifi_flags & IFF_UP) && !(m->ifi_flags & IFF_LOOPBACK))
		*(int *)arg = m->ifi_index;
	return NL_OK;
}

int netlink_check_empty(struct err *e)
{
	const struct ifinfomsg all = { .ifi_family = AF_UNSPEC };
	struct nl_sock *sock = NULL;
	int rc = open_socket(&sock, e), found = 0;

	if (rc < 0)
		return rc;
	rc = nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, look, &found);
	if (rc >= 0)
		rc = nl_send_simple(sock, RTM_GETLINK, NLM_F_DUMP, (void *)(uintptr_t)&all, sizeof all);
	if (rc >= 0)
		rc = nl_recvmsgs_default(sock);
	nl_socket_free(sock);
	if (rc < 0)
		return failed(rc, e, "listing interfaces");
	if (found)
		return err_set(e, EEXIST, "its network namespace has interface %d beside lo", found);
	return 0;
}

/* --- making a pair --------------------------------------------------------------- */

static int put_end(struct nl_msg *msg, const struct netlink_veth *end)
{
	int rc = nla_put_string(msg, IFLA_IFNAME, end->name);

	if (rc == 0)
		rc = nla_put_u32(msg, IFLA_MTU, VETH_MTU);
	return rc == 0 ? nla_put(msg, IFLA_ADDRESS, sizeof end->mac, end->mac) : rc;
}

static int put_peer(struct nl_msg *msg, const struct netlink_veth *end, int ns_fd)
{
	struct nlattr *peer = nla_nest_start(msg, VETH_INFO_PEER);
	struct ifinfomsg m = { .ifi_index = end->index, .ifi_flags = IFF_NOARP, .ifi_change = SETTABLE };
	int rc = peer ? nlmsg_append(msg, &m, sizeof m, NLMSG_ALIGNTO) : -NLE_NOMEM;

	if (rc == 0)
		rc = put_end(msg, end);
	if (rc == 0)
		rc = nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)ns_fd);
	return rc == 0 ? nla_nest_end(msg, peer) : rc;
}

static int make(struct nl_sock *sock, const struct netlink_veth *here, const struct netlink_veth *there,
		int ns_fd)
{
	const struct ifinfomsg m = { .ifi_index = here->index, .ifi_flags = IFF_NOARP, .ifi_change = SETTABLE };
	struct nl_msg *msg = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof m);
	struct nlattr *info, *data;
	int rc = msg ? put_end(msg, here) : -NLE_NOMEM;

	if (rc == 0 && (!(info = nla_nest_start(msg, IFLA_LINKINFO)) ||
			nla_put_string(msg, IFLA_INFO_KIND, "veth") < 0 ||
			!(data = nla_nest_start(msg, IFLA_INFO_DATA))))
		rc = -NLE_NOMEM;
	if (rc == 0)
		rc = put_peer(msg, there, ns_fd);
	if (rc == 0) {
		(void)nla_nest_end(msg, data);
		(void)nla_nest_end(msg, info);
	}
	return finish(sock, msg, rc);
}

/* Without addresses of its own making, which would be announced; then up. */
static int set_up(struct nl_sock *sock, int index)
{
	struct ifinfomsg m = { .ifi_index = index };
	struct nl_msg *msg = begin(RTM_NEWLINK, 0, &m, sizeof m);
	struct nlattr *spec = msg ? nla_nest_start(msg, IFLA_AF_SPEC) : NULL;
	struct nlattr *inet6 = spec ? nla_nest_start(msg, AF_INET6) : NULL;
	int rc = inet6 ? nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) : -NLE_NOMEM;

	if (rc == 0) {
		(void)nla_nest_end(msg, inet6);
		(void)nla_nest_end(msg, spec);
	}
	rc = finish(sock, msg, rc);
	if (rc < 0)
		return rc;
	m.ifi_flags = m.ifi_change = IFF_UP;
	return finish(sock, begin(RTM_NEWLINK, 0, &m, sizeof m), 0);
}

int netlink_veth_make(const struct netlink_veth *here, struct netlink_veth *there, int ns_fd, struct err *e)
{
	struct nl_sock *sock = NULL;
	const int wanted = there->index;
	int rc = open_socket(&sock, e);

	if (rc < 0)
		return rc;
	rc = make(sock, here, there, ns_fd);
	/* Modules of tunnels put an interface into every namespace (net.core.fb_tunnels_only_for_init_net). */
	while (rc == -NLE_BUSY && there->index < wanted + INDEX_TRIES) {
		there->index++;
		rc = make(sock, here, there, ns_fd);
	}
	if (rc == -NLE_OPNOTSUPP) {
		rc = err_set(e, EOPNOTSUPP, "the kernel has no veth interfaces, which UDP needs");
		(void)err_hint(e, "as root: modprobe veth (the kernel's option CONFIG_VETH)");
	} else if (rc < 0) {
		rc = failed(rc, e, "making a veth pair");
	} else {
		rc = set_up(sock, here->index);
		rc = rc < 0 ? failed(rc, e, "setting a veth interface up") : 0;
	}
	nl_socket_free(sock);
	return rc;
}

/* --- in the app's namespace ------------------------------------------------------- */

static size_t size_of(const struct addr *a)
{
	return addr_is_v4(a) ? 4 : 16;
}

static const uint8_t *bytes_of(const struct addr *a)
{
	return addr_is_v4(a) ? a->b + 12 : a->b;
}

static int add_local_route(struct nl_sock *sock, int index, const struct addr *a);

static int add_address(struct nl_sock *sock, int index, const struct addr *a)
{
	const struct ifaddrmsg m = { .ifa_family = addr_is_v4(a) ? AF_INET : AF_INET6,
				     .ifa_prefixlen = addr_is_v4(a) ? 32 : 128,
				     .ifa_flags = IFA_F_NODAD,
				     .ifa_index = (unsigned)index };
	struct nl_msg *msg = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &m, sizeof m);
	int rc = msg ? nla_put(msg, IFA_LOCAL, (int)size_of(a), bytes_of(a)) : -NLE_NOMEM;

	if (rc == 0)
		rc = nla_put(msg, IFA_ADDRESS, (int)size_of(a), bytes_of(a));
	rc = finish(sock, msg, rc);
	return rc == 0 && !addr_is_v4(a) ? add_local_route(sock, index, a) : rc;
}

/*
 * An IPv6 address is received at only when the kernel's own worker has come by
 * (addrconf_dad_work); a route of ours is there at once, and comes after that one.
 */
static int add_local_route(struct nl_sock *sock, int index, const struct addr *a)
{
	const struct rtmsg m = { .rtm_family = AF_INET6,
				 .rtm_dst_len = 128,
				 .rtm_table = RT_TABLE_LOCAL,
				 .rtm_protocol = RTPROT_BOOT,
				 .rtm_scope = RT_SCOPE_HOST,
				 .rtm_type = RTN_LOCAL };
	struct nl_msg *msg = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &m, sizeof m);
	int rc = msg ? nla_put(msg, RTA_DST, 16, a->b) : -NLE_NOMEM;

	if (rc == 0)
		rc = nla_put_u32(msg, RTA_OIF, (uint32_t)index);
	return finish(sock, msg, rc);
}

/* Everything of the family through the interface, from that source; to many, nothing. */
static int add_routes(struct nl_sock *sock, int index, const struct addr *source)
{
	const bool v4 = addr_is_v4(source);
	const uint8_t many[16] = { v4 ? 224 : 0xff };
	struct rtmsg m = { .rtm_family = v4 ? AF_INET : AF_INET6,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = RTPROT_BOOT,
			   .rtm_scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
			   .rtm_type = RTN_UNICAST };
	struct nl_msg *msg = begin(RTM_NEWROUTE, NLM_F_CREATE, &m, sizeof m);
	int rc = msg ? nla_put_u32(msg, RTA_OIF, (uint32_t)index) : -NLE_NOMEM;

	if (rc == 0)
		rc = nla_put(msg, RTA_PREFSRC, (int)size_of(source), bytes_of(source));
	rc = finish(sock, msg, rc);
	if (rc < 0)
		return rc;
	m.rtm_type = RTN_PROHIBIT;
	m.rtm_scope = RT_SCOPE_UNIVERSE;
	m.rtm_dst_len = v4 ? 4 : 8;
	msg = begin(RTM_NEWROUTE, NLM_F_CREATE, &m, sizeof m);
	rc = msg ? nla_put(msg, RTA_DST, v4 ? 4 : 16, many) : -NLE_NOMEM;
	return finish(sock, msg, rc);
}

static int enter(struct nl_sock *sock, const struct netlink_veth *end, const struct addr *addresses, size_t n)
{
	const struct addr *first[2] = { NULL, NULL };
	int rc = end ? set_up(sock, end->index) : 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct addr **same = &first[addr_is_v4(&addresses[i])];

		rc = add_address(sock, end ? end->index : LO_INDEX, &addresses[i]);
		*same = *same ? *same : &addresses[i];
	}
	for (int v4 = 0; end && v4 < 2 && rc == 0; v4++)
		rc = first[v4] ? add_routes(sock, end->index, first[v4]) : 0;
	return rc;
}

int netlink_domain(const struct netlink_veth *end, const struct addr *addresses, size_t n, struct err *e)
{
	struct nl_sock *sock = NULL;
	int rc = netlink_loopback_up(NULL, 0, e);

	if (rc == 0)
		rc = open_socket(&sock, e);
	if (rc < 0)
		return rc;
	rc = enter(sock, end, addresses, n);
	nl_socket_free(sock);
	return rc < 0 ? failed(rc, e, "addresses and routes of the app's network namespace") : 0;
}
