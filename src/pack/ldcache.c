/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/ldcache.h"

#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char old_magic[] = "ld.so-1.7.0";
static const char new_magic[] = "glibc-ld.so.cache1.1";
#define OLD_MAGIC_LEN (sizeof old_magic - 1)
#define NEW_MAGIC_LEN (sizeof new_magic - 1)

/* struct cache_file and file_entry */
#define OLD_HEADER 16U
#define OLD_ENTRY 12U
/* struct cache_file_new and file_entry_new */
#define NEW_HEADER 48U
#define NEW_ENTRY 24U
#define OFF_NLIBS 20U
#define OFF_STRINGS 24U
#define OFF_FLAGS 28U
#define OFF_EXTENSIONS 32U
/* struct cache_extension */
#define EXTENSION_MAGIC 0xeaa42174U
#define EXTENSION_HWCAPS 1U
/* file_entry_new.hwcap: the low half is then an index into the named ones */
#define HWCAP_EXTENSION (1ULL << 62)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ENDIAN_HERE 2U
#else
#define ENDIAN_HERE 3U
#endif

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static uint64_t get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

uint32_t ldcache_kind(uint16_t machine, unsigned char elf_class)
{
	switch (machine) {
	case EM_X86_64:
		return elf_class == ELFCLASS64 ? LDCACHE_X86_64 : LDCACHE_X32;
	case EM_386:
		return LDCACHE_I386;
	case EM_AARCH64:
		return LDCACHE_AARCH64;
	default:
		return 0;
	}
}

/* Finds the table of named hardware capabilities; a cache without one is fine. */
static void find_hwcaps(struct ldcache *c)
{
	uint32_t at = get32(c->base + OFF_EXTENSIONS), n;

	if (at == 0 || at > c->len || c->len - at < 8 || get32(c->base + at) != EXTENSION_MAGIC)
		return;
	n = get32(c->base + at + 4);
	if (n > (c->len - at - 8) / 16)
		return;
	for (uint32_t i = 0; i < n; i++) {
		const unsigned char *s = c->base + at + 8 + (size_t)i * 16;
		uint32_t off = get32(s + 8), size = get32(s + 12);

		if (get32(s) != EXTENSION_HWCAPS || off > c->len || size > c->len - off)
			continue;
		c->hwcaps = c->base + off;
		c->n_hwcaps = size / 4;
	}
}

int ldcache_parse(struct ldcache *c, const void *data, size_t len, struct err *e)
{
	struct ldcache v = { .base = data, .len = len };

	if (len >= OLD_HEADER && memcmp(data, old_magic, OLD_MAGIC_LEN) == 0) {
		uint64_t skip = OLD_HEADER + (uint64_t)get32(v.base + 12) * OLD_ENTRY;

		skip = (skip + 7) & ~7ULL;
		if (skip > len)
			return err_set(e, EINVAL, "ld.so.cache: cut off");
		v.base += skip;
		v.len -= skip;
	}
	if (v.len < NEW_HEADER || memcmp(v.base, new_magic, NEW_MAGIC_LEN) != 0)
		return err_set(e, EINVAL, "ld.so.cache: not in the format of glibc 2.32 and later");
	if ((v.base[OFF_FLAGS] & 3U) != 0 && (v.base[OFF_FLAGS] & 3U) != ENDIAN_HERE)
		return err_set(e, EINVAL, "ld.so.cache: made for the other byte order");
	v.n = get32(v.base + OFF_NLIBS);
	if (v.n > (v.len - NEW_HEADER) / NEW_ENTRY)
		return err_set(e, EINVAL, "ld.so.cache: cut off");
	find_hwcaps(&v);
	*c = v;
	return 0;
}

/* A terminated, non-empty string at an offset from base, or NULL. */
static const char *string_at(const struct ldcache *c, uint32_t off)
{
	const char *s;

	if (off >= c->len)
		return NULL;
	s = (const char *)c->base + off;
	return *s && memchr(s, '\0', c->len - off) ? s : NULL;
}

