/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian's package database, read as plain files: which package a file belongs
 * to, what a package holds, and what it depends on. dpkg(1), deb-control(5);
 * /var/lib/dpkg/status and /var/lib/dpkg/info/PACKAGE[:ARCH].list.
 *
 * File lists use the paths that packages were built with, which since the
 * merge of /bin and /usr/bin need not be the real ones: look-ups try both.
 */
#ifndef VRUN_PACK_DPKG_H
#define VRUN_PACK_DPKG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "pack/host.h"

struct dpkg_package {
	const char *name, *arch, *version, *section;
	const char *source;  /* source package, without its version */
	const char *depends; /* Pre-Depends, Depends; "" when absent. As in the database */
	const char *pre_depends, *recommends, *provides;
	bool essential;
	const char *files; /* the list, a path a line, terminated; NULL until the index is built */
	unsigned mark;     /* for the caller */
};

struct dpkg_line;

struct dpkg {
	struct arena arena;
	struct dpkg_package *packages; /* installed ones */
	size_t n;
	char *status; /* owned: the database's text, cut into strings */
	struct dpkg_line *lines;
	uint32_t *buckets;
	size_t n_lines, n_buckets;
};

/* -ENOENT when the host has no such database. On success the caller calls dpkg_close(). */
int dpkg_open(struct dpkg *d, const struct host *h, struct err *e);
void dpkg_close(struct dpkg *d);

/* Reads the text of a status file; exposed for tests and fuzzers. `text` is taken over (free()d later). */
int dpkg_parse(struct dpkg *d, char *text, struct err *e);

/* An installed package by name, or one that provides the name; NULL. */
struct dpkg_package *dpkg_find(const struct dpkg *d, const char *name);

/* Calls `each` with the packages that list a path, until it returns false. */
void dpkg_owners(const struct dpkg *d, const char *path,
		 bool (*each)(void *ctx, struct dpkg_package *pkg), void *ctx);

/* The first of them that lists the path or its form from before the merge; NULL. */
struct dpkg_package *dpkg_owner(const struct dpkg *d, const char *path);

/*
 * Calls `each` for every entry of a dependency field that is installed: the
 * first installed one of alternatives. Stops and passes on what is not 0.
 */
int dpkg_relations(const struct dpkg *d, const char *field,
		   int (*each)(void *ctx, struct dpkg_package *pkg), void *ctx);

/* Calls `each` for every path of a package. Stops and passes on what is not 0. */
int dpkg_files(const struct dpkg_package *pkg, int (*each)(void *ctx, const char *path), void *ctx);

#endif
