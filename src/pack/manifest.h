/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.json: what a bundle holds, where it came from, and what it needs.
 * Written by pack, read by verify. bundle-spec/manifest.md says what each part
 * means.
 */
#ifndef VRUN_PACK_MANIFEST_H
#define VRUN_PACK_MANIFEST_H

#include <jansson.h>
#include <limits.h>
#include <stdint.h>

#include "pack/hash.h"
#include "pack/tree.h"

#define MANIFEST_VERSION 1
#define MANIFEST_FILE_MAX (256U << 20) /* bytes */

/*
 * Paths in JSON: bytes that are not UTF-8, control characters and backslashes
 * become \xNN. Into a buffer of MANIFEST_PATH_MAX bytes; always fits.
 */
#define MANIFEST_PATH_MAX (4 * PATH_MAX + 16)
const char *manifest_encode_path(const char *path, char *buf);
/* The reverse, into PATH_MAX bytes. -EINVAL unless encoding gives the same text again. */
int manifest_decode_path(const char *text, char *buf);

/* A new reference to {"PATH": {"type": ..., "mode": ...}}; NULL when out of memory. */
json_t *manifest_files(struct node *const *sorted, size_t n);

/* One entry as read back. */
struct manifest_entry {
	char path[PATH_MAX]; /* normal and absolute inside the tree */
	enum node_kind kind;
	mode_t mode;
	uint64_t size;
	unsigned char digest[HASH_BYTES]; /* NODE_FILE */
	char target[PATH_MAX];            /* NODE_LINK */
};

/*
 * Reads one entry, strictly. -EINVAL with the reason for a wrong type, an
 * unknown kind, or a path that is not normal.
 */
int manifest_read_entry(const char *key, const json_t *value, struct manifest_entry *ret,
			struct err *e);

#endif
