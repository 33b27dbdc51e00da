/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/sockdiag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

#define ALL_STATES (~0U & ~(1U << TCP_TIME_WAIT) & ~(1U << TCP_CLOSE))

int sockdiag_init(struct sockdiag *d, struct err *e)
{
	d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	return d->fd < 0 ? err_sys(e, "sock_diag") : 0;
}

void sockdiag_fini(struct sockdiag *d)
{
	fd_close(&d->fd);
}

static int ask(const struct sockdiag *d)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} m = { .head = { .nlmsg_len = sizeof m,
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.req = { .sdiag_family = AF_INET6,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = ALL_STATES } };

	return send(d->fd, &m, sizeof m, 0) < 0 ? -errno : 0;
}

static void give(struct nlmsghdr *h, void (*each)(void *, const struct sockdiag_entry *),
		 void *ctx)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct sockdiag_entry s = {
		.cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0],
		.state = m->idiag_state,
		.receive_queue = m->idiag_rqueue,
		.send_queue = m->idiag_wqueue,
	};

	each(ctx, &s);
}

int sockdiag_tcp6(struct sockdiag *d, void (*each)(void *ctx, const struct sockdiag_entry *e), void *ctx)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	int rc = ask(d);

	while (rc == 0) {
		ssize_t n = recv(d->fd, buf, sizeof buf, 0);
		int left;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left = (int)n;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, (unsigned)left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(h))->error ?: -EIO;
			if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
			    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
				give(h, each, ctx);
		}
	}
	return rc;
}
