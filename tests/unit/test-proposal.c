/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for what was seen, and their place in a policy's text. */
#include <stdlib.h>

#include "model/policy_edit.h"
#include "model/policy_explain.h"
#include "model/policy_write.h"
#include "model/proposal.h"
#include "policy-gen.h"
#include "tap.h"

static struct err err;

static void add(struct proposal *p, const char *line)
{
	if (!TAP_OK(proposal_add(p, line, 1, &err) == 0, "takes %s", line))
		printf("# %s\n", err.text);
}

/* The lines, each with a newline. */
static char *lines_of(const struct proposal *p)
{
	static char text[4096];

	text[0] = '\0';
	for (size_t i = 0; i < p->n; i++)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s\n", p->v[i].line);
	return text;
}

static void test_merging(void)
{
	struct proposal p = { 0 };

	add(&p, "{\"allow\":\"connect\",\"to\":\"db:5433\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"db:5432\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"db:5432\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"db:80\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"db:53\",\"proto\":\"udp\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"api.example.com:443\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"dns:53\",\"proto\":\"udp\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"dns:53\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"[2001:db8::1]:25\"}");
	add(&p, "{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"b\"}");
	add(&p, "{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"a\"}");
	add(&p, "{\"allow\":\"listen\",\"at\":\":81\",\"from\":[\"a\"]}");
	add(&p, "{\"allow\":\"listen\",\"at\":\":82\",\"from\":\"b\"}");
	add(&p, "{\"allow\":\"listen\",\"at\":\":82\",\"from\":\"a\"}");
	TAP_INT(proposal_merge(&p, &err), 0, "merges");
	TAP_STR(lines_of(&p),
		"{ \"allow\": \"connect\", \"to\": \"[2001:db8::1]:25\" }\n"
		"{ \"allow\": \"connect\", \"to\": \"api.example.com:443\" }\n"
		"{ \"allow\": \"connect\", \"to\": \"db:80,5432-5433\" }\n"
		"{ \"allow\": \"connect\", \"to\": \"db:53\", \"proto\": \"udp\" }\n"
		"{ \"allow\": \"connect\", \"to\": \"dns:53\", \"proto\": [\"tcp\", \"udp\"] }\n"
		"{ \"allow\": \"listen\", \"at\": \":80,82\", \"from\": [\"a\", \"b\"] }\n"
		"{ \"allow\": \"listen\", \"at\": \":81\", \"from\": [\"a\"] }\n",
		"ports are grouped, and peers");
	TAP_INT(p.v[2].seen, 4, "it counts what was seen");
	proposal_fini(&p);
}

