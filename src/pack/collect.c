/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/pack.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/interrupt.h"
#include "pack/ldcache.h"
#include "pack/ociconfig.h"

static int no_memory(struct err *e)
{
	return err_num(e, ENOMEM, "packing");
}

/* A path from the command line: absolute, from the working directory (of the root, with --root). */
static int make_absolute(struct pack *p, const char *path, char *ret, struct err *e)
{
	char cwd[PATH_MAX], quoted[PATH_MAX];

	if (path[0] == '/')
		return snprintf(ret, PATH_MAX, "%s", path) < PATH_MAX ?
			       0 :
			       err_num(e, ENAMETOOLONG, "%s", log_quote(quoted, sizeof quoted, path));
	if (strcmp(p->o->root, "/") != 0)
		memcpy(cwd, "/", 2);
	else if (!getcwd(cwd, sizeof cwd))
		return err_sys(e, "the current directory");
	if (path_join(ret, cwd, path) < 0)
		return err_num(e, ENAMETOOLONG, "%s", log_quote(quoted, sizeof quoted, path));
	return 0;
}

static int note_move(struct pack *p, const char *from, const char *to, struct err *e)
{
	struct pack_move *m = &p->moves[p->n_moves];

	m->from = arena_strdup(&p->arena, from);
	m->to = arena_strdup(&p->arena, to);
	if (!m->from || !m->to)
		return no_memory(e);
	p->n_moves++;
	return 0;
}

static int add_one(struct pack *p, const struct pack_mapping *m, struct err *e)
{
	char from[PATH_MAX], real[PATH_MAX];
	int rc = make_absolute(p, m->from, from, e);

	if (rc < 0)
		return rc;
	if (!m->to) {
		rc = place_tree(&p->place, from, WHY_ADD, NULL, NULL, e);
		return rc < 0 ? err_wrap(e, "--add") : note_move(p, from, from, e);
	}
	rc = host_realpath(&p->host, from, real, e);
	if (rc == 0)
		rc = place_map(&p->place, real, m->to, WHY_ADD, e);
	return rc < 0 ? err_wrap(e, "--add") : note_move(p, from, m->to, e);
}

