/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to the outside that the supervisor relays: under which terms, and why they end. */
#include <inttypes.h>
#include <stdio.h>

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
	o->terms = (struct relay_terms){ .rate = options.rate,
					 .burst = options.burst,
					 .max_bytes = options.max_bytes,
					 .tls = options.n_tls_names ? may_pass : NULL };
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

static void relay_ended(void *ctx)
{
	struct outgoing *o = ctx;
	struct err e;

	(void)err_set(&e, EDQUOT, "container %s: a connection was ended: it had moved the %" PRIu64 " bytes of \"maxBytes\"",
		      o->domain->id, o->terms.max_bytes);
	if (relay_is_used_up(o->pipe) && o->sup->complain && domain_may_record(o->domain))
		o->sup->complain(&e);
	outgoing_drop(o);
}

void outgoing_relay(struct outgoing *o)
{
	outgoing_unwatch(o);
	o->relay = true;
	o->pipe = relay_new(o->sup, &o->near, &o->far, &o->terms, relay_ended, o);
	if (!o->pipe)
		outgoing_drop(o); /* both are closed, as the app sees */
}
