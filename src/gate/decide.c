/* SPDX-License-Identifier: Apache-2.0 */
/* What may leave: the policy's own decisions, and the machine's loopback, which is nobody's by accident. */
#include <stdio.h>

#include "gate/gate.h"

static bool allowed(const struct gate *g, const struct policy_attempt *a)
{
	const struct policy *ceiling = g->text->has_ceiling ? &g->text->ceiling : NULL;
	struct policy_verdict v;

	policy_decide_bounded(&g->text->policy, ceiling, a, &v);
	if (v.allow && g->next)
		policy_decide(&g->next->policy, a, &v);
	return v.allow;
}

static bool host_allowed(const struct gate *g, enum policy_proto proto, uint16_t port)
{
	const struct policy_attempt a = { .kind = ATTEMPT_CONNECT, .proto = proto, .port = port,
					  .peer = { .kind = PARTY_HOST } };

	return allowed(g, &a);
}

static bool never(const struct gate *g, const struct addr *a)
{
	const struct prefix whole = prefix_of(a, 128);
	enum addr_kind kind = addr_kind(a);

	return kind == ADDR_UNSPECIFIED || kind == ADDR_MULTICAST || kind == ADDR_BROADCAST ||
	       policy_unreachable(&g->text->policy, &whole) != NULL;
}

enum gate_decision gate_decide(const struct gate *g, const struct gateway_request *r, enum policy_proto proto,
			       const struct addr *a)
{
	const char *name = r->name;
	struct policy_attempt t = { .kind = ATTEMPT_CONNECT, .proto = proto, .port = r->port };

	if (r->to == GATEWAY_TO_HOST)
		return host_allowed(g, proto, r->port) ? GATE_ALLOWED : GATE_DENIED;
	if (never(g, a))
		return GATE_UNREACHABLE;
	t.peer = r->to == GATEWAY_TO_NAME ?
			 (struct policy_party){ .kind = PARTY_NAME, .names = &name, .n_names = 1, .addr = a } :
			 (struct policy_party){ .kind = PARTY_ADDR, .addr = a };
	if (!allowed(g, &t))
		return GATE_DENIED;
	/* A rule for 127.0.0.1 is about the domain's own loopback; this one is the machine's. */
	if (addr_kind(a) == ADDR_LOOPBACK && !host_allowed(g, proto, r->port))
		return GATE_DENIED;
	return GATE_ALLOWED;
}

bool gate_may_connect(const struct gate *g, const struct gateway_request *r, enum policy_proto proto)
{
	const char *name = r->name;
	const struct policy_attempt a = { .kind = ATTEMPT_CONNECT, .proto = proto, .port = r->port,
					  .peer = { .kind = PARTY_NAME, .names = &name, .n_names = 1 } };

	return allowed(g, &a);
}

bool gate_lets_in(const struct gate *g, enum policy_proto proto, const struct addr *from, const struct addr *at,
		  uint16_t port)
{
	const struct policy_attempt a = { .kind = ATTEMPT_ACCEPT, .proto = proto, .port = port,
					  .peer = gateway_visitor(from, at) };

	return allowed(g, &a);
}

static unsigned publishes(const struct policy *p, enum policy_proto proto, const struct addr *at, uint16_t port,
			  uint16_t local_port)
{
	unsigned n = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		n += r->publish && (r->protos & proto) && r->publish_port == port &&
		     addr_equal(&r->publish_addr, at) && ports_have(&r->endpoints[0].ports, local_port);
	}
	return n;
}

unsigned gate_publishes_now(const struct gate *g, enum policy_proto proto, const struct addr *at, uint16_t port,
			    uint16_t local_port)
{
	return publishes(&g->text->policy, proto, at, port, local_port);
}

unsigned gate_publishes(const struct gate *g, enum policy_proto proto, const struct addr *at, uint16_t port,
			uint16_t local_port)
{
	unsigned n = publishes(&g->text->policy, proto, at, port, local_port);
	unsigned next = g->next ? publishes(&g->next->policy, proto, at, port, local_port) : n;

	return n < next ? n : next;
}

bool gate_may_look_up(const struct gate *g, const char *name)
{
	const struct policy_attempt a = { .kind = ATTEMPT_RESOLVE, .proto = POLICY_TCP,
					  .peer = { .kind = PARTY_NAME, .names = &name, .n_names = 1 } };

	return allowed(g, &a);
}

bool gate_may_query(const struct gate *g, const char *name, uint16_t type)
{
	const struct policy_attempt a = { .kind = ATTEMPT_RESOLVE, .proto = POLICY_TCP, .query = type,
					  .peer = { .kind = PARTY_NAME, .names = &name, .n_names = 1 } };

	return allowed(g, &a);
}

/* --- at some port -------------------------------------------------------------------------- */

struct looking {
	const struct gate *g;
	struct gateway_request r;
	const struct addr *addr;
	struct host_pattern name, whole;
};

static bool concerns(const struct looking *l, const struct policy_rule *rule, const struct host_pattern *h)
{
	return h->kind == HOST_OUTSIDE || host_covers(h, &l->name) || host_covers(h, &l->whole) ||
	       (!rule->allow && h->kind == HOST_PREFIX); /* for what an address carries inside */
}

static bool open_at(struct looking *l, unsigned port)
{
	if (port == 0 || port > UINT16_MAX)
		return false;
	l->r.port = (uint16_t)port;
	return gate_decide(l->g, &l->r, POLICY_TCP, l->addr) == GATE_ALLOWED ||
	       gate_decide(l->g, &l->r, POLICY_UDP, l->addr) == GATE_ALLOWED;
}

/* A range of open ports begins where an allow does or behind a deny. */
static bool open_by(struct looking *l, const struct policy *p)
{
	for (size_t i = 0; p && i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];

		for (size_t j = 0; rule->op == POLICY_CONNECT && j < rule->n_endpoints; j++) {
			const struct port_set *s = &rule->endpoints[j].ports;

			if (!concerns(l, rule, &rule->endpoints[j].host))
				continue;
			for (size_t k = 0; k < s->n; k++)
				if (open_at(l, rule->allow ? s->v[k].lo : s->v[k].hi + 1U))
					return true;
		}
	}
	return false;
}

bool gate_may_know(const struct gate *g, const char *name, const struct addr *a)
{
	struct looking l = { .g = g,
			     .r = { .to = GATEWAY_TO_NAME },
			     .addr = a,
			     .name = { .kind = HOST_NAME, .name = name },
			     .whole = { .kind = HOST_PREFIX, .prefix = { *a, 128 } } };

	(void)snprintf(l.r.name, sizeof l.r.name, "%s", name);
	return open_by(&l, &g->text->policy) || (g->text->has_ceiling && open_by(&l, &g->text->ceiling));
}
