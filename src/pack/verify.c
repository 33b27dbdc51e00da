/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/verify.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "pack/hash.h"
#include "pack/interrupt.h"
#include "pack/manifest.h"
#include "pack/path.h"
#include "pack/tree.h"

#define BUFFER_BYTES (1U << 20)
#define INSIDE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

static const char *const kind_names[] = { "differs", "missing", "extra" };
_Static_assert(sizeof kind_names / sizeof *kind_names == VERIFY_KINDS, "a name for each kind");

const char *verify_kind_name(enum verify_kind kind)
{
	return (unsigned)kind < VERIFY_KINDS ? kind_names[kind] : "unknown";
}

bool verify_report_ok(const struct verify_report *r)
{
	return r->count[VERIFY_DIFFERS] + r->count[VERIFY_MISSING] + r->count[VERIFY_EXTRA] == 0;
}

void verify_report_fini(struct verify_report *r)
{
	arena_fini(&r->arena);
	*r = (struct verify_report){ 0 };
}

/* One tree under comparison. */
struct comparison {
	struct verify_report *r;
	struct progress *progress;
	const char *prefix; /* "/rootfs", "/data/0" */
	struct tree tree;   /* what the manifest says; node->seen once it was met */
	struct stat root;
	unsigned char *buffer;
};

__attribute__((format(printf, 4, 5))) static int found(struct comparison *c, enum verify_kind kind,
							const char *path, const char *fmt, ...)
{
	struct verify_report *r = c->r;
	struct verify_finding *f;
	char what[256];
	va_list ap;

	if (r->count[VERIFY_DIFFERS] + r->count[VERIFY_MISSING] + r->count[VERIFY_EXTRA] >=
	    VERIFY_FINDINGS_MAX) {
		r->count[kind]++;
		return 0;
	}
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	f = arena_alloc(&r->arena, sizeof *f);
	if (!f)
		return -ENOMEM;
	f->kind = kind;
	f->path = arena_printf(&r->arena, "%s%s", c->prefix, path[1] ? path : "");
	f->what = arena_strdup(&r->arena, what);
	if (!f->path || !f->what)
		return -ENOMEM;
	r->count[kind]++;
	*r->last = f;
	r->last = &f->next;
	return 0;
}

/* --- what lies there ------------------------------------------------------ */

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symlink";
	case S_IFSOCK:
		return "a socket";
	case S_IFIFO:
		return "a FIFO";
	default:
		return "a device node";
	}
}

static mode_t type_of(enum node_kind kind)
{
	return kind == NODE_DIR ? S_IFDIR : kind == NODE_LINK ? S_IFLNK : S_IFREG;
}

static int compare_link(struct comparison *c, int dirfd, const char *name, const struct node *n,
			struct err *e)
{
	char target[PATH_MAX], quoted[128];
	ssize_t len = readlinkat(dirfd, name, target, sizeof target - 1);

	if (len < 0)
		return err_sys(e, "%s%s", c->prefix, n->path);
	target[len] = '\0';
	if (strcmp(target, n->text) == 0)
		return 0;
	return found(c, VERIFY_DIFFERS, n->path, "leads to %s", log_quote(quoted, sizeof quoted, target));
}

static int compare_file(struct comparison *c, int dirfd, const char *name, const struct node *n,
			struct err *e)
{
	unsigned char digest[HASH_BYTES];
	char shown[PATH_MAX], quoted[PATH_MAX];
	AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int rc;

	(void)snprintf(shown, sizeof shown, "%s%s", c->prefix, log_quote(quoted, sizeof quoted - 64, n->path));
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", shown);
	if (!S_ISREG(st.st_mode))
		return found(c, VERIFY_DIFFERS, n->path, "became %s", type_name(st.st_mode));
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0) {
		rc = found(c, VERIFY_DIFFERS, n->path, "has file capabilities");
		if (rc < 0)
			return rc;
	}
	if ((uint64_t)st.st_size != n->size)
		return found(c, VERIFY_DIFFERS, n->path, "%llu bytes, not %llu",
			     (unsigned long long)st.st_size, (unsigned long long)n->size);
	rc = hash_fd(fd, c->buffer, BUFFER_BYTES, digest, NULL, shown, e);
	if (rc < 0)
		return rc;
	if (memcmp(digest, n->digest, sizeof digest) != 0)
		return found(c, VERIFY_DIFFERS, n->path, "content");
	return 0;
}

