/* SPDX-License-Identifier: Apache-2.0 */
/* What "forward" of rules decides, and what differs when it does. */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/expect.h"
#include "model/policy_diff.h"
#include "model/policy_explain.h"
#include "tap.h"

#define RULES(r) "{\"version\":1,\"net\":{\"rules\":[" r "]}}"

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

static const char *ask(const struct policy *p, const char *name, const char *type, char *line, size_t size)
{
	struct fabric f = { .self = p };
	struct policy_pair_verdict v;
	struct policy_advice advice;
	struct attempt at;

	if (attempt_resolve(&at, &f, name, &e) < 0 || (*type && attempt_query(&at, type, &e) < 0))
		return e.text;
	attempt_decide(&at, &f, &v, NULL);
	policy_advise(&v.client, &at.a, &advice);
	(void)snprintf(line, size, "%s", advice.line);
	return v.allow ? v.client.rule->id : policy_reason_name(v.client.reason);
}

static void test_decide(const struct policy *p)
{
	static const struct {
		const char *name, *type, *want;
	} v[] = {
		{ "mail.example", "", "mail" },         { "mail.example", "MX", "mail" },
		{ "mail.example", "TXT", "mail" },      { "mail.example", "CAA", "default" },
		{ "a.zone.example", "TXT", "zone" },    { "a.zone.example", "MX", "default" },
		{ "zone.example", "TXT", "default" },   { "plain.example", "TXT", "default" },
		{ "shut.zone.example", "TXT", "rule" }, { "other.example", "", "default" },
		{ "other.example", "MX", "default" },   { "db", "MX", "only host names have records that can be forwarded" },
		{ "mail.example", "A", "A is no query type that can be forwarded" },
	};
	char line[512];

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		TAP_STR(ask(p, v[i].name, v[i].type, line, sizeof line), v[i].want, "%s of %s", v[i].type, v[i].name);
	(void)ask(p, "plain.example", "TXT", line, sizeof line);
	TAP_STR(line, "{ \"allow\": \"connect\", \"to\": \"plain.example:443\", \"forward\": [\"TXT\"] }", "the rule that would");
}

static void test_expect(const struct policy *p)
{
	struct fabric f = { .self = p };
	struct expectation t = { .what = EXPECT_RESOLVE, .proto = POLICY_TCP, .allow = true, .target = "mail.example", .type = "MX" };
	char text[EXPECT_WHY_MAX];

	TAP_STR(expect_text(&t, text, sizeof text), "allow resolve mail.example MX", "in words");
	TAP_INT(expect_decide(&t, &f, text, &e), 1, "as expected");
	TAP_HAS(text, "mail", "by its rule");
	t.type = "CAA";
	TAP_INT(expect_decide(&t, &f, text, &e), 0, "not as expected");
	t.type = "ANY";
	TAP_INT(expect_decide(&t, &f, text, &e), -EINVAL, "nothing that could be");
}

static void test_diff(const struct policy *p)
{
	struct policy_changes c;
	struct policy q;
	char all[1000] = "";

	if (!load(&q, RULES("{\"allow\":\"connect\",\"to\":[\"mail.example:443\",\"db:1\"],\"forward\":[\"MX\",\"CAA\"]},"
			    "{\"allow\":\"connect\",\"to\":[\"*.zone.example:443\",\"plain.example:443\"]},"
			    "{\"deny\":\"connect\",\"to\":\"shut.zone.example:*\"}")))
		return;
	if (TAP_OK(policy_diff(&c, p, &q, &e) == 0, "compared")) {
		for (size_t i = 0; i < c.n; i++)
			(void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s; ", c.v[i].text);
		policy_changes_fini(&c);
	}
	TAP_HAS(all, "no longer forwards TXT of mail.example; ", "what goes");
	TAP_HAS(all, "; forwards CAA of mail.example; ", "what comes");
	TAP_HAS(all, "no longer forwards TXT of *.zone.example", "of a zone");
	TAP_OK(!strstr(all, "MX"), "not what stays: %s", all);
	policy_fini(&q);
}

int main(void)
{
	struct policy p;

	policy_init_none(&p);
	if (load(&p, RULES("{\"id\":\"mail\",\"allow\":\"connect\",\"to\":[\"mail.example:443\",\"db:1\"],\"forward\":[\"MX\",\"TXT\"]},"
			   "{\"id\":\"zone\",\"allow\":\"connect\",\"to\":\"*.zone.example:443\",\"forward\":\"TXT\"},"
			   "{\"id\":\"plain\",\"allow\":\"connect\",\"to\":[\"plain.example:443\",\"mail.example:80\"]},"
			   "{\"deny\":\"connect\",\"to\":\"shut.zone.example:*\"}"))) {
		test_decide(&p);
		test_expect(&p);
		test_diff(&p);
	}
	policy_fini(&p);
	return tap_done();
}
