/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the config.json reader share; private to bundle*.c.
 *
 * Each bundle_read_X() reads one part of the document into the bundle and
 * returns 0 or -errno. The getters return as those of model/json.h: 1 when the
 * member is there and right, 0 when it is absent (outputs untouched), a
 * negative errno number otherwise. What they return lives in the arena.
 */
#ifndef VRUN_MODEL_BUNDLE_READ_H
#define VRUN_MODEL_BUNDLE_READ_H

#include "model/bundle.h"

/* The kernel's limit for lines of a uid or gid map (UID_GID_MAP_MAX_EXTENTS). */
#define BUNDLE_MAP_LINES_MAX 340
/* Ids end one below (uid_t)-1, which means "none" to the kernel. */
#define BUNDLE_ID_MAX (UINT32_MAX - 1)

/* A table of words of the spec; the last name is NULL. */
struct name_value {
	const char *name;
	uint64_t value;
};

struct bundle_items {
	void *v;
	size_t n;
};

/* Reads the array element at the cursor into `item`, which is zeroed. */
typedef int bundle_item_fn(struct bundle *b, const struct jat *at, void *item, struct err *e);

/* Parts of the document, in the order in which they are read. */
int bundle_read_process(struct bundle *b, const struct jat *root, struct err *e);
int bundle_read_mounts(struct bundle *b, const struct jat *root, struct err *e);
int bundle_read_linux(struct bundle *b, const struct jat *root, struct err *e);
int bundle_read_namespaces(struct bundle *b, const struct jat *linux_at, struct err *e);
int bundle_read_resources(struct bundle *b, const struct jat *linux_at, struct err *e);
int bundle_read_seccomp(struct bundle *b, const struct jat *linux_at, struct err *e);
int bundle_read_hooks(struct bundle *b, const struct jat *root, struct err *e);
int bundle_read_annotations(struct bundle *b, const struct jat *root, struct err *e);

/* For bundle_word(). */
const char *bundle_cap_word(size_t i);
const char *bundle_mount_word(bool attrs, size_t i);
const char *bundle_seccomp_word(enum bundle_words kind, size_t i);

/* Error for a member that the spec requires and that is not there. -EINVAL. */
int bundle_missing(const struct jat *at, const char *key, struct err *e);
int bundle_no_memory(const struct jat *at, struct err *e); /* -ENOMEM */
/* As json_error(), with a word of the document quoted in front: "WORD": text. */
int bundle_bad_word(const struct jat *at, const char *word, struct err *e, const char *text);

/* A string, copied. An empty one counts as absent: engines write "" for "not set". */
int bundle_get_text(struct arena *a, const struct jat *at, const char *key, const char **ret,
		    struct err *e);
/* As above; absent or empty is an error. */
int bundle_need_text(struct arena *a, const struct jat *at, const char *key, const char **ret,
		     struct err *e);
/* As bundle_need_text(), and it starts with '/'. */
int bundle_need_path(struct arena *a, const struct jat *at, const char *key, const char **ret,
		     struct err *e);
int bundle_get_list(struct arena *a, const struct jat *at, const char *key, struct strlist *ret,
		    struct err *e);
/* A list of environment entries, each NAME=VALUE with a name. */
int bundle_get_env(struct arena *a, const struct jat *at, const char *key, struct strlist *ret,
		   struct err *e);
/* An object whose members are strings. Keys are not empty. */
int bundle_get_pairs(struct arena *a, const struct jat *at, const char *key,
		     struct key_value **ret, size_t *ret_n, struct err *e);
int bundle_get_u32(const struct jat *at, const char *key, uint32_t max, uint32_t *ret,
		   struct err *e);
int bundle_need_u32(const struct jat *at, const char *key, uint32_t max, uint32_t *ret,
		    struct err *e);
/* An array of objects, each `size` bytes long when read by `fn`. */
int bundle_get_items(struct bundle *b, const struct jat *at, const char *key, size_t size,
		     bundle_item_fn *fn, struct bundle_items *ret, struct err *e);
/* uidMappings and the like, checked as the kernel would (user_namespaces(7)). */
int bundle_get_idmap(struct arena *a, const struct jat *at, const char *key, struct idmap *ret,
		     struct err *e);

/* The value that the word at the cursor has in the table; unknown words are errors with a hint. */
int bundle_as_name(const struct jat *at, const struct name_value *table, const char *what,
		   uint64_t *ret, struct err *e);
int bundle_get_name(const struct jat *at, const char *key, const struct name_value *table,
		    const char *what, uint64_t *ret, struct err *e);
/* As bundle_get_name(), but what is returned is the table's own copy of the word. */
int bundle_get_word(const struct jat *at, const char *key, const struct name_value *table,
		    const char *what, const char **ret, struct err *e);
/* "did you mean" over a table; clears the hint when nothing is near. Returns -EINVAL. */
int bundle_hint_name(const char *word, const struct name_value *table, struct err *e);

/* "0-3,7": decimal numbers and ascending ranges. Absent and empty are the same. */
int bundle_get_cpulist(struct arena *a, const struct jat *at, const char *key, const char **ret,
		       struct err *e);

/* Whether a path has a component ".." . */
bool bundle_path_climbs(const char *path);

#endif
