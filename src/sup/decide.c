/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/decide.h"

#include "sup/sup.h"

static struct policy_side side(const struct domain *d, const struct addr *at)
{
	return (struct policy_side){ .policy = &d->policy,
				     .ceiling = domain_ceiling(d),
				     .addr = at,
				     .names = d->names,
				     .n_names = d->n_names };
}

/* `source`: ret->source, or NULL when the domain has none of that family. */
static void decide_pair(const struct domain *from, const struct addr *source, const struct domain *to,
			struct decision *ret)
{
	const struct policy_side client = side(from, source), server = side(to, &ret->target);
	struct policy_pair_verdict pair;

	policy_decide_pair(&client, &server, ret->attempt.proto, ret->attempt.port, &pair);
	ret->attempt.peer = domain_party(to, &ret->target);
	ret->verdict = pair.client;
	ret->theirs = pair.client.allow && pair.server.policy == &to->policy ? pair.server.rule : NULL;
	if (!pair.client.allow || pair.allow)
		return;
	ret->attempt.kind = ATTEMPT_ACCEPT; /* it is the other side that says no */
	ret->attempt.peer = domain_party(from, source);
	ret->attempt.local = &ret->target;
	ret->verdict = pair.server;
}

void decide_connect(struct sup *s, struct domain *from, enum policy_proto proto, const struct addr *source,
		    const struct addr *to, uint16_t port, struct decision *ret)
{
	bool own;

	*ret = (struct decision){ .attempt = { .kind = ATTEMPT_CONNECT, .proto = proto, .port = port },
				  .target = *to };
	if (!source)
		source = domain_source(from, to);
	if (source)
		ret->source = *source;
	own = domain_owns(from, to);
	ret->to = own ? from : domain_find(s, to);
	if (!own && ret->to && ret->to != from) {
		decide_pair(from, source ? &ret->source : NULL, ret->to, ret);
		return;
	}
	own = own || ret->to;
	ret->attempt.peer = (struct policy_party){ .kind = own ? PARTY_OWN : PARTY_ADDR, .addr = &ret->target };
	ret->name = own ? NULL : names_find(from, to);
	ret->host = !own && names_is_host(from, to);
	if (resolver_place(s, to, port))
		ret->attempt.peer.kind = PARTY_RESOLVER; /* always open */
	else if (ret->host)
		ret->attempt.peer.kind = PARTY_HOST;
	else if (ret->name) /* which address it has is the gateway's to know, and to decide on */
		ret->attempt.peer = (struct policy_party){ .kind = PARTY_NAME, .names = &ret->name, .n_names = 1 };
	policy_decide_bounded(&from->policy, domain_ceiling(from), &ret->attempt, &ret->verdict);
}

void decide_listen(struct domain *d, enum policy_proto proto, const struct addr *at, uint16_t port,
		   struct decision *ret)
{
	*ret = (struct decision){ .attempt = { .kind = ATTEMPT_LISTEN, .proto = proto, .port = port },
				  .to = d,
				  .target = *at };
	ret->attempt.local = &ret->target;
	ret->attempt.peer = (struct policy_party){ .kind = PARTY_OWN };
	policy_decide_bounded(&d->policy, domain_ceiling(d), &ret->attempt, &ret->verdict);
}

const struct policy_rule *decision_rule(const struct decision *d, const struct domain *of)
{
	return d->verdict.policy == &of->policy ? d->verdict.rule : NULL;
}

static void count(struct domain *d, const struct policy_rule *r)
{
	if (r)
		d->hits[r - d->policy.rules]++;
}

void decision_count(const struct decision *d, struct domain *from)
{
	count(from, decision_rule(d, from));
	if (d->to && d->to != from)
		count(d->to, d->theirs);
}
