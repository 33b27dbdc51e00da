/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_diff(): by examples, and against random pairs: wherever two policies
 * decide an attempt differently, a change must say so, and every change must
 * be true.
 */
#include "model/policy_diff.h"
#include "policy-gen.h"

#define PAIRS 300
#define ATTEMPTS 120

static struct err err;

static bool load_or_complain(struct policy *p, const char *text)
{
	bool ok = load(p, text, &err) == 0;

	if (!TAP_OK(ok, "loads"))
		printf("# %s\n# %s\n", err.text, text);
	return ok;
}

#define DOC(rules) "{\"version\":1,\"domain\":\"web\",\"net\":{\"rules\":[" rules "]}}"

static void test_examples(void)
{
	static const struct {
		const char *a, *b;
		const char *changes[6]; /* the first character is the kind: + - ~ =; or ! for none that begins so */
	} v[] = {
		{ DOC(""), DOC(""), { NULL } },
		{ DOC("{\"allow\":\"connect\",\"to\":[\"a:1\",\"b:2\"]}"),
		  DOC("{\"allow\":\"connect\",\"to\":\"B:2\"},{\"allow\":\"connect\",\"to\":\"a.:1-1\"}"),
		  { NULL } },
		{ DOC("{\"allow\":\"connect\",\"to\":\"a:80-90\"}"), DOC("{\"allow\":\"connect\",\"to\":\"a:85-95\"}"),
		  { "+connect to a:91-95/tcp", "-connect to a:80-84/tcp" } },
		{ DOC("{\"allow\":\"connect\",\"to\":\"*.x.example:443\"}"),
		  DOC("{\"allow\":\"connect\",\"to\":\"*.x.example:443\"},{\"deny\":\"connect\",\"to\":\"e.x.example:*\"}"),
		  { "-connect to e.x.example:443/tcp" } },
		{ DOC("{\"allow\":\"connect\",\"to\":\"10.0.0.0/8:443\"}"),
		  DOC("{\"allow\":\"connect\",\"to\":\"10.0.0.0/8:443\"},{\"deny\":\"connect\",\"to\":\"10.1.0.0/16:*\"}"),
		  { "-connect to 10.1.0.0/16:443/tcp" } },
		/* A line that is not true for something narrower says so. */
		{ DOC("{\"allow\":\"connect\",\"to\":\"10.0.0.0/8:443\"}"), DOC("{\"allow\":\"connect\",\"to\":\"10.1.0.0/16:443\"}"),
		  { "-connect to 10.0.0.0/8:443/tcp, but not 10.1.0.0/16" } },
		{ DOC("{\"allow\":\"connect\",\"to\":\"*.a.example:443\"}"), DOC("{\"allow\":\"connect\",\"to\":\"*.b.a.example:443\"}"),
		  { "-connect to *.a.example:443/tcp, but not *.b.a.example" } },
		{ DOC(""), DOC("{\"allow\":\"connect\",\"to\":[\"10.0.0.0/8:1-9\",\"10.1.0.0/16:1-9\"]},"
			       "{\"deny\":\"connect\",\"to\":[\"10.2.0.0/16:5\",\"10.3.0.0/16:5\",\"10.4.0.0/16:5\",\"10.5.0.0/16:5\"]}"),
		  { "+connect to 10.0.0.0/8:1-9/tcp, but not 10.2.0.0/16, 10.3.0.0/16, 10.4.0.0/16 and others",
		    "+connect to 10.1.0.0/16:1-9/tcp", "+connect to 10.2.0.0/16:1-4,6-9/tcp" } },
		/* What a denied program gets. */
		{ DOC("{\"id\":\"mail\",\"deny\":\"connect\",\"to\":\"*:25\"},{\"id\":\"x\",\"deny\":\"connect\",\"to\":\"*:26\",\"onDeny\":\"EACCES\"}"),
		  DOC("{\"id\":\"mail\",\"deny\":\"connect\",\"to\":\"*:25\",\"onDeny\":\"kill\"},{\"id\":\"x\",\"deny\":\"connect\",\"to\":\"*:26\",\"onDeny\":\"EACCES\"}"),
		  { "=onDeny of rule mail: kill instead of nothing", "!onDeny of rule x" } },
		{ DOC("{\"id\":\"mail\",\"deny\":\"connect\",\"to\":\"*:25\",\"onDeny\":\"kill\"}"), DOC(""),
		  { "=onDeny of rule mail: nothing instead of kill" } },
		/* A deny of IPv4 addresses is one of those that carry them. */
		{ DOC("{\"allow\":\"connect\",\"to\":\"[64:ff9b::/96]:443\"}"),
		  DOC("{\"allow\":\"connect\",\"to\":\"[64:ff9b::/96]:443\"},{\"deny\":\"connect\",\"to\":\"10.1.0.0/16:*\"}"),
		  { "-connect to [64:ff9b::a01:0/112]:443/tcp" } },
		{ DOC("{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"[2002::/16]\"]}"),
		  DOC("{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"[2002::/16]\"]},{\"deny\":\"listen\",\"at\":\":80\",\"from\":[\"10.0.0.0/8\"]}"),
		  { "-accept from [2002:a00::/24] at :80/tcp" } },
		{ DOC("{\"allow\":\"connect\",\"to\":\"a.b:443\"}"),
		  DOC("{\"allow\":\"connect\",\"to\":\"a.b:443\",\"rate\":\"1MB/s\"}"),
		  { "~connect to a.b:443/tcp: \"rate\": \"1000000/s\" instead of no options" } },
		{ DOC(""), DOC("{\"allow\":\"connect\",\"to\":\"*:443\",\"proto\":\"udp\"}"),
		  { "+connect to any other domain:443/udp", "+connect to any other host name:443/udp",
		    "+connect to any other public address:443/udp" } },
		{ DOC(""), DOC("{\"allow\":\"connect\",\"to\":[\"0.0.0.0/0:443\",\"[::/0]:443\"]}"),
		  { "+connect to 0.0.0.0/0:443/tcp", "+connect to [::/0]:443/tcp", "!connect to any" } },
		{ DOC(""), DOC("{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"a\",\"host\"],\"publish\":\"127.0.0.1:8080\"}"),
		  { "+accept from host at :80/tcp", "+accept from a at :80/tcp",
		    "=publishes 127.0.0.1 port 8080 for :80" } },
		{ DOC("{\"allow\":\"listen\",\"at\":\":53\",\"proto\":\"tcp\",\"from\":\"host\",\"publish\":\"127.0.0.1:5353\"}"),
		  DOC("{\"allow\":\"listen\",\"at\":\":53\",\"proto\":\"udp\",\"from\":\"host\",\"publish\":\"127.0.0.1:5353\"}"),
		  { "+accept from host at :53/udp", "-accept from host at :53/tcp", "=no longer publishes 127.0.0.1 port 5353 for :53",
		    "=publishes 127.0.0.1 port 5353 for :53/udp" } },
		{ DOC("{\"allow\":\"listen\",\"at\":\":53\",\"proto\":\"tcp\",\"from\":\"host\",\"publish\":\"127.0.0.1:5353\"}"),
		  DOC("{\"allow\":\"listen\",\"at\":\":53\",\"proto\":[\"tcp\",\"udp\"],\"from\":\"host\",\"publish\":\"127.0.0.1:5353\"}"),
		  { "+accept from host at :53/udp", "=publishes 127.0.0.1 port 5353 for :53/udp" } },
		{ DOC(""), DOC("{\"deny\":\"listen\",\"at\":\"127.0.0.1:22\"}"), { "-listen at 127.0.0.1:22/tcp" } },
		{ "{\"version\":1,\"net\":\"loopback\"}", "{\"version\":1,\"net\":\"none\"}",
		  { "-connect to itself:*/tcp", "-connect to itself:*/udp", "-listen at 127.0.0.1:*/tcp", "=net: none instead of loopback" } },
		{ "{\"version\":1,\"limits\":{\"pids\":5}}", "{\"version\":1,\"audit\":{\"allowed\":true}}",
		  { "=limits: nothing instead of {\"pids\":5}", "=audit: {\"allowed\":true,\"denied\":true} instead of nothing" } },
	};
	struct policy a, b;
	struct policy_changes c;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!load_or_complain(&a, v[i].a) || !load_or_complain(&b, v[i].b))
			return;
		TAP_INT(policy_diff(&c, &a, &b, &err), 0, "example %zu", i);
		for (size_t k = 0; k < 6 && v[i].changes[k]; k++) {
			bool none = v[i].changes[k][0] == '!', hit = none;

			for (size_t j = 0; none && j < c.n; j++)
				hit &= strstr(c.v[j].text, v[i].changes[k] + 1) != c.v[j].text;
			for (size_t j = 0; !none && j < c.n; j++)
				hit |= "+-~="[c.v[j].kind] == v[i].changes[k][0] &&
				       strcmp(c.v[j].text, v[i].changes[k] + 1) == 0;
			TAP_OK(hit, "says %s", v[i].changes[k]);
			for (size_t j = 0; !hit && j < c.n; j++)
				printf("#   %c%s\n", "+-~="[c.v[j].kind], c.v[j].text);
		}
		TAP_OK(v[i].changes[0] || c.n == 0, "and nothing where nothing changed");
		policy_changes_fini(&c);
		policy_fini(&a);
		policy_fini(&b);
	}
}

