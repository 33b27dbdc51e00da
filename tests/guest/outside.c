/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outside serve PORT          echoes at PORT, greets at PORT+1; writes "ready"
 * outside ask ADDRESS PORT    what an app can do with connections that leave the
 *                             machine: exact calls; nobody listens at PORT+2
 * outside try ADDRESS PORT    one connect, and what it says
 * Exits 0 when all is as on any Linux.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"

static const char *address;
static int port;

/* --- the server --------------------------------------------------------------------- */

static void serve_one(int c, int greet)
{
	char buf[65536];
	ssize_t n;

	if (greet)
		(void)!write(c, "hello\n", 6);
	while ((n = read(c, buf, sizeof buf)) > 0)
		if (write(c, buf, (size_t)n) != n)
			break;
	_exit(0);
}

static int serve(int at)
{
	int l[2];

	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 2; i++) {
		int on = 1;

		l[i] = tcp("::", 0);
		setsockopt(l[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (bind_to(l[i], "::", at + i) < 0 || listen(l[i], 128) < 0) {
			perror("outside serve");
			return 1;
		}
	}
	(void)!write(STDOUT_FILENO, "ready\n", 6);
	for (;;) {
		struct pollfd p[2] = { { l[0], POLLIN, 0 }, { l[1], POLLIN, 0 } };

		(void)poll(p, 2, -1);
		for (int i = 0; i < 2; i++) {
			int c = (p[i].revents & POLLIN) ? accept(l[i], NULL, NULL) : -1;

			if (c >= 0 && fork() == 0)
				serve_one(c, i);
			if (c >= 0)
				close(c);
		}
	}
}

/* --- what apps do -------------------------------------------------------------------- */

/* What is written to one comes back to the other. */
static void echo(int to, int from, const char *what)
{
	char buf[16] = "";

	IS(write(to, "ping", 4), 4, what);
	IS(recv(from, buf, 4, MSG_WAITALL), 4, what);
	OK(memcmp(buf, "ping", 4) == 0, what);
}

static int ready(int fd, int events, int ms)
{
	struct pollfd p = { fd, (short)events, 0 };

	return poll(&p, 1, ms) == 1 ? p.revents : 0;
}

static int error_of(int fd)
{
	int e = -1;
	socklen_t len = sizeof e;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	return e;
}

static int descriptors(void)
{
	int n = 0;

	for (int i = 0; i < 256; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

/* The host's are not shown; its own are. */
static void show_interfaces(int fd)
{
	struct ifreq r[8] = { 0 };
	struct ifconf c = { .ifc_len = sizeof r, .ifc_req = r };
	int own = socket(AF_INET, SOCK_DGRAM, 0), room;

	IS(ioctl(fd, SIOCGIFCONF, &c), -ENOTTY, "interfaces of a socket that leads outside");
	strcpy(r[0].ifr_name, "lo");
	IS(ioctl(fd, SIOCGIFADDR, &r[0]), -ENOTTY, "nor an address");
	IS(ioctl(own, SIOCGIFADDR, &r[0]), 0, "of a socket of its own");
	OK(((struct sockaddr_in *)&r[0].ifr_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK), "its address");
	IS(ioctl(own, SIOCGIFCONF, &c), 0, "all of them");
	OK(c.ifc_len > 0 && strcmp(r[0].ifr_name, "lo") == 0, "lo among them");
	c.ifc_req = NULL;
	IS(ioctl(own, SIOCGIFCONF, &c), 0, "how many");
	OK(c.ifc_len > 0, "some");
	room = c.ifc_len;
	c.ifc_len = -1073645168;
	IS(ioctl(own, SIOCGIFCONF, &c), 0, "how many, with a length that means nothing");
	IS(c.ifc_len, room, "as many");
	c = (struct ifconf){ .ifc_len = -1, .ifc_req = r };
	IS(ioctl(own, SIOCGIFCONF, &c), 0, "with less than no room");
	IS(c.ifc_len, 0, "none");
	IS(ioctl(own, SIOCGIFCONF, NULL), -EFAULT, "no memory");
	IS(ioctl(STDIN_FILENO, SIOCGIFCONF, &c), -ENOTTY, "no socket");
	close(own);
}

static void test_blocking(void)
{
	union sa s;
	socklen_t len;
	char text[64];
	int fd = tcp(address, 0), on = 1, v = 0;

	IS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0, "TCP_NODELAY");
	IS(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), 0, "SO_KEEPALIVE");
	v = 50000;
	IS(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, sizeof v), 0, "SO_RCVBUF");
	IS(fcntl(fd, F_SETFD, FD_CLOEXEC), 0, "F_SETFD");
	IS(connect_to(fd, address, port), 0, "connect");
	IS(fcntl(fd, F_GETFD), FD_CLOEXEC, "it is closed by exec still");
	IS(fcntl(fd, F_GETFL) & O_NONBLOCK, 0, "and waits");
	echo(fd, fd, "echo");
	len = sizeof v;
	IS(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, &len), 0, "TCP_NODELAY");
	OK(v != 0, "TCP_NODELAY went along");
	IS(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, &len), 0, "SO_KEEPALIVE");
	OK(v != 0, "SO_KEEPALIVE went along");
	IS(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, &len), 0, "SO_RCVBUF");
	IS(v, 100000, "SO_RCVBUF went along");
	IS(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &v, &len), 0, "SO_DOMAIN");
	IS(v, strchr(address, ':') ? AF_INET6 : AF_INET, "its family");
	len = sizeof s;
	IS(getpeername(fd, &s.sa, &len), 0, "getpeername");
	OK(strcmp(text_of(&s, text, sizeof text), address) == 0 && port_of(&s) == port, "the peer");
	len = sizeof s;
	IS(getsockname(fd, &s.sa, &len), 0, "getsockname");
	OK(strncmp(text_of(&s, text, sizeof text), strchr(address, ':') ? "fd76:" : "10.88.", 5) == 0, text);
	IS(connect_to(fd, address, port), -EISCONN, "connect once more");
	IS(bind_to(fd, strchr(address, ':') ? "::" : "0.0.0.0", 0), -EINVAL, "bind");
	IS(listen(fd, 1), -EINVAL, "listen");
	IS(accept(fd, NULL, NULL), -EINVAL, "accept");
	IS(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), -ENOPROTOOPT, "SO_BINDTODEVICE");
	IS(getsockopt(fd, SOL_SOCKET, 28 /* SO_PEERNAME */, &s, &len), -ENOPROTOOPT, "SO_PEERNAME");
	IS(sendto(fd, "x", 1, MSG_FASTOPEN, &s.sa, sizeof s.v4), -EOPNOTSUPP, "MSG_FASTOPEN");
	if (!getenv("OUTSIDE_NATIVE"))
		show_interfaces(fd);
	IS(shutdown(fd, SHUT_WR), 0, "shutdown");
	IS(read(fd, text, sizeof text), 0, "the server ends, too");
	close(fd);
}

