/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket calls with exact expectations, as Linux answers them. It knows
 * nothing of vrun and passes on the bare kernel too ("sockets self ::1"), with
 * an address that is the machine's.
 *
 *   sockets self [ADDRESS]     many checks in one domain
 *   sockets serve ADDRESS PORT [COUNT]   says "ready", echoes COUNT connections
 *   sockets call ADDRESS PORT  sends a word, wants it back; exit code is the errno
 *   sockets rate COUNT         time of connect, accept and close
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"

static void names_are(int fd, const char *local, const char *peer, const char *what)
{
	union sa s = { 0 };
	socklen_t n = sizeof s;
	char a[64] = "", b[64] = "";

	if (getsockname(fd, &s.sa, &n) == 0)
		text_of(&s, a, sizeof a);
	n = sizeof s;
	if (getpeername(fd, &s.sa, &n) == 0)
		text_of(&s, b, sizeof b);
	check(strcmp(a, local) == 0 && strcmp(b, peer) == 0, what, 0, 0);
	if (strcmp(a, local) != 0 || strcmp(b, peer) != 0)
		printf("  names: %s <- %s, want %s <- %s\n", a, b, local, peer);
}

/* Linux connects a socket with itself, when of all ports it gives it the one that it connects to. */
static long connect_to_nobody(int fd, const char *ip, int port)
{
	long rc = connect_to(fd, ip, port);

	return (rc == 0 || rc == -EISCONN) && port_at(fd) == port ? -ECONNREFUSED : rc;
}

