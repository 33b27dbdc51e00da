/* SPDX-License-Identifier: Apache-2.0 */
#include "model/syscalls.h"

#include <asm/socket.h>
#include <assert.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/vrun.h"
#include "model/policy.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

#ifdef __NR_epoll_create
#define TRAPPED_EPOLL_CREATE __NR_epoll_create
#else
#define TRAPPED_EPOLL_CREATE UINT32_MAX /* newer architectures do not have it */
#endif

static const struct trap_info traps[] = {
	[TRAP_SOCKET] = { "socket", __NR_socket, "AF_INET and AF_INET6 with SOCK_STREAM" },
	[TRAP_BIND] = { "bind", __NR_bind, "always" },
	[TRAP_LISTEN] = { "listen", __NR_listen, "always" },
	[TRAP_ACCEPT] = { "accept", __NR_accept, "always" },
	[TRAP_ACCEPT4] = { "accept4", __NR_accept4, "always" },
	[TRAP_CONNECT] = { "connect", __NR_connect, "always" },
	[TRAP_GETSOCKNAME] = { "getsockname", __NR_getsockname, "always" },
	[TRAP_GETPEERNAME] = { "getpeername", __NR_getpeername, "always" },
	[TRAP_GETSOCKOPT] = { "getsockopt", __NR_getsockopt, "SO_DOMAIN, SO_LINGER and IPV6_V6ONLY; SO_ERROR in domains with a way out; "
						     "with wires what is TCP's or IP's" },
	[TRAP_SETSOCKOPT] = { "setsockopt", __NR_setsockopt, "SO_LINGER, IPV6_V6ONLY, and what asks for ancillary data of datagrams; in "
						     "domains with a way out what is seldom set; with wires what is TCP's or IP's" },
	[TRAP_SENDTO] = { "sendto", __NR_sendto, "with an address" },
	[TRAP_SHUTDOWN] = { "shutdown", __NR_shutdown, "in domains with wires" },
	[TRAP_EPOLL_CREATE] = { "epoll_create", TRAPPED_EPOLL_CREATE, "in domains with a way out" },
	[TRAP_EPOLL_CREATE1] = { "epoll_create1", __NR_epoll_create1, "in domains with a way out" },
	[TRAP_IOCTL] = { "ioctl", __NR_ioctl, "what reads interfaces, in domains with a way out" },
	[TRAP_SEND_MULTI] = { "vrun_send_multi", VRUN_SEND_MULTI_NR, "always; no kernel has it" },
};
static_assert(sizeof traps / sizeof *traps == TRAP_COUNT, "every trap has its line");

const struct trap_info *trap_info(enum trap t)
{
	return &traps[t];
}

int trap_find(uint32_t nr)
{
	for (int t = 0; t < TRAP_COUNT; t++)
		if (traps[t].nr == nr)
			return t;
	return -1;
}

/* --- socket options -------------------------------------------------------- */

#define GET 1U
#define SET 2U
#define TRAP_GET 4U
#define TRAP_SET 8U
#define OUT 32U   /* its get is trapped where connections lead outside: it tells how they went */
#define WIRE 16U  /* trapped where streams are wires: a socket of AF_UNIX does not have it, or has it otherwise */
#define NOTED 64U /* its set is trapped where connections lead outside, to be copied to the host's sockets: seldom made */

struct option {
	uint16_t level, lo, hi; /* both options belong to it */
	uint8_t uses;
};

/*
 * Sorted by level and option. What is not here is shut, above all what could
 * aim a socket elsewhere (IPV6_RTHDR and the ancillary options that carry it,
 * SO_BINDTODEVICE, IP_OPTIONS, IP_TRANSPARENT, TCP_REPAIR, TCP_ULP,
 * TCP_FASTOPEN_CONNECT, IPV6_ADDRFORM), what shows the supervisor's addresses
 * (SO_NETNS_COOKIE; packet information and error queues, which only datagram
 * sockets get) and what hands over
 * another's credentials or descriptors unasked (SO_PASS*, SO_PEERPIDFD).
 */
