/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as the kernel would walk them, over any source of answers.
 *
 * Packing asks the same question of two worlds: "what lies at this path on the
 * host?" and "what will lie there in the bundle?". path_walk() does the walk
 * (symlinks, "..", the loop limit) and leaves the look-up of one component to
 * its caller, so that both worlds, and the tests, share one set of rules.
 *
 * Every path here is absolute, and a "real" path has no ".", "..", doubled or
 * trailing slash and no symlink among its components.
 */
#ifndef VRUN_PACK_PATH_H
#define VRUN_PACK_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum path_kind { PATH_ABSENT, PATH_DIR, PATH_LINK, PATH_OTHER };

struct path_found {
	enum path_kind kind;
	char target[PATH_MAX]; /* of a PATH_LINK, terminated, never empty */
};

/*
 * What lies at `path`, whose parent is a real path. 0 or -errno; an absent
 * entry is 0 with PATH_ABSENT. The walk calls it once for each component it
 * passes, in order, so a look-up may also take note of them.
 */
typedef int (*path_lookup)(void *ctx, const char *path, struct path_found *ret, struct err *e);

enum path_flags {
	PATH_NOFOLLOW = 1, /* a symlink as the last component is the result, not its target */
	PATH_MAKE = 2,     /* absent components are passed as if they were directories */
};

/*
 * Resolves an absolute path into ret_real, a buffer of PATH_MAX bytes. Errors
 * as path_resolution(7): -ENOENT, -ENOTDIR, -ELOOP after 40 links,
 * -ENAMETOOLONG, -EINVAL for a relative path. ret_kind may be NULL.
 */
int path_walk(const char *path, unsigned flags, path_lookup lookup, void *ctx, char *ret_real,
	      enum path_kind *ret_kind, struct err *e);

/* dst (PATH_MAX bytes) = dir + "/" + name, with one slash between. -ENAMETOOLONG when it does not fit. */
int path_join(char *dst, const char *dir, const char *name);

/* Whether path is dir itself or lies below it; both normal. */
bool path_below(const char *path, const char *dir);

/* Whether a path has the shape of a real path: absolute and normal. "/" is one. */
bool path_is_normal(const char *path);

/* The last component; points into path. "" for "/". */
const char *path_base(const char *path);

#endif
