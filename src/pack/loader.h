/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one dynamic loader (the program's PT_INTERP) knows by itself: which
 * directories it searches without being told, which subdirectories of them
 * suit this machine's processor, what $LIB stands for, and its cache file.
 * Found out by reading its file and the host's, never by running it.
 *
 * ld.so(8); glibc, elf/dl-load.c; musl, ldso/dynlink.c.
 */
#ifndef VRUN_PACK_LOADER_H
#define VRUN_PACK_LOADER_H

#include <stdbool.h>

#include "pack/elffile.h"
#include "pack/host.h"
#include "pack/ldcache.h"

#define LOADER_DIRS_MAX 16U
#define LOADER_HWCAPS_MAX 3U

struct loader {
	const char *interp; /* as PT_INTERP names it */
	bool musl;
	const char *dirs[LOADER_DIRS_MAX]; /* no trailing slash */
	size_t n_dirs;
	const char *hwcaps[LOADER_HWCAPS_MAX]; /* best first; of this machine's processor */
	size_t n_hwcaps;
	const char *lib;      /* $LIB */
	const char *platform; /* $PLATFORM */
	uint32_t kind;        /* LDCACHE_*, 0: no cache for this machine */
	char *cache_data;     /* owned; NULL when there is no usable cache */
	struct ldcache cache;
};

/*
 * Reads up on the loader of a program. Strings live in the arena. A missing or
 * unreadable cache is no error. On success the caller calls loader_fini().
 */
int loader_init(struct loader *l, struct arena *arena, const struct host *h,
		const struct elffile *program, struct err *e);
void loader_fini(struct loader *l);

/*
 * Finds the list of directories that glibc's loader is built with in its file:
 * strings one after the other, each ended by "/" and a NUL. Returns how many,
 * at most `max`, 0 when there is no such list. Strings are copied to the arena.
 */
size_t loader_scan_dirs(struct arena *arena, const char *data, size_t len, const char **ret_dirs,
			size_t max);

/*
 * Expands $ORIGIN, $LIB and $PLATFORM in one element of a search path into a
 * buffer of PATH_MAX bytes. -ENAMETOOLONG when it does not fit.
 */
int loader_expand(const struct loader *l, const char *text, size_t len, const char *origin,
		  char *ret);

#endif
