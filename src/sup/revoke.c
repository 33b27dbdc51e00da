/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/revoke.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "kern/holders.h"
#include "sup/decide.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define SHUT_BOTH 3 /* RCV_SHUTDOWN | SEND_SHUTDOWN, include/net/sock.h */

/* --- deciding again ---------------------------------------------------------------- */

static void tell(struct domain *d, struct decision *why)
{
	struct audit_record r = { .domain = d, .call = "policy", .attempt = &why->attempt, .verdict = &why->verdict };

	if (domain_may_record(d))
		sup_audit(d, &r);
}

/* Of a name both are asked about, it and the address that it had; of any the name in its ClientHello. */
static void ask_outside(struct sup *s, struct vsk *v, struct decision *ret)
{
	static const struct addr unknown;

	decide_connect(s, v->domain, POLICY_TCP, &v->local, &v->remote, v->remote_port, ret);
	if (ret->attempt.peer.kind == PARTY_NAME && !addr_equal(&v->real, &unknown))
		ret->attempt.peer.addr = &v->real;
	policy_decide_bounded(&v->domain->policy, domain_ceiling(v->domain), &ret->attempt, &ret->verdict);
	if (!ret->verdict.allow)
		return;
	ret->attempt.tls = outgoing_tls(v->out);
	policy_decide_bounded(&v->domain->policy, domain_ceiling(v->domain), &ret->attempt, &ret->verdict);
}

/* Of one that came in by a published port. */
static void ask_visitor(const struct vsk *v, struct decision *ret)
{
	struct domain *d = v->domain;

	*ret = (struct decision){ .attempt = { .kind = ATTEMPT_ACCEPT, .proto = POLICY_TCP, .port = v->local_port,
					       .peer = gateway_visitor(&v->remote, &v->real) },
				  .to = d,
				  .target = v->local };
	ret->attempt.local = &ret->target;
	policy_decide_bounded(&d->policy, domain_ceiling(d), &ret->attempt, &ret->verdict);
	ret->theirs = decision_rule(ret, d);
}

/*
 * The question that was asked when the row came to be. False: it has none, or
 * nobody is at its other end any more.
 */
static bool ask_again(struct sup *s, struct vsk *v, struct decision *ret)
{
	switch ((enum vsk_status)v->status) {
	case VSK_LISTENING:
		decide_listen(v->domain, POLICY_TCP, &v->local, v->local_port, ret);
		return true;
	case VSK_CONNECTING:
	case VSK_CONNECTED:
		if (v->host && v->accepted) {
			ask_visitor(v, ret);
			return true;
		}
		if (v->host || v->out) {
			ask_outside(s, v, ret);
			return true;
		}
		if (!v->to || !v->to->domain) /* the resolver's, or nobody's */
			return false;
		if (v->accepted)
			decide_connect(s, v->to->domain, POLICY_TCP, &v->remote, &v->local, v->local_port, ret);
		else
			decide_connect(s, v->domain, POLICY_TCP, &v->local, &v->remote, v->remote_port, ret);
		return true;
	case VSK_UNCONNECTED:
	case VSK_BOUND:
	case VSK_STATUSES:
		break;
	}
	return false;
}

static bool concerns(const struct vsk *v, const struct domain *changed)
{
	return v->domain == changed || (v->to && v->to->domain == changed);
}

static void decide_row(struct sup *s, struct vsk *v, const struct domain *changed, struct revoked *ret)
{
	struct decision d;
	bool asked = ask_again(s, v, &d);

	v->doomed = asked && !d.verdict.allow;
	if (v->domain == changed) {
		v->generation = changed->generation;
		v->rule = asked && !v->accepted ? decision_rule(&d, changed) : asked ? d.theirs : NULL;
	}
	if (!v->doomed || v->told) /* an app may keep what was cut for as long as it likes */
		return;
	if (v->status == VSK_LISTENING)
		ret->listeners++;
	else if (!v->accepted || v->host)
		ret->streams++;
	if (!v->accepted || v->host)
		tell(v->domain, &d);
}

static size_t decide_rows(struct sup *s, const struct domain *changed, struct revoked *ret)
{
	struct domain *d;
	struct vsk *v;
	size_t doomed = 0;

	LIST_FOREACH(d, &s->domains, link)
		LIST_FOREACH(v, &d->rows, in_domain) {
			v->doomed = false;
			if (concerns(v, changed))
				decide_row(s, v, changed, ret);
			doomed += v->doomed;
		}
	return doomed;
}

/* --- cutting ------------------------------------------------------------------------- */

static void each_doomed(struct sup *s, void (*each)(struct sup *s, struct vsk *v))
{
	struct domain *d;
	struct vsk *v;

	LIST_FOREACH(d, &s->domains, link)
		LIST_FOREACH(v, &d->rows, in_domain)
			if (v->doomed)
				each(s, v);
}