static void test_refusals(void)
{
	static const char *const bad[] = {
		"{\"allow\":\"connect\",\"to\":\"*:80\"}",
		"{\"allow\":\"connect\",\"to\":\"db:*\"}",
		"{\"allow\":\"connect\",\"to\":\"db:80-81\"}",
		"{\"allow\":\"connect\",\"to\":\"*.example.com:443\"}",
		"{\"allow\":\"connect\",\"to\":\"10.0.0.0/8:443\"}",
		"{\"allow\":\"connect\",\"to\":[\"a:1\",\"b:1\"]}",
		"{\"allow\":\"connect\",\"to\":\"a:1\",\"proto\":[\"tcp\",\"udp\"]}",
		"{\"allow\":\"connect\",\"to\":\"a:1\",\"rate\":\"1MB/s\"}",
		"{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"*\"]}",
		"{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"a\",\"b\"]}",
		"{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"a\"],\"publish\":\"127.0.0.1:80\"}",
		"{\"deny\":\"connect\",\"to\":\"a:1\"}",
		"{\"allow\":\"connect\",\"to\":\"a:1\"},{\"allow\":\"connect\",\"to\":\"b:1\"}",
		"]},\"limits\":{\"pids\":1},\"x\":{\"y\":[",
		"",
		"\n",
	};
	struct proposal p = { 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		TAP_OK(proposal_add(&p, bad[i], 1, &err) < 0, "refuses %s", bad[i][0] == '\n' ? "a newline" : bad[i]);
	TAP_INT(p.n, 0, "and keeps nothing of it");
	proposal_fini(&p);
}

static void test_allowed(void)
{
	struct proposal p = { 0 };
	struct policy by;

	add(&p, "{\"allow\":\"connect\",\"to\":\"db:5432\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"db:5433\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"192.0.2.7:80\"}");
	add(&p, "{\"allow\":\"connect\",\"to\":\"host:80\"}");
	add(&p, "{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"a\"}");
	add(&p, "{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"b\"}");
	if (TAP_OK(load(&by,
			"{\"version\":1,\"net\":{\"rules\":[{\"allow\":\"connect\",\"to\":[\"db:5432\",\"192.0.2.0/24:*\"]},"
			     "{\"allow\":\"listen\",\"at\":\":80\",\"from\":[\"a\"]}]}}",
			&err) == 0,
		   "a policy loads")) {
		TAP_INT(proposal_drop_allowed(&p, &by, NULL, NULL), 3, "what it allows needs no rule");
		policy_fini(&by);
	}
	TAP_INT(proposal_merge(&p, &err), 0, "the rest does");
	TAP_STR(lines_of(&p),
		"{ \"allow\": \"connect\", \"to\": \"db:5433\" }\n{ \"allow\": \"connect\", \"to\": \"host:80\" }\n"
		"{ \"allow\": \"listen\", \"at\": \":80\", \"from\": [\"b\"] }\n",
		"and has it");
	proposal_fini(&p);
}

#define RULE "{ \"allow\": \"connect\", \"to\": \"db:1\" }"
#define RULE2 "{ \"allow\": \"connect\", \"to\": \"db:2\" }"

static void test_edits(void)
{
	static const struct {
		const char *from, *to;
	} v[] = {
		{ "{\"version\":1}", "{\"version\":1, \"net\": {\n    \"rules\": [\n      " RULE ",\n      " RULE2 "\n    ]\n  } }" },
		{ "{\n  \"version\": 1\n}\n",
		  "{\n  \"version\": 1,\n  \"net\": {\n    \"rules\": [\n      " RULE ",\n      " RULE2 "\n    ]\n  }\n}\n" },
		{ "{\n  \"version\": 1,\n  \"net\": \"none\"\n}\n",
		  "{\n  \"version\": 1,\n  \"net\": {\n    \"rules\": [\n      " RULE ",\n      " RULE2 "\n    ]\n  }\n}\n" },
		{ "{\n  \"version\": 1,\n  \"net\": {}\n}\n",
		  "{\n  \"version\": 1,\n  \"net\": {\n    \"rules\": [\n      " RULE ",\n      " RULE2 "\n    ]\n  }\n}\n" },
		{ "{\n\t\"version\": 1,\n\t\"net\": { \"names\": [\"x]\"] }\n}",
		  "{\n\t\"version\": 1,\n\t\"net\": { \"names\": [\"x]\"], \"rules\": [\n\t    " RULE ",\n\t    " RULE2 "\n\t  ] }\n}" },
		{ "{\n\t\"version\": 1,\n\t\"net\": {\n\t\t\"names\": [\"x\"]\n\t}\n}",
		  "{\n\t\"version\": 1,\n\t\"net\": {\n\t\t\"names\": [\"x\"],\n\t  \"rules\": [\n\t    " RULE ",\n\t    " RULE2 "\n\t  ]\n\t}\n}" },
		{ "{\"version\":1,\"net\":{\"rules\":[]}}",
		  "{\"version\":1,\"net\":{\"rules\":[\n  " RULE ",\n  " RULE2 "\n]}}" },
		{ "{\"version\":1,\"net\":{\"rules\":[" RULE "]}}",
		  "{\"version\":1,\"net\":{\"rules\":[" RULE ", " RULE ", " RULE2 "]}}" },
		{ "{\"version\":1,\n \"net\":{\"rules\":[\n\t" RULE "\n ]}}\n",
		  "{\"version\":1,\n \"net\":{\"rules\":[\n\t" RULE ",\n\t" RULE ",\n\t" RULE2 "\n ]}}\n" },
	};
	static char one[] = RULE, two[] = RULE2;
	char *const lines[] = { one, two };
	struct json_doc doc;
	char *text;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!TAP_OK(json_doc_parse(&doc, "p.json", v[i].from, strlen(v[i].from), &err) == 0, "text %zu", i))
			continue;
		if (TAP_OK(policy_edit_add(&doc, lines, 2, &text, &err) == 0, "takes rules")) {
			TAP_STR(text, v[i].to, "where they belong");
			free(text);
		}
		json_doc_fini(&doc);
	}
}

