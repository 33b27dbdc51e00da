/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ready policies in policies/: each loads without a warning, has
 * expectations beside it, and keeps them. Then what expectation files may say.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/expect.h"
#include "model/policy_write.h"
#include "tap.h"

static struct err e;

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n > s && strcmp(name + n - s, suffix) == 0;
}

static void test_canonical(const struct policy *p, const char *name)
{
	AUTO_FREE char *text = NULL, *again = NULL;
	struct policy q;
	struct json_doc doc;

	if (!TAP_OK(policy_format(p, &text, &e) == 0 &&
			    json_doc_parse(&doc, name, text, strlen(text), &e) == 0, "%s is written", name))
		return;
	if (TAP_OK(policy_read(&q, &doc, NULL, &e) == 0, "%s is read back", name)) {
		TAP_INT(policy_format(&q, &again, &e), 0, "%s is written again", name);
		TAP_STR(again, text, "%s has one canonical form", name);
		policy_fini(&q);
	}
	json_doc_fini(&doc);
}

static void test_one(const char *dir, const char *name)
{
	char path[1024], test[1024], what[400], why[EXPECT_WHY_MAX];
	struct policy_warnings warnings = { 0 };
	struct policy p;
	struct expect_set s;
	size_t allow = 0, deny = 0;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	(void)snprintf(test, sizeof test, "%.*s" EXPECT_SUFFIX, (int)(strlen(path) - strlen(".json")), path);
	if (!TAP_OK(policy_load(&p, AT_FDCWD, path, &warnings, &e) == 0, "%s loads", name)) {
		printf("# %s (%s)\n", e.text, e.hint);
		return;
	}
	TAP_INT(warnings.n, 0, "%s has no warnings", name);
	if (warnings.n)
		printf("# %s\n", warnings.v[0].text);
	policy_warnings_fini(&warnings);
	test_canonical(&p, name);
	policy_fini(&p);
	if (!TAP_OK(expect_set_load(&s, test, NULL, &e) == 0, "%s has expectations", name)) {
		printf("# %s (%s)\n", e.text, e.hint);
		return;
	}
	for (size_t i = 0; i < s.x.n; i++) {
		const struct expectation *t = &s.x.v[i];
		int rc = expect_decide(t, &s.fabric, why, &e);

		*(t->allow ? &allow : &deny) += 1;
		if (!TAP_OK(rc == 1, "%s: %s", name, expect_text(t, what, sizeof what)))
			printf("# line %zu: %s\n", t->line, rc < 0 ? e.text : why);
	}
	TAP_OK(deny >= 5 && (allow >= 1 || s.self.net == POLICY_NET_NONE), "%s: both kinds are expected", name);
	expect_set_fini(&s);
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.' && has_suffix(d->d_name, ".json") && !has_suffix(d->d_name, EXPECT_SUFFIX);
}

static void test_ready(void)
{
	const char *srcdir = getenv("srcdir");
	struct dirent **list = NULL;
	char dir[512];
	int n;

	(void)snprintf(dir, sizeof dir, "%s/policies", srcdir ? srcdir : ".");
	n = scandir(dir, &list, visible, alphasort);
	TAP_OK(n >= 12, "there are ready policies in %s", dir);
	for (int i = 0; i < n; i++) {
		test_one(dir, list[i]->d_name);
		free(list[i]);
	}
	free(list);
}

static int load_text(struct expectations *x, const char *text)
{
	struct json_doc doc;
	int rc;

	e = (struct err){ 0 };
	rc = json_doc_parse(&doc, "t.test.json", text, strlen(text), &e);
	if (rc < 0)
		return rc;
	rc = expect_read(x, &doc, &e);
	json_doc_fini(&doc);
	return rc;
}

#define TESTS(t) "{\"tests\":[" t "]}"

