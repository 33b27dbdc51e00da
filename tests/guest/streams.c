/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stream socket does once it is there, as TCP on Linux does it. Passes
 * on the bare kernel too ("streams 127.0.0.1"), and over either transport.
 *
 *   streams ADDRESS       many checks with both ends in one domain
 *   streams many ADDRESS COUNT   COUNT connections, one after the other
 *   streams ports ADDRESS COUNT  the same, closed by the client; waits 20 seconds for ports
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
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
#define OK(cond, what) check((cond) != 0, what, 0, 1)

union sa {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static const char *own;

static socklen_t make(union sa *s, int port)
{
	memset(s, 0, sizeof *s);
	if (strchr(own, ':')) {
		s->v6.sin6_family = AF_INET6;
		s->v6.sin6_port = htons((uint16_t)port);
		inet_pton(AF_INET6, own, &s->v6.sin6_addr);
		return sizeof s->v6;
	}
	s->v4.sin_family = AF_INET;
	s->v4.sin_port = htons((uint16_t)port);
	inet_pton(AF_INET, own, &s->v4.sin_addr);
	return sizeof s->v4;
}

static int family(void)
{
	return strchr(own, ':') ? AF_INET6 : AF_INET;
}

static int tcp(int flags)
{
	return socket(family(), SOCK_STREAM | flags, 0);
}

static int port_at(int fd)
{
	union sa s = { 0 };
	socklen_t n = sizeof s;

	return getsockname(fd, &s.sa, &n) < 0 ? -1 : ntohs(s.v4.sin_port);
}

static long connect_to(int fd, int port)
{
	union sa s;
	socklen_t n = make(&s, port);

	return R(connect(fd, &s.sa, n));
}

static int listener(int backlog, int flags)
{
	int l = tcp(flags);
	union sa s;
	socklen_t n = make(&s, 0);

	IS(bind(l, &s.sa, n), 0, "bind");
	IS(listen(l, backlog), 0, "listen");
	return l;
}

static void pair(int *a, int *b)
{
	int l = listener(5, 0);

	*a = tcp(0);
	IS(connect_to(*a, port_at(l)), 0, "connect");
	*b = accept(l, NULL, NULL);
	OK(*b >= 0, "accept");
	close(l);
}

static int get(int fd, int level, int option)
{
	int v = -4242;
	socklen_t n = sizeof v;

	return getsockopt(fd, level, option, &v, &n) < 0 ? -errno : v;
}

static int set(int fd, int level, int option, int v)
{
	return setsockopt(fd, level, option, &v, sizeof v) < 0 ? -errno : 0;
}

static void test_options(void)
{
	int a, b, l = tcp(0), p[2], six = family() == AF_INET6;
	struct tcp_info info;
	struct ucred cred;
	char name[32] = "", byte = 8;
	socklen_t n = sizeof info;

	pair(&a, &b);
	IS(set(a, IPPROTO_TCP, TCP_NODELAY, 5), 0, "TCP_NODELAY");
	IS(get(a, IPPROTO_TCP, TCP_NODELAY), 1, "reads as 1");
	IS(get(b, IPPROTO_TCP, TCP_NODELAY), 0, "not on the other end");
	IS(set(a, SOL_SOCKET, SO_KEEPALIVE, 1), 0, "SO_KEEPALIVE");
	IS(get(a, SOL_SOCKET, SO_KEEPALIVE), 1, "is on");
	IS(set(a, IPPROTO_TCP, TCP_KEEPIDLE, 60), 0, "TCP_KEEPIDLE");
	IS(get(a, IPPROTO_TCP, TCP_KEEPIDLE), 60, "is kept");
	IS(set(a, IPPROTO_TCP, TCP_KEEPIDLE, 0), -EINVAL, "but not 0");
	IS(set(a, IPPROTO_TCP, TCP_KEEPCNT, 128), -EINVAL, "TCP_KEEPCNT, too much");
	IS(set(a, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000), 0, "TCP_USER_TIMEOUT");
	IS(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &byte, 1), -EINVAL, "a short value");
	IS(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, (void *)8, 4), -EFAULT, "a bad pointer");
	IS(set(a, IPPROTO_TCP, 200, 1), -ENOPROTOOPT, "no such option");
	IS(set(a, IPPROTO_IP, IP_TTL, 0), -EINVAL, "IP_TTL 0");
	IS(setsockopt(a, IPPROTO_IP, IP_TOS, &byte, 1), 0, "IP_TOS, a byte");
	IS(get(a, IPPROTO_IP, IP_TOS), 8, "is kept");
	if (six) {
		IS(set(a, IPPROTO_IPV6, IPV6_TCLASS, 32), 0, "IPV6_TCLASS");
		IS(get(a, IPPROTO_IPV6, IPV6_TCLASS), 32, "is kept");
	}
	IS(get(a, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP, "SO_PROTOCOL");
	IS(get(a, SOL_SOCKET, SO_DOMAIN), family(), "SO_DOMAIN");
	IS(get(b, SOL_SOCKET, SO_TYPE), SOCK_STREAM, "SO_TYPE");
	IS(get(b, SOL_SOCKET, SO_ERROR), 0, "SO_ERROR");
	IS(get(b, SOL_SOCKET, SO_ACCEPTCONN), 0, "SO_ACCEPTCONN");
	IS(getsockopt(b, IPPROTO_TCP, TCP_INFO, &info, &n), 0, "TCP_INFO");
	OK(info.tcpi_state == TCP_ESTABLISHED, "established");
	n = sizeof name;
	IS(getsockopt(b, IPPROTO_TCP, TCP_CONGESTION, name, &n), 0, "TCP_CONGESTION");
	OK(*name, "has a name");
	IS(setsockopt(b, IPPROTO_TCP, TCP_CONGESTION, "no-such-one", 11), -ENOENT, "none of that name");
	n = sizeof cred;
	IS(getsockopt(b, SOL_SOCKET, SO_PEERCRED, &cred, &n), 0, "SO_PEERCRED");
	OK(cred.pid == 0 && cred.uid == (uid_t)-1, "is nobody");
	IS(set(l, SOL_SOCKET, SO_REUSEPORT, 1), 0, "SO_REUSEPORT");
	IS(get(l, SOL_SOCKET, SO_REUSEPORT), 1, "is on");
	IS(set(999, IPPROTO_TCP, TCP_NODELAY, 1), -EBADF, "no descriptor");
	IS(pipe(p), 0, "pipe");
	IS(set(p[0], IPPROTO_TCP, TCP_NODELAY, 1), -ENOTSOCK, "a pipe");
	close(p[0]);
	close(p[1]);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0, "socketpair");
	IS(set(p[0], IPPROTO_TCP, TCP_NODELAY, 1), -EOPNOTSUPP, "a socket that is no TCP socket");
	n = sizeof cred;
	IS(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &cred, &n), 0, "whose peer");
	OK(cred.pid == getpid() && cred.uid == getuid(), "is this process");
	IS(get(p[0], SOL_SOCKET, SO_PROTOCOL), 0, "and has no protocol");
	close(p[0]);
	close(p[1]);
	close(a);
	close(b);
	close(l);
}

