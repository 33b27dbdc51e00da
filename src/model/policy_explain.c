/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/policy_index.h"
#include "model/policy_write.h"

static bool is_wildcard(const struct addr *a)
{
	return !a || addr_kind(a) == ADDR_UNSPECIFIED;
}

/* "10.0.0.1:80", "[::1]:80", ":80". */
static const char *local_text(const struct policy_attempt *a, char *buf, size_t size)
{
	struct endpoint ep = { .host.kind = HOST_ANY };
	struct port_range range = { a->port, a->port };

	ep.ports = (struct port_set){ &range, 1 };
	if (!is_wildcard(a->local)) {
		ep.host.kind = HOST_PREFIX;
		ep.host.prefix = prefix_of(a->local, 128);
	}
	return endpoint_format_local(&ep, buf, size);
}

static const char *addr_text(const struct addr *a, char *buf, size_t size)
{
	struct host_pattern h = { .kind = HOST_PREFIX };

	h.prefix = prefix_of(a, 128);
	return host_format(&h, buf, size);
}

const char *policy_party_text(const struct policy_party *peer, char *buf, size_t size)
{
	if (peer->kind == PARTY_HOST)
		(void)snprintf(buf, size, "host");
	else if (peer->kind == PARTY_RESOLVER)
		(void)snprintf(buf, size, "the resolver");
	else if (peer->n_names && !(peer->kind == PARTY_OWN && peer->addr))
		(void)log_quote(buf, size, peer->names[0]);
	else if (peer->addr)
		(void)addr_text(peer->addr, buf, size);
	else
		(void)snprintf(buf, size, peer->kind == PARTY_OWN ? "itself" : "an unknown peer");
	return buf;
}

/* The name comes from an app, and is in its one form: nothing to be quoted. */
static const char *tls_text(const struct policy_tls *tls, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s", *tls->name ? tls->name : "no name", *tls->why ? ": " : "", tls->why);
	return buf;
}

const char *policy_attempt_text(const struct policy_attempt *a, char *buf, size_t size)
{
	char who[NAME_TEXT_MAX + 16], at[ENDPOINT_TEXT_MAX], addr[ADDR_TEXT_MAX + 8] = "";
	const char *proto = policy_proto_name(a->proto);

	(void)policy_party_text(&a->peer, who, sizeof who);
	if (a->peer.addr && a->peer.n_names && a->peer.kind != PARTY_OWN) {
		char text[ADDR_TEXT_MAX];

		(void)snprintf(addr, sizeof addr, " (%s)", addr_format(a->peer.addr, text, sizeof text));
	}
	switch (a->kind) {
	case ATTEMPT_CONNECT:
		(void)snprintf(buf, size, "connect to %s:%u/%s%s%s%s", who, a->port, proto, addr,
			       a->tls ? ", TLS to " : "", a->tls ? tls_text(a->tls, at, sizeof at) : "");
		break;
	case ATTEMPT_LISTEN:
		(void)snprintf(buf, size, "listen at %s/%s", local_text(a, at, sizeof at), proto);
		break;
	case ATTEMPT_ACCEPT:
		(void)snprintf(buf, size, "accept from %s%s at %s/%s", who, addr,
			       local_text(a, at, sizeof at), proto);
		break;
	case ATTEMPT_RESOLVE:
		(void)snprintf(buf, size, "look up %s%s%s", a->query ? policy_query_type_name(a->query, addr, sizeof addr) : "",
			       a->query ? " of " : "", who);
		break;
	}
	return buf;
}

const char *policy_reason_name(enum policy_reason r)
{
	static const char *const names[POLICY_REASONS] = {
		[POLICY_BY_RULE] = "rule",         [POLICY_BY_OWN] = "own",
		[POLICY_BY_DEFAULT] = "default",   [POLICY_BY_ADDRESS] = "address",
		[POLICY_BY_HOST] = "host",
		[POLICY_BY_NET_NONE] = "net-none", [POLICY_BY_NET_LOOPBACK] = "net-loopback",
		[POLICY_BY_TRANSPORT] = "transport", [POLICY_BY_TLS] = "tls",
	};

	return (unsigned)r < POLICY_REASONS ? names[r] : "unknown";
}

static const char *rule_text(const struct policy *p, const struct policy_rule *r, char *buf, size_t size)
{
	char file[256];

	(void)snprintf(buf, size, "rule %s (%s:%zu)", r->id, log_quote(file, sizeof file, p->file),
		       r->line);
	return buf;
}