static void test_refused(void)
{
	int fd = tcp(address, 0);

	IS(connect_to(fd, address, port + 2), -ECONNREFUSED, "nobody listens");
	IS(connect_to(fd, address, port + 2), -ECONNREFUSED, "nor now");
	IS(error_of(fd), 0, "no error is left");
	IS(connect_to(fd, address, port), 0, "the same socket elsewhere");
	echo(fd, fd, "echo");
	close(fd);
}

static void test_nonblocking(void)
{
	int fd = tcp(address, SOCK_NONBLOCK);
	long rc = connect_to(fd, address, port);

	OK(rc == -EINPROGRESS, "in progress");
	OK(ready(fd, POLLOUT, 5000) == POLLOUT, "it can be written to");
	IS(error_of(fd), 0, "no error");
	IS(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK, "it does not wait");
	IS(connect_to(fd, address, port), 0, "connect says that it is");
	IS(connect_to(fd, address, port), -EISCONN, "once");
	IS(fcntl(fd, F_SETFL, 0), 0, "F_SETFL");
	echo(fd, fd, "echo");
	close(fd);

	fd = tcp(address, SOCK_NONBLOCK);
	rc = connect_to(fd, address, port + 2);
	OK(rc == -EINPROGRESS, "in progress");
	OK(ready(fd, POLLOUT, 5000) & POLLERR, "an error");
	IS(error_of(fd), ECONNREFUSED, "refused");
	rc = connect_to(fd, address, port);
	OK(rc == -ECONNABORTED, "that was the last one's");
	rc = connect_to(fd, address, port);
	OK(rc == -EINPROGRESS, "in progress again");
	OK(ready(fd, POLLOUT, 5000) == POLLOUT, "it can be written to");
	IS(fcntl(fd, F_SETFL, 0), 0, "F_SETFL");
	echo(fd, fd, "echo");
	close(fd);
}