/* What a connection has from its listener. */
static void test_inherited(void)
{
	int l = tcp(0), a = tcp(0), b;
	struct timeval t = { .tv_usec = 30000 };
	union sa s;
	socklen_t n = make(&s, 0);
	char c;

	IS(set(l, IPPROTO_TCP, TCP_NODELAY, 1), 0, "TCP_NODELAY of a listener");
	IS(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), 0, "SO_RCVTIMEO of a listener");
	IS(set(l, SOL_SOCKET, SO_KEEPALIVE, 1), 0, "SO_KEEPALIVE of a listener");
	IS(bind(l, &s.sa, n), 0, "bind");
	IS(listen(l, 5), 0, "listen");
	IS(connect_to(a, port_at(l)), 0, "connect");
	b = accept(l, NULL, NULL);
	IS(get(b, IPPROTO_TCP, TCP_NODELAY), 1, "TCP_NODELAY");
	IS(get(b, SOL_SOCKET, SO_KEEPALIVE), 1, "SO_KEEPALIVE");
	IS(recv(b, &c, 1, 0), -EAGAIN, "SO_RCVTIMEO");
	close(a);
	close(b);
	close(l);
}

/* What of these events there is, when it comes: on a busy machine packets are put off. */
static int comes(int fd, int events)
{
	struct pollfd p = { .fd = fd, .events = (short)events };

	return poll(&p, 1, 5000) == 1 ? p.revents & events : 0;
}

