/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random policies and attempts in a small world, so that they often meet.
 * Rules are made of texts; what these mean is not looked at here.
 */
#ifndef VRUN_TESTS_POLICY_GEN_H
#define VRUN_TESTS_POLICY_GEN_H

#include <stdint.h>
#include <stdlib.h>

#include "model/policy_decide.h"
#include "tap.h"

#define RULES_MAX 14

static uint64_t state;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(state >> 33) % n;
}
#define PICK(list) (list)[pick(sizeof(list) / sizeof *(list))]

/* --- the world ------------------------------------------------------------------ */

static const char *const hosts[] = {
	"*", "host", "web", "a", "b", "x.example", "a.x.example", "b.a.x.example", "y.example",
	"*.x.example", "*.a.x.example", "*.example", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3",
	"0.0.0.0/0", "127.0.0.0/8", "127.0.0.1", "192.0.2.0/24", "[::/0]", "[2001:db8::/32]",
	"[2001:db8::5]", "[fd00::/8]", "[64:ff9b::/96]", "169.254.169.254", "10.88.0.10",
};
static const char *const froms[] = {
	"*", "host", "web", "a", "b", "10.0.0.0/8", "10.1.2.3", "192.0.2.0/24", "[2001:db8::/32]",
};
static const struct {
	const char *text;
	unsigned v[4]; /* one or two ranges */
} ports[] = {
	{ "*", { 1, 65535 } },    { "80", { 80, 80 } },     { "443", { 443, 443 } },
	{ "80-90", { 80, 90 } },  { "85-100", { 85, 100 } }, { "80,443", { 80, 80, 443, 443 } },
	{ "1-79", { 1, 79 } },    { "91-65535", { 91, 65535 } },
};
static const char *const ats[] = { "", "10.88.0.10", "127.0.0.1", "[::1]" };
static const unsigned probes[] = { 1, 79, 80, 81, 85, 90, 91, 100, 101, 442, 443, 444, 65535 };

static const struct place {
	const char *text, *inner; /* inner: the IPv4 address that it carries */
	bool public;
} places[] = {
	{ "10.1.2.3", NULL, false },        { "10.1.9.9", NULL, false },
	{ "10.200.0.1", NULL, false },      { "192.0.2.7", NULL, true },
	{ "203.0.113.9", NULL, true },      { "127.0.0.1", NULL, false },
	{ "169.254.169.254", NULL, false }, { "2001:db8::5", NULL, true },
	{ "2001:db8:1::5", NULL, true },    { "fd00::5", NULL, false },
	{ "64:ff9b::a01:203", "10.1.2.3", false }, { "64:ff9b::c000:207", "192.0.2.7", true },
	{ "2002:c000:207::1", "192.0.2.7", true },
};

struct rule {
	const char *host, *from[2]; /* host: of "to", or the address of "at" */
	unsigned n_from, port, protos;
	bool allow, connect;
};

/* An attempt in texts. */
struct try {
	enum attempt_kind kind;
	enum party_kind party;
	const char *names[2];
	unsigned n_names;
	const struct place *at; /* the peer's address, or NULL */
	const char *local;      /* "" for the wildcard */
	unsigned proto, port;
};

/* --- making policies and attempts ---------------------------------------------------- */

static struct rule random_rule(void)
{
	static const unsigned protos[] = { POLICY_TCP, POLICY_TCP, POLICY_UDP, POLICY_TCP | POLICY_UDP };
	struct rule r = { .allow = pick(3) > 0, .connect = pick(3) > 0 };

	r.port = pick(sizeof ports / sizeof *ports);
	r.protos = PICK(protos);
	if (r.connect) {
		r.host = PICK(hosts);
		return r;
	}
	r.host = PICK(ats);
	for (r.n_from = 0; r.n_from < 2 && pick(3) > 0; r.n_from++)
		r.from[r.n_from] = PICK(froms);
	return r;
}