/* Type, owner and mode of one entry, then what its type has besides. */
static int compare_entry(struct comparison *c, int dirfd, const char *name, const struct node *n,
			 const struct stat *st, struct err *e)
{
	int rc = 0;

	if ((st->st_mode & S_IFMT) != type_of(n->kind))
		return found(c, VERIFY_DIFFERS, n->path, "%s, not %s", type_name(st->st_mode),
			     type_name(type_of(n->kind)));
	if (st->st_uid != c->root.st_uid)
		rc = found(c, VERIFY_DIFFERS, n->path, "belongs to user %u, the bundle to %u", st->st_uid,
			   c->root.st_uid);
	if (rc == 0 && n->kind != NODE_LINK && (st->st_mode & 07777) != n->mode)
		rc = found(c, VERIFY_DIFFERS, n->path, "mode %04o, not %04o",
			   (unsigned)(st->st_mode & 07777), (unsigned)n->mode);
	if (rc < 0 || n->kind == NODE_DIR)
		return rc;
	return n->kind == NODE_LINK ? compare_link(c, dirfd, name, n, e) :
				      compare_file(c, dirfd, name, n, e);
}

static int walk(struct comparison *c, int fd, const char *path, struct err *e);

static int descend(struct comparison *c, int dirfd, const char *name, const char *path,
		   const struct stat *st, struct err *e)
{
	char quoted[PATH_MAX];
	int fd;

	if (st->st_dev != c->root.st_dev)
		return found(c, VERIFY_DIFFERS, path, "something is mounted on it");
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s%s", c->prefix, log_quote(quoted, sizeof quoted, path));
	return walk(c, fd, path, e);
}

static int visit(struct comparison *c, int dirfd, const char *name, const char *path, struct err *e)
{
	struct node *n = tree_find(&c->tree, path);
	char quoted[PATH_MAX];
	struct stat st;
	int rc = interrupt_check(e);

	if (rc < 0)
		return rc;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0; /* gone meanwhile: then it is missing, if it was to be there */
		return err_sys(e, "%s%s", c->prefix, log_quote(quoted, sizeof quoted, path));
	}
	if (!n) {
		rc = found(c, VERIFY_EXTRA, path, "%s", type_name(st.st_mode));
	} else {
		n->seen = true;
		c->r->checked++;
		rc = compare_entry(c, dirfd, name, n, &st, e);
		if (c->progress)
			progress_step(c->progress, 1, n->kind == NODE_FILE ? n->size : 0, name);
	}
	if (rc == 0 && S_ISDIR(st.st_mode))
		rc = descend(c, dirfd, name, path, &st, e);
	return rc;
}

/* Takes the fd over. */
static int walk(struct comparison *c, int fd, const char *path, struct err *e)
{
	DIR *dir = fdopendir(fd);
	char sub[PATH_MAX], quoted[PATH_MAX];
	struct dirent *de;
	int rc = 0;

	if (!dir) {
		fd_close(&fd);
		return err_num(e, ENOMEM, "%s", c->prefix);
	}
	while (rc == 0 && (de = readdir(dir))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (path_join(sub, path, de->d_name) < 0)
			rc = err_num(e, ENAMETOOLONG, "%s%s", c->prefix,
				     log_quote(quoted, sizeof quoted, path));
		else
			rc = visit(c, fd, de->d_name, sub, e);
	}
	(void)closedir(dir);
	return rc;
}

/* --- what the manifest says ------------------------------------------------ */

static int bad(struct err *e, const char *what)
{
	return err_set(e, EINVAL, "manifest.json: %s", what);
}

static int add_entry(struct tree *t, const struct manifest_entry *m, struct err *e)
{
	struct node n = { .path = m->path, .kind = m->kind, .mode = m->mode, .size = m->size };
	char quoted[PATH_MAX];
	struct node *there;
	int rc;

	if (m->kind == NODE_LINK)
		n.text = m->target;
	memcpy(n.digest, m->digest, sizeof n.digest);
	rc = tree_add(t, &n, &there, e);
	if (rc == 0)
		return err_set(e, EINVAL, "manifest.json: \"%s\" is listed twice",
			       log_quote(quoted, sizeof quoted, m->path));
	return rc < 0 ? rc : 0;
}

