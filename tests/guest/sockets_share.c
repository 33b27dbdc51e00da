/* SPDX-License-Identifier: Apache-2.0 */
/* Who else has a socket, and how its events are told; sockets.h. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener(int backlog)
{
	int l = tcp("127.0.0.1", 0);

	IS(bind_to(l, "127.0.0.1", 0), 0, "bind");
	IS(listen(l, backlog), 0, "listen");
	return l;
}

static int client(int l)
{
	int c = tcp("127.0.0.1", 0);

	IS(connect_to(c, "127.0.0.1", port_at(l)), 0, "connect");
	return c;
}

static void join(int *a, int *b)
{
	int l = listener(1);

	*a = client(l);
	*b = accept(l, NULL, NULL);
	OK(*b >= 0, "accept");
	close(l);
}

/* --- events ------------------------------------------------------------------------ */

/* Also of a process that is stopped meanwhile and goes on. */
static int ready(int ep, int ms)
{
	struct epoll_event e;
	int n;

	do
		n = epoll_wait(ep, &e, 1, ms);
	while (n < 0 && errno == EINTR);
	return n;
}

static void watch(int ep, int op, int fd, unsigned events, const char *what)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	IS(epoll_ctl(ep, op, fd, &e), 0, what);
}

static void test_epoll(void)
{
	int ep = epoll_create1(0), a, b;
	char c[4];

	join(&a, &b);
	watch(ep, EPOLL_CTL_ADD, b, EPOLLIN, "by level");
	IS(ready(ep, 0), 0, "nothing yet");
	IS(write(a, "1", 1), 1, "write");
	IS(ready(ep, 5000), 1, "something");
	IS(ready(ep, 0), 1, "still");
	IS(read(b, c, sizeof c), 1, "read");
	IS(ready(ep, 0), 0, "no more");
	watch(ep, EPOLL_CTL_MOD, b, EPOLLIN | EPOLLET, "by edges");
	IS(write(a, "1", 1), 1, "write");
	IS(ready(ep, 5000), 1, "something");
	IS(ready(ep, 0), 0, "once");
	IS(write(a, "2", 1), 1, "write");
	IS(ready(ep, 5000), 1, "something more");
	watch(ep, EPOLL_CTL_MOD, b, EPOLLIN | EPOLLONESHOT, "once");
	IS(ready(ep, 5000), 1, "something");
	IS(write(a, "3", 1), 1, "write");
	IS(ready(ep, 20), 0, "not again");
	watch(ep, EPOLL_CTL_MOD, b, EPOLLIN | EPOLLONESHOT, "armed again");
	IS(ready(ep, 5000), 1, "again");
	IS(read(b, c, sizeof c), 3, "all of it");
	IS(shutdown(a, SHUT_WR), 0, "shutdown");
	watch(ep, EPOLL_CTL_MOD, b, EPOLLIN | EPOLLRDHUP, "the end");
	IS(ready(ep, 5000), 1, "is told");
	close(ep);
	close(a);
	close(b);
}

static int shared;

/* Waits in an epoll of its own, as one of many, until it has had a connection. */
static void *one_of_many(void *arg)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int ep = epoll_create1(0), s = -1;

	(void)arg;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, shared, &e) < 0)
		return NULL;
	while (s < 0) {
		if (ready(ep, 10000) != 1)
			return NULL;
		s = accept4(shared, NULL, NULL, 0);
		if (s < 0 && errno != EAGAIN)
			return NULL;
	}
	close(ep);
	close(s);
	return "";
}

static void test_exclusive(void)
{
	pthread_t t[3];
	void *had;
	int c[3];

	shared = listener(8);
	(void)fcntl(shared, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, one_of_many, NULL) == 0, "thread");
	for (int i = 0; i < 3; i++)
		c[i] = client(shared);
	for (int i = 0; i < 3; i++) {
		OK(pthread_join(t[i], &had) == 0 && had, "one of many has had one");
		close(c[i]);
	}
	close(shared);
}

/* Which of reading, writing and exceptions select() tells of; bits 1, 2, 4. */
static int selected(int fd, long ms)
{
	struct timeval t = { .tv_usec = ms * 1000 };
	fd_set r, w, x;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(fd, &x);
	if (select(fd + 1, &r, &w, &x, &t) < 0)
		return -errno;
	return (FD_ISSET(fd, &r) ? 1 : 0) | (FD_ISSET(fd, &w) ? 2 : 0) | (FD_ISSET(fd, &x) ? 4 : 0);
}

