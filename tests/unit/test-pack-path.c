/* SPDX-License-Identifier: Apache-2.0 */
/* The path walker over a made-up tree, and the tree itself. */
#include <stdlib.h>

#include "pack/path.h"
#include "pack/tree.h"
#include "tap.h"

static const struct {
	const char *path, *target; /* target NULL: directory; "": file */
} world[] = {
	{ "/usr", NULL },	   { "/usr/lib", NULL },	{ "/usr/lib/x", "" },
	{ "/lib", "usr/lib" },	   { "/usr/bin", NULL },	{ "/bin", "/usr/bin" },
	{ "/usr/bin/sh", "dash" }, { "/usr/bin/dash", "" },	{ "/loop", "loop2" },
	{ "/loop2", "/loop" },	   { "/up", "../../usr/./lib" }, { "/usr/bin/self", "." },
	{ "/root", "/" },	   { "/dangling", "nowhere" },	{ "/slash", "usr/lib/" },
};

static int look(void *ctx, const char *path, struct path_found *ret, struct err *e)
{
	unsigned *count = ctx;

	(void)e;
	(*count)++;
	ret->kind = PATH_ABSENT;
	for (size_t i = 0; i < sizeof world / sizeof *world; i++) {
		if (strcmp(world[i].path, path) != 0)
			continue;
		ret->kind = !world[i].target ? PATH_DIR : *world[i].target ? PATH_LINK : PATH_OTHER;
		if (ret->kind == PATH_LINK)
			memcpy(ret->target, world[i].target, strlen(world[i].target) + 1);
	}
	return 0;
}

static void test_walk(void)
{
	static const struct {
		const char *path;
		unsigned flags;
		int rc;
		const char *real;
		enum path_kind kind;
	} cases[] = {
		{ "/", 0, 0, "/", PATH_DIR },
		{ "/..//./usr/", 0, 0, "/usr", PATH_DIR },
		{ "/lib/x", 0, 0, "/usr/lib/x", PATH_OTHER },
		{ "/bin/sh", 0, 0, "/usr/bin/dash", PATH_OTHER },
		{ "/bin/sh", PATH_NOFOLLOW, 0, "/usr/bin/sh", PATH_LINK },
		{ "/bin", PATH_NOFOLLOW, 0, "/bin", PATH_LINK },
		{ "/bin/../lib", 0, 0, "/usr/lib", PATH_DIR },
		{ "/up/x", 0, 0, "/usr/lib/x", PATH_OTHER },
		{ "/usr/bin/self", 0, 0, "/usr/bin", PATH_DIR },
		{ "/root/root/usr", 0, 0, "/usr", PATH_DIR },
		{ "/slash/x", 0, 0, "/usr/lib/x", PATH_OTHER },
		{ "/loop", 0, -ELOOP, NULL, PATH_ABSENT },
		{ "/dangling", 0, -ENOENT, NULL, PATH_ABSENT },
		{ "/dangling", PATH_MAKE, 0, "/nowhere", PATH_ABSENT },
		{ "/lib/new/deep", PATH_MAKE, 0, "/usr/lib/new/deep", PATH_ABSENT },
		{ "/usr/lib/x/y", 0, -ENOTDIR, NULL, PATH_ABSENT },
		{ "usr", 0, -EINVAL, NULL, PATH_ABSENT },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char real[PATH_MAX] = "untouched";
		enum path_kind kind = PATH_ABSENT;
		unsigned count = 0;
		struct err e = { 0 };
		int rc = path_walk(cases[i].path, cases[i].flags, look, &count, real, &kind, &e);

		TAP_INT(rc, cases[i].rc, "walk %s", cases[i].path);
		TAP_STR(real, cases[i].real ? cases[i].real : "untouched", "where %s leads",
			cases[i].path);
		if (rc == 0)
			TAP_INT(kind, cases[i].kind, "what %s is", cases[i].path);
	}
}

static void test_shapes(void)
{
	char joined[PATH_MAX], longest[PATH_MAX + 10];

	TAP_OK(path_is_normal("/"), "/ is normal");
	TAP_OK(path_is_normal("/a/.b/..c/d."), "dots in names are normal");
	TAP_OK(!path_is_normal(""), "empty is not");
	TAP_OK(!path_is_normal("a"), "relative is not");
	TAP_OK(!path_is_normal("/a/"), "a slash at the end is not");
	TAP_OK(!path_is_normal("//a"), "two slashes are not");
	TAP_OK(!path_is_normal("/a/../b"), ".. is not");
	TAP_OK(!path_is_normal("/a/."), ". is not");
	TAP_OK(path_below("/a/b", "/a"), "below");
	TAP_OK(path_below("/a", "/a"), "itself");
	TAP_OK(!path_below("/ab", "/a"), "a longer name is not below");
	TAP_OK(path_below("/ab", "/"), "all is below /");
	TAP_INT(path_join(joined, "/a/", "/b"), 0, "join");
	TAP_STR(joined, "/a/b", "one slash between");
	TAP_INT(path_join(joined, "/", "b"), 0, "join to /");
	TAP_STR(joined, "/b", "one slash before");
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	TAP_INT(path_join(joined, "/", longest), -ENAMETOOLONG, "too long");
	TAP_STR(path_base("/a/b"), "b", "base");
}

static void test_tree(void)
{
	struct tree t;
	struct err e = { 0 };
	struct node **v;
	char path[64];
	bool sorted = true;

	tree_init(&t);
	TAP_OK(!tree_find(&t, "/"), "an empty tree has nothing");
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(path, sizeof path, "/d/%d", i * 7919 % 5000);
		if (tree_add_text(&t, path, 0644, "x", WHY_ADD, &e) != 1)
			sorted = false;
	}
	TAP_OK(sorted, "five thousand are new");
	TAP_INT(tree_add_dir(&t, "/d/17", 0755, WHY_SYSTEM, &e), 0, "a taken path stays");
	TAP_INT(tree_find(&t, "/d/17")->kind, NODE_FILE, "as what it was");
	TAP_INT(tree_add_data(&t, "/nul", 0644, "a\0b", 3, WHY_ADD, &e), 1, "content with NUL");
	TAP_OK(memcmp(tree_find(&t, "/nul")->text, "a\0b", 3) == 0, "is kept whole");
	TAP_INT(t.n, 5001, "count");
	v = tree_sorted(&t);
	for (size_t i = 1; v && i < t.n; i++)
		sorted = sorted && strcmp(v[i - 1]->path, v[i]->path) < 0;
	TAP_OK(v && sorted, "sorted");
	free(v);
	tree_fini(&t);
}

int main(void)
{
	test_walk();
	test_shapes();
	test_tree();
	return tap_done();
}