const char *policy_verdict_message(const struct policy_verdict *v)
{
	return v->rule && v->reason == POLICY_BY_RULE ? v->rule->message : NULL;
}

const char *policy_verdict_text(const struct policy_verdict *v, const struct policy_attempt *a,
				char *buf, size_t size)
{
	char rule[400] = "", file[256], who[NAME_TEXT_MAX + 16], addr[ADDR_TEXT_MAX], quoted[512] = "";

	(void)log_quote(file, sizeof file, v->policy->file);
	if (v->rule)
		(void)rule_text(v->policy, v->rule, rule, sizeof rule);
	switch (v->reason) {
	case POLICY_BY_RULE:
		if (policy_verdict_message(v))
			(void)log_quote(quoted, sizeof quoted, policy_verdict_message(v));
		(void)snprintf(buf, size, "%s by %s%s%s", v->allow ? "allowed" : "denied", rule,
			       *quoted ? ": " : "", quoted);
		break;
	case POLICY_BY_OWN:
		(void)snprintf(buf, size, "allowed: %s", a->peer.kind == PARTY_RESOLVER ?
							 "the domain's resolver" :
						 a->kind == ATTEMPT_LISTEN ?
							 "the domain itself may connect, nobody else" :
							 "the domain's own");
		break;
	case POLICY_BY_DEFAULT:
		(void)snprintf(buf, size, "denied: no rule of %s allows it", file);
		break;
	case POLICY_BY_ADDRESS:
		(void)snprintf(buf, size,
			       "denied: %s is allowed by %s, but it is %s, a %s address, which needs an "
			       "address rule too",
			       policy_party_text(&a->peer, who, sizeof who), rule,
			       addr_format(a->peer.addr, addr, sizeof addr),
			       addr_kind_name(addr_kind(a->peer.addr)));
		break;
	case POLICY_BY_HOST:
		(void)snprintf(buf, size,
			       "denied: %s is allowed by %s, but it is %s, this machine's loopback, which needs a "
			       "rule for host too",
			       policy_party_text(&a->peer, who, sizeof who), rule,
			       addr_format(a->peer.addr, addr, sizeof addr));
		break;
	case POLICY_BY_NET_NONE:
	case POLICY_BY_NET_LOOPBACK:
		(void)snprintf(buf, size, "denied: %s has \"net\": \"%s\"", file,
			       policy_net_name(v->policy->net));
		break;
	case POLICY_BY_TRANSPORT:
		(void)snprintf(buf, size, "denied: %s has \"transport\": \"%s\", the other side has not", file,
			       policy_transport_name(v->policy->transport));
		break;
	case POLICY_BY_TLS:
		(void)snprintf(buf, size, "denied: %s allows TLS to the names in its \"tls\" alone: %s%s", rule,
			       *a->tls->why ? a->tls->why : "this was to ", *a->tls->why ? "" : a->tls->name);
		break;
	case POLICY_REASONS:
		break;
	}
	return buf;
}

/* --- what would turn it ------------------------------------------------------------- */

/* A rule about exactly one attempt. Do not move it. */
struct made_rule {
	struct policy_rule rule;
	struct endpoint ep;
	struct port_range range;
	struct host_pattern from;
	uint16_t query;
	char name[NAME_TEXT_MAX];
};

/* The pattern of the peer: its name where it has one. False when it has neither name nor address. */
static bool make_host(struct made_rule *m, const struct policy_party *peer, bool by_addr,
		      struct host_pattern *ret)
{
	if (peer->kind == PARTY_HOST) {
		ret->kind = HOST_OUTSIDE;
	} else if (!by_addr && peer->n_names) {
		if (name_parse(peer->names[0], m->name, NULL, NULL) < 0)
			return false;
		ret->kind = strchr(m->name, '.') ? HOST_NAME : HOST_DOMAIN;
		ret->name = m->name;
	} else if (peer->addr) {
		ret->kind = HOST_PREFIX;
		ret->prefix = prefix_of(peer->addr, 128);
	} else {
		return false;
	}
	return true;
}

/*
 * The rule that allows or denies an attempt. The port of a look-up is a
 * guess, the same as decide_resolve() makes; its denial is for all ports.
 */
