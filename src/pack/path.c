/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/path.h"

#include <stdio.h>
#include <string.h>

#define LINKS_MAX 40U /* MAXSYMLINKS of the kernel */

int path_join(char *dst, const char *dir, const char *name)
{
	size_t n = strlen(dir);
	int len;

	while (n > 0 && dir[n - 1] == '/')
		n--;
	while (*name == '/')
		name++;
	len = snprintf(dst, PATH_MAX, "%.*s/%s", (int)n, dir, name);
	return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

bool path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return path[0] == '/';
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

bool path_is_normal(const char *path)
{
	if (path[0] != '/' || strlen(path) >= PATH_MAX)
		return false;
	if (path[1] == '\0')
		return true;
	while (*path == '/') {
		size_t n = strcspn(++path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') ||
		    (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += n;
	}
	return *path == '\0';
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* One walk under way: what is resolved, and what is still to do. */
struct walk {
	const char *asked;
	char real[PATH_MAX]; /* "" stands for "/" */
	char rest[PATH_MAX];
	unsigned links;
};

/* Takes the next component off w->rest into name; false at the end. */
static bool next_component(struct walk *w, char *name)
{
	const char *p = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(p, "/");

	if (n == 0)
		return false;
	memcpy(name, p, n);
	name[n] = '\0';
	memmove(w->rest, p + n, strlen(p + n) + 1);
	return true;
}

static bool more_to_come(const struct walk *w)
{
	return w->rest[strspn(w->rest, "/")] != '\0';
}

static int follow(struct walk *w, const char *target, struct err *e)
{
	char joined[2 * PATH_MAX];
	int n;

	if (++w->links > LINKS_MAX)
		return err_num(e, ELOOP, "%s", w->asked);
	n = snprintf(joined, sizeof joined, "%s%s", target, w->rest);
	if (n < 0 || n >= PATH_MAX)
		return err_num(e, ENAMETOOLONG, "%s", w->asked);
	memcpy(w->rest, joined, (size_t)n + 1);
	if (target[0] == '/')
		w->real[0] = '\0';
	return 0;
}

/* Goes to `name` below w->real. ret_kind: what lies there, PATH_LINK only when it is the result. */
static int step(struct walk *w, const char *name, unsigned flags, path_lookup lookup, void *ctx,
		enum path_kind *ret_kind, struct err *e)
{
	struct path_found found;
	char next[PATH_MAX];
	int rc;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		char *slash = strrchr(w->real, '/');

		if (slash)
			*slash = '\0';
		*ret_kind = PATH_DIR;
		return 0;
	}
	if (path_join(next, w->real, name) < 0)
		return err_num(e, ENAMETOOLONG, "%s", w->asked);
	rc = lookup(ctx, next, &found, e);
	if (rc < 0)
		return rc;
	if (found.kind == PATH_ABSENT && !(flags & PATH_MAKE))
		return err_num(e, ENOENT, "%s", w->asked);
	if (found.kind == PATH_OTHER && more_to_come(w))
		return err_num(e, ENOTDIR, "%s", w->asked);
	if (found.kind == PATH_LINK && !((flags & PATH_NOFOLLOW) && !more_to_come(w))) {
		*ret_kind = PATH_DIR; /* of w->real, should the target be "." */
		return follow(w, found.target, e);
	}
	memcpy(w->real, next, sizeof next);
	*ret_kind = found.kind;
	return 0;
}

int path_walk(const char *path, unsigned flags, path_lookup lookup, void *ctx, char *ret_real,
	      enum path_kind *ret_kind, struct err *e)
{
	enum path_kind kind = PATH_DIR;
	struct walk w = { .asked = path };
	char name[PATH_MAX];

	if (path[0] != '/')
		return err_set(e, EINVAL, "%s: not an absolute path", path);
	if (strlen(path) >= sizeof w.rest)
		return err_num(e, ENAMETOOLONG, "%s", path);
	memcpy(w.rest, path, strlen(path) + 1);
	while (next_component(&w, name)) {
		int rc = step(&w, name, flags, lookup, ctx, &kind, e);

		if (rc < 0)
			return rc;
	}
	if (w.real[0] == '\0')
		memcpy(w.real, "/", 2);
	memcpy(ret_real, w.real, strlen(w.real) + 1);
	if (ret_kind)
		*ret_kind = kind;
	return 0;
}
