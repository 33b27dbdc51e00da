/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that live on while a policy changes.
 *
 *   flows serve PORT...           echoes on these ports of every address, IPv4 TCP and UDP
 *   flows serve-hidden PORT       takes one connection, says "taken", and parks it in a message; then
 *                                 as "hidden" below
 *   flows hold HOST PORT COUNT [HOST PORT COUNT]...
 *                                 COUNT connections to each; COUNT "udp": a datagram socket
 *   flows hidden HOST PORT        one connection, parked in a message of a socket pair that nobody reads
 *   ... thread                    instead in the descriptor table of a thread that shares none
 *
 * Each says "ready". Those with connections then exchange a byte on each of
 * them over and over. For every line of input "hold" tells "alive N N ..." after a
 * whole round that began after the line came, and "last US US ...": when, by CLOCK_MONOTONIC in
 * microseconds, the last exchange of each group succeeded. "hidden" takes its
 * connection out again and says "alive 1" or "alive 0".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GROUPS_MAX 8
#define PATIENCE_MS 15000
#define LOST_MS 2000 /* that a datagram is waited for */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		exit(1);
}

static long long now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static struct sockaddr_in place(const char *host, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(port, NULL, 10)) };

	if (inet_pton(AF_INET, host, &sa.sin_addr) != 1) {
		fprintf(stderr, "flows: %s is no IPv4 address\n", host);
		exit(2);
	}
	return sa;
}

/* --- serving ----------------------------------------------------------------------- */

static int bound(int type, const char *port)
{
	struct sockaddr_in sa = place("0.0.0.0", port);
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

enum what { LISTENER, STREAM, DATAGRAMS };

static void watch(int ep, int fd, enum what what)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t)what << 32 | (unsigned)fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

static void echo(int ep, int fd, enum what what)
{
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	char buf[4096];
	ssize_t n;
	int got;

	switch (what) {
	case LISTENER:
		got = accept(fd, NULL, NULL);
		if (got >= 0)
			watch(ep, got, STREAM);
		else if (errno == EINVAL) /* it was closed under our feet */
			(void)close(fd);
		break;
	case STREAM:
		n = read(fd, buf, sizeof buf);
		if (n <= 0 || write(fd, buf, (size_t)n) < 0)
			(void)close(fd);
		break;
	case DATAGRAMS:
		n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
		if (n >= 0)
			(void)sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len);
		break;
	}
}

static void serve(char **ports)
{
	int ep = epoll_create1(0);

	for (; *ports; ports++) {
		watch(ep, bound(SOCK_STREAM, *ports), LISTENER);
		watch(ep, bound(SOCK_DGRAM, *ports), DATAGRAMS);
	}
	say("ready\n");
	for (;;) {
		struct epoll_event e[64];
		int n = epoll_wait(ep, e, 64, -1);

		for (int i = 0; i < n; i++)
			echo(ep, (int)(uint32_t)e[i].data.u64, (enum what)(e[i].data.u64 >> 32));
	}
}

/* --- holding ------------------------------------------------------------------------ */

struct group {
	int *fds; /* -1: it failed */
	long n;
	long long last;
};

static int connected(int type, const struct sockaddr_in *sa)
{
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)sa, sizeof *sa) < 0)
		die("connect");
	return fd;
}

