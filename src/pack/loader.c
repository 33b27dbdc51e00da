/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/loader.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

#define LOADER_FILE_MAX (16U << 20)
#define CACHE_FILE_MAX (64U << 20)
#define MUSL_PATH_MAX 4096U

/* A directory string of the loader's list at p: "/...x/" and a NUL. Its length without them, or 0. */
static size_t dir_string(const char *p, size_t left)
{
	const char *end = memchr(p, '\0', left < PATH_MAX ? left : PATH_MAX);
	size_t n;

	if (!end || p[0] != '/' || end - p < 3 || end[-1] != '/')
		return 0;
	n = (size_t)(end - p) - 1;
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] == 0x7f || p[i] == '%' || p[i] == '$')
			return 0;
	return n;
}

size_t loader_scan_dirs(struct arena *arena, const char *data, size_t len, const char **ret_dirs,
			size_t max)
{
	static const char mark[] = "\0/";
	const char *p = data, *end = data + len;

	while ((p = memmem(p, (size_t)(end - p), mark, 2))) {
		const char *q = ++p;
		bool lib = false;
		size_t n = 0, step;

		while (n < max && (step = dir_string(q, (size_t)(end - q))) > 0) {
			lib = lib || memmem(q, step, "/lib", 4);
			ret_dirs[n] = arena_strndup(arena, q, step);
			if (!ret_dirs[n])
				return 0;
			n++;
			q += step + 2;
		}
		if (n >= 2 && lib)
			return n;
	}
	return 0;
}

/* Where Debian and the others keep libraries, for a loader whose own list was not found. */
static void fallback_dirs(struct loader *l, const struct elffile *program)
{
	static const char *const debian_x86_64[] = { "/lib/x86_64-linux-gnu",
						     "/usr/lib/x86_64-linux-gnu" };
	static const char *const debian_aarch64[] = { "/lib/aarch64-linux-gnu",
						      "/usr/lib/aarch64-linux-gnu" };
	static const char *const others[] = { "/lib64", "/usr/lib64", "/lib", "/usr/lib" };
	bool wide = program->elf_class == ELFCLASS64;

	for (size_t i = 0; i < 2 && wide && program->machine == EM_X86_64; i++)
		l->dirs[l->n_dirs++] = debian_x86_64[i];
	for (size_t i = 0; i < 2 && wide && program->machine == EM_AARCH64; i++)
		l->dirs[l->n_dirs++] = debian_aarch64[i];
	for (size_t i = wide ? 0 : 2; i < 4; i++)
		l->dirs[l->n_dirs++] = others[i];
}

/* /etc/ld-musl-ARCH.path, in lines or separated by colons; else musl's built-in list. */
static int musl_dirs(struct loader *l, struct arena *arena, const struct host *h)
{
	const char *base = path_base(l->interp);
	AUTO_FREE char *text = NULL;
	char path[PATH_MAX];
	const char *stem = strstr(base, ".so");
	int n = snprintf(path, sizeof path, "/etc/%.*s.path", stem ? (int)(stem - base) : 0, base);
	char *save = NULL;

	if (n < 0 || (size_t)n >= sizeof path ||
	    host_read(h, path, MUSL_PATH_MAX, &text, NULL, NULL) < 0)
		text = strdup("/lib:/usr/local/lib:/usr/lib");
	if (!text)
		return -ENOMEM;
	for (char *dir = strtok_r(text, ":\n", &save); dir && l->n_dirs < LOADER_DIRS_MAX;
	     dir = strtok_r(NULL, ":\n", &save)) {
		if (dir[0] != '/')
			continue;
		l->dirs[l->n_dirs] = arena_strdup(arena, dir);
		if (!l->dirs[l->n_dirs])
			return -ENOMEM;
		l->n_dirs++;
	}
	return 0;
}

static void glibc_dirs(struct loader *l, struct arena *arena, const struct host *h,
		       const struct elffile *program)
{
	AUTO_FREE char *data = NULL;
	size_t len;

	if (host_read(h, l->interp, LOADER_FILE_MAX, &data, &len, NULL) == 0)
		l->n_dirs = loader_scan_dirs(arena, data, len, l->dirs, LOADER_DIRS_MAX);
	if (l->n_dirs == 0)
		fallback_dirs(l, program);
}