static void test_flags(void)
{
	int a, b, v = -1, u[2];
	union sa s;
	socklen_t n = make(&s, 9), full = sizeof s;
	char buf[64] = "";

	pair(&a, &b);
	IS(sendto(a, "data", 4, 0, &s.sa, n), 4, "sendto: the address is ignored");
	IS(sendto(a, (void *)8, 4, 0, &s.sa, n), -EFAULT, "and bad memory is not");
	IS(comes(b, POLLIN), POLLIN, "they come");
	IS(ioctl(b, FIONREAD, &v), 0, "FIONREAD");
	IS(v, 4, "four bytes");
	IS(recv(b, buf, sizeof buf, MSG_ERRQUEUE | MSG_DONTWAIT), -EAGAIN, "no error waits");
	IS(recv(b, buf, 2, MSG_PEEK), 2, "a look");
	IS(recvfrom(b, buf, sizeof buf, 0, &s.sa, &full), 4, "and the data");
	OK(memcmp(buf, "data", 4) == 0, "is what was sent");
	IS(recv(b, buf, 1, MSG_DONTWAIT), -EAGAIN, "and no more");
	IS(send(a, "o", 1, MSG_OOB), 1, "urgent data");
	IS(comes(b, POLLPRI), POLLPRI, "comes");
	IS(recv(b, buf, 1, MSG_OOB), 1, "comes apart");
	close(a);
	IS(read(b, buf, 1), 0, "the end");
	close(b);
	IS(socketpair(AF_UNIX, SOCK_DGRAM, 0, u), 0, "socketpair");
	IS(sendto(u[0], "x", 1, 0, NULL, 0), 1, "a datagram of AF_UNIX");
	IS(recv(u[1], buf, 1, 0), 1, "arrives");
	close(u[0]);
	close(u[1]);
}

/* More than any buffer holds, by a call that a wire does not take by itself. */
static void test_long_send(void)
{
	int a, b, status;
	static char block[1 << 16];
	size_t want = 12 << 20, got = 0;
	union sa s;
	socklen_t n = make(&s, 9);
	ssize_t k;
	pid_t pid;

	pair(&a, &b);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		size_t sent = 0;

		close(b);
		while (sent < want && (k = sendto(a, block, want - sent < sizeof block ? want - sent : sizeof block, 0,
						  &s.sa, n)) > 0)
			sent += (size_t)k;
		_exit(sent == want ? 0 : 1);
	}
	close(a);
	while ((k = read(b, block, sizeof block)) > 0)
		got += (size_t)k;
	waitpid(pid, &status, 0);
	OK(status == 0 && got == want, "all of a long send");
	close(b);
}

static volatile sig_atomic_t pipes;

static void on_pipe(int sig)
{
	(void)sig;
	pipes++;
}

static void test_shutdown(void)
{
	int a, b, l = listener(5, 0), u = tcp(0);
	struct pollfd p;
	union sa s;
	socklen_t n = make(&s, 9);
	char c;

	IS(shutdown(u, SHUT_RDWR), -ENOTCONN, "shutdown, not connected");
	IS(connect_to(u, port_at(l)), 0, "which does not keep it from connecting");
	IS(write(u, "x", 1), -EPIPE, "but from writing");
	b = accept(l, NULL, NULL);
	close(b);
	close(u);
	IS(shutdown(l, SHUT_WR), 0, "half a shutdown of a listener");
	u = tcp(0);
	IS(connect_to(u, port_at(l)), 0, "does nothing");
	IS(shutdown(u, 7), -EINVAL, "no such half");
	IS(shutdown(l, SHUT_RDWR), 0, "a whole one");
	IS(accept(l, NULL, NULL), -EINVAL, "ends it");
	close(u);
	u = tcp(0);
	IS(connect_to(u, port_at(l)), -ECONNREFUSED, "and nobody is let in");
	close(u);
	close(l);
	pair(&a, &b);
	IS(shutdown(a, SHUT_WR), 0, "SHUT_WR");
	p = (struct pollfd){ .fd = b, .events = POLLIN | POLLRDHUP };
	IS(poll(&p, 1, 5000), 1, "is seen");
	OK(p.revents & POLLRDHUP, "as POLLRDHUP");
	IS(read(b, &c, 1), 0, "as the end");
	IS(send(a, "x", 1, MSG_NOSIGNAL), -EPIPE, "send after it");
	IS(sendto(a, "x", 1, MSG_NOSIGNAL, &s.sa, n), -EPIPE, "with an address");
	(void)signal(SIGPIPE, on_pipe);
	IS(sendto(a, "x", 1, 0, &s.sa, n), -EPIPE, "with a signal");
	for (int i = 0; i < 1000 && !pipes; i++)
		usleep(1000);
	OK(pipes == 1, "that comes, once");
	(void)signal(SIGPIPE, SIG_IGN);
	IS(write(b, "y", 1), 1, "the other half");
	IS(read(a, &c, 1), 1, "goes on");
	close(a);
	close(b);
}

