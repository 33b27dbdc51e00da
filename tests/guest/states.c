/* SPDX-License-Identifier: Apache-2.0 */
/*
 * states all ADDRESS: holds a socket in every status that the socket table knows,
 * each at or to a port that tells which, says "ready" and stays until its
 * standard input ends.
 *
 *   1001 bound                       1005 sending: its buffers are full
 *   1002 listening, 2 of 7 wait      1006 shut down by its client
 *   1003 connected, nothing on it    1007 closed by both
 *   1004 1000 bytes wait at its server
 *
 * states try ADDRESS PORT N: calls so often, at N ports from that one on,
 * whatever the answer; then the same.
 *
 * states pairs ADDRESS N: has N connections to itself; then the same.
 *
 * states churn ADDRESS N: makes so many, one after the other; then the same.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *address;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	(void)printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in at(unsigned short port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };

	check(inet_pton(AF_INET, address, &sa.sin_addr) == 1, address);
	return sa;
}

static int bound(unsigned short port)
{
	struct sockaddr_in sa = at(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0, "SO_REUSEADDR");
	check(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "bind");
	return fd;
}

static int call(unsigned short port)
{
	struct sockaddr_in sa = at(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "connect");
	return fd;
}

/* A connection whose listener is gone. */
static int pair(unsigned short port, int *ret_server)
{
	int listener = bound(port), client;

	check(listen(listener, 1) == 0, "listen");
	client = call(port);
	*ret_server = accept(listener, NULL, NULL);
	check(*ret_server >= 0, "accept");
	(void)close(listener);
	return client;
}

static void all(void)
{
	static char data[65536];
	int client, server, small = 4096;

	check(socket(AF_INET6, SOCK_STREAM, 0) >= 0, "socket");
	(void)bound(1001);
	server = bound(1002);
	check(listen(server, 7) == 0, "listen");
	(void)call(1002);
	(void)call(1002);
	(void)pair(1003, &server);
	client = pair(1004, &server);
	check(send(client, data, 1000, 0) == 1000, "send");
	client = pair(1005, &server);
	check(setsockopt(client, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0, "SO_SNDBUF");
	/* Also when the kernel has passed on what it can. */
	do
		while (send(client, data, sizeof data, MSG_DONTWAIT) > 0)
			;
	while (poll(&(struct pollfd){ .fd = client, .events = POLLOUT }, 1, 300) == 1);
	client = pair(1006, &server);
	check(shutdown(client, SHUT_WR) == 0, "shutdown");
	client = pair(1007, &server);
	(void)close(client);
	(void)close(server);
}

static void try(int port, int n)
{
	for (int i = 0; i < n; i++) {
		struct sockaddr_in sa = at((unsigned short)(port + i));
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		(void)connect(fd, (struct sockaddr *)&sa, sizeof sa);
		(void)close(fd);
	}
}

static void pairs(int n)
{
	struct rlimit most;
	int listener = bound(1), clients[64], batch;

	(void)getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &most);
	check(listen(listener, 128) == 0, "listen");
	for (; n > 0; n -= batch) {
		batch = n < 64 ? n : 64;
		for (int i = 0; i < batch; i++)
			clients[i] = call(1);
		for (int i = 0; i < batch; i++)
			check(accept(listener, NULL, NULL) >= 0 && clients[i] >= 0, "accept");
	}
}

static void churn(int n)
{
	int listener = bound(1), client, server;

	check(listen(listener, 1) == 0, "listen");
	for (int i = 0; i < n; i++) {
		client = call(1);
		server = accept(listener, NULL, NULL);
		check(server >= 0, "accept");
		(void)close(client);
		(void)close(server);
	}
}

int main(int argc, char **argv)
{
	char c;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc < 3)
		return 2;
	address = argv[2];
	if (strcmp(argv[1], "all") == 0)
		all();
	else if (strcmp(argv[1], "try") == 0 && argc == 5)
		try((int)strtol(argv[3], NULL, 10), (int)strtol(argv[4], NULL, 10));
	else if (strcmp(argv[1], "pairs") == 0 && argc == 4)
		pairs((int)strtol(argv[3], NULL, 10));
	else if (strcmp(argv[1], "churn") == 0 && argc == 4)
		churn((int)strtol(argv[3], NULL, 10));
	else
		return 2;
	(void)printf("ready\n");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}
