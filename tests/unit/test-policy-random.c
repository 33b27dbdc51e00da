/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_decide() against a second evaluator, written apart from it: no index,
 * no parsed patterns, only the texts that the random rules are made of. Both
 * must agree on every attempt; so must the policy with its rules in another
 * order, and the policy written in its canonical form and read again. The line
 * that a verdict suggests must turn it.
 *
 * VRUN_SEED=N repeats another run; the seed is in the output.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "model/policy_explain.h"
#include "model/policy_write.h"
#include "policy-gen.h"

#define POLICIES 400
#define ATTEMPTS 150

/* --- the second evaluator ----------------------------------------------------------- */

static bool in_prefix(const char *prefix, const char *addr)
{
	char text[64], *slash;
	unsigned char p[16], a[16];
	int family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	unsigned bits = family == AF_INET6 ? 128 : 32;

	(void)snprintf(text, sizeof text, "%s", prefix + (prefix[0] == '['));
	text[strcspn(text, "]")] = '\0';
	slash = strchr(text, '/');
	if (slash) {
		*slash = '\0';
		bits = (unsigned)strtoul(slash + 1, NULL, 10);
	}
	if (inet_pton(family, text, p) != 1 || inet_pton(family, addr, a) != 1)
		return false;
	for (unsigned i = 0; i < bits; i++) {
		if ((p[i / 8] ^ a[i / 8]) & (0x80 >> (i % 8)))
			return false;
	}
	return true;
}

static bool is_address(const char *host)
{
	return strchr(host, '/') || host[0] == '[' || (host[0] >= '0' && host[0] <= '9');
}

static bool host_matches(const char *host, const struct try *t, bool allow)
{
	if (strcmp(host, "*") == 0) {
		if (!allow)
			return true;
		return t->party == PARTY_OWN || t->party == PARTY_DOMAIN || t->party == PARTY_NAME ||
		       (t->party == PARTY_ADDR && t->at && t->at->public);
	}
	if (strcmp(host, "host") == 0)
		return t->party == PARTY_HOST;
	if (t->party == PARTY_HOST && t->kind != ATTEMPT_ACCEPT)
		return false;
	if (is_address(host)) {
		if (!t->at)
			return false;
		return in_prefix(host, t->at->text) || (!allow && t->at->inner && in_prefix(host, t->at->inner));
	}
	for (unsigned i = 0; i < t->n_names; i++) {
		size_t n = strlen(t->names[i]), h = strlen(host);

		if (strcmp(host, t->names[i]) == 0)
			return true;
		if (host[0] == '*' && n > h - 1 && strcmp(t->names[i] + n - (h - 1), host + 1) == 0)
			return true;
	}
	return false;
}

static bool port_matches(unsigned set, unsigned port)
{
	const unsigned *v = ports[set].v;

	return (port >= v[0] && port <= v[1]) || (port >= v[2] && port <= v[3]);
}

static bool leads_to_loopback(const struct try *t)
{
	return t->party == PARTY_NAME && t->at && strncmp(t->at->text, "127.", 4) == 0;
}

static bool host_is_open(const struct rule *v, unsigned n, const struct try *t)
{
	struct try host = { .kind = ATTEMPT_CONNECT, .party = PARTY_HOST, .proto = t->proto, .port = t->port };
	bool denied = false, allowed = false;

	for (unsigned i = 0; i < n; i++) {
		if (v[i].connect && (v[i].protos & t->proto) && port_matches(v[i].port, t->port) &&
		    host_matches(v[i].host, &host, v[i].allow) && (!v[i].allow || strcmp(v[i].host, "*") != 0))
			*(v[i].allow ? &allowed : &denied) = true;
	}
	return allowed && !denied;
}

static void naive_connect(const struct rule *v, unsigned n, const struct try *t, bool *allow,
			  enum policy_reason *reason)
{
	bool denied = false, allowed = false, address = false;

