/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sidedoors ALLOWED FORBIDDEN FORBIDDEN6 PORT
 *
 * Tries to get anything at all to the forbidden addresses, by every call that
 * could. ALLOWED:PORT may be connected to over TCP and echoes after a greeting. What a
 * call says is checked where it has to be refused by name; of the rest only what arrives
 * counts, which whoever runs this sees on the cable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"

static const char *allowed, *forbidden, *forbidden6;
static int port;

static const struct sockaddr none = { .sa_family = AF_UNSPEC };

/* A connection that leads outside: the host's own socket, in the app's hands. */
static int connected(void)
{
	int fd = tcp(allowed, 0);

	IS(connect_to(fd, allowed, port), 0, "the allowed server");
	return fd;
}

static void speaks(int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[256] = "";
	size_t n = 0;

	OK(send(fd, "ping\n", 5, MSG_NOSIGNAL) == 5, what);
	while (n < sizeof buf - 1 && !strstr(buf, "ping") && poll(&p, 1, 10000) == 1) {
		ssize_t got = read(fd, buf + n, sizeof buf - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	OK(strstr(buf, "ping") != NULL, what);
}

/* --- addresses ------------------------------------------------------------------------ */

static void test_addresses(void)
{
	static const char *const others[] = { "::ffff:192.0.2.99", "::192.0.2.99", "64:ff9b::c000:263", "2002:c000:263::1",
					      "fe80::1", "127.0.0.53", "169.254.169.254", "10.20.0.1", "198.51.100.2",
					      "198.51.100.53", "255.255.255.255", "224.0.0.1", "::ffff:0.0.0.0" };
	struct {
		union sa s;
		/* cppcheck-suppress unusedStructMember ; it is the room */
		char more[96];
	} big = { 0 };
	int fd = tcp(forbidden, 0);

	IS(connect_to(fd, forbidden, port), -EACCES, "a literal address");
	IS(connect_to(fd, allowed, port + 1), -EACCES, "another port");
	close(fd);
	fd = tcp(forbidden6, 0);
	IS(connect_to(fd, forbidden6, port), -EACCES, "IPv6");
	close(fd);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		long rc;

		fd = tcp(others[i], SOCK_NONBLOCK);
		rc = connect_to(fd, others[i], port);
		/* Those of the domain's own loopback have nobody there. */
		OK(rc == -EACCES || rc == -ECONNREFUSED || rc == -ENETUNREACH || rc == -EINVAL || rc == -EINPROGRESS, others[i]);
		if (rc == -EINPROGRESS) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			OK(poll(&p, 1, 10000) == 1 && (p.revents & POLLERR), others[i]);
		}
		close(fd);
	}
	/* Longer and shorter than an address, and of another family. */
	fd = tcp(forbidden, 0);
	(void)make(&big.s, forbidden, port);
	IS(connect(fd, &big.s.sa, sizeof big), -EACCES, "a long address");
	OK(R(connect(fd, &big.s.sa, 7)) < 0, "a short one");
	OK(R(connect(fd, &big.s.sa, 0)) < 0, "none");
	OK(R(connect(fd, &big.s.sa, (socklen_t)-1)) < 0, "a negative length");
	OK(R(connect(fd, (const struct sockaddr *)8, sizeof big.s.v4)) == -EFAULT, "no memory");
	big.s.sa.sa_family = AF_INET6;
	OK(R(connect(fd, &big.s.sa, sizeof big.s.v6)) < 0, "IPv6 on a socket of IPv4");
	close(fd);
}

/* --- data before or instead of connect ---------------------------------------------------- */

