/* SPDX-License-Identifier: Apache-2.0 */
#include "model/json.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/json_big.h"
#include "model/json_duplicate.h"

/*
 * jansson's tables need a seed that nobody can guess. Its own way is to open
 * and read /dev/urandom; the kernel has put 16 random bytes into every
 * process already. The first eight are glibc's stack canary and the next its
 * pointer guard, so what is used is mixed from both. Only the first call counts.
 */
static void seed_hashes(void)
{
	const char *random = (const char *)(uintptr_t)getauxval(AT_RANDOM);
	uint64_t r[2];

	if (!random)
		return;
	memcpy(r, random, sizeof r);
	json_object_seed((size_t)(((r[0] ^ (r[1] >> 7)) * 0x9e3779b97f4a7c15ULL) >> 32));
}

static json_t *parse(struct json_doc *d, json_error_t *je)
{
	AUTO_FREE char *copy = NULL;
	json_t *root;

	seed_hashes();
	root = json_loadb(d->text, d->len, JSON_REJECT_DUPLICATES, je);
	if (root || json_error_code(je) != json_error_numeric_overflow)
		return root;
	copy = malloc(d->len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, d->text, d->len + 1);
	if (json_big_replace(copy, &d->bigs, &d->n_bigs) <= 0)
		return NULL;
	return json_loadb(copy, d->len, JSON_REJECT_DUPLICATES, je);
}

static int not_json(const struct json_doc *d, const json_error_t *je, struct err *e)
{
	char text[512];
	size_t line, col;

	if (d->len == 0)
		return err_set(e, EINVAL, "%s: empty file, expected a JSON object", d->name);
	if (json_error_code(je) == json_error_duplicate_key && je->position >= 0) {
		json_duplicate_place(d->text, (size_t)je->position, text, sizeof text, &line, &col);
		(void)err_set(e, EINVAL, "%s:%zu: %s: duplicate key", d->name, line, text);
		return err_place(e, line, col);
	}
	if (json_error_code(je) == json_error_null_character)
		(void)snprintf(text, sizeof text, "a string has a NUL character (\\u0000)");
	else
		(void)log_quote(text, sizeof text, je->text);
	(void)err_set(e, EINVAL, "%s:%d:%d: not valid JSON: %s", d->name, je->line, je->column, text);
	return err_place(e, je->line > 0 ? (size_t)je->line : 0, je->column > 0 ? (size_t)je->column : 0);
}

int json_doc_parse(struct json_doc *doc, const char *name, const char *text, size_t len,
		   struct err *e)
{
	struct json_doc d = { .len = len };
	json_error_t je;

	if (len > JSON_FILE_MAX)
		return err_set(e, EFBIG, "%s: larger than %u bytes", name, JSON_FILE_MAX);
	/* jansson skips a NUL after a number, and then the text ends before the document does. */
	if (memchr(text, '\0', len))
		return err_set(e, EINVAL, "%s: not valid JSON: contains a NUL byte", name);
	d.name = strdup(name);
	d.text = malloc(len + 1);
	if (!d.name || !d.text) {
		json_doc_fini(&d);
		return err_num(e, ENOMEM, "%s", name);
	}
	memcpy(d.text, text, len);
	d.text[len] = '\0';
	d.root = parse(&d, &je);
	if (!d.root) {
		(void)not_json(&d, &je, e);
		json_doc_fini(&d);
		return -EINVAL;
	}
	*doc = d;
	return 0;
}

int json_doc_load(struct json_doc *doc, int dirfd, const char *path, const char *name,
		  struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	int rc = fd_read_file(dirfd, path, JSON_FILE_MAX, &text, &len, e);

	if (rc < 0)
		return rc;
	return json_doc_parse(doc, name ? name : path, text, len, e);
}

void json_doc_fini(struct json_doc *doc)
{
	json_decref(doc->root);
	free(doc->text);
	free(doc->name);
	free(doc->bigs);
	*doc = (struct json_doc){ 0 };
}

struct jat json_root(const struct json_doc *doc)
{
	return (struct jat){ .doc = doc, .val = doc->root };
}

/*
 * Finding lines again. The text has passed jansson, so this scanner trusts its
 * shape; it still never leaves the buffer, which is NUL-terminated.
 */
static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *skip_string(const char *p)
{
	if (*p == '"')
		p++;
	while (*p && *p != '"')
		p += (*p == '\\' && p[1]) ? 2 : 1;
	return *p ? p + 1 : p;
}

static const char *skip_value(const char *p)
{
	size_t depth = 0;

	p = skip_space(p);
	do {
		if (*p == '"') {
			p = skip_string(p);
		} else if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			if (depth == 0)
				return p;
			depth--;
			p++;
		} else if (depth > 0) {
			p += strcspn(p + (*p != '\0'), "\"{}[]") + (*p != '\0');
		} else {
			p += strcspn(p, ",}] \t\r\n");
			return p;
		}
	} while (depth > 0 && *p);
	return p;
}