/* Nothing is asked of the socket between poll and write. */
static void test_silent(void)
{
	int fd = tcp(address, SOCK_NONBLOCK);
	char buf[8];
	long rc = connect_to(fd, address, port + 1);

	OK(rc == -EINPROGRESS, "in progress");
	OK(ready(fd, POLLIN, 5000) == POLLIN, "the server speaks first");
	IS(read(fd, buf, sizeof buf), 6, "its greeting");
	IS(fcntl(fd, F_SETFL, 0), 0, "F_SETFL");
	echo(fd, fd, "echo");
	close(fd);
}

static void test_unspec(void)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tcp(address, 0), v = 4242;
	union sa s;
	socklen_t len = sizeof s;

	IS(connect_to(fd, address, port), 0, "connect");
	IS(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &v, sizeof v), 0, "TCP_USER_TIMEOUT");
	IS(connect(fd, &none, sizeof none), 0, "AF_UNSPEC");
	IS(getpeername(fd, &s.sa, &len), -ENOTCONN, "not connected");
	v = 0;
	len = sizeof v;
	IS(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &v, &len), 0, "TCP_USER_TIMEOUT");
	IS(v, 4242, "its options stay");
	IS(connect_to(fd, address, port), 0, "connect again");
	echo(fd, fd, "echo");
	IS(connect(fd, &none, sizeof none), 0, "AF_UNSPEC");
	IS(bind_to(fd, strchr(address, ':') ? "::1" : "127.0.0.1", 0), 0, "bind");
	IS(listen(fd, 1), 0, "listen");
	close(fd);
}

static void test_epoll(uint32_t events, const char *what)
{
	struct epoll_event e = { .events = events, .data.u64 = 0x123456789abcdefULL }, got[4];
	int ep = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(0), fd = tcp(address, SOCK_NONBLOCK);
	long rc;

	IS(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0, what);
	IS(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &e), 0, what);
	rc = connect_to(fd, address, port);
	OK(rc == -EINPROGRESS, what);
	do
		IS(epoll_wait(ep, got, 4, 5000), 1, what);
	while (got[0].events & EPOLLHUP && count < 1000000); /* that it had before connect() */
	OK(got[0].events == EPOLLOUT && got[0].data.u64 == e.data.u64, what);
	IS(error_of(fd), 0, what);
	IS(write(fd, "ping", 4), 4, what);
	if (events & EPOLLONESHOT) {
		IS(epoll_wait(ep, got, 4, 0), 0, what);
		IS(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e), 0, what);
	}
	for (got[0].events = 0; !(got[0].events & EPOLLIN);)
		if (epoll_wait(ep, got, 4, 5000) != 1)
			break;
		else if (events & EPOLLONESHOT && !(got[0].events & EPOLLIN))
			epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
	OK(got[0].events & EPOLLIN && got[0].data.u64 == e.data.u64, what);
	IS(epoll_wait(outer, got, 4, 5000), 1, what);
	IS(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), 0, what);
	IS(epoll_ctl(outer, EPOLL_CTL_DEL, fd, NULL), 0, what);
	close(fd);
	close(ep);
	close(outer);
}

