/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text: the parser refuses it and says why, or gives a document in which
 * the place that a complaint names holds exactly the value complained about.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned budget; /* finding a place scans the text: bounded for large inputs */

/* The text at the cursor's line and column, parsed again, is the cursor's value. */
static void check_place(const struct jat *at)
{
	size_t col = 0, line = json_line(at, &col);
	const char *p = at->doc->text;
	json_error_t je;
	json_t *again;
	uint64_t big = 0;

	while (--line > 0) {
		p = strchr(p, '\n');
		if (!p)
			abort();
		p++;
	}
	p += col - 1;
	if (p > at->doc->text + at->doc->len)
		abort();
	again = json_loads(p, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &je);
	/* jansson alone cannot read integers above INT64_MAX, nor what holds one. */
	if (!again && json_error_code(&je) == json_error_numeric_overflow) {
		if (json_is_integer(at->val) &&
		    (json_as_uint(at, UINT64_MAX, &big, NULL) < 0 || big != strtoull(p, NULL, 10)))
			abort();
		return;
	}
	if (!again || !json_equal(again, at->val))
		abort();
	json_decref(again);
}

static void walk(const struct jat *at, unsigned depth)
{
	struct err e = { 0 };
	struct jat child;
	char path[128];

	if (depth == 8 || budget == 0)
		return;
	budget--;
	check_place(at);
	if (json_error(at, &e, "complaint at %s", json_path(at, path, sizeof path)) != -EINVAL)
		abort();
	for (size_t i = 0; json_is_array(at->val) && json_element(at, i, &child); i++)
		walk(&child, depth + 1);
	if (json_is_object(at->val)) {
		json_t *object = (json_t *)(uintptr_t)at->val;

		for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
			if (json_member(at, json_object_iter_key(it), &child))
				walk(&child, depth + 1);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = { "version", "domain", "net", NULL };
	struct json_doc doc;
	struct err e = { 0 };
	struct jat root;

	if (json_doc_parse(&doc, "fuzz.json", (const char *)data, size, &e) < 0) {
		if (e.num == 0 || e.text[0] == '\0')
			abort();
		return 0;
	}
	root = json_root(&doc);
	budget = 256;
	walk(&root, 0);
	if (json_expect_object(&root, &e) == 0)
		(void)json_known_keys(&root, keys, &e);
	json_doc_fini(&doc);
	return 0;
}
