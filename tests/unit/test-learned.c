/* SPDX-License-Identifier: Apache-2.0 */
/* From attempts to a policy: what is taken, what is remarked, and what a liar gets. */
#include <stdlib.h>

#include "model/learned.h"
#include "rng.h"
#include "tap.h"

static struct err err;
static const char *comment = "a \"quoted\" comment";

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
	if (TAP_OK(learned_write(&l, base ? &doc : NULL, comment, &text, &err) == 0, "makes a policy"))
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
	      "[{ \"allow\": \"connect\", \"to\": \"db:1-2\" }]", "in one with a rule of the base: { \"allow\": \"connect\", \"to\": \"db:1-2\" }");
	check("[" CONNECT("db:1", "db", 2) "]", true, NULL, "\"rules\": []", "not learned");
	check("[{\"decision\":\"deny\",\"what\":\"connect\",\"attempt\":\"connect to x\",\"why\":\"denied by rule \\u001b[31m\",\"count\":1}]",
	      false, NULL, "\"rules\": []", "not learned: connect to x: denied by rule \\x1b[31m");
	check("[{\"others\":7}]", false, NULL, "\"rules\": []", "7 more found no room");
	check("[" CONNECT("10.0.0.1:1", "x", 2) "," CONNECT("10.0.0.2:1", "x", 2) "," CONNECT("10.0.0.3:1", "x", 2) "]", false, NULL,
	      "10.0.0.2:1", "not generalised: 3 addresses in 10.0.0.0/24");
}

#define BASE(comment, rules) "{ \"version\": 1," comment " \"net\": { \"rules\": [\n " rules "\n] } }"
#define TO(to) "{ \"allow\": \"connect\", \"to\": \"" to "\" }"
#define SAID(comment, to) "{ \"comment\": \"" comment "\", \"allow\": \"connect\", \"to\": \"" to "\" }"
#define ACCEPT(at, from, proto) \
	"{\"decision\":\"deny\",\"what\":\"accept\",\"peer\":\"" from "\",\"line\":\"{\\\"allow\\\":\\\"listen\\\",\\\"at\\\":\\\"" at \
	"\\\",\\\"from\\\":[\\\"" from "\\\"],\\\"proto\\\":\\\"" proto "\\\"}\",\"count\":2}"

