/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/interrupt.h"

/* Filesystems of the kernel: the launcher mounts them afresh. */
static const char *const never[] = { "/proc", "/sys", "/dev" };

static bool is_kernels(const char *path)
{
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		if (path_below(path, never[i]))
			return true;
	return false;
}

static bool has_caps(const struct host *h, const char *real)
{
	int fd = host_openat(h, real, O_RDONLY);
	bool has = fd >= 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;

	fd_close(&fd);
	return has;
}

/* Describes what lies at `source` as a node at `path`. */
static int describe(const struct host *h, const char *source, const char *path, const struct stat *st,
		    enum node_why why, char *target, struct node *ret, struct err *e)
{
	struct node n = { .path = path,
			  .why = why,
			  .uid = st->st_uid,
			  .gid = st->st_gid,
			  .dev = st->st_dev,
			  .ino = st->st_ino,
			  .nlink = st->st_nlink };
	char quoted[PATH_MAX];
	int rc;

	if (S_ISDIR(st->st_mode)) {
		/* Only the sticky bit has a meaning once everything has one owner. */
		n.kind = NODE_DIR;
		n.mode = st->st_mode & (S_ISVTX | 0777);
		n.lost_bits = st->st_mode & (S_ISUID | S_ISGID);
	} else if (S_ISREG(st->st_mode)) {
		n.kind = NODE_FILE;
		n.mode = st->st_mode & 0777;
		n.lost_bits = st->st_mode & (S_ISUID | S_ISGID);
		n.lost_caps = (st->st_mode & 0111) && has_caps(h, source);
		n.size = (uint64_t)st->st_size;
		n.source = source;
	} else if (S_ISLNK(st->st_mode)) {
		rc = host_readlink(h, source, target);
		if (rc < 0)
			return err_num(e, -rc, "%s", log_quote(quoted, sizeof quoted, source));
		n.kind = NODE_LINK;
		n.mode = 0777;
		n.text = target;
		n.size = strlen(target);
	} else {
		return err_set(e, EOPNOTSUPP, "%s: a %s cannot be packed",
			       log_quote(quoted, sizeof quoted, source),
			       S_ISSOCK(st->st_mode) ? "socket" :
			       S_ISFIFO(st->st_mode) ? "FIFO" :
						       "device node");
	}
	*ret = n;
	return 0;
}

/* Whether a file's content may be read. Notes or says that it may not. 0 or -EACCES. */
static int check_readable(struct place *p, const char *source, const struct stat *st, struct err *e)
{
	char quoted[PATH_MAX];

	if ((!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) || (st->st_mode & S_IROTH) ||
	    host_readable(p->host, source))
		return 0;
	(void)log_quote(quoted, sizeof quoted, source);
	if (p->lenient)
		notes_add(p->notes, "%s: not readable; left out", quoted);
	return err_num(e, EACCES, "%s", quoted);
}

/* State of one walk; a path_lookup sees it. */
struct placing {
	struct place *p;
	enum node_why why;
};

static int from_tree(const struct node *n, struct path_found *ret)
{
	ret->kind = n->kind == NODE_DIR ? PATH_DIR : n->kind == NODE_LINK ? PATH_LINK : PATH_OTHER;
	if (n->kind == NODE_LINK)
		memcpy(ret->target, n->text, strlen(n->text) + 1);
	return 0;
}

/* The bundle's answer, else the host's, which thereby becomes the bundle's. */
static int lookup(void *ctx, const char *path, struct path_found *ret, struct err *e)
{
	struct placing *w = ctx;
	struct place *p = w->p;
	struct node n, *found = tree_find(p->tree, path);
	char quoted[PATH_MAX];
	struct stat st;
	int rc;

	if (found)
		return from_tree(found, ret);
	ret->kind = PATH_ABSENT;
	if (p->fresh)
		return 0;
	if (is_kernels(path))
		return err_set(e, EXDEV, "%s: lies in a filesystem that is not packed",
			       log_quote(quoted, sizeof quoted, path));
	rc = host_lstat(p->host, path, &st);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return err_num(e, -rc, "%s", log_quote(quoted, sizeof quoted, path));
	/* A directory on the way need not be readable, only passable. */
	rc = S_ISREG(st.st_mode) ? check_readable(p, path, &st, e) : 0;
	if (rc < 0)
		return rc;
	rc = describe(p->host, path, path, &st, S_ISDIR(st.st_mode) ? WHY_PARENT : w->why,
		      ret->target, &n, e);
	if (rc == 0)
		rc = tree_add(p->tree, &n, &found, e);
	if (rc < 0)
		return rc;
	ret->kind = n.kind == NODE_DIR ? PATH_DIR : n.kind == NODE_LINK ? PATH_LINK : PATH_OTHER;
	return 0;
}

