/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_attempt.h"

#include <string.h>

#include "base/log.h"
#include "model/policy_reach.h"
#include "model/clienthello.h"

static bool has_name(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_names; i++) {
		if (strcmp(p->names[i], name) == 0)
			return true;
	}
	return false;
}

static bool has_addr(const struct policy *p, const struct addr *a)
{
	for (size_t i = 0; i < p->n_addresses; i++) {
		if (addr_equal(&p->addresses[i], a))
			return true;
	}
	return false;
}

static void be_domain(struct attempt *at, const struct policy *other)
{
	struct policy_party *peer = &at->a.peer;

	at->other = other;
	peer->kind = PARTY_DOMAIN;
	peer->names = other->names;
	peer->n_names = other->n_names;
	if (!peer->addr && other->n_addresses)
		peer->addr = &other->addresses[0];
}

/* Of a domain's names, the one that was asked for is the one that answers show. */
static void put_asked_first(struct attempt *at)
{
	struct policy_party *peer = &at->a.peer;
	size_t n = 0;

	if (peer->n_names > ATTEMPT_NAMES_MAX)
		return;
	at->name_list[n++] = at->name;
	for (size_t i = 0; i < peer->n_names && n < peer->n_names; i++) {
		if (strcmp(peer->names[i], at->name) != 0)
			at->name_list[n++] = peer->names[i];
	}
	peer->names = at->name_list;
}

static void be_self(struct attempt *at, const struct policy *self)
{
	at->a.peer.kind = PARTY_OWN;
	at->a.peer.names = self->names;
	at->a.peer.n_names = self->n_names;
}

static void party_by_name(struct attempt *at, const struct fabric *f)
{
	struct policy_party *peer = &at->a.peer;

	if (has_name(f->self, at->name)) {
		be_self(at, f->self);
		if (f->self->n_addresses)
			peer->addr = &f->self->addresses[0];
		return;
	}
	at->name_list[0] = at->name;
	peer->names = at->name_list;
	peer->n_names = 1;
	peer->kind = strchr(at->name, '.') ? PARTY_NAME : PARTY_DOMAIN;
	for (size_t i = 0; peer->kind == PARTY_DOMAIN && i < f->n_others; i++) {
		if (!has_name(f->others[i], at->name))
			continue;
		be_domain(at, f->others[i]);
		put_asked_first(at);
		return;
	}
}

static int party_by_addr(struct attempt *at, const struct fabric *f, struct err *e)
{
	struct policy_party *peer = &at->a.peer;
	const struct policy *p = f->self;
	struct addr *a = &at->peer_addr;
	char text[ADDR_TEXT_MAX];

	if (addr_kind(a) == ADDR_UNSPECIFIED && addr_is_v4(a))
		*a = addr_v4(127, 0, 0, 1); /* as Linux takes 0.0.0.0 and :: */
	else if (addr_kind(a) == ADDR_UNSPECIFIED)
		a->b[15] = 1;
	peer->addr = a;
	if (addr_kind(a) == ADDR_LOOPBACK || has_addr(p, a)) {
		be_self(at, p);
		return 0;
	}
	for (size_t i = 0; i < f->n_others; i++) {
		if (!has_addr(f->others[i], a))
			continue;
		be_domain(at, f->others[i]);
		return 0;
	}
	for (int v4 = 0; v4 < 2; v4++) {
		struct addr resolver = policy_resolver_addr(p, v4), host = policy_host_addr(p, v4);

		if (addr_equal(a, &resolver) || addr_equal(a, &host)) {
			peer->kind = addr_equal(a, &host) ? PARTY_HOST : PARTY_RESOLVER;
			return 0;
		}
	}
	if (prefix_match(&p->resolver.pool4, a) || prefix_match(&p->resolver.pool6, a)) {
		(void)err_set(e, EINVAL, "%s lies in the resolver's pool, where addresses stand for names",
			      addr_format(a, text, sizeof text));
		return err_hint(e, "ask by the name");
	}
	peer->kind = PARTY_ADDR;
	return 0;
}

/* A party from what endpoint_parse() or host_parse() read. */
static int set_party(struct attempt *at, const struct fabric *f, const struct host_pattern *h,
		     const char *text, struct err *e)
{
	char quoted[160];

	switch (h->kind) {
	case HOST_OUTSIDE:
		at->a.peer.kind = PARTY_HOST;
		return 0;
	case HOST_DOMAIN:
	case HOST_NAME:
		memcpy(at->name, h->name, strlen(h->name) + 1); /* name_parse() bounds it */
		party_by_name(at, f);
		return 0;
	case HOST_PREFIX:
		if (h->prefix.bits != 128)
			break;
		at->peer_addr = h->prefix.addr;
		return party_by_addr(at, f, e);
	case HOST_ANY:
	case HOST_WILDCARD:
		break;
	}
	return err_set(e, EINVAL, "\"%s\" is not one host", log_quote(quoted, sizeof quoted, text));
}

