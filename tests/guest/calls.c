/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on a few stream sockets, chosen by a seed, and what came of each: the
 * same text on the bare kernel and in a domain, or something is not as on Linux.
 *
 *   calls FIRST LAST tcp|wire   one sequence for each of these seeds; "wire" leaves out what the manual
 *                               says is otherwise there
 *
 * Nothing waits. It wants 10.88.0.20 and fd00::20 to be its own addresses, and nobody else at its ports. Some
 * sequences beyond the first thousand come upon what only a kernel can know (an IPv6 socket that has spoken IPv4 before;
 * when a connection that waits got its options): look before believing a difference there.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOTS 7
#define PORTS 3 /* that are bound */
#define CALLS 60
#define PORTS_MAX 256

union sa {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int fds[SLOTS]; /* -1: none */
static bool bound[SLOTS], tried[SLOTS]; /* bind was called, connect */
static uint16_t seen[PORTS_MAX];
static unsigned n_seen;
static uint64_t state;
static bool spent[PORTS]; /* there may be connections at that port, which another address can be bound beside in a domain */
static uint16_t first_port; /* others for each seed: the kernel remembers closed ones */
static bool half; /* a connection was shut down */
static bool wire;
static uint16_t chosen[PORTS_MAX]; /* ports that the kernel has chosen for sockets of this sequence */
static unsigned n_chosen;
static bool coincidence; /* one of them twice: names by the number say which is meant no longer */

static unsigned roll(unsigned n)
{
	state = state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(state >> 33) % n;
}

/* --- text ---------------------------------------------------------------------------- */

/* Ports that the kernel has chosen are called by the order in which they are seen. */
static const char *port_text(uint16_t port)
{
	static char text[16];
	unsigned i = 0;

	if (port < 8000) {
		/* Another try has others. */
		(void)snprintf(text, sizeof text, port >= first_port && port < first_port + PORTS ? "f%u" : "%u", port < first_port ? port : port - first_port);
		return text;
	}
	while (i < n_seen && seen[i] != port)
		i++;
	if (i == n_seen && n_seen < PORTS_MAX)
		seen[n_seen++] = port;
	(void)snprintf(text, sizeof text, "p%u", i);
	return text;
}

static void say_name(const union sa *s, socklen_t len)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	const void *at = s->sa.sa_family == AF_INET6 ? (const void *)&s->v6.sin6_addr : (const void *)&s->v4.sin_addr;

	(void)inet_ntop(s->sa.sa_family, at, ip, sizeof ip);
	(void)printf(" [%s]:%s/%u", ip, port_text(ntohs(s->v4.sin_port)), (unsigned)len);
}

static long say(const char *call, int slot, long result)
{
	if (result < 0)
		(void)printf("%s %d: %s", call, slot, strerrorname_np(errno));
	else
		(void)printf("%s %d: %ld", call, slot, result);
	return result;
}

/* --- calls --------------------------------------------------------------------------- */

static const char *const places[] = { "127.0.0.1", "0.0.0.0",		"10.88.0.20", "127.0.0.2",
				      "::1",	   "::",		"fd00::20",   "::ffff:127.0.0.1",
				      "::ffff:10.88.0.20", "::ffff:0.0.0.0" };
#define V4_PLACES 4
#define V6_PLACES 3

static socklen_t make(union sa *s, const char *ip, uint16_t port)
{
	memset(s, 0, sizeof *s);
	if (!strchr(ip, ':')) {
		s->v4.sin_family = AF_INET;
		s->v4.sin_port = htons(port);
		(void)inet_pton(AF_INET, ip, &s->v4.sin_addr);
		return sizeof s->v4;
	}
	s->v6.sin6_family = AF_INET6;
	s->v6.sin6_port = htons(port);
	(void)inet_pton(AF_INET6, ip, &s->v6.sin6_addr);
	return sizeof s->v6;
}

/*
 * Mostly one of the socket's own family. An IPv6 socket that has spoken IPv4 and then tries IPv6 gets no answers on the
 * bare kernel: each slot has one of both.
 */