/* Descriptors do not travel on a network. */
static void test_rights(void)
{
	union {
		struct cmsghdr h;
		/* cppcheck-suppress unusedStructMember ; it is the room */
		char room[CMSG_SPACE(sizeof(int))];
	} out = { .h = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } }, in;
	char byte = 'x';
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &out, .msg_controllen = sizeof out };
	int a, b, fd = 0;

	pair(&a, &b);
	memcpy(CMSG_DATA(&out.h), &fd, sizeof fd);
	for (int i = 0; i < 2; i++) {
		int from = i ? b : a, to = i ? a : b;
		long rc = R(sendmsg(from, &m, MSG_NOSIGNAL));

		OK(rc == 1 || rc == -EPERM, "a descriptor is not sent, or not alone");
		if (rc != 1)
			IS(write(from, "x", 1), 1, "the byte");
		m.msg_control = &in;
		m.msg_controllen = sizeof in;
		IS(recvmsg(to, &m, 0), 1, "the byte arrives");
		OK(m.msg_controllen == 0, "and nothing beside it");
		m.msg_control = &out;
		m.msg_controllen = sizeof out;
	}
	close(a);
	close(b);
}

static void test_epoll(void)
{
	int a, b, ep = epoll_create1(EPOLL_CLOEXEC), l = listener(5, SOCK_NONBLOCK), c = tcp(SOCK_NONBLOCK);
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.fd = l }, o;
	long rc;

	IS(epoll_ctl(ep, EPOLL_CTL_ADD, l, &e), 0, "epoll, a listener");
	IS(epoll_wait(ep, &o, 1, 0), 0, "nobody");
	rc = connect_to(c, port_at(l));
	OK(rc == 0 || rc == -EINPROGRESS, "connect");
	IS(epoll_wait(ep, &o, 1, 5000), 1, "somebody");
	a = accept(l, NULL, NULL);
	OK(a >= 0, "accept");
	IS(accept(l, NULL, NULL), -EAGAIN, "nobody else");
	e = (struct epoll_event){ .events = EPOLLOUT | EPOLLONESHOT, .data.fd = c };
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, c, &e), 0, "epoll, a client");
	IS(epoll_wait(ep, &o, 1, 5000), 1, "is writable");
	OK(o.events == EPOLLOUT && o.data.fd == c, "and no more than that");
	IS(epoll_wait(ep, &o, 1, 0), 0, "once");
	b = dup(a);
	close(a);
	IS(write(c, "x", 1), 1, "write");
	IS(epoll_wait(ep, &o, 1, 20), 0, "nothing of what is not watched");
	IS(read(b, (char[1]){ 0 }, 1), 1, "a duplicate reads");
	close(b);
	close(c);
	close(l);
	close(ep);
}

/* Non-blocking connects to a queue that is full are on their way, and come in when there is room. */
static void test_full_queue(void)
{
	int l = listener(1, 0), c[3], port = port_at(l);

	for (int i = 0; i < 3; i++) {
		long rc;

		c[i] = tcp(SOCK_NONBLOCK);
		rc = connect_to(c[i], port);
		OK(rc == 0 || rc == -EINPROGRESS, "a connect that does not wait");
	}
	for (int i = 0; i < 3; i++) {
		struct pollfd p = { .fd = c[i], .events = POLLOUT };
		int s = accept(l, NULL, NULL);

		OK(s >= 0, "accept");
		close(s);
		IS(poll(&p, 1, 5000), 1, "connected");
		IS(get(c[i], SOL_SOCKET, SO_ERROR), 0, "without an error");
	}
	for (int i = 0; i < 3; i++)
		close(c[i]);
	close(l);
}

