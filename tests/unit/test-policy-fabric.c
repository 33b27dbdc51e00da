/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts from text, the two sides of a fabric, and how decisions are worded. */
#include "model/policy_explain.h"
#include "model/policy_fabric.h"
#include "tap.h"

static struct err err;

static bool load(struct policy *p, const char *name, const char *text)
{
	struct json_doc doc;
	int rc;

	policy_init_none(p);
	rc = json_doc_parse(&doc, name, text, strlen(text), &err);
	if (rc == 0) {
		rc = policy_read(p, &doc, NULL, &err);
		json_doc_fini(&doc);
	}
	if (!TAP_OK(rc == 0, "%s loads", name))
		printf("# %s\n", err.text);
	return rc == 0;
}

static const char web_text[] =
	"{\"version\":1,\"domain\":\"web\",\"onDeny\":\"EHOSTUNREACH\",\"net\":{\"address\":[\"10.88.0.10\"],\"rules\":[\n"
	"{\"id\":\"one\",\"allow\":\"connect\",\"to\":[\"db:5432\",\"cache:1-10\",\"gone:1\",\"mute:7\"]},\n"
	"{\"id\":\"two\",\"deny\":\"connect\",\"to\":\"*:25\",\"message\":\"no \\u001b mail\",\"onDeny\":\"kill\"},\n"
	"{\"id\":\"three\",\"allow\":\"connect\",\"to\":\"api.example.com:443\"},\n"
	"{\"id\":\"four\",\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"db\",\"ghost\",\"host\"]}]}}";
static const char db_text[] =
	"{\"version\":1,\"domain\":\"db\",\"net\":{\"address\":[\"10.88.0.11\",\"fd00::11\"],\"names\":[\"cache\"],\"rules\":[\n"
	"{\"id\":\"in\",\"allow\":\"listen\",\"at\":\":5432\",\"from\":\"web\"},\n"
	"{\"id\":\"in2\",\"allow\":\"listen\",\"at\":\":10-20\",\"from\":\"10.88.0.0/24\"}]}}";
static const char mute_text[] = "{\"version\":1,\"domain\":\"mute\",\"net\":\"none\"}";

static struct policy web, db, mute;
static const struct policy *const others[] = { &db, &mute };
static const struct fabric fabric = { .self = &web, .others = others, .n_others = 2 };

static void test_attempts(void)
{
	static const struct {
		const char *to, *resolved, *text, *verdict;
		enum party_kind kind;
		bool allow;
	} v[] = {
		{ "db:5432", NULL, "connect to db:5432/tcp (10.88.0.11)", "allowed by rule one (web.json:2)", PARTY_DOMAIN, true },
		{ "cache:10", NULL, "connect to cache:10/tcp (10.88.0.11)", "allowed by rule one (web.json:2)", PARTY_DOMAIN, true },
		{ "[fd00::11]:5432", NULL, "connect to db:5432/tcp (fd00::11)", "allowed by rule one (web.json:2)", PARTY_DOMAIN, true },
		{ "cache:9", NULL, "connect to cache:9/tcp (10.88.0.11)", "allowed by rule one (web.json:2)", PARTY_DOMAIN, false },
		{ "nobody:1", NULL, "connect to nobody:1/tcp", "denied: no rule of web.json allows it", PARTY_DOMAIN, false },
		{ "WEB:80", NULL, "connect to 10.88.0.10:80/tcp", "allowed: the domain's own", PARTY_OWN, true },
		{ "localhost:80", NULL, "connect to 127.0.0.1:80/tcp", "allowed: the domain's own", PARTY_OWN, true },
		{ "0.0.0.0:80", NULL, "connect to 127.0.0.1:80/tcp", "allowed: the domain's own", PARTY_OWN, true },
		{ "[::]:80", NULL, "connect to [::1]:80/tcp", "allowed: the domain's own", PARTY_OWN, true },
		{ "host:25", NULL, "connect to host:25/tcp", "denied by rule two (web.json:3): no \\x1b mail", PARTY_HOST, false },
		{ "198.18.0.2:80", NULL, "connect to host:80/tcp", "denied: no rule of web.json allows it", PARTY_HOST, false },
		{ "198.18.0.1:53", NULL, "connect to the resolver:53/tcp", "allowed: the domain's resolver", PARTY_RESOLVER, true },
		{ "[fd76:7275:6e00::1]:54", NULL, "connect to the resolver:54/tcp", "denied: no rule of web.json allows it", PARTY_RESOLVER, false },
		{ "192.0.2.1:443", NULL, "connect to 192.0.2.1:443/tcp", "denied: no rule of web.json allows it", PARTY_ADDR, false },
		{ "api.example.com:443", "127.0.0.1", "connect to api.example.com:443/tcp (127.0.0.1)",
		  "denied: api.example.com is allowed by rule three (web.json:4), but it is 127.0.0.1, a loopback address, which needs an address rule too",
		  PARTY_NAME, false },
		{ "api.example.com:443", "192.0.2.1", "connect to api.example.com:443/tcp (192.0.2.1)", "allowed by rule three (web.json:4)", PARTY_NAME, true },
	};
	struct attempt at;
	struct policy_pair_verdict pair;
	char text[EXPLAIN_TEXT_MAX];
	bool both;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!TAP_OK(attempt_connect(&at, &fabric, v[i].to, v[i].resolved, POLICY_TCP, &err) == 0, "connect %s", v[i].to)) {
			printf("# %s\n", err.text);
			continue;
		}
		TAP_INT(at.a.peer.kind, v[i].kind, "its kind");
		TAP_STR(policy_attempt_text(&at.a, text, sizeof text), v[i].text, "in words");
		attempt_decide(&at, &fabric, &pair, &both);
		TAP_STR(policy_verdict_text(&pair.client, &at.a, text, sizeof text), v[i].verdict, "this side");
		TAP_INT(pair.allow, v[i].allow, "all together");
		TAP_INT(both, at.other != NULL, "both sides where both are known");
	}
	TAP_INT(attempt_accept(&at, &fabric, "db", ":80", POLICY_TCP, &err), 0, "accept from db");
	TAP_STR(policy_attempt_text(&at.a, text, sizeof text), "accept from db (10.88.0.11) at :80/tcp", "in words");
	attempt_decide(&at, &fabric, &pair, &both);
	TAP_OK(both && pair.server.allow && !pair.client.allow && !pair.allow, "db itself does not want to");
	TAP_INT(attempt_listen(&at, &fabric, "10.88.0.11:80", POLICY_TCP, &err), -EINVAL, "an address of another domain");
	TAP_HAS(err.text, "not an address of the domain", "is none to listen at");
	TAP_INT(attempt_resolve(&at, &fabric, "cache", &err), 0, "a look-up");
	TAP_STR(policy_attempt_text(&at.a, text, sizeof text), "look up cache", "in words");
}

