/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of connections at once.
 *
 *   crowd serve PORT [BACKLOG]     echoes at PORT of every address, TCP and UDP; says "ready"
 *   crowd open ADDRESS PORT COUNT  COUNT TCP connections that stay open, from eight threads at a time
 *   crowd send ADDRESS PORT COUNT  COUNT UDP sockets, each of which has its datagram answered
 *   crowd batch ADDRESS PORT COUNT COUNT datagrams by sendmmsg(2) and recvmmsg(2), on a socket that is connected, on one
 *                                  that is not, and by UDP_SEGMENT
 *   crowd storm ADDRESS PORT COUNT COUNT threads that connect, exchange a byte and close, over and over;
 *                                  says "storm" when each has; ends when each has failed
 *
 *   crowd dial ADDRESS PORT        one connect() that does not wait and one that does for a second, and what
 *                                  comes of them; then whether the supervisor still serves
 *
 * "open" and "send" say "N open" when all are there, and "N answered" after a byte each was sent over all of
 * them and came back. For each line of input "open" then tells how it is with them: "N alive, N ended" and what a
 * new connection gets.
 *
 * Whatever takes longer than its patience is said to hang.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define PATIENCE_MS 30000

static const char *address;
static int port, count;
static int *fds;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static socklen_t place(struct sockaddr_storage *sa)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)sa;

	memset(sa, 0, sizeof *sa);
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return sizeof *v4;
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		die(address);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	return sizeof *v6;
}

/* --- the server ------------------------------------------------------------------------ */

static void echo_datagrams(int fd)
{
	char buf[2048];
	struct sockaddr_storage from;
	socklen_t len = sizeof from;
	ssize_t n;

	while ((n = recvfrom(fd, buf, sizeof buf - 2, MSG_DONTWAIT, (struct sockaddr *)&from, &len)) >= 0) {
		/* The port that it came from, too: who sends twice can see whether it is the same. */
		memcpy(buf + n, &((struct sockaddr_in6 *)&from)->sin6_port, 2);
		(void)sendto(fd, buf, (size_t)n + 2, 0, (struct sockaddr *)&from, len);
		len = sizeof from;
	}
}

static void echo_stream(int fd)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

	if (n > 0 && send(fd, buf, (size_t)n, MSG_NOSIGNAL) == n)
		return;
	if (n < 0 && errno == EAGAIN)
		return;
	close(fd);
}

static void watch(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

static int bound(int type)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), on = 1, size = 1 << 22;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		die("bind");
	return fd;
}

_Noreturn static void serve(int backlog)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), udp = bound(SOCK_DGRAM), tcp = bound(SOCK_STREAM);

	if (listen(tcp, backlog) < 0)
		die("listen");
	watch(ep, tcp);
	watch(ep, udp);
	printf("ready\n");
	for (;;) {
		struct epoll_event e[64];
		int n = epoll_wait(ep, e, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = e[i].data.fd, c;

			if (fd == udp) {
				echo_datagrams(fd);
			} else if (fd != tcp) {
				echo_stream(fd);
			} else {
				c = accept4(tcp, NULL, NULL, SOCK_CLOEXEC);
				if (c < 0)
					die("accept");
				watch(ep, c);
			}
		}
	}
}

/* --- what opens ---------------------------------------------------------------------------- */

/* A socket with a connection, whose calls do not wait for ever; -errno. */
static int connected(int type)
{
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	struct sockaddr_storage sa;
	socklen_t len = place(&sa);
	int fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0), e;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	e = errno;
	close(fd);
	return -e;
}

static void *open_some(void *arg)
{
	int first = *(int *)arg;

	for (int i = first; i < count; i += THREADS)
		fds[i] = connected(SOCK_STREAM);
	return NULL;
}

static int n_open(void)
{
	int n = 0;

	for (int i = 0; i < count; i++) {
		n += fds[i] >= 0;
		if (fds[i] < 0 && n == i)
			printf("number %d: %s\n", i, strerror(-fds[i]));
	}
	return n;
}

/* A byte over each that is there, and back. */
static int exchange(void)
{
	char c;
	int n = 0;

	for (int i = 0; i < count; i++)
		if (fds[i] >= 0 && send(fds[i], "x", 1, MSG_NOSIGNAL) != 1)
			continue;
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0) {
			ssize_t got = recv(fds[i], &c, 1, 0);

			if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
				printf("number %d hangs\n", i);
			n += got == 1;
		}
	return n;
}