/* Each of the calls that take an address, on any socket. */
static void send_everyhow(int fd, const char *to, int at, int flags)
{
	union sa s;
	socklen_t len = make(&s, to, at);
	struct iovec iov = { (char[]){ "secret" }, 6 };
	struct mmsghdr mm[2] = { 0 };

	for (int i = 0; i < 2; i++)
		mm[i].msg_hdr = (struct msghdr){ .msg_name = &s, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1 };
	flags |= MSG_NOSIGNAL | MSG_DONTWAIT;
	(void)!sendto(fd, "secret", 6, flags, &s.sa, len);
	(void)!sendmsg(fd, &mm[0].msg_hdr, flags);
	(void)!sendmmsg(fd, mm, 2, flags);
	/* The kernel takes the low half of flags that are an int. */
	(void)!syscall(SYS_sendto, fd, "secret", 6, 0xdeadbeef00000000UL | (unsigned)flags, &s, len);
	(void)!syscall(SYS_sendmsg, fd, &mm[0].msg_hdr, 0xdeadbeef00000000UL | (unsigned)flags);
	(void)!syscall(SYS_sendmmsg, fd, mm, 2, 0xdeadbeef00000000UL | (unsigned)flags);
}

static void test_fast_open(void)
{
	union sa s;
	socklen_t len = make(&s, forbidden, port);
	int fd = tcp(forbidden, 0), on = 1;

	IS(sendto(fd, "secret", 6, MSG_FASTOPEN | MSG_NOSIGNAL, &s.sa, len), -EOPNOTSUPP, "MSG_FASTOPEN");
	IS(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on), -ENOPROTOOPT, "TCP_FASTOPEN_CONNECT");
	send_everyhow(fd, forbidden, port, MSG_FASTOPEN);
	send_everyhow(fd, forbidden, port, 0);
	(void)connect_to(fd, forbidden, port);
	send_everyhow(fd, forbidden, port, MSG_FASTOPEN);
	close(fd);
	fd = tcp(forbidden6, SOCK_NONBLOCK);
	send_everyhow(fd, forbidden6, port, MSG_FASTOPEN);
	send_everyhow(fd, "::ffff:192.0.2.99", port, MSG_FASTOPEN);
	close(fd);
	/* On the host's socket: connected, disconnected half, and dissolved. */
	fd = connected();
	send_everyhow(fd, forbidden, port, MSG_FASTOPEN);
	(void)shutdown(fd, SHUT_RDWR);
	send_everyhow(fd, forbidden, port, MSG_FASTOPEN);
	(void)connect(fd, &none, sizeof none);
	send_everyhow(fd, forbidden, port, MSG_FASTOPEN);
	send_everyhow(fd, forbidden, port, 0);
	close(fd);
	/* Under way, shut down, then elsewhere. */
	fd = tcp(allowed, SOCK_NONBLOCK);
	(void)connect_to(fd, allowed, port);
	(void)shutdown(fd, SHUT_RDWR);
	send_everyhow(fd, forbidden, port, MSG_FASTOPEN);
	IS(connect_to(fd, forbidden, port) < 0, 1, "elsewhere, shut down");
	close(fd);
}

static void test_datagrams(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), six = socket(AF_INET6, SOCK_DGRAM, 0), on = 1;

	OK(fd >= 0 && six >= 0, "sockets for datagrams");
	(void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
	for (int p = 7; p; p = p == 7 ? 53 : p == 53 ? 443 : 0) {
		send_everyhow(fd, forbidden, p, 0);
		send_everyhow(fd, "198.51.100.53", p, 0);
		send_everyhow(fd, "198.51.100.255", p, 0);
		send_everyhow(fd, "255.255.255.255", p, 0);
		send_everyhow(fd, "224.0.0.251", p, 0);
		send_everyhow(fd, "169.254.169.254", p, 0);
		send_everyhow(six, forbidden6, p, 0);
		send_everyhow(six, "::ffff:192.0.2.99", p, 0);
		send_everyhow(six, "ff02::fb", p, 0);
	}
	if (connect_to(fd, forbidden, 7) == 0)
		(void)!send(fd, "secret", 6, MSG_NOSIGNAL);
	(void)connect(fd, &none, sizeof none);
	if (connect_to(fd, allowed, 7) == 0)
		send_everyhow(fd, forbidden, 7, 0);
	close(fd);
	close(six);
}

/* --- a host's socket in the app's hands -------------------------------------------------------- */