static bool key_equals(const char *start, const char *end, const char *key)
{
	json_t *s = json_loadb(start, (size_t)(end - start), JSON_DECODE_ANY, NULL);
	const char *v = json_string_value(s);
	bool same = v && strcmp(v, key) == 0;

	json_decref(s);
	return same;
}

/* Start of the value at the cursor in the text; the container's end when it is absent. */
static const char *find(const struct jat *at, const char **ret_key)
{
	const char *p;

	if (!at->up)
		return skip_space(at->doc->text);
	p = find(at->up, NULL);
	if (*p != '{' && *p != '[')
		return p;
	p = skip_space(p + 1);
	for (size_t i = 0; *p && *p != '}' && *p != ']'; i++) {
		if (at->key) {
			const char *end = skip_string(p);
			bool hit = key_equals(p, end, at->key);

			if (hit && ret_key)
				*ret_key = p;
			p = skip_space(end);
			p = skip_space(*p == ':' ? p + 1 : p);
			if (hit)
				return p;
		} else if (i == at->index) {
			return p;
		}
		p = skip_space(skip_value(p));
		if (*p != ',')
			break;
		p = skip_space(p + 1);
	}
	return p;
}

static size_t line_of(const struct jat *at, const char *p, size_t *ret_col)
{
	const char *start = at->doc->text;
	size_t line = 1;

	for (const char *q = start; q < p; q++) {
		if (*q != '\n')
			continue;
		line++;
		start = q + 1;
	}
	if (ret_col)
		*ret_col = (size_t)(p - start) + 1;
	return line;
}

size_t json_line(const struct jat *at, size_t *ret_col)
{
	return line_of(at, find(at, NULL), ret_col);
}

void json_span(const struct jat *at, size_t *ret_start, size_t *ret_end)
{
	const char *p = find(at, NULL);

	*ret_start = (size_t)(p - at->doc->text);
	*ret_end = (size_t)(skip_value(p) - at->doc->text);
}

/* The value of an integer above INT64_MAX at the cursor, or 0 when it is not one (json_big.h). */
static uint64_t big_value(const struct jat *at)
{
	json_int_t v = json_integer_value(at->val);

	if (v > JSON_BIG_FIRST || (uint64_t)(JSON_BIG_FIRST - v) >= at->doc->n_bigs)
		return 0;
	return at->doc->bigs[JSON_BIG_FIRST - v];
}

void json_element_lines(const struct jat *arr, size_t n, size_t *ret_lines)
{
	size_t line = json_line(arr, NULL);
	const char *p = find(arr, NULL), *seen = p;

	p = skip_space(*p == '[' ? p + 1 : p);
	for (size_t i = 0; i < n; i++) {
		for (; seen < p; seen++)
			line += *seen == '\n';
		ret_lines[i] = line;
		p = skip_space(skip_value(p));
		p = skip_space(*p == ',' ? p + 1 : p);
	}
}

static size_t path_put(const struct jat *at, char *buf, size_t size)
{
	size_t n = at->up ? path_put(at->up, buf, size) : 0;
	char quoted[128];
	int more = 0;

	if (!at->up || n >= size)
		return n;
	if (at->key)
		more = snprintf(buf + n, size - n, "%s%s", n ? "." : "",
				log_quote(quoted, sizeof quoted, at->key));
	else
		more = snprintf(buf + n, size - n, "[%zu]", at->index);
	return more < 0 ? n : n + (size_t)more;
}

const char *json_path(const struct jat *at, char *buf, size_t size)
{
	if (!at->up)
		(void)snprintf(buf, size, "(document)");
	else
		(void)path_put(at, buf, size);
	return buf;
}

int json_error(const struct jat *at, struct err *e, const char *fmt, ...)
{
	char path[512], text[512];
	size_t line, col = 0;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	line = json_line(at, &col);
	(void)err_set(e, EINVAL, "%s:%zu: %s: %s", at->doc->name, line,
		      json_path(at, path, sizeof path), text);
	(void)err_place(e, line, col);
	return -EINVAL;
}

static const char *type_name(const json_t *v)
{
	if (!v)
		return "nothing";
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "something else";
}

static int wrong_type(const struct jat *at, const char *wanted, struct err *e)
{
	return json_error(at, e, "expected %s, found %s", wanted, type_name(at->val));
}

int json_expect_object(const struct jat *at, struct err *e)
{
	return json_is_object(at->val) ? 0 : wrong_type(at, "an object", e);
}

int json_expect_array(const struct jat *at, struct err *e)
{
	return json_is_array(at->val) ? 0 : wrong_type(at, "an array", e);
}

int json_member(const struct jat *at, const char *key, struct jat *ret)
{
	const json_t *v = json_object_get(at->val, key);

	*ret = (struct jat){ .doc = at->doc, .up = at, .key = key, .val = v };
	return v && !json_is_null(v);
}