/* Of each line of input. */
static void tell(void)
{
	char line[64];

	while (fgets(line, sizeof line, stdin)) {
		int alive = exchange(), fd = connected(SOCK_STREAM);

		printf("%d alive, %d ended; a new one: %s\n", alive, count - alive, fd >= 0 ? "connected" : strerror(-fd));
		if (fd >= 0)
			close(fd);
	}
}

static int open_all(void)
{
	pthread_t t[THREADS];
	int first[THREADS];

	for (int i = 0; i < THREADS; i++) {
		first[i] = i;
		if (pthread_create(&t[i], NULL, open_some, &first[i]))
			die("thread");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	printf("%d open\n", n_open());
	printf("%d answered\n", exchange());
	tell();
	return 0;
}

/* One after the other: what is sent at once may get lost, as datagrams do. Then over all again. */
static int send_all(void)
{
	int answered = 0, other = 0;
	char got[3], (*first)[3] = calloc((size_t)count, sizeof *first);

	for (int i = 0; first && i < count; i++) {
		fds[i] = connected(SOCK_DGRAM);
		if (fds[i] >= 0 && (send(fds[i], "x", 1, 0) != 1 || recv(fds[i], first[i], 3, 0) != 3)) {
			int e = errno;

			close(fds[i]);
			fds[i] = -e;
		}
	}
	printf("%d open\n", n_open());
	for (int i = 0; first && i < count; i++)
		if (fds[i] >= 0 && send(fds[i], "y", 1, 0) == 1 && recv(fds[i], got, 3, 0) == 3) {
			answered += got[0] == 'y';
			other += memcmp(got + 1, first[i] + 1, 2) != 0;
		}
	printf("%d answered, %d from another port\n", answered, other);
	return 0;
}

/* --- batches ---------------------------------------------------------------------------------- */

#define BATCH 32
#define SIZE 1400
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static unsigned char out[BATCH][SIZE], in[BATCH][SIZE + 2];

/* What is to come back for number i of a batch; the server adds two bytes. */
static size_t fill(int batch, int i)
{
	size_t len = 4 + (size_t)(batch * BATCH + i) * 37 % (SIZE - 4);

	memset(out[i], (unsigned char)(batch + i), len);
	memcpy(out[i], &i, sizeof i);
	return len;
}

static size_t lengths[BATCH];

/* The echoes of n datagrams, in any order; how many are right. */
static int take_back(int fd, int n)
{
	struct mmsghdr m[BATCH] = { 0 };
	struct iovec v[BATCH];
	int right = 0;

	for (int i = 0; i < BATCH; i++) {
		v[i] = (struct iovec){ in[i], sizeof in[i] };
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &v[i], .msg_iovlen = 1 };
	}
	for (int left = n; left > 0;) {
		int got = recvmmsg(fd, m, (unsigned)left, MSG_WAITFORONE, NULL), which;

		if (got <= 0)
			return right;
		for (int i = 0; i < got; i++) {
			memcpy(&which, in[i], sizeof which);
			right += which >= 0 && which < n && m[i].msg_len == lengths[which] + 2 &&
				 memcmp(in[i], out[which], lengths[which]) == 0;
		}
		left -= got;
	}
	return right;
}

static int in_batches(int fd, int has_address)
{
	struct mmsghdr m[BATCH] = { 0 };
	struct iovec v[BATCH][2];
	struct sockaddr_storage sa;
	socklen_t len = place(&sa);
	int right = 0;

	for (int done = 0; done < count; done += BATCH) {
		int n = count - done < BATCH ? count - done : BATCH;

		for (int i = 0; i < n; i++) {
			lengths[i] = fill(done / BATCH, i);
			v[i][0] = (struct iovec){ out[i], 3 };
			v[i][1] = (struct iovec){ out[i] + 3, lengths[i] - 3 };
			m[i].msg_hdr = (struct msghdr){ .msg_iov = v[i], .msg_iovlen = 2 };
			if (has_address) {
				m[i].msg_hdr.msg_name = &sa;
				m[i].msg_hdr.msg_namelen = len;
			}
		}
		if (sendmmsg(fd, m, (unsigned)n, 0) != n)
			die("sendmmsg");
		right += take_back(fd, n);
	}
	return right;
}