static const struct option options[] = {
	{ IPPROTO_IP, IP_TOS, IP_TTL, GET | SET | WIRE | NOTED },
	{ IPPROTO_IP, IP_PKTINFO, IP_PKTINFO, GET | TRAP_SET | WIRE },
	{ IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU_DISCOVER, GET | SET | WIRE | NOTED },
	{ IPPROTO_IP, IP_RECVERR, IP_RECVTOS, GET | TRAP_SET | WIRE },
	{ IPPROTO_IP, IP_MTU, IP_MTU, GET | WIRE },
	{ IPPROTO_IP, IP_MULTICAST_TTL, IP_MULTICAST_LOOP, GET | SET | WIRE },
	{ SOL_SOCKET, SO_DEBUG, SO_DEBUG, GET | SET },
	{ SOL_SOCKET, SO_REUSEADDR, SO_REUSEADDR, GET | SET | NOTED },
	{ SOL_SOCKET, SO_TYPE, SO_TYPE, GET },
	{ SOL_SOCKET, SO_ERROR, SO_ERROR, GET | OUT },
	{ SOL_SOCKET, SO_DONTROUTE, SO_KEEPALIVE, GET | SET },
	{ SOL_SOCKET, SO_OOBINLINE, SO_OOBINLINE, GET | SET | NOTED },
	{ SOL_SOCKET, SO_PRIORITY, SO_PRIORITY, GET | SET | NOTED },
	{ SOL_SOCKET, SO_LINGER, SO_LINGER, TRAP_GET | TRAP_SET },
	{ SOL_SOCKET, SO_REUSEPORT, SO_REUSEPORT, GET | SET | WIRE },
	{ SOL_SOCKET, SO_PEERCRED, SO_PEERCRED, GET | WIRE },
	{ SOL_SOCKET, SO_RCVLOWAT, SO_SNDTIMEO_OLD, GET | SET },
	{ SOL_SOCKET, SO_TIMESTAMP_OLD, SO_TIMESTAMP_OLD, GET | SET | NOTED },
	{ SOL_SOCKET, SO_ACCEPTCONN, SO_ACCEPTCONN, GET },
	{ SOL_SOCKET, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SET },
	{ SOL_SOCKET, SO_TIMESTAMPNS_OLD, SO_TIMESTAMPNS_OLD, GET | SET | NOTED },
	{ SOL_SOCKET, SO_PROTOCOL, SO_PROTOCOL, GET | WIRE },
	{ SOL_SOCKET, SO_DOMAIN, SO_DOMAIN, TRAP_GET },
	{ SOL_SOCKET, SO_PEEK_OFF, SO_PEEK_OFF, GET | SET },
	{ SOL_SOCKET, SO_MAX_PACING_RATE, SO_MAX_PACING_RATE, GET | SET | NOTED },
	{ SOL_SOCKET, SO_INCOMING_CPU, SO_INCOMING_CPU, GET | SET },
	{ SOL_SOCKET, SO_MEMINFO, SO_MEMINFO, GET },
	{ SOL_SOCKET, SO_COOKIE, SO_COOKIE, GET },
	{ SOL_SOCKET, SO_PEERGROUPS, SO_PEERGROUPS, GET | WIRE },
	{ SOL_SOCKET, SO_ZEROCOPY, SO_ZEROCOPY, GET | SET },
	{ SOL_SOCKET, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, GET | SET },
	{ SOL_SOCKET, SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW, GET | SET },
	{ SOL_SOCKET, SO_BUF_LOCK, SO_BUF_LOCK, GET | SET },
	{ IPPROTO_TCP, TCP_NODELAY, TCP_NODELAY, GET | SET | WIRE },
	{ IPPROTO_TCP, TCP_MAXSEG, TCP_MAXSEG, GET | SET | WIRE | NOTED },
	{ IPPROTO_TCP, TCP_CORK, TCP_KEEPCNT, GET | SET | WIRE },
	{ IPPROTO_TCP, TCP_SYNCNT, TCP_INFO, GET | SET | WIRE | NOTED },
	{ IPPROTO_TCP, TCP_QUICKACK, TCP_QUICKACK, GET | SET | WIRE },
	{ IPPROTO_TCP, TCP_CONGESTION, TCP_CONGESTION, GET | SET | WIRE | NOTED },
	{ IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, TCP_THIN_DUPACK, GET | SET | WIRE | NOTED },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_USER_TIMEOUT, GET | SET | WIRE | NOTED },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP_CC_INFO, GET | SET | WIRE | NOTED },
	{ IPPROTO_TCP, TCP_INQ, TCP_INQ, GET | SET | WIRE | NOTED },
	{ IPPROTO_UDP, UDP_CORK, UDP_CORK, GET | SET },
	{ IPPROTO_UDP, UDP_SEGMENT, UDP_GRO, GET | SET },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_UNICAST_HOPS, GET | SET | WIRE | NOTED },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, GET | SET | WIRE },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU_DISCOVER, GET | SET | WIRE | NOTED },
	{ IPPROTO_IPV6, IPV6_MTU, IPV6_MTU, GET | WIRE },
	{ IPPROTO_IPV6, IPV6_RECVERR, IPV6_RECVERR, GET | TRAP_SET | WIRE },
	{ IPPROTO_IPV6, IPV6_V6ONLY, IPV6_V6ONLY, TRAP_GET | TRAP_SET },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, IPV6_RECVPKTINFO, GET | TRAP_SET | WIRE },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT, IPV6_RECVHOPLIMIT, GET | TRAP_SET | WIRE },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS, IPV6_RECVTCLASS, GET | TRAP_SET | WIRE },
	{ IPPROTO_IPV6, IPV6_TCLASS, IPV6_TCLASS, GET | SET | WIRE | NOTED },
	{ SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_NO_ENOBUFS, SET },
	{ SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK, GET | SET },
};
#define N_OPTIONS (sizeof options / sizeof *options)
static_assert(TCP_CORK == 3 && TCP_KEEPCNT == 6 && TCP_SYNCNT == 7 && TCP_INFO == 11, "no other option in the row of old ones");
static_assert(TCP_CC_INFO == TCP_NOTSENT_LOWAT + 1, "neighbours");
static_assert(UDP_GRO == UDP_SEGMENT + 1, "neighbours");
static_assert(SO_DONTROUTE == 5 && SO_KEEPALIVE == 9, "nothing else between them");