static void cut(struct sup *s, struct vsk *v)
{
	const struct transport *t = transport_of(v);

	if (v->out)
		outgoing_drop(v->out);
	if (t->cut)
		(void)t->cut(s, v); /* what came of it is looked at afterwards */
}

/* As the kernel sees it now. */
static void unsee(struct sup *s, struct vsk *v)
{
	(void)s;
	v->seen = false;
}

static bool is_open(unsigned state)
{
	return state == TCP_ESTABLISHED || state == TCP_SYN_SENT || state == TCP_SYN_RECV || state == TCP_LISTEN;
}

static void see(void *ctx, const struct sockdiag_entry *e)
{
	struct vsk *v = vsk_find(ctx, e->cookie);

	/* After shutdown(2) a wire stays listed; what is left of TCP then takes no data. */
	if (v && v->doomed && !e->orphan && e->shut != SHUT_BOTH && is_open(e->state))
		v->seen = true;
}

static void see_host(void *ctx, uint64_t cookie)
{
	struct vsk *v = vsk_find(ctx, cookie);

	if (v && v->doomed && !v->cut)
		v->seen = true;
}

/* How many doomed ones live. Where the kernel does not tell, all do. */
static size_t look(struct sup *s)
{
	bool wires = false, tcp = false;
	struct domain *d;
	struct vsk *v;
	size_t n = 0;

	each_doomed(s, unsee);
	LIST_FOREACH(d, &s->domains, link)
		LIST_FOREACH(v, &d->rows, in_domain) {
			wires = wires || (v->doomed && v->wire);
			tcp = tcp || (v->doomed && !v->wire && !v->host);
		}
	tcp = tcp && sockdiag_list(&s->diag, SOCKDIAG_TCP6, see, &s->table) < 0;
	if (s->table.n_host)
		(void)alive_list(&s->handed, see_host, &s->table);
	wires = wires && sockdiag_list(&s->diag, SOCKDIAG_UNIX, see, &s->table) < 0;
	LIST_FOREACH(d, &s->domains, link)
		LIST_FOREACH(v, &d->rows, in_domain) {
			if (v->doomed && !v->host && (v->wire ? wires : tcp))
				v->seen = true;
			n += v->doomed && v->seen;
		}
	return n;
}

static void shut(void *ctx, int fd)
{
	struct sup *s = ctx;
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;
	struct vsk *v;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return;
	v = vsk_find(&s->table, cookie);
	if (!v || !v->doomed)
		return;
	v->cut = v->host; /* nothing lists it, and all its descriptors are of one socket */
	if (transport_of(v)->shutdown)
		(void)transport_of(v)->shutdown(fd, v, SHUT_RDWR);
	else
		(void)shutdown(fd, SHUT_RDWR);
}

static bool has_survivor(const struct domain *d)
{
	const struct vsk *v;

	LIST_FOREACH(v, &d->rows, in_domain)
		if (v->doomed && v->seen)
			return true;
	return false;
}

static void stop_hiders(struct sup *s, struct revoked *ret)
{
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link) {
		const struct holders h = { d->net.dev, d->net.ino };

		if (!has_survivor(d))
			continue;
		(void)holders_kill(&h);
		ret->domains++;
	}
}

/* Those that wait for an accept. */
static void cut_parked(struct sup *s)
{
	struct domain *d;
	struct vsk *v;

	LIST_FOREACH(d, &s->domains, link)
		LIST_FOREACH(v, &d->rows, in_domain)
			if (v->n_parked)
				accept_cut(s, v);
}

/* In the tables of those that have a survivor, or of all: an app may have passed it on to another domain's. */
static void shut_survivors(struct sup *s, bool all)
{
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link) {
		const struct holders h = { d->net.dev, d->net.ino };

		if (all || has_survivor(d))
			(void)holders_each_socket(&h, shut, s);
	}
}

static void cut_rows(struct sup *s, struct revoked *ret)
{
	each_doomed(s, cut);
	cut_parked(s);
	if (look(s) == 0)
		return;
	shut_survivors(s, false);
	if (look(s) == 0)
		return;
	shut_survivors(s, true);
	if (look(s) > 0)
		stop_hiders(s, ret);
}

/*
 * Rows whose sockets are gone are collected as ever; none is to be taken for doomed then. A
 * listener listens no more: those who wait in accept are told, and listen() is decided anew.
 */
static void settle(struct sup *s, struct vsk *v)
{
	v->doomed = v->seen = false;
	v->told = v->status != VSK_LISTENING;
	if (v->told)
		return;
	vsk_set_status(&s->table, v, VSK_BOUND);
	sup_arrived(s, v->cookie);
}

void revoke_forbidden(struct sup *s, struct domain *changed, struct revoked *ret)
{
	*ret = (struct revoked){ 0 };
	ret->flows = flow_revoke(s, changed);
	if (decide_rows(s, changed, ret) == 0)
		return;
	cut_rows(s, ret);
	each_doomed(s, settle);
}
