/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_decide.h"

#include <string.h>

#include "model/policy_index.h"

/* What the walk over matching rules has found so far. */
struct found {
	const struct policy_entry *deny, *allow, *addr_allow;
};

/*
 * Which of two matching rules is named in the verdict, and whose options
 * hold: the one that says more. The loader refuses rules with different
 * options between which this could not choose by meaning.
 */
static int host_rank(const struct host_pattern *h)
{
	switch (h->kind) {
	case HOST_ANY:
		return 0;
	case HOST_PREFIX:
		return 1 + h->prefix.bits;
	case HOST_WILDCARD:
		return 200 + (int)strlen(h->name);
	case HOST_DOMAIN:
	case HOST_NAME:
	case HOST_OUTSIDE:
		return 1000;
	}
	return 0;
}

static bool is_better(const struct policy_entry *a, const struct policy_entry *b)
{
	int d;

	if (!b)
		return true;
	d = host_rank(&a->ep->host) - host_rank(&b->ep->host);
	if (d != 0)
		return d > 0;
	d = (int)ports_count(&a->ep->ports) - (int)ports_count(&b->ep->ports);
	if (d != 0)
		return d < 0;
	d = (a->rule->protos == (POLICY_TCP | POLICY_UDP)) - (b->rule->protos == (POLICY_TCP | POLICY_UDP));
	if (d != 0)
		return d < 0;
	return strcmp(a->rule->id, b->rule->id) < 0;
}

static void keep(const struct policy_entry **slot, const struct policy_entry *entry)
{
	if (is_better(entry, *slot))
		*slot = entry;
}

static bool entry_fits(const struct policy_entry *entry, const struct policy_attempt *a)
{
	return (entry->rule->protos & a->proto) && ports_have(&entry->ep->ports, a->port);
}

/* --- connect ----------------------------------------------------------------- */

/* Whether "*" as an allow takes this party in. */
static bool any_allows(const struct policy_party *peer)
{
	switch (peer->kind) {
	case PARTY_OWN:
	case PARTY_DOMAIN:
	case PARTY_NAME:
		return true;
	case PARTY_ADDR:
		return peer->addr && addr_kind(peer->addr) == ADDR_PUBLIC;
	case PARTY_HOST:
	case PARTY_RESOLVER:
		break;
	}
	return false;
}

static struct host_pattern name_pattern(const char *name)
{
	return (struct host_pattern){ .kind = strchr(name, '.') ? HOST_NAME : HOST_DOMAIN, .name = name };
}

/*
 * What a party can be matched as, one pattern after the other: itself, its
 * names, its address, the IPv4 addresses inside that (for denies alone).
 */
static bool party_pattern(const struct policy_party *peer, size_t i, struct host_pattern *ret,
			  bool *ret_deny_only)
{
	struct addr inner[ADDR_EMBEDDED_MAX];
	const struct addr *a = peer->addr;

	*ret_deny_only = false;
	if (i == 0) {
		ret->kind = peer->kind == PARTY_HOST ? HOST_OUTSIDE : HOST_ANY;
		return true;
	}
	i--;
	if (peer->kind == PARTY_HOST) /* its virtual address says nothing about it */
		return false;
	if (i < peer->n_names) {
		*ret = name_pattern(peer->names[i]);
		return true;
	}
	i -= peer->n_names;
	if (!a)
		return false;
	ret->kind = HOST_PREFIX;
	ret->prefix.bits = 128;
	if (i == 0) {
		ret->prefix.addr = *a;
		return true;
	}
	*ret_deny_only = true;
	if (i - 1 >= addr_embedded(a, inner))
		return false;
	ret->prefix.addr = inner[i - 1];
	return true;
}

static void match_party(const struct policy *p, const struct policy_attempt *a, struct found *f)
{
	const struct policy_entry *entry;
	struct host_pattern h = { 0 };
	struct policy_walk w;
	bool deny_only;

	for (size_t i = 0; party_pattern(&a->peer, i, &h, &deny_only); i++) {
		policy_walk_init(&w, p, &h, i > 0);
		while ((entry = policy_walk_next(&w))) {
			if (!entry_fits(entry, a))
				continue;
			if (!entry->rule->allow)
				keep(&f->deny, entry);
			else if (deny_only ||
				 (entry->ep->host.kind == HOST_ANY && !any_allows(&a->peer)))
				continue;
			else if (entry->ep->host.kind == HOST_PREFIX && a->peer.kind == PARTY_NAME)
				keep(&f->addr_allow, entry);
			else
				keep(&f->allow, entry);
		}
	}
}