	for (unsigned i = 0; i < n; i++) {
		if (!v[i].connect || !(v[i].protos & t->proto) || !port_matches(v[i].port, t->port) ||
		    !host_matches(v[i].host, t, v[i].allow))
			continue;
		if (!v[i].allow)
			denied = true;
		else if (t->party == PARTY_NAME && is_address(v[i].host))
			address = true;
		else
			allowed = true;
	}
	*allow = !denied && (allowed || t->party == PARTY_OWN);
	*reason = denied || (*allow && allowed) ? POLICY_BY_RULE :
		  *allow			 ? POLICY_BY_OWN :
						   POLICY_BY_DEFAULT;
	if (*allow && t->party == PARTY_NAME && t->at && !t->at->public && !address) {
		*allow = false;
		*reason = POLICY_BY_ADDRESS;
	} else if (*allow && leads_to_loopback(t) && !host_is_open(v, n, t)) {
		*allow = false;
		*reason = POLICY_BY_HOST;
	}
}

static bool at_matches(const struct rule *r, const struct try *t)
{
	if (!(r->protos & t->proto) || !port_matches(r->port, t->port))
		return false;
	if (!*r->host)
		return true;
	return *t->local ? in_prefix(r->host, t->local) : !r->allow;
}

static void naive_listen(const struct rule *v, unsigned n, const struct try *t, bool *allow,
			 enum policy_reason *reason)
{
	bool denied = false, allowed = false, accept = t->kind == ATTEMPT_ACCEPT;

	for (unsigned i = 0; i < n; i++) {
		bool from = false;

		if (v[i].connect || !at_matches(&v[i], t))
			continue;
		for (unsigned j = 0; j < v[i].n_from; j++) {
			const char *f = v[i].from[j];

			from |= strcmp(f, "*") == 0 || host_matches(f, t, v[i].allow);
		}
		if (!v[i].allow)
			denied |= v[i].n_from == 0 || (accept && from);
		else
			allowed |= !accept || from || (v[i].n_from == 0 && t->party == PARTY_OWN);
	}
	*allow = !denied && (allowed || !accept || t->party == PARTY_OWN);
	*reason = denied || allowed ? POLICY_BY_RULE : *allow ? POLICY_BY_OWN : POLICY_BY_DEFAULT;
}

static bool naive_resolve(const struct rule *v, unsigned n, const struct try *t)
{
	struct try c = *t;
	enum policy_reason reason;
	bool allow;

	if (t->party == PARTY_OWN)
		return true;
	c.kind = ATTEMPT_CONNECT;
	if (t->party == PARTY_NAME)
		c.at = NULL;
	for (c.port = 1; c.port <= 65535; c.port = c.port == 600 ? 65535 : c.port + 1) {
		for (c.proto = POLICY_TCP; c.proto <= POLICY_UDP; c.proto++) {
			naive_connect(v, n, &c, &allow, &reason);
			if (allow)
				return true;
		}
	}
	return false;
}

/* --- the comparison ------------------------------------------------------------------ */

static unsigned long n_allowed, n_denied, n_flipped;

static bool complain(const struct try *t, const char *json, const char *what)
{
	struct real r;
	char text[EXPLAIN_TEXT_MAX];

	make_real(t, &r);
	printf("# %s: %s\n# %s\n", what, policy_attempt_text(&r.a, text, sizeof text), json);
	return false;
}

/* What a verdict suggests is added, and then turns it. */
static bool check_advice(const struct rule *v, unsigned n, const struct policy_attempt *a,
			 const struct policy_verdict *was)
{
	struct policy_verdict now = { 0 };
	struct policy_advice advice;
	struct policy p;
	struct err e;
	char *json;
	int rc;

	policy_advise(was, a, &advice);
	if (advice.remedy != REMEDY_ADD)
		return true;
	json = policy_json(v, n, false, advice.line);
	rc = load(&p, json, &e);
	if (rc < 0)
		printf("# %s\n", e.text);
	free(json);
	if (rc < 0)
		return false;
	policy_decide(&p, a, &now);
	policy_fini(&p);
	n_flipped++;
	/* A name that is not allowed may have an address that is not, and that be the machine's: a line at a time. */
	return now.allow != was->allow ||
	       (was->reason == POLICY_BY_DEFAULT && (now.reason == POLICY_BY_ADDRESS || now.reason == POLICY_BY_HOST)) ||
	       (was->reason == POLICY_BY_ADDRESS && now.reason == POLICY_BY_HOST);
}