static void test_errno(void)
{
	struct policy_verdict v;
	struct attempt at;

	TAP_INT(attempt_connect(&at, &fabric, "x.example:1", NULL, POLICY_TCP, &err), 0, "what no rule allows");
	policy_decide(&web, &at.a, &v);
	TAP_INT(policy_verdict_errno(&v, true), EHOSTUNREACH, "gives the policy's errno");
	TAP_INT(attempt_connect(&at, &fabric, "x.example:25", NULL, POLICY_TCP, &err), 0, "what a rule denies");
	policy_decide(&web, &at.a, &v);
	TAP_INT(policy_verdict_errno(&v, true), 0, "gives the rule's: kill");
	TAP_INT(policy_verdict_errno(&v, false), EACCES, "but kills nobody of another domain");
	policy_decide(&mute, &at.a, &v);
	TAP_INT(policy_verdict_errno(&v, true), EACCES, "EACCES is the default");
}

static void has_warning(const struct policy_warnings *w, const char *text, const char *hint)
{
	bool hit = false;

	for (size_t i = 0; i < w->n; i++)
		hit |= strcmp(w->v[i].text, text) == 0 &&
		       (hint ? w->v[i].hint && strcmp(w->v[i].hint, hint) == 0 : !w->v[i].hint);
	TAP_OK(hit, "%s", text);
	for (size_t i = 0; !hit && i < w->n; i++)
		printf("#   %s (%s)\n", w->v[i].text, w->v[i].hint ? w->v[i].hint : "");
}

static void test_fabric(void)
{
	struct policy_warnings w = { 0 };
	struct policy twin, near;

	TAP_INT(policy_fabric_check(&fabric, &w, &err), 0, "web among db and mute");
	TAP_INT(w.n, 3, "is warned of three things");
	has_warning(&w, "web.json:2: net.rules[0]: no domain here has the name \"gone\"", NULL);
	has_warning(&w, "web.json:2: net.rules[0]: allows mute:7/tcp, but mute does not let web in",
		    "in mute.json write \"net\": { \"rules\": [ { \"allow\": \"listen\", \"at\": \":7\", \"from\": [\"web\"] } ] }");
	has_warning(&w, "web.json:5: net.rules[3]: no domain here has the name \"ghost\"", NULL);
	policy_warnings_fini(&w);
	TAP_INT(policy_fabric_conflict(&web, &db, &err), 0, "they do not clash");
	if (load(&twin, "twin.json", "{\"version\":1,\"net\":{\"names\":[\"x\",\"cache\"]}}")) {
		TAP_INT(policy_fabric_conflict(&db, &twin, &err), -EEXIST, "a second cache");
		TAP_HAS(err.text, "db.json and twin.json both have the name \"cache\"", "is named");
	}
	if (load(&near, "near.json", "{\"version\":1,\"net\":{\"address\":[\"::ffff:10.88.0.10\"]}}")) {
		TAP_INT(policy_fabric_conflict(&near, &web, &err), -EEXIST, "a second 10.88.0.10");
		TAP_HAS(err.text, "10.88.0.10", "is named");
	}
	policy_fini(&twin);
	policy_fini(&near);
}

static void test_tls_names(void)
{
	static const char *names[] = { "a.example", "*.b.example" };
	const struct policy_options o = { .tls_names = names, .n_tls_names = 2 }, none = { 0 };

	TAP_OK(policy_tls_name_allowed(&o, "a.example") && policy_tls_name_allowed(&o, "x.b.example"), "allowed names");
	TAP_OK(!policy_tls_name_allowed(&o, "b.example") && !policy_tls_name_allowed(&o, "x.a.example"), "others");
	TAP_OK(policy_tls_name_allowed(&none, "anything"), "no list allows all");
}

int main(void)
{
	if (load(&web, "web.json", web_text) && load(&db, "db.json", db_text) && load(&mute, "mute.json", mute_text)) {
		test_attempts();
		test_errno();
		test_fabric();
		test_tls_names();
	}
	policy_fini(&web);
	policy_fini(&db);
	policy_fini(&mute);
	return tap_done();
}