static int single_port(const struct port_set *s, const char *text, uint16_t *ret, struct err *e)
{
	char quoted[160];

	if (ports_count(s) != 1)
		return err_set(e, EINVAL, "\"%s\" is not one port", log_quote(quoted, sizeof quoted, text));
	*ret = s->v[0].lo;
	return 0;
}

/* "localhost" is no word of the policy's language, and people write it all the same. */
static const char *spell_localhost(const char *text, char *buf, size_t size)
{
	const char *tail = text + strlen("localhost");

	if (strncasecmp(text, "localhost", strlen("localhost")) != 0 || (*tail && *tail != ':'))
		return text;
	(void)snprintf(buf, size, "127.0.0.1%s", tail);
	return buf;
}

int attempt_connect(struct attempt *at, const struct fabric *f, const char *to, const char *resolved,
		    enum policy_proto proto, struct err *e)
{
	struct arena arena = { 0 };
	struct endpoint ep;
	char buf[64];
	int rc;

	*at = (struct attempt){ .a = { .kind = ATTEMPT_CONNECT, .proto = proto } };
	rc = endpoint_parse(spell_localhost(to, buf, sizeof buf), &arena, &ep, e);
	if (rc == 0)
		rc = single_port(&ep.ports, to, &at->a.port, e);
	if (rc == 0)
		rc = set_party(at, f, &ep.host, to, e);
	arena_fini(&arena);
	if (rc < 0 || !resolved)
		return rc;
	if (at->a.peer.kind != PARTY_NAME)
		return err_set(e, EINVAL, "only a host name resolves to an address");
	rc = addr_parse(resolved, &at->peer_addr, e);
	at->a.peer.addr = &at->peer_addr;
	return rc;
}

int attempt_tls(struct attempt *at, const char *name, struct err *e)
{
	int rc = *name ? name_parse(name, at->tls_name, NULL, e) : 0;

	if (rc == 0 && (at->a.kind != ATTEMPT_CONNECT || at->a.proto != POLICY_TCP))
		return err_set(e, EINVAL, "only TLS over TCP shows its server name");
	at->tls = (struct policy_tls){ at->tls_name, *name ? "" : hello_why(HELLO_NO_NAME) };
	at->a.tls = &at->tls;
	return rc;
}

static int set_local(struct attempt *at, const char *local, struct err *e)
{
	struct arena arena = { 0 };
	struct endpoint ep;
	int rc = endpoint_parse_local(local, &arena, &ep, e);

	if (rc == 0)
		rc = single_port(&ep.ports, local, &at->a.port, e);
	if (rc == 0 && ep.host.kind == HOST_PREFIX) {
		at->local_addr = ep.host.prefix.addr;
		at->a.local = &at->local_addr;
	}
	arena_fini(&arena);
	return rc;
}

static int check_local(const struct attempt *at, const struct policy *p, struct err *e)
{
	char text[ADDR_TEXT_MAX];

	if (!at->a.local || addr_kind(at->a.local) == ADDR_LOOPBACK || has_addr(p, at->a.local) ||
	    p->n_addresses == 0)
		return 0;
	return err_set(e, EINVAL, "%s is not an address of the domain",
		       addr_format(at->a.local, text, sizeof text));
}

int attempt_listen(struct attempt *at, const struct fabric *f, const char *local,
		   enum policy_proto proto, struct err *e)
{
	int rc;

	*at = (struct attempt){ .a = { .kind = ATTEMPT_LISTEN, .proto = proto } };
	be_self(at, f->self);
	rc = set_local(at, local, e);
	return rc < 0 ? rc : check_local(at, f->self, e);
}

int attempt_accept(struct attempt *at, const struct fabric *f, const char *from, const char *local,
		   enum policy_proto proto, struct err *e)
{
	struct arena arena = { 0 };
	struct host_pattern h;
	char buf[64];
	int rc;

	*at = (struct attempt){ .a = { .kind = ATTEMPT_ACCEPT, .proto = proto } };
	rc = host_parse(spell_localhost(from, buf, sizeof buf), &arena, &h, e);
	if (rc == 0)
		rc = set_party(at, f, &h, from, e);
	arena_fini(&arena);
	if (rc == 0 && at->a.peer.kind == PARTY_NAME) {
		(void)err_set(e, EINVAL, "who comes in is known by address, not by host name");
		return err_hint(e, "give a domain's name, \"host\" or an address");
	}
	if (rc == 0)
		rc = set_local(at, local, e);
	return rc < 0 ? rc : check_local(at, f->self, e);
}