static void test_select(void)
{
	int l = listener(1), a, b, c;

	IS(selected(l, 0), 0, "select, a listener");
	c = client(l);
	IS(selected(l, 500), 1, "somebody comes");
	close(c);
	close(l);
	join(&a, &b);
	IS(selected(b, 0), 2, "select, a connection");
	IS(write(a, "x", 1), 1, "write");
	IS(selected(b, 500), 3, "can be read");
	IS(read(b, (char[1]){ 0 }, 1), 1, "read");
	IS(send(a, "o", 1, MSG_OOB), 1, "urgent data");
	OK(selected(b, 500) & 4, "is an exception");
	close(a);
	close(b);
}

/* --- others who have it ---------------------------------------------------------------- */

union rights {
	struct cmsghdr h;
	char room[CMSG_SPACE(sizeof(int))]; /* cppcheck-suppress unusedStructMember ; it is the room */
};

static void hand_over(int to, int fd)
{
	union rights r = { .h = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec io = { "f", 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &r, .msg_controllen = sizeof r };

	memcpy(CMSG_DATA(&r.h), &fd, sizeof fd);
	IS(sendmsg(to, &m, 0), 1, "a descriptor is sent");
}

static int take_over(int from)
{
	union rights r = { .room = { 0 } };
	char byte;
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &r, .msg_controllen = sizeof r };
	int fd = -1;

	if (recvmsg(from, &m, 0) == 1 && m.msg_controllen)
		memcpy(&fd, CMSG_DATA(&r.h), sizeof fd);
	return fd;
}

/* A listener, a connection and a socket that is nothing yet go to another process, which uses them. */
static void test_handed(void)
{
	int u[2], l = listener(4), port = port_at(l), a, b, fresh = tcp("127.0.0.1", 0), c, status;
	pid_t pid;

	join(&a, &b);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, u), 0, "socketpair");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int s, got[3];

		close(l);
		close(b);
		close(fresh);
		for (int i = 0; i < 3; i++)
			got[i] = take_over(u[1]);
		s = accept(got[0], NULL, NULL);
		if (s < 0 || write(s, "l", 1) != 1 || write(got[1], "b", 1) != 1)
			_exit(1);
		if (port_at(got[0]) != port || connect_to(got[2], "127.0.0.1", port) != 0)
			_exit(2);
		_exit(getpid() == 0);
	}
	hand_over(u[0], l);
	hand_over(u[0], b);
	hand_over(u[0], fresh);
	close(b);
	c = client(l);
	IS(read(c, (char[1]){ 0 }, 1), 1, "a listener that was handed over");
	IS(read(a, (char[1]){ 0 }, 1), 1, "a connection that was");
	waitpid(pid, &status, 0);
	OK(status == 0, "and what was none yet");
	IS(read(a, (char[1]){ 0 }, 1), 0, "and ended with its process");
	IS(connect_to(fresh, "127.0.0.1", port), -EISCONN, "which it is here, too");
	close(u[0]);
	close(u[1]);
	close(l);
	close(a);
	close(c);
	close(fresh);
}

int share_child(const char *numbers)
{
	char *rest;
	int l = (int)strtol(numbers, &rest, 10), gone = fcntl((int)strtol(rest, NULL, 10), F_GETFD), s = accept(l, NULL, NULL);

	return gone < 0 && s >= 0 && write(s, "e", 1) == 1 ? 0 : 1;
}

/* Over exec a listener stays, unless it is to be closed then. */
static void test_exec(void)
{
	int l = listener(2), gone = tcp("127.0.0.1", SOCK_CLOEXEC), c, status;
	char numbers[32];
	pid_t pid;

	(void)snprintf(numbers, sizeof numbers, "%d %d", l, gone);
	IS(bind_to(gone, "127.0.0.1", 0), 0, "bind");
	c = client(l);
	pid = fork();
	if (pid == 0) {
		(void)execl("/proc/self/exe", "sockets", "child", numbers, (char *)NULL);
		_exit(3);
	}
	close(l);
	IS(read(c, (char[1]){ 0 }, 1), 1, "a program that was executed accepts");
	waitpid(pid, &status, 0);
	OK(status == 0, "and has nothing that is to be closed");
	close(c);
	close(gone);
}

/* --- connections --------------------------------------------------------------------------- */

static void on_signal(int sig)
{
	(void)sig;
}

