/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An app's network beside its streams. It knows nothing of vrun.
 *
 *   datagrams interfaces     "NAME ADDRESS" for each address of an interface that is up, sorted
 *   datagrams stream         makes a TCP socket; exit code is the errno
 *   datagrams wait           says "ready" and waits for its end
 *   datagrams self V4 V6     many checks in one domain with these addresses
 *   datagrams echo ADDRESS PORT COUNT    says "ready", answers COUNT datagrams, says from where
 *   datagrams send HOW ADDRESS PORT      HOW: connect, sendto, sendmsg, or big (60000 bytes); with :PORT its
 *                                        own. Prints the answer's source; exit code is the errno
 *   datagrams asks NAME...   asks for addresses of both families, says "ready" and waits for its end
 *   datagrams ask HOW NAME TYPE          HOW: udp, tcp. Asks 127.0.0.53; prints code and answers
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int failed, count;

static void check(int ok, const char *what, long got, long want)
{
	count++;
	if (ok)
		return;
	failed++;
	printf("FAILED %s: got %ld, want %ld\n", what, got, want);
}

/* A call's value, or minus errno. */
#define R(call) ({ long r_ = (call); r_ < 0 ? -(long)errno : r_; })
#define IS(call, want, what) do { long g_ = R(call), w_ = (want); check(g_ == w_, what, g_, w_); } while (0)