int place_path(struct place *p, const char *path, enum node_why why, char *ret_real, struct err *e)
{
	struct placing w = { .p = p, .why = why };
	char real[PATH_MAX];
	struct node *n;
	int rc = path_walk(path, 0, lookup, &w, real, NULL, e);

	if (rc < 0)
		return rc;
	n = tree_find(p->tree, real);
	if (n && n->why == WHY_PARENT)
		n->why = why;
	if (ret_real)
		memcpy(ret_real, real, strlen(real) + 1);
	return 0;
}

int place_mkdir(struct place *p, const char *path, mode_t mode, enum node_why why, char *ret_real,
		struct err *e)
{
	struct placing w = { .p = p, .why = why };
	char real[PATH_MAX], part[PATH_MAX];
	enum path_kind kind;
	int rc = path_walk(path, PATH_MAKE, lookup, &w, real, &kind, e);

	if (rc < 0)
		return rc;
	if (kind == PATH_OTHER)
		return err_num(e, ENOTDIR, "%s", path);
	/* Each absent parent, then the directory itself. */
	for (char *s = real; s; s = strchr(s + 1, '/')) {
		size_t n = (size_t)(s - real);

		memcpy(part, real, n);
		part[n] = '\0';
		if (n == 0)
			memcpy(part, "/", 2);
		rc = tree_add_dir(p->tree, part, 0755, WHY_PARENT, e);
		if (rc < 0)
			return rc;
	}
	rc = tree_add_dir(p->tree, real, mode, why, e);
	if (rc < 0)
		return rc;
	if (ret_real)
		memcpy(ret_real, real, strlen(real) + 1);
	return 0;
}

/* A directory that is taken with all it holds: `from` on the host is `to` in the bundle. */
struct descent {
	struct place *p;
	enum node_why why;
	place_filter filter;
	void *filter_ctx;
};

static int descend(struct descent *d, const char *from, const char *to, struct err *e);

static int take_entry(struct descent *d, const char *from, const char *to, struct err *e)
{
	char target[PATH_MAX], quoted[PATH_MAX];
	struct place *p = d->p;
	struct node n = { 0 }, *there = NULL;
	struct stat st;
	int rc;

	if (d->filter && !d->filter(d->filter_ctx, to))
		return 0;
	if (!p->fresh && is_kernels(to))
		return 0;
	rc = host_lstat(p->host, from, &st);
	if (rc == -ENOENT)
		return 0; /* gone since the directory was read */
	if (rc < 0)
		return err_num(e, -rc, "%s", log_quote(quoted, sizeof quoted, from));
	if (S_ISDIR(st.st_mode) && st.st_dev == p->skip_dev &&
	    (st.st_ino == p->skip_ino[0] || st.st_ino == p->skip_ino[1]))
		return 0;
	rc = check_readable(p, from, &st, e);
	if (rc < 0)
		return p->lenient ? 0 : rc;
	rc = describe(p->host, from, to, &st, d->why, target, &n, e);
	if (rc == -EOPNOTSUPP) {
		notes_add(p->notes, "%s; left out", e->text);
		return 0;
	}
	if (rc == 0)
		rc = tree_add(p->tree, &n, &there, e);
	if (rc < 0 || !there)
		return rc;
	if (rc == 0 && there->why == WHY_PARENT)
		there->why = d->why;
	if (n.kind != there->kind)
		return err_set(e, EEXIST, "%s: already in the bundle as something else",
			       log_quote(quoted, sizeof quoted, to));
	return n.kind == NODE_DIR ? descend(d, from, to, e) : 0;
}

