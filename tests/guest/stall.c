/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An app that wants its supervisor to wait for it: stall KIND. Exits with 0
 * when another call was answered all the while.
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"

#define CHILDREN 12
#define PATIENCE 30 /* seconds, for each call; who is stalled is so for minutes */

static pid_t children[CHILDREN];
static unsigned n_children;
static volatile int over;

static void stalled(int sig)
{
	static const char text[] = "the supervisor waits\n";

	(void)sig;
	(void)!write(STDOUT_FILENO, text, sizeof text - 1);
	for (unsigned i = 0; i < n_children; i++)
		(void)kill(children[i], SIGKILL);
	_exit(1);
}

/* A child that makes one call and stays until it is ended. */
#define CHILD(call) do { \
	pid_t pid_ = fork(); \
	if (pid_ == 0) { \
		(void)(call); \
		(void)pause(); \
	} \
	children[n_children++] = pid_; \
} while (0)

static void end_children(void)
{
	while (n_children) {
		(void)kill(children[--n_children], SIGKILL);
		(void)waitpid(children[n_children], NULL, 0);
	}
}

/* A call that the supervisor answers; it is stalled while it does not. */
static void other_call(const char *what)
{
	int fd;

	(void)alarm(PATIENCE);
	fd = tcp("127.0.0.1", 0);
	IS(bind_to(fd, "127.0.0.1", 0), 0, what);
	(void)close(fd);
}

static int listener(int backlog, int port)
{
	int fd = tcp("127.0.0.1", 0), on = 1;

	IS(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0, "SO_REUSEPORT");
	IS(bind_to(fd, "127.0.0.1", port), 0, "bind");
	IS(listen(fd, backlog), 0, "listen");
	return fd;
}

/* Clients that do not wait, beyond what the queue holds. */
static void fill(int port, int *ret_fds, int n)
{
	for (int i = 0; i < n; i++) {
		ret_fds[i] = tcp("127.0.0.1", SOCK_NONBLOCK);
		(void)connect_to(ret_fds[i], "127.0.0.1", port);
	}
}

/* Begun without waiting, where there is no room; then the same call, of a socket that waits. */
static void again(void)
{
	int l = listener(0, 0), port = port_at(l), fds[4];

	fill(port, fds, 4);
	(void)fcntl(fds[3], F_SETFL, 0);
	CHILD(connect_to(fds[3], "127.0.0.1", port));
	for (int i = 0; i < 50; i++) {
		other_call("a call while one waits for room");
		(void)usleep(2000);
	}
}

/* One port, two queues, of which one is full: which one a client gets into is the kernel's to say. */
static void two_queues(void)
{
	int l = listener(100, 0), port = port_at(l);

	(void)listener(0, port);
	for (int i = 0; i < CHILDREN; i++) {
		int c = tcp("127.0.0.1", 0);

		CHILD(connect_to(c, "127.0.0.1", port));
		(void)close(c);
	}
	for (int i = 0; i < 50; i++) {
		other_call("a call while some wait for a queue");
		(void)usleep(2000);
	}
}

/* --- races ------------------------------------------------------------------------------- */

struct race {
	int fd, other, number;
};

static void *toggle_mode(void *arg)
{
	const struct race *r = arg;

	while (!over) {
		(void)fcntl(r->fd, F_SETFL, O_NONBLOCK);
		(void)fcntl(r->fd, F_SETFL, 0);
	}
	return NULL;
}

/* A child that goes on connecting, with a thread beside it. */
static void connect_with(void *(*thread)(void *), int port)
{
	struct race r = { .fd = tcp("127.0.0.1", 0) };
	pthread_t t;

	if (pthread_create(&t, NULL, thread, &r) != 0)
		_exit(1);
	for (;;)
		(void)connect_to(r.fd, "127.0.0.1", port);
}

/* A socket whose mode changes between the look at it and the call. */
static void toggled(void)
{
	int l = listener(0, 0), port = port_at(l), fds[3];

	fill(port, fds, 3);
	for (int i = 0; i < 100; i++) {
		CHILD((connect_with(toggle_mode, port), 0));
		(void)usleep(10000);
		other_call("a call while a socket's mode changes");
		end_children();
	}
}

/* Two files that are at one number by turns. */
static void *exchange_files(void *arg)
{
	const struct race *r = arg;

	while (!over) {
		(void)dup2(r->fd, r->number);
		(void)dup2(r->other, r->number);
	}
	return NULL;
}

/*
 * listen() of a socket of the app's own, which is exchanged for the listener of
 * a port: its queue becomes shorter, and the supervisor does not know.
 */
static void shortened(void)
{
	struct race r = { .fd = listener(100, 0), .number = 100 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "/tmp/stall" };
	int port = port_at(r.fd), fds[2];
	pthread_t t;

	r.other = socket(AF_UNIX, SOCK_STREAM, 0);
	IS(bind(r.other, (struct sockaddr *)&sa, sizeof sa), 0, "a socket of the app's own");
	fill(port, fds, 2);
	OK(pthread_create(&t, NULL, exchange_files, &r) == 0, "thread");
	for (int i = 0; i < 200; i++) {
		(void)listen(r.fd, 100); /* as the supervisor knows it */
		(void)listen(r.number, 0);
		CHILD(connect_to(tcp("127.0.0.1", 0), "127.0.0.1", port));
		(void)usleep(3000);
		other_call("a call after one to a queue that has become shorter");
		end_children();
	}
	over = 1;
	(void)pthread_join(t, NULL);
	(void)unlink(sa.sun_path);
}

static void *close_it(void *arg)
{
	const struct race *r = arg;

	(void)close(r->fd);
	return NULL;
}