static bool make_rule(struct made_rule *m, const struct policy_verdict *v,
		      const struct policy_attempt *a, bool allow)
{
	bool resolve = a->kind == ATTEMPT_RESOLVE, by_addr = v->reason == POLICY_BY_ADDRESS;
	uint16_t port = resolve && !a->port ? 443 : a->port;

	*m = (struct made_rule){ .range = { port, port } };
	m->rule = (struct policy_rule){ .allow = allow, .endpoints = &m->ep, .n_endpoints = 1,
					.on_deny = POLICY_DENY_INHERIT };
	m->rule.protos = resolve ? POLICY_TCP : (unsigned)a->proto;
	m->ep.ports = (struct port_set){ &m->range, 1 };
	if (v->reason == POLICY_BY_HOST) {
		m->rule.op = POLICY_CONNECT;
		m->ep.host.kind = HOST_OUTSIDE;
		return true;
	}
	if (resolve && a->query) {
		m->query = a->query;
		m->rule.forward = &m->query;
		m->rule.n_forward = allow;
	}
	if (resolve && !allow) {
		m->rule.protos = POLICY_TCP | POLICY_UDP;
		m->range = (struct port_range){ 1, UINT16_MAX };
	}
	if (a->kind == ATTEMPT_CONNECT || resolve) {
		m->rule.op = POLICY_CONNECT;
		return make_host(m, &a->peer, by_addr, &m->ep.host);
	}
	m->rule.op = POLICY_LISTEN;
	m->ep.host.kind = HOST_ANY;
	if (a->kind == ATTEMPT_ACCEPT) {
		m->rule.from = &m->from;
		m->rule.n_from = 1;
		return make_host(m, &a->peer, false, &m->from);
	}
	if (!allow && !is_wildcard(a->local)) {
		m->ep.host.kind = HOST_PREFIX;
		m->ep.host.prefix = prefix_of(a->local, 128);
	}
	return true;
}

static void put_line(const struct made_rule *m, struct policy_advice *ret)
{
	char *line = NULL;

	if (policy_rule_format(&m->rule, &line, NULL) == 0)
		(void)snprintf(ret->line, sizeof ret->line, "%s", line);
	free(line);
}

const char *policy_attempt_rule(const struct policy_verdict *v, const struct policy_attempt *a, char *buf,
				size_t size)
{
	struct policy_advice advice = { .remedy = REMEDY_NONE };
	struct made_rule m;

	if (a->peer.kind != PARTY_RESOLVER && make_rule(&m, v, a, true))
		put_line(&m, &advice);
	(void)snprintf(buf, size, "%s", advice.line);
	return buf;
}

/* Why no rule of an allowing kind could name the peer, or NULL. */
static const char *unnameable(const struct policy_verdict *v, const struct policy_attempt *a)
{
	bool by_addr = v->reason == POLICY_BY_ADDRESS || !a->peer.n_names;
	char name[NAME_TEXT_MAX];
	struct prefix x;

	if (a->peer.kind == PARTY_RESOLVER)
		return "the resolver answers at port 53 only";
	if (!by_addr && a->peer.kind != PARTY_HOST && name_parse(a->peer.names[0], name, NULL, NULL) < 0)
		return "no rule can allow it: nobody has such a name";
	if (a->kind != ATTEMPT_CONNECT || a->peer.kind == PARTY_HOST || !by_addr || !a->peer.addr)
		return NULL;
	x = prefix_of(a->peer.addr, 128);
	return policy_unreachable(v->policy, &x);
}

static void advise_tls(const struct policy_verdict *v, const struct policy_attempt *a, struct policy_advice *ret)
{
	char rule[400];

	ret->remedy = REMEDY_RULE;
	(void)rule_text(v->policy, v->rule, rule, sizeof rule);
	if (*a->tls->why)
		(void)snprintf(ret->text, sizeof ret->text,
			       "a connection without a ClientHello that shows its name needs a rule without \"tls\": "
			       "take it out of %s, or give the port a rule of its own", rule);
	else
		(void)snprintf(ret->text, sizeof ret->text,
			       "to allow it add \"%s\" to the names in \"tls\" of %s", a->tls->name, rule);
}

static void advise_allowing(const struct policy_verdict *v, const struct policy_attempt *a,
			    struct policy_advice *ret)
{
	char file[256], rule[400];
	struct made_rule m;

