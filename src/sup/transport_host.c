/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's TCP sockets, which came to apps connected or connecting and never
 * are anything else: whoever wants to bind, listen or connect elsewhere gets
 * another socket first (handoff_return()). The kernel tells how they are.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "sup/transport.h"

int transport_progress(int fd, int family)
{
	const struct sockaddr none = { .sa_family = (sa_family_t)family };
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;

	/* Else it might wait. The question that costs more comes last: as a rule there is room to send. */
	if (poll(&p, 1, 0) == 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    (info.tcpi_state == TCP_SYN_SENT || info.tcpi_state == TCP_SYN_RECV))
		return -EALREADY;
	/* An address that is too short is all that it takes, and connects nothing. */
	return connect(fd, &none, sizeof none.sa_family) < 0 ? -errno : 0;
}

static int connect_again(int fd, struct vsk *v)
{
	return transport_progress(fd, v->v6 ? AF_INET6 : AF_INET);
}

static void saw(void *ctx, uint64_t cookie)
{
	struct vsk *v = vsk_find(ctx, cookie);

	if (v)
		v->seen = true;
}

static int look(struct sup *s, bool again)
{
	(void)again;
	return alive_list(&s->handed, saw, &s->table);
}

static bool is_gone(const struct vsk *v)
{
	return !v->seen; /* look() comes before */
}

const struct transport transport_host = {
	.connect_again = connect_again,
	.look = look,
	.is_gone = is_gone,
};