/* Every entry but the root must lie in a directory that is listed too. */
static int check_parents(const struct tree *t, struct err *e)
{
	for (size_t i = 0; i < t->n_slots; i++) {
		const struct node *n = t->slot[i], *up;
		char parent[PATH_MAX], quoted[PATH_MAX];
		size_t len;

		if (!n || !n->path[1])
			continue;
		len = strlen(n->path) - strlen(path_base(n->path)) - 1;
		memcpy(parent, n->path, len);
		parent[len] = '\0';
		up = tree_find(t, len ? parent : "/");
		if (!up || up->kind != NODE_DIR)
			return err_set(e, EINVAL, "manifest.json: \"%s\" lies in no directory that is listed",
				       log_quote(quoted, sizeof quoted, n->path));
	}
	return 0;
}

static int read_entries(struct tree *t, const json_t *files, struct err *e)
{
	json_t *all = (json_t *)(uintptr_t)files; /* jansson's iterators take no const */
	struct manifest_entry m;
	int rc = 0;

	for (void *iter = json_object_iter(all); rc == 0 && iter;
	     iter = json_object_iter_next(all, iter)) {
		m = (struct manifest_entry){ 0 };
		rc = manifest_read_entry(json_object_iter_key(iter), json_object_iter_value(iter), &m, e);
		if (rc == 0)
			rc = add_entry(t, &m, e);
	}
	return rc == 0 ? check_parents(t, e) : rc;
}

static int load_manifest(int bundle_fd, json_t **ret, struct err *e)
{
	AUTO_FD int fd = sys_openat2(bundle_fd, "manifest.json",
				     O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, INSIDE);
	AUTO_FREE char *text = NULL;
	char quoted[512];
	json_error_t je;
	size_t len;
	json_t *doc;
	int rc;

	if (fd < 0) {
		(void)err_sys(e, "manifest.json");
		return err_hint(e, "bundles of `vrun pack` have one");
	}
	rc = fd_read_all(fd, "manifest.json", MANIFEST_FILE_MAX, &text, &len, e);
	if (rc < 0)
		return rc;
	doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!doc)
		return err_set(e, EINVAL, "manifest.json:%d:%d: not valid JSON: %s", je.line, je.column,
			       log_quote(quoted, sizeof quoted, je.text));
	rc = !json_is_object(doc) ? bad(e, "not an object") :
	     json_integer_value(json_object_get(doc, "version")) != MANIFEST_VERSION ?
				    bad(e, "not a version that this vrun reads") :
				    0;
	if (rc < 0) {
		json_decref(doc);
		return rc;
	}
	*ret = doc;
	return 0;
}

/* --- all together ---------------------------------------------------------- */

static int report_missing(struct comparison *c, struct err *e)
{
	AUTO_FREE struct node **v = tree_sorted(&c->tree);
	int rc = v ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < c->tree.n; i++)
		if (!v[i]->seen)
			rc = found(c, VERIFY_MISSING, v[i]->path, "%s", "");
	return rc == -ENOMEM ? err_num(e, ENOMEM, "manifest.json") : rc;
}

static int compare_tree(struct comparison *c, int bundle_fd, struct err *e)
{
	AUTO_FD int fd = sys_openat2(bundle_fd, c->prefix + 1,
				     O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, INSIDE);
	struct node *root = tree_find(&c->tree, "/");
	int rc = 0;

	if (!root)
		return bad(e, "the root directory is not listed");
	if (fd < 0 && errno != ENOENT)
		return err_sys(e, "%s", c->prefix + 1);
	if (fd >= 0) {
		if (fstat(fd, &c->root) < 0)
			return err_sys(e, "%s", c->prefix + 1);
		root->seen = true;
		c->r->checked++;
		rc = compare_entry(c, fd, ".", root, &c->root, e);
		if (rc == 0)
			rc = walk(c, fd_take(&fd), "/", e);
	}
	if (rc == -ENOMEM)
		return err_num(e, ENOMEM, "verifying");
	return rc == 0 ? report_missing(c, e) : rc;
}