/* A byte there and back. */
static int exchange(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int type = SOCK_STREAM;
	socklen_t len = sizeof type;
	char c = 'x';

	(void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	return send(fd, &c, 1, MSG_NOSIGNAL) == 1 && poll(&p, 1, type == SOCK_DGRAM ? LOST_MS : PATIENCE_MS) == 1 && recv(fd, &c, 1, 0) == 1;
}

static void go_round(struct group *g, int n)
{
	for (int i = 0; i < n; i++)
		for (long j = 0; j < g[i].n; j++) {
			if (!g[i].fds || g[i].fds[j] < 0)
				continue;
			if (exchange(g[i].fds[j])) {
				g[i].last = now_us();
			} else {
				(void)close(g[i].fds[j]);
				g[i].fds[j] = -1;
			}
		}
}

static void tell(const struct group *g, int n)
{
	char text[512];
	int at = snprintf(text, sizeof text, "alive");

	for (int i = 0; i < n; i++) {
		long alive = 0;

		for (long j = 0; j < g[i].n; j++)
			alive += g[i].fds[j] >= 0;
		at += snprintf(text + at, sizeof text - (size_t)at, " %ld", alive);
	}
	at += snprintf(text + at, sizeof text - (size_t)at, "\nlast");
	for (int i = 0; i < n; i++)
		at += snprintf(text + at, sizeof text - (size_t)at, " %lld", g[i].last);
	(void)snprintf(text + at, sizeof text - (size_t)at, "\n");
	say(text);
}

/* 1: a line came; 0: none; -1: the end. */
static int asked(int wait_ms)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };
	char c;

	if (poll(&p, 1, wait_ms) != 1)
		return 0;
	do
		if (read(0, &c, 1) != 1)
			return -1;
	while (c != '\n');
	return 1;
}

static void hold(char **argv)
{
	struct group g[GROUPS_MAX] = { 0 };
	int n = 0, line;

	for (; argv[0] && argv[1] && argv[2] && n < GROUPS_MAX; argv += 3, n++) {
		struct sockaddr_in sa = place(argv[0], argv[1]);
		int type = strcmp(argv[2], "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;

		g[n].n = type == SOCK_DGRAM ? 1 : strtol(argv[2], NULL, 10);
		g[n].fds = calloc((size_t)g[n].n, sizeof(int));
		for (long j = 0; g[n].fds && j < g[n].n; j++)
			g[n].fds[j] = connected(type, &sa);
	}
	go_round(g, n);
	say("ready\n");
	while ((line = asked(0)) >= 0) {
		go_round(g, n);
		if (line)
			tell(g, n);
	}
}

/* --- hiding ------------------------------------------------------------------------- */

static void park(int through, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };

	ctl.align = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	if (sendmsg(through, &m, 0) != 1)
		die("sendmsg");
	(void)close(fd);
}

static int unpark(int through)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };
	int fd;

	if (recvmsg(through, &m, 0) != 1)
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(&ctl.align), sizeof fd);
	return fd;
}

/* What is sent to a connection that was cut fails, or finds nobody. */
static void tell_alive(int fd, int server)
{
	char c = 'x';
	ssize_t n = server ? recv(fd, &c, 1, 0) : send(fd, &c, 1, MSG_NOSIGNAL);

	say(n == 1 ? "alive 1\n" : "alive 0\n");
	(void)asked(-1);
}

struct hider {
	int fd, server;
};

static int in_thread(void *arg)
{
	const struct hider *h = arg;

	/* Its table is a copy of before the other's close. */
	if (asked(-1) >= 0)
		tell_alive(h->fd, h->server);
	_exit(0);
}

static void hide(int fd, int server, int thread)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct hider h = { fd, server };
	int pair[2];

	if (thread) {
		if (clone(in_thread, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD, &h) < 0)
			die("clone");
		(void)close(fd);
		say(server ? "taken\n" : "ready\n");
		for (;;)
			(void)pause();
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	park(pair[0], fd);
	say(server ? "taken\n" : "ready\n");
	if (asked(-1) >= 0)
		tell_alive(unpark(pair[1]), server);
}

int main(int argc, char **argv)
{
	struct rlimit files;

	(void)signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (argc > 2 && strcmp(argv[1], "serve") == 0) {
		serve(argv + 2);
	} else if (argc >= 3 && strcmp(argv[1], "serve-hidden") == 0) {
		int fd = bound(SOCK_STREAM, argv[2]);

		say("ready\n");
		hide(accept(fd, NULL, NULL), 1, argc > 3);
	} else if (argc > 4 && strcmp(argv[1], "hold") == 0) {
		hold(argv + 2);
	} else if (argc >= 4 && strcmp(argv[1], "hidden") == 0) {
		struct sockaddr_in sa = place(argv[2], argv[3]);

		hide(connected(SOCK_STREAM, &sa), 0, argc > 4);
	} else {
		return 2;
	}
	return 0;
}
