/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to the outside that the supervisor relays: under which terms, and why they end. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "model/policy_explain.h"
#include "sup/outgoing_impl.h"

/* --- TLS ------------------------------------------------------------------------------------ */

const struct policy_tls *outgoing_tls(const struct outgoing *o)
{
	static const struct policy_tls unseen = { "", "nobody looked at its ClientHello" };

	if (o && o->terms.tls)
		return o->attempt.tls;
	return &unseen;
}

/* By the policy that is in force now. */
static bool may_pass(void *ctx, enum hello h, const char *name)
{
	struct outgoing *o = ctx;
	struct domain *d = o->domain;
	struct policy_verdict v;
	struct audit_record r = { .domain = d, .pid = o->call.tid, .call = "connect", .attempt = &o->attempt, .verdict = &v };

	(void)snprintf(o->tls_name, sizeof o->tls_name, "%s", name);
	o->tls = (struct policy_tls){ o->tls_name, hello_why(h) };
	o->attempt.tls = &o->tls;
	policy_decide_bounded(&d->policy, domain_ceiling(d), &o->attempt, &v);
	if (!v.allow && domain_may_record(d))
		sup_audit(d, &r);
	return v.allow;
}

/* --- terms ---------------------------------------------------------------------------------- */

void outgoing_take_terms(struct outgoing *o)
{
	struct policy_options options;

	policy_bounded_options(&o->domain->policy, domain_ceiling(o->domain), &o->attempt, &options);
	o->terms = (struct relay_terms){ .payer = o->domain,
					 .rate = options.rate,
					 .burst = options.burst,
					 .max_bytes = options.max_bytes,
					 .tls = options.n_tls_names ? may_pass : NULL };
	o->recorded = options.record != POLICY_RECORD_NONE;
	if (o->recorded)
		o->terms.recording.tape = tapes_find(&o->domain->tapes, options.record_file);
	o->relay = o->relay || policy_options_need_relay(&options);
}

void outgoing_found(struct outgoing *o, const struct addr *a)
{
	attempts_address(o->domain, &o->attempt, a);
	if (o->attempt.peer.kind != PARTY_NAME)
		return;
	o->addr = *a;
	o->attempt.peer.addr = &o->addr;
	outgoing_take_terms(o);
}

/* --- the relay -------------------------------------------------------------------------------- */

/* Once for each file. */
static void tell_full(const struct outgoing *o)
{
	struct tape *t = o->terms.recording.tape;
	struct err e;

	if (!t || !t->error || t->told)
		return;
	t->told = true;
	(void)err_set(&e, t->error, "container %s: the record %s ends after %" PRIu64 " bytes: %s; what it is to have is not let "
		      "through any more", o->domain->id, t->name, t->len, err_text(t->error));
	if (o->sup->complain)
		o->sup->complain(&e);
}

static void relay_ended(void *ctx)
{
	struct outgoing *o = ctx;
	struct err e;

	(void)err_set(&e, EDQUOT, "container %s: a connection was ended: it had moved the %" PRIu64 " bytes of \"maxBytes\"",
		      o->domain->id, o->terms.max_bytes);
	if (relay_is_used_up(o->pipe) && o->sup->complain && domain_may_record(o->domain))
		o->sup->complain(&e);
	tell_full(o);
	outgoing_drop(o);
}

/* It has both ends' addresses as the app knows them, the real one of the server where its family is the app's. */
static int begin_recording(struct outgoing *o, const struct vsk *v)
{
	struct recording *r = &o->terms.recording;
	char what[EXPLAIN_TEXT_MAX], text[EXPLAIN_TEXT_MAX + 300];
	static const struct addr unknown;

	if (!o->recorded)
		return 0;
	if (!v || !r->tape)
		return -ENOENT;
	r->addr[0] = v->local;
	r->addr[1] = addr_equal(&v->real, &unknown) || addr_is_v4(&v->real) != addr_is_v4(&v->local) ? v->remote : v->real;
	r->port[0] = v->local_port;
	r->port[1] = v->remote_port;
	r->seq[0] = r->seq[1] = 0;
	(void)snprintf(text, sizeof text, "%s: %s, rule %s", o->domain->id, policy_attempt_text(&o->attempt, what, sizeof what),
		       v->rule ? v->rule->id : "of the ceiling");
	return recording_begin(r, text);
}

void outgoing_relay(struct outgoing *o)
{
	outgoing_unwatch(o);
	o->relay = true;
	if (begin_recording(o, outgoing_row(o)) < 0) {
		tell_full(o);
		outgoing_drop(o);
		return;
	}
	o->pipe = relay_new(o->sup, &o->near, &o->far, &o->terms, relay_ended, o);
	if (!o->pipe)
		outgoing_drop(o); /* both are closed, as the app sees */
}

/* --- what is left behind ---------------------------------------------------------------------- */

void outgoing_leave_behind(struct outgoing *o)
{
	const struct linger now = { .l_onoff = 1 };
	struct err e;

	if (o->near >= 0)
		(void)setsockopt(o->near, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	else if (o->port)
		limbo_fail(&o->sup->limbo, &o->sup->diag, &o->at, o->port, o->cookie);
	(void)err_set(&e, EMLINK, "container %s: a socket was connected to the outside while a copy of it was under way in a "
		      "message; that copy is dead", o->domain->id);
	if (o->sup->complain && domain_may_record(o->domain))
		o->sup->complain(&e);
}

/* --- after the app's end -------------------------------------------------------------------------- */

void outgoing_linger(struct vsk *v)
{
	struct outgoing *o = v->out;

	if (o && !o->pipe && o->near >= 0 && o->far >= 0 && !o->connecting && !o->request) {
		outgoing_relay(o); /* no call will bring the host's socket now */
		o = v->out;
	}
	if (!o || !o->pipe || !relay_linger(o->pipe))
		return;
	v->out = NULL;
	o->lingers = true;
	LIST_INSERT_HEAD(&o->domain->lingering, o, lingering);
}

void outgoing_lingered(struct outgoing *o)
{
	LIST_REMOVE(o, lingering);
	if (o->domain->retired && LIST_EMPTY(&o->domain->lingering))
		sup_bury(o->domain);
}

void outgoing_abandon(struct domain *d)
{
	struct outgoing *o = LIST_FIRST(&d->lingering), *next;

	for (; o; o = next) {
		next = LIST_NEXT(o, lingering);
		relay_abandon(o->pipe);
	}
}