static const char *any_place(int slot)
{
	int domain = AF_INET;
	socklen_t len = sizeof domain;

	(void)getsockopt(fds[slot], SOL_SOCKET, SO_DOMAIN, &domain, &len);
	if (domain == AF_INET ? roll(12) > 0 : roll(12) == 0)
		return places[roll(V4_PLACES)];
	return places[V4_PLACES + roll(V6_PLACES) + (slot % 2 ? V6_PLACES : 0)];
}

static uint16_t port_of(int fd)
{
	union sa s = { 0 };
	socklen_t len = sizeof s;

	return getsockname(fd, &s.sa, &len) < 0 ? 0 : ntohs(s.v4.sin_port);
}

static bool is_connected(int fd)
{
	union sa s;
	socklen_t len = sizeof s;

	return getpeername(fd, &s.sa, &len) == 0;
}

/* Of one that has failed the bare kernel still tells the port that it had. */
static bool listens(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

static bool has_port(int fd)
{
	return is_connected(fd) || listens(fd);
}

static bool is_open(int fd)
{
	return fd >= 0;
}

/* Mostly one of which that is true. */
static int any_slot(bool (*is)(int fd))
{
	int first = (int)roll(SLOTS);

	for (int i = 0; is && roll(8) && i < SLOTS; i++)
		if (is(fds[(first + i) % SLOTS]))
			return (first + i) % SLOTS;
	return first;
}

static void spend(uint16_t port)
{
	if (port >= first_port && port < first_port + PORTS)
		spent[port - first_port] = true;
}

/* One of three, or that of another socket. */
static uint16_t any_port(void)
{
	int fd = fds[any_slot(listens)];

	return roll(3) && has_port(fd) ? port_of(fd) : (uint16_t)(first_port + roll(PORTS));
}

/* Of the same kind. */
static int other_slot(int slot)
{
	return slot % 2 + 2 * (int)roll(slot % 2 ? SLOTS / 2 : (SLOTS + 1) / 2);
}

/* Of a wire the other end knows at once what is closed, and those who wait in a queue. */
static bool stays(int slot)
{
	return wire && has_port(fds[slot]);
}

/* Behind a call that gives a socket a port when it has none. */
static void note_choice(int slot, uint16_t before)
{
	uint16_t port = port_of(fds[slot]);

	if (before || port < 8000)
		return;
	for (unsigned i = 0; i < n_chosen; i++)
		coincidence |= chosen[i] == port;
	if (n_chosen < PORTS_MAX)
		chosen[n_chosen++] = port;
}

static void put(int slot, long fd)
{
	bound[slot] = tried[slot] = false;
	if (fds[slot] >= 0)
		(void)close(fds[slot]);
	fds[slot] = (int)fd;
}

static void do_socket(int slot)
{
	static const struct {
		int family, type, protocol;
	} odd[] = { { AF_INET, SOCK_STREAM, IPPROTO_UDP }, { AF_INET6, SOCK_STREAM, 77 }, { AF_INET, SOCK_STREAM | 0x40, 0 } };
	bool v6 = roll(2);
	int fd;

	if (stays(slot))
		return;
	fd = roll(16) ? socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, roll(2) ? 0 : IPPROTO_TCP) : -2;

	if (fd == -2) {
		unsigned i = roll(3);

		(void)say("socket, odd", slot, socket(odd[i].family, odd[i].type, odd[i].protocol));
		return;
	}
	(void)say(v6 ? "socket6" : "socket4", slot, fd < 0 ? -1 : 0);
	put(slot, fd);
}

static void do_bind(int slot)
{
	union sa s;
	const char *ip = any_place(slot);
	uint16_t port = roll(3) ? (uint16_t)(first_port + roll(PORTS)) : 0, before;
	socklen_t len = make(&s, ip, port);

	if (roll(20) == 0)
		len = (socklen_t)roll(40);
	if (bound[slot] && tried[slot]) /* what is left of that is not for anybody to know */
		return;
	if (port >= first_port && port < first_port + PORTS && spent[port - first_port])
		return;
	bound[slot] = true;
	before = port_of(fds[slot]);
	(void)say("bind", slot, bind(fds[slot], &s.sa, len));
	note_choice(slot, before);
	(void)printf(" %s %s %u", ip, port_text(port), (unsigned)len);
}