static void say(struct policy_verdict *v, bool allow, enum policy_reason reason,
		const struct policy_entry *entry)
{
	v->allow = allow;
	v->reason = reason;
	v->rule = entry ? entry->rule : NULL;
}

/* A rule for 127.0.0.1 is about the domain's own loopback; where a name leads to, it is the machine's. */
static bool is_shut_host(const struct policy *p, const struct policy_attempt *a)
{
	struct policy_attempt host = { .kind = ATTEMPT_CONNECT, .proto = a->proto, .port = a->port,
				       .peer = { .kind = PARTY_HOST } };
	struct found f = { 0 };

	if (a->peer.kind != PARTY_NAME || !a->peer.addr || addr_kind(a->peer.addr) != ADDR_LOOPBACK)
		return false;
	match_party(p, &host, &f);
	return f.deny || !f.allow;
}

static void decide_connect(const struct policy *p, const struct policy_attempt *a,
			   struct policy_verdict *v)
{
	struct found f = { 0 };

	if (a->peer.kind == PARTY_RESOLVER) {
		say(v, a->port == 53, a->port == 53 ? POLICY_BY_OWN : POLICY_BY_DEFAULT, NULL);
		return;
	}
	match_party(p, a, &f);
	if (f.deny)
		say(v, false, POLICY_BY_RULE, f.deny);
	else if (a->peer.kind == PARTY_OWN)
		say(v, true, f.allow ? POLICY_BY_RULE : POLICY_BY_OWN, f.allow);
	else if (!f.allow)
		say(v, false, POLICY_BY_DEFAULT, NULL);
	else if (a->peer.kind == PARTY_NAME && a->peer.addr &&
		 addr_kind(a->peer.addr) != ADDR_PUBLIC && !f.addr_allow)
		say(v, false, POLICY_BY_ADDRESS, f.allow);
	else if (is_shut_host(p, a))
		say(v, false, POLICY_BY_HOST, f.allow);
	else
		say(v, true, POLICY_BY_RULE, f.allow);
	if (v->allow && f.addr_allow)
		v->addr_rule = f.addr_allow->rule;
}

/* The ClientHello of a connection that is allowed otherwise. */
static void decide_tls(const struct policy_attempt *a, struct policy_verdict *v)
{
	const struct policy_rule *rules[] = { v->rule, v->addr_rule };

	for (size_t i = 0; i < 2 && v->allow; i++) {
		const struct policy_rule *r = rules[i];

		if (!r || r->options.n_tls_names == 0 ||
		    (!*a->tls->why && policy_tls_name_allowed(&r->options, a->tls->name)))
			continue;
		*v = (struct policy_verdict){ .reason = POLICY_BY_TLS, .rule = r, .policy = v->policy };
	}
}

/* --- listen and accept ---------------------------------------------------------- */

static bool is_wildcard(const struct addr *a)
{
	return !a || addr_kind(a) == ADDR_UNSPECIFIED;
}

/* A rule's place against where the app listens. A wildcard listener is also at every single address. */
static bool at_fits(const struct policy_entry *entry, const struct policy_attempt *a)
{
	if (!(entry->rule->protos & a->proto))
		return false;
	if (entry->ep->host.kind == HOST_ANY)
		return true;
	if (is_wildcard(a->local))
		return !entry->rule->allow;
	return prefix_match(&entry->ep->host.prefix, a->local);
}