static long connect_signalled(int fd, int port, int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };
	/* Again and again: the first may come before the call. */
	struct itimerval it = { .it_value.tv_usec = 50000, .it_interval.tv_usec = 50000 }, none = { 0 };
	long rc;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	rc = connect_to(fd, "127.0.0.1", port);
	setitimer(ITIMER_REAL, &none, NULL);
	return rc;
}

/* A queue of one is full; who wants more waits. */
static void test_queue(void)
{
	int l = listener(0), port = port_at(l), first = client(l), late = tcp("127.0.0.1", 0), s, status;
	pid_t pid;

	IS(connect_signalled(late, port, 0), -EINTR, "connect, interrupted");
	close(late);
	pid = fork(); /* one that is killed while it waits */
	if (pid == 0)
		_exit(connect_signalled(tcp("127.0.0.1", 0), port, SA_RESTART) != 0);
	usleep(100000);
	IS(waitpid(pid, &status, WNOHANG), 0, "which goes on after a signal");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	pid = fork();
	if (pid == 0) {
		int k = tcp("127.0.0.1", 0);

		_exit(connect_signalled(k, port, SA_RESTART) != 0 || read(k, (char[1]){ 0 }, 1) != 1);
	}
	usleep(100000);
	/* Those who gave up may be in the queue by now, or not. */
	(void)fcntl(l, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++) {
		s = accept(l, NULL, NULL);
		if (s >= 0) {
			(void)send(s, "x", 1, MSG_NOSIGNAL);
			close(s);
		} else {
			usleep(10000);
		}
	}
	OK(status == 0, "one that waits is let in when there is room");
	close(first);
	close(l);
	l = listener(0);
	IS(listen(l, 3), 0, "a queue that is made longer");
	for (int i = 0; i < 4; i++)
		close(client(l));
	close(l);
}

static void test_linger(void)
{
	const struct linger now = { .l_onoff = 1 };
	struct linger got = { 0 };
	socklen_t n = sizeof got;
	int a, b;
	long rc;

	join(&a, &b);
	IS(setsockopt(a, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0, "SO_LINGER");
	IS(getsockopt(a, SOL_SOCKET, SO_LINGER, &got, &n), 0, "and what it is");
	OK(got.l_onoff == 1 && got.l_linger == 0, "is what was set");
	close(a);
	rc = R(read(b, (char[1]){ 0 }, 1));
	OK(rc == -ECONNRESET || rc == 0, "a reset, or on a wire the end");
	close(b);
}

/* --- the machine's addresses ------------------------------------------------------------------ */

static void test_interfaces(void)
{
	struct ifaddrs *all = NULL;
	struct ifreq r[16] = { 0 }, one = { .ifr_name = "lo" };
	struct ifconf c = { .ifc_len = sizeof r, .ifc_req = r };
	int fd = tcp("127.0.0.1", 0), u = socket(AF_INET, SOCK_DGRAM, 0), loopback = 0, listed = 0;

	IS(getifaddrs(&all), 0, "getifaddrs");
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && strcmp(i->ifa_name, "lo") == 0 && i->ifa_flags & IFF_UP)
			loopback = 1;
	freeifaddrs(all);
	OK(loopback, "lo is up and has an address");
	IS(ioctl(u, SIOCGIFCONF, &c), 0, "SIOCGIFCONF");
	for (int i = 0; i < c.ifc_len / (int)sizeof *r; i++)
		listed += strcmp(r[i].ifr_name, "lo") == 0;
	OK(listed, "lists lo");
	IS(ioctl(u, SIOCGIFADDR, &one), 0, "SIOCGIFADDR");
	OK(((struct sockaddr_in *)&one.ifr_addr)->sin_family == AF_INET, "an address");
	IS(ioctl(u, SIOCGIFFLAGS, &one), 0, "SIOCGIFFLAGS");
	OK(one.ifr_flags & IFF_UP && one.ifr_flags & IFF_LOOPBACK, "up, and loopback");
	IS(ioctl(u, SIOCGIFINDEX, &one), 0, "SIOCGIFINDEX");
	OK(one.ifr_ifindex == (int)if_nametoindex("lo"), "its number");
	(void)strcpy(one.ifr_name, "none0");
	IS(ioctl(u, SIOCGIFADDR, &one), -ENODEV, "none of that name");
	close(fd);
	close(u);
}

void test_shared(void)
{
	test_epoll();
	test_exclusive();
	test_select();
	test_handed();
	test_exec();
	test_queue();
	test_linger();
	test_interfaces();
}
