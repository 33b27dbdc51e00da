/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory that a bundle is written in before it gets its name: a
 * sibling of the final place, so that a rename finishes it at once, and nothing
 * is left when packing fails.
 */
#ifndef VRUN_PACK_STAGING_H
#define VRUN_PACK_STAGING_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

struct staging {
	int parent_fd;           /* the directory both names are in */
	int fd;                  /* the temporary directory */
	bool replace;            /* a bundle of that name is there and will go */
	char name[NAME_MAX + 1]; /* final name in parent_fd */
	char temp[NAME_MAX + 1]; /* temporary name; "" when nothing is to be removed */
};

/*
 * Makes the temporary directory, mode 0700. An existing `bundle` is -EEXIST
 * unless `force`, and then still unless it looks like a bundle (has a
 * config.json). On success the caller calls staging_end().
 */
int staging_begin(struct staging *s, const char *bundle, bool force, struct err *e);

/* Gives the directory its final name and mode 0755; a bundle that was there is removed. */
int staging_commit(struct staging *s, struct err *e);

/* Removes what was not committed and closes. Safe on a zeroed or finished struct with fds of -1. */
void staging_end(struct staging *s);

/* Removes a directory tree below dirfd, unreadable directories too, following no link. 0 or -errno. */
int staging_remove_tree(int dirfd, const char *name);

#endif