/* At a number that few processes ever reach. */
static void test_high_number(void)
{
	struct rlimit l;
	struct epoll_event e = { .events = EPOLLOUT | EPOLLET, .data.u64 = 77 }, got = { 0 };
	int ep = epoll_create1(0), low = tcp(address, SOCK_NONBLOCK), fd;
	long rc;

	IS(getrlimit(RLIMIT_NOFILE, &l), 0, "getrlimit");
	l.rlim_cur = l.rlim_max;
	IS(setrlimit(RLIMIT_NOFILE, &l), 0, "setrlimit");
	fd = fcntl(low, F_DUPFD, l.rlim_max > 4000 ? 3000 : 200);
	close(low);
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0, "a high number");
	(void)epoll_wait(ep, &got, 1, 0); /* that it is not connected */
	rc = connect_to(fd, address, port);
	OK(rc == -EINPROGRESS, "connects");
	IS(epoll_wait(ep, &got, 1, 5000), 1, "and is heard of");
	OK(got.events == EPOLLOUT && got.data.u64 == 77, "as it was asked");
	close(fd);
	close(ep);
}

static void test_aliases(void)
{
	int fd = tcp(address, 0), other = dup(fd), high = fcntl(fd, F_DUPFD_CLOEXEC, 90);

	IS(connect_to(fd, address, port), 0, "connect, with copies");
	echo(other, fd, "one copy");
	echo(high, other, "another");
	IS(fcntl(high, F_GETFD), FD_CLOEXEC, "with flags of its own");
	IS(fcntl(other, F_GETFD), 0, "each");
	close(fd);
	close(other);
	close(high);
}

static void test_forked(void)
{
	int fd, sv[2], status = 0;

	/* A process that had it before has it after. */
	fd = tcp(address, 0);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0, "socketpair");
	pid_t pid = fork();
	if (pid == 0) {
		char c;

		failed = 0;
		close(sv[0]);
		if (read(sv[1], &c, 1) == 1)
			echo(fd, fd, "in the child");
		_exit(failed ? 1 : 0);
	}
	IS(connect_to(fd, address, port), 0, "connect, with a child");
	echo(fd, fd, "in the parent");
	IS(write(sv[0], "x", 1), 1, "go");
	waitpid(pid, &status, 0);
	IS(status, 0, "the child speaks through its copy");
	echo(fd, fd, "after it");
	close(fd);

	/* The child connects, and does not wait. */
	fd = tcp(address, SOCK_NONBLOCK);
	pid = fork();
	if (pid == 0) {
		long rc = connect_to(fd, address, port);

		failed = 0;
		OK(rc == -EINPROGRESS, "in progress");
		OK(ready(fd, POLLOUT, 5000) == POLLOUT, "connected");
		_exit(failed ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	IS(status, 0, "the child connects");
	IS(fcntl(fd, F_SETFL, 0), 0, "F_SETFL");
	echo(fd, fd, "the parent speaks");
	close(fd);
	close(sv[0]);
	close(sv[1]);
}

/* connect() with AF_UNSPEC ends a connection for all who have it. */
static void test_forked_unspec(void)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tcp(address, 0), sv[2], status = 0;
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;
	char c;

	IS(connect_to(fd, address, port), 0, "connect");
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0, "socketpair");
	pid_t pid = fork();
	if (pid == 0) {
		failed = 0;
		close(sv[0]);
		IS(read(sv[1], &c, 1), 1, "told");
		OK(read(fd, &c, 1) <= 0, "what the child has is connected no more");
		IS(connect_to(fd, address, port), 0, "the child connects it again");
		echo(fd, fd, "in the child");
		_exit(failed ? 1 : 0);
	}
	echo(fd, fd, "before");
	IS(connect(fd, &none, sizeof none), 0, "AF_UNSPEC, with a child");
	IS(getpeername(fd, (struct sockaddr *)&peer, &len), -ENOTCONN, "it is not connected");
	IS(write(sv[0], "x", 1), 1, "go");
	waitpid(pid, &status, 0);
	IS(status, 0, "the child sees it");
	close(fd);
	close(sv[0]);
	close(sv[1]);
}

