/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/ld.so.cache: which path a library's name stands for. Reads the format
 * "glibc-ld.so.cache1.1" of glibc since 2.32 (also when it follows the old
 * "ld.so-1.7.0" table in the same file), and writes the same for a bundle
 * whose libraries lie where the loader would not look by itself.
 *
 * glibc, elf/cache.c and sysdeps/generic/dl-cache.h.
 */
#ifndef VRUN_PACK_LDCACHE_H
#define VRUN_PACK_LDCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ldcache {
	const unsigned char *base; /* of the new format's header; points into the caller's data */
	size_t len;                /* from base to the end of the data */
	uint32_t n;                /* entries */
	const unsigned char *hwcaps; /* array of string offsets, or NULL */
	uint32_t n_hwcaps;
};

struct ldcache_entry {
	const char *soname, *path; /* terminated, inside the data */
	uint32_t flags;            /* ABI: LDCACHE_* */
	const char *hwcap;         /* "x86-64-v3" when in such a subdirectory, "" for a plain entry */
};

/* Kinds of library, as the loader compares them. */
#define LDCACHE_I386 0x0003U
#define LDCACHE_X86_64 0x0303U
#define LDCACHE_X32 0x0803U
#define LDCACHE_AARCH64 0x0a03U

/* The kind for an ELF machine and class; 0 for machines vrun does not know. */
uint32_t ldcache_kind(uint16_t machine, unsigned char elf_class);

/* Checks the header. `data` must outlive the cache. -EINVAL for anything that is no such file. */
int ldcache_parse(struct ldcache *c, const void *data, size_t len, struct err *e);

/*
 * Entry i. False for an entry that points outside the file, that is not for a
 * plain or named hardware capability (the old bit masks, gone in glibc 2.37),
 * or i out of range; the walk goes on with the next.
 */
bool ldcache_entry(const struct ldcache *c, uint32_t i, struct ldcache_entry *ret);

/*
 * Writes a cache of plain entries into memory that the caller frees, in the
 * order that the loader's binary search expects.
 */
int ldcache_write(const struct ldcache_entry *v, size_t n, void **ret_data, size_t *ret_len);

/*
 * How the loader orders names: digits as numbers, so that libfoo.so.10 comes
 * after libfoo.so.9 (_dl_cache_libcmp).
 */
int ldcache_compare(const char *a, const char *b);

#endif