static char *policy_json(const struct rule *v, unsigned n, bool reversed, const char *extra)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	fprintf(f, "{\"version\":1,\"domain\":\"web\",\"net\":{\"address\":[\"10.88.0.10\"],\"rules\":[");
	for (unsigned k = 0; k < n; k++) {
		const struct rule *r = &v[reversed ? n - 1 - k : k];

		fprintf(f, "%s{\"%s\":\"%s\",\"%s\":\"%s:%s\"", k ? "," : "", r->allow ? "allow" : "deny",
			r->connect ? "connect" : "listen", r->connect ? "to" : "at", r->host,
			ports[r->port].text);
		fprintf(f, ",\"proto\":%s", r->protos == POLICY_TCP ? "\"tcp\"" :
					    r->protos == POLICY_UDP ? "[\"udp\"]" :
								      "[\"udp\",\"tcp\"]");
		if (r->n_from)
			fprintf(f, ",\"from\":[\"%s\"", r->from[0]);
		if (r->n_from == 2)
			fprintf(f, ",\"%s\"", r->from[1]);
		fprintf(f, "%s}", r->n_from ? "]" : "");
	}
	if (extra)
		fprintf(f, "%s%s", n ? "," : "", extra);
	fprintf(f, "]}}");
	if (fclose(f) != 0)
		abort();
	return text;
}

static int load(struct policy *p, const char *text, struct err *e)
{
	struct json_doc doc;
	int rc = json_doc_parse(&doc, "random.json", text, strlen(text), e);

	if (rc < 0)
		return rc;
	rc = policy_read(p, &doc, NULL, e);
	json_doc_fini(&doc);
	return rc;
}

/* Rules that the loader takes together: it refuses what is shadowed or double. */
static unsigned random_policy(struct rule *v)
{
	unsigned want = pick(RULES_MAX), n = 0;

	for (unsigned i = 0; i < want * 2 && n < want; i++) {
		struct policy p;
		struct err e;
		char *text;

		v[n] = random_rule();
		text = policy_json(v, n + 1, false, NULL);
		if (load(&p, text, &e) == 0) {
			n++;
			policy_fini(&p);
		}
		free(text);
	}
	return n;
}

static struct try random_try(void)
{
	static const char *const names[] = { "x.example", "a.x.example", "b.a.x.example", "y.example",
					     "z.y.example", "q.test" };
	static const enum attempt_kind kinds[] = { ATTEMPT_CONNECT, ATTEMPT_CONNECT, ATTEMPT_CONNECT,
						   ATTEMPT_LISTEN,  ATTEMPT_ACCEPT,  ATTEMPT_RESOLVE };
	static const char *const locals[] = { "", "10.88.0.10", "127.0.0.1", "::1" };
	struct try t = { .kind = PICK(kinds), .party = (enum party_kind)pick(5), .local = PICK(locals) };

	/* Nobody comes in by a host name, and an address is not looked up. */
	if (t.kind == ATTEMPT_ACCEPT && t.party == PARTY_NAME)
		t.party = PARTY_DOMAIN;
	if (t.kind == ATTEMPT_RESOLVE && t.party == PARTY_ADDR)
		t.party = PARTY_NAME;
	t.proto = 1 + pick(2);
	t.port = PICK(probes);
	if (pick(4))
		t.at = &PICK(places);
	switch (t.party) {
	case PARTY_OWN:
		t.names[t.n_names++] = "web";
		break;
	case PARTY_DOMAIN:
		t.names[t.n_names++] = pick(2) ? "a" : "c";
		if (pick(3) == 0)
			t.names[t.n_names++] = "b";
		break;
	case PARTY_NAME:
		t.names[t.n_names++] = PICK(names);
		break;
	case PARTY_ADDR:
		t.at = &PICK(places);
		break;
	case PARTY_HOST:
	case PARTY_RESOLVER:
		break;
	}
	return t;
}

struct real {
	struct policy_attempt a;
	struct addr peer, local;
};

static void make_real(const struct try *t, struct real *r)
{
	struct err e;

	*r = (struct real){ .a = { .kind = t->kind, .proto = (enum policy_proto)t->proto,
				   .port = (uint16_t)t->port } };
	r->a.peer = (struct policy_party){ .kind = t->party, .names = t->names, .n_names = t->n_names };
	if (t->at) {
		if (addr_parse(t->at->text, &r->peer, &e) < 0)
			abort();
		r->a.peer.addr = &r->peer;
	}
	if (*t->local) {
		if (addr_parse(t->local, &r->local, &e) < 0)
			abort();
		r->a.local = &r->local;
	}
}

/* VRUN_SEED=N repeats another run; the seed is in the output. */
static void seed_random(void)
{
	const char *seed = getenv("VRUN_SEED");

	state = seed ? strtoull(seed, NULL, 0) : 20240229;
	printf("# seed %llu\n", (unsigned long long)state);
}

#endif
