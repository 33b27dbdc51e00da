/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy test: expectations beside policies, in the Test Anything Protocol. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "model/expect.h"

struct tally {
	size_t count, failed;
};

static void result(struct tally *t, bool ok, const char *file, const char *what)
{
	char quoted[300];

	t->count++;
	t->failed += !ok;
	(void)printf("%s %zu - %s: %s\n", ok ? "ok" : "not ok", t->count,
		     log_quote(quoted, sizeof quoted, file), what);
}

static void explain(const struct expectation *x, const char *why)
{
	(void)printf("#   line %zu: %s\n", x->line, why);
}

static void fail_file(struct tally *t, const char *path, const struct err *e)
{
	result(t, false, path, "loads");
	(void)printf("#   %s%s%s%s\n", e->text, *e->hint ? " (" : "", e->hint, *e->hint ? ")" : "");
}

static void test_file(struct tally *t, const char *path)
{
	char what[1000], why[EXPECT_WHY_MAX];
	struct expect_set s;
	struct err e = { 0 };

	if (expect_set_load(&s, path, NULL, &e) < 0) {
		fail_file(t, path, &e);
		return;
	}
	for (size_t i = 0; i < s.x.n; i++) {
		int rc = expect_decide(&s.x.v[i], &s.fabric, why, &e);

		result(t, rc == 1, path, expect_text(&s.x.v[i], what, sizeof what));
		if (rc != 1)
			explain(&s.x.v[i], rc < 0 ? e.text : why);
	}
	expect_set_fini(&s);
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n > s && strcmp(name + n - s, suffix) == 0;
}

static int is_test(const struct dirent *d)
{
	return d->d_name[0] != '.' && has_suffix(d->d_name, EXPECT_SUFFIX);
}

static int test_dir(struct tally *t, const char *dir, struct err *e)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, is_test, alphasort);
	bool slash = has_suffix(dir, "/");

	if (n < 0)
		return err_sys(e, "%s", dir);
	for (int i = 0; i < n; i++) {
		AUTO_FREE char *path = NULL;

		if (asprintf(&path, "%s%s%s", dir, slash ? "" : "/", list[i]->d_name) < 0)
			path = NULL;
		else
			test_file(t, path);
		free(list[i]);
	}
	free(list);
	if (n > 0)
		return 0;
	(void)err_set(e, ENOENT, "%s: no expectations here", dir);
	return err_hint(e, "write NAME" EXPECT_SUFFIX " beside NAME.json; vrun-policy(5) has an example");
}

/* NAME.json stands for the NAME.test.json beside it. */
static int test_path(struct tally *t, const char *path, struct err *e)
{
	AUTO_FREE char *beside = NULL;
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, "%s", path);
	if (S_ISDIR(st.st_mode))
		return test_dir(t, path, e);
	if (has_suffix(path, ".json") && !has_suffix(path, EXPECT_SUFFIX)) {
		if (asprintf(&beside, "%.*s" EXPECT_SUFFIX, (int)(strlen(path) - strlen(".json")), path) < 0) {
			beside = NULL;
			return err_num(e, ENOMEM, "%s", path);
		}
		path = beside;
	}
	test_file(t, path);
	return 0;
}

int policy_cmd_test(int argc, char **argv)
{
	struct tally t = { 0 };
	struct err e = { 0 };
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return policy_help();
		if (argv[i][0] == '-')
			return command_usage("policy", "test takes no option %s", argv[i]);
	}
	if (argc < 2)
		return command_usage("policy", "test needs a DIR or FILE");
	for (int i = 1; rc == 0 && i < argc; i++)
		rc = test_path(&t, argv[i], &e);
	if (rc < 0)
		return command_fail(&e);
	(void)printf("1..%zu\n", t.count);
	if (fflush(stdout) != 0)
		return EXIT_VRUN;
	return t.failed ? 1 : 0;
}
