/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor believes of a gateway that says that somebody has come: messages of many arrivals, true and false. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "tap.h"

static struct sup s;
static struct gateway g;
static int theirs; /* the gateway's end */
static uint32_t id;

/* What was told. */
static unsigned told, with; /* arrivals; those that had a descriptor */
static uint16_t first, last; /* their ports */

static void done(void *ctx, const struct gateway_answer *a, int fd)
{
	(void)ctx;
	if (a->kind != GATEWAY_ARRIVED || a->n != 1) {
		fd_close(&fd);
		return;
	}
	first = told == 0 ? a->arrivals[0].port : first;
	last = a->arrivals[0].port;
	told++;
	with += fd >= 0;
	fd_close(&fd);
}

static void begin(enum gateway_kind kind)
{
	int v[2] = { -1, -1 };
	struct gateway_request r = { .kind = (uint8_t)kind };

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, v) < 0)
		exit(1);
	theirs = v[1];
	TAP_INT(gateway_init(&g, &s, v[0]), 0, "a gateway");
	id = gateway_ask(&g, &r, done, NULL);
	told = with = first = last = 0;
}

static void finish(void)
{
	gateway_fini(&g);
	(void)close(theirs);
}

/* One end is sent, the other is in *ret_far: when it hears an end, nobody has the first any more. */
static int unix_socket(int *ret_far)
{
	int v[2] = { -1, -1 };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, v) < 0)
		exit(1);
	*ret_far = v[1];
	return v[0];
}

static bool is_closed(int far)
{
	struct pollfd p = { .fd = far };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

struct message {
	const char *what;
	uint8_t kind, nonblock;
	uint32_t n;
	unsigned tcp, others;   /* descriptors beside it: TCP sockets, and behind them AF_UNIX ones */
	int more;               /* bytes */
	unsigned told, with;    /* what is to be told */
	bool ends;              /* the gateway */
};

#define OTHERS 4

static void send_message(const struct message *m, int far[static OTHERS])
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 2 * GATEWAY_ARRIVALS_MAX)];
	} ctl = { 0 };
	struct gateway_answer a = { .kind = m->kind, .nonblock = m->nonblock, .id = id, .n = m->n };
	char bytes[2 * sizeof a] = { 0 };
	size_t size = m->n == UINT32_MAX ? offsetof(struct gateway_answer, arrivals) : gateway_answer_size(&a);
	struct iovec iov = { bytes, size + (size_t)m->more };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[2 * GATEWAY_ARRIVALS_MAX];
	unsigned n = m->tcp + m->others;

	for (unsigned i = 0; i < n; i++)
		fds[i] = i < m->tcp ? socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) : unix_socket(&far[i - m->tcp]);
	for (unsigned i = 0; i < m->n && i < GATEWAY_ARRIVALS_MAX; i++)
		a.arrivals[i].port = (uint16_t)(100 + i);
	memcpy(bytes, &a, sizeof a);
	if (n) {
		h.msg_control = ctl.buf;
		h.msg_controllen = CMSG_SPACE(n * sizeof *fds);
		ctl.align = (struct cmsghdr){ CMSG_LEN(n * sizeof *fds), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&ctl.align), fds, n * sizeof *fds);
	}
	TAP_INT(sendmsg(theirs, &h, MSG_DONTWAIT), (long long)iov.iov_len, "%s: sent", m->what);
	for (unsigned i = 0; i < n; i++)
		(void)close(fds[i]);
}

static void try(enum gateway_kind asked, const struct message *m)
{
	int far[OTHERS] = { -1, -1, -1, -1 };

	begin(asked);
	send_message(m, far);
	(void)loop_turn(&s.loop, 0);
	TAP_INT(told, m->told, "%s: those who are told of", m->what);
	TAP_INT(with, m->with, "%s: those who have a socket", m->what);
	TAP_INT(g.fd < 0, m->ends, "%s: whether the gateway is none any more", m->what);
	if (m->told > 1)
		TAP_OK(first == 100 && last == 100 + m->told - 1, "%s: in their order, %u to %u", m->what, first, last);
	for (unsigned i = 0; i < m->others; i++) {
		TAP_OK(is_closed(far[i]), "%s: nobody keeps descriptor %u", m->what, m->tcp + i);
		(void)close(far[i]);
	}
	finish();
}

int main(void)
{
	static const struct message published[] = {
		{ "one", GATEWAY_ARRIVED, 0, 1, 1, 0, 0, 1, 1, false },
		{ "one that was denied", GATEWAY_ARRIVED, 0, 1, 0, 0, 0, 1, 0, false },
		{ "as many as may be", GATEWAY_ARRIVED, 1, GATEWAY_ARRIVALS_MAX, GATEWAY_ARRIVALS_MAX, 0, 0, GATEWAY_ARRIVALS_MAX,
		  GATEWAY_ARRIVALS_MAX, false },
		{ "fewer descriptors", GATEWAY_ARRIVED, 0, 5, 3, 0, 0, 5, 3, false },
		{ "more descriptors", GATEWAY_ARRIVED, 0, 2, 2, 4, 0, 2, 2, false },
		{ "another socket among them", GATEWAY_ARRIVED, 0, 6, 2, 4, 0, 2, 2, true },
		{ "nobody", GATEWAY_ARRIVED, 0, 0, 0, 1, 0, 0, 0, true },
		{ "too many", GATEWAY_ARRIVED, 0, GATEWAY_ARRIVALS_MAX + 1, 1, 1, 0, 0, 0, true },
		{ "a count that no message has room for", GATEWAY_ARRIVED, 0, UINT32_MAX, 0, 0, 34, 0, 0, true },
		{ "a mode of 2", GATEWAY_ARRIVED, 2, 1, 1, 1, 0, 0, 0, true },
		{ "a byte less", GATEWAY_ARRIVED, 0, 2, 2, 1, -1, 0, 0, true },
		{ "a byte more", GATEWAY_ARRIVED, 0, 2, 2, 1, 1, 0, 0, true },
		{ "a connection", GATEWAY_CONNECTED, 0, 1, 1, 2, 0, 0, 0, true },
	};
	static const struct message connected[] = {
		{ "no port", GATEWAY_ARRIVED, 0, 2, 1, 2, 0, 0, 0, true },
		{ "what fails, with descriptors", GATEWAY_FAILED, 0, 0, 0, 3, 0, 0, 0, true },
	};
	struct err e;

	if (loop_init(&s.loop, &e) < 0)
		return 1;
	for (size_t i = 0; i < sizeof published / sizeof *published; i++)
		try(GATEWAY_PUBLISH, &published[i]);
	for (size_t i = 0; i < sizeof connected / sizeof *connected; i++)
		try(GATEWAY_CONNECT, &connected[i]);
	loop_fini(&s.loop);
	return tap_done();
}
