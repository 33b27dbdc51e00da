/* SPDX-License-Identifier: Apache-2.0 */
/* What "tls" of rules decides, in a policy, under a ceiling, and in expectations. */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/expect.h"
#include "model/policy_explain.h"
#include "tap.h"

#define RULES(r) "{\"version\":1,\"net\":{\"rules\":[" r "]}}"

#define WHY_MAX 2500

static struct err e;

static bool load(struct policy *p, const char *text)
{
	struct json_doc doc;
	int rc = json_doc_parse(&doc, "p.json", text, strlen(text), &e);

	if (rc == 0) {
		rc = policy_read(p, &doc, NULL, &e);
		json_doc_fini(&doc);
	}
	return TAP_OK(rc == 0, "a policy: %s", rc < 0 ? e.text : text);
}

static struct policy own, over;
static struct fabric alone = { .self = &own }, bounded = { .self = &own, .ceiling = &over };

/* "allow RULE" or "deny RULE REASON". */
static const char *ask(const struct fabric *f, const char *to, const char *resolved, const char *tls, char *why)
{
	static char buf[200], text[EXPLAIN_TEXT_MAX];
	struct policy_pair_verdict v;
	struct policy_advice advice;
	struct attempt at;

	if (attempt_connect(&at, f, to, resolved, POLICY_TCP, &e) < 0 || (tls && attempt_tls(&at, tls, &e) < 0))
		return e.text;
	attempt_decide(&at, f, &v, NULL);
	(void)snprintf(buf, sizeof buf, "%s %s%s%s", v.allow ? "allow" : "deny", v.client.rule ? v.client.rule->id : "-",
		       v.allow ? "" : " ", v.allow ? "" : policy_reason_name(v.client.reason));
	if (why) {
		policy_advise(&v.client, &at.a, &advice);
		(void)snprintf(why, WHY_MAX, "%s; %s", policy_verdict_text(&v.client, &at.a, text, sizeof text), advice.text);
	}
	return buf;
}

static void test_decide(void)
{
	static const struct {
		const char *to, *resolved, *tls, *alone, *bounded;
	} v[] = {
		{ "web.example:443", NULL, NULL, "allow web", "allow web" },
		{ "web.example:443", NULL, "web.example", "allow web", "allow web" },
		{ "web.example:443", NULL, "WEB.example.", "allow web", "allow web" },
		{ "web.example:443", NULL, "a.cdn.example", "allow web", "deny top tls" },
		{ "web.example:443", NULL, "cdn.example", "deny web tls", "deny web tls" },
		{ "web.example:443", NULL, "", "deny web tls", "deny web tls" },
		{ "plain.example:443", NULL, "any.example", "allow plain", "deny top tls" },
		{ "plain.example:443", NULL, "web.example", "allow plain", "allow plain" },
		/* The address rule's names count, too. */
		{ "plain.example:443", "10.0.0.1", "any.example", "deny in tls", "deny in tls" },
		{ "plain.example:443", "10.0.0.1", "in.example", "allow plain", "deny top tls" },
		{ "denied.example:443", NULL, "web.example", "deny - default", "deny - default" },
	};
	char why[WHY_MAX];

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		TAP_STR(ask(&alone, v[i].to, v[i].resolved, v[i].tls, NULL), v[i].alone, "%s, TLS to %s", v[i].to,
			v[i].tls ? v[i].tls : "what is to come");
		TAP_STR(ask(&bounded, v[i].to, v[i].resolved, v[i].tls, NULL), v[i].bounded, "the same under a ceiling");
	}
	(void)ask(&alone, "web.example:443", NULL, "evil.example", why);
	TAP_HAS(why, "rule web (p.json:1)", "the rule is named");
	TAP_HAS(why, "this was to evil.example", "and what was seen");
	TAP_HAS(why, "add \"evil.example\" to the names in \"tls\" of rule web", "and what to do");
	(void)ask(&alone, "web.example:443", NULL, "", why);
	TAP_HAS(why, "no server name", "that there was none");
	TAP_HAS(why, "a rule without \"tls\"", "and what to do");
	TAP_STR(ask(&alone, "web.example:443", NULL, "a b", NULL), "\"a b\" is not a name", "no name at all");
}

static void test_options(void)
{
	const char *const name = "web.example";
	const struct policy_attempt a = { .kind = ATTEMPT_CONNECT, .proto = POLICY_TCP, .port = 443,
					  .peer = { .kind = PARTY_NAME, .names = &name, .n_names = 1 } };
	struct policy_options o;

	policy_bounded_options(&own, NULL, &a, &o);
	TAP_OK(o.rate == 5000 && o.max_bytes == 0 && o.n_tls_names == 2, "a rule's options");
	policy_bounded_options(&own, &over, &a, &o);
	TAP_OK(o.rate == 1000 && o.max_bytes == 9 && o.n_tls_names == 2, "the least of both under a ceiling");
}

static void test_expect(void)
{
	static const char *const bad = "{\"tests\":[{\"expect\":\"deny\",\"listen\":\":1\",\"tls\":\"a.example\"}]}";
	struct expectation t = { .what = EXPECT_CONNECT, .proto = POLICY_TCP, .target = "web.example:443", .tls = "evil.example" };
	char text[EXPECT_WHY_MAX];
	struct expectations x;
	struct json_doc doc;

	TAP_STR(expect_text(&t, text, sizeof text), "deny connect web.example:443/tcp, TLS to evil.example", "in words");
	TAP_INT(expect_decide(&t, &alone, text, &e), 1, "is denied");
	t.tls = "web.example";
	TAP_INT(expect_decide(&t, &alone, text, &e), 0, "is not");
	t.proto = POLICY_UDP;
	TAP_INT(expect_decide(&t, &alone, text, &e), -EINVAL, "of UDP nobody can say");
	if (TAP_OK(json_doc_parse(&doc, "x.test.json", bad, strlen(bad), &e) == 0, "expectations")) {
		TAP_INT(expect_read(&x, &doc, &e), -EINVAL, "are refused where it makes no sense");
		TAP_HAS(e.text, "\"tls\" goes with \"connect\"", "for its reason");
		json_doc_fini(&doc);
	}
}

int main(void)
{
	if (load(&own, RULES("{\"id\":\"web\",\"allow\":\"connect\",\"to\":\"web.example:443\",\"rate\":\"5000/s\","
			     "\"tls\":{\"names\":[\"web.example\",\"*.cdn.example\"]}},"
			     "{\"id\":\"plain\",\"allow\":\"connect\",\"to\":\"plain.example:443\"},"
			     "{\"id\":\"in\",\"allow\":\"connect\",\"to\":\"10.0.0.0/8:443\",\"tls\":{\"names\":[\"in.example\"]}}")) &&
	    load(&over, RULES("{\"id\":\"top\",\"allow\":\"connect\",\"to\":\"*:443\",\"rate\":\"1000/s\",\"maxBytes\":9,"
			      "\"tls\":{\"names\":[\"web.example\"]}},"
			      "{\"id\":\"addresses\",\"allow\":\"connect\",\"to\":\"10.0.0.0/8:443\"}"))) {
		test_decide();
		test_options();
		test_expect();
	}
	policy_fini(&own);
	policy_fini(&over);
	return tap_done();
}