/* The x86-64 psABI's micro-architecture levels that this processor has, best first. */
static void find_hwcaps(struct loader *l, const struct elffile *program)
{
#ifdef __x86_64__
	bool v2 = __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse3") &&
		  __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2") &&
		  __builtin_cpu_supports("ssse3");
	bool v3 = v2 && __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") &&
		  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
		  __builtin_cpu_supports("fma");
	bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
		  __builtin_cpu_supports("avx512vl");

	if (program->machine != EM_X86_64 || program->elf_class != ELFCLASS64)
		return;
	if (v4)
		l->hwcaps[l->n_hwcaps++] = "x86-64-v4";
	if (v3)
		l->hwcaps[l->n_hwcaps++] = "x86-64-v3";
	if (v2)
		l->hwcaps[l->n_hwcaps++] = "x86-64-v2";
#else
	(void)l;
	(void)program;
#endif
}

/* $LIB: "lib/TRIPLET" where the loader searches such a directory, else lib64 or lib. */
static void find_lib(struct loader *l, const struct elffile *program)
{
	l->lib = program->elf_class == ELFCLASS64 ? "lib64" : "lib";
	for (size_t i = 0; i < l->n_dirs; i++) {
		if (strncmp(l->dirs[i], "/lib/", 5) == 0) {
			l->lib = l->dirs[i] + 1;
			return;
		}
	}
}

static void read_cache(struct loader *l, const struct host *h)
{
	size_t len;

	if (l->kind == 0 ||
	    host_read(h, "/etc/ld.so.cache", CACHE_FILE_MAX, &l->cache_data, &len, NULL) < 0)
		return;
	if (ldcache_parse(&l->cache, l->cache_data, len, NULL) < 0)
		mem_free(&l->cache_data);
}

int loader_init(struct loader *l, struct arena *arena, const struct host *h,
		const struct elffile *program, struct err *e)
{
	struct loader v = { .interp = program->interp ? program->interp : "" };

	v.platform = elffile_arch(program->machine, program->elf_class);
	v.musl = strncmp(path_base(v.interp), "ld-musl-", 8) == 0;
	if (v.musl) {
		if (musl_dirs(&v, arena, h) < 0)
			return err_num(e, ENOMEM, "%s", v.interp);
	} else {
		v.kind = ldcache_kind(program->machine, program->elf_class);
		glibc_dirs(&v, arena, h, program);
		find_hwcaps(&v, program);
		read_cache(&v, h);
	}
	find_lib(&v, program);
	*l = v;
	return 0;
}

void loader_fini(struct loader *l)
{
	mem_free(&l->cache_data);
}

/* The token after a '$' and its value; 0 when it is none that the loader knows. */
static size_t token(const struct loader *l, const char *p, size_t left, const char *origin,
		    const char **ret_value)
{
	const struct {
		const char *name, *value;
	} known[] = { { "ORIGIN", origin }, { "LIB", l->lib }, { "PLATFORM", l->platform } };
	size_t brace = left > 0 && p[0] == '{' ? 1 : 0;

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		size_t n = strlen(known[i].name);

		if (left < n + 2 * brace || strncmp(p + brace, known[i].name, n) != 0 ||
		    (brace && p[n + 1] != '}'))
			continue;
		*ret_value = known[i].value;
		return n + 2 * brace;
	}
	return 0;
}

int loader_expand(const struct loader *l, const char *text, size_t len, const char *origin,
		  char *ret)
{
	size_t at = 0;

	for (size_t i = 0; i < len;) {
		const char *value = text + i;
		size_t used = text[i] == '$' ? token(l, text + i + 1, len - i - 1, origin, &value) : 0;
		size_t n = used ? strlen(value) : 1;

		if (at + n >= PATH_MAX)
			return -ENAMETOOLONG;
		memcpy(ret + at, value, n);
		at += n;
		i += used + 1;
	}
	ret[at] = '\0';
	return 0;
}