static bool from_has(const struct policy_rule *r, const struct policy_party *peer)
{
	struct addr inner[ADDR_EMBEDDED_MAX];
	size_t n_inner = peer->addr && !r->allow ? addr_embedded(peer->addr, inner) : 0;

	for (size_t i = 0; i < r->n_from; i++) {
		const struct host_pattern *h = &r->from[i];

		if (h->kind == HOST_ANY || (h->kind == HOST_OUTSIDE && peer->kind == PARTY_HOST))
			return true;
		for (size_t j = 0; h->kind == HOST_DOMAIN && j < peer->n_names; j++) {
			if (strcmp(peer->names[j], h->name) == 0)
				return true;
		}
		if (h->kind != HOST_PREFIX || !peer->addr)
			continue;
		if (prefix_match(&h->prefix, peer->addr))
			return true;
		for (size_t j = 0; j < n_inner; j++) {
			if (prefix_match(&h->prefix, &inner[j]))
				return true;
		}
	}
	return false;
}

static void decide_listen(const struct policy *p, const struct policy_attempt *a,
			  struct policy_verdict *v)
{
	const struct policy_entry *entry;
	struct policy_listen_walk w;
	struct found f = { 0 };

	policy_listen_walk_init(&w, p, a->port);
	while ((entry = policy_listen_walk_next(&w))) {
		if (!at_fits(entry, a))
			continue;
		if (entry->rule->allow)
			keep(&f.allow, entry);
		else if (entry->rule->n_from == 0)
			keep(&f.deny, entry);
	}
	if (f.deny)
		say(v, false, POLICY_BY_RULE, f.deny);
	else
		say(v, true, f.allow ? POLICY_BY_RULE : POLICY_BY_OWN, f.allow);
}

static void decide_accept(const struct policy *p, const struct policy_attempt *a,
			  struct policy_verdict *v)
{
	const struct policy_entry *entry;
	struct policy_listen_walk w;
	struct found f = { 0 };
	bool own = a->peer.kind == PARTY_OWN;

	policy_listen_walk_init(&w, p, a->port);
	while ((entry = policy_listen_walk_next(&w))) {
		bool from = from_has(entry->rule, &a->peer);

		if (!at_fits(entry, a))
			continue;
		if (entry->rule->allow && (from || (own && entry->rule->n_from == 0)))
			keep(&f.allow, entry);
		else if (!entry->rule->allow && (from || entry->rule->n_from == 0))
			keep(&f.deny, entry);
	}
	if (f.deny)
		say(v, false, POLICY_BY_RULE, f.deny);
	else if (f.allow)
		say(v, true, POLICY_BY_RULE, f.allow);
	else
		say(v, own, own ? POLICY_BY_OWN : POLICY_BY_DEFAULT, NULL);
}

/* --- look-ups --------------------------------------------------------------------- */

static const struct policy_entry *denied_at(const struct policy *p, const struct policy_attempt *a,
					    unsigned proto, unsigned port)
{
	struct policy_attempt connect = *a;
	struct found f = { 0 };

	connect.kind = ATTEMPT_CONNECT;
	connect.proto = (enum policy_proto)proto;
	connect.port = (uint16_t)port;
	match_party(p, &connect, &f);
	return f.deny;
}

/*
 * Whether a range has a port that no rule denies. Where there is one, one is
 * at the beginning of the range or just behind a denied range. Otherwise
 * ret_deny is the deny at its beginning.
 */
static bool range_open(const struct policy *p, const struct policy_attempt *a, unsigned proto,
		       const struct port_range *range, const struct policy_entry **ret_deny)
{
	const struct policy_entry *entry, *deny = denied_at(p, a, proto, range->lo);
	struct host_pattern h = { 0 };
	struct policy_walk w;
	bool deny_only;

	for (size_t i = 0; deny && party_pattern(&a->peer, i, &h, &deny_only); i++) {
		policy_walk_init(&w, p, &h, i > 0);
		while ((entry = policy_walk_next(&w))) {
			const struct port_set *s = &entry->ep->ports;

			for (size_t j = 0; !entry->rule->allow && j < s->n; j++) {
				unsigned port = s->v[j].hi + 1U;

				if (port > range->lo && port <= range->hi && !denied_at(p, a, proto, port))
					return true;
			}
		}
	}
	*ret_deny = deny;
	return !deny;
}