/* Nobody listens there, and another process has the socket, too. */
static void test_forked_refused(void)
{
	int fd = tcp(address, SOCK_NONBLOCK), pair[2], status;
	long rc;
	char c;

	IS(pipe(pair), 0, "pipe");
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[1]);
		_exit(read(pair[0], &c, 1) != 0);
	}
	rc = connect_to(fd, address, port + 2);
	OK(rc == -EINPROGRESS, "begun");
	OK(ready(fd, POLLIN, 5000) & (POLLERR | POLLHUP), "over");
	IS(error_of(fd), ECONNREFUSED, "refused");
	close(fd);
	close(pair[1]);
	close(pair[0]);
	waitpid(pid, &status, 0);
}

/* A copy that nobody can find is dead, and says so: it never waits for ever. */
static void test_in_flight(void)
{
	int fd = tcp(address, 0), sv[2], got;
	char c;

	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0, "socketpair");
	pass_fd(sv[0], fd);
	IS(connect_to(fd, address, port), 0, "connect, with a copy in a message");
	echo(fd, fd, "echo");
	got = take_fd(sv[1]);
	OK(got >= 0, "it comes out");
	OK(R(read(got, &c, 1)) < 0, "the copy cannot be read");
	OK(R(write(got, &c, 1)) < 0, "nor written to");
	/* As a whole one it works wherever it goes. */
	pass_fd(sv[0], fd);
	close(got);
	got = take_fd(sv[1]);
	OK(got >= 0, "it comes out");
	echo(got, fd, "a copy made later");
	close(got);
	close(fd);
	close(sv[0]);
	close(sv[1]);
}

/* Who wants signals of a socket has them of what comes in its place. */
static void test_signals(void)
{
	const struct timespec patience = { .tv_sec = 5 }, none = { 0 };
	int fd = tcp(address, 0);
	sigset_t io;
	char c;

	sigemptyset(&io);
	sigaddset(&io, SIGIO);
	sigprocmask(SIG_BLOCK, &io, NULL);
	IS(fcntl(fd, F_SETOWN, getpid()), 0, "F_SETOWN");
	IS(fcntl(fd, F_SETFL, O_ASYNC), 0, "O_ASYNC");
	IS(connect_to(fd, address, port), 0, "connect");
	while (sigtimedwait(&io, NULL, &none) == SIGIO)
		;
	IS(write(fd, "x", 1), 1, "write");
	OK(sigtimedwait(&io, NULL, &patience) == SIGIO, "SIGIO");
	IS(read(fd, &c, 1), 1, "what came");
	close(fd);
	while (sigtimedwait(&io, NULL, &none) == SIGIO)
		;
	sigprocmask(SIG_UNBLOCK, &io, NULL);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* 192.0.2.66: what is sent there is lost. */
static void test_lost(const char *lost)
{
	struct timeval brief = { .tv_usec = 100000 };
	/* Again and again: the first may come before the call. */
	struct itimerval it = { .it_value.tv_usec = 100000, .it_interval.tv_usec = 100000 }, none = { 0 };
	struct sigaction sa = { .sa_handler = on_alarm };
	int fd = tcp(lost, 0);
	long rc;

	IS(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief), 0, "SO_SNDTIMEO");
	rc = connect_to(fd, lost, port);
	OK(rc == -EINPROGRESS, "its time is up");
	OK(ready(fd, POLLOUT, 50) == 0, "it is under way still");
	rc = connect_to(fd, lost, port);
	OK(rc == -EALREADY, "and again");
	close(fd);

	fd = tcp(lost, 0);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	rc = connect_to(fd, lost, port);
	setitimer(ITIMER_REAL, &none, NULL);
	OK(rc == -EINTR, "interrupted");
	OK(ready(fd, POLLOUT, 50) == 0, "it is under way still");
	IS(fcntl(fd, F_SETFL, O_NONBLOCK), 0, "F_SETFL");
	rc = connect_to(fd, lost, port);
	OK(rc == -EALREADY, "so says connect");
	close(fd);

	int begun[2], status = 0;
	char c;

	OK(pipe(begun) == 0, "pipe");
	pid_t pid = fork();
	if (pid == 0) {
		fd = tcp(lost, 0);
		(void)!write(begun[1], "x", 1);
		_exit(connect_to(fd, lost, port) == 0);
	}
	IS(read(begun[0], &c, 1), 1, "the child is there");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	OK(WIFSIGNALED(status), "killed while it waits");
	close(begun[0]);
	close(begun[1]);
}