static void test_reuse(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct ifreq r = { .ifr_name = "uplink" };
	int fd = connected();
	union sa s;
	socklen_t len = make(&s, forbidden, port);

	IS(connect_to(fd, forbidden, port), -EISCONN, "connected already");
	IS(connect(fd, &none, sizeof none), 0, "dissolved");
	IS(connect_to(fd, forbidden, port), -EACCES, "and elsewhere");
	IS(connect_to(fd, allowed, port), 0, "to the allowed one again");
	speaks(fd, "which it is");
	IS(syscall(SYS_connect, fd, &none, 0xdeadbeef00000000UL | sizeof none), 0, "a length is an int");
	IS(connect_to(fd, forbidden, port), -EACCES, "and elsewhere");
	close(fd);
	/* Nobody is let in through it. */
	fd = connected();
	OK(R(bind(fd, (struct sockaddr *)&own, sizeof own)) < 0, "bind");
	OK(R(listen(fd, 1)) < 0, "listen");
	IS(ioctl(fd, 0x894c /* SIOCGSKNS */, 0), -ENOTTY, "its namespace");
	IS(ioctl(fd, SIOCGIFADDR, &r), -ENOTTY, "the host's interfaces");
	OK(R(ioctl(fd, SIOCGIFINDEX, &r)) < 0, "nor their numbers"); /* a relayed one is F's, which has none */
	OK(open("/proc/self/fd/9999", O_RDONLY) < 0, "no such file");
	/* An address given with data is ignored by a connection, or refused. */
	(void)!sendto(fd, "", 0, MSG_NOSIGNAL, &s.sa, len);
	speaks(fd, "it leads where it led");
	close(fd);
}

static void test_options(void)
{
	static const struct {
		const char *name;
		int level, number;
	} refused[] = {
		{ "SO_BINDTODEVICE", SOL_SOCKET, SO_BINDTODEVICE }, { "SO_BINDTOIFINDEX", SOL_SOCKET, 62 },
		{ "SO_MARK", SOL_SOCKET, SO_MARK },                 { "SO_ATTACH_FILTER", SOL_SOCKET, SO_ATTACH_FILTER },
		{ "SO_ATTACH_BPF", SOL_SOCKET, SO_ATTACH_BPF },     { "SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER },
		{ "SO_PASSCRED", SOL_SOCKET, 16 },                  { "SO_NETNS_COOKIE", SOL_SOCKET, 71 },
		{ "IP_OPTIONS", IPPROTO_IP, IP_OPTIONS },           { "IP_HDRINCL", IPPROTO_IP, IP_HDRINCL },
		{ "IP_TRANSPARENT", IPPROTO_IP, IP_TRANSPARENT },   { "IP_UNICAST_IF", IPPROTO_IP, 50 },
		{ "IP_XFRM_POLICY", IPPROTO_IP, IP_XFRM_POLICY },   { "IPT_SO_SET_REPLACE", IPPROTO_IP, 64 },
		{ "IPV6_RTHDR", IPPROTO_IPV6, IPV6_RTHDR },         { "IPV6_2292RTHDR", IPPROTO_IPV6, 5 },
		{ "IPV6_2292PKTOPTIONS", IPPROTO_IPV6, 6 },         { "IPV6_HOPOPTS", IPPROTO_IPV6, IPV6_HOPOPTS },
		{ "IPV6_DSTOPTS", IPPROTO_IPV6, IPV6_DSTOPTS },     { "IPV6_TRANSPARENT", IPPROTO_IPV6, 75 },
		{ "IPV6_ADDRFORM", IPPROTO_IPV6, IPV6_ADDRFORM },   { "TCP_REPAIR", IPPROTO_TCP, TCP_REPAIR },
		{ "TCP_ULP", IPPROTO_TCP, TCP_ULP },                { "TCP_FASTOPEN_KEY", IPPROTO_TCP, TCP_FASTOPEN_KEY },
		{ "TCP_MD5SIG", IPPROTO_TCP, TCP_MD5SIG },          { "TCP_TX_DELAY", IPPROTO_TCP, 37 },
		{ "SOL_TLS", 282, 1 },                              { "SOL_NETLINK", 270, 1 },
	};
	/* Loose source routing by way of the forbidden address; as a device "uplink"; as a number 1. */
	static const char route[40] = { (char)131, 7, 4, (char)192, 0, 2, 99, 0 };
	int fresh = tcp(allowed, 0), six = tcp(forbidden6, 0), out = connected();

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		const int one = 1, sockets[] = { fresh, six, out };
		const int level = refused[i].level, number = refused[i].number;

		for (size_t k = 0; k < 3; k++) {
			OK(R(setsockopt(sockets[k], level, number, &one, sizeof one)) < 0, refused[i].name);
			OK(R(setsockopt(sockets[k], level, number, route, 8)) < 0, refused[i].name);
			OK(R(setsockopt(sockets[k], level, number, "uplink", 7)) < 0, refused[i].name);
			OK(R(syscall(SYS_setsockopt, sockets[k], 0xdeadbeef00000000UL | (unsigned)level,
				     0xdeadbeef00000000UL | (unsigned)number, &one, sizeof one)) < 0, refused[i].name);
		}
	}
	speaks(out, "the connection is as it was");
	close(fresh);
	close(six);
	close(out);
}

