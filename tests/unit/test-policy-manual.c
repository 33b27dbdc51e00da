/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader, the schema, the manual page and the text of the format name the
 * same keys at the same places, and every example in the two texts loads.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "base/fd.h"
#include "model/expect.h"
#include "tap.h"

static struct err e;

static char *read_source(const char *path)
{
	const char *srcdir = getenv("srcdir");
	char full[1024], *text = NULL;

	(void)snprintf(full, sizeof full, "%s/%s", srcdir ? srcdir : ".", path);
	if (!TAP_OK(fd_read_file(AT_FDCWD, full, JSON_FILE_MAX, &text, NULL, &e) == 0, "%s is there", path))
		printf("# %s\n", e.text);
	return text;
}

/* --- sets of keys ----------------------------------------------------------------- */

static bool in_table(const char *const *keys, const char *key, size_t len)
{
	for (; *keys; keys++) {
		if (strlen(*keys) == len && memcmp(*keys, key, len) == 0)
			return true;
	}
	return false;
}

/* --- the schema ------------------------------------------------------------------- */

static json_t *follow(json_t *schema, json_t *node)
{
	const char *ref = json_string_value(json_object_get(node, "$ref"));

	return ref ? json_object_get(json_object_get(schema, "$defs"), ref + strlen("#/$defs/")) : node;
}

/* The schema of an object: the node itself, or the alternative that is one. */
static json_t *object_of(json_t *schema, json_t *node)
{
	json_t *alternative;
	size_t i;

	node = follow(schema, node);
	json_array_foreach(json_object_get(node, "oneOf"), i, alternative) {
		json_t *object = follow(schema, alternative);

		if (json_object_get(object, "properties"))
			return object;
	}
	return node;
}

static json_t *at_place(json_t *schema, const char *place)
{
	json_t *node = schema;
	char word[64];

	while (*place && node) {
		size_t len = strcspn(place, ".[");

		(void)snprintf(word, sizeof word, "%.*s", (int)len, place);
		node = object_of(schema, json_object_get(json_object_get(node, "properties"), word));
		place += len;
		if (strncmp(place, "[]", 2) == 0) {
			node = object_of(schema, json_object_get(node, "items"));
			place += 2;
		}
		place += *place == '.';
	}
	return node;
}

static void test_schema(void)
{
	AUTO_FREE char *text = read_source("bundle-spec/policy.schema.json");
	json_t *schema = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	TAP_OK(schema != NULL, "the schema is JSON");
	for (const struct policy_key_table *t = policy_key_tables; schema && t->place; t++) {
		json_t *node = at_place(schema, t->place), *value;
		json_t *properties = json_object_get(node, "properties");
		const char *key;

		TAP_OK(json_is_false(json_object_get(node, "additionalProperties")),
		       "schema, \"%s\": other keys are refused", t->place);
		for (const char *const *k = t->keys; *k; k++)
			TAP_OK(json_object_get(properties, *k) != NULL, "schema, \"%s\": knows %s", t->place, *k);
		json_object_foreach(properties, key, value) {
			TAP_OK(in_table(t->keys, key, strlen(key)), "loader, \"%s\": knows %s", t->place, key);
		}
	}
	json_decref(schema);
}

/* --- the texts ---------------------------------------------------------------------- */

struct book {
	const char *path, *heading, *item;
	char item_end;
};

static const struct book books[] = {
	{ "man/vrun-policy.5", "\n.Ss ", "\n.It Cm ", '\n' },
	{ "bundle-spec/policy.md", "\n## ", "\n| `", '`' },
};

/* The section of a place, up to the next heading; "" when there is none. The caller frees. */
static char *section(const struct book *b, const char *text, const char *place)
{
	char heading[64];
	const char *start, *end;

	(void)snprintf(heading, sizeof heading, "%s%s\n", b->heading, *place ? place : "Document");
	start = strstr(text, heading);
	if (!start)
		return strdup("");
	start += strlen(heading) - 1;
	end = strstr(start, b->heading);
	if (b->heading[1] == '.' && (!end || (strstr(start, "\n.Sh ") && strstr(start, "\n.Sh ") < end)))
		end = strstr(start, "\n.Sh ");
	return end ? strndup(start, (size_t)(end - start) + 1) : strdup(start);
}