static void test_files(void)
{
	static const struct {
		const char *json, *text;
	} bad[] = {
		{ "[]", "expected an object" },
		{ "{}", "\"tests\" is missing" },
		{ "{\"tests\":[]}", "no tests" },
		{ "{\"test\":[]}", "unknown key" },
		{ TESTS("1"), "expected an object" },
		{ TESTS("{}"), "needs one of" },
		{ TESTS("{\"connect\":\"a:1\"}"), "\"expect\" is missing" },
		{ TESTS("{\"expect\":\"yes\",\"connect\":\"a:1\"}"), "expected \"deny\" or \"allow\"" },
		{ TESTS("{\"expect\":\"deny\",\"connect\":\"a:1\",\"listen\":\":1\"}"), "needs one of" },
		{ TESTS("{\"expect\":\"deny\",\"connect\":[]}"), "an empty list" },
		{ TESTS("{\"expect\":\"deny\",\"connect\":[1]}"), "tests[0].connect[0]: expected a string" },
		{ TESTS("{\"expect\":\"deny\",\"accept\":\":1\"}"), "go together" },
		{ TESTS("{\"expect\":\"deny\",\"connect\":\"a:1\",\"from\":\"b\"}"), "go together" },
		{ TESTS("{\"expect\":\"deny\",\"listen\":\":1\",\"resolved\":\"1.1.1.1\"}"), "goes with" },
		{ TESTS("{\"expect\":\"deny\",\"listen\":\":1\",\"proto\":\"sctp\"}"), "\"tcp\" or \"udp\"" },
	};
	struct expectations x;
	char buf[400];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		TAP_INT(load_text(&x, bad[i].json), -EINVAL, "refused: %s", bad[i].json);
		TAP_HAS(e.text, bad[i].text, "for its reason");
	}
	if (!TAP_OK(load_text(&x, "{\"with\":[\"b.json\"],\"tests\":[{\"expect\":\"deny\",\n"
				  "\"connect\":[\"a:1\",\"b:2\"],\"proto\":\"udp\"},\n"
				  "{\"expect\":\"allow\",\"accept\":\":1\",\"from\":\"\\u001b\"}]}") == 0,
		    "a file of expectations"))
		return;
	TAP_INT(x.n, 3, "a list counts as several");
	TAP_INT(x.v[2].line, 3, "with their lines");
	TAP_STR(expect_text(&x.v[1], buf, sizeof buf), "deny connect b:2/udp", "in words");
	TAP_STR(expect_text(&x.v[2], buf, sizeof buf), "allow accept :1/tcp from \\x1b", "safe for a terminal");
	expect_fini(&x);
}

/* What no policy can be asked. */
static void test_senseless(void)
{
	static const struct {
		enum expect_what what;
		const char *target, *from, *resolved, *text;
	} v[] = {
		{ EXPECT_CONNECT, "a:80-81", NULL, NULL, "not one port" },
		{ EXPECT_CONNECT, "*.a.b:80", NULL, NULL, "not one host" },
		{ EXPECT_CONNECT, "10.0.0.0/8:80", NULL, NULL, "not one host" },
		{ EXPECT_CONNECT, "a:80", NULL, "10.0.0.1", "only a host name resolves" },
		{ EXPECT_CONNECT, "198.18.7.7:80", NULL, NULL, "stand for names" },
		{ EXPECT_CONNECT, "a", NULL, NULL, "no port" },
		{ EXPECT_LISTEN, "a:80", NULL, NULL, "not a place to listen at" },
		{ EXPECT_ACCEPT, ":80", "a.example", NULL, "known by address" },
		{ EXPECT_RESOLVE, "*", NULL, NULL, "not one host" },
	};
	struct policy p;
	struct fabric f = { .self = &p };
	char why[EXPECT_WHY_MAX];

	policy_init_none(&p);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct expectation t = { .what = v[i].what, .target = v[i].target, .from = v[i].from,
					 .resolved = v[i].resolved, .proto = POLICY_TCP };

		TAP_INT(expect_decide(&t, &f, why, &e), -EINVAL, "senseless: %s", v[i].target);
		TAP_HAS(e.text, v[i].text, "and told so");
	}
}

int main(void)
{
	test_ready();
	test_files();
	test_senseless();
	return tap_done();
}