static void do_listen(int slot)
{
	uint16_t before = port_of(fds[slot]);

	if (tried[slot])
		return;
	bound[slot] = true;
	(void)say("listen", slot, listen(fds[slot], 40 + (int)roll(2)));
	note_choice(slot, before);
}

/* So that the bare kernel has done it all, too, before anything is asked. */
static void settle(void)
{
	(void)sched_yield();
}

static void do_connect(int slot)
{
	union sa s;
	const char *ip = any_place(slot);
	uint16_t port = any_port(), before = port_of(fds[slot]);
	socklen_t len = make(&s, ip, port);
	long rc;

	if (bound[slot] && tried[slot])
		return;
	tried[slot] = true;
	if (bound[slot])
		spend(port_of(fds[slot]));
	if (port && port == port_of(fds[slot])) /* which would connect a socket to itself */
		return;
	if (roll(12) == 0 && !wire && !bound[slot]) { /* bind(2) and listen(2) with port 0 leave something else behind */
		s.sa.sa_family = AF_UNSPEC;
		ip = "nowhere";
	}
	rc = connect(fds[slot], &s.sa, len);
	if (wire && rc < 0 && errno == EINPROGRESS) { /* they know at once */
		struct pollfd p = { .fd = fds[slot], .events = POLLOUT };

		(void)poll(&p, 1, 1000);
		rc = connect(fds[slot], &s.sa, len);
	}
	(void)say("connect", slot, rc);
	note_choice(slot, before);
	(void)printf(" %s %s", ip, port_text(port));
}

static void do_accept(int slot)
{
	union sa s = { 0 };
	socklen_t len = sizeof s;
	int to = other_slot(slot), fd;

	if (stays(to))
		return;
	fd = accept4(fds[slot], &s.sa, &len, SOCK_NONBLOCK);
	if (say("accept", slot, fd < 0 ? -1 : to) < 0)
		return;
	say_name(&s, len);
	spend(port_of(fd));
	put(to, fd);
}

static void do_names(int slot)
{
	union sa s = { 0 };
	socklen_t len = sizeof s;

	if (!has_port(fds[slot]) && (tried[slot] || port_of(fds[slot]) == 0 || port_of(fds[slot]) >= 8000))
		return;
	if (say("getsockname", slot, getsockname(fds[slot], &s.sa, &len)) == 0)
		say_name(&s, len);
	(void)printf(" ");
	len = roll(6) ? sizeof s : roll(20);
	memset(&s, 0, sizeof s);
	if (say("getpeername", slot, getpeername(fds[slot], &s.sa, &len)) == 0)
		say_name(&s, len);
}

static const struct {
	int level, option, most; /* most 0: it is not set */
	const char *name;
} options[] = {
	{ SOL_SOCKET, SO_REUSEADDR, 2, "SO_REUSEADDR" },
	{ SOL_SOCKET, SO_KEEPALIVE, 2, "SO_KEEPALIVE" },
	{ IPPROTO_IPV6, IPV6_V6ONLY, 2, "IPV6_V6ONLY" },
	{ IPPROTO_TCP, TCP_NODELAY, 2, "TCP_NODELAY" },
	{ IPPROTO_TCP, TCP_CORK, 2, "TCP_CORK" },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 40000, "TCP_KEEPIDLE" },
	{ IPPROTO_IP, IP_TTL, 300, "IP_TTL" },
	{ IPPROTO_IP, IP_TOS, 200, "IP_TOS" },
	{ IPPROTO_IPV6, IPV6_TCLASS, 300, "IPV6_TCLASS" },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, 300, "IPV6_UNICAST_HOPS" },
	{ SOL_SOCKET, SO_TYPE, 0, "SO_TYPE" },
	{ SOL_SOCKET, SO_ERROR, 0, "SO_ERROR" },
	{ SOL_SOCKET, SO_ACCEPTCONN, 0, "SO_ACCEPTCONN" },
	{ SOL_SOCKET, SO_PROTOCOL, 0, "SO_PROTOCOL" },
	{ SOL_SOCKET, SO_DOMAIN, 0, "SO_DOMAIN" },
	{ SOL_SOCKET, SO_RCVLOWAT, 5, "SO_RCVLOWAT" },
	{ IPPROTO_TCP, 99, 2, "none" },
};
#define N_OPTIONS (sizeof options / sizeof *options)