enum option_use syscalls_option(unsigned needs, bool set, int level, int option)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];

		if (level != o->level || option < o->lo || option > o->hi)
			continue;
		if (o->uses & (set ? TRAP_SET : TRAP_GET))
			return OPTION_TRAPPED;
		if (!set && o->uses & OUT && needs & POLICY_NEEDS_GATEWAY)
			return OPTION_TRAPPED;
		if (set && o->uses & NOTED && needs & POLICY_NEEDS_GATEWAY)
			return OPTION_TRAPPED;
		if (o->uses & (set ? SET : GET))
			return o->uses & WIRE && needs & POLICY_NEEDS_WIRE ? OPTION_TRAPPED : OPTION_NATIVE;
	}
	return OPTION_SHUT;
}

/* --- rules ----------------------------------------------------------------- */

#define IS(n, v) { .arg = (n), .lo = (v), .hi = (v) }
#define BETWEEN(n, from, to) { .arg = (n), .lo = (from), .hi = (to) }
#define HAS(n, bits) { .arg = (n), .masked = true, .lo = (bits) }
#define PART_IS(n, bits, v) { .arg = (n), .masked_eq = true, .lo = (bits), .hi = (v) }

#define SOCK_TYPE_BITS 0xf /* include/linux/net.h */

/*
 * Judged before anything of the profile. Streams are the supervisor's to make.
 * Datagram sockets are the app's own, in its namespace; raw ones would be, too,
 * with nobody to serve them.
 */
#define DATAGRAMS(family, protocol) \
	{ __NR_socket, SYSCALL_ALLOW, 0, 3, \
	  { IS(0, family), PART_IS(1, SOCK_TYPE_BITS, SOCK_DGRAM), IS(2, protocol) } }