static void pair(const char *ip, const char *to, const char *seen)
{
	int l = tcp(ip, SOCK_CLOEXEC), c = tcp(to, 0), s, port;
	union sa peer = { 0 };
	socklen_t n = sizeof peer;
	char buf[64], what[160];

	snprintf(what, sizeof what, "pair %s %s", ip, to);
	IS(bind_to(l, ip, 0), 0, what);
	IS(listen(l, 5), 0, what);
	port = port_at(l);
	OK(port > 1023, what);
	IS(connect_to(c, to, port), 0, what);
	s = accept4(l, &peer.sa, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	IS(s, s < 0 ? 0 : s, what);
	OK((fcntl(s, F_GETFL) & O_NONBLOCK) && (fcntl(s, F_GETFD) & FD_CLOEXEC), "flags of accept4");
	OK(!(fcntl(c, F_GETFD) & FD_CLOEXEC) && (fcntl(l, F_GETFD) & FD_CLOEXEC), "flags of socket");
	OK(port_of(&peer) == port_at(c), "the client's port");
	OK(strcmp(text_of(&peer, buf, sizeof buf), seen) == 0, "the client's address");
	if (strcmp(buf, seen) != 0)
		printf("  %s: seen as %s, want %s\n", what, buf, seen);
	fcntl(s, F_SETFL, 0);
	names_are(s, seen, seen, what);
	exchange(c, s, what);
	IS(connect_to(c, to, port), -EISCONN, "a second connect");
	IS(shutdown(c, SHUT_WR), 0, what);
	IS(read(s, buf, 1), 0, "the end of a half");
	IS(write(s, "x", 1), 1, what);
	IS(read(c, buf, 1), 1, "the other half");
	close(s);
	close(c);
	c = tcp(to, 0);
	close(l);
	IS(connect_to_nobody(c, to, port), -ECONNREFUSED, "nobody there");
	IS(connect_to_nobody(c, to, port), -ECONNREFUSED, "nor again");
	close(c);
}

static void test_nonblocking(const char *ip)
{
	int l = tcp(ip, SOCK_NONBLOCK), c = tcp(ip, SOCK_NONBLOCK), s, e = -1;
	struct pollfd p = { .fd = c, .events = POLLOUT };
	socklen_t n = sizeof e;
	long rc;

	IS(bind_to(l, ip, 0), 0, "bind");
	IS(accept(l, NULL, NULL), -EINVAL, "accept before listen");
	IS(listen(l, 5), 0, "listen");
	IS(accept(l, NULL, NULL), -EAGAIN, "nobody there yet");
	rc = connect_to(c, ip, port_at(l));
	OK(rc == -EINPROGRESS || rc == 0, "connect is on its way");
	IS(poll(&p, 1, 5000), 1, "and writable");
	IS(getsockopt(c, SOL_SOCKET, SO_ERROR, &e, &n), 0, "SO_ERROR");
	OK(e == 0, "is no error");
	p = (struct pollfd){ .fd = l, .events = POLLIN };
	IS(poll(&p, 1, 5000), 1, "the listener is readable");
	s = accept(l, NULL, NULL);
	OK(s >= 0 && !(fcntl(s, F_GETFL) & O_NONBLOCK), "accept does not inherit");
	fcntl(c, F_SETFL, 0);
	exchange(c, s, "non-blocking");
	close(l);
	close(s);
	close(c);
	c = tcp(ip, SOCK_NONBLOCK);
	rc = connect_to(c, ip, 1);
	p = (struct pollfd){ .fd = c, .events = POLLOUT };
	if (rc == -EINPROGRESS && poll(&p, 1, 5000) == 1 && getsockopt(c, SOL_SOCKET, SO_ERROR, &e, &n) == 0)
		rc = -e;
	OK(rc == -ECONNREFUSED, "refused");
	close(c);
}

static void test_conflicts(void)
{
	int a = tcp("0.0.0.0", 0), b = tcp("0.0.0.0", 0), six = tcp("::", 0), on = 1, port;

	IS(bind_to(a, "127.0.0.1", 0), 0, "bind");
	port = port_at(a);
	IS(bind_to(a, "127.0.0.1", 0), -EINVAL, "bind twice");
	IS(bind_to(b, "127.0.0.1", port), -EADDRINUSE, "the same");
	IS(bind_to(b, "0.0.0.0", port), -EADDRINUSE, "the wildcard over it");
	IS(bind_to(six, "::", port), -EADDRINUSE, "the dual wildcard over it");
	IS(bind_to(six, "::ffff:127.0.0.1", port), -EADDRINUSE, "the same, mapped");
	IS(setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on), 0, "V6ONLY");
	IS(bind_to(six, "::", port), 0, "IPv6 only");
	IS(bind_to(b, "127.0.0.2", port), 0, "another address of loopback");
	close(b);
	b = tcp("0.0.0.0", 0);
	IS(setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0, "SO_REUSEADDR");
	IS(bind_to(b, "127.0.0.1", port), -EADDRINUSE, "one side alone does not share");
	close(a);
	IS(bind_to(b, "127.0.0.1", port), 0, "a closed one leaves room");
	a = tcp("0.0.0.0", 0);
	IS(setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0, "SO_REUSEADDR");
	IS(bind_to(a, "127.0.0.1", port), 0, "both share");
	IS(listen(a, 1), 0, "the first listens");
	IS(listen(b, 1), -EADDRINUSE, "the second may not");
	close(a);
	close(b);
	close(six);
	a = tcp("0.0.0.0", 0);
	b = tcp("0.0.0.0", 0);
	setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	IS(bind_to(a, "0.0.0.0", port), 0, "SO_REUSEPORT");
	IS(bind_to(b, "0.0.0.0", port), 0, "both");
	IS(listen(a, 1), 0, "listen");
	IS(listen(b, 1), 0, "both");
	close(a);
	close(b);
	a = tcp("0.0.0.0", 0);
	IS(bind_to(a, "203.0.113.77", 0), -EADDRNOTAVAIL, "an address of others");
	close(a);
}

