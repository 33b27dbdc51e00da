/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of "vrun up": several bundles that run as one fabric.
 *
 *   { "version": 1,
 *     "fabric": "shop",
 *     "bundles": {
 *       "db":  { "bundle": "db", "policy": "db.json", "ready": 6379 },
 *       "web": { "bundle": "web", "after": ["db"] } } }
 *
 * Strict, as policies are: unknown keys are errors with their place.
 */
#ifndef VRUN_MODEL_UPFILE_H
#define VRUN_MODEL_UPFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

#define UPFILE_BUNDLES_MAX 64

struct upfile_bundle {
	const char *name;
	const char *bundle; /* path as the file has it, relative to the file's directory */
	const char *policy; /* the same; NULL: the bundle's own */
	uint16_t ready;     /* it is ready when it listens at this port; 0: when it has been started */
	size_t *after;      /* which others have to be ready first */
	size_t n_after;
};

struct upfile {
	struct arena arena;
	const char *fabric;
	struct upfile_bundle *v; /* in the order of the file */
	size_t n;
};

/* Reads and checks; upfile_fini() afterwards. -EINVAL also for an order that no start can keep. */
int upfile_load(struct upfile *u, const char *path, struct err *e);
void upfile_fini(struct upfile *u);

#endif