/* Headers that would route the packets of a connection, or of a datagram, elsewhere. */
static void test_control(void)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(24)];
	} ctl;
	static const struct {
		int level, type;
		socklen_t len;
	} kinds[] = { { IPPROTO_IP, IP_RETOPTS, 8 },          { IPPROTO_IP, IP_PKTINFO, 12 },
		      { IPPROTO_IPV6, IPV6_RTHDR, 24 },       { IPPROTO_IPV6, 5, 24 },
		      { IPPROTO_IPV6, IPV6_PKTINFO, 20 },     { SOL_SOCKET, SO_MARK, 4 } };
	int fds[] = { connected(), socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET6, SOCK_DGRAM, 0) };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		for (int k = 0; k < 3; k++) {
			union sa s;
			socklen_t len = make(&s, k == 2 ? forbidden6 : forbidden, 7);
			struct iovec iov = { (char[]){ "" }, k == 0 ? 0 : 1 };
			struct msghdr m = { .msg_name = k ? &s : NULL, .msg_namelen = k ? len : 0, .msg_iov = &iov, .msg_iovlen = 1,
					    .msg_control = ctl.buf, .msg_controllen = CMSG_SPACE(kinds[i].len) };

			memset(&ctl, 0, sizeof ctl);
			ctl.align = (struct cmsghdr){ CMSG_LEN(kinds[i].len), kinds[i].level, kinds[i].type };
			if (kinds[i].level == IPPROTO_IP)
				memcpy(CMSG_DATA(&ctl.align), (char[]){ (char)131, 7, 4, (char)192, 0, 2, 99, 0 }, 8);
			(void)!sendmsg(fds[k], &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
	speaks(fds[0], "the connection is as it was");
	for (int k = 0; k < 3; k++)
		close(fds[k]);
}

/* --- other kinds of sockets ------------------------------------------------------------------- */

static void test_kinds(void)
{
	static const unsigned char ping[8] = { 8, 0, 0xf7, 0xff };
	union sa s;
	socklen_t len = make(&s, forbidden, 0);
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);

	if (fd >= 0) /* in its own namespace, where nothing leads out */
		(void)!sendto(fd, ping, sizeof ping, MSG_NOSIGNAL, &s.sa, len);
	close(fd);
	IS(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), -EACCES, "SOCK_RAW");
	IS(socket(AF_INET, SOCK_RAW, IPPROTO_RAW), -EACCES, "IPPROTO_RAW");
	IS(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), -EACCES, "SOCK_RAW, IPv6");
	IS(socket(AF_PACKET, SOCK_RAW, 0x300), -EAFNOSUPPORT, "AF_PACKET");
	IS(socket(AF_PACKET, SOCK_DGRAM, 8), -EAFNOSUPPORT, "AF_PACKET, datagrams");
	IS(socket(AF_VSOCK, SOCK_STREAM, 0), -EAFNOSUPPORT, "AF_VSOCK");
	IS(socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC), -EPROTONOSUPPORT, "AF_NETLINK, generic");
	IS(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), -EPROTONOSUPPORT, "AF_NETLINK, other people's sockets");
	OK(R(socket(AF_INET, SOCK_STREAM, 262)) < 0, "MPTCP");
	OK(R(socket(AF_SMC, SOCK_STREAM, 0)) < 0, "SMC");
	OK(R(syscall(SYS_io_uring_setup, 4, (char[256]){ 0 })) < 0, "io_uring");
	OK(R(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, getpid(), 0), 0, 0)) < 0, "pidfd_getfd");
}

