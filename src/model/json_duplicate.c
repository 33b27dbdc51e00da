/* SPDX-License-Identifier: Apache-2.0 */
#include "model/json_duplicate.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/log.h"

#define LEVELS 64

struct level {
	bool object, want_key;
	const char *key, *key_end; /* with the quotes; NULL before the first */
	size_t index;
};

static const char *string_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
	}
	return p < end ? p + 1 : end;
}

/* The containers around text[pos], the outermost first. Returns how many. */
static size_t walk(const char *text, const char *end, struct level *levels, size_t *ret_line,
		   size_t *ret_col)
{
	const char *line_start = text;
	size_t depth = 0, line = 1;

	for (const char *p = text; p < end;) {
		struct level *at = depth > 0 && depth <= LEVELS ? &levels[depth - 1] : NULL;
		const char *start = p++;

		if (*start == '{' || *start == '[') {
			if (depth++ < LEVELS)
				levels[depth - 1] = (struct level){ *start == '{', *start == '{', NULL, NULL, 0 };
		} else if (*start == '}' || *start == ']') {
			depth -= depth > 0;
		} else if (*start == ',' && at) {
			at->index++;
			at->want_key = at->object;
		} else if (*start == '"') {
			p = string_end(start, end);
			if (at && at->want_key) {
				at->key = start;
				at->key_end = p;
				at->want_key = false;
				*ret_line = line;
				*ret_col = (size_t)(start - line_start) + 1;
			}
		} else if (*start == '\n') {
			line++;
			line_start = p;
		}
	}
	return depth < LEVELS ? depth : LEVELS;
}

void json_duplicate_place(const char *text, size_t pos, char *buf, size_t size, size_t *ret_line,
			  size_t *ret_col)
{
	struct level levels[LEVELS];
	size_t n = 0, depth;

	*ret_line = *ret_col = 1;
	depth = walk(text, text + pos, levels, ret_line, ret_col);
	if (size)
		buf[0] = '\0';
	for (size_t i = 0; i < depth && n < size; i++) {
		const struct level *l = &levels[i];
		char quoted[128];
		json_t *key;
		int more;

		if (l->object && !l->key)
			break;
		if (!l->object) {
			more = snprintf(buf + n, size - n, "[%zu]", l->index);
		} else {
			key = json_loadb(l->key, (size_t)(l->key_end - l->key), JSON_DECODE_ANY, NULL);
			more = snprintf(buf + n, size - n, "%s%s", n ? "." : "",
					log_quote(quoted, sizeof quoted, json_is_string(key) ? json_string_value(key) : "?"));
			json_decref(key);
		}
		n += more > 0 ? (size_t)more : 0;
	}
}
