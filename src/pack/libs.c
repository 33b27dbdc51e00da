/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * A `struct lib` stands for one file and is made once (libs->all, by device and
 * inode). A `struct lib_set` is what one process has loaded. The closure of a
 * set is computed breadth first, as _dl_map_object_deps() does, because the
 * order decides which file answers to a name that two directories have.
 *
 * For each DT_NEEDED, in the order of dl-load.c: a loaded object of that name
 * or DT_SONAME; a name with a slash, taken literally; DT_RPATH of the asking
 * object, of the object that loaded that one, and so on up to the program
 * (nothing of this when the asking object has DT_RUNPATH); LD_LIBRARY_PATH;
 * DT_RUNPATH of the asking object only; the cache; the built-in directories
 * (the last two not for DF_1_NODEFLIB). musl: LD_LIBRARY_PATH, then the paths
 * of both kinds along the chain, then its own directories.
 *
 * Left out on purpose: the hardware subdirectories from before glibc-hwcaps
 * (tls/, haswell/, ...), which glibc 2.37 dropped; LD_PRELOAD; auditing.
 */
#include "pack/libs.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/interrupt.h"

/* What the cache and the built-in directories have for a name. */
struct lib_memo {
	const char *name;
	const char *path; /* NULL: nothing */
	enum lib_how how;
	struct lib_memo *next;
};

static const char *const how_names[] = { "self", "interpreter", "literal", "rpath",
					 "environment", "runpath", "cache", "default" };
_Static_assert(sizeof how_names / sizeof *how_names == LIB_HOW_MAX, "a name for each way");

const char *lib_how_name(enum lib_how how)
{
	return (unsigned)how < LIB_HOW_MAX ? how_names[how] : "unknown";
}

static int no_memory(struct err *e)
{
	return err_num(e, ENOMEM, "reading libraries");
}

static int push(struct lib_set *s, struct lib *lib, struct err *e)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct lib **v = reallocarray(s->v, cap, sizeof(struct lib *));

		if (!v)
			return no_memory(e);
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = lib;
	return 0;
}

static struct lib *find_file(const struct lib_set *s, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i]->dev == dev && s->v[i]->ino == ino)
			return s->v[i];
	return NULL;
}

/*
 * Makes or finds the struct of the file at `path`. 1 with *ret, 0 when there
 * is no such file or it is no ELF file for `like` (NULL: any), or an error.
 */
static int read_lib(struct libs *l, const char *path, const struct elffile *like, struct lib **ret,
		    struct err *e)
{
	char real[PATH_MAX];
	AUTO_FD int fd = -1;
	struct lib *lib;
	struct stat st;
	int rc = host_realpath(l->host, path, real, NULL);

	if (rc == 0)
		fd = host_openat(l->host, real, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	lib = find_file(&l->all, st.st_dev, st.st_ino);
	if (!lib) {
		struct elffile elf;

		rc = elffile_read(&elf, &l->arena, fd, path, e);
		if (rc == -ENOEXEC)
			return 0;
		if (rc < 0)
			return rc;
		if (like && !elffile_compatible(&elf, like))
			return 0;
		lib = arena_alloc(&l->arena, sizeof *lib);
		if (!lib)
			return no_memory(e);
		*lib = (struct lib){ .elf = elf, .dev = st.st_dev, .ino = st.st_ino };
		lib->path = arena_strdup(&l->arena, path);
		lib->real = arena_strdup(&l->arena, real);
		if (!lib->path || !lib->real)
			return no_memory(e);
		lib->name = lib->path;
		rc = push(&l->all, lib, e);
		if (rc < 0)
			return rc;
	}
	if (like && !elffile_compatible(&lib->elf, like))
		return 0;
	*ret = lib;
	return 1;
}

/* One look-up under way. */
struct search {
	struct libs *l;
	const char *name;
	const struct lib *loader;
	const struct lib *top; /* the program that the loader's chain ends in */
	struct lib *found;
	enum lib_how how;
	char path[PATH_MAX]; /* where it was found */
};

static int hit(struct search *s, const char *path, enum lib_how how)
{
	s->how = how;
	memcpy(s->path, path, strlen(path) + 1);
	return 1;
}

/* Tries DIR/glibc-hwcaps/LEVEL/NAME and DIR/NAME. 1 found, 0 not, or an error. */
static int try_dir(struct search *s, const char *dir, enum lib_how how, struct err *e)
{
	const struct loader *ld = &s->l->loader;
	char path[PATH_MAX];
	int rc;

	for (size_t i = 0; i <= ld->n_hwcaps; i++) {
		int n = i < ld->n_hwcaps ? snprintf(path, sizeof path, "%s/glibc-hwcaps/%s/%s", dir,
						    ld->hwcaps[i], s->name) :
					   snprintf(path, sizeof path, "%s/%s", dir, s->name);

		if (n < 0 || (size_t)n >= sizeof path)
			continue;
		rc = read_lib(s->l, path, &s->loader->elf, &s->found, e);
		if (rc == 0)
			continue;
		return rc < 0 ? rc : hit(s, path, how);
	}
	return 0;
}

/* Directory of a file as $ORIGIN names it: the program's by its real path, a library's as it was found. */
static void origin_of(const struct lib *lib, char *ret)
{
	const char *path = lib->how == LIB_SELF ? lib->real : lib->path;
	size_t n = strlen(path) - strlen(path_base(path));

	n = n > 1 ? n - 1 : n;
	memcpy(ret, path, n);
	ret[n] = '\0';
}

/* Tries each element of a colon-separated list. Relative elements mean the working directory: passed over. */
static int try_list(struct search *s, const char *list, const struct lib *owner, const char *separators,
		    enum lib_how how, struct err *e)
{
	char origin[PATH_MAX], dir[PATH_MAX];
	int rc = 0;