static void test_patches(void)
{
	static const struct {
		const char *from, *to, *patch;
	} v[] = {
		{ "a\nb\n", "a\nb\n", "" },
		{ "a\nb\n", "a\nx\nb\n", "--- f\n+++ f\n@@ -1,2 +1,3 @@\n a\n+x\n b\n" },
		{ "1\n2\n3\n4\n5\n6\n7\n8\n9", "1\n2\n3\n4\nx\n6\n7\n8\n9",
		  "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n" },
		{ "a", "b", "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n" },
		{ "", "b\n", "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+b\n" },
		{ "a\na\n", "a\na\na\n", "--- f\n+++ f\n@@ -1,2 +1,3 @@\n a\n a\n+a\n" },
	};
	char *patch;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!TAP_OK(policy_edit_patch("f", v[i].from, v[i].to, &patch, &err) == 0, "patch %zu", i))
			continue;
		TAP_STR(patch, v[i].patch, "as diff -u has it");
		free(patch);
	}
}

/* Adds one rule to a text, twice. How often it is no policy with just that more. */
static unsigned add_twice(const char *text)
{
	static char line[] = "{ \"allow\": \"connect\", \"to\": \"never-seen.invalid:65535\", \"proto\": \"udp\" }";
	char *const lines[] = { line };
	struct policy p = { 0 }, q = { 0 };
	unsigned bad = 1;
	struct json_doc doc;
	char *edited;

	if (json_doc_parse(&doc, "p.json", text, strlen(text), &err) < 0)
		return 1;
	if (policy_read(&p, &doc, NULL, &err) == 0 && policy_edit_add(&doc, lines, 1, &edited, &err) == 0) {
		if (load(&q, edited, &err) == 0)
			bad = q.n_rules != p.n_rules + 1;
		else if (strstr(err.text, "never-seen") || strstr(err.text, "rules[")) /* it is denied as a whole */
			bad = 0;
		else
			printf("# %s\n# %s\n", err.text, edited);
		free(edited);
	}
	json_doc_fini(&doc);
	policy_fini(&p);
	policy_fini(&q);
	return bad;
}

#define TRIES 12

#define TRIES 12

/* What the rule for one of them is meant for, the other is, too. */
static bool is_same(const struct policy_attempt *a, const struct policy_attempt *seen)
{
	bool look_up = seen->kind == ATTEMPT_RESOLVE;

	if (seen->kind != ATTEMPT_CONNECT && !look_up)
		return false;
	if (a->port != (look_up && !seen->port ? 443 : seen->port) || a->proto != (look_up ? POLICY_TCP : seen->proto))
		return false;
	if (a->peer.kind == PARTY_HOST || seen->peer.kind == PARTY_HOST)
		return a->peer.kind == seen->peer.kind;
	if (a->peer.addr && seen->peer.addr && addr_equal(a->peer.addr, seen->peer.addr))
		return true;
	return a->peer.n_names && seen->peer.n_names && strcmp(a->peer.names[0], seen->peer.names[0]) == 0;
}