static const struct syscall_rule judged[] = {
	{ __NR_socket, SYSCALL_TRAP, 0, 2, { IS(0, AF_INET), PART_IS(1, SOCK_TYPE_BITS, SOCK_STREAM) } },
	{ __NR_socket, SYSCALL_TRAP, 0, 2, { IS(0, AF_INET6), PART_IS(1, SOCK_TYPE_BITS, SOCK_STREAM) } },
	DATAGRAMS(AF_INET, 0),
	DATAGRAMS(AF_INET, IPPROTO_UDP),
	DATAGRAMS(AF_INET6, 0),
	DATAGRAMS(AF_INET6, IPPROTO_UDP),
	{ __NR_socket, SYSCALL_REFUSE, EACCES, 1, { IS(0, AF_INET) } },
	{ __NR_socket, SYSCALL_REFUSE, EACCES, 1, { IS(0, AF_INET6) } },
	/* What Linux says where fast open is switched off. It would connect without a connect(). */
	{ __NR_sendto, SYSCALL_REFUSE, EOPNOTSUPP, 1, { HAS(3, MSG_FASTOPEN) } },
	{ __NR_sendmsg, SYSCALL_REFUSE, EOPNOTSUPP, 1, { HAS(2, MSG_FASTOPEN) } },
	{ __NR_sendmmsg, SYSCALL_REFUSE, EOPNOTSUPP, 1, { HAS(3, MSG_FASTOPEN) } },
	/* Where datagrams go is decided before they go. The length is an int; a stream ignores both. */
	{ __NR_sendto, SYSCALL_TRAP, 0, 1, { BETWEEN(5, 1, UINT32_MAX) } },
	/* Owner and urgent mark of a socket; reading interfaces. Never SIOCGSKNS, never a change. */
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { BETWEEN(1, FIOSETOWN, SIOCGSTAMP_OLD) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { BETWEEN(1, SIOCGIFNAME, SIOCGIFNAME) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { BETWEEN(1, SIOCGIFCONF, SIOCGIFFLAGS) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { IS(1, SIOCGIFADDR) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { IS(1, SIOCGIFBRDADDR) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { IS(1, SIOCGIFNETMASK) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { IS(1, SIOCGIFMTU) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { IS(1, SIOCGIFHWADDR) } },
	{ __NR_ioctl, SYSCALL_ALLOW, 0, 1, { IS(1, SIOCGIFINDEX) } },
	{ __NR_ioctl, SYSCALL_REFUSE, ENOTTY, 1, { BETWEEN(1, 0x8900, 0x89ff) } },
};

/* The same for a domain whose streams are wires. */
static const struct syscall_rule with_wires[] = {
	{ __NR_shutdown, SYSCALL_TRAP, 0, 0, { { 0 } } },
	/* A TCP socket without errors to tell says that; one of AF_UNIX would give data. */
	{ __NR_recvfrom, SYSCALL_REFUSE, EAGAIN, 1, { HAS(3, MSG_ERRQUEUE) } },
	{ __NR_recvmsg, SYSCALL_REFUSE, EAGAIN, 1, { HAS(2, MSG_ERRQUEUE) } },
	{ __NR_recvmmsg, SYSCALL_REFUSE, EAGAIN, 1, { HAS(3, MSG_ERRQUEUE) } },
};

static void add(struct syscall_rules *r, const struct syscall_rule *rule)
{
	assert(r->n < SYSCALL_RULES_MAX);
	r->v[r->n++] = *rule;
}

static void add_options(struct syscall_rules *r, unsigned needs, bool set)
{
	uint32_t nr = set ? __NR_setsockopt : __NR_getsockopt;

	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];
		enum option_use use = syscalls_option(needs, set, o->level, o->lo);
		struct syscall_rule rule = { .nr = nr,
					     .verdict = use == OPTION_TRAPPED ? SYSCALL_TRAP :
									       SYSCALL_ALLOW,
					     .n_conds = 2,
					     .conds = { IS(1, o->level), BETWEEN(2, o->lo, o->hi) } };

		if (use != OPTION_SHUT)
			add(r, &rule);
	}
	add(r, &(struct syscall_rule){ .nr = nr, .verdict = SYSCALL_REFUSE, .error = ENOPROTOOPT });
}

void syscalls_rules(unsigned needs, struct syscall_rules *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
		struct syscall_rule rule = judged[i];

		/* A socket of the host's would show the host's. */
		if (needs & POLICY_NEEDS_GATEWAY && rule.nr == __NR_ioctl && rule.verdict == SYSCALL_ALLOW &&
		    rule.conds[0].lo >= SIOCGIFNAME)
			rule.verdict = SYSCALL_TRAP;
		add(ret, &rule);
	}
	for (size_t i = 0; needs & POLICY_NEEDS_WIRE && i < sizeof with_wires / sizeof *with_wires; i++)
		add(ret, &with_wires[i]);
	add_options(ret, needs, false);
	add_options(ret, needs, true);
	for (int t = TRAP_EPOLL_CREATE; needs & POLICY_NEEDS_GATEWAY && t <= TRAP_EPOLL_CREATE1; t++)
		if (traps[t].nr != UINT32_MAX)
			add(ret, &(struct syscall_rule){ .nr = traps[t].nr, .verdict = SYSCALL_TRAP });
	for (int t = TRAP_BIND; t <= TRAP_GETPEERNAME; t++)
		add(ret, &(struct syscall_rule){ .nr = traps[t].nr, .verdict = SYSCALL_TRAP });
	add(ret, &(struct syscall_rule){ .nr = traps[TRAP_SEND_MULTI].nr, .verdict = SYSCALL_TRAP });
}
