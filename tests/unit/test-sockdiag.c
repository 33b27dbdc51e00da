/* SPDX-License-Identifier: Apache-2.0 */
/* What sock_diag says of sockets that were just made. */
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kern/sockdiag.h"
#include "tap.h"

static struct sockdiag diag;

struct search {
	uint64_t cookie;
	unsigned found, others;
	struct sockdiag_entry e;
};

static void look(void *ctx, const struct sockdiag_entry *e)
{
	struct search *s = ctx;

	if (e->cookie != s->cookie) {
		s->others++;
		return;
	}
	s->found++;
	s->e = *e;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	(void)getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	return cookie;
}

static struct search list(enum sockdiag_kind kind, int fd)
{
	struct search s = { .cookie = cookie_of(fd) };
	int rc = sockdiag_begin(&diag, kind, true);

	while (rc == 0 && (rc = sockdiag_step(&diag, look, &s)) == 1)
		rc = 0;
	TAP_INT(rc, 0, "a list comes to its end");
	return s;
}

static struct sockaddr_in6 place_of(int fd)
{
	struct sockaddr_in6 sa = { 0 };
	socklen_t len = sizeof sa;

	(void)getsockname(fd, (struct sockaddr *)&sa, &len);
	return sa;
}

static int listener(void)
{
	const struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 5) == 0 ? fd : -1;
}

static void test_tcp(void)
{
	int l = listener(), c = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, server;
	struct sockaddr_in6 at = place_of(l), from;
	struct sockdiag_entry e;
	struct search s;

	if (!TAP_OK(l >= 0 && connect(c, (struct sockaddr *)&at, sizeof at) == 0, "a connection over IPv6's loopback"))
		return;
	from = place_of(c);
	(void)setsockopt(c, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	s = list(SOCKDIAG_TCP6, l);
	TAP_INT(s.found, 1, "a listener is listed once");
	TAP_INT(s.e.state, TCP_LISTEN, "as one");
	TAP_INT(s.e.receive_queue, 1, "one waits");
	TAP_INT(s.e.send_queue, 5, "of five");
	s = list(SOCKDIAG_LISTENERS, l);
	TAP_INT(s.found, 1, "among listeners as well");
	s = list(SOCKDIAG_LISTENERS, c);
	TAP_INT(s.found, 0, "where no connection is");
	server = accept(l, NULL, NULL);
	TAP_INT(send(c, "hello", 5, 0), 5, "five bytes are sent");
	s = list(SOCKDIAG_TCP6, server);
	TAP_INT(s.e.receive_queue, 5, "and wait");
	TAP_OK(s.e.counted && s.e.bytes_in == 5 && s.e.bytes_out == 0, "and were counted");
	TAP_OK(s.e.receive_buffer > 0 && *s.e.congestion, "buffers and congestion control are told");
	s = list(SOCKDIAG_TCP6, c);
	TAP_OK(s.e.counted && s.e.bytes_out == 5 && s.e.bytes_in == 0, "by the sender too, and SYN is no byte");
	TAP_OK(s.e.keepalive && !s.e.orphan, "it keeps alive, and somebody has it");
	TAP_INT(sockdiag_find_tcp6(&diag, &at, NULL, cookie_of(l), &e), 0, "a listener by its place");
	TAP_INT(e.cookie, cookie_of(l), "that one");
	TAP_INT(sockdiag_find_tcp6(&diag, &at, NULL, cookie_of(c), &e), -ESTALE, "not another's");
	TAP_INT(sockdiag_find_tcp6(&diag, &from, &at, cookie_of(c), &e), 0, "a connection by its places");
	TAP_INT(e.state, TCP_ESTABLISHED, "as it is");
	(void)close(c);
	(void)close(server);
	(void)close(l);
	TAP_INT(sockdiag_find_tcp6(&diag, &at, NULL, e.cookie, &e), -ENOENT, "nobody is there any more");
}

static void test_unix(void)
{
	int p[2];
	struct search s;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
		return;
	TAP_INT(send(p[0], "hello", 5, 0), 5, "five bytes over AF_UNIX");
	s = list(SOCKDIAG_UNIX, p[1]);
	TAP_INT(s.found, 1, "it is listed");
	TAP_INT(s.e.receive_queue, 5, "with what waits");
	TAP_OK(!s.e.counted, "and without counters");
	(void)shutdown(p[1], SHUT_WR);
	s = list(SOCKDIAG_UNIX, p[1]);
	TAP_INT(s.e.shut, 2, "one direction has ended");
	(void)close(p[0]);
	s = list(SOCKDIAG_UNIX, p[1]);
	TAP_INT(s.e.shut, 3, "both have");
	(void)close(p[1]);
}

int main(void)
{
	struct err e = { 0 };

	if (sockdiag_init(&diag, &e) < 0) {
		printf("1..0 # SKIP %s\n", e.text);
		return 0;
	}
	test_tcp();
	test_unix();
	sockdiag_fini(&diag);
	return tap_done();
}