/* A route or an address of its own would need rights over its namespace. */
static void test_netlink(void)
{
	struct {
		struct nlmsghdr h;
		struct rtmsg r;
		/* cppcheck-suppress unusedStructMember ; it is the room */
		char rest[64];
	} m = { .h = { NLMSG_LENGTH(sizeof m.r), RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0 },
		.r = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC, .rtm_type = RTN_UNICAST } };
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} answer = { 0 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	OK(fd >= 0, "AF_NETLINK");
	IS(send(fd, &m, m.h.nlmsg_len, 0), (long)m.h.nlmsg_len, "a route");
	OK(R(recv(fd, &answer, sizeof answer, MSG_TRUNC)) > 0 && answer.h.nlmsg_type == NLMSG_ERROR, "an answer");
	IS(answer.e.error, -EPERM, "is refused");
	close(fd);
}

/* --- descriptors on their way ------------------------------------------------------------------- */

static void test_passed(void)
{
	int pair[2], status = -1, fresh = tcp(allowed, 0), out = connected();
	pid_t pid;

	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0, "socketpair");
	pid = fork();
	if (pid == 0) {
		failed = 0;
		for (int i = 0; i < 2; i++) {
			int fd = take_fd(pair[1]);
			long rc;

			(void)connect(fd, &none, sizeof none);
			rc = connect_to(fd, forbidden, port);
			OK(rc == -EACCES || rc == -EISCONN, i ? "one that was connected" : "one that was not");
			send_everyhow(fd, forbidden, port, MSG_FASTOPEN);
			close(fd);
		}
		_exit(failed ? 1 : 0);
	}
	pass_fd(pair[0], fresh);
	pass_fd(pair[0], out);
	(void)waitpid(pid, &status, 0);
	IS(status, 0, "in another process");
	close(fresh);
	close(out);
	/* One in a message while it is connected: whoever takes it out has a dead one, or the same. */
	fresh = tcp(allowed, 0);
	pass_fd(pair[0], fresh);
	IS(connect_to(fresh, allowed, port), 0, "the allowed server");
	out = take_fd(pair[1]);
	send_everyhow(out, forbidden, port, MSG_FASTOPEN);
	OK(connect_to(out, forbidden, port) < 0, "its copy goes nowhere");
	close(out);
	close(fresh);
	close(pair[0]);
	close(pair[1]);
}

/* --- races ---------------------------------------------------------------------------------------- */

struct race {
	union sa to;
	int fd, fds[2];
	volatile int over;
	/* cppcheck-suppress unusedStructMember ; told at the end */
	volatile int through;
};

static void *exchange_sockets(void *arg)
{
	struct race *r = arg;

	for (unsigned i = 0; !r->over; i++)
		(void)dup2(r->fds[i & 1], r->fd);
	return NULL;
}

static void *exchange_addresses(void *arg)
{
	struct race *r = arg;
	union sa yes, no;

	(void)make(&yes, allowed, port);
	(void)make(&no, forbidden, port);
	for (unsigned i = 0; !r->over; i++)
		memcpy(&r->to.v4.sin_addr, i & 1 ? &yes.v4.sin_addr : &no.v4.sin_addr, sizeof r->to.v4.sin_addr);
	return NULL;
}

