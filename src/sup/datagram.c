/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/datagram.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/decide.h"
#include "sup/flow.h"

#define OPTION_MAX 64 /* bytes of a value; what is trapped has less */

bool datagram_is_own(const struct domain *d, int fd, int family)
{
	uint64_t cookie = 0;
	int protocol = 0;
	socklen_t cookie_len = sizeof cookie, len = sizeof protocol;

	return (family == AF_INET || family == AF_INET6) && d->net.cookie &&
	       getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &cookie_len) == 0 &&
	       cookie == d->net.cookie &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_UDP;
}

/* --- bind ------------------------------------------------------------------------------ */

static int set_reuse(int fd, int on)
{
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

/*
 * The resolver's socket is not in the way of a name server's wildcard, which
 * the kernel only sees when both ends say so.
 */
static int bind_now(int fd, const struct sockaddr_storage *sa, size_t len, uint16_t port)
{
	int rc = bind(fd, (const struct sockaddr *)sa, (socklen_t)len) < 0 ? -errno : 0, on = 0;
	socklen_t on_len = sizeof on;

	if (rc != -EADDRINUSE || port != FACTORY_DNS_PORT ||
	    getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, &on_len) < 0 || on || set_reuse(fd, 1) < 0)
		return rc;
	rc = bind(fd, (const struct sockaddr *)sa, (socklen_t)len) < 0 ? -errno : 0;
	(void)set_reuse(fd, 0);
	return rc;
}

/* Serving is asked for with a port; a port that the kernel chose is a client's. */
static int64_t decide_bind(struct call *c, const struct addr *a, uint16_t port)
{
	const struct policy_attempt at = { .kind = ATTEMPT_LISTEN,
					   .proto = POLICY_UDP,
					   .port = port,
					   .peer = { .kind = PARTY_OWN },
					   .local = a };
	struct policy_verdict v;

	if (port == 0)
		return 0;
	policy_decide_bounded(&c->domain->policy, domain_ceiling(c->domain), &at, &v);
	return call_verdict(c, &at, &v);
}

/* Linux takes the wildcard of IPv4 without its family, for very old programs. */
static bool is_old_wildcard(const struct target *t, const struct sockaddr_storage *sa, size_t len)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

	return t->family == AF_INET && sa->ss_family == AF_UNSPEC && len >= sizeof *in && in->sin_addr.s_addr == INADDR_ANY;
}

int64_t datagram_bind(struct call *c, struct target *t, struct sockaddr_storage *sa, size_t len)
{
	struct addr a;
	uint16_t port;
	int64_t rc;

	if (!call_valid(c))
		return CALL_ANSWERED;
	if (is_old_wildcard(t, sa, len))
		sa->ss_family = AF_INET;
	/* What is no address of the family the kernel refuses. */
	if (addr_from_sockaddr((const struct sockaddr *)sa, len, &a, &port) < 0)
		return bind(t->fd, (const struct sockaddr *)sa, (socklen_t)len) < 0 ? -errno : 0;
	if (addr_kind(&a) == ADDR_MULTICAST || !domain_owns(c->domain, &a))
		return -EADDRNOTAVAIL;
	rc = decide_bind(c, &a, port);
	return rc == 0 ? bind_now(t->fd, sa, len, port) : rc;
}

/* --- connect and send ------------------------------------------------------------------------- */

/* A server sends to a client that sent to it. */
static bool is_answer(struct call *c, int fd, const struct addr *to, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	struct addr own;
	uint16_t own_port;

	return c->domain->net.packets >= 0 && getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
	       addr_from_sockaddr((struct sockaddr *)&sa, len, &own, &own_port) == 0 &&
	       flow_is_open(c->sup, c->domain, &own, own_port, to, port);
}

/*
 * Whether datagrams may go there: 0 or what the call gets. With `quiet`
 * nothing is put on record of a place that the domain may know of: resolvers'
 * libraries connect to what a name stands for, to see which source that has,
 * and send nothing.
 */
static int64_t decide(struct call *c, int fd, const struct addr *to, uint16_t port, bool quiet)
{
	struct decision d;

	if (is_answer(c, fd, to, port))
		return 0;
	if (addr_kind(to) == ADDR_MULTICAST || addr_kind(to) == ADDR_BROADCAST)
		return -ENETUNREACH;
	decide_connect(c->sup, c->domain, POLICY_UDP, NULL, to, port, &d);
	if (!d.verdict.allow && quiet && (d.name || d.host || (d.to && lookup_may_know(c->domain, d.to))))
		return 0;
	if (d.verdict.allow)
		return d.to || c->domain->gateway.fd >= 0 ? 0 : -ENETUNREACH;
	return call_verdict(c, &d.attempt, &d.verdict);
}

int64_t datagram_connect(struct call *c, struct target *t, const struct sockaddr_storage *sa, size_t len)
{
	struct addr to;
	uint16_t port;
	int64_t rc = 0;

	if (addr_from_sockaddr((const struct sockaddr *)sa, len, &to, &port) == 0)
		rc = decide(c, t->fd, &to, port, true);
	if (rc != 0)
		return rc;
	if (!call_valid(c))
		return CALL_ANSWERED;
	/* In a namespace that leads nowhere: whatever it is connected to, what it sends is decided again. */
	return guard_connect(&c->sup->guard, t->fd, sa, (socklen_t)len);
}

/*
 * It may be continued with any memory and any socket, as if it were not
 * trapped: an address does nothing to the streams that an app can hold, and
 * datagrams are decided again when they leave the namespace.
 */
int64_t datagram_send(struct call *c, struct target *t)
{
	struct sockaddr_storage sa;
	struct addr to;
	uint16_t port;
	size_t len;
	int64_t rc;

	if (call_read_address(c, 4, &sa, &len) < 0 ||
	    addr_from_sockaddr((const struct sockaddr *)&sa, len, &to, &port) < 0)
		return CALL_CONTINUE; /* the kernel says what is wrong with it */
	if (!call_valid(c))
		return CALL_ANSWERED;
	rc = decide(c, t->fd, &to, port, false);
	return rc == 0 ? CALL_CONTINUE : rc;
}

/* --- options --------------------------------------------------------------------------------------- */

int64_t datagram_getsockopt(struct call *c, struct target *t)
{
	uint8_t value[OPTION_MAX];
	int room;
	socklen_t len;

	if (guestmem_read(c->tid, c->args[4], &room, sizeof room) < 0)
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	len = room < OPTION_MAX ? (socklen_t)room : OPTION_MAX;
	if (getsockopt(t->fd, (int)c->args[1], (int)c->args[2], value, &len) < 0)
		return -errno;
	room = (int)len;
	if (!call_valid(c))
		return CALL_ANSWERED;
	if (guestmem_write(c->tid, c->args[3], value, len) < 0 ||
	    guestmem_write(c->tid, c->args[4], &room, sizeof room) < 0)
		return -EFAULT;
	return 0;
}

int64_t datagram_setsockopt(struct call *c, struct target *t)
{
	uint8_t value[OPTION_MAX];
	int len = (int)c->args[4];

	if (len < 0)
		return -EINVAL;
	if (len > OPTION_MAX)
		len = OPTION_MAX;
	if (guestmem_read(c->tid, c->args[3], value, (size_t)len) < 0)
		return -EFAULT;
	if (!call_valid(c))
		return CALL_ANSWERED;
	return setsockopt(t->fd, (int)c->args[1], (int)c->args[2], value, (socklen_t)len) < 0 ? -errno : 0;
}