/* Two listeners share a port; both are used. */
static void test_reuseport(void)
{
	int l[2] = { tcp(SOCK_NONBLOCK), tcp(SOCK_NONBLOCK) }, got[2] = { 0 }, c;
	union sa s;
	socklen_t n = make(&s, 0);

	for (int i = 0; i < 2; i++) {
		IS(set(l[i], SOL_SOCKET, SO_REUSEPORT, 1), 0, "SO_REUSEPORT");
		IS(bind(l[i], &s.sa, n), 0, "bind");
		IS(listen(l[i], 64), 0, "listen");
		n = make(&s, port_at(l[0]));
	}
	for (int i = 0; i < 64; i++) {
		struct pollfd p[2] = { { .fd = l[0], .events = POLLIN }, { .fd = l[1], .events = POLLIN } };

		c = tcp(0);
		IS(connect_to(c, port_at(l[0])), 0, "connect");
		poll(p, 2, 5000);
		for (int k = 0; k < 2; k++)
			if (p[k].revents) {
				int a = accept(l[k], NULL, NULL);
				union sa peer = { 0 };
				socklen_t len = sizeof peer;

				got[k] += a >= 0;
				OK(getpeername(a, &peer.sa, &len) == 0 && ntohs(peer.v4.sin_port) == port_at(c),
				   "who it is");
				close(a);
			}
		close(c);
	}
	OK(got[0] + got[1] == 64 && got[0] && got[1], "both have connections");
	close(l[0]);
	n = make(&s, port_at(l[1]));
	for (int i = 0; i < 4; i++) {
		c = tcp(0);
		IS(connect(c, &s.sa, n), 0, "one is closed, the other goes on");
		close(c);
	}
	close(l[1]);
}

static void test_sendfile(void)
{
	int a, b, fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), p[2];
	char buf[4096];
	off_t at = 0;

	pair(&a, &b);
	IS(sendfile(a, fd, &at, 4096), 4096, "sendfile");
	IS(recv(b, buf, sizeof buf, MSG_WAITALL), 4096, "all of it");
	IS(memcmp(buf, "\177ELF", 4), 0, "as it is");
	IS(pipe(p), 0, "pipe");
	IS(write(p[1], "spliced", 7), 7, "write");
	IS(splice(p[0], NULL, b, NULL, 7, 0), 7, "splice");
	IS(recv(a, buf, 7, MSG_WAITALL), 7, "arrives");
	close(p[0]);
	close(p[1]);
	close(fd);
	close(a);
	close(b);
}

static int many(int n)
{
	int l = listener(16, 0), port = port_at(l);

	for (int i = 0; i < n && !failed; i++) {
		int c = tcp(0), s;

		IS(connect_to(c, port), 0, "connect");
		s = accept(l, NULL, NULL);
		OK(s >= 0, "accept");
		close(i % 2 ? c : s);
		close(i % 2 ? s : c);
	}
	return failed != 0;
}

/* A port whose connection the client has closed first can be had again soon. */
static int ports(int n)
{
	int l = listener(16, 0), port = port_at(l);
	struct timespec pause = { .tv_nsec = 50000000 };

	for (int i = 0, tries = 0; i < n && !failed; i++) {
		int c = tcp(0), s;
		long rc = R(connect_to(c, port));

		if (rc == -EADDRNOTAVAIL && tries++ < 400) {
			(void)nanosleep(&pause, NULL);
			i--;
			close(c);
			continue;
		}
		IS(rc, 0, "connect");
		s = accept(l, NULL, NULL);
		OK(s >= 0, "accept");
		close(c);
		close(s);
	}
	return failed != 0;
}

int main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(100);
	if (argc == 4 && strcmp(argv[1], "many") == 0) {
		own = argv[2];
		return many((int)strtol(argv[3], NULL, 10));
	}
	if (argc == 4 && strcmp(argv[1], "ports") == 0) {
		own = argv[2];
		return ports((int)strtol(argv[3], NULL, 10));
	}
	if (argc != 2)
		return 2;
	own = argv[1];
	test_options();
	test_inherited();
	test_flags();
	test_long_send();
	test_shutdown();
	test_rights();
	test_epoll();
	test_full_queue();
	test_reuseport();
	test_sendfile();
	printf("%d checks, %d failed\n", count, failed);
	return failed != 0;
}