static void test_keys_in(const struct book *b, const char *text)
{
	for (const struct policy_key_table *t = policy_key_tables; t->place; t++) {
		AUTO_FREE char *part = section(b, text, t->place);
		size_t items = 0, known = 0;

		for (const char *p = strstr(part, b->item); p; p = strstr(p + 1, b->item)) {
			const char *key = p + strlen(b->item);
			size_t len = strcspn(key, (char[]){ b->item_end, '\0' });

			items++;
			known += TAP_OK(in_table(t->keys, key, len), "%s, \"%s\": the loader knows %.*s", b->path,
					t->place, (int)len, key);
		}
		for (const char *const *k = t->keys; *k; k++) {
			char item[64];

			(void)snprintf(item, sizeof item, "%s%s%c", b->item, *k, b->item_end);
			TAP_OK(strstr(part, item) != NULL, "%s, \"%s\": has %s", b->path, t->place, *k);
		}
		TAP_INT(known, items, "%s, \"%s\": nothing else", b->path, t->place);
	}
}

/* Rules by themselves, one behind the other, as a document. The caller frees. */
static char *wrap_rules(const char *text)
{
	size_t len;
	char *out = NULL;
	FILE *f = open_memstream(&out, &len);
	bool first = true;
	int depth = 0;

	if (!f)
		return NULL;
	(void)fputs("{\"version\":1,\"net\":{\"rules\":[", f);
	for (; *text; text++) {
		if (*text == '{' && depth++ == 0 && !first)
			(void)fputc(',', f);
		first &= depth == 0;
		if (depth > 0)
			(void)fputc(*text, f);
		depth -= *text == '}';
	}
	(void)fputs("]}}", f);
	(void)fclose(f);
	return out;
}

static void test_example(const char *path, const char *block, size_t *ret_policies)
{
	bool whole = strstr(block, "\"version\"") || strstr(block, "\"tests\"");
	AUTO_FREE char *text = whole ? strdup(block) : wrap_rules(block);
	struct policy_warnings warnings = { 0 };
	struct expectations x;
	struct json_doc doc = { 0 };
	struct policy p;
	int rc;

	if (!text)
		return;
	e = (struct err){ 0 };
	rc = json_doc_parse(&doc, path, text, strlen(text), &e);
	if (rc == 0 && strstr(block, "\"tests\"")) {
		rc = expect_read(&x, &doc, &e);
		if (rc == 0)
			expect_fini(&x);
	} else if (rc == 0) {
		rc = policy_read(&p, &doc, &warnings, &e);
		if (rc == 0)
			policy_fini(&p);
		*ret_policies += 1;
	}
	if (doc.root)
		json_doc_fini(&doc);
	if (!TAP_OK(rc == 0 && warnings.n == 0, "%s: an example loads without a warning", path))
		printf("# %s\n%s\n", warnings.v ? warnings.v[0].text : e.text, text);
	policy_warnings_fini(&warnings);
}

static void test_examples(const char *path, const char *text, const char *begin, const char *end)
{
	size_t policies = 0;

	for (const char *p = strstr(text, begin); p; p = strstr(p + 1, begin)) {
		const char *start = p + strlen(begin), *stop = strstr(start, end);
		AUTO_FREE char *block = stop ? strndup(start, (size_t)(stop - start)) : NULL;

		if (block && block[strspn(block, " \n")] == '{')
			test_example(path, block, &policies);
	}
	TAP_OK(policies >= 1, "%s: has examples", path);
}

int main(void)
{
	test_schema();
	for (size_t i = 0; i < sizeof books / sizeof *books; i++) {
		AUTO_FREE char *text = read_source(books[i].path);

		if (text)
			test_keys_in(&books[i], text);
		if (text && i == 0)
			test_examples(books[i].path, text, "\n.Bd -literal\n", "\n.Ed");
		else if (text)
			test_examples(books[i].path, text, "\n```json\n", "\n```");
	}
	return tap_done();
}