union sa {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t make(union sa *s, const char *ip, int port)
{
	memset(s, 0, sizeof *s);
	if (strchr(ip, ':')) {
		s->v6.sin6_family = AF_INET6;
		s->v6.sin6_port = htons((uint16_t)port);
		inet_pton(AF_INET6, ip, &s->v6.sin6_addr);
		return sizeof s->v6;
	}
	s->v4.sin_family = AF_INET;
	s->v4.sin_port = htons((uint16_t)port);
	inet_pton(AF_INET, ip, &s->v4.sin_addr);
	return sizeof s->v4;
}

static const char *text_of(const union sa *s)
{
	static char buf[64];

	inet_ntop(s->sa.sa_family, s->sa.sa_family == AF_INET6 ? (const void *)&s->v6.sin6_addr :
								 (const void *)&s->v4.sin_addr, buf, sizeof buf);
	return buf;
}

static int udp(const char *ip)
{
	return socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static long bind_to(int fd, const char *ip, int port)
{
	union sa s = { 0 };
	socklen_t n = make(&s, ip, port);

	if (strcmp(ip, "unspec") == 0)
		s.sa.sa_family = AF_UNSPEC;
	return R(bind(fd, &s.sa, n));
}

static long connect_to(int fd, const char *ip, int port)
{
	union sa s = { 0 };
	socklen_t n = make(&s, ip, port);

	return R(connect(fd, &s.sa, n));
}

static long send_to(int fd, const char *ip, int port)
{
	union sa s = { 0 };
	socklen_t n = make(&s, ip, port);

	return R(sendto(fd, "x", 1, 0, &s.sa, n));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int interfaces(void)
{
	static char lines[64][128];
	struct ifaddrs *all;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return errno;
	for (struct ifaddrs *i = all; i && n < 64; i = i->ifa_next)
		if (i->ifa_addr && (i->ifa_flags & IFF_UP) &&
		    (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			snprintf(lines[n++], sizeof *lines, "%s %s\n", i->ifa_name,
				 text_of((const union sa *)i->ifa_addr));
	freeifaddrs(all);
	qsort(lines, n, sizeof *lines, by_text);
	for (size_t i = 0; i < n; i++)
		fputs(lines[i], stdout);
	return 0;
}

/* --- in one domain ----------------------------------------------------------------- */

static int port_at(int fd)
{
	union sa s = { 0 };
	socklen_t n = sizeof s;

	return getsockname(fd, &s.sa, &n) < 0 ? -1 : ntohs(s.v4.sin_port);
}

/* A server at ip, a client to `to`, a word and its answer. */
static void pair(const char *ip, const char *to)
{
	int s = udp(ip), c = udp(to), port;
	union sa from = { .sa.sa_family = AF_UNSPEC };
	socklen_t n = sizeof from;
	char buf[8], what[96];

	snprintf(what, sizeof what, "pair %s %s", ip, to);
	IS(bind_to(s, ip, 0), 0, what);
	port = port_at(s);
	IS(connect_to(c, to, port), 0, what);
	IS(send(c, "ping", 4, 0), 4, what);
	IS(recvfrom(s, buf, sizeof buf, 0, &from.sa, &n), 4, what);
	IS(sendto(s, "pong!", 5, 0, &from.sa, n), 5, what);
	IS(recv(c, buf, sizeof buf, 0), 5, what);
	close(s);
	IS(send(c, "x", 1, 0), 1, what);
	IS(recv(c, buf, sizeof buf, 0), -ECONNREFUSED, "nobody is there");
	IS(connect(c, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)), 0, "disconnect");
	close(c);
}

static void test_options(void)
{
	int four = udp("0.0.0.0"), six = udp("::"), on = 1, v = 0, stream = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t n = sizeof v;

	IS(setsockopt(four, SOL_IP, IP_RECVERR, &on, sizeof on), 0, "IP_RECVERR");
	IS(setsockopt(four, SOL_IP, IP_PKTINFO, &on, sizeof on), 0, "IP_PKTINFO");
	IS(setsockopt(six, SOL_IPV6, IPV6_RECVERR, &on, sizeof on), 0, "IPV6_RECVERR");
	IS(setsockopt(six, SOL_IPV6, IPV6_RECVPKTINFO, &on, sizeof on), 0, "IPV6_RECVPKTINFO");
	IS(setsockopt(six, SOL_IPV6, IPV6_V6ONLY, &on, sizeof on), 0, "IPV6_V6ONLY");
	IS(getsockopt(six, SOL_IPV6, IPV6_V6ONLY, &v, &n), 0, "IPV6_V6ONLY");
	IS(v, 1, "as it was set");
	IS(getsockopt(four, SOL_SOCKET, SO_DOMAIN, &v, &n), 0, "SO_DOMAIN");
	IS(v, AF_INET, "of its own family");
	IS(setsockopt(four, SOL_IP, IP_RECVERR, (void *)8, sizeof on), -EFAULT, "pointer");
	IS(setsockopt(four, SOL_IP, IP_TRANSPARENT, &on, sizeof on), -ENOPROTOOPT, "IP_TRANSPARENT");
	IS(setsockopt(four, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), -ENOPROTOOPT, "SO_BINDTODEVICE");
	IS(setsockopt(stream, SOL_IP, IP_RECVERR, &on, sizeof on), -ENOPROTOOPT, "IP_RECVERR of a stream");
	close(four);
	close(six);
	close(stream);
}

static void test_refused(void)
{
	int four = udp("0.0.0.0"), six = udp("::"), on = 1;
	union sa s = { 0 };

	make(&s, "127.0.0.1", 9);
	IS(socket(AF_INET, SOCK_RAW, IPPROTO_UDP), -EACCES, "raw sockets");
	IS(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), -EACCES, "ping sockets");
	IS(bind_to(four, "203.0.113.1", 0), -EADDRNOTAVAIL, "an address of others");
	IS(bind_to(four, "224.0.0.1", 0), -EADDRNOTAVAIL, "an address of many");
	IS(send_to(four, "224.0.0.1", 5353), -ENETUNREACH, "multicast");
	IS(connect_to(six, "ff02::1", 5353), -ENETUNREACH, "multicast");
	IS(setsockopt(four, SOL_SOCKET, SO_BROADCAST, &on, sizeof on), 0, "SO_BROADCAST");
	IS(send_to(four, "255.255.255.255", 67), -ENETUNREACH, "broadcast");
	IS(send_to(four, "192.0.2.1", 53), -EACCES, "outside");
	IS(connect_to(six, "2001:db8::1", 53), -EACCES, "outside");
	IS(sendto(four, "x", 1, 0, (void *)8, sizeof s.v4), -EFAULT, "pointer");
	IS(sendto(four, "x", 1, 0, &s.sa, 3), -EINVAL, "short");
	IS(sendto(four, "x", 1, 0, &s.sa, 4096), -EINVAL, "long");
	IS(sendto(9999, "x", 1, 0, &s.sa, sizeof s.v4), -EBADF, "no descriptor");
	IS(connect(four, &s.sa, 3), -EINVAL, "connect, short");
	IS(listen(four, 1), -EOPNOTSUPP, "listen");
	IS(accept(four, NULL, NULL), -EOPNOTSUPP, "accept");
	close(four);
	close(six);
}

/* Ancillary data says where a datagram comes from: only from the domain's own addresses. */
static void test_source(const char *own, const char *other)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} ctl = { 0 };
	struct in_pktinfo info = { .ipi_ifindex = 0 };
	union sa to = { 0 };
	struct iovec iov = { (char[]){ 'x' }, 1 };
	struct msghdr m = { .msg_name = &to, .msg_namelen = make(&to, "127.0.0.1", 9), .msg_iov = &iov,
			    .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int fd = udp("0.0.0.0");

	h->cmsg_level = SOL_IP;
	h->cmsg_type = IP_PKTINFO;
	h->cmsg_len = CMSG_LEN(sizeof info);
	inet_pton(AF_INET, own, &info.ipi_spec_dst);
	memcpy(CMSG_DATA(h), &info, sizeof info);
	IS(sendmsg(fd, &m, 0), 1, "a source of its own");
	inet_pton(AF_INET, other, &info.ipi_spec_dst);
	memcpy(CMSG_DATA(h), &info, sizeof info);
	IS(sendmsg(fd, &m, 0) < 0, 1, "a source of others"); /* EINVAL or, later, ENETUNREACH */
	close(fd);
}

static void test_ports(void)
{
	int a = udp("0.0.0.0"), b = udp("0.0.0.0"), dns = udp("0.0.0.0"), second = udp("0.0.0.0");

	IS(bind_to(a, "0.0.0.0", 7777), 0, "bind");
	IS(bind_to(a, "0.0.0.0", 7778), -EINVAL, "again");
	IS(bind_to(b, "127.0.0.1", 7777), -EADDRINUSE, "in the way");
	IS(bind_to(dns, "0.0.0.0", 53), 0, "a name server of one's own");
	IS(bind_to(second, "0.0.0.0", 53), -EADDRINUSE, "and one only");
	close(a);
	close(b);
	close(dns);
	close(second);
}

static int self(const char *own4, const char *own6)
{
	pair("127.0.0.1", "127.0.0.1");
	pair("0.0.0.0", "127.0.0.1");
	pair("::1", "::1");
	pair("::", "::1");
	pair("::", "127.0.0.1");
	pair("0.0.0.0", own4);
	pair(own6, own6);
	test_options();
	test_refused();
	test_ports();
	test_source(own4, "10.88.0.99");
	printf("%d checks, %d failed\n", count, failed);
	return failed != 0;
}

/* --- between domains ------------------------------------------------------------------- */

static int echo(const char *ip, int port, int n)
{
	static char buf[65536];
	int fd = udp(ip);
	long rc = bind_to(fd, ip, port);

	if (rc < 0)
		return (int)-rc;
	printf("ready\n");
	fflush(stdout);
	while (n-- > 0) {
		union sa from = { 0 };
		socklen_t len = sizeof from;
		ssize_t got = recvfrom(fd, buf, sizeof buf, 0, &from.sa, &len);

		printf("%zd from %s\n", got, text_of(&from));
		fflush(stdout);
		if (got < 0 || sendto(fd, buf, (size_t)got, 0, &from.sa, len) != got)
			return errno;
	}
	return 0;
}

static long send_one(int fd, const char *how, const char *ip, int port, const char *data, size_t size)
{
	union sa to = { 0 };
	socklen_t len = make(&to, ip, port);
	struct iovec iov = { (void *)(uintptr_t)data, size };
	struct msghdr m = { .msg_name = &to, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1 };

	if (strncmp(how, "sendmsg", 7) == 0)
		return R(sendmsg(fd, &m, 0));
	if (strncmp(how, "sendto", 6) == 0)
		return R(sendto(fd, data, size, 0, &to.sa, len));
	if (connect(fd, &to.sa, len) < 0)
		return -errno;
	return R(send(fd, data, size, 0));
}

static int send_and_wait(const char *how, const char *ip, int port, int patience_ms)
{
	static char data[60000], buf[65536];
	size_t size = strncmp(how, "big", 3) == 0 ? sizeof data : 5;
	const char *own = strchr(how, ':');
	int fd = udp(ip);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	union sa from = { 0 };
	socklen_t len = sizeof from;
	ssize_t got;
	long rc = own ? bind_to(fd, strchr(ip, ':') ? "::" : "0.0.0.0", atoi(own + 1)) : 0;

	memset(data, 'd', sizeof data);
	if (rc == 0)
		rc = send_one(fd, how, ip, port, data, size);
	if (rc < 0)
		return (int)-rc;
	if (poll(&p, 1, patience_ms) == 0)
		return ETIMEDOUT;
	got = recvfrom(fd, buf, sizeof buf, 0, &from.sa, &len);
	if (got < 0)
		return errno;
	printf("%zd from %s\n", got, text_of(&from));
	return memcmp(buf, data, (size_t)got) != 0;
}

/* --- names --------------------------------------------------------------------------------- */

static size_t put_name(uint8_t *p, const char *name)
{
	uint8_t *start = p;

	while (*name) {
		size_t n = strcspn(name, ".");

		*p++ = (uint8_t)n;
		memcpy(p, name, n);
		p += n;
		name += n + (name[n] == '.');
	}
	*p++ = 0;
	return (size_t)(p - start);
}

/* Answers have the question's name in full, or a pointer to it. */
static const uint8_t *skip_name(const uint8_t *p)
{
	while (*p && *p < 0xc0)
		p += *p + 1;
	return p + (*p ? 2 : 1);
}

static void print_answers(const uint8_t *m)
{
	const uint8_t *p = m + 12;
	int n = m[6] << 8 | m[7];
	char text[256];

	printf("code %d%s", m[3] & 15, m[2] & 2 ? " cut" : "");
	for (int i = m[4] << 8 | m[5]; i > 0; i--)
		p = skip_name(p) + 4;
	for (; n > 0; n--) {
		int type, len;

		p = skip_name(p);
		type = p[0] << 8 | p[1];
		len = p[8] << 8 | p[9];
		p += 10;
		if (type == 1 || type == 28)
			printf(" %s", inet_ntop(type == 1 ? AF_INET : AF_INET6, p, text, sizeof text));
		else if (type == 12)
			printf(" %.*s", p[0], (const char *)p + 1);
		else
			printf(" type%d", type);
		p += len;
	}
	printf("\n");
}

static int ask(const char *how, const char *name, int type, int quiet)
{
	static uint8_t m[2 + 65536];
	static const uint8_t head[] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	size_t len = 12 + put_name(m + 14, name);
	int tcp = strcmp(how, "tcp") == 0;
	int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	long rc = connect_to(fd, "127.0.0.53", 53), got;

	memcpy(m + 2, head, sizeof head);
	m[2 + len++] = (uint8_t)(type >> 8);
	m[2 + len++] = (uint8_t)type;
	m[2 + len++] = 0;
	m[2 + len++] = 1;
	m[0] = (uint8_t)(len >> 8);
	m[1] = (uint8_t)len;
	if (rc == 0)
		rc = tcp ? R(send(fd, m, len + 2, 0)) : R(send(fd, m + 2, len, 0));
	if (rc < 0)
		return (int)-rc;
	if (poll(&p, 1, 15000) == 0)
		return ETIMEDOUT;
	got = R(recv(fd, tcp ? m : m + 2, sizeof m - 2, 0));
	if (got < 12)
		return got < 0 ? (int)-got : EPROTO;
	if (!quiet)
		print_answers(m + 2);
	return 0;
}

int main(int argc, char **argv)
{
	/* What is lost is not waited for for ever; who waits to be ended is no matter of time. */
	alarm(argc == 2 && strcmp(argv[1], "wait") == 0 ? 0 : 100);
	if (argc == 2 && strcmp(argv[1], "interfaces") == 0)
		return interfaces();
	if (argc == 4 && strcmp(argv[1], "self") == 0)
		return self(argv[2], argv[3]);
	if (argc == 2 && strcmp(argv[1], "stream") == 0)
		return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
	if (argc == 2 && strcmp(argv[1], "wait") == 0) {
		puts("ready");
		fflush(stdout);
		pause();
	}
	if (argc > 2 && strcmp(argv[1], "asks") == 0) {
		for (int i = 2; i < argc; i++)
			if (ask("udp", argv[i], 1, 1) != 0 || ask("udp", argv[i], 28, 1) != 0)
				return 1;
		puts("ready");
		fflush(stdout);
		pause();
	}
	if (argc == 5 && strcmp(argv[1], "echo") == 0)
		return echo(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc == 5 && strcmp(argv[1], "send") == 0)
		return send_and_wait(argv[2], argv[3], atoi(argv[4]), 15000);
	if (argc == 5 && strcmp(argv[1], "lose") == 0) /* nothing is to come back */
		return send_and_wait(argv[2], argv[3], atoi(argv[4]), 1000);
	if (argc == 5 && strcmp(argv[1], "ask") == 0)
		return ask(argv[2], argv[3], atoi(argv[4]), 0);
	return 2;
}
