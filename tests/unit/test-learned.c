/* SPDX-License-Identifier: Apache-2.0 */
/* From attempts to a policy: what is taken, what is remarked, and what a liar gets. */
#include <stdlib.h>

#include "model/learned.h"
#include "tap.h"

static struct err err;

#define CONNECT(to, peer, count) \
	"{\"decision\":\"deny\",\"what\":\"connect\",\"peer\":\"" peer "\",\"line\":\"{\\\"allow\\\":\\\"connect\\\",\\\"to\\\":\\\"" to \
	"\\\"}\",\"count\":" #count "}"
#define RESOLVE(name) \
	"{\"decision\":\"deny\",\"what\":\"resolve\",\"peer\":\"" name "\",\"line\":\"{\\\"allow\\\":\\\"connect\\\",\\\"to\\\":\\\"" name \
	":443\\\"}\",\"count\":1}"

static int take(struct learned *l, const char *text)
{
	json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);
	int rc = o ? learned_take(l, o, &err) : -EINVAL;

	json_decref(o);
	return rc;
}

/* The policy and the report of these attempts. */
static void check(const char *attempts, bool asked, const char *base, const char *want, const char *report)
{
	struct learned l = { .asked = asked };
	char *text = NULL, *said = NULL;
	struct json_doc doc;
	size_t len;
	FILE *f;

	if (!TAP_OK(take(&l, attempts) == 0, "takes attempts"))
		printf("# %s\n", err.text);
	if (base && json_doc_parse(&doc, "base.json", base, strlen(base), &err) < 0)
		return;
	if (TAP_OK(learned_write(&l, base ? &doc : NULL, "a \"quoted\" comment", &text, &err) == 0, "makes a policy"))
		TAP_HAS(text, want, "with its rules");
	else
		printf("# %s\n", err.text);
	f = open_memstream(&said, &len);
	if (f) {
		learned_report(&l, f);
		(void)fclose(f);
		TAP_HAS(said, report, "and says so");
	}
	if (base)
		json_doc_fini(&doc);
	free(said);
	free(text);
	learned_fini(&l);
}

static void test_policies(void)
{
	check("[" CONNECT("db:5432", "db", 3) "," CONNECT("db:5433", "db", 1) ",{\"others\":0}]", false, NULL,
	      "  \"comment\": \"a \\\"quoted\\\" comment\",\n  \"net\": {\n    \"rules\": [\n      { \"allow\": \"connect\", \"to\": \"db:5432-5433\" }\n    ]\n",
	      "  { \"allow\": \"connect\", \"to\": \"db:5432-5433\" }\n");
	check("[" RESOLVE("a.example.com") "," CONNECT("a.example.com:8443", "a.example.com", 2) "]", false, NULL,
	      "[\n      { \"comment\": \"a host outside at another port than the web's\", \"allow\": \"connect\", \"to\": \"a.example.com:8443\" }\n    ]",
	      "(a host outside");
	check("[" RESOLVE("a.example.com") "]", false, NULL, "\"seen once; only looked up, so the port is a guess\"",
	      "only looked up");
	check("[" CONNECT("db:1", "db", 2) "," CONNECT("db:2", "db", 2) "]", false,
	      "{ \"version\": 1, \"net\": { \"rules\": [{ \"allow\": \"connect\", \"to\": \"db:1\" }] } }",
	      "[{ \"allow\": \"connect\", \"to\": \"db:1\" }, { \"allow\": \"connect\", \"to\": \"db:2\" }]", "db:2");
	check("[" CONNECT("db:1", "db", 2) "]", true, NULL, "\"rules\": []", "not learned");
	check("[{\"decision\":\"deny\",\"what\":\"connect\",\"attempt\":\"connect to x\",\"why\":\"denied by rule \\u001b[31m\",\"count\":1}]",
	      false, NULL, "\"rules\": []", "not learned: connect to x: denied by rule \\x1b[31m");
	check("[{\"others\":7}]", false, NULL, "\"rules\": []", "7 more found no room");
	check("[" CONNECT("10.0.0.1:1", "x", 2) "," CONNECT("10.0.0.2:1", "x", 2) "," CONNECT("10.0.0.3:1", "x", 2) "]", false, NULL,
	      "10.0.0.2:1", "not generalised: 3 addresses in 10.0.0.0/24");
}

static void test_lies(void)
{
	static const char *const bad[] = {
		"{}", "1", "[1]", "[{}]", "[{\"decision\":\"deny\"}]", "[{\"decision\":\"deny\",\"count\":0}]",
		"[" CONNECT("*:1", "x", 1) "]", "[" CONNECT("db:1-2", "x", 1) "]", "[" CONNECT("db:1\\\"},{", "x", 1) "]",
		"[{\"decision\":\"allow\",\"what\":\"listen\",\"count\":1,\"line\":\"{\\\"allow\\\":\\\"listen\\\",\\\"at\\\":\\\":1\\\",\\\"from\\\":[\\\"*\\\"]}\"}]",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct learned l = { 0 };

		TAP_OK(take(&l, bad[i]) < 0, "refuses %s", bad[i]);
		TAP_INT(l.rules.n, 0, "and learns nothing of it");
		learned_fini(&l);
	}
}

int main(void)
{
	test_policies();
	test_lies();
	return tap_done();
}