static bool entry_open(const struct policy *p, const struct policy_attempt *a,
		       const struct policy_entry *entry, const struct policy_entry **ret_deny)
{
	const struct policy_entry *deny = NULL, *first = NULL;

	for (unsigned proto = POLICY_TCP; proto <= POLICY_UDP; proto <<= 1) {
		for (size_t i = 0; (entry->rule->protos & proto) && i < entry->ep->ports.n; i++) {
			if (range_open(p, a, proto, &entry->ep->ports.v[i], &deny))
				return true;
			first = first ? first : deny;
		}
	}
	*ret_deny = first;
	return false;
}

static bool forwards(const struct policy_rule *r, uint16_t type)
{
	for (size_t i = 0; i < r->n_forward; i++)
		if (r->forward[i] == type)
			return true;
	return false;
}

/*
 * A name may be looked up when some port of it may be connected to. What a
 * host name resolves to comes later and does not matter here.
 */
static void decide_resolve(const struct policy *p, const struct policy_attempt *lookup,
			   struct policy_verdict *v)
{
	struct policy_attempt copy = *lookup;
	const struct policy_attempt *a = &copy;
	const struct policy_entry *entry, *deny = NULL, *open = NULL, *shut = NULL;
	struct host_pattern h = { 0 };
	struct policy_walk w;
	bool deny_only;

	if (a->peer.kind == PARTY_OWN || (a->query && a->peer.kind != PARTY_NAME)) {
		say(v, !a->query, a->query ? POLICY_BY_DEFAULT : POLICY_BY_OWN, NULL);
		return;
	}
	if (a->peer.kind == PARTY_NAME)
		copy.peer.addr = NULL;
	for (size_t i = 0; party_pattern(&a->peer, i, &h, &deny_only) && !deny_only; i++) {
		policy_walk_init(&w, p, &h, i > 0);
		while ((entry = policy_walk_next(&w))) {
			enum host_kind kind = entry->ep->host.kind;

			if (!entry->rule->allow || (kind == HOST_ANY && !any_allows(&a->peer)) ||
			    (kind == HOST_PREFIX && a->peer.kind == PARTY_NAME) || !is_better(entry, open) ||
			    (a->query && !forwards(entry->rule, a->query)))
				continue;
			if (entry_open(p, a, entry, &deny))
				open = entry;
			else if (is_better(entry, shut))
				shut = entry, say(v, false, POLICY_BY_RULE, deny);
		}
	}
	if (open)
		say(v, true, POLICY_BY_RULE, open);
	else if (!shut && (deny = denied_at(p, a, POLICY_TCP, a->port ? a->port : 443)))
		say(v, false, POLICY_BY_RULE, deny);
	else if (!shut)
		say(v, false, POLICY_BY_DEFAULT, NULL);
}

/* --- all of it ---------------------------------------------------------------------- */

/* Under "loopback" the kernel's own loopback serves; nothing else is there. */
static bool is_own_loopback(const struct policy_attempt *a)
{
	const struct addr *at = a->kind == ATTEMPT_CONNECT ? a->peer.addr : a->local;

	if (a->kind != ATTEMPT_LISTEN && a->peer.kind != PARTY_OWN)
		return false;
	return is_wildcard(at) || addr_kind(at) == ADDR_LOOPBACK;
}

void policy_decide(const struct policy *p, const struct policy_attempt *a,
		   struct policy_verdict *ret)
{
	struct policy_verdict v = { .policy = p };

	if (p->net == POLICY_NET_NONE) {
		say(&v, false, POLICY_BY_NET_NONE, NULL);
	} else if (p->net == POLICY_NET_LOOPBACK) {
		bool own = is_own_loopback(a);

		say(&v, own, own ? POLICY_BY_OWN : POLICY_BY_NET_LOOPBACK, NULL);
	} else if (a->kind == ATTEMPT_CONNECT) {
		decide_connect(p, a, &v);
		if (a->tls)
			decide_tls(a, &v);
	} else if (a->kind == ATTEMPT_LISTEN) {
		decide_listen(p, a, &v);
	} else if (a->kind == ATTEMPT_ACCEPT) {
		decide_accept(p, a, &v);
	} else {
		decide_resolve(p, a, &v);
	}
	*ret = v;
}