/* What is looked at is not what is connected, unless somebody is careful. */
static void test_races(void)
{
	struct race r = { .fd = 200 };
	pthread_t t;

	r.fds[0] = connected();
	r.fds[1] = tcp(allowed, SOCK_NONBLOCK);
	(void)make(&r.to, forbidden, port);
	(void)dup2(r.fds[1], r.fd);
	OK(pthread_create(&t, NULL, exchange_sockets, &r) == 0, "a thread");
	for (int i = 0; i < 300; i++) {
		(void)connect(r.fd, &none, sizeof none);
		OK(R(connect(r.fd, &r.to.sa, sizeof r.to.v4)) < 0, "one socket for another");
		send_everyhow(r.fd, forbidden, port, MSG_FASTOPEN);
	}
	r.over = 1;
	(void)pthread_join(t, NULL);
	close(r.fds[0]);
	close(r.fds[1]);
	close(r.fd);

	r.over = 0;
	OK(pthread_create(&t, NULL, exchange_addresses, &r) == 0, "a thread");
	for (int i = 0; i < 200; i++) {
		int fd = tcp(allowed, SOCK_NONBLOCK);
		long rc = R(connect(fd, &r.to.sa, sizeof r.to.v4));

		OK(rc == -EINPROGRESS || rc == 0 || rc == -EACCES, "one address for another");
		send_everyhow(fd, forbidden, port, 0);
		close(fd);
	}
	r.over = 1;
	(void)pthread_join(t, NULL);
}

/* A socket of the host's that has no connection any more, in the place of one that may listen. */
static void test_listen_race(void)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "listener" };
	struct race r = { .fd = 200 };
	int listens = 0, failed_one = tcp(allowed, SOCK_NONBLOCK);
	socklen_t len = sizeof listens;
	struct pollfd p = { .fd = failed_one, .events = POLLOUT };
	union sa own;
	pthread_t t;
	long rc;

	(void)make(&own, "0.0.0.0", 7777); /* where it would listen */
	IS(bind(failed_one, &own.sa, sizeof own.v4), 0, "a port of its own");
	rc = connect_to(failed_one, allowed, 9);
	if (rc == -EACCES) { /* by rules whose connections are relayed: then it may listen */
		close(failed_one);
		return;
	}
	IS(rc, -EINPROGRESS, "where nobody serves");
	OK(poll(&p, 1, 10000) == 1, "it has failed");
	OK(connect_to(failed_one, allowed, 9) < 0, "it says so");
	r.fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	r.fds[1] = failed_one;
	(void)unlink(path.sun_path);
	IS(bind(r.fds[0], (struct sockaddr *)&path, sizeof path), 0, "one of AF_UNIX");
	(void)dup2(r.fds[0], r.fd);
	OK(pthread_create(&t, NULL, exchange_sockets, &r) == 0, "a thread");
	for (int i = 0; i < 500 && !listens; i++) {
		(void)listen(r.fd, 1);
		IS(getsockopt(failed_one, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len), 0, "SO_ACCEPTCONN");
	}
	r.over = 1;
	(void)pthread_join(t, NULL);
	/* One that was told too late for the host's socket to take its place is the domain's own, and may. */
	if (listens) {
		int client = tcp("127.0.0.1", 0);

		listens = connect_to(client, "127.0.0.1", 7777) != 0;
		close(client);
	}
	IS(listens, 0, "a socket of the host's listens");
	IS(listen(r.fds[0], 1), 0, "that of AF_UNIX may");
	(void)unlink(path.sun_path);
	close(r.fds[0]);
	close(r.fds[1]);
	close(r.fd);
}

int main(int argc, char **argv)
{
	struct stat st;

	if (argc != 5)
		return 2;
	allowed = argv[1];
	forbidden = argv[2];
	forbidden6 = argv[3];
	port = atoi(argv[4]);
	(void)setvbuf(stdout, NULL, _IONBF, 0); /* children print, too */
	alarm(60); /* whatever hangs is to end */
	(void)signal(SIGPIPE, SIG_IGN);
	OK(fstat(STDIN_FILENO, &st) == 0 && !S_ISSOCK(st.st_mode), "standard input is no socket");
	test_addresses();
	test_fast_open();
	test_datagrams();
	test_reuse();
	test_options();
	test_control();
	test_kinds();
	test_netlink();
	test_passed();
	test_races();
	test_listen_race();
	printf("%d checks, %d failed\n", count, failed);
	return failed ? 1 : 0;
}