/* What garbage gets. */
static void test_garbage(void)
{
	int fd = tcp("127.0.0.1", 0), p[2], v = -1;
	socklen_t n = sizeof v;
	union sa s = { 0 };

	make(&s, "127.0.0.1", 0);
	IS(bind(fd, (void *)8, sizeof s.v4), -EFAULT, "bind, pointer");
	IS(bind(fd, &s.sa, 3), -EINVAL, "bind, short");
	IS(bind(fd, &s.sa, 4096), -EINVAL, "bind, long");
	IS(bind(fd, &s.sa, (socklen_t)-1), -EINVAL, "bind, negative");
	IS(bind(fd, NULL, 0), -EINVAL, "bind, nothing");
	s.v4.sin_family = AF_INET6;
	IS(bind(fd, &s.sa, sizeof s.v4), -EAFNOSUPPORT, "bind, family");
	IS(connect(fd, (void *)8, sizeof s.v4), -EFAULT, "connect, pointer");
	s.v4.sin_family = AF_INET;
	IS(connect(fd, &s.sa, 8), -EINVAL, "connect, short");
	IS(bind(9999, &s.sa, sizeof s.v4), -EBADF, "bind, no descriptor");
	IS(connect(-1, &s.sa, sizeof s.v4), -EBADF, "connect, no descriptor");
	IS(pipe(p), 0, "pipe");
	IS(bind(p[0], &s.sa, sizeof s.v4), -ENOTSOCK, "bind, a pipe");
	IS(listen(p[0], 1), -ENOTSOCK, "listen, a pipe");
	IS(accept(p[0], NULL, NULL), -ENOTSOCK, "accept, a pipe");
	IS(getsockname(p[0], &s.sa, &n), -ENOTSOCK, "getsockname, a pipe");
	IS(getpeername(fd, &s.sa, &n), -ENOTCONN, "getpeername");
	n = sizeof s;
	IS(getsockname(fd, (void *)8, &n), -EFAULT, "getsockname, pointer");
	IS(getsockname(fd, &s.sa, (void *)8), -EFAULT, "getsockname, pointer to length");
	n = (socklen_t)-1;
	IS(getsockname(fd, &s.sa, &n), -EINVAL, "getsockname, negative");
	n = 2;
	s.v4.sin_port = 0x5555;
	IS(getsockname(fd, &s.sa, &n), 0, "getsockname, short");
	OK(n == sizeof s.v4 && s.v4.sin_port == 0x5555, "it says the whole length and writes no more");
	IS(accept4(fd, NULL, NULL, 0x123), -EINVAL, "accept4, flags");
	IS(accept(fd, NULL, NULL), -EINVAL, "accept, no listener");
	IS(socket(AF_INET, SOCK_STREAM | 0x100000, 0), -EINVAL, "socket, flags");
	IS(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT, "socket, protocol");
	IS(listen(fd, 1), 0, "listen without bind");
	OK(port_at(fd) > 1023, "has a port");
	IS(connect_to(fd, "127.0.0.1", 5), -EISCONN, "a listener does not connect");
	n = sizeof v;
	IS(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &v, &n), 0, "SO_DOMAIN");
	OK(v == AF_INET, "is what was asked for");
	IS(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v, sizeof v), -ENOPROTOOPT, "V6ONLY of IPv4");
	IS(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, (void *)8, &n), -EFAULT, "getsockopt, pointer");
	v = 1;
	IS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v), 0, "TCP_NODELAY");
	close(fd);
	close(p[0]);
	close(p[1]);
}

static int prefork_listener;

static void *accept_one(void *arg)
{
	int s = accept(prefork_listener, NULL, NULL);

	(void)arg;
	if (s >= 0)
		close(s);
	return s >= 0 ? "" : NULL;
}

/* One listener in two processes, and its duplicates. */
static void test_fork(void)
{
	int l = tcp("127.0.0.1", 0), d, c, port, status;
	char buf[2];
	pid_t pid;

	IS(bind_to(l, "127.0.0.1", 0), 0, "bind");
	d = dup(l);
	IS(listen(d, 8), 0, "listen on a duplicate");
	port = port_at(l);
	pid = fork();
	if (pid == 0) {
		int s = accept(l, NULL, NULL);

		_exit(s >= 0 && write(s, "c", 1) == 1 ? 0 : 1);
	}
	close(l);
	c = tcp("127.0.0.1", 0);
	IS(connect_to(c, "127.0.0.1", port), 0, "connect");
	IS(read(c, buf, 1), 1, "the child accepted");
	close(c);
	waitpid(pid, &status, 0);
	OK(status == 0, "the child is content");
	c = tcp("127.0.0.1", 0);
	prefork_listener = d;
	pthread_t t[3];
	void *r;
	for (int i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, accept_one, NULL) == 0, "thread");
	for (int i = 0; i < 3; i++) {
		int k = tcp("127.0.0.1", 0);

		IS(connect_to(k, "127.0.0.1", port), 0, "connect to one of three");
		close(k);
	}
	for (int i = 0; i < 3; i++)
		OK(pthread_join(t[i], &r) == 0 && r, "each thread had one");
	close(c);
	close(d);
}