static int compare_files(struct verify_report *r, int bundle_fd, const char *prefix,
			 const json_t *files, struct progress *progress, struct err *e)
{
	struct comparison c = { .r = r, .progress = progress, .prefix = prefix };
	uint64_t bytes = 0;
	int rc;

	if (!json_is_object(files))
		return bad(e, "a list of files is missing");
	tree_init(&c.tree);
	c.buffer = malloc(BUFFER_BYTES);
	rc = c.buffer ? read_entries(&c.tree, files, e) : err_num(e, ENOMEM, "verifying");
	for (size_t i = 0; progress && i < c.tree.n_slots; i++)
		if (c.tree.slot[i] && c.tree.slot[i]->kind == NODE_FILE)
			bytes += c.tree.slot[i]->size;
	if (progress)
		progress_phase(progress, "verifying", bytes);
	if (rc == 0)
		rc = compare_tree(&c, bundle_fd, e);
	free(c.buffer);
	tree_fini(&c.tree);
	return rc;
}

static int compare_data(struct verify_report *r, int bundle_fd, const json_t *data,
			struct progress *progress, struct err *e)
{
	char prefix[32];
	size_t n = json_array_size(data);

	for (size_t i = 0; i < n; i++) {
		int rc;

		(void)snprintf(prefix, sizeof prefix, "/data/%zu", i);
		rc = compare_files(r, bundle_fd, prefix,
				   json_object_get(json_array_get(data, i), "files"), progress, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Whether a document of the bundle is another than the one that was packed. */
static bool is_edited(int bundle_fd, const json_t *documents, const char *name)
{
	const char *want = json_string_value(json_object_get(documents, name));
	AUTO_FD int fd = sys_openat2(bundle_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0,
				     INSIDE);
	unsigned char digest[HASH_BYTES];
	AUTO_FREE char *text = NULL;
	char hex[HASH_HEX];
	size_t len;

	if (fd < 0 || !want || fd_read_all(fd, name, MANIFEST_FILE_MAX, &text, &len, NULL) < 0)
		return true;
	hash_data(text, len, digest);
	return strcmp(hash_hex(digest, hex), want) != 0;
}

static int by_path(const void *a, const void *b)
{
	const struct verify_finding *x = *(struct verify_finding *const *)a,
				    *y = *(struct verify_finding *const *)b;
	int c = strcmp(x->path, y->path);

	return c ? c : strcmp(x->what, y->what);
}

/* Directories give their names in any order; people want theirs sorted. */
static int sort_findings(struct verify_report *r, struct err *e)
{
	AUTO_FREE struct verify_finding **v = calloc(VERIFY_FINDINGS_MAX + 1, sizeof(struct verify_finding *));
	size_t n = 0;

	if (!v)
		return err_num(e, ENOMEM, "verifying");
	for (struct verify_finding *f = r->first; f; f = f->next)
		v[n++] = f;
	qsort(v, n, sizeof(struct verify_finding *), by_path);
	r->last = &r->first;
	for (size_t i = 0; i < n; i++) {
		*r->last = v[i];
		r->last = &v[i]->next;
	}
	*r->last = NULL;
	return 0;
}

int verify_bundle(struct verify_report *r, const char *bundle, bool data, struct progress *progress,
		  struct err *e)
{
	AUTO_FD int fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const json_t *security;
	char quoted[PATH_MAX];
	json_t *doc = NULL;
	int rc;

	*r = (struct verify_report){ .last = NULL };
	r->last = &r->first;
	(void)log_quote(quoted, sizeof quoted, bundle);
	if (fd < 0)
		return err_sys(e, "%s", quoted);
	rc = load_manifest(fd, &doc, e);
	if (rc < 0)
		return err_wrap(e, "%s", quoted);
	security = json_object_get(doc, "security");
	rc = compare_files(r, fd, "/rootfs", json_object_get(security, "files"), progress, e);
	if (rc == 0 && data)
		rc = compare_data(r, fd, json_object_get(security, "data"), progress, e);
	if (rc == 0)
		rc = sort_findings(r, e);
	if (rc == 0) {
		r->edited_config = is_edited(fd, json_object_get(security, "documents"), "config.json");
		r->edited_policy = is_edited(fd, json_object_get(security, "documents"), "policy.json");
	}
	json_decref(doc);
	return rc < 0 ? err_wrap(e, "%s", quoted) : 0;
}
