/* SPDX-License-Identifier: Apache-2.0 */
/* What an app sets on a socket is set when that is connected, whoever set it and however. */
#include <linux/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"

static const struct option {
	const char *what;
	int level, name, value;
} options[] = {
	{ "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1 },
	{ "SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 1 },
	{ "SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 5 },
	{ "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 1 },
	{ "SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 3 },
	{ "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, 70000 },
	{ "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 60000 },
	{ "SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 1 },
	{ "SO_TIMESTAMPNS", SOL_SOCKET, SO_TIMESTAMPNS, 1 },
	{ "SO_MAX_PACING_RATE", SOL_SOCKET, SO_MAX_PACING_RATE, 123456789 },
	{ "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1 },
	{ "TCP_CORK", IPPROTO_TCP, TCP_CORK, 1 },
	{ "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 71 },
	{ "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 17 },
	{ "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 5 },
	{ "TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 3 },
	{ "TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, 33 },
	{ "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 4242 },
	{ "TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 9999 },
	{ "TCP_THIN_LINEAR_TIMEOUTS", IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1 },
	{ "TCP_INQ", IPPROTO_TCP, TCP_INQ, 1 },
	{ "IP_TOS", IPPROTO_IP, IP_TOS, 0x10 },
	{ "IP_TTL", IPPROTO_IP, IP_TTL, 77 },
	{ "IP_MTU_DISCOVER", IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO },
	{ "IPV6_TCLASS", IPPROTO_IPV6, IPV6_TCLASS, 0x20 },
	{ "IPV6_UNICAST_HOPS", IPPROTO_IPV6, IPV6_UNICAST_HOPS, 78 },
	{ "IPV6_MTU_DISCOVER", IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO },
};
#define N_OPTIONS (sizeof options / sizeof *options)

static int value_of(int fd, const struct option *o)
{
	int v = -1;
	socklen_t len = sizeof v;

	(void)getsockopt(fd, o->level, o->name, &v, &len); /* it stays -1 where there is none */
	return v;
}

static long set(int fd, const struct option *o)
{
	return R(setsockopt(fd, o->level, o->name, &o->value, sizeof o->value));
}

/* One alone, so that none is there only for another's sake. */
static void test_each(const char *address, int port)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];
		int fd, was, before;

		if (o->level == IPPROTO_IPV6 && !strchr(address, ':'))
			continue;
		fd = tcp(address, 0);
		was = value_of(fd, o);
		IS(set(fd, o), 0, o->what);
		before = value_of(fd, o);
		OK(before != was, o->what);
		IS(connect_to(fd, address, port), 0, o->what);
		IS(value_of(fd, o), before, o->what);
		close(fd);
	}
}

/* IP_TOS sets SO_PRIORITY besides, which the app has chosen after that. */
static void test_in_order(const char *address, int port)
{
	const int tos = 0x10, priority = 3;
	int fd = tcp(address, 0), v = -1;
	socklen_t len = sizeof v;

	IS(setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos), 0, "IP_TOS");
	IS(setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority), 0, "SO_PRIORITY");
	IS(connect_to(fd, address, port), 0, "connect");
	IS(getsockopt(fd, SOL_SOCKET, SO_PRIORITY, &v, &len), 0, "SO_PRIORITY");
	IS(v, priority, "SO_PRIORITY behind IP_TOS");
	close(fd);
}

struct setter {
	int fd;
	const struct option *o;
};

static void *set_in_thread(void *p)
{
	const struct setter *s = p;

	return (void *)set(s->fd, s->o);
}

/* By a thread, through another number, by another process that has got it in a message. */
static void test_by_others(const char *address, int port)
{
	static const struct option timeout = { "by a thread", IPPROTO_TCP, TCP_USER_TIMEOUT, 5151 },
				   tos = { "by a duplicate", IPPROTO_IP, IP_TOS, 0x08 },
				   ttl = { "by another process", IPPROTO_IP, IP_TTL, 66 };
	int fd = tcp(address, 0), copy = dup(fd), pair[2], status = -1;
	struct setter s = { fd, &timeout };
	pthread_t thread;
	void *rc = (void *)-1L;
	pid_t pid;

	IS(pthread_create(&thread, NULL, set_in_thread, &s), 0, timeout.what);
	(void)pthread_join(thread, &rc);
	IS((long)rc, 0, timeout.what);
	IS(set(copy, &tos), 0, tos.what);
	close(copy);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0, "a pair");
	pid = fork();
	if (pid == 0) {
		int got;

		close(fd);
		got = take_fd(pair[1]);
		_exit(got < 0 || set(got, &ttl) < 0);
	}
	pass_fd(pair[0], fd);
	IS(waitpid(pid, &status, 0), pid, ttl.what);
	IS(status, 0, ttl.what);
	close(pair[0]);
	close(pair[1]);
	IS(connect_to(fd, address, port), 0, "connect");
	IS(value_of(fd, &timeout), timeout.value, timeout.what);
	IS(value_of(fd, &tos), tos.value, tos.what);
	IS(value_of(fd, &ttl), ttl.value, ttl.what);
	IS(set(fd, &options[2]), 0, "afterwards");
	IS(value_of(fd, &options[2]), options[2].value, "afterwards");
	close(fd);
	fd = tcp(address, 0);
	IS(connect_to(fd, address, port), 0, "connect");
	OK(value_of(fd, &timeout) != timeout.value && value_of(fd, &ttl) != ttl.value, "another socket has them as they were");
	close(fd);
}

/* A name; and what the kernel does not take is refused as ever. */
static void test_congestion(const char *address, int port)
{
	int fd = tcp(address, 0);
	char name[16] = "";
	socklen_t len = sizeof name;

	IS(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0, "TCP_CONGESTION");
	IS(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0, "TCP_CONGESTION");
	if (strcmp(name, "reno") == 0) { /* not of a wire */
		IS(connect_to(fd, address, port), 0, "connect");
		len = sizeof name;
		IS(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0, "TCP_CONGESTION");
		OK(strcmp(name, "reno") == 0, "TCP_CONGESTION went along");
	}
	IS(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &(int){ 0 }, sizeof(int)), -EINVAL, "a value that is none");
	IS(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, NULL, sizeof(int)), -EFAULT, "no memory");
	IS(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &(int){ 3 }, 1), -EINVAL, "too short");
	IS(setsockopt(STDIN_FILENO, IPPROTO_TCP, TCP_SYNCNT, &(int){ 3 }, sizeof(int)), -ENOTSOCK, "no socket");
	close(fd);
}

void test_kept_options(const char *address, int port)
{
	test_each(address, port);
	test_in_order(address, port);
	test_by_others(address, port);
	test_congestion(address, port);
}
