/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "model/gateway.h"

/*
 * None of them leads a packet elsewhere, takes rights, or shares a port with
 * sockets of others (SO_REUSEPORT). For AF_INET6 those of IPv4 are set, too: its
 * peer may have an IPv4 address.
 */
const struct gateway_option_kind gateway_option_kinds[] = {
	{ SOL_SOCKET, SO_KEEPALIVE, 4 },
	{ SOL_SOCKET, SO_LINGER, sizeof(struct linger) },
	{ SOL_SOCKET, SO_OOBINLINE, 4 },
	{ SOL_SOCKET, SO_RCVBUF, 4 },
	{ SOL_SOCKET, SO_SNDBUF, 4 },
	{ SOL_SOCKET, SO_BUF_LOCK, 4 },
	{ SOL_SOCKET, SO_RCVLOWAT, 4 },
	{ SOL_SOCKET, SO_RCVTIMEO, sizeof(struct timeval) },
	{ SOL_SOCKET, SO_SNDTIMEO, sizeof(struct timeval) },
	{ SOL_SOCKET, SO_REUSEADDR, 4 },
	{ SOL_SOCKET, SO_TIMESTAMP, 4 },
	{ SOL_SOCKET, SO_TIMESTAMPNS, 4 },
	{ SOL_SOCKET, SO_MAX_PACING_RATE, 8 },
	{ SOL_SOCKET, SO_BUSY_POLL, 4 },
	{ IPPROTO_TCP, TCP_NODELAY, 4 },
	{ IPPROTO_TCP, TCP_MAXSEG, 4 },
	{ IPPROTO_TCP, TCP_CORK, 4 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 4 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, 4 },
	{ IPPROTO_TCP, TCP_KEEPCNT, 4 },
	{ IPPROTO_TCP, TCP_SYNCNT, 4 },
	{ IPPROTO_TCP, TCP_LINGER2, 4 },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, 4 },
	{ IPPROTO_TCP, TCP_QUICKACK, 4 },
	{ IPPROTO_TCP, TCP_CONGESTION, 0 },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, 4 },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4 },
	{ IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 4 },
	{ IPPROTO_TCP, TCP_INQ, 4 },
	{ IPPROTO_IP, IP_TOS, 4 },
	{ SOL_SOCKET, SO_PRIORITY, 4 }, /* behind IP_TOS, which sets it */
	{ IPPROTO_IP, IP_TTL, 4 },
	{ IPPROTO_IP, IP_MTU_DISCOVER, 4 },
	{ IPPROTO_IP, IP_RECVERR, 4 },
	{ IPPROTO_IPV6, IPV6_TCLASS, 4 },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, 4 },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, 4 },
	{ IPPROTO_IPV6, IPV6_RECVERR, 4 },
	{ IPPROTO_IPV6, IPV6_V6ONLY, 4 },
};
const unsigned gateway_n_option_kinds = sizeof gateway_option_kinds / sizeof *gateway_option_kinds;

#define PRIORITY_MAX 6 /* beyond it needs CAP_NET_ADMIN (socket(7)) */

static bool fits(const struct gateway_option_kind *k, const struct gateway_option *o)
{
	int v = 0;

	if (k->len == 0)
		return o->len > 0 && o->len <= GATEWAY_OPTION_SIZE;
	if (o->len != k->len)
		return false;
	memcpy(&v, o->value, sizeof v);
	return k->level != SOL_SOCKET || k->name != SO_PRIORITY || (v >= 0 && v <= PRIORITY_MAX);
}

bool gateway_option_allowed(const struct gateway_option *o)
{
	for (unsigned i = 0; i < gateway_n_option_kinds; i++)
		if (gateway_option_kinds[i].level == o->level && gateway_option_kinds[i].name == o->name)
			return fits(&gateway_option_kinds[i], o);
	return false;
}

struct policy_party gateway_visitor(const struct addr *from, const struct addr *at)
{
	bool own = addr_kind(from) == ADDR_LOOPBACK || addr_equal(from, at);

	return (struct policy_party){ .kind = own ? PARTY_HOST : PARTY_ADDR, .addr = from };
}

/* --- requests ------------------------------------------------------------------------------ */

/* A name in its one form, ended, with nothing behind it. */
static bool good_name(const char *name)
{
	char form[NAME_TEXT_MAX];

	return memchr(name, '\0', NAME_TEXT_MAX) && strchr(name, '.') && name_parse(name, form, NULL, NULL) == 0 &&
	       strcmp(name, form) == 0;
}

static bool good_target(const struct gateway_request *r)
{
	return r->to <= GATEWAY_TO_HOST && r->port && (r->to != GATEWAY_TO_NAME || good_name(r->name)) &&
	       (r->to == GATEWAY_TO_ADDRESS || r->want_v4 || r->want_v6);
}

bool gateway_request_good(const void *message, size_t len, struct gateway_request *ret)
{
	struct gateway_request *r = ret;

	if (len != sizeof *r)
		return false;
	memcpy(r, message, sizeof *r);
	if (r->kind > GATEWAY_CANCEL || r->v6 > 1 || r->want_v4 > 1 || r->want_v6 > 1 || r->nonblock > 1 ||
	    r->n_options > GATEWAY_OPTIONS_MAX)
		return false;
	for (uint32_t i = 0; i < r->n_options; i++)
		if (!gateway_option_allowed(&r->options[i]))
			return false;
	if (r->kind == GATEWAY_CONNECT || r->kind == GATEWAY_FLOW)
		return good_target(r);
	if (r->kind == GATEWAY_PUBLISH || r->kind == GATEWAY_BIND)
		return r->local_port != 0;
	if (r->kind == GATEWAY_QUERY)
		return r->port != 0 && good_name(r->name);
	return r->kind != GATEWAY_RESOLVE || (good_name(r->name) && r->want_v4 + r->want_v6 == 1);
}

size_t gateway_answer_size(const struct gateway_answer *a)
{
	if (a->kind == GATEWAY_ARRIVED)
		return offsetof(struct gateway_answer, arrivals) + a->n * sizeof *a->arrivals;
	return sizeof *a + (a->kind == GATEWAY_RECORDS ? a->n : 0);
}

const char *gateway_place_format(const struct addr *a, uint16_t port, char buf[static GATEWAY_PLACE_MAX])
{
	char text[ADDR_TEXT_MAX];
	bool v4 = addr_is_v4(a);

	(void)snprintf(buf, GATEWAY_PLACE_MAX, "%s%s%s:%u", v4 ? "" : "[", addr_format(a, text, sizeof text), v4 ? "" : "]",
		       port);
	return buf;
}

int gateway_publish_failed(const struct addr *a, uint16_t port, uint16_t local_port, int error, struct err *e)
{
	char text[GATEWAY_PLACE_MAX];

	(void)err_num(e, error, "publishing port %u at %s", local_port, gateway_place_format(a, port, text));
	if (error == EACCES && port && port < 1024)
		return err_hint(e, "ports below 1024 need root, and to be there from the start: publish at a higher one");
	if (error == EADDRINUSE)
		return err_hint(e, "something listens there: publish at another port, or at 0 for any");
	return -error;
}