int json_get_object(const struct jat *at, const char *key, struct jat *ret, struct err *e)
{
	if (!json_member(at, key, ret))
		return 0;
	return json_is_object(ret->val) ? 1 : wrong_type(ret, "an object", e);
}

int json_get_array(const struct jat *at, const char *key, struct jat *ret, struct err *e)
{
	if (!json_member(at, key, ret))
		return 0;
	return json_is_array(ret->val) ? 1 : wrong_type(ret, "an array", e);
}

int json_get_bool(const struct jat *at, const char *key, bool *ret, struct err *e)
{
	struct jat m;

	if (!json_member(at, key, &m))
		return 0;
	if (!json_is_boolean(m.val))
		return wrong_type(&m, "a boolean", e);
	*ret = json_is_true(m.val);
	return 1;
}

int json_get_int(const struct jat *at, const char *key, int64_t min, int64_t max, int64_t *ret,
		 struct err *e)
{
	struct jat m;
	int rc;

	if (!json_member(at, key, &m))
		return 0;
	rc = json_as_int(&m, min, max, ret, e);
	return rc < 0 ? rc : 1;
}

int json_get_string(const struct jat *at, const char *key, const char **ret, struct err *e)
{
	struct jat m;
	int rc;

	if (!json_member(at, key, &m))
		return 0;
	rc = json_as_string(&m, ret, e);
	return rc < 0 ? rc : 1;
}

int json_as_string(const struct jat *at, const char **ret, struct err *e)
{
	const char *s = json_string_value(at->val);

	if (!s)
		return wrong_type(at, "a string", e);
	if (strlen(s) != json_string_length(at->val))
		return json_error(at, e, "string contains a NUL character");
	*ret = s;
	return 0;
}

int json_as_int(const struct jat *at, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
	json_int_t v;
	uint64_t big;

	if (!json_is_integer(at->val))
		return wrong_type(at, "an integer", e);
	v = json_integer_value(at->val);
	if (v < 0 && (big = big_value(at)) != 0)
		return json_error(at, e, "%llu is out of range (%lld to %lld)",
				  (unsigned long long)big, (long long)min, (long long)max);
	if (v < min || v > max)
		return json_error(at, e, "%lld is out of range (%lld to %lld)", (long long)v,
				  (long long)min, (long long)max);
	*ret = v;
	return 0;
}

int json_get_uint(const struct jat *at, const char *key, uint64_t max, uint64_t *ret,
		  struct err *e)
{
	struct jat m;
	int rc;

	if (!json_member(at, key, &m))
		return 0;
	rc = json_as_uint(&m, max, ret, e);
	return rc < 0 ? rc : 1;
}

int json_as_uint(const struct jat *at, uint64_t max, uint64_t *ret, struct err *e)
{
	json_int_t v;
	uint64_t u;

	if (!json_is_integer(at->val))
		return wrong_type(at, "an integer", e);
	v = json_integer_value(at->val);
	u = v < 0 ? big_value(at) : (uint64_t)v;
	if (v < 0 && u == 0)
		return json_error(at, e, "%lld is out of range (0 to %llu)", (long long)v,
				  (unsigned long long)max);
	if (u > max)
		return json_error(at, e, "%llu is out of range (0 to %llu)", (unsigned long long)u,
				  (unsigned long long)max);
	*ret = u;
	return 0;
}

bool json_element(const struct jat *arr, size_t i, struct jat *ret)
{
	const json_t *v = json_array_get(arr->val, i);

	*ret = (struct jat){ .doc = arr->doc, .up = arr, .index = i, .val = v };
	return v != NULL;
}

static size_t edit_distance(const char *a, const char *b)
{
	size_t row[65], la = strlen(a), lb = strlen(b);

	if (la > 64 || lb > 64)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diag = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diag + (a[i - 1] != b[j - 1]);

			diag = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

const char *json_nearest(const char *word, const char *const *keys)
{
	const char *best = NULL;
	size_t limit = strlen(word) / 3, least = (limit < 2 ? limit : 2) + 1;

	for (; *keys; keys++) {
		size_t d = edit_distance(word, *keys);

		if (d >= least)
			continue;
		least = d;
		best = *keys;
	}
	return best;
}

int json_known_keys(const struct jat *at, const char *const *keys, struct err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)at->val, key, value) {
		const char *const *k = keys;
		const char *near, *place = NULL;
		size_t line = 0, col = 0;
		char quoted[128];
		struct jat m;

		while (*k && strcmp(*k, key) != 0)
			k++;
		if (*k)
			continue;
		(void)json_member(at, key, &m);
		near = json_nearest(key, keys);
		(void)json_error(&m, e, "unknown key \"%s\"", log_quote(quoted, sizeof quoted, key));
		(void)find(&m, &place);
		if (place)
			line = line_of(&m, place, &col);
		(void)err_place(e, line, col);
		return near ? err_hint(e, "did you mean \"%s\"?", near) : -EINVAL;
	}
	return 0;
}
