/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect(2): both policies are asked, then the supervisor connects the
 * duplicate inside F.
 *
 * The kernel makes a connection over lo while connect() runs, unless the
 * listener's queue is full. So queues are counted, and a blocking call waits here
 * for room. The count is not the kernel's: of listeners that share a port it
 * chooses another one, and an app can make a queue shorter behind our back. So a
 * connection is only ever begun, and what is not there at once is waited for.
 */
#include <linux/netlink.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/datagram.h"
#include "sup/decide.h"
#include "sup/porter.h"
#include "sup/handoff.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define NO_ROOM (INT64_MIN + 2) /* the listener's queue is full; beside CALL_ANSWERED and CALL_CONTINUE */

/* What is connected to, after Linux's rules for wildcards. */
struct destination {
	struct addr addr;
	uint16_t port;
	struct domain *domain;
};

static int read_destination(struct call *c, const struct vsk *v, const struct sockaddr_storage *sa,
			    size_t len, struct destination *ret)
{
	static const struct addr any6;
	const struct addr any4 = addr_v4(0, 0, 0, 0);

	if (len < (v->v6 ? 24 : sizeof(struct sockaddr_in)))
		return -EINVAL;
	/* An IPv6 socket takes no AF_INET address in connect. */
	if (sa->ss_family != (v->v6 ? AF_INET6 : AF_INET))
		return -EAFNOSUPPORT;
	if (addr_from_sockaddr((const struct sockaddr *)sa, sizeof *sa, &ret->addr, &ret->port) < 0)
		return -EINVAL;
	if (addr_equal(&ret->addr, &any4)) /* itself, as far as it knows */
		ret->addr = v->status == VSK_BOUND && addr_is_v4(&v->local) && !addr_equal(&v->local, &any4) ?
				    v->local :
				    addr_v4(127, 0, 0, 1);
	else if (addr_equal(&ret->addr, &any6)) /* bound to a mapped address it speaks IPv4 */
		ret->addr = v->status == VSK_BOUND && addr_is_v4(&v->local) ? addr_v4(127, 0, 0, 1) :
									       (struct addr){ { [15] = 1 } };
	if (v->v6only && addr_is_v4(&ret->addr))
		return -ENETUNREACH;
	ret->domain = domain_owns(c->domain, &ret->addr) ? c->domain : domain_find(c->sup, &ret->addr);
	return 0;
}

static int64_t decide(struct call *c, struct vsk *v, const struct destination *to, struct decision *ret)
{
	decide_connect(c->sup, c->domain, POLICY_TCP, NULL, &to->addr, to->port, ret);
	v->rule = decision_rule(ret, c->domain);
	v->generation = c->domain->generation; /* NOLINT(clang-analyzer-core.NullDereference): a call is a domain's */
	decision_count(ret, c->domain);
	return call_verdict(c, &ret->attempt, &ret->verdict);
}

static int64_t retry(struct wait *w);

/* Without any of these it is over. */
static bool is_open(const struct vsk *v)
{
	return (v->status == VSK_CONNECTING || v->status == VSK_CONNECTED) && (v->to || v->host || v->out);
}

/* The row of a socket that is to be connected when there is room in the listener's queue; NULL: it is none. */
static const struct vsk *row_that_waits(const struct wait *w)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;
	const struct vsk *v = w->retry == retry && getsockopt(w->fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ?
				      vsk_find(&w->call.sup->table, cookie) :
				      NULL;

	/* One that was interrupted is not swept yet, and asks again. */
	return v && !is_open(v) && call_valid(&w->call) ? v : NULL;
}

/* Under a rule of the policy's, or of the ceiling's; with those that wait, which need not ask again. */
static size_t count_open(const struct domain *d, const struct policy_rule *rule, uint32_t ceiling_rule)
{
	const struct wait *w;
	const struct vsk *v;
	size_t n = 0;

	LIST_FOREACH(v, &d->rows, in_domain)
		if (is_open(v))
			n += rule ? v->rule == rule : v->ceiling_rule == ceiling_rule;
	TAILQ_FOREACH(w, &d->sup->waits, link) {
		v = w->call.domain == d ? row_that_waits(w) : NULL;
		if (v)
			n += rule ? v->rule == rule : v->ceiling_rule == ceiling_rule;
	}
	return n;
}