	(void)log_quote(file, sizeof file, v->policy->file);
	if (v->reason == POLICY_BY_RULE) {
		ret->remedy = REMEDY_RULE;
		(void)snprintf(ret->text, sizeof ret->text,
			       "no rule can allow what %s denies: take it out or make it narrower",
			       rule_text(v->policy, v->rule, rule, sizeof rule));
		return;
	}
	if (v->reason == POLICY_BY_TLS) {
		advise_tls(v, a, ret);
		return;
	}
	if (v->reason == POLICY_BY_TRANSPORT) {
		(void)snprintf(ret->text, sizeof ret->text,
			       "domains that talk to each other need the same \"transport\": change it in "
			       "%s or in the other side's policy",
			       file);
		return;
	}
	if (unnameable(v, a)) {
		(void)snprintf(ret->text, sizeof ret->text, "%s", unnameable(v, a));
		return;
	}
	if (!make_rule(&m, v, a, true))
		return;
	put_line(&m, ret);
	if (v->reason == POLICY_BY_NET_NONE || v->reason == POLICY_BY_NET_LOOPBACK) {
		ret->remedy = REMEDY_NET;
		(void)snprintf(ret->text, sizeof ret->text, "in %s write \"net\": { \"rules\": [ %s ] }", file,
			       ret->line);
	} else {
		ret->remedy = REMEDY_ADD;
		(void)snprintf(ret->text, sizeof ret->text, "to allow it add to the rules of %s: %s", file,
			       ret->line);
	}
}

/*
 * The policy without what the deny leaves nothing of: the loader refuses an
 * allow that is denied as a whole. Returns how many elements went; the first
 * one's rule and place are told. The copy's arrays are in its own arena.
 */
static size_t without_shadowed(const struct policy *p, const struct made_rule *deny, struct policy *ret,
			       const struct policy_rule **ret_rule, const struct endpoint **ret_ep)
{
	struct policy copy = *p;
	size_t gone = 0;

	copy.arena = (struct arena){ 0 };
	copy.index = NULL;
	copy.rules = arena_array(&copy.arena, p->n_rules, sizeof *copy.rules);
	copy.n_rules = copy.rules ? p->n_rules : 0;
	for (size_t i = 0; i < copy.n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		struct endpoint *eps = arena_array(&copy.arena, r->n_endpoints, sizeof *eps);
		size_t n = 0;

		for (size_t j = 0; eps && j < r->n_endpoints; j++) {
			if (!r->allow || !policy_denies_all(&deny->rule, &deny->ep, r, &r->endpoints[j])) {
				eps[n++] = r->endpoints[j];
				continue;
			}
			*ret_rule = gone ? *ret_rule : r;
			*ret_ep = gone++ ? *ret_ep : &r->endpoints[j];
		}
		copy.rules[i] = *r;
		copy.rules[i].endpoints = eps;
		copy.rules[i].n_endpoints = n;
	}
	*ret = copy;
	return gone;
}

static void advise_denying(const struct policy_verdict *v, const struct policy_attempt *a,
			   struct policy_advice *ret)
{
	char file[256], rule[400], what[ENDPOINT_TEXT_MAX], more[64] = "";
	const struct policy_rule *r = NULL;
	const struct endpoint *ep = NULL;
	struct policy_verdict now = { .allow = true };
	struct made_rule m;
	struct policy rest;
	size_t gone;

	if (v->policy->net != POLICY_NET_RULES || a->peer.kind == PARTY_RESOLVER ||
	    (a->kind == ATTEMPT_RESOLVE && a->peer.kind == PARTY_OWN) || !make_rule(&m, v, a, false))
		return; /* what is always allowed, or cannot be named */
	(void)log_quote(file, sizeof file, v->policy->file);
	put_line(&m, ret);
	gone = without_shadowed(v->policy, &m, &rest, &r, &ep);
	if (gone == 0) {
		ret->remedy = REMEDY_ADD;
		(void)snprintf(ret->text, sizeof ret->text, "to deny it add to the rules of %s: %s", file,
			       ret->line);
	} else {
		if (policy_index_build(&rest, NULL) == 0)
			policy_decide(&rest, a, &now);
		ret->remedy = now.allow ? REMEDY_REPLACE : REMEDY_RULE;
		if (gone > 1)
			(void)snprintf(more, sizeof more, ", and %zu more like it", gone - 1);
		(void)(r->op == POLICY_CONNECT ? endpoint_format(ep, what, sizeof what) :
						 endpoint_format_local(ep, what, sizeof what));
		(void)snprintf(ret->text, sizeof ret->text, "to deny it take \"%s\" out of %s%s%s%s", what,
			       rule_text(v->policy, r, rule, sizeof rule), more, now.allow ? " and add: " : "",
			       now.allow ? ret->line : "");
		if (!now.allow)
			ret->line[0] = '\0';
	}
	arena_fini(&rest.arena);
}

void policy_advise(const struct policy_verdict *v, const struct policy_attempt *a,
		   struct policy_advice *ret)
{
	struct policy_advice advice = { .remedy = REMEDY_NONE };

	if (v->allow)
		advise_denying(v, a, &advice);
	else
		advise_allowing(v, a, &advice);
	*ret = advice;
}