	origin_of(owner, origin);
	while (list && rc == 0) {
		size_t n = strcspn(list, separators);

		if (n > 0 && loader_expand(&s->l->loader, list, n, origin, dir) == 0 &&
		    dir[0] == '/')
			rc = try_dir(s, dir, how, e);
		list = list[n] ? list + n + 1 : NULL;
	}
	return rc;
}

/* DT_RPATH of the asking object and of those that brought it in. */
static int try_rpaths(struct search *s, struct err *e)
{
	bool musl = s->l->loader.musl, top_seen = false;
	int rc = 0;

	if (s->loader->elf.runpath && !musl)
		return 0;
	for (const struct lib *l = s->loader; l && rc == 0; l = l->loader) {
		const char *list = musl && l->elf.runpath ? l->elf.runpath : l->elf.rpath;

		top_seen = top_seen || l == s->top;
		if (list)
			rc = try_list(s, list, l, ":", LIB_RPATH, e);
	}
	if (rc == 0 && !top_seen && s->top->elf.rpath)
		rc = try_list(s, s->top->elf.rpath, s->top, ":", LIB_RPATH, e);
	return rc;
}

/* Rank of a cache entry for this processor: lower is better, -1 unusable. */
static int rank(const struct loader *ld, const char *hwcap)
{
	if (!*hwcap)
		return (int)ld->n_hwcaps;
	for (size_t i = 0; i < ld->n_hwcaps; i++)
		if (strcmp(ld->hwcaps[i], hwcap) == 0)
			return (int)i;
	return -1;
}

static int try_cache(struct search *s, struct err *e)
{
	const struct loader *ld = &s->l->loader;
	const char *best = NULL;
	int best_rank = -1, rc;

	for (uint32_t i = 0; ld->cache_data && i < ld->cache.n; i++) {
		struct ldcache_entry entry;
		int r;

		if (!ldcache_entry(&ld->cache, i, &entry) || entry.flags != ld->kind ||
		    ldcache_compare(entry.soname, s->name) != 0)
			continue;
		r = rank(ld, entry.hwcap);
		if (r >= 0 && (best_rank < 0 || r < best_rank)) {
			best = entry.path;
			best_rank = r;
		}
	}
	if (!best)
		return 0;
	if (strlen(best) >= PATH_MAX)
		return 0;
	rc = read_lib(s->l, best, &s->loader->elf, &s->found, e);
	return rc > 0 ? hit(s, best, LIB_CACHE) : rc;
}

/* The cache and the built-in directories, remembered: plug-ins ask for the same few names. */
static int try_system(struct search *s, struct err *e)
{
	struct lib_memo *m;
	int rc = 0;

	for (m = s->l->memo; m; m = m->next) {
		if (strcmp(m->name, s->name) != 0)
			continue;
		rc = m->path ? read_lib(s->l, m->path, &s->loader->elf, &s->found, e) : 0;
		return rc > 0 ? hit(s, m->path, m->how) : rc;
	}
	rc = try_cache(s, e);
	for (size_t i = 0; rc == 0 && i < s->l->loader.n_dirs; i++)
		rc = try_dir(s, s->l->loader.dirs[i], LIB_DEFAULT, e);
	if (rc < 0)
		return rc;
	m = arena_alloc(&s->l->arena, sizeof *m);
	if (!m)
		return no_memory(e);
	*m = (struct lib_memo){ .name = arena_strdup(&s->l->arena, s->name),
				.path = rc > 0 ? arena_strdup(&s->l->arena, s->path) : NULL,
				.how = s->how,
				.next = s->l->memo };
	if (!m->name || (rc > 0 && !m->path))
		return no_memory(e);
	s->l->memo = m;
	return rc;
}

static int try_literal(struct search *s, struct err *e)
{
	char origin[PATH_MAX], path[PATH_MAX];
	int rc;

	origin_of(s->loader, origin);
	if (loader_expand(&s->l->loader, s->name, strlen(s->name), origin, path) < 0 ||
	    path[0] != '/')
		return 0;
	rc = read_lib(s->l, path, &s->loader->elf, &s->found, e);
	return rc > 0 ? hit(s, path, LIB_LITERAL) : rc;
}

static int search(struct search *s, struct err *e)
{
	const char *env = s->l->library_path;
	int rc = 0;

	if (strchr(s->name, '/'))
		return try_literal(s, e);
	if (s->l->loader.musl) {
		rc = env ? try_list(s, env, s->top, ":\n", LIB_ENV, e) : 0;
		rc = rc == 0 ? try_rpaths(s, e) : rc;
		return rc == 0 ? try_system(s, e) : rc;
	}
	rc = try_rpaths(s, e);
	if (rc == 0 && env)
		rc = try_list(s, env, s->top, ":;", LIB_ENV, e);
	if (rc == 0 && s->loader->elf.runpath)
		rc = try_list(s, s->loader->elf.runpath, s->loader, ":", LIB_RUNPATH, e);
	if (rc == 0 && !s->loader->elf.no_default_dirs)
		rc = try_system(s, e);
	return rc;
}

/* Notes on the file that a search found how it was found, the first time; later a new path for it. */
static int adopt(struct search *s, struct err *e)
{
	struct lib *lib = s->found;
	struct lib_alias *a;
	const char *path;

	if (strcmp(lib->path, s->path) == 0 && (lib->loader || lib == s->top))
		return 0;
	for (a = lib->aliases; a; a = a->next)
		if (strcmp(a->path, s->path) == 0)
			return 0;
	path = arena_strdup(&s->l->arena, s->path);
	a = arena_alloc(&s->l->arena, sizeof *a);
	if (!path || !a)
		return no_memory(e);
	if (!lib->loader && lib != s->top) {
		lib->name = s->name;
		lib->path = path;
		lib->how = s->how;
		lib->loader = s->loader;
		return 0;
	}
	*a = (struct lib_alias){ .path = path, .next = lib->aliases };
	lib->aliases = a;
	return 0;
}

/* A loaded object that answers to a name already. */
static struct lib *loaded(const struct lib_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		struct lib *l = set->v[i];

		if (strcmp(l->name, name) == 0 || strcmp(l->path, name) == 0 ||
		    (l->elf.soname && strcmp(l->elf.soname, name) == 0))
			return l;
	}
	return NULL;
}

