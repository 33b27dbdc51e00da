/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bundle_read.h"

#include <string.h>

#include "base/log.h"
#include "base/num.h"

#define NAMES_MAX 128 /* longest table, for hints */

int bundle_missing(const struct jat *at, const char *key, struct err *e)
{
	struct jat m;

	(void)json_member(at, key, &m);
	return json_error(&m, e, "missing, but the runtime spec requires it");
}

int bundle_no_memory(const struct jat *at, struct err *e)
{
	return err_num(e, ENOMEM, "%s", at->doc->name);
}

int bundle_bad_word(const struct jat *at, const char *word, struct err *e, const char *text)
{
	char quoted[192];

	return json_error(at, e, "\"%s\": %s", log_quote(quoted, sizeof quoted, word), text);
}

static int copy_text(struct arena *a, const struct jat *at, const char *text, const char **ret,
		     struct err *e)
{
	const char *copy = arena_strdup(a, text);

	if (!copy)
		return bundle_no_memory(at, e);
	*ret = copy;
	return 1;
}

int bundle_get_text(struct arena *a, const struct jat *at, const char *key, const char **ret,
		    struct err *e)
{
	const char *s = "";
	int rc = json_get_string(at, key, &s, e);

	if (rc <= 0)
		return rc;
	return *s ? copy_text(a, at, s, ret, e) : 0;
}

int bundle_need_text(struct arena *a, const struct jat *at, const char *key, const char **ret,
		     struct err *e)
{
	const char *s = "";
	struct jat m;
	int rc = json_get_string(at, key, &s, e);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return bundle_missing(at, key, e);
	(void)json_member(at, key, &m);
	if (!*s)
		return json_error(&m, e, "is empty");
	return copy_text(a, at, s, ret, e);
}

int bundle_need_path(struct arena *a, const struct jat *at, const char *key, const char **ret,
		     struct err *e)
{
	const char *s = "";
	struct jat m;
	int rc = bundle_need_text(a, at, key, &s, e);

	if (rc < 0)
		return rc;
	(void)json_member(at, key, &m);
	if (*s != '/')
		return bundle_bad_word(&m, s, e, "the path must be absolute");
	*ret = s;
	return 1;
}

int bundle_get_list(struct arena *a, const struct jat *at, const char *key, struct strlist *ret,
		    struct err *e)
{
	struct strlist list = { 0 };
	struct jat arr, el;
	int rc = json_get_array(at, key, &arr, e);

	if (rc <= 0)
		return rc;
	list.v = arena_array(a, json_array_size(arr.val) + 1, sizeof *list.v);
	if (!list.v)
		return bundle_no_memory(at, e);
	for (; json_element(&arr, list.n, &el); list.n++) {
		const char *s;

		rc = json_as_string(&el, &s, e);
		if (rc < 0)
			return rc;
		rc = copy_text(a, at, s, &list.v[list.n], e);
		if (rc < 0)
			return rc;
	}
	*ret = list;
	return 1;
}

int bundle_get_env(struct arena *a, const struct jat *at, const char *key, struct strlist *ret,
		   struct err *e)
{
	struct strlist list = { 0 };
	struct jat arr, el;
	int rc = bundle_get_list(a, at, key, &list, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, key, &arr);
	for (size_t i = 0; i < list.n; i++) {
		const char *eq = strchr(list.v[i], '=');

		if (eq && eq != list.v[i])
			continue;
		(void)json_element(&arr, i, &el);
		return bundle_bad_word(&el, list.v[i], e,
				       eq ? "the variable has no name" : "expected NAME=VALUE");
	}
	*ret = list;
	return 1;
}

int bundle_get_pairs(struct arena *a, const struct jat *at, const char *key,
		     struct key_value **ret, size_t *ret_n, struct err *e)
{
	struct key_value *v;
	const char *name, *text;
	struct jat obj, m;
	json_t *value;
	size_t n = 0;
	int rc = json_get_object(at, key, &obj, e);

	if (rc <= 0)
		return rc;
	v = arena_array(a, json_object_size(obj.val), sizeof *v);
	if (!v)
		return bundle_no_memory(at, e);
	json_object_foreach((json_t *)(uintptr_t)obj.val, name, value) {
		(void)json_member(&obj, name, &m);
		if (!*name)
			return json_error(&m, e, "a key is empty");
		rc = json_as_string(&m, &text, e);
		if (rc < 0)
			return rc;
		rc = copy_text(a, at, name, &v[n].key, e);
		if (rc >= 0)
			rc = copy_text(a, at, text, &v[n].value, e);
		if (rc < 0)
			return rc;
		n++;
	}
	*ret = v;
	*ret_n = n;
	return 1;
}

int bundle_get_u32(const struct jat *at, const char *key, uint32_t max, uint32_t *ret,
		   struct err *e)
{
	int64_t v = 0;
	int rc = json_get_int(at, key, 0, max, &v, e);

	if (rc > 0)
		*ret = (uint32_t)v;
	return rc;
}

int bundle_need_u32(const struct jat *at, const char *key, uint32_t max, uint32_t *ret,
		    struct err *e)
{
	int rc = bundle_get_u32(at, key, max, ret, e);

	return rc == 0 ? bundle_missing(at, key, e) : rc;
}

int bundle_get_items(struct bundle *b, const struct jat *at, const char *key, size_t size,
		     bundle_item_fn *fn, struct bundle_items *ret, struct err *e)
{
	struct bundle_items items = { 0 };
	struct jat arr, el;
	int rc = json_get_array(at, key, &arr, e);

	if (rc <= 0)
		return rc;
	items.v = arena_array(&b->arena, json_array_size(arr.val), size);
	if (!items.v)
		return bundle_no_memory(at, e);
	for (; json_element(&arr, items.n, &el); items.n++) {
		rc = json_expect_object(&el, e);
		if (rc >= 0)
			rc = fn(b, &el, (char *)items.v + items.n * size, e);
		if (rc < 0)
			return rc;
	}
	*ret = items;
	return 1;
}