int attempt_resolve(struct attempt *at, const struct fabric *f, const char *name, struct err *e)
{
	struct arena arena = { 0 };
	struct host_pattern h;
	char buf[64];
	int rc;

	*at = (struct attempt){ .a = { .kind = ATTEMPT_RESOLVE, .proto = POLICY_TCP } };
	rc = host_parse(spell_localhost(name, buf, sizeof buf), &arena, &h, e);
	if (rc == 0)
		rc = set_party(at, f, &h, name, e);
	arena_fini(&arena);
	return rc;
}

int attempt_query(struct attempt *at, const char *type, struct err *e)
{
	char quoted[64];

	at->a.query = policy_query_type_find(type);
	if (at->a.query && at->a.kind == ATTEMPT_RESOLVE && at->a.peer.kind == PARTY_NAME)
		return 0;
	if (at->a.query)
		return err_set(e, EINVAL, "only host names have records that can be forwarded");
	(void)err_set(e, EINVAL, "%s is no query type that can be forwarded", log_quote(quoted, sizeof quoted, type));
	return err_hint(e, "addresses are asked for without a type; others are MX, TXT, SRV, HTTPS ...");
}

/* The address that a domain uses towards another: one of its family. */
static const struct addr *address_towards(const struct policy *p, const struct addr *other)
{
	for (size_t i = 0; other && i < p->n_addresses; i++)
		if (addr_is_v4(&p->addresses[i]) == addr_is_v4(other))
			return &p->addresses[i];
	return other || p->n_addresses == 0 ? NULL : &p->addresses[0];
}

static const struct policy *ceiling_of(const struct fabric *f, const struct policy *other)
{
	for (size_t i = 0; f->ceilings && i < f->n_others; i++)
		if (f->others[i] == other)
			return f->ceilings[i];
	return NULL;
}

/* As a run does: the name is asked about before it is looked up, and its address then. */
static void decide_alone(const struct fabric *f, const struct policy_attempt *a, struct policy_verdict *ret)
{
	struct policy_attempt bare = *a;

	if (a->peer.kind == PARTY_NAME && a->peer.addr) {
		bare.peer.addr = NULL;
		bare.tls = NULL;
		policy_decide_bounded(f->self, f->ceiling, &bare, ret);
		if (!ret->allow)
			return;
	}
	policy_decide_bounded(f->self, f->ceiling, a, ret);
}

int attempt_is_unknown(const struct attempt *at, const struct fabric *f, const struct addr *addr, bool *ret,
		       struct err *e)
{
	static const enum policy_proto protos[] = { POLICY_TCP, POLICY_UDP };
	struct policy_attempt a = { .kind = ATTEMPT_RESOLVE, .proto = POLICY_TCP, .peer = at->a.peer };
	struct policy_verdict v;
	struct port_set open;
	int rc = 0;

	*ret = false;
	/* Who writes the machine's address asks nobody for its name. */
	if (a.peer.kind != PARTY_NAME && (a.peer.kind != PARTY_HOST || a.peer.addr))
		return 0;
	a.peer.addr = NULL;
	policy_decide_bounded(f->self, f->ceiling, &a, &v);
	*ret = !v.allow || addr;
	a.kind = ATTEMPT_CONNECT;
	a.peer.addr = addr;
	for (size_t i = 0; rc == 0 && v.allow && *ret && i < 2; i++) {
		struct arena arena = { 0 };

		a.proto = protos[i];
		rc = policy_reach(f->self, f->ceiling, &a, &arena, &open, e);
		*ret = rc == 0 && open.n == 0;
		arena_fini(&arena);
	}
	return rc;
}

void attempt_decide(const struct attempt *at, const struct fabric *f,
		    struct policy_pair_verdict *ret, bool *ret_both)
{
	const struct policy_attempt *a = &at->a;
	struct policy_pair_verdict v;
	bool connect = a->kind == ATTEMPT_CONNECT;
	bool both = at->other && (connect || a->kind == ATTEMPT_ACCEPT);
	struct policy_side self = { .policy = f->self, .ceiling = f->ceiling };
	struct policy_side other = { .policy = at->other,
				     .ceiling = ceiling_of(f, at->other),
				     .addr = a->peer.addr };

	if (both) {
		self.addr = a->local ? a->local : address_towards(f->self, a->peer.addr);
		if (connect)
			policy_decide_pair(&self, &other, a->proto, a->port, &v);
		else
			policy_decide_pair(&other, &self, a->proto, a->port, &v);
	} else {
		decide_alone(f, a, &v.client);
		v.server = v.client;
		v.allow = v.client.allow;
	}
	*ret = v;
	if (ret_both)
		*ret_both = both;
}