static bool has_room(struct call *c, const struct policy_rule *rule, uint32_t ceiling_rule, uint32_t most)
{
	if (most == 0 || count_open(c->domain, rule, ceiling_rule) < most)
		return true;
	sup_collect_domain(c->sup, c->domain); /* some may be closed by now */
	return count_open(c->domain, rule, ceiling_rule) < most;
}

static int64_t refuse(struct call *c, const struct policy_rule *rule, const char *why)
{
	struct err e;

	(void)err_set(&e, EACCES, "container %s: a connection was refused: rule %s %s", c->domain->id, rule->id, why);
	if (c->sup->complain && domain_may_record(c->domain))
		c->sup->complain(&e);
	return -EACCES;
}

/* The ceiling's rule counts whatever rules of the policy's there are below it. */
static int64_t limit_by_ceiling(struct call *c, const struct policy_attempt *a, uint32_t *ret_rule)
{
	const struct policy *ceiling = domain_ceiling(c->domain);
	struct policy_options o;
	struct policy_verdict v = { 0 };

	if (ceiling)
		policy_decide(ceiling, a, &v);
	*ret_rule = v.rule ? (uint32_t)(v.rule - ceiling->rules) + 1 : 0;
	if (!v.rule)
		return 0;
	policy_verdict_options(&v, &o);
	return has_room(c, NULL, *ret_rule, o.max_connections) ? 0 : refuse(c, v.rule, "of the ceiling has its \"maxConnections\"");
}

/* What an allowing rule asks for beside that. */
static int64_t limit(struct call *c, const struct decision *d, uint32_t *ret_ceiling_rule)
{
	const struct policy_rule *rule = d->verdict.rule;
	struct policy_options o, own;

	policy_verdict_options(&d->verdict, &own);
	policy_bounded_options(&c->domain->policy, domain_ceiling(c->domain), &d->attempt, &o);
	if (rule && d->to && policy_options_need_relay(&o)) /* which admit.c refuses as far as it can see */
		return refuse(c, rule, "has options that are served for the outside alone");
	if (rule && o.record != POLICY_RECORD_NONE) {
		const struct tape *t = tapes_find(&c->domain->tapes, o.record_file);

		if (!t || t->error)
			return refuse(c, rule, t ? "has a record that is full" : "has a record without a file");
	}
	if (rule && !has_room(c, rule, 0, own.max_connections))
		return refuse(c, rule, "has its \"maxConnections\"");
	return limit_by_ceiling(c, &d->attempt, ret_ceiling_rule);
}

/* To count it has rows freed of sockets that seem to be closed. */
static int64_t limit_and_find(struct call *c, struct target *t, const struct decision *d, uint32_t *ret_ceiling_rule)
{
	int64_t rc = limit(c, d, ret_ceiling_rule);

	t->row = vsk_find(&c->sup->table, t->cookie);
	return rc == 0 && !t->row ? -ENOMEM : rc;
}

/* Gives the socket the source that its connection is to have. */
static int64_t bind_source(struct call *c, struct target *t, const struct destination *to)
{
	struct vsk *v = t->row;
	const struct addr *source = domain_source(c->domain, &to->addr);
	int rc;

	if (!source)
		return -ENETUNREACH;
	if (v->status == VSK_BOUND) {
		static const struct addr any6;
		const struct addr any4 = addr_v4(0, 0, 0, 0);
		bool wild = addr_equal(&v->local, &any4) || addr_equal(&v->local, &any6);

		if (v->v6 && addr_is_v4(&v->local) && !addr_is_v4(&to->addr))
			return -EAFNOSUPPORT;
		if (!wild && addr_is_v4(&v->local) != addr_is_v4(&to->addr))
			return -ENETUNREACH;
		/* Loopback leads nowhere else. */
		if (!wild && to->domain != c->domain && addr_kind(&v->local) == ADDR_LOOPBACK)
			return -EINVAL;
		if (wild)
			v->local = *source;
		return 0;
	}
	v->at = fabric_addr(&c->sup->fabric, c->domain, source);
	if (!v->at)
		return -EADDRNOTAVAIL;
	rc = transport_of(v)->bind_source(c->sup, t->fd, v);
	if (rc < 0)
		return rc;
	v->local = *source;
	return 0;
}