static bool is_v6(int fd)
{
	int domain = 0;
	socklen_t len = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_INET6;
}

static void do_option(int slot)
{
	unsigned i = roll(N_OPTIONS);
	int value = (int)roll((unsigned)options[i].most + 1);
	socklen_t len = roll(10) ? sizeof value : roll(6);

	if (options[i].option == 99 && (fds[slot] < 0 || len != sizeof value))
		return; /* what nobody has is refused without a look at the socket */
	if (options[i].option == IPV6_V6ONLY && options[i].level == IPPROTO_IPV6 && tried[slot])
		return;
	if (options[i].level == IPPROTO_IPV6 && options[i].option != IPV6_V6ONLY && !is_v6(fds[slot]))
		return; /* streams of either family have them */
	if (options[i].most && roll(2)) {
		(void)say("setsockopt", slot, setsockopt(fds[slot], options[i].level, options[i].option, &value, len));
		(void)printf(" %s %d %u", options[i].name, value, (unsigned)len);
		return;
	}
	value = 0;
	if (say("getsockopt", slot, getsockopt(fds[slot], options[i].level, options[i].option, &value, &len)) == 0)
		(void)printf(" %d %u", value, (unsigned)len);
	(void)printf(" %s", options[i].name);
}

/* Bytes that TCP_CORK or Nagle's algorithm hold back would come whenever a timer says so: TCP_NODELAY sends them at once. */
static void push(int fd)
{
	int was = 0, on = 1;
	socklen_t len = sizeof was;

	if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &was, &len) < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &was, sizeof was);
}

static void do_bytes(int slot)
{
	char buf[64] = "";
	unsigned n = 1 + roll(32);
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (roll(4) ? 0 : MSG_PEEK);

	if (wire && !is_connected(fds[slot])) /* what it says then is another error */
		return;
	if (roll(2)) {
		flags &= ~MSG_PEEK;
		(void)say("send", slot, send(fds[slot], buf, n, flags));
		push(fds[slot]);
	} else {
		(void)say("recv", slot, recv(fds[slot], buf, n, flags));
	}
}

static void do_shutdown(int slot)
{
	int how = (int)roll(wire ? 3 : 4);

	if (wire && half) /* with both TCP's connection is none any more */
		return;
	half = true;
	if (wire) /* SHUT_RD stops the peer; a listener never listens again */
		how = SHUT_WR;
	bound[slot] = tried[slot] = true;
	(void)say("shutdown", slot, shutdown(fds[slot], how));
	(void)printf(" %d", how);
}

static void do_poll(int slot)
{
	struct pollfd p = { .fd = fds[slot], .events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI };
	long n = poll(&p, 1, 0);

	if (wire && !is_connected(fds[slot]))
		return;
	(void)say("poll", slot, n);
	(void)printf(" %x", p.revents & (wire ? POLLIN : 0xffff));
}

static void do_queue(int slot)
{
	int n = 0;

	(void)say("FIONREAD", slot, ioctl(fds[slot], FIONREAD, &n));
	(void)printf(" %d", n);
}

static void do_dup(int slot)
{
	int to = other_slot(slot), fd;

	if (stays(to))
		return;
	fd = dup(fds[slot]);
	(void)say("dup", slot, fd < 0 ? -1 : to);
	if (fd < 0 || to == slot) {
		(void)close(fd);
		return;
	}
	put(to, fd);
	bound[to] = tried[to] = true; /* as the other one will be, perhaps */
	bound[slot] = tried[slot] = true;
}

