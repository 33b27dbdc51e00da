/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of what a bundle's root filesystem will hold, kept while it is being
 * decided and then walked in one fixed order: parents before children, names
 * by their bytes. Nothing here touches the system.
 *
 * Keys are real paths (pack/path.h): the parents of every node are directories
 * of the tree, never symlinks, so no copy can be led astray by a link.
 */
#ifndef VRUN_PACK_TREE_H
#define VRUN_PACK_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"

#define TREE_DIGEST_BYTES 32U /* SHA-256 */

enum node_kind { NODE_DIR, NODE_FILE, NODE_LINK };

/* Why something is in the bundle; the first reason stays. */
enum node_why {
	WHY_PARENT,   /* leads to something else */
	WHY_PROGRAM,  /* the program, its interpreters, links to them */
	WHY_LIBRARY,  /* the loader asks for it */
	WHY_PACKAGE,  /* belongs to the program's package, or to one that it needs */
	WHY_RUNTIME,  /* an interpreter's modules */
	WHY_SYSTEM,   /* what any program may ask for: accounts, name services, time zone, ... */
	WHY_TRACE,    /* the trial run used it */
	WHY_ADD,      /* the caller named it */
	WHY_DATA,     /* the caller's data */
	WHY_MAX
};

struct node {
	const char *path;
	enum node_kind kind;
	enum node_why why;
	mode_t mode;      /* permission bits (and sticky, for directories) in the bundle */
	mode_t lost_bits; /* S_ISUID, S_ISGID that the original had */
	bool lost_caps;   /* the original had file capabilities */
	uid_t uid;        /* the original's owner */
	gid_t gid;
	const char *source; /* NODE_FILE: host path of the content; NULL: `text` is the content */
	const char *text;   /* NODE_FILE without source: `size` bytes of content; NODE_LINK: target */
	dev_t dev;          /* the original's identity; 0, 0 for what is made up */
	ino_t ino;
	nlink_t nlink;
	uint64_t size;
	/* filled in by the copy */
	const struct node *same_as; /* an earlier node that is the same file */
	unsigned char digest[TREE_DIGEST_BYTES];
	bool seen; /* for whoever goes through the tree and must know what is done */
};

struct tree {
	struct arena arena;
	struct node **slot; /* hash table, open addressing */
	size_t n_slots, n;
};

/* "library", "package" ...; never NULL. */
const char *tree_why_name(enum node_why why);

void tree_init(struct tree *t);
void tree_fini(struct tree *t);

/* The node at a path, or NULL. */
struct node *tree_find(const struct tree *t, const char *path);

/*
 * Adds a copy of *n, with its strings, unless the path is taken: then the node
 * that is there stays and *ret is that one. ret may be NULL. 1 when added, 0
 * when taken, -ENOMEM.
 */
int tree_add(struct tree *t, const struct node *n, struct node **ret, struct err *e);

/* Convenience for what has no original on the host. As tree_add(). */
int tree_add_dir(struct tree *t, const char *path, mode_t mode, enum node_why why, struct err *e);
int tree_add_text(struct tree *t, const char *path, mode_t mode, const char *text,
		  enum node_why why, struct err *e);
int tree_add_data(struct tree *t, const char *path, mode_t mode, const void *data, size_t len,
		  enum node_why why, struct err *e);

/* All nodes in order, in an array that the caller frees; t->n of them. NULL when out of memory. */
struct node **tree_sorted(const struct tree *t);

#endif