static bool check_try(const struct rule *v, unsigned n, const struct policy *p, const struct policy *q,
		      const struct policy *canonical, const char *json)
{
	struct try t = random_try();
	struct policy_verdict got, other, again;
	enum policy_reason reason = POLICY_BY_DEFAULT;
	struct real r;
	bool allow;

	make_real(&t, &r);
	policy_decide(p, &r.a, &got);
	policy_decide(q, &r.a, &other);
	policy_decide(canonical, &r.a, &again);
	*(got.allow ? &n_allowed : &n_denied) += 1;
	if (t.kind == ATTEMPT_CONNECT)
		naive_connect(v, n, &t, &allow, &reason);
	else if (t.kind == ATTEMPT_RESOLVE)
		allow = naive_resolve(v, n, &t), reason = got.reason;
	else
		naive_listen(v, n, &t, &allow, &reason);
	if (got.allow != allow || got.reason != reason)
		return complain(&t, json, "the two evaluators differ");
	if (got.reason == POLICY_BY_RULE && got.rule->allow != got.allow)
		return complain(&t, json, "the wrong kind of rule is named");
	if (got.allow != other.allow || got.reason != other.reason || !got.rule != !other.rule ||
	    (got.rule && strcmp(got.rule->id, other.rule->id) != 0))
		return complain(&t, json, "the order of rules matters");
	if (got.allow != again.allow || got.reason != again.reason || !got.rule != !again.rule ||
	    (got.rule && strcmp(got.rule->id, again.rule->id) != 0))
		return complain(&t, json, "the canonical form differs");
	return check_advice(v, n, &r.a, &got) || complain(&t, json, "the suggested line does not turn it");
}

static bool check_policy(void)
{
	struct rule v[RULES_MAX + 1];
	struct policy p, q, c;
	struct err e;
	unsigned n = random_policy(v);
	char *json = policy_json(v, n, false, NULL), *reversed = policy_json(v, n, true, NULL);
	char *text = NULL, *text2 = NULL, *text3 = NULL;
	bool ok = load(&p, json, &e) == 0 && load(&q, reversed, &e) == 0;

	ok = ok && policy_format(&p, &text, &e) == 0 && policy_format(&q, &text2, &e) == 0 &&
	     load(&c, text, &e) == 0 && policy_format(&c, &text3, &e) == 0;
	if (!ok)
		printf("# %s: %s\n%s\n", json, e.text, text ? text : "");
	if (ok && (strcmp(text, text2) != 0 || strcmp(text, text3) != 0)) {
		printf("# canonical forms differ:\n%s%s%s", text, text2, text3);
		ok = false;
	}
	for (unsigned i = 0; ok && i < ATTEMPTS; i++)
		ok = check_try(v, n, &p, &q, &c, json);
	policy_fini(&p);
	policy_fini(&q);
	policy_fini(&c);
	free(json);
	free(reversed);
	free(text);
	free(text2);
	free(text3);
	return ok;
}

int main(void)
{
	unsigned bad = 0;

	seed_random();
	for (unsigned i = 0; i < POLICIES && bad < 5; i++)
		bad += !check_policy();
	TAP_INT(bad, 0, "two evaluators agree on %u policies with %u attempts each", POLICIES, ATTEMPTS);
	TAP_OK(n_allowed > POLICIES * ATTEMPTS / 10, "many attempts are allowed");
	TAP_OK(n_denied > POLICIES * ATTEMPTS / 10, "many attempts are denied");
	TAP_OK(n_flipped > POLICIES * ATTEMPTS / 20, "many suggested lines were tried");
	printf("# %lu allowed, %lu denied, %lu suggestions\n", n_allowed, n_denied, n_flipped);
	return tap_done();
}
