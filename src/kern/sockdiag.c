/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/sockdiag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

/* include/net/tcp_states.h; netinet/tcp.h, which has them too, knows too old a struct tcp_info. */
#define STATE_TIME_WAIT 6
#define STATE_CLOSE 7
#define STATE_LISTEN 10
#define STATE_ALL (~0U)

#ifndef SOCK_DESTROY
#define SOCK_DESTROY 21 /* linux/sock_diag.h */
#endif

#define TIMER_KEEPALIVE 2 /* idiag_timer */

#define SHOW(attribute) (1U << ((attribute) - 1))
#define DETAILS (SHOW(INET_DIAG_INFO) | SHOW(INET_DIAG_SKMEMINFO) | SHOW(INET_DIAG_CONG))

int sockdiag_init(struct sockdiag *d, struct err *e)
{
	d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	return d->fd < 0 ? err_sys(e, "sock_diag") : 0;
}

void sockdiag_fini(struct sockdiag *d)
{
	fd_close(&d->fd);
}

/* --- questions ----------------------------------------------------------------- */

struct tcp_question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

static struct tcp_question ask_tcp(unsigned flags, bool details)
{
	return (struct tcp_question){
		.head = { .nlmsg_len = sizeof(struct tcp_question),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.req = { .sdiag_family = AF_INET6,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_ext = (uint8_t)(details ? DETAILS : 0),
			 .idiag_states = STATE_ALL & ~(1U << STATE_CLOSE) &
					 ~(details ? 0 : 1U << STATE_TIME_WAIT) },
	};
}

static int begin_unix(struct sockdiag *d, bool details)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} m = { .head = { .nlmsg_len = sizeof m,
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.req = { .sdiag_family = AF_UNIX,
			 .udiag_states = STATE_ALL,
			 .udiag_show = UDIAG_SHOW_RQLEN | (details ? UDIAG_SHOW_MEMINFO : 0) } };

	return send(d->fd, &m, sizeof m, 0) < 0 ? -errno : 0;
}

int sockdiag_begin(struct sockdiag *d, enum sockdiag_kind kind, bool details)
{
	struct tcp_question m = ask_tcp(NLM_F_DUMP, details);

	d->parts = 0;
	if (kind == SOCKDIAG_UNIX)
		return begin_unix(d, details);
	if (kind == SOCKDIAG_LISTENERS)
		m.req.idiag_states = 1U << STATE_LISTEN;
	return send(d->fd, &m, sizeof m, 0) < 0 ? -errno : 0;
}

/* --- answers ------------------------------------------------------------------- */

/* NLMSG_DATA, RTA_DATA and RTA_NEXT of the kernel's headers cast const away. */
static const void *payload(const struct nlmsghdr *h)
{
	return (const char *)h + NLMSG_HDRLEN;
}

static const void *attribute_value(const struct rtattr *a)
{
	return (const char *)a + RTA_LENGTH(0);
}

static const struct rtattr *next_attribute(const struct rtattr *a, unsigned *left)
{
	unsigned n = RTA_ALIGN(a->rta_len);

	*left -= n;
	return (const void *)((const char *)a + n);
}

static void copy(void *to, size_t size, const struct rtattr *a)
{
	size_t have = RTA_PAYLOAD(a);

	memcpy(to, attribute_value(a), have < size ? have : size);
}

static void take_info(struct sockdiag_entry *s, const struct rtattr *a)
{
	struct tcp_info info = { 0 };

	copy(&info, sizeof info, a);
	/* Not those acknowledged: with them the kernel counts SYN and FIN as a byte each. */
	s->counted = RTA_PAYLOAD(a) >= offsetof(struct tcp_info, tcpi_bytes_retrans) + 8;
	s->bytes_in = info.tcpi_bytes_received;
	s->bytes_out = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
}

static void take_memory(struct sockdiag_entry *s, const struct rtattr *a)
{
	uint32_t m[SK_MEMINFO_VARS] = { 0 };

	copy(m, sizeof m, a);
	s->receive_buffer = m[SK_MEMINFO_RCVBUF];
	s->send_buffer = m[SK_MEMINFO_SNDBUF];
}

static void take_tcp(struct sockdiag_entry *s, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = payload(h);
	const struct rtattr *a = (const struct rtattr *)(m + 1);
	unsigned left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);

	s->kind = SOCKDIAG_TCP6;
	s->cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
	s->state = m->idiag_state;
	s->orphan = m->idiag_inode == 0;
	s->receive_queue = m->idiag_rqueue;
	s->send_queue = m->idiag_wqueue;
	s->keepalive = m->idiag_timer == TIMER_KEEPALIVE;
	for (; RTA_OK(a, left); a = next_attribute(a, &left))
		switch (a->rta_type) {
		case INET_DIAG_INFO:
			take_info(s, a);
			break;
		case INET_DIAG_SKMEMINFO:
			take_memory(s, a);
			break;
		case INET_DIAG_CONG:
			copy(s->congestion, sizeof s->congestion - 1, a);
			break;
		default:
			break;
		}
}