/*
 * A connection full of bytes that nobody reads, closed while the supervisor looks
 * at it: SO_LINGER would have the last one who closes it wait for them.
 */
static void lingering(void)
{
	static char bytes[1 << 16];
	const struct linger wait = { .l_onoff = 1, .l_linger = 600 };
	const int size = 4096;
	int l = listener(100, 0), port = port_at(l);
	struct timespec until, now;

	(void)setsockopt(l, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	do {
		struct race r = { .fd = tcp("127.0.0.1", 0) };
		struct linger got = { 0 };
		socklen_t len = sizeof got;
		pthread_t t;
		int s;

		IS(setsockopt(r.fd, SOL_SOCKET, SO_LINGER, &wait, sizeof wait), 0, "SO_LINGER");
		IS(getsockopt(r.fd, SOL_SOCKET, SO_LINGER, &got, &len), 0, "what it is now");
		OK(got.l_onoff && got.l_linger == 600, "as it was set");
		IS(connect_to(r.fd, "127.0.0.1", port), 0, "connect");
		s = accept(l, NULL, NULL);
		while (send(r.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
			;
		OK(pthread_create(&t, NULL, close_it, &r) == 0, "thread");
		while (port_at(r.fd) > 0)
			;
		other_call("a call after a connection was closed");
		(void)close(s); /* with bytes unread: it is reset, and who closes it waits no longer */
		(void)pthread_join(t, NULL);
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - until.tv_sec < 2);
}

/* --- a listener that others have, too ------------------------------------------------------ */

#define HAND "hand" /* where it is handed out, in the current directory */

static struct sockaddr_un unix_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	return sa;
}

union rights {
	struct cmsghdr h;
	char room[CMSG_SPACE(sizeof(int))]; /* cppcheck-suppress unusedStructMember ; it is the room */
};

static struct msghdr message(struct iovec *io, union rights *r)
{
	return (struct msghdr){ .msg_iov = io, .msg_iovlen = 1, .msg_control = r, .msg_controllen = sizeof *r };
}

static void *accept_all(void *arg)
{
	const int *l = arg;

	for (;;) {
		int s = accept(*l, NULL, NULL);

		if (s < 0 && errno != EINTR)
			return NULL; /* the app has ended */
		(void)close(s);
	}
}

/* Whoever waits in accept has a connection before anybody can who has looked first. */
static void steal(void)
{
	struct sockaddr_un at = unix_at(HAND);
	char byte;
	struct iovec io = { &byte, 1 };
	union rights r;
	struct msghdr m = message(&io, &r);
	int s = socket(AF_UNIX, SOCK_STREAM, 0), l;

	(void)alarm(0);
	if (connect(s, (struct sockaddr *)&at, sizeof at) < 0 || recvmsg(s, &m, MSG_CMSG_CLOEXEC) != 1)
		_exit(2);
	memcpy(&l, CMSG_DATA(&r.h), sizeof l);
	for (int i = 0; i < 2; i++) {
		pthread_t t;

		(void)pthread_create(&t, NULL, accept_all, &l);
	}
	(void)write(s, "x", 1);
	(void)read(s, &byte, 1); /* until the other one ends */
	_exit(0);
}

static void *connect_all(void *arg)
{
	const struct sockaddr_un *at = arg;

	while (!over) {
		int s = socket(AF_UNIX, SOCK_STREAM, 0);

		(void)connect(s, (const struct sockaddr *)at, sizeof *at);
		(void)close(s);
	}
	return NULL;
}

/* A listener of the app's own, which somebody outside has been given: "stall steal". */
static void stolen(void)
{
	struct sockaddr_un at = unix_at(HAND), path = unix_at("shared");
	char byte = 'x';
	struct iovec io = { &byte, 1 };
	union rights r = { .h = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct msghdr m = message(&io, &r);
	int hand = socket(AF_UNIX, SOCK_STREAM, 0), l = socket(AF_UNIX, SOCK_STREAM, 0), thief;
	struct timespec now, end;
	pthread_t t;

	IS(bind(l, (struct sockaddr *)&path, sizeof path), 0, "bind");
	IS(listen(l, 4), 0, "listen");
	IS(bind(hand, (struct sockaddr *)&at, sizeof at), 0, "bind");
	IS(listen(hand, 1), 0, "listen");
	(void)printf("ready\n");
	(void)fflush(stdout);
	thief = accept(hand, NULL, NULL);
	memcpy(CMSG_DATA(&r.h), &l, sizeof l);
	IS(sendmsg(thief, &m, 0), 1, "to whom it is handed");
	IS(read(thief, &byte, 1), 1, "who accepts, too");
	OK(pthread_create(&t, NULL, connect_all, &path) == 0, "thread");
	for (int i = 0; i < 4; i++)
		CHILD((accept_all(&l), 0));
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	do {
		other_call("a call while others accept");
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - end.tv_sec < 2);
	over = 1;
	(void)pthread_join(t, NULL);
	(void)unlink(HAND);
	(void)unlink("shared");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} kinds[] = {
		{ "again", again },	    { "two-queues", two_queues }, { "toggled", toggled },
		{ "shortened", shortened }, { "lingering", lingering },
		{ "stolen", stolen },	    { "steal", steal },
	};

	(void)signal(SIGALRM, stalled);
	(void)alarm(PATIENCE);
	for (size_t i = 0; argc == 2 && i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(argv[1], kinds[i].name) == 0) {
			kinds[i].run();
			end_children();
			printf("%s: %d checks, %d failed\n", argv[1], count, failed);
			return failed != 0;
		}
	return 2;
}
