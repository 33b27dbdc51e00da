/* SPDX-License-Identifier: Apache-2.0 */
/* The guard connects and listens for a supervisor that may not, and only in its namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <net/if.h>
#include <unistd.h>

#include "base/kernel.h"
#include "sup/guard.h"
#include "tap.h"

static struct sockaddr_in6 loopback(uint16_t port)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6,
				      .sin6_addr = IN6ADDR_LOOPBACK_INIT,
				      .sin6_port = htons(port) };
}

static int stream(int family)
{
	return socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int listener(uint16_t *ret_port)
{
	struct sockaddr_in6 sa = loopback(0);
	socklen_t len = sizeof sa;
	int fd = stream(AF_INET6);

	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -1;
	*ret_port = ntohs(sa.sin6_port);
	return fd;
}

static int own_errno(int rc)
{
	return rc < 0 ? errno : 0;
}

static bool new_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 && close(fd) == 0;
}

/* The one socket that it may connect, and that never is another one. */
static void ring(const struct guard *g, int at, const struct sockaddr_in6 *here)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	int bell = guard_bell(g), got;

	TAP_INT(bell > 0, 1, "there is a bell");
	for (int i = 0; i < 2; i++) {
		TAP_INT(own_errno(connect(bell, (const struct sockaddr *)here, sizeof *here)), EINPROGRESS, "it is rung");
		TAP_INT(connect(bell, &none, sizeof none.sa_family), 0, "and let go");
		got = accept(at, NULL, NULL);
		TAP_INT(got >= 0, 1, "the listener has heard it");
		close(got);
	}
	TAP_INT(own_errno(close(bell)), EPERM, "its number is not given up");
	TAP_INT(own_errno(dup3(at, bell, O_CLOEXEC)), EPERM, "and taken by nobody else");
	TAP_INT(own_errno(sys_close_range((unsigned)bell - 1, (unsigned)bell + 1, 0)), EPERM, "nor with its neighbours");
	TAP_INT(own_errno(sys_close_range(0, ~0U, 0)), EPERM, "nor with all");
	TAP_INT(own_errno(sys_close_range((unsigned)bell + 1, ~0U, 0)), 0, "which others are");
	TAP_INT(own_errno(listen(bell, 1)), EACCES, "it does not listen");
}

int main(void)
{
	uint16_t outer_port = 0, port = 0;
	int outer_listener = listener(&outer_port), outer = stream(AF_INET6), outer4 = stream(AF_INET);
	int inner_listener, inner, datagram, pair[2], on = 1;
	struct sockaddr_in6 there = loopback(outer_port), here;
	struct sockaddr_in there4 = { .sin_family = AF_INET, .sin_port = htons(outer_port),
				      .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;
	struct guard g;
	struct err e;

	guard_init(&g);
	if (outer_listener < 0 || !new_network()) {
		printf("1..0 # SKIP no network namespaces here\n");
		return 0;
	}
	inner_listener = listener(&port);
	here = loopback(port);
	inner = stream(AF_INET6);
	TAP_INT(getsockopt(inner, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len), 0, "the namespace has a number");
	TAP_INT(guard_connect(&g, inner, &here, sizeof here), 0, "without a guard the supervisor connects");
	TAP_INT(guard_on(&g, &e), -ENOTSUP, "and gets no sockets of the host's");
	TAP_INT(guard_start(&g, cookie, &e), 0, "a guard starts");
	TAP_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0, "no new privileges");
	TAP_INT(guard_on(&g, &e), 0, "it takes over");

	inner = stream(AF_INET6);
	TAP_INT(own_errno(connect(inner, (struct sockaddr *)&here, sizeof here)), EACCES, "the supervisor cannot connect");
	TAP_INT(own_errno(connect(outer, (struct sockaddr *)&there, sizeof there)), EACCES, "nor a host's socket");
	TAP_INT(own_errno(connect(outer4, (struct sockaddr *)&there4, sizeof there4)), EACCES, "nor one of IPv4");
	TAP_INT(own_errno(listen(inner, 1)), EACCES, "nor listen");
	ring(&g, inner_listener, &here);
	TAP_INT(own_errno((int)sendto(outer, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&there, sizeof there)), EACCES,
		"nor connect by sending");
	TAP_INT(own_errno(setsockopt(outer, IPPROTO_IPV6, IPV6_RTHDR, "", 0)), EACCES, "nor lead packets elsewhere");
	TAP_INT(own_errno(setsockopt(outer4, IPPROTO_IP, IP_OPTIONS, "", 0)), EACCES, "by options of IPv4");
	TAP_INT(own_errno(setsockopt(outer4, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on)), EACCES, "nor make up connections");
	TAP_INT(own_errno(setsockopt(outer4, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)), EACCES, "nor choose an interface");
	TAP_INT(own_errno(setsockopt(inner, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on)), 0, "what F's sockets need is there");
	TAP_INT(own_errno(setsockopt(inner, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on)), 0, "all of it");
	TAP_INT(own_errno(setsockopt(inner, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)), 0, "and what an app may set");
	TAP_INT(own_errno(setsockopt(inner, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on)), 0, "also of sockets");
	TAP_INT(guard_connect(&g, inner, &here, sizeof here), 0, "the guard can");
	TAP_INT(own_errno(getpeername(inner, (struct sockaddr *)&here, &(socklen_t){ sizeof here })), 0, "it is connected");
	TAP_INT(own_errno(connect(inner, &none, sizeof none.sa_family)), 0, "what is connected can be disconnected");
	TAP_INT(guard_connect(&g, outer, &there, sizeof there), -EACCES, "the guard does not connect a host's socket");
	TAP_INT(guard_connect(&g, outer4, &there4, sizeof there4), -EACCES, "nor one of IPv4");
	TAP_INT(guard_connect(&g, stream(AF_INET), &there4, sizeof there4), -EACCES, "nor one that is not as F's are");
	TAP_INT(guard_listen(&g, outer, 1), -EACCES, "nor does it listen there");
	TAP_INT(guard_listen(&g, stream(AF_INET6), 1), 0, "it listens in F");
	datagram = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	TAP_INT(guard_connect(&g, datagram, &here, sizeof here), 0, "datagrams are connected");
	TAP_INT(guard_connect(&g, stream(AF_INET6), &(struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(1),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT }, sizeof here), -ECONNREFUSED, "errors come back");
	(void)socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	TAP_INT(guard_connect(&g, -1, &here, sizeof here) < 0, 1, "no descriptor");
	close(g.sock);
	g.sock = pair[0];
	close(pair[1]);
	TAP_INT(guard_connect(&g, inner, &here, sizeof here), -ENETUNREACH, "without the guard nothing is connected");
	close(inner_listener);
	return tap_done();
}
