/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of tests/bench/sockets. Time is that of the client, in nanoseconds
 * for each of N.
 *
 *   sockets serve ADDRESS PORT     says "ready"; echoes, swallows, or (PORT + 1) hangs up
 *   sockets connect ADDRESS PORT N connect, the server's accept and close, close
 *   sockets trip ADDRESS PORT N    64 bytes there and back
 *   sockets stream ADDRESS PORT N  N blocks of 128 KiB, until the server has all
 *   sockets calls ADDRESS PORT N   getppid, write, read and epoll_wait, which are not trapped
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define BLOCK (128 << 10)

static char block[BLOCK];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in place(const char *ip, int port)
{
	struct sockaddr_in s = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, ip, &s.sin_addr) != 1)
		exit(2);
	return s;
}

static int listen_at(const char *ip, int port)
{
	struct sockaddr_in s = place(ip, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&s, sizeof s) < 0 || listen(fd, 128) < 0)
		die("listen");
	return fd;
}

static int connect_to(const char *ip, int port)
{
	struct sockaddr_in s = place(ip, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&s, sizeof s) < 0)
		die("connect");
	return fd;
}

static void set_nodelay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void read_all(int fd, char *buf, size_t size)
{
	for (size_t n = 0; n < size;) {
		ssize_t got = read(fd, buf + n, size - n);

		if (got <= 0)
			die("read");
		n += (size_t)got;
	}
}

static void serve_one(int fd)
{
	char kind, buf[MESSAGE];
	ssize_t n;

	if (read(fd, &kind, 1) != 1)
		return;
	set_nodelay(fd);
	if (kind == 'e')
		while ((n = read(fd, buf, sizeof buf)) > 0)
			if (write(fd, buf, (size_t)n) != n)
				die("write");
	if (kind == 's') {
		while (read(fd, block, sizeof block) > 0)
			;
		(void)!write(fd, &kind, 1);
	}
}

static int accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		die("accept");
	return fd;
}

static void serve(const char *ip, int port)
{
	int talk = listen_at(ip, port), hang_up = listen_at(ip, port + 1);
	pid_t parent = getpid();

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		for (;;)
			(void)close(accept_one(hang_up));
	}
	printf("ready\n");
	(void)fflush(stdout);
	for (;;) {
		int fd = accept_one(talk);

		serve_one(fd);
		(void)close(fd);
	}
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void connects(const char *ip, int port, int n)
{
	char c;

	for (int i = 0; i < n; i++) {
		int fd = connect_to(ip, port + 1);

		(void)!read(fd, &c, 1);
		(void)close(fd);
	}
}

static void trips(int fd, int n)
{
	char buf[MESSAGE] = "";

	for (int i = 0; i < n; i++) {
		if (write(fd, buf, sizeof buf) != sizeof buf)
			die("write");
		read_all(fd, buf, sizeof buf);
	}
}

static void stream(int fd, int n)
{
	char c;

	for (int i = 0; i < n; i++)
		for (size_t at = 0; at < sizeof block;) {
			ssize_t got = write(fd, block + at, sizeof block - at);

			if (got <= 0)
				die("write");
			at += (size_t)got;
		}
	(void)shutdown(fd, SHUT_WR);
	read_all(fd, &c, 1);
}

static void calls(int n)
{
	struct epoll_event e;
	int ep = epoll_create1(0), p[2];
	char c = 0;

	if (pipe(p) < 0)
		die("pipe");
	for (int i = 0; i < n; i++) {
		(void)syscall(__NR_getppid);
		(void)!write(p[1], &c, 1);
		(void)!read(p[0], &c, 1);
		(void)epoll_wait(ep, &e, 1, 0);
	}
}

int main(int argc, char **argv)
{
	double start;
	int fd = -1, port, n;
	const char *what = argv[1];

	if (argc == 4 && strcmp(what, "serve") == 0)
		serve(argv[2], (int)strtol(argv[3], NULL, 10));
	if (argc != 5)
		return 2;
	port = (int)strtol(argv[3], NULL, 10);
	n = (int)strtol(argv[4], NULL, 10);
	if (strcmp(what, "trip") == 0 || strcmp(what, "stream") == 0) {
		fd = connect_to(argv[2], port);
		set_nodelay(fd);
		if (write(fd, *what == 't' ? "e" : "s", 1) != 1)
			die("write");
		if (*what == 't')
			trips(fd, n / 10 + 1); /* warm */
	} else if (strcmp(what, "connect") == 0) {
		connects(argv[2], port, n / 10 + 1);
	}
	start = now();
	if (strcmp(what, "connect") == 0)
		connects(argv[2], port, n);
	else if (strcmp(what, "trip") == 0)
		trips(fd, n);
	else if (strcmp(what, "stream") == 0)
		stream(fd, n);
	else
		calls(n);
	printf("%.1f\n", (now() - start) / n);
	return 0;
}