static void *connects(void *arg)
{
	for (int i = 0; i < 20; i++) {
		int fd = tcp(address, i % 2 ? SOCK_NONBLOCK : 0);
		long rc = connect_to(fd, address, port);

		if ((rc != 0 && rc != -EINPROGRESS) || ready(fd, POLLOUT, 5000) != POLLOUT || error_of(fd) != 0)
			*(int *)arg += 1;
		fcntl(fd, F_SETFL, 0);
		if (write(fd, &i, sizeof i) != sizeof i || read(fd, &rc, sizeof rc) != sizeof i)
			*(int *)arg += 1;
		close(fd);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t t[8];
	int bad[8] = { 0 };

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, connects, &bad[i]);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		IS(bad[i], 0, "connections of a thread");
	}
}

static void test_local_port(void)
{
	int fd = tcp(address, 0), on = 1, at = 20000 + getpid() % 10000;

	IS(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0, "SO_REUSEADDR");
	IS(bind_to(fd, strchr(address, ':') ? "::" : "0.0.0.0", at), 0, "bind to a port");
	IS(connect_to(fd, address, port), 0, "connect from it");
	IS(port_at(fd), at, "it is that port");
	echo(fd, fd, "echo");
	close(fd);
}

int main(int argc, char **argv)
{
	int before;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(atoi(argv[2]));
	if (argc < 4)
		return 2;
	address = argv[2];
	port = atoi(argv[3]);
	if (strcmp(argv[1], "try") == 0) {
		printf("connect: %ld\n", connect_to(tcp(address, 0), address, port));
		return 0;
	}
	(void)setvbuf(stdout, NULL, _IONBF, 0); /* whoever ends it by its alarm knows where it was */
	before = descriptors();
	alarm(100); /* whatever hangs is to end */
	signal(SIGPIPE, SIG_IGN);
	test_blocking();
	test_kept_options(address, port);
	test_refused();
	test_nonblocking();
	test_silent();
	test_signals();
	test_unspec();
	test_epoll(EPOLLIN | EPOLLOUT, "epoll");
	test_epoll(EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, "epoll, by edges");
	test_epoll(EPOLLIN | EPOLLOUT | EPOLLONESHOT, "epoll, once");
	test_epoll(EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE, "epoll, one of many");
	test_high_number();
	test_aliases();
	test_unshared(address, port);
	test_forked();
	test_forked_refused();
	test_forked_unspec();
	if (!getenv("OUTSIDE_NATIVE")) /* to see that the others tell of Linux */
		test_in_flight();
	test_local_port();
	test_threads();
	if (argc > 4)
		test_lost(argv[4]);
	IS(descriptors(), before, "descriptors");
	printf("%d checks, %d failed\n", count, failed);
	return failed ? 1 : 0;
}