static int64_t finish(struct call *c, struct target *t, struct vsk *listener)
{
	struct vsk *v = t->row;
	int rc = transport_of(v)->connect(t->fd, v, listener);

	if (rc == -ESTALE || rc == -EAGAIN)
		vsk_set_to(v, NULL); /* it will be tried again */
	else if (rc < 0 && rc != -EINPROGRESS)
		vsk_reset(&c->sup->table, v);
	if (rc < 0 && rc != -EINPROGRESS)
		return rc;
	vsk_set_status(&c->sup->table, v, rc == 0 ? VSK_CONNECTED : VSK_CONNECTING);
	c->sup->table.turn++;
	if (listener)
		sup_arrived(c->sup, listener->cookie);
	return rc;
}

/* Its socket is closed; or it was shut down, and may listen again. Whoever was in its queue is gone. */
static void end_listener(struct call *c, struct vsk *listener)
{
	if (listener->wire || !transport_of(listener)->in_use(listener))
		vsk_free(&c->sup->table, listener);
	else
		vsk_set_status(&c->sup->table, listener, VSK_BOUND);
}

/* NO_ROOM: with whose queue is full; others that were found may be gone by then. */
static int64_t attempt(struct call *c, struct target *t, uint64_t *ret_full)
{
	struct vsk *v = t->row, *listener;
	struct domain *d = domain_owns(c->domain, &v->remote) ? c->domain :
								domain_find(c->sup, &v->remote);

	if (!d)
		return -ENETUNREACH;
	for (;;) {
		struct faddr *to;
		int64_t rc;

		listener = vsk_find_listener(&c->sup->table, d, &v->remote, v->remote_port);
		rc = listener && !socket_nonblocking(t->fd) ? transport_of(v)->has_room(c->sup, listener) : 1;
		if (rc == -ESTALE) {
			end_listener(c, listener);
			continue;
		}
		if (rc == 0) {
			*ret_full = listener->cookie;
			return NO_ROOM;
		}
		/* Without a listener the kernel says what it says anywhere, of an address where nobody can be. */
		to = listener ? listener->at : NULL;
		if (!to && d == c->domain)
			to = resolver_place(c->sup, &v->remote, v->remote_port);
		vsk_set_to(v, to ? to : &c->sup->fabric.own);
		rc = finish(c, t, listener);
		if (rc != -ESTALE || !listener)
			return rc;
		end_listener(c, listener);
	}
}

/* A connection that was begun: EISCONN, EALREADY, how it went. -EINVAL: it is none any more. */
static int64_t go_on(struct call *c, struct target *t)
{
	struct vsk *v = t->row;
	int64_t rc = transport_of(v)->connect_again(t->fd, v);

	if (rc == 0) {
		vsk_set_status(&c->sup->table, v, VSK_CONNECTED);
	} else if (rc != -EISCONN && rc != -EALREADY && rc != -EINPROGRESS) {
		vsk_reset(&c->sup->table, v);
	}
	return rc;
}

/* Its packets may have been dropped, and come again until the listener takes one. */
static int64_t await_progress(struct wait *w, int64_t rc)
{
	if (rc != -EALREADY && rc != -EINPROGRESS)
		return rc;
	if (!w->watched)
		w->watched = loop_add(&w->call.sup->loop, w->fd, EPOLLOUT, &w->watch) == 0;
	return -EAGAIN;
}