bool ldcache_entry(const struct ldcache *c, uint32_t i, struct ldcache_entry *ret)
{
	struct ldcache_entry v = { .hwcap = "" };
	const unsigned char *p;
	uint64_t hwcap;

	if (i >= c->n)
		return false;
	p = c->base + NEW_HEADER + (size_t)i * NEW_ENTRY;
	v.flags = get32(p);
	v.soname = string_at(c, get32(p + 4));
	v.path = string_at(c, get32(p + 8));
	hwcap = get64(p + 16);
	if (!v.soname || !v.path)
		return false;
	if (hwcap & HWCAP_EXTENSION) {
		uint32_t index = (uint32_t)hwcap;

		v.hwcap = index < c->n_hwcaps ? string_at(c, get32(c->hwcaps + (size_t)index * 4)) :
						NULL;
		if (!v.hwcap)
			return false;
	} else if (hwcap != 0) {
		return false;
	}
	*ret = v;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int ldcache_compare(const char *a, const char *b)
{
	while (*a) {
		if (is_digit(*a) && is_digit(*b)) {
			uint64_t x = 0, y = 0;

			/* As glibc: an absurdly long number may wrap, the same way on both sides. */
			for (; is_digit(*a); a++)
				x = x * 10 + (uint64_t)(*a - '0');
			for (; is_digit(*b); b++)
				y = y * 10 + (uint64_t)(*b - '0');
			if (x != y)
				return x < y ? -1 : 1;
		} else if (is_digit(*a)) {
			return 1;
		} else if (is_digit(*b)) {
			return -1;
		} else if (*a != *b) {
			return *a < *b ? -1 : 1;
		} else {
			a++;
			b++;
		}
	}
	/* As glibc, whose chars are signed here: what is not ASCII comes before the end. */
	return *b == '\0' ? 0 : *b > 0 ? -1 : 1;
}

/* Descending, as ldconfig writes it. */
static int for_cache(const void *a, const void *b)
{
	const struct ldcache_entry *x = a, *y = b;
	int c = ldcache_compare(y->soname, x->soname);

	if (c != 0)
		return c;
	if (x->flags != y->flags)
		return x->flags < y->flags ? 1 : -1;
	return strcmp(x->path, y->path);
}

static void put32(unsigned char *p, uint32_t v)
{
	memcpy(p, &v, sizeof v);
}

int ldcache_write(const struct ldcache_entry *v, size_t n, void **ret_data, size_t *ret_len)
{
	size_t strings = 0, at;
	struct ldcache_entry *sorted = calloc(n + 1, sizeof *sorted);
	unsigned char *data;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		sorted[i] = v[i];
		strings += strlen(v[i].soname) + strlen(v[i].path) + 2;
	}
	qsort(sorted, n, sizeof *sorted, for_cache);
	at = NEW_HEADER + n * NEW_ENTRY;
	data = n > UINT32_MAX / NEW_ENTRY / 2 || strings > UINT32_MAX / 2 ? NULL :
									     calloc(1, at + strings);
	if (!data) {
		free(sorted);
		return -ENOMEM;
	}
	memcpy(data, new_magic, NEW_MAGIC_LEN);
	put32(data + OFF_NLIBS, (uint32_t)n);
	put32(data + OFF_STRINGS, (uint32_t)strings);
	data[OFF_FLAGS] = ENDIAN_HERE;
	for (size_t i = 0; i < n; i++) {
		unsigned char *p = data + NEW_HEADER + i * NEW_ENTRY;
		size_t len = strlen(sorted[i].soname) + 1;

		put32(p, sorted[i].flags);
		put32(p + 4, (uint32_t)at);
		memcpy(data + at, sorted[i].soname, len);
		at += len;
		put32(p + 8, (uint32_t)at);
		len = strlen(sorted[i].path) + 1;
		memcpy(data + at, sorted[i].path, len);
		at += len;
	}
	free(sorted);
	*ret_data = data;
	*ret_len = at;
	return 0;
}
