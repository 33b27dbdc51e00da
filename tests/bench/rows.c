/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests/bench/rows.
 *
 *   rows hold N       has N connections to itself, says "ready", stays until its input ends
 *   rows probe ROUNDS prints the median and the longest of ROUNDS, in nanoseconds: a trap
 *                     (getsockname), and a connection that is made, accepted and closed
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PER_LISTENER 10000 /* fewer than there are ephemeral ports */
#define ROUNDS_MAX 1000000

static struct sockaddr_in place;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listener(void)
{
	socklen_t len = sizeof place;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	place = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (bind(fd, (struct sockaddr *)&place, sizeof place) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&place, &len) < 0)
		die("listener");
	return fd;
}

static int call(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&place, sizeof place) < 0)
		die("connect");
	return fd;
}

static void hold(int n)
{
	int l = -1;
	char c;

	for (int i = 0; i < n; i++) {
		if (i % PER_LISTENER == 0)
			l = listener();
		(void)call();
		if (accept(l, NULL, NULL) < 0)
			die("accept");
	}
	printf("ready\n");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int less(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void show(double *times, int rounds)
{
	qsort(times, (size_t)rounds, sizeof *times, less);
	printf("%.0f %.0f ", times[rounds / 2], times[rounds - 1]);
}

static void probe(int rounds)
{
	static double traps[ROUNDS_MAX], connections[ROUNDS_MAX];
	struct linger reset = { .l_onoff = 1 }; /* no TIME_WAIT: the ports would run out */
	int l = listener();

	for (int i = 0; i < rounds; i++) {
		struct sockaddr_in sa;
		socklen_t len = sizeof sa;
		double a = now(), b;
		int c, s;

		if (getsockname(l, (struct sockaddr *)&sa, &len) < 0)
			die("getsockname");
		b = now();
		traps[i] = b - a;
		c = call();
		s = accept(l, NULL, NULL);
		if (s < 0)
			die("accept");
		(void)setsockopt(c, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		(void)close(c);
		(void)close(s);
		connections[i] = now() - b;
	}
	show(traps, rounds);
	show(connections, rounds);
	printf("\n");
}

int main(int argc, char **argv)
{
	int n = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;

	if (n > 0 && strcmp(argv[1], "hold") == 0)
		hold(n);
	else if (n > 0 && n <= ROUNDS_MAX && strcmp(argv[1], "probe") == 0)
		probe(n);
	else
		return 2;
	return 0;
}