static int self(const char *own)
{
	pair("127.0.0.1", "127.0.0.1", "127.0.0.1");
	pair("0.0.0.0", "127.0.0.1", "127.0.0.1");
	pair("::1", "::1", "::1");
	pair("::", "::1", "::1");
	pair("::", "::ffff:127.0.0.1", "::ffff:127.0.0.1");
	if (own) {
		pair(own, own, own);
		pair(strchr(own, ':') ? "::" : "0.0.0.0", own, own);
	}
	test_nonblocking("127.0.0.1");
	test_nonblocking("::1");
	test_conflicts();
	test_garbage();
	test_fork();
	test_waiting();
	test_waiting_for_one_of_two();
	test_waiting_in_vain();
	test_restart();
	test_killed();
	test_busy();
	test_shared();
	printf("%d checks, %d failed\n", count, failed);
	return failed != 0;
}

static int serve(const char *ip, int port, int n)
{
	int l = tcp(ip, 0), on = 1;
	long rc;

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if ((rc = bind_to(l, ip, port)) < 0 || (rc = R(listen(l, 16))) < 0)
		return (int)-rc;
	printf("ready\n");
	fflush(stdout);
	while (n-- > 0) {
		union sa s = { 0 };
		socklen_t len = sizeof s;
		char buf[64];
		int c = accept(l, &s.sa, &len);
		ssize_t got = read(c, buf, sizeof buf);

		printf("from %s\n", text_of(&s, buf + 32, 32));
		fflush(stdout);
		if (c < 0 || got < 0 || write(c, buf, (size_t)got) != got)
			return 1;
		close(c);
	}
	return 0;
}

static int call(const char *ip, int port)
{
	int c = tcp(ip, 0);
	char buf[16] = "";
	long rc = connect_to(c, ip, port);
	union sa s = { 0 };
	socklen_t n = sizeof s;

	if (rc < 0)
		return (int)-rc;
	if (getpeername(c, &s.sa, &n) < 0 || write(c, "hello", 5) != 5 || read(c, buf, sizeof buf) != 5)
		return 120;
	printf("%s from %s\n", buf, text_of(&s, (char[64]){ 0 }, 64));
	return strcmp(buf, "hello") == 0 ? 0 : 121;
}

static int rate(int n)
{
	int l = tcp("127.0.0.1", 0), port;
	struct timespec a, b;
	char c;

	if (bind_to(l, "127.0.0.1", 0) < 0 || listen(l, 128) < 0)
		return 1;
	port = port_at(l);
	if (fork() == 0) {
		for (int i = 0; i < n; i++)
			close(accept(l, NULL, NULL));
		_exit(0);
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++) {
		int k = tcp("127.0.0.1", 0);

		if (connect_to(k, "127.0.0.1", port) < 0)
			return 1;
		(void)!read(k, &c, 1);
		close(k);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%.2f us/connection\n", ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e3 / n);
	wait(NULL);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	alarm(0);
	if (argc >= 2 && strcmp(argv[1], "self") == 0)
		return self(argc > 2 ? argv[2] : NULL);
	if (argc >= 4 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2], atoi(argv[3]), argc > 4 ? atoi(argv[4]) : 1);
	if (argc == 4 && strcmp(argv[1], "call") == 0)
		return call(argv[2], atoi(argv[3]));
	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return share_child(argv[2]);
	if (argc == 3 && strcmp(argv[1], "rate") == 0)
		return rate(atoi(argv[2]));
	return 2;
}