/* --- random pairs ------------------------------------------------------------------------- */

/* A line about IPv4 addresses is about what carries them, too. */
static bool carries(const struct addr *a, const struct prefix *p)
{
	struct addr inner[ADDR_EMBEDDED_MAX];
	size_t n = addr_embedded(a, inner);

	while (n > 0)
		if (prefix_match(p, &inner[--n]))
			return true;
	return false;
}

static bool about(const struct policy_change *c, const struct real *r)
{
	const struct policy_party *peer = &r->a.peer;
	const struct host_pattern *h;

	if (c->kind == CHANGE_SETTING || c->what != r->a.kind || c->proto != r->a.proto ||
	    !ports_have(&c->ports, r->a.port))
		return false;
	if (c->what != ATTEMPT_CONNECT && c->at && !addr_equal(c->at, &r->local))
		return false;
	if (!c->who)
		return true;
	h = &c->who->pattern;
	if (h->kind == HOST_ANY || (h->kind == HOST_OUTSIDE && peer->kind == PARTY_HOST))
		return true;
	if (h->kind == HOST_PREFIX)
		return peer->addr && (prefix_match(&h->prefix, peer->addr) || carries(peer->addr, &h->prefix));
	for (size_t i = 0; h->name && i < peer->n_names; i++) {
		if (h->kind == HOST_WILDCARD ? name_is_below(peer->names[i], h->name) :
					       strcmp(h->name, peer->names[i]) == 0)
			return true;
	}
	return false;
}