static int64_t retry(struct wait *w)
{
	struct target t = { .fd = w->fd };
	socklen_t len = sizeof t.cookie;
	struct decision d;
	uint64_t full;
	int64_t rc;

	if (getsockopt(w->fd, SOL_SOCKET, SO_COOKIE, &t.cookie, &len) < 0)
		return -errno;
	t.row = vsk_find(&w->call.sup->table, t.cookie);
	if (!t.row)
		return -EALREADY;
	if (t.row->to) /* by this call, or by another thread's */
		return await_progress(w, go_on(&w->call, &t));
	/* The policies may be others by now. */
	decide_connect(w->call.sup, w->call.domain, POLICY_TCP, NULL, &t.row->remote, t.row->remote_port, &d);
	if (!d.verdict.allow)
		return call_verdict(&w->call, &d.attempt, &d.verdict);
	t.row->rule = decision_rule(&d, w->call.domain);
	t.row->generation = w->call.domain->generation;
	rc = attempt(&w->call, &t, &full); /* should it be another one by now, the next look finds its room */
	rc = rc == NO_ROOM ? -EAGAIN : await_progress(w, rc);
	if (rc == -EAGAIN)
		return rc;
	call_reply(&w->call, rc, t.cookie); /* what was waited for is the listener */
	return CALL_ANSWERED;
}

/* For room in the listener's queue, or for the connection itself (EPOLLOUT). */
static int64_t wait_for(struct call *c, struct target *t, uint64_t cookie, uint32_t events)
{
	return call_wait(c, &t->fd, cookie, events, socket_timeout(t->fd, SO_SNDTIMEO), EINPROGRESS, retry);
}

/* What leads out is TCP. A wire that cannot be replaced, since another process has it, too, say, is relayed. */
static int64_t change_transport(struct call *c, struct target *t, const struct destination *to)
{
	int64_t rc = handoff_return(c, t, !t->row->wire);

	return rc < 0 && rc != -ENOMEM && !to->domain && t->row->wire && call_valid(c) ? 0 : rc;
}

static int64_t connect_stream(struct call *c, struct target *t, const struct destination *to)
{
	bool wire = to->domain && c->domain->policy.transport == POLICY_TRANSPORT_WIRE;
	struct vsk *v, *listener;
	uint32_t ceiling_rule = 0;
	uint64_t full = 0;
	struct decision d;
	int64_t rc = decide(c, t->row, to, &d);

	if (rc == 0)
		rc = limit_and_find(c, t, &d, &ceiling_rule);
	if (rc == 0 && !to->domain && c->domain->gateway.fd < 0)
		return -ENETUNREACH; /* allowed, but nothing leaves the fabric */
	if (rc == 0 && t->row->wire != wire)
		rc = change_transport(c, t, to);
	if (rc == 0)
		rc = bind_source(c, t, to);
	if (rc != 0)
		return rc;
	v = t->row;
	v->rule = decision_rule(&d, c->domain);
	v->ceiling_rule = ceiling_rule;
	v->generation = c->domain->generation;
	v->remote = to->addr;
	v->remote_port = to->port;
	if (!to->domain)
		return outgoing_connect(c, t, &d.attempt);
	/* Or only a duplicate of ours keeps the listener there. Not while waits are gone through. */
	listener = vsk_find_listener(&c->sup->table, to->domain, &to->addr, to->port);
	if (listener)
		sup_sweep_listener(c->sup, listener->cookie);
	rc = attempt(c, t, &full);
	if (rc == -EINPROGRESS && !socket_nonblocking(t->fd))
		return wait_for(c, t, t->cookie, EPOLLOUT) < 0 ? rc : CALL_ANSWERED;
	if (rc != NO_ROOM)
		return rc;
	return wait_for(c, t, full, 0) < 0 ? -ECONNREFUSED : CALL_ANSWERED;
}

