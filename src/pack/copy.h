/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a tree real: directories, copies, links, with normalised modes and one
 * time stamp for everything, and the SHA-256 of every file on the way.
 */
#ifndef VRUN_PACK_COPY_H
#define VRUN_PACK_COPY_H

#include <stdint.h>
#include <time.h>

#include "pack/host.h"
#include "pack/notes.h"
#include "pack/progress.h"
#include "pack/tree.h"

struct copy {
	const struct host *host;
	struct notes *notes;
	struct progress *progress;
	time_t when; /* modification time of everything */
	/* results, added up */
	uint64_t bytes;
	uint64_t n_files, n_links, n_dirs, n_reflinks;
	/* private */
	bool no_reflink; /* not from this device to where the bundle lies */
	dev_t no_reflink_dev;
	unsigned char *buffer;
};

#define COPY_BUFFER_BYTES (1U << 20)

/*
 * Copies every node below the empty directory root_fd and fills in sizes and
 * digests (nodes in the array are changed). `sorted` is tree_sorted()'s. Files
 * that may not be read, or that changed while they were copied, are errors.
 * Interruptible. Nothing is undone on failure: the caller removes the whole.
 */
int copy_tree(struct copy *c, int root_fd, struct node **sorted, size_t n, struct err *e);

/* Writes one file of the bundle itself (config.json ...), mode 0644, and sets its time. */
int copy_text(int dir_fd, const char *name, const void *data, size_t len, time_t when, struct err *e);

/* Sets a directory's or file's time by fd. */
int copy_set_time(int fd, time_t when);

#endif
