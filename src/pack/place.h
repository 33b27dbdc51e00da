/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts host paths into the tree.
 *
 * A path is walked in the bundle first and on the host second: what the bundle
 * already has at a place wins, what it lacks is taken from the host as it is.
 * So every symlink on the way stays the symlink it was (/lib -> usr/lib,
 * /bin/sh -> dash), every directory on the way keeps its mode, and a path that
 * the caller maps elsewhere (PATH:DEST) is seen by all later walks.
 */
#ifndef VRUN_PACK_PLACE_H
#define VRUN_PACK_PLACE_H

#include "pack/host.h"
#include "pack/notes.h"
#include "pack/tree.h"

/* Says whether a path (in the bundle) is wanted when a directory is taken as a whole. */
typedef bool (*place_filter)(void *ctx, const char *path);

struct place {
	const struct host *host; /* where things lie */
	struct tree *tree;       /* where they go */
	struct notes *notes;
	bool fresh;   /* do not fill gaps in a destination's path from the host */
	bool lenient; /* leave out what may not be read, with a note, instead of failing */
	/* The bundle being written, which must not be packed into itself. */
	dev_t skip_dev;
	ino_t skip_ino[2];
};

/*
 * Adds the one entry at `path` and all that leads to it: a file, a directory
 * without its content, or a symlink together with what it leads to. ret_real
 * (PATH_MAX bytes, may be NULL) gets the real path. -EXDEV when the path lies
 * in or leads into /proc, /sys or /dev, which a bundle cannot hold (symlinks
 * up to there are added); -EOPNOTSUPP for sockets, devices and the like;
 * -ENOENT and others as path_walk().
 */
int place_path(struct place *p, const char *path, enum node_why why, char *ret_real,
	       struct err *e);

/*
 * As place_path(), and everything below a directory. Symlinks found there are
 * kept and not followed. What is no file, directory or link, and what the
 * filter (may be NULL) refuses, is left out; the first with a note.
 */
int place_tree(struct place *p, const char *path, enum node_why why, place_filter filter,
	       void *filter_ctx, struct err *e);

/* As place_tree(), with `source` (real, on the host) lying at `dest` in the bundle. */
int place_map(struct place *p, const char *source, const char *dest, enum node_why why,
	      struct err *e);

/* A directory in the bundle whether the host has it or not. ret_real may be NULL. */
int place_mkdir(struct place *p, const char *path, mode_t mode, enum node_why why, char *ret_real,
		struct err *e);

#endif