/* connect() with AF_UNSPEC: the kernel takes the connection away, and a port that bind did not give. */
static int64_t disconnect(struct call *c, struct target *t)
{
	struct vsk *v = t->row;
	int rc;

	if (v->host || v->out || v->error)
		return outgoing_disconnect(c, t);
	rc = transport_of(v)->disconnect(t->fd, v);
	if (rc == 0)
		vsk_reset(&c->sup->table, v);
	return rc;
}

static int64_t connect_other(struct call *c, struct target *t, struct sockaddr_storage *sa,
			     size_t len)
{
	const struct sockaddr_nl *nl = (const struct sockaddr_nl *)sa;

	/* It needs the app's own identity: permissions of files, what the server sees of its peer. Should
	 * the descriptor be another socket by now, the wall says no. */
	if (t->family == AF_UNIX)
		return c->domain->walled ? CALL_CONTINUE : porter_do(c, t, PORTER_CONNECT, sa, len);
	if (sa->ss_family == AF_NETLINK && (nl->nl_pid || nl->nl_groups))
		return -EPERM; /* the kernel, and nobody else */
	return connect(t->fd, (struct sockaddr *)sa, (socklen_t)(len < sizeof *nl ? len : sizeof *nl)) < 0 ? -errno : 0;
}

/*
 * One that seems connected to nobody: whoever it was is gone; or its row was collected when it was over, and is a new
 * one (call.c), which cannot tell whether it ever was connected. Its SYN was acknowledged then.
 */
static int64_t connect_over(struct call *c, struct target *t)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;
	int64_t rc;

	if (t->row->wire || getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_bytes_acked > 0)
		return -EISCONN;
	rc = transport_progress(t->fd, AF_INET6);
	if (rc != -EISCONN)
		vsk_reset(&c->sup->table, t->row);
	return rc;
}

static int64_t connect_virtual(struct call *c, struct target *t, const struct sockaddr_storage *sa, size_t len)
{
	struct vsk *v = t->row;
	struct destination to;
	int64_t rc;

	if (len < sizeof sa->ss_family)
		return -EINVAL;
	if (sa->ss_family == AF_UNSPEC)
		return disconnect(c, t);
	if (v->status == VSK_LISTENING && socket_listens(t->fd))
		return -EISCONN;
	if (v->status == VSK_LISTENING) /* it was shut down */
		vsk_reset(&c->sup->table, v);
	if (v->host || v->out || v->error) {
		rc = outgoing_again(c, t);
		if (rc != OUTGOING_ANEW)
			return rc;
		v = t->row;
	}
	if (v->to) { /* the same again */
		rc = go_on(c, t);
		if (rc == -EALREADY && !socket_nonblocking(t->fd))
			return wait_for(c, t, t->cookie, EPOLLOUT) < 0 ? rc : CALL_ANSWERED;
		if (rc != -EINVAL)
			return rc;
	}
	if (v->status == VSK_CONNECTED) {
		rc = connect_over(c, t);
		if (rc != -EINVAL)
			return rc;
	}
	rc = read_destination(c, v, sa, len, &to);
	return rc < 0 ? rc : connect_stream(c, t, &to);
}

int64_t handle_connect(struct call *c)
{
	struct sockaddr_storage sa;
	AUTO_TARGET struct target t = { .fd = -1 };
	size_t len;
	int64_t rc = call_target(c, &t);

	if (rc < 0)
		return rc;
	rc = call_read_address(c, 1, &sa, &len);
	if (rc < 0)
		return rc;
	if (t.datagram)
		return datagram_connect(c, &t, &sa, len);
	if (!call_valid(c))
		return CALL_ANSWERED;
	rc = t.row ? connect_virtual(c, &t, &sa, len) : connect_other(c, &t, &sa, len);
	if (rc == CALL_CONTINUE)
		return rc;
	/* With one processor for all, the accept that waits goes first: the client finds a server that has
	 * had its turn, and all together switch two times less. With more of them both go on at once. */
	if (rc == 0 && sup_one_cpu(c->sup))
		wait_hand_over(c->sup);
	if (rc != CALL_ANSWERED)
		call_reply(c, rc, t.cookie);
	return CALL_ANSWERED;
}