static void test_bases(void)
{
	static const struct {
		const char *attempts, *base, *want, *report;
	} v[] = {
		/* What somebody wrote stays: its comment, its id, its place, its blanks. */
		{ "[" CONNECT("db:3", "db", 2) "]", BASE("", "{ \"comment\": \"mine\", \"id\": \"x\", \"allow\": \"connect\", \"to\": \"db:1-2\" },  " TO("b:1")),
		  BASE("", "{ \"comment\": \"mine\", \"id\": \"x\", \"allow\": \"connect\", \"to\": \"db:1-3\" },  " TO("b:1")),
		  "  kept as they are: 1 rule of the base\n  kept, and not needed by this run: " TO("b:1") "\n" },
		/* A rule with options is not for what was not said to be under them. */
		{ "[" CONNECT("db:2", "db", 2) "]", BASE("", "{\"allow\":\"connect\",\"to\":\"db:1\",\"rate\":\"1MB/s\"}"),
		  BASE("", "{\"allow\":\"connect\",\"to\":\"db:1\",\"rate\":\"1MB/s\"},\n " TO("db:2")), "kept as they are: 1 rule" },
		{ "[" CONNECT("db:2", "db", 2) "]", BASE("", "{\"deny\":\"connect\",\"to\":\"db:1\"}"),
		  BASE("", "{\"deny\":\"connect\",\"to\":\"db:1\"},\n " TO("db:2")), "kept as they are: 1 rule" },
		/* Peers and protocols go into one rule only where nothing else comes of it. */
		{ "[" ACCEPT(":1", "b", "tcp") "]", BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"a\"] }"),
		  BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"a\", \"b\"] }"), "in one with" },
		{ "[" ACCEPT(":1", "b", "tcp") "]", BASE("", "{ \"allow\": \"listen\", \"at\": \":1-2\", \"from\": [\"a\"] }"),
		  BASE("", "{ \"allow\": \"listen\", \"at\": \":1-2\", \"from\": [\"a\"] },\n { \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"b\"] }"),
		  "not needed" },
		{ "[" ACCEPT(":1", "a", "udp") "]", BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"a\"] }"),
		  BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"proto\": [\"tcp\", \"udp\"], \"from\": [\"a\"] }"), "in one with" },
		{ "[" ACCEPT(":1", "a", "udp") "]", BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"a\", \"b\"] }"),
		  BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"a\", \"b\"] },\n { \"allow\": \"listen\", \"at\": \":1\", \"proto\": \"udp\", \"from\": [\"a\"] }"),
		  "not needed" },
		/* A publication is for those that it names. */
		{ "[" ACCEPT(":1", "b", "tcp") "]",
		  BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"host\"], \"publish\": \"127.0.0.1:1\" }"),
		  BASE("", "{ \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"host\"], \"publish\": \"127.0.0.1:1\" },\n { \"allow\": \"listen\", \"at\": \":1\", \"from\": [\"b\"] }"),
		  "not needed" },
		/* Seen again. Of somebody's own comment nothing is changed. */
		{ "[" CONNECT("192.0.2.1:1", "x", 1) "," CONNECT("b:1", "b", 1) "]",
		  BASE("", SAID("seen once; an address without a name", "192.0.2.1:1") "," SAID("seen once", "b:1") "," SAID("seen once, says Eve", "c:1")),
		  BASE("", SAID("an address without a name", "192.0.2.1:1") "," TO("b:1") "," SAID("seen once, says Eve", "c:1")),
		  "not needed by this run: " TO("c:1") },
		{ "[" CONNECT("b:2", "b", 1) "]", BASE("", SAID("seen once", "b:1")), BASE("", TO("b:1-2")), "in one with" },
		/* A guess gives way to what is known, and stays one as long as it is not. */
		{ "[" RESOLVE("a.example.com") "," CONNECT("a.example.com:80", "a.example.com", 2) "]",
		  BASE("", SAID("seen once; only looked up, so the port is a guess", "a.example.com:443")), BASE("", TO("a.example.com:80")), "in one with" },
		{ "[" RESOLVE("a.example.com") "," CONNECT("a.example.com:443", "a.example.com", 1) "," CONNECT("a.example.com:80", "a.example.com", 2) "]",
		  BASE("", SAID("only looked up, so the port is a guess", "a.example.com:443")), BASE("", TO("a.example.com:80,443")), "in one with" },
		{ "[" RESOLVE("a.example.com") "]", BASE("", SAID("seen once; only looked up, so the port is a guess", "a.example.com:443")),
		  BASE("", SAID("only looked up, so the port is a guess", "a.example.com:443")), "kept as they are" },
		/* An address that has a name by now: the name's rule stands beside it. */
		{ "[" CONNECT("db:1", "db", 2) "]", BASE("", TO("10.88.0.11:1")), BASE("", TO("10.88.0.11:1") ",\n " TO("db:1")),
		  "not needed by this run: " TO("10.88.0.11:1") },
		/* Which commands it comes from, each once. */
		{ "[" CONNECT("b:2", "b", 2) "]", BASE("\"comment\":\"Learned on 1999-12-31 from: x. Read it before you use it.\",", TO("c:1")),
		  BASE("\"comment\":\"Learned on 1999-12-31 from: x; on 2000-01-01 from: y \\\"z\\\". Read it before you use it.\",", TO("c:1") ",\n " TO("b:2")), "" },
		{ "[" CONNECT("b:2", "b", 2) "]", BASE("\"comment\":\"Learned on 1999-12-31 from: y \\\"z\\\". Read it before you use it.\",", TO("c:1")),
		  BASE("\"comment\":\"Learned on 1999-12-31 from: y \\\"z\\\". Read it before you use it.\",", TO("c:1") ",\n " TO("b:2")), "" },
		{ "[" CONNECT("b:2", "b", 2) "]", BASE("\"comment\":\"My own. Read it before you use it.\",", TO("c:1")),
		  BASE("\"comment\":\"My own. Read it before you use it.\",", TO("c:1") ",\n " TO("b:2")), "" },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		printf("# base %zu\n", i);
		check(v[i].attempts, false, v[i].base, v[i].want, v[i].report);
	}
}

/* --- runs that follow each other ------------------------------------------------------ */

