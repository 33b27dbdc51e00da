/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount option tmpcopyup: a tmpfs that starts with a copy of what lies at
 * its place (runtime-spec, config.md, "Linux mount options").
 */
#ifndef VRUN_RUN_COPYUP_H
#define VRUN_RUN_COPYUP_H

#include "base/err.h"
#include "model/bundle.h"

/*
 * Copies what is in the directory `from` into the tmpfs `to`, which nobody
 * else can see yet: regular files, directories and symbolic links, with mode,
 * modification time and the owners that the container has ids for. The tmpfs's
 * root looks like the directory as far as m's options do not say otherwise
 * (mode=, uid=, gid=). Both descriptors may be O_PATH and stay the caller's.
 *
 * -ENOSPC when the tmpfs's own limits (size=, nr_inodes=) are reached; -ELOOP
 * for a tree that is nested deeper than a hundred directories.
 */
int copyup_fill(int from, int to, const struct bundle_mount *m, struct err *e);

#endif
