/* SPDX-License-Identifier: Apache-2.0 */
/* The documents of the bundle format: their examples are read, and every mount option is in them.
 */
#include <fcntl.h>

#include "base/fd.h"
#include "bundle-text.h"
#include "tap.h"

static struct err e;

static char *read_document(const char *name)
{
	const char *srcdir = getenv("srcdir");
	char path[512], *text = NULL;

	(void)snprintf(path, sizeof path, "%s/%s", srcdir ? srcdir : ".", name);
	if (!TAP_OK(fd_read_file(AT_FDCWD, path, 1 << 20, &text, NULL, &e) == 0, "%s", name))
		printf("#   %s\n", e.text);
	return text;
}

/* The next example: the lines from "{" to "}". NULL behind the last one. On the heap. */
static char *next_example(const char **at)
{
	const char *start = strstr(*at, "\n{\n"), *end;

	if (!start)
		return NULL;
	end = strstr(start, "\n}\n");
	if (!end)
		return NULL;
	*at = end + 2;
	return strndup(start + 1, (size_t)(end + 3 - start - 1));
}

static size_t test_examples(const char *name, const char *text)
{
	const char *at = text;
	size_t n = 0;
	char *example;

	while ((example = next_example(&at)) != NULL) {
		struct bundle b;

		if (!TAP_OK(bundle_from_text(&b, example, &e) == 0, "example %zu of %s", ++n, name))
			printf("#   %s\n", e.text);
		else
			TAP_OK(b.process.given && b.unsupported.n == 0, "can be run");
		free(example);
		bundle_fini(&b);
	}
	return n;
}

/* Whether the text has the word with nothing of a name around it. */
static bool has_word(const char *text, const char *word)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyz-=.";
	size_t len = strlen(word);

	for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
		if ((p == text || !strchr(name, p[-1])) && (!p[len] || !strchr(name, p[len])))
			return true;
	return false;
}

static void test_options(const char *name, const char *text)
{
	static const char *const attrs[] = {
		"ro",      "rw",    "nosuid",      "suid",       "nodev",       "dev",
		"noexec",  "exec",  "nosymfollow", "symfollow",  "nodiratime",  "diratime",
		"noatime", "atime", "relatime",    "norelatime", "strictatime", "nostrictatime",
	};
	static const char *const others[] = {
		"bind",       "rbind",    "private",    "rprivate",    "shared", "rshared",
		"slave",      "rslave",   "unbindable", "runbindable", "sync",   "async",
		"dirsync",    "lazytime", "nolazytime", "silent",      "loud",   "iversion",
		"noiversion", "mand",     "nomand",     "defaults",    "idmap",  "ridmap",
		"tmpcopyup",  "remount",
	};
	char recursive[32];

	for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++) {
		(void)snprintf(recursive, sizeof recursive, "r%s", attrs[i]);
		TAP_OK(has_word(text, attrs[i]), "%s explains %s", name, attrs[i]);
		TAP_OK(has_word(text, recursive), "%s explains %s", name, recursive);
	}
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		TAP_OK(has_word(text, others[i]), "%s explains %s", name, others[i]);
}

/* The page and the text say the same by example. */
static void test_same(const char *a, const char *b)
{
	for (size_t i = 0;; i++) {
		AUTO_FREE char *x = next_example(&a);
		AUTO_FREE char *y = next_example(&b);

		if (!x && !y)
			return;
		TAP_STR(x, y, "example %zu is the same in both", i + 1);
		if (!x || !y)
			return;
	}
}

int main(void)
{
	static const char *const names[] = {"bundle-spec/bundle.md", "man/vrun-bundle.5"};
	AUTO_FREE char *spec = read_document(names[0]);
	AUTO_FREE char *page = read_document(names[1]);

	if (!spec || !page)
		return tap_done();
	TAP_OK(test_examples(names[0], spec) >= 3, "%s has examples", names[0]);
	TAP_OK(test_examples(names[1], page) >= 3, "%s has examples", names[1]);
	test_same(spec, page);
	test_options(names[0], spec);
	test_options(names[1], page);
	return tap_done();
}
