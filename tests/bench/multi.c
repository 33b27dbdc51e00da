/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi ROUNDS BYTES HOW...: sends so many bytes to 64 connections of its own, in
 * every way that is named, one after the other in each round. Prints a line
 * for each: its name and the median in nanoseconds.
 *
 *   sends    64 send(2), which vrun does not trap
 *   sendto   64 sendto(2) with an address, which are traps
 *   multi    one vrun_send_multi() for all
 *   handle   the same from a file
 *   multi-to the same with addresses
 *   asked    the same without, and the supervisor is made to do it
 *   traps    64 such calls of one socket each: 64 traps
 */
#include <vrun.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define N 64
#define BYTES_MAX 32768
#define ROUNDS_MAX 100000

static int out[N], in[N], file;
static char text[BYTES_MAX];
static size_t size;
static struct vrun_send list[N], with_address[N];
static struct sockaddr_in place;
static int64_t results[N];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void connect_all(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof sa;
	int l = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	(void)inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	if (bind(l, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(l, N) < 0 ||
	    getsockname(l, (struct sockaddr *)&sa, &len) < 0)
		die("listen");
	for (int i = 0; i < N; i++) {
		out[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(out[i], (struct sockaddr *)&sa, sizeof sa) < 0)
			die("connect");
		in[i] = accept(l, NULL, NULL);
		if (in[i] < 0)
			die("accept");
		(void)setsockopt(out[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		list[i] = (struct vrun_send){ .fd = out[i] };
		with_address[i] = (struct vrun_send){ .fd = out[i], .address = &place, .address_len = sizeof place };
	}
	place = sa;
}

static void check(long long n, long long want)
{
	if (n == want)
		return;
	(void)fprintf(stderr, "multi: %lld where %lld was to be\n", n, want);
	exit(1);
}

static void sends(void)
{
	for (int i = 0; i < N; i++)
		check(send(out[i], text, size, MSG_DONTWAIT | MSG_NOSIGNAL), (long long)size);
}

static void multi(void)
{
	const struct vrun_data d = { .memory = text, .length = size };

	check(vrun_send_multi(list, N, &d, results), N);
}

static void handle(void)
{
	const struct vrun_data d = { .handle = file, .length = size };

	check(vrun_send_multi(list, N, &d, results), N);
}

static void sendto_all(void)
{
	for (int i = 0; i < N; i++)
		check(sendto(out[i], text, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&place, sizeof place),
		      (long long)size);
}

static void multi_to(void)
{
	const struct vrun_data d = { .memory = text, .length = size };

	check(vrun_send_multi(with_address, N, &d, results), N);
}

static void ask(const struct vrun_send *some, int n, int64_t *some_results)
{
	static unsigned long call = 1UL << 40;
	const struct vrun_data d = { .memory = text, .length = size };

	check(vrun_syscall_(VRUN_SEND_MULTI_NR, some, n, &d, some_results, call++, 0), n);
}

static void asked(void)
{
	ask(list, N, results);
}

static void traps(void)
{
	for (int i = 0; i < N; i++)
		ask(&list[i], 1, &results[i]);
}

static const struct way {
	const char *name;
	void (*send)(void);
} ways[] = { { "sends", sends },       { "sendto", sendto_all }, { "multi", multi }, { "handle", handle },
	     { "multi-to", multi_to }, { "asked", asked },	 { "traps", traps } };

static void drain(void)
{
	static char got[BYTES_MAX];

	for (int i = 0; i < N; i++)
		for (size_t n = 0; n < size;) {
			ssize_t some = recv(in[i], got, sizeof got, 0);

			if (some <= 0)
				die("recv");
			n += (size_t)some;
		}
}

static double once(const struct way *w)
{
	struct timespec a, b;

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	w->send();
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	drain();
	return (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
}

static int less(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	static double times[sizeof ways / sizeof *ways][ROUNDS_MAX];
	const size_t n_ways = sizeof ways / sizeof *ways;
	int rounds = argc > 3 ? (int)strtol(argv[1], NULL, 10) : 0;

	size = argc > 3 ? (size_t)strtol(argv[2], NULL, 10) : 0;
	if (rounds < 1 || rounds > ROUNDS_MAX || size < 1 || size > BYTES_MAX)
		return 2;
	file = memfd_create("multi", 0);
	if (file < 0 || write(file, text, sizeof text) != sizeof text)
		die("memfd");
	connect_all();
	for (int i = -rounds / 10; i < rounds; i++) /* some to warm up */
		for (size_t w = 0; w < n_ways; w++)
			for (int a = 3; a < argc; a++)
				if (strcmp(ways[w].name, argv[a]) == 0)
					times[w][i < 0 ? 0 : i] = once(&ways[w]);
	for (size_t w = 0; w < n_ways; w++)
		for (int a = 3; a < argc; a++)
			if (strcmp(ways[w].name, argv[a]) == 0) {
				qsort(times[w], (size_t)rounds, sizeof(double), less);
				printf("%s %.0f\n", ways[w].name, times[w][rounds / 2]);
			}
	return 0;
}