static int read_map_line(const struct jat *at, struct idmap_entry *m, struct err *e)
{
	int rc = json_expect_object(at, e);

	if (rc < 0 || (rc = bundle_need_u32(at, "containerID", BUNDLE_ID_MAX, &m->inside, e)) < 0 ||
	    (rc = bundle_need_u32(at, "hostID", BUNDLE_ID_MAX, &m->outside, e)) < 0 ||
	    (rc = bundle_need_u32(at, "size", UINT32_MAX, &m->size, e)) < 0)
		return rc;
	if (m->size == 0)
		return json_error(at, e, "size is 0, so the line maps nothing");
	if (m->size > UINT32_MAX - m->inside || m->size > UINT32_MAX - m->outside)
		return json_error(at, e, "the range goes past the highest id, %u", BUNDLE_ID_MAX);
	return 0;
}

static bool ranges_meet(uint32_t a, uint32_t b, uint32_t size_a, uint32_t size_b)
{
	return a < b ? b - a < size_a : a - b < size_b;
}

int bundle_get_idmap(struct arena *a, const struct jat *at, const char *key, struct idmap *ret,
		     struct err *e)
{
	struct idmap map = { 0 };
	struct jat arr, el;
	int rc = json_get_array(at, key, &arr, e);

	if (rc <= 0)
		return rc;
	if (json_array_size(arr.val) > BUNDLE_MAP_LINES_MAX)
		return json_error(&arr, e, "%zu lines; the kernel takes at most %d",
				  json_array_size(arr.val), BUNDLE_MAP_LINES_MAX);
	map.v = arena_array(a, json_array_size(arr.val), sizeof *map.v);
	if (!map.v)
		return bundle_no_memory(at, e);
	for (; json_element(&arr, map.n, &el); map.n++) {
		struct idmap_entry *m = &map.v[map.n];

		rc = read_map_line(&el, m, e);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < map.n; i++) {
			const struct idmap_entry *o = &map.v[i];

			if (ranges_meet(m->inside, o->inside, m->size, o->size))
				return json_error(&el, e, "containerID range overlaps line %zu", i);
			if (ranges_meet(m->outside, o->outside, m->size, o->size))
				return json_error(&el, e, "hostID range overlaps line %zu", i);
		}
	}
	*ret = map;
	return 1;
}

int bundle_hint_name(const char *word, const struct name_value *table, struct err *e)
{
	const char *names[NAMES_MAX], *near;
	size_t n = 0;

	for (; table->name && n < NAMES_MAX - 1; table++)
		names[n++] = table->name;
	names[n] = NULL;
	near = json_nearest(word, names);
	return near ? err_hint(e, "did you mean \"%s\"?", near) : -EINVAL;
}

/* The table's entry for the word at the cursor, or NULL with an error. */
static const struct name_value *find_name(const struct jat *at, const struct name_value *table,
					  const char *what, struct err *e)
{
	const char *word = "";
	char text[96];

	if (json_as_string(at, &word, e) < 0)
		return NULL;
	for (const struct name_value *t = table; t->name; t++)
		if (strcmp(t->name, word) == 0)
			return t;
	(void)snprintf(text, sizeof text, "unknown %s", what);
	(void)bundle_bad_word(at, word, e, text);
	(void)bundle_hint_name(word, table, e);
	return NULL;
}

int bundle_as_name(const struct jat *at, const struct name_value *table, const char *what,
		   uint64_t *ret, struct err *e)
{
	const struct name_value *t = find_name(at, table, what, e);

	if (!t)
		return -EINVAL;
	*ret = t->value;
	return 1;
}

int bundle_get_name(const struct jat *at, const char *key, const struct name_value *table,
		    const char *what, uint64_t *ret, struct err *e)
{
	struct jat m;

	return json_member(at, key, &m) ? bundle_as_name(&m, table, what, ret, e) : 0;
}

int bundle_get_word(const struct jat *at, const char *key, const struct name_value *table,
		    const char *what, const char **ret, struct err *e)
{
	const struct name_value *t;
	struct jat m;

	if (!json_member(at, key, &m))
		return 0;
	t = find_name(&m, table, what, e);
	if (!t)
		return -EINVAL;
	*ret = t->name;
	return 1;
}

/* One "N" or "N-M" of a list; moves *p behind it. */
static bool cpulist_part(const char **p)
{
	char digits[2][8] = { "", "" };
	uint64_t v[2] = { 0, 0 };

	for (int i = 0; i < 2; i++) {
		size_t n = strspn(*p, "0123456789");

		if (n == 0 || n >= sizeof digits[i])
			return false;
		memcpy(digits[i], *p, n);
		*p += n;
		if (num_parse_u64(digits[i], 0, 1000000, &v[i]) < 0)
			return false;
		if (i == 1)
			return v[0] <= v[1];
		if (**p != '-')
			return true;
		(*p)++;
	}
	return false;
}

int bundle_get_cpulist(struct arena *a, const struct jat *at, const char *key, const char **ret,
		       struct err *e)
{
	const char *s = "", *p;
	struct jat m;
	bool ok;
	int rc = bundle_get_text(a, at, key, &s, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, key, &m);
	for (p = s; (ok = cpulist_part(&p)) && *p == ',';)
		p++;
	if (!ok || *p)
		return bundle_bad_word(&m, s, e, "expected a list of numbers like \"0-3,7\"");
	*ret = s;
	return 1;
}

bool bundle_path_climbs(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.')
			return true;
		path += n + (path[n] == '/');
	}
	return false;
}
