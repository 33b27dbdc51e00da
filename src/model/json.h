/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict JSON over jansson, whose errors name the place.
 *
 * jansson parses; duplicate keys and trailing text are errors. A `struct jat`
 * ("JSON at") is a cursor that lives on the reader's stack and remembers how
 * it was reached, so that any complaint can say
 * "FILE:LINE: process.args[0]: expected a string, found an integer". The line
 * is found by scanning the text again, which happens only when something is
 * wrong.
 */
#ifndef VRUN_MODEL_JSON_H
#define VRUN_MODEL_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define JSON_FILE_MAX (4U << 20) /* bytes; larger documents are refused */

struct json_doc {
	json_t *root; /* owned */
	char *text;   /* owned; the document as read, terminated */
	size_t len;
	char *name;   /* owned; what messages call it, usually the path */
	uint64_t *bigs; /* owned; integers above INT64_MAX, for json_as_uint() */
	size_t n_bigs;
};

struct jat {
	const struct json_doc *doc;
	const struct jat *up; /* NULL at the root */
	const char *key;      /* NULL for an array element or the root */
	size_t index;         /* for an array element */
	const json_t *val;    /* borrowed from doc; NULL when absent */
};

/* Parses text (copied). On success the caller calls json_doc_fini(). -EINVAL with "NAME:LINE:COL: why";
 * for a duplicate key "NAME:LINE: PATH: duplicate key". */
int json_doc_parse(struct json_doc *doc, const char *name, const char *text, size_t len,
		   struct err *e);
/* Reads path at dirfd, then as json_doc_parse(). `name` may be NULL for path itself. */
int json_doc_load(struct json_doc *doc, int dirfd, const char *path, const char *name,
		  struct err *e);
void json_doc_fini(struct json_doc *doc);

/* A cursor on the document's root. */
struct jat json_root(const struct json_doc *doc);

/* Error at a cursor: "NAME:LINE: PATH: text". Returns -EINVAL. */
int json_error(const struct jat *at, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Line and column (from 1) of the value at the cursor, or of the object's closing place for an
 * absent one. 0 when it cannot be found (the cursor does not belong to the text). */
size_t json_line(const struct jat *at, size_t *ret_col);
/* Where the value at the cursor, which is there, begins and ends in the document's text. */
void json_span(const struct jat *at, size_t *ret_start, size_t *ret_end);
/* The lines of an array's first n elements, in one pass over the text (json_line() scans each time). */
void json_element_lines(const struct jat *arr, size_t n, size_t *ret_lines);
/* "process.args[0]" into buf; "(document)" for the root. Returns buf. */
const char *json_path(const struct jat *at, char *buf, size_t size);

/*
 * Members of an object. Each returns 1 when the member is there and right, 0
 * when it is absent or null (outputs untouched), -EINVAL when it has the wrong
 * type or range. `at` must be an object: json_expect_object() first.
 */
int json_expect_object(const struct jat *at, struct err *e);
int json_expect_array(const struct jat *at, struct err *e);
int json_member(const struct jat *at, const char *key, struct jat *ret);         /* any type */
int json_get_object(const struct jat *at, const char *key, struct jat *ret, struct err *e);
int json_get_array(const struct jat *at, const char *key, struct jat *ret, struct err *e);
int json_get_bool(const struct jat *at, const char *key, bool *ret, struct err *e);
int json_get_int(const struct jat *at, const char *key, int64_t min, int64_t max, int64_t *ret,
		 struct err *e);
/* As json_get_int() for the whole range of 64 bits without a sign. */
int json_get_uint(const struct jat *at, const char *key, uint64_t max, uint64_t *ret,
		  struct err *e);
int json_get_string(const struct jat *at, const char *key, const char **ret, struct err *e);

/* The value itself. 0 or -EINVAL. A string with an embedded NUL is refused. */
int json_as_string(const struct jat *at, const char **ret, struct err *e);
int json_as_int(const struct jat *at, int64_t min, int64_t max, int64_t *ret, struct err *e);
int json_as_uint(const struct jat *at, uint64_t max, uint64_t *ret, struct err *e);

/* Array elements: `for (size_t i = 0; json_element(&arr, i, &el); i++)`. */
bool json_element(const struct jat *arr, size_t i, struct jat *ret);

/* Refuses members that are not in the NULL-terminated list, with "did you mean". */
int json_known_keys(const struct jat *at, const char *const *keys, struct err *e);

/* The list's entry nearest to word by edit distance (at most 2, or a third of it), or NULL. */
const char *json_nearest(const char *word, const char *const *keys);

#endif