static void do_close(int slot)
{
	const struct linger now = { .l_onoff = 1 };

	if (stays(slot))
		return;
	if (!wire) /* or it may be in the way of others for a minute, which in a domain only the same address is */
		(void)setsockopt(fds[slot], SOL_SOCKET, SO_LINGER, &now, sizeof now);
	(void)say("close", slot, close(fds[slot]));
	fds[slot] = -1;
}

static void do_sendto(int slot)
{
	union sa s;
	socklen_t len = make(&s, "127.0.0.1", 7001);

	if (wire && !is_connected(fds[slot]))
		return;
	(void)say("sendto", slot, sendto(fds[slot], "abc", 3, MSG_DONTWAIT | MSG_NOSIGNAL, &s.sa, len));
	push(fds[slot]);
}

static void sequence(unsigned seed, unsigned try)
{
	static const struct {
		void (*call)(int slot);
		unsigned weight; /* 128 in all */
		bool (*on)(int fd);
	} calls[] = {
		{ do_socket, 10, NULL },	{ do_bind, 10, is_open },     { do_listen, 12, is_open },
		{ do_connect, 24, is_open },	{ do_accept, 20, listens },   { do_names, 6, is_open },
		{ do_option, 10, is_open },	{ do_bytes, 16, is_connected }, { do_shutdown, 2, is_connected },
		{ do_poll, 10, is_connected },	{ do_queue, 2, is_connected }, { do_dup, 2, is_open },
		{ do_close, 2, NULL },		{ do_sendto, 2, is_connected },
	};

	state = seed;
	first_port = (uint16_t)(1100 + (seed + try * 500) * PORTS % 6600);
	n_seen = n_chosen = 0;
	coincidence = false;
	half = false;
	memset(spent, 0, sizeof spent);
	for (int i = 0; i < SLOTS; i++) {
		do_socket(i);
		(void)printf("\n");
	}
	for (unsigned i = 0; i < CALLS; i++) {
		unsigned n = roll(128), k = 0;

		while (n >= calls[k].weight)
			n -= calls[k++].weight;
		(void)printf("%u.%u ", seed, i);
		calls[k].call(any_slot(calls[k].on));
		(void)printf("\n");
		settle();
	}
	for (int i = 0; i < SLOTS; i++) {
		const struct linger now = { .l_onoff = 1 };

		(void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof now); /* no state is left for the next one */
		put(i, -1);
	}
}

/* What a sequence comes to where the kernel chooses no port twice. */
static void print_sequence(unsigned seed)
{
	FILE *out = stdout;

	for (unsigned try = 0; try < 4; try++) {
		char *text = NULL;
		size_t size = 0;

		stdout = open_memstream(&text, &size);
		if (!stdout)
			exit(1);
		sequence(seed, try);
		(void)fclose(stdout);
		stdout = out;
		if (!coincidence || try == 3) {
			(void)fwrite(text, 1, size, out);
			try = 3;
		}
		free(text);
	}
}

/* An address that was just given answers a moment later. */
static void await_places(void)
{
	for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
		int events = 0;

		for (unsigned try = 0; try < 100 && !(events & (POLLERR | POLLHUP)); try++) {
			union sa s;
			socklen_t len = make(&s, places[i], 9);
			int fd = socket(s.v4.sin_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			(void)connect(fd, &s.sa, len);
			events = poll(&p, 1, 100) == 1 ? p.revents : 0;
			(void)close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	(void)alarm(100);
	if (argc != 4)
		return 2;
	wire = strcmp(argv[3], "wire") == 0;
	for (int i = 0; i < SLOTS; i++)
		fds[i] = -1;
	await_places();
	for (unsigned seed = (unsigned)strtoul(argv[1], NULL, 10), last = (unsigned)strtoul(argv[2], NULL, 10); seed <= last; seed++)
		print_sequence(seed);
	return 0;
}