/* How many of random connects the new policy allows beyond what was seen. */
static unsigned count_broader(const struct policy *old, const struct policy *new, const struct real *seen, unsigned n)
{
	struct policy_verdict before, now;
	char what[EXPLAIN_TEXT_MAX];
	unsigned bad = 0;

	for (unsigned i = 0; i < 4 * TRIES; i++) {
		struct try t = random_try();
		struct real r;
		bool known = false;

		t.kind = ATTEMPT_CONNECT;
		make_real(&t, &r);
		policy_decide(old, &r.a, &before);
		policy_decide(new, &r.a, &now);
		for (unsigned k = 0; k < n; k++)
			known |= is_same(&r.a, &seen[k].a);
		if (before.allow || !now.allow || known)
			continue;
		bad++;
		printf("# not seen: %s\n", policy_attempt_text(&r.a, what, sizeof what));
	}
	return bad;
}

/* Gathers attempts that a rule more would allow. */
static unsigned gather(const struct policy *p, struct try *tries, struct real *v, struct proposal *ret)
{
	struct policy_advice advice;
	struct policy_verdict now;
	unsigned n = 0;

	for (unsigned i = 0; i < TRIES; i++) {
		tries[n] = random_try();
		make_real(&tries[n], &v[n]);
		policy_decide(p, &v[n].a, &now);
		policy_advise(&now, &v[n].a, &advice);
		if (!now.allow && advice.remedy == REMEDY_ADD && proposal_add(ret, advice.line, 1, &err) == 0)
			n++;
	}
	return n;
}

/* Each of a policy's denials gets its rule: all are allowed then, and nothing else. Returns what is wrong. */
static unsigned allow_all(const struct policy *p, const char *text)
{
	struct proposal seen = { 0 };
	struct try tries[TRIES];
	struct real v[TRIES];
	char *lines[TRIES], *edited = NULL;
	struct json_doc doc;
	struct policy q;
	struct policy_verdict now;
	unsigned n = gather(p, tries, v, &seen), bad = proposal_merge(&seen, &err) < 0;

	for (size_t i = 0; i < seen.n; i++)
		lines[i] = seen.v[i].line;
	if (n && !bad && json_doc_parse(&doc, "p.json", text, strlen(text), &err) == 0) {
		bad += policy_edit_add(&doc, lines, seen.n, &edited, &err) < 0;
		json_doc_fini(&doc);
	}
	if (edited && load(&q, edited, &err) == 0) {
		for (unsigned i = 0; i < n; i++) {
			policy_decide(&q, &v[i].a, &now);
			/* A name that is allowed now may have an address that needs a rule, too. */
			bad += !now.allow && now.reason != POLICY_BY_ADDRESS && now.reason != POLICY_BY_HOST;
		}
		bad += count_broader(p, &q, v, n);
		policy_fini(&q);
	} else {
		bad += n > 0;
	}
	if (bad)
		printf("# %s\n# %s\n", err.text, edited ? edited : "");
	free(edited);
	proposal_fini(&seen);
	return bad;
}

static void test_random(void)
{
	struct rule rules[RULES_MAX];
	unsigned bad = 0, broader = 0, n;
	struct policy p;
	char *text, *again;

	seed_random();
	for (unsigned i = 0; i < 300; i++) {
		n = random_policy(rules);
		text = policy_json(rules, n, false, NULL);
		bad += add_twice(text);
		if (load(&p, text, &err) == 0) {
			if (policy_format(&p, &again, &err) == 0) {
				bad += add_twice(again);
				broader += allow_all(&p, again);
				free(again);
			}
			policy_fini(&p);
		}
		free(text);
	}
	TAP_INT(bad, 0, "policies take one more rule, however they are written");
	TAP_INT(broader, 0, "what was denied is allowed by the rules for it, and nothing else");
}

int main(void)
{
	test_merging();
	test_refusals();
	test_allowed();
	test_edits();
	test_patches();
	test_random();
	return tap_done();
}