static void take_unix(struct sockdiag_entry *s, const struct nlmsghdr *h)
{
	const struct unix_diag_msg *m = payload(h);
	const struct rtattr *a = (const struct rtattr *)(m + 1);
	unsigned left = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
	struct unix_diag_rqlen queues = { 0 };

	s->kind = SOCKDIAG_UNIX;
	s->cookie = (uint64_t)m->udiag_cookie[1] << 32 | m->udiag_cookie[0];
	s->state = m->udiag_state;
	s->orphan = m->udiag_ino == 0;
	for (; RTA_OK(a, left); a = next_attribute(a, &left))
		switch (a->rta_type) {
		case UNIX_DIAG_RQLEN:
			copy(&queues, sizeof queues, a);
			break;
		case UNIX_DIAG_MEMINFO:
			take_memory(s, a);
			break;
		case UNIX_DIAG_SHUTDOWN:
			copy(&s->shut, sizeof s->shut, a);
			break;
		default:
			break;
		}
	s->receive_queue = queues.udiag_rqueue;
	s->send_queue = queues.udiag_wqueue;
}

static bool take(const struct nlmsghdr *h, struct sockdiag_entry *ret)
{
	const struct inet_diag_msg *m = payload(h); /* both kinds begin with the family */

	*ret = (struct sockdiag_entry){ 0 };
	if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
		return false;
	if (m->idiag_family == AF_UNIX) {
		const struct unix_diag_msg *u = payload(h);

		if (u->udiag_type != SOCK_STREAM)
			return false;
		take_unix(ret, h);
	} else {
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof *m))
			return false;
		take_tcp(ret, h);
	}
	return true;
}

static ssize_t receive(struct sockdiag *d, void *buf, size_t size)
{
	ssize_t n;

	do
		n = recv(d->fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == 0 ? -EIO : n;
}

int sockdiag_step(struct sockdiag *d, sockdiag_each *each, void *ctx)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	ssize_t n = receive(d, buf, sizeof buf);
	struct sockdiag_entry s;
	unsigned left = n < 0 ? 0 : (unsigned)n;
	bool begun = false;

	if (n < 0)
		return (int)n;
	for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)payload(h))->error ?: -EIO;
		d->parts += !begun;
		begun = true;
		if (take(h, &s))
			each(ctx, &s);
	}
	return 1;
}

static int list(struct sockdiag *d, enum sockdiag_kind kind, bool details, sockdiag_each *each, void *ctx)
{
	int rc = sockdiag_begin(d, kind, details);

	if (rc == 0)
		do
			rc = sockdiag_step(d, each, ctx);
		while (rc == 1);
	return rc;
}

int sockdiag_list(struct sockdiag *d, enum sockdiag_kind kind, sockdiag_each *each, void *ctx)
{
	return list(d, kind, false, each, ctx);
}

int sockdiag_list_again(struct sockdiag *d, enum sockdiag_kind kind, sockdiag_each *each, void *ctx)
{
	return list(d, kind, true, each, ctx);
}

static void set_places(struct tcp_question *m, const struct sockaddr_in6 *local, const struct sockaddr_in6 *remote)
{
	memcpy(m->req.id.idiag_src, &local->sin6_addr, sizeof m->req.id.idiag_src);
	m->req.id.idiag_sport = local->sin6_port;
	if (remote) {
		memcpy(m->req.id.idiag_dst, &remote->sin6_addr, sizeof m->req.id.idiag_dst);
		m->req.id.idiag_dport = remote->sin6_port;
	}
}

int sockdiag_find_tcp6(struct sockdiag *d, const struct sockaddr_in6 *local,
		       const struct sockaddr_in6 *remote, uint64_t cookie, struct sockdiag_entry *ret)
{
	_Alignas(struct nlmsghdr) char buf[4096];
	struct tcp_question m = ask_tcp(0, false);
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	struct sockdiag_entry found;
	ssize_t n;

	set_places(&m, local, remote);
	/* Of a socket with another cookie the kernel would say that it is not there. */
	m.req.id.idiag_cookie[0] = m.req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (send(d->fd, &m, sizeof m, 0) < 0)
		return -errno;
	n = receive(d, buf, sizeof buf);
	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(h, (unsigned)n))
		return -EIO;
	if (h->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)payload(h))->error ?: -EIO;
	if (!take(h, &found))
		return -EIO;
	if (found.cookie != cookie)
		return -ESTALE;
	*ret = found;
	return 0;
}

int sockdiag_destroy_tcp6(struct sockdiag *d, const struct sockaddr_in6 *local,
			  const struct sockaddr_in6 *remote, uint64_t cookie)
{
	_Alignas(struct nlmsghdr) char buf[1024];
	struct tcp_question m = ask_tcp(NLM_F_ACK, false);
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	ssize_t n;

	m.head.nlmsg_type = SOCK_DESTROY;
	set_places(&m, local, remote);
	m.req.id.idiag_cookie[0] = (uint32_t)cookie;
	m.req.id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
	if (send(d->fd, &m, sizeof m, 0) < 0)
		return -errno;
	n = receive(d, buf, sizeof buf);
	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(h, (unsigned)n) || h->nlmsg_type != NLMSG_ERROR)
		return -EIO;
	return ((const struct nlmsgerr *)payload(h))->error;
}
