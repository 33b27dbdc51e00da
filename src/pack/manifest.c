/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/manifest.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/num.h"
#include "pack/path.h"

static const char *const kind_names[] = { "directory", "file", "symlink" };
_Static_assert(sizeof kind_names / sizeof *kind_names == NODE_LINK + 1, "a name for each kind");

const char *manifest_encode_path(const char *path, char *buf)
{
	/* The escapes are those of log_quote(): one rule for files and for terminals. */
	return log_quote(buf, MANIFEST_PATH_MAX, path);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int manifest_decode_path(const char *text, char *buf)
{
	char again[MANIFEST_PATH_MAX];
	size_t at = 0;

	for (const char *p = text; *p; p++) {
		char c = *p;

		if (at + 1 >= PATH_MAX)
			return -EINVAL;
		if (c == '\\') {
			int hi = p[1] == 'x' ? hex_digit(p[2]) : -1;
			int lo = hi >= 0 ? hex_digit(p[3]) : -1;

			if (lo < 0 || (hi == 0 && lo == 0))
				return -EINVAL;
			c = (char)(hi << 4 | lo);
			p += 3;
		}
		buf[at++] = c;
	}
	buf[at] = '\0';
	return strcmp(manifest_encode_path(buf, again), text) == 0 ? 0 : -EINVAL;
}

static json_t *file_entry(const struct node *n)
{
	char mode[8], hex[HASH_HEX], text[MANIFEST_PATH_MAX];

	(void)snprintf(mode, sizeof mode, "%04o", (unsigned)n->mode);
	switch (n->kind) {
	case NODE_DIR:
		return json_pack("{s:s, s:s}", "type", kind_names[NODE_DIR], "mode", mode);
	case NODE_LINK:
		return json_pack("{s:s, s:s}", "type", kind_names[NODE_LINK], "target",
				 manifest_encode_path(n->text, text));
	case NODE_FILE:
		break;
	}
	return json_pack("{s:s, s:s, s:I, s:s}", "type", kind_names[NODE_FILE], "mode", mode, "size",
			 (json_int_t)n->size, "sha256", hash_hex(n->digest, hex));
}

json_t *manifest_files(struct node *const *sorted, size_t n)
{
	json_t *all = json_object();
	char key[MANIFEST_PATH_MAX], first[MANIFEST_PATH_MAX];

	for (size_t i = 0; all && i < n; i++) {
		json_t *entry = file_entry(sorted[i]);

		if (entry && sorted[i]->same_as)
			(void)json_object_set_new(
				entry, "linkTo",
				json_string(manifest_encode_path(sorted[i]->same_as->path, first)));
		if (json_object_set_new(all, manifest_encode_path(sorted[i]->path, key), entry) < 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}

static int bad(const char *key, const char *why, struct err *e)
{
	char quoted[PATH_MAX];

	return err_set(e, EINVAL, "manifest.json: entry \"%s\": %s", log_quote(quoted, sizeof quoted, key),
		       why);
}

static int read_mode(const json_t *value, mode_t max, mode_t *ret)
{
	const char *text = json_string_value(json_object_get(value, "mode"));
	uint64_t v;

	if (!text || num_parse_octal(text, max, &v) < 0)
		return -EINVAL;
	*ret = (mode_t)v;
	return 0;
}

static int read_file(const char *key, const json_t *value, struct manifest_entry *ret, struct err *e)
{
	const char *hex = json_string_value(json_object_get(value, "sha256"));
	const json_t *size = json_object_get(value, "size");

	if (!hex || hash_from_hex(hex, ret->digest) < 0)
		return bad(key, "no SHA-256 digest", e);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return bad(key, "no size", e);
	ret->size = (uint64_t)json_integer_value(size);
	return 0;
}

int manifest_read_entry(const char *key, const json_t *value, struct manifest_entry *ret,
			struct err *e)
{
	const char *type = json_string_value(json_object_get(value, "type"));
	const char *target;
	unsigned kind = 0;

	if (manifest_decode_path(key, ret->path) < 0 || !path_is_normal(ret->path))
		return bad(key, "not an absolute path without \".\" and \"..\"", e);
	if (!type)
		return bad(key, "no type", e);
	while (kind <= NODE_LINK && strcmp(kind_names[kind], type) != 0)
		kind++;
	if (kind > NODE_LINK)
		return bad(key, "unknown type", e);
	ret->kind = (enum node_kind)kind;
	ret->mode = 0777;
	if (ret->kind != NODE_LINK && read_mode(value, S_ISVTX | 0777, &ret->mode) < 0)
		return bad(key, "no mode", e);
	if (ret->kind == NODE_FILE)
		return read_file(key, value, ret, e);
	if (ret->kind == NODE_LINK) {
		target = json_string_value(json_object_get(value, "target"));
		if (!target || manifest_decode_path(target, ret->target) < 0)
			return bad(key, "no target", e);
	}
	return 0;
}