static int descend(struct descent *d, const char *from, const char *to, struct err *e)
{
	int fd = host_openat(d->p->host, from, O_RDONLY | O_DIRECTORY), rc = 0;
	char quoted[PATH_MAX];
	struct dirent *de;
	DIR *dir;

	if (fd < 0)
		return err_num(e, -fd, "%s", log_quote(quoted, sizeof quoted, from));
	dir = fdopendir(fd);
	if (!dir) {
		fd_close(&fd);
		return err_num(e, ENOMEM, "%s", from);
	}
	while (rc == 0 && (de = readdir(dir))) {
		char sub_from[PATH_MAX], sub_to[PATH_MAX];

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		rc = interrupt_check(e);
		if (rc == 0 && (path_join(sub_from, from, de->d_name) < 0 ||
				path_join(sub_to, to, de->d_name) < 0))
			rc = err_num(e, ENAMETOOLONG, "%s",
				     log_quote(quoted, sizeof quoted, from));
		if (rc == 0)
			rc = take_entry(d, sub_from, sub_to, e);
	}
	(void)closedir(dir);
	return rc;
}

int place_tree(struct place *p, const char *path, enum node_why why, place_filter filter,
	       void *filter_ctx, struct err *e)
{
	struct descent d = { .p = p, .why = why, .filter = filter, .filter_ctx = filter_ctx };
	char real[PATH_MAX];
	struct node *n;
	int rc = place_path(p, path, why, real, e);

	if (rc < 0)
		return rc;
	n = tree_find(p->tree, real);
	if (!n)
		return err_set(e, EXDEV, "%s: the whole system cannot be packed", path);
	return n->kind == NODE_DIR ? descend(&d, real, real, e) : 0;
}

/* The place of a destination: its parents made, its last component not followed. */
static int destination(struct place *p, const char *dest, enum node_why why, char *ret_to,
		       struct err *e)
{
	char parent[PATH_MAX], real_parent[PATH_MAX];
	size_t n = strlen(dest);
	const char *base;
	int rc;

	while (n > 1 && dest[n - 1] == '/')
		n--;
	if (n >= sizeof parent)
		return err_num(e, ENAMETOOLONG, "%s", dest);
	memcpy(parent, dest, n);
	parent[n] = '\0';
	base = path_base(parent);
	if (strcmp(base, "") == 0 || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return place_mkdir(p, parent, 0755, why, ret_to, e);
	base = dest + (base - parent);
	parent[base - dest] = '\0';
	rc = place_mkdir(p, parent, 0755, WHY_PARENT, real_parent, e);
	if (rc < 0)
		return rc;
	n -= (size_t)(base - dest);
	memcpy(parent, base, n);
	parent[n] = '\0';
	if (path_join(ret_to, real_parent, parent) < 0)
		return err_num(e, ENAMETOOLONG, "%s", dest);
	return 0;
}

/*
 * The place of a directory: a link that is there is followed, so that what is
 * added joins what it leads to.
 */
static int directory_destination(struct place *p, const char *dest, enum node_why why, char *ret_to,
				 struct err *e)
{
	struct placing w = { .p = p, .why = why };
	char real[PATH_MAX], quoted[PATH_MAX];
	enum path_kind kind;
	int rc = path_walk(dest, PATH_MAKE, lookup, &w, real, &kind, e);

	if (rc < 0)
		return rc;
	if (kind == PATH_OTHER)
		return err_num(e, ENOTDIR, "%s", log_quote(quoted, sizeof quoted, dest));
	return destination(p, real, why, ret_to, e);
}

int place_map(struct place *p, const char *source, const char *dest, enum node_why why,
	      struct err *e)
{
	struct descent d = { .p = p, .why = why };
	char to[PATH_MAX], quoted[PATH_MAX];
	struct stat st;
	int rc = host_lstat(p->host, source, &st);

	if (rc < 0)
		return err_num(e, -rc, "%s", log_quote(quoted, sizeof quoted, source));
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(e, EOPNOTSUPP, "%s: not a file or directory",
			       log_quote(quoted, sizeof quoted, source));
	if (!p->fresh && is_kernels(dest))
		return err_set(e, EXDEV, "%s: lies in a filesystem that is not packed",
			       log_quote(quoted, sizeof quoted, dest));
	if (!S_ISDIR(st.st_mode)) {
		rc = destination(p, dest, why, to, e);
		return rc < 0 ? rc : take_entry(&d, source, to, e);
	}
	rc = directory_destination(p, dest, why, to, e);
	if (rc < 0)
		return rc;
	return tree_find(p->tree, to) ? descend(&d, source, to, e) : take_entry(&d, source, to, e);
}