void policy_decide_bounded(const struct policy *p, const struct policy *ceiling,
			   const struct policy_attempt *a, struct policy_verdict *ret)
{
	struct policy_verdict v;

	policy_decide(p, a, ret);
	if (!ret->allow || !ceiling)
		return;
	policy_decide(ceiling, a, &v);
	if (!v.allow)
		*ret = v;
}

static struct policy_party party_of(const struct policy_side *s)
{
	return (struct policy_party){
		.kind = PARTY_DOMAIN,
		.names = s->names ? s->names : s->policy->names,
		.n_names = s->names ? s->n_names : s->policy->n_names,
		.addr = s->addr,
	};
}

void policy_decide_pair(const struct policy_side *client, const struct policy_side *server,
			enum policy_proto proto, uint16_t port, struct policy_pair_verdict *ret)
{
	struct policy_attempt out = { .kind = ATTEMPT_CONNECT, .proto = proto, .port = port,
				      .peer = party_of(server) };
	struct policy_attempt in = { .kind = ATTEMPT_ACCEPT, .proto = proto, .port = port,
				     .peer = party_of(client), .local = server->addr };

	policy_decide_bounded(client->policy, client->ceiling, &out, &ret->client);
	policy_decide_bounded(server->policy, server->ceiling, &in, &ret->server);
	if (ret->client.allow && ret->server.allow && proto == POLICY_TCP &&
	    client->policy->transport != server->policy->transport)
		ret->client = (struct policy_verdict){ .reason = POLICY_BY_TRANSPORT, .policy = client->policy };
	ret->allow = ret->client.allow && ret->server.allow;
}

/* --- what follows from a verdict -------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static void restrict_options(struct policy_options *o, const struct policy_options *more)
{
	o->rate = least(o->rate, more->rate);
	o->burst = least(o->burst, more->burst);
	o->max_bytes = least(o->max_bytes, more->max_bytes);
	o->max_connections = (uint32_t)least(o->max_connections, more->max_connections);
	if (o->record == POLICY_RECORD_NONE) {
		o->record = more->record;
		o->record_file = more->record_file;
	}
	if (!o->n_tls_names) {
		o->tls_names = more->tls_names;
		o->n_tls_names = more->n_tls_names;
	}
}

void policy_verdict_options(const struct policy_verdict *v, struct policy_options *ret)
{
	struct policy_options o = { 0 };

	if (v->allow && v->rule)
		o = v->rule->options;
	if (v->allow && v->addr_rule)
		restrict_options(&o, &v->addr_rule->options);
	*ret = o;
}

void policy_bounded_options(const struct policy *p, const struct policy *ceiling, const struct policy_attempt *a,
			    struct policy_options *ret)
{
	struct policy_verdict v;
	struct policy_options more;

	policy_decide(p, a, &v);
	policy_verdict_options(&v, ret);
	if (!ceiling)
		return;
	policy_decide(ceiling, a, &v);
	policy_verdict_options(&v, &more);
	restrict_options(ret, &more);
}

enum policy_on_deny policy_verdict_on_deny(const struct policy_verdict *v, bool own)
{
	enum policy_on_deny d = POLICY_DENY_INHERIT;

	if (v->rule && !v->rule->allow)
		d = v->rule->on_deny;
	if (d == POLICY_DENY_INHERIT)
		d = v->policy->on_deny;
	return d == POLICY_DENY_KILL && !own ? POLICY_DENY_EACCES : d;
}

int policy_verdict_errno(const struct policy_verdict *v, bool own)
{
	switch (policy_verdict_on_deny(v, own)) {
	case POLICY_DENY_ECONNREFUSED:
		return ECONNREFUSED;
	case POLICY_DENY_EHOSTUNREACH:
		return EHOSTUNREACH;
	case POLICY_DENY_KILL:
		return 0;
	case POLICY_DENY_EACCES:
	case POLICY_DENY_INHERIT:
		break;
	}
	return EACCES;
}

bool policy_tls_name_allowed(const struct policy_options *o, const char *name)
{
	for (size_t i = 0; i < o->n_tls_names; i++) {
		const char *n = o->tls_names[i];

		if (strncmp(n, "*.", 2) == 0 ? name_is_below(name, n + 2) : strcmp(n, name) == 0)
			return true;
	}
	return o->n_tls_names == 0;
}