static int note_missing(struct libs *l, const char *name, const struct lib *by, struct err *e)
{
	struct lib_missing *m;

	for (m = l->missing; m; m = m->next)
		if (strcmp(m->name, name) == 0)
			return 0;
	m = arena_alloc(&l->arena, sizeof *m);
	if (!m)
		return no_memory(e);
	*m = (struct lib_missing){ .name = name, .by = by, .next = l->missing };
	l->missing = m;
	return 0;
}

/* Loads one library that an object of the set needs. top: the program of this process. */
static int load_needed(struct libs *l, struct lib_set *set, const char *name, const struct lib *lib,
		       const struct lib *top, struct err *e)
{
	struct search s = { .l = l, .name = name, .loader = lib, .top = top };
	int rc = interrupt_check(e);

	if (rc < 0 || loaded(set, name))
		return rc;
	rc = search(&s, e);
	if (rc == 0)
		return note_missing(l, name, lib, e);
	if (rc > 0)
		rc = adopt(&s, e);
	if (rc == 0 && !find_file(set, s.found->dev, s.found->ino))
		rc = push(set, s.found, e);
	return rc;
}

/* Loads what the objects of the set from `first` on need. */
static int close_set(struct libs *l, struct lib_set *set, size_t first, const struct lib *top,
		     struct err *e)
{
	for (size_t i = first; i < set->n; i++) {
		const struct lib *lib = set->v[i];

		for (size_t k = 0; k < lib->elf.n_needed; k++) {
			int rc = load_needed(l, set, lib->elf.needed[k], lib, top, e);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* The loader itself: it is in memory before any library is looked for. */
static int add_interp(struct libs *l, struct lib_set *set, struct lib *top, struct err *e)
{
	char quoted[512];
	struct lib *lib;
	int rc;

	if (!top->elf.interp)
		return 0;
	rc = read_lib(l, top->elf.interp, &top->elf, &lib, e);
	if (rc == 0)
		return err_set(e, ENOENT, "%s: its dynamic loader %s is not installed", top->path,
			       log_quote(quoted, sizeof quoted, top->elf.interp));
	if (rc < 0)
		return rc;
	if (!lib->loader && lib->how == LIB_SELF) {
		lib->how = LIB_INTERP;
		lib->loader = top;
		lib->path = top->elf.interp;
		lib->name = lib->elf.soname ? lib->elf.soname : lib->path;
	}
	return push(set, lib, e);
}

int libs_open(struct libs *l, const struct host *h, const char *real, const char *library_path,
	      struct err *e)
{
	struct libs v = { .host = h, .library_path = library_path && *library_path ? library_path : NULL };
	struct lib *program = NULL;
	char quoted[512];
	int rc = read_lib(&v, real, NULL, &program, e);

	if (rc == 0)
		rc = err_set(e, ENOEXEC, "%s: not an ELF file", log_quote(quoted, sizeof quoted, real));
	if (rc > 0)
		rc = loader_init(&v.loader, &v.arena, h, &program->elf, e);
	if (rc == 0)
		rc = push(&v.program, program, e);
	if (rc == 0)
		rc = add_interp(&v, &v.program, program, e);
	if (rc == 0)
		rc = close_set(&v, &v.program, 0, program, e);
	if (rc == 0 && v.missing) {
		rc = err_set(e, ENOENT, "%s: %s, which it needs, is nowhere the dynamic loader looks",
			     v.missing->by->path, v.missing->name);
		(void)err_hint(e, "install it, or say where it is: --env LD_LIBRARY_PATH=DIR");
	}
	if (rc < 0) {
		libs_fini(&v);
		return rc;
	}
	*l = v;
	return 0;
}

void libs_fini(struct libs *l)
{
	loader_fini(&l->loader);
	free(l->program.v);
	free(l->all.v);
	arena_fini(&l->arena);
	*l = (struct libs){ 0 };
}

/* An executable is a process of its own; anything else is loaded into the program's. */
static bool is_executable(const struct elffile *elf)
{
	return elf->type == ET_EXEC || (elf->interp && !elf->soname);
}

static int load_into(struct libs *l, struct lib_set *set, struct lib *lib, const struct lib *top,
		     struct err *e)
{
	size_t first = set->n;
	int rc = push(set, lib, e);

	return rc < 0 ? rc : close_set(l, set, first, top, e);
}

/* A copy of what the program has loaded: plug-ins do not see each other's libraries. */
static int program_set(const struct libs *l, struct lib_set *ret, struct err *e)
{
	for (size_t i = 0; i < l->program.n; i++)
		if (push(ret, l->program.v[i], e) < 0)
			return -ENOMEM;
	return 0;
}

int libs_add(struct libs *l, const char *real, struct err *e)
{
	struct lib_set set = { 0 };
	struct lib *lib = NULL;
	size_t before = l->all.n;
	int rc = read_lib(l, real, &l->program.v[0]->elf, &lib, e);

	if (rc <= 0)
		return rc;
	if (l->all.n == before)
		return 0; /* known, and so is what it needs */
	if (is_executable(&lib->elf)) {
		rc = push(&set, lib, e);
		if (rc == 0 && lib->elf.interp)
			rc = add_interp(l, &set, lib, e);
		if (rc == 0)
			rc = close_set(l, &set, 0, lib, e);
	} else {
		rc = program_set(l, &set, e);
		if (rc == 0)
			rc = load_into(l, &set, lib, l->program.v[0], e);
	}
	free(set.v);
	return rc;
}

int libs_dlopen(struct libs *l, const char *name, struct err *e)
{
	struct search s = { .l = l, .name = arena_strdup(&l->arena, name) };
	struct lib_set set = { 0 };
	int rc;

	if (!s.name)
		return no_memory(e);
	s.loader = s.top = l->program.v[0];
	rc = loaded(&l->program, name) ? 1 : search(&s, e);
	if (rc <= 0 || !s.found)
		return rc;
	rc = adopt(&s, e);
	if (rc == 0)
		rc = program_set(l, &set, e);
	if (rc == 0 && !find_file(&set, s.found->dev, s.found->ino))
		rc = load_into(l, &set, s.found, s.top, e);
	free(set.v);
	return rc < 0 ? rc : 1;
}

bool libs_has(const struct libs *l, const char *prefix)
{
	for (size_t i = 0; i < l->all.n; i++)
		if (strncmp(path_base(l->all.v[i]->path), prefix, strlen(prefix)) == 0)
			return true;
	return false;
}
