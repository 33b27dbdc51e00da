/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What names are for a domain: its own and localhost; those of other domains
 * of the fabric that some rule of its policy lets it connect to at some port;
 * "host" and names outside that it may connect to, as virtual addresses (names.h);
 * its hostname, where that is none of these; nothing else. So a name that is denied
 * and one that is not there look the same.
 */
#include <stdio.h>
#include <string.h>

#include "sup/resolver.h"
#include "sup/sup.h"

static void add(struct lookup *l, const struct addr *a)
{
	if (l->what == LOOKUP_NAME && addr_is_v4(a) != l->v6 && l->n < LOOKUP_ADDRESSES_MAX)
		l->addresses[l->n++] = *a;
}

static void add_all(struct lookup *l, const struct domain *d)
{
	l->result = LOOKUP_FOUND;
	for (size_t i = 0; i < d->n_virtual; i++)
		add(l, &d->virtual[i]);
}

static bool has_name(const struct domain *d, const char *name)
{
	for (size_t i = 0; i < d->n_names; i++)
		if (strcmp(d->names[i], name) == 0)
			return true;
	return false;
}

static struct domain *find_name(struct sup *s, const char *name)
{
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link)
		if (has_name(d, name))
			return d;
	return NULL;
}

static bool decide(const struct domain *d, struct policy_attempt *a, struct policy_verdict *ret)
{
	policy_decide_bounded(&d->policy, domain_ceiling(d), a, ret);
	return ret->allow;
}

/* By any of its names, or by any of its addresses. */
bool lookup_may_know(const struct domain *d, const struct domain *other)
{
	struct policy_attempt a = { .kind = ATTEMPT_RESOLVE, .proto = POLICY_TCP };
	struct policy_verdict v;

	for (size_t i = 0; i < other->n_virtual; i++) {
		a.peer = domain_party(other, &other->virtual[i]);
		if (decide(d, &a, &v))
			return true;
	}
	return false;
}

/* Each name once: whoever looks one up tries again, in other spellings and for other types. */
bool lookup_is_news(struct domain *d, const char *name)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (const char *p = name; *p; p++)
		hash = (hash ^ (uint8_t)*p) * UINT64_C(1099511628211);
	for (size_t i = 0; i < DOMAIN_UNKNOWN_MAX; i++)
		if (d->unknown[i] == hash)
			return false;
	d->unknown[d->next_unknown++ % DOMAIN_UNKNOWN_MAX] = hash;
	return true;
}

static void add_host(const struct domain *d, struct lookup *l)
{
	const struct addr host4 = policy_host_addr(&d->policy, true);
	const struct addr host6 = policy_host_addr(&d->policy, false);

	l->result = LOOKUP_FOUND;
	add(l, &host4);
	add(l, &host6);
}

/*
 * Where everything that is tried is on record, a name that is denied has
 * addresses all the same: what is denied next says for which port it was.
 * Nobody outside is asked.
 */
static void pretend(struct domain *d, struct lookup *l, enum party_kind kind)
{
	l->why = LOOKUP_WHY_NONE;
	if (kind == PARTY_HOST)
		add_host(d, l);
	else if (kind == PARTY_NAME)
		names_pretend(d, l);
}

/*
 * A name that is none of the fabric's. Whether it has to be asked for outside;
 * else it stands for nothing: on record unless a rule speaks of it, as of a domain
 * that is not there yet.
 */
static bool unknown(struct domain *d, struct lookup *l, enum party_kind kind)
{
	const char *name = l->name;
	struct policy_attempt a = { .kind = ATTEMPT_RESOLVE,
				    .proto = POLICY_TCP,
				    .peer = { .kind = kind, .names = &name, .n_names = 1 } };
	struct policy_verdict v;
	struct audit_record r = { .domain = d, .call = "resolve", .attempt = &a, .verdict = &v };
	bool allow = decide(d, &a, &v);

	if (allow && kind != PARTY_HOST)
		attempts_looked_up(d, &a, &v);
	if (allow && kind == PARTY_NAME)
		return true;
	if (allow && kind == PARTY_HOST) {
		add_host(d, l);
		return false;
	}
	if (!allow && kind != PARTY_HOST && d->hostname && strcmp(d->hostname, name) == 0) {
		add_all(l, d);
		return false;
	}
	l->result = LOOKUP_UNKNOWN;
	if (!allow)
		l->why = LOOKUP_WHY_BLOCKED;
	if (!allow && lookup_is_news(d, name) && domain_may_record(d))
		sup_audit(d, &r);
	if (!allow && d->attempts && v.reason != POLICY_BY_RULE)
		pretend(d, l, kind);
	return false;
}