static unsigned long n_differ;

/* Where the two decide differently, a change of the right kind is about it. */
static bool check_try(const struct policy *a, const struct policy *b, const struct policy_changes *c)
{
	struct try t = random_try();
	struct policy_verdict x, y;
	struct real r;
	char text[200];

	/* What names resolve to is not enumerated, look-ups follow from connect rules, and a domain
	 * with several names or an unknown address is several regions at once. */
	if (t.kind == ATTEMPT_RESOLVE || (t.kind != ATTEMPT_CONNECT && !*t.local))
		return true;
	if (t.party == PARTY_NAME || t.party == PARTY_DOMAIN) {
		t.at = NULL;
		t.n_names = 1;
	}
	if (t.party == PARTY_HOST && t.kind == ATTEMPT_ACCEPT)
		t.at = NULL;
	if (t.party == PARTY_OWN)
		t.at = NULL;
	make_real(&t, &r);
	policy_decide(a, &r.a, &x);
	policy_decide(b, &r.a, &y);
	if (x.allow == y.allow)
		return true;
	n_differ++;
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].kind == (y.allow ? CHANGE_ALLOWED : CHANGE_DENIED) && about(&c->v[i], &r))
			return true;
	}
	/* The domain itself is told by its loopback, and by LISTEN. */
	if (t.party == PARTY_OWN)
		return true;
	(void)snprintf(text, sizeof text, "%d %d %s port %u", t.kind, t.party,
		       t.n_names ? t.names[0] : t.at ? t.at->text : "", t.port);
	printf("# not told: %s, now %s\n", text, y.allow ? "allowed" : "denied");
	return false;
}

/* What a change says holds for its own party, at the first and last port. */
static bool check_change(const struct policy *a, const struct policy *b, const struct policy_change *c)
{
	struct policy_attempt t = { .kind = c->what, .proto = c->proto, .peer.kind = PARTY_OWN };
	struct addr rest = addr_v4(10, 255, 255, 254);
	struct policy_verdict x, y;

	if (c->kind == CHANGE_SETTING)
		return true;
	if (c->who)
		t.peer = c->who->party;
	if (c->what != ATTEMPT_CONNECT)
		t.local = c->at ? c->at : &rest;
	for (int last = 0; last < 2; last++) {
		t.port = last ? c->ports.v[c->ports.n - 1].hi : c->ports.v[0].lo;
		policy_decide(a, &t, &x);
		policy_decide(b, &t, &y);
		if (x.allow != (c->kind != CHANGE_ALLOWED) || y.allow != (c->kind != CHANGE_DENIED)) {
			printf("# not true: %s\n", c->text);
			return false;
		}
	}
	return true;
}

static bool check_pair(void)
{
	struct rule v[RULES_MAX + 1], w[RULES_MAX + 1];
	unsigned n = random_policy(v), m = random_policy(w);
	char *first = policy_json(v, n, false, NULL), *second = policy_json(w, m, false, NULL);
	struct policy a, b;
	struct policy_changes c, none;
	bool ok = load(&a, first, &err) == 0 && load(&b, second, &err) == 0;

	ok = ok && policy_diff(&c, &a, &b, &err) == 0 && policy_diff(&none, &a, &a, &err) == 0;
	if (ok && none.n != 0) {
		printf("# against itself: %s\n", none.v[0].text);
		ok = false;
	}
	for (unsigned i = 0; ok && i < ATTEMPTS; i++)
		ok = check_try(&a, &b, &c);
	for (size_t i = 0; ok && i < c.n; i++)
		ok = check_change(&a, &b, &c.v[i]);
	if (!ok)
		printf("# %s\n# %s\n", first, second);
	policy_changes_fini(&c);
	policy_changes_fini(&none);
	policy_fini(&a);
	policy_fini(&b);
	free(first);
	free(second);
	return ok;
}

int main(void)
{
	unsigned bad = 0;

	test_examples();
	seed_random();
	for (unsigned i = 0; i < PAIRS && bad < 5; i++)
		bad += !check_pair();
	TAP_INT(bad, 0, "every difference of %u pairs is told, and nothing else", PAIRS);
	TAP_OK(n_differ > 5UL * PAIRS, "there were many");
	printf("# %lu attempts were decided differently\n", n_differ);
	return tap_done();
}