static int by_segments(int fd)
{
	char ctl[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
	static unsigned char all[10 * 1000];
	struct iovec v = { all, sizeof all };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	uint16_t size = 1000;

	h->cmsg_level = IPPROTO_UDP;
	h->cmsg_type = UDP_SEGMENT;
	h->cmsg_len = CMSG_LEN(sizeof size);
	memcpy(CMSG_DATA(h), &size, sizeof size);
	for (int i = 0; i < 10; i++) {
		(void)fill(0, i);
		lengths[i] = size;
		memset(out[i] + 4, i, size - 4U);
		memcpy(all + (size_t)i * 1000, out[i], size);
	}
	if (sendmsg(fd, &m, 0) != sizeof all)
		die("sendmsg");
	return take_back(fd, 10);
}

static int batches(void)
{
	struct timeval patience = { .tv_sec = 10 };
	struct sockaddr_storage sa;
	int fd = connected(SOCK_DGRAM), other;

	(void)place(&sa);
	other = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(other, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	printf("%d connected\n", in_batches(fd, 0));
	printf("%d with addresses\n", in_batches(other, 1));
	printf("%d of 10 segments\n", by_segments(fd));
	return 0;
}

/* --- many at a time ------------------------------------------------------------------------- */

static atomic_int have_been;

static void *storm_one(void *arg)
{
	bool been = false;
	char c;

	(void)arg;
	for (;;) {
		int fd = connected(SOCK_STREAM);
		bool ok = fd >= 0 && send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &c, 1, 0) == 1;
		int e = fd < 0 ? -fd : errno;

		if (fd >= 0)
			close(fd);
		if (!ok) {
			if (e == EAGAIN || e == EINPROGRESS)
				printf("one hangs\n");
			return NULL;
		}
		if (!been && atomic_fetch_add(&have_been, 1) + 1 == count)
			printf("storm\n");
		been = true;
	}
}

static int storm(void)
{
	pthread_t *t = calloc((size_t)count, sizeof *t);

	for (int i = 0; i < count; i++)
		if (!t || pthread_create(&t[i], NULL, storm_one, NULL))
			die("thread");
	for (int i = 0; i < count; i++)
		pthread_join(t[i], NULL);
	printf("over\n");
	return 0;
}

/* --- one at a time ---------------------------------------------------------------------------- */

static int patience_ms = 20000; /* that a connect is waited for */

/* What connect() or SO_ERROR said, and whether what is there now is a connection. */
static void tell_of(const char *how, int fd, int e)
{
	struct timeval patience = { .tv_sec = 20 };
	struct stat st;
	char c = 0;

	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		printf("%s: the descriptor is no socket\n", how);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (e)
		printf("%s: %s\n", how, e == -1 ? "waits" : strerrorname_np(e));
	else if (fcntl(fd, F_SETFL, 0) == 0 && send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &c, 1, 0) == 1 && c == 'x')
		printf("%s: connected\n", how);
	else
		printf("%s: connected to nobody\n", how);
	close(fd);
}

static void dial_nonblocking(void)
{
	struct sockaddr_storage sa;
	socklen_t len = place(&sa), size = sizeof(int);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int e = connect(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;

	if (e == EINPROGRESS) {
		if (poll(&p, 1, patience_ms) == 0)
			e = -1;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) < 0)
			e = errno;
	}
	tell_of("nonblocking", fd, e);
}

static void dial_blocking(void)
{
	struct timeval patience = { .tv_sec = patience_ms / 1000 };
	struct sockaddr_storage sa;
	socklen_t len = place(&sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), e;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	e = connect(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
	tell_of("blocking", fd, e == EINPROGRESS ? -1 : e);
}

static int dial(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(4000), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int l, c;

	dial_nonblocking();
	dial_blocking();
	l = socket(AF_INET, SOCK_STREAM, 0);
	c = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (struct sockaddr *)&own, sizeof own) < 0 || listen(l, 1) < 0 ||
	    connect(c, (struct sockaddr *)&own, sizeof own) < 0 || accept(l, NULL, NULL) < 0)
		die("the domain itself");
	printf("served\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit l;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	if (argc >= 3 && strcmp(argv[1], "serve") == 0) {
		port = atoi(argv[2]);
		serve(argc > 3 ? atoi(argv[3]) : 1024);
	}
	if (argc < 4)
		return 2;
	address = argv[2];
	port = atoi(argv[3]);
	if (strcmp(argv[1], "dial") == 0) {
		patience_ms = argc > 4 ? atoi(argv[4]) : patience_ms;
		return dial();
	}
	if (argc != 5)
		return 2;
	count = atoi(argv[4]);
	fds = calloc((size_t)count, sizeof *fds);
	if (!fds)
		die("memory");
	if (strcmp(argv[1], "open") == 0)
		return open_all();
	if (strcmp(argv[1], "send") == 0)
		return send_all();
	if (strcmp(argv[1], "batch") == 0)
		return batches();
	return strcmp(argv[1], "storm") == 0 ? storm() : 2;
}