/* Whatever the policy says, there is none: but it is on record as any other that is denied. */
static void nobody(struct domain *d, struct lookup *l)
{
	const char *name = l->name;
	struct policy_attempt a = { .kind = ATTEMPT_RESOLVE,
				    .proto = POLICY_TCP,
				    .peer = { .kind = PARTY_NAME, .names = &name, .n_names = 1 } };
	struct policy_verdict v;
	struct audit_record r = { .domain = d, .call = "resolve", .attempt = &a, .verdict = &v };

	for (char *p = l->name; *p; p++) /* as the resolver is not believed */
		if (*p <= ' ' || *p > '~' || *p == '\\')
			*p = '?';
	if (decide(d, &a, &v))
		return;
	l->why = LOOKUP_WHY_BLOCKED;
	if (lookup_is_news(d, name) && domain_may_record(d))
		sup_audit(d, &r);
}

static bool is_localhost(const char *name)
{
	return strcmp(name, "localhost") == 0 || name_is_below(name, "localhost");
}

/* False: it has to be asked for outside. */
static bool by_name(struct sup *s, struct domain *d, struct lookup *l)
{
	const struct addr loopback4 = addr_v4(127, 0, 0, 1), loopback6 = { { [15] = 1 } };
	struct domain *other = find_name(s, l->name);
	bool single = !strchr(l->name, '.');

	if (is_localhost(l->name)) { /* RFC 6761, 6.3 */
		l->result = LOOKUP_FOUND;
		add(l, &loopback4);
		add(l, &loopback6);
	} else if (other && (other == d || lookup_may_know(d, other))) {
		add_all(l, other);
	} else if (other && d->attempts) {
		(void)unknown(d, l, PARTY_DOMAIN);
		add_all(l, other);
	} else if (strcmp(l->name, "host") == 0) {
		return !unknown(d, l, PARTY_HOST);
	} else {
		return !unknown(d, l, single ? PARTY_DOMAIN : PARTY_NAME);
	}
	return true;
}

static void by_address(struct sup *s, struct domain *d, struct lookup *l)
{
	const struct addr a = l->addresses[0];
	const struct domain *other = domain_owns(d, &a) ? d : domain_find(s, &a);
	const char *name = NULL;

	l->n = 0;
	if (addr_kind(&a) == ADDR_LOOPBACK)
		name = "localhost";
	else if (names_in_pool(d, &a))
		name = names_is_host(d, &a) ? "host" : names_find(d, &a);
	else if (other && (other == d || lookup_may_know(d, other)) && other->n_names)
		name = other->names[0];
	l->result = name ? LOOKUP_FOUND : LOOKUP_UNKNOWN;
	(void)snprintf(l->name, sizeof l->name, "%s", name ? name : "");
}

/* Other records of a name outside: where a rule says so, they are asked for; else there are none. */
static bool is_forwarded(const struct domain *d, const struct lookup *l)
{
	const char *name = l->name;
	struct policy_attempt a = { .kind = ATTEMPT_RESOLVE,
				    .proto = POLICY_TCP,
				    .query = l->type,
				    .peer = { .kind = PARTY_NAME, .names = &name, .n_names = 1 } };
	struct policy_verdict v;

	return l->what == LOOKUP_EXISTS && l->type && decide(d, &a, &v);
}

bool lookup_answer(struct sup *s, struct domain *d, struct lookup *l)
{
	char name[NAME_TEXT_MAX];
	struct addr literal;

	l->ttl = d->policy.resolver.ttl;
	l->why = LOOKUP_WHY_NONE;
	if (l->what == LOOKUP_REVERSE) {
		by_address(s, d, l);
		return true;
	}
	l->n = 0;
	l->size = 0;
	l->result = LOOKUP_UNKNOWN;
	/* Some libraries ask before they look at it. There is no such name, and connecting is decided on. */
	if (addr_parse(l->name, &literal, NULL) == 0)
		return true;
	if (l->what == LOOKUP_NOBODY) {
		nobody(d, l);
		return true;
	}
	/* The resolver is not believed to have brought it into its one form. */
	if (name_parse(l->name, name, NULL, NULL) < 0 || (l->what != LOOKUP_NAME && l->what != LOOKUP_EXISTS))
		return true;
	memcpy(l->name, name, sizeof name);
	if (by_name(s, d, l))
		return true;
	if (is_forwarded(d, l))
		names_query(s, d, l);
	else
		names_ask(s, d, l);
	return false;
}