#define HOSTS 4
#define PORTS 7
#define THINGS ((size_t)HOSTS * PORTS * 2 * 2)

/* One of everything that an app may try here; each tells all but its number apart. */
static void thing(unsigned i, char *line, size_t size)
{
	static const char *const hosts[HOSTS] = { "a", "b", "192.0.2.1", "x.example.com" };
	unsigned port = 1 + i / 4 % PORTS;
	const char *proto = i & 1 ? ",\\\"proto\\\":\\\"udp\\\"" : "", *host = hosts[i / 4 / PORTS];

	if (i & 2) /* who comes in has no host name */
		(void)snprintf(line, size, "{\\\"allow\\\":\\\"listen\\\",\\\"at\\\":\\\":%u\\\",\\\"from\\\":[\\\"%s\\\"]%s}", port, strchr(host, 'x') ? "c" : host, proto);
	else
		(void)snprintf(line, size, "{\\\"allow\\\":\\\"connect\\\",\\\"to\\\":\\\"%s:%u\\\"%s}", host, port, proto);
}

/* How many of all things the policy allows and should not, or the other way round. */
static unsigned compare(const char *text, const bool *seen)
{
	struct proposal all = { 0 };
	struct json_doc doc;
	struct policy p;
	unsigned wrong = 0;

	if (json_doc_parse(&doc, "learned", text, strlen(text), &err) < 0)
		return THINGS;
	if (policy_read(&p, &doc, NULL, &err) < 0) {
		json_doc_fini(&doc);
		return THINGS;
	}
	for (unsigned i = 0; i < THINGS; i++) {
		char quoted[200];
		json_t *line;

		thing(i, quoted + 1, sizeof quoted - 2);
		quoted[0] = '"';
		(void)snprintf(quoted + strlen(quoted), 2, "\"");
		line = json_loads(quoted, JSON_DECODE_ANY, NULL);
		wrong += proposal_add(&all, json_string_value(line), 1, &err) < 0;
		wrong += (proposal_drop_allowed(&all, &p, NULL, NULL) == 1) != seen[i];
		proposal_fini(&all);
		json_decref(line);
	}
	policy_fini(&p);
	json_doc_fini(&doc);
	return wrong;
}

/* One more run over *text, which it replaces, with some of the things. */
static int run_over(char **text, bool *seen)
{
	char attempts[THINGS * 300] = "[", line[200], *made = NULL;
	struct learned l = { .asked = false };
	struct json_doc doc;
	int rc, most = 1 + (int)(rng() % 12);

	for (int n = 0; n < most; n++) {
		unsigned i = (unsigned)(rng() % THINGS);

		seen[i] = true;
		thing(i, line, sizeof line);
		(void)snprintf(attempts + strlen(attempts), 300, "{\"decision\":\"deny\",\"what\":\"%s\",\"line\":\"%s\",\"count\":%d},",
			       i & 2 ? "accept" : "connect", line, 1 + (int)(rng() % 2));
	}
	(void)snprintf(attempts + strlen(attempts), 16, "{\"others\":0}]");
	rc = take(&l, attempts);
	if (rc == 0 && *text)
		rc = json_doc_parse(&doc, "base", *text, strlen(*text), &err);
	if (rc == 0)
		rc = learned_write(&l, *text ? &doc : NULL, comment, &made, &err);
	if (*text)
		json_doc_fini(&doc);
	learned_fini(&l);
	free(*text);
	*text = made;
	return rc;
}

static void test_runs(void)
{
	const char *given = getenv("VRUN_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 20240229;

	printf("# seed %u\n", seed);
	rng_state += seed;
	for (int round = 0; round < 60; round++) {
		bool seen[THINGS] = { false };
		char *text = NULL;
		unsigned wrong = 0;
		int rc = 0;

		for (int run = 0; rc == 0 && run < 6; run++) {
			rc = run_over(&text, seen);
			wrong += rc == 0 ? compare(text, seen) : 0;
		}
		if (!TAP_OK(rc == 0 && wrong == 0, "after each of six runs just what was seen is allowed"))
			printf("# %u wrong (%s) in\n# %s\n", wrong, err.text, text ? text : "");
		free(text);
	}
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
	comment = "Learned on 2000-01-01 from: y \"z\". Read it before you use it.";
	test_bases();
	test_runs();
	test_lies();
	return tap_done();
}