int collect_adds(struct pack *p, struct err *e)
{
	p->moves = arena_array(&p->arena, p->o->n_adds, sizeof *p->moves);
	if (!p->moves)
		return no_memory(e);
	for (size_t i = 0; i < p->o->n_adds; i++) {
		int rc = add_one(p, &p->o->adds[i], e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int data_one(struct pack *p, const struct pack_mapping *m, struct pack_data *d, struct err *e)
{
	struct place place = { .host = &p->host,
			       .tree = &d->tree,
			       .notes = &p->notes,
			       .fresh = true,
			       .skip_dev = p->place.skip_dev,
			       .skip_ino = { p->place.skip_ino[0], p->place.skip_ino[1] } };
	char from[PATH_MAX], real[PATH_MAX], dest[PATH_MAX], quoted[PATH_MAX];
	struct stat st;
	int rc = make_absolute(p, m->from, from, e);

	if (rc == 0)
		rc = host_realpath(&p->host, from, real, e);
	if (rc < 0)
		return rc;
	(void)log_quote(quoted, sizeof quoted, m->from);
	rc = host_lstat(&p->host, real, &st);
	if (rc < 0)
		return err_num(e, -rc, "%s", quoted);
	if (!S_ISDIR(st.st_mode))
		return err_num(e, ENOTDIR, "%s", quoted);
	rc = tree_add_dir(&d->tree, "/", st.st_mode & (S_ISVTX | 0777), WHY_DATA, e);
	if (rc >= 0)
		rc = place_map(&place, real, "/", WHY_DATA, e);
	/* In the root it is an empty directory that the content is mounted on. */
	if (rc >= 0)
		rc = place_mkdir(&p->place, m->to ? m->to : from, 0755, WHY_DATA, dest, e);
	if (rc < 0)
		return rc;
	d->from = arena_strdup(&p->arena, real);
	d->dest = arena_strdup(&p->arena, dest);
	accounts_want_uid(&p->accounts, st.st_uid);
	return d->from && d->dest ? 0 : no_memory(e);
}

int collect_data(struct pack *p, struct err *e)
{
	p->data = arena_array(&p->arena, p->o->n_data, sizeof *p->data);
	if (!p->data)
		return no_memory(e);
	for (size_t i = 0; i < p->o->n_data; i++) {
		int rc;

		tree_init(&p->data[i].tree);
		p->n_data = i + 1;
		rc = data_one(p, &p->o->data[i], &p->data[i], e);
		if (rc < 0)
			return err_wrap(e, "--data");
	}
	return 0;
}

int collect_program(struct pack *p, struct err *e)
{
	const char *ld_path = NULL;
	char cwd[PATH_MAX];
	int rc = make_absolute(p, ".", cwd, e);

	if (rc == 0)
		rc = program_find(&p->program, &p->host, p->o->program, cwd,
				  strcmp(p->o->root, "/") == 0 ? getenv("PATH") : NULL, e);
	for (size_t i = 0; rc == 0 && i < p->program.n; i++)
		rc = place_path(&p->place, p->program.step[i].path, WHY_PROGRAM, NULL, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p->o->env.n; i++)
		if (strncmp(p->o->env.v[i], "LD_LIBRARY_PATH=", 16) == 0)
			ld_path = p->o->env.v[i] + 16;
	rc = libs_open(&p->libs, &p->host, p->program.step[p->program.n - 1].real, ld_path, e);
	p->has_libs = rc == 0;
	for (size_t i = 0; rc == 0 && i + 1 < p->program.n; i++)
		rc = libs_add(&p->libs, p->program.step[i].real, e);
	return rc;
}

int collect_closure(struct pack *p, struct err *e)
{
	AUTO_FREE struct node **v = tree_sorted(&p->tree);
	size_t n = p->tree.n;

	if (!v)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		char text[sizeof e->text];
		int rc = interrupt_check(e);

		if (rc < 0)
			return rc;
		if (v[i]->seen || v[i]->kind != NODE_FILE || !v[i]->source || v[i]->size < EI_NIDENT)
			continue;
		v[i]->seen = true;
		rc = libs_add(&p->libs, v[i]->source, e);
		if (rc == -EINVAL) { /* a damaged file that is not the program's own is its owner's affair */
			notes_add(&p->notes, "%s; its libraries are not known",
				  log_quote(text, sizeof text, e->text));
			rc = 0;
		}
		if (rc < 0)
			return rc;
		progress_step(&p->progress, 1, 0, v[i]->path);
	}
	return 0;
}

/*
 * The loader here may have picked a library built for this processor. Its
 * siblings for others, and the plain one, come too, so that the loader of the
 * machine that the bundle runs on has the same choice.
 */
static int add_variants(struct pack *p, const char *path, struct err *e)
{
	static const char *const levels[] = { "", "/glibc-hwcaps/x86-64-v2", "/glibc-hwcaps/x86-64-v3",
					      "/glibc-hwcaps/x86-64-v4" };
	const char *base = path_base(path), *mark = strstr(path, "/glibc-hwcaps/");
	size_t n = mark ? (size_t)(mark - path) : strlen(path) - strlen(base) - 1;
	char sibling[PATH_MAX], real[PATH_MAX];
	struct stat st;

	(void)snprintf(sibling, sizeof sibling, "%.*s/glibc-hwcaps", (int)n, path);
	if (host_realpath(&p->host, sibling, real, NULL) < 0)
		return 0;
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		int len = snprintf(sibling, sizeof sibling, "%.*s%s/%s", (int)n, path, levels[i], base);
		int rc;

		if (len < 0 || (size_t)len >= sizeof sibling || strcmp(sibling, path) == 0 ||
		    host_realpath(&p->host, sibling, real, NULL) < 0 ||
		    host_lstat(&p->host, real, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		rc = place_path(&p->place, sibling, WHY_LIBRARY, NULL, e);
		if (rc == 0)
			rc = libs_add(&p->libs, real, e);
		if (rc < 0 && rc != -EINVAL)
			return rc;
	}
	return 0;
}

static int place_libs(struct pack *p, struct err *e)
{
	for (size_t i = 0; i < p->libs.all.n; i++) {
		const struct lib *l = p->libs.all.v[i];
		int rc = 0;

		if (l->how != LIB_SELF) {
			rc = add_variants(p, l->path, e);
			if (rc == 0)
				rc = place_path(&p->place, l->path, WHY_LIBRARY, NULL, e);
		}
		for (const struct lib_alias *a = l->aliases; rc == 0 && a; a = a->next)
			rc = place_path(&p->place, a->path, WHY_LIBRARY, NULL, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool default_dir(const struct pack *p, const char *path)
{
	size_t n = strlen(path) - strlen(path_base(path));

	for (size_t i = 0; i < p->libs.loader.n_dirs; i++) {
		const char *dir = p->libs.loader.dirs[i];

		if (strlen(dir) + 1 == n && strncmp(dir, path, n - 1) == 0)
			return true;
	}
	return false;
}

/* Whether the bundle needs a line of the host's cache: it has the file, where the loader would not look. */
static bool wants_cached(struct pack *p, const struct ldcache_entry *entry)
{
	char real[PATH_MAX];

	return entry->flags == p->libs.loader.kind && !*entry->hwcap && entry->path[0] == '/' &&
	       !default_dir(p, entry->path) &&
	       host_realpath(&p->host, entry->path, real, NULL) == 0 && tree_find(&p->tree, real);
}

/*
 * A library that only the host's cache knows needs a cache in the bundle too.
 * It holds just those: for all others the loader looks by itself, and then
 * picks the variant that suits the machine it runs on.
 */
static int add_cache(struct pack *p, struct err *e)
{
	const struct ldcache *host = &p->libs.loader.cache;
	AUTO_FREE struct ldcache_entry *v = NULL;
	AUTO_FREE void *data = NULL;
	size_t n = 0, len;
	int rc = 0;

	if (!p->libs.loader.cache_data)
		return 0;
	v = calloc((size_t)host->n + 1, sizeof *v);
	if (!v)
		return no_memory(e);
	for (uint32_t i = 0; rc == 0 && i < host->n; i++) {
		if (!ldcache_entry(host, i, &v[n]) || !wants_cached(p, &v[n]))
			continue;
		rc = place_path(&p->place, v[n++].path, WHY_LIBRARY, NULL, e);
	}
	if (rc < 0 || n == 0)
		return rc;
	if (ldcache_write(v, n, &data, &len) < 0)
		return no_memory(e);
	rc = tree_add_data(&p->tree, "/etc/ld.so.cache", 0644, data, len, WHY_LIBRARY, e);
	return rc < 0 ? rc : 0;
}

int collect_libraries(struct pack *p, struct err *e)
{
	char name[512], by[512];
	int rc;

	rc = collect_closure(p, e);
	if (rc == 0)
		rc = place_libs(p, e);
	if (rc == 0)
		rc = add_cache(p, e);
	for (const struct lib_missing *m = p->libs.missing; rc == 0 && m; m = m->next)
		notes_add(&p->notes, "%s, which %s needs, was not found",
			  log_quote(name, sizeof name, m->name),
			  log_quote(by, sizeof by, m->by->path));
	return rc;
}

/* Owners of what came from packages: their names may be in a configuration file. */
static void want_owners(struct pack *p)
{
	for (size_t i = 0; i < p->tree.n_slots; i++) {
		const struct node *n = p->tree.slot[i];

		if (n && n->why == WHY_PACKAGE) {
			accounts_want_uid(&p->accounts, n->uid);
			accounts_want_gid(&p->accounts, n->gid);
		}
	}
}

/* Whether the bundle has anything but directories below a directory. */
static bool has_content(const struct pack *p, const char *dir)
{
	for (size_t i = 0; i < p->tree.n_slots; i++) {
		const struct node *n = p->tree.slot[i];

		if (n && n->kind != NODE_DIR && path_below(n->path, dir))
			return true;
	}
	return false;
}

/* Memory would hide what was packed there. */
static int add_tmpfs(struct pack *p, const char *dir, struct err *e)
{
	char quoted[PATH_MAX];
	const char *copy;

	if (has_content(p, dir)) {
		notes_add(&p->notes, "%s: something was packed there, so it cannot be written to",
			  log_quote(quoted, sizeof quoted, dir));
		return 0;
	}
	copy = arena_strdup(&p->arena, dir);
	if (!copy)
		return no_memory(e);
	p->tmpfs.v[p->tmpfs.n++] = copy;
	return 0;
}

/* Everything that is to be memory: --writable, and with --read-only what a service writes to as well. */
static int decide_tmpfs(struct pack *p, struct err *e)
{
	static const char *const always[] = { "/run", "/var/tmp" };
	size_t n_always = p->o->read_only ? sizeof always / sizeof *always : 0;
	size_t n_service = p->o->read_only ? p->service_dirs.n : 0;
	char real[PATH_MAX];
	int rc = 0;

	p->own_tmp = has_content(p, "/tmp");
	p->tmpfs.v = arena_array(&p->arena, n_always + n_service + p->o->writable.n,
				 sizeof *p->tmpfs.v);
	if (!p->tmpfs.v)
		return no_memory(e);
	for (size_t i = 0; rc == 0 && i < n_always; i++)
		rc = add_tmpfs(p, always[i], e);
	for (size_t i = 0; rc == 0 && i < n_service; i++)
		rc = add_tmpfs(p, p->service_dirs.v[i], e);
	for (size_t i = 0; rc == 0 && i < p->o->writable.n; i++) {
		rc = place_mkdir(&p->place, p->o->writable.v[i], 0755, WHY_SYSTEM, real, e);
		rc = rc < 0 ? err_wrap(e, "--writable") : add_tmpfs(p, real, e);
	}
	return rc;
}

/* The links that stand for /usr/bin and the like since they were merged; scripts rely on them. */
static int place_merged(struct pack *p, struct err *e)
{
	static const char *const links[] = { "/bin", "/sbin", "/lib", "/lib64" };
	struct stat st;

	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		int rc;

		if (host_lstat(&p->host, links[i], &st) < 0 || !S_ISLNK(st.st_mode))
			continue;
		rc = place_path(&p->place, links[i], WHY_SYSTEM, NULL, e);
		if (rc == -ENOMEM || rc == -EINTR)
			return rc;
	}
	return 0;
}

/* Directories that must be there because something is mounted on them or looks for them. */
int collect_skeleton(struct pack *p, struct err *e)
{
	static const struct {
		const char *path;
		mode_t mode;
	} dirs[] = { { "/etc", 0755 }, { "/run", 0755 }, { "/var", 0755 }, { "/var/tmp", 01777 } };
	int rc = place_merged(p, e);

	for (size_t i = 0; ociconfig_mount_points[i] && rc >= 0; i++)
		rc = tree_add_dir(&p->tree, ociconfig_mount_points[i],
				  strcmp(ociconfig_mount_points[i], "/tmp") == 0 ? 01777 : 0755,
				  WHY_SYSTEM, e);
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs && rc >= 0; i++)
		rc = place_mkdir(&p->place, dirs[i].path, dirs[i].mode, WHY_SYSTEM, NULL, e);
	if (rc >= 0)
		rc = decide_tmpfs(p, e);
	if (rc >= 0)
		rc = place_mkdir(&p->place, p->cwd, 0755, WHY_SYSTEM, NULL, e);
	want_owners(p);
	return rc < 0 ? rc : accounts_add(&p->accounts, &p->tree, e);
}
