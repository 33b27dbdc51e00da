/* SPDX-License-Identifier: Apache-2.0 */
#include "model/upfile.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "model/endpoint.h"
#include "model/json.h"

static int find(const struct upfile *u, const char *name)
{
	for (size_t i = 0; i < u->n; i++)
		if (strcmp(u->v[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int get_text(struct upfile *u, const struct jat *at, const char *key, const char **ret, struct err *e)
{
	const char *text = NULL;
	int rc = json_get_string(at, key, &text, e);

	if (rc <= 0)
		return rc;
	*ret = arena_strdup(&u->arena, text);
	return *ret ? 1 : err_num(e, ENOMEM, "bundles");
}

static int read_bundle(struct upfile *u, struct upfile_bundle *b, const struct jat *at, struct err *e)
{
	static const char *const keys[] = { "bundle", "policy", "ready", "after", NULL };
	int64_t port = 0;
	int rc = json_expect_object(at, e);

	if (rc == 0)
		rc = json_known_keys(at, keys, e);
	if (rc == 0)
		rc = get_text(u, at, "bundle", &b->bundle, e);
	if (rc == 0)
		return json_error(at, e, "\"bundle\" is missing: the directory");
	if (rc > 0)
		rc = get_text(u, at, "policy", &b->policy, e);
	if (rc >= 0)
		rc = json_get_int(at, "ready", 1, 65535, &port, e);
	b->ready = (uint16_t)port;
	return rc < 0 ? rc : 0;
}

/* Once all are known. */
static int read_after(struct upfile *u, struct upfile_bundle *b, const struct jat *at, struct err *e)
{
	struct jat list, el;
	const char *name;
	int rc = json_get_array(at, "after", &list, e);

	if (rc <= 0)
		return rc;
	b->after = arena_array(&u->arena, json_array_size(list.val) + 1, sizeof *b->after);
	if (!b->after)
		return err_num(e, ENOMEM, "bundles");
	for (size_t i = 0; json_element(&list, i, &el); i++) {
		int which;

		if (json_as_string(&el, &name, e) < 0)
			return -EINVAL;
		which = find(u, name);
		if (which < 0)
			return json_error(&el, e, "there is no such bundle in this file");
		b->after[b->n_after++] = (size_t)which;
	}
	return 0;
}

/* Takes away, again and again, those that wait for none that is left. */
static int check_order(const struct upfile *u, const struct jat *at, struct err *e)
{
	bool gone[UPFILE_BUNDLES_MAX] = { false };
	bool change = true;

	while (change) {
		change = false;
		for (size_t i = 0; i < u->n; i++) {
			bool free_ = !gone[i];

			for (size_t k = 0; k < u->v[i].n_after; k++)
				free_ = free_ && gone[u->v[i].after[k]];
			change = change || free_;
			gone[i] = gone[i] || free_;
		}
	}
	for (size_t i = 0; i < u->n; i++)
		if (!gone[i])
			return json_error(at, e, "\"%s\" waits for itself, over \"after\"", u->v[i].name);
	return 0;
}

static int read_bundles(struct upfile *u, const struct jat *at, struct err *e)
{
	char text[NAME_TEXT_MAX];
	const char *name;
	json_t *val;
	size_t i = 0;
	int rc;

	u->v = arena_array(&u->arena, json_object_size(at->val) + 1, sizeof *u->v);
	if (!u->v)
		return err_num(e, ENOMEM, "bundles");
	if (json_object_size(at->val) == 0 || json_object_size(at->val) > UPFILE_BUNDLES_MAX)
		return json_error(at, e, "1 to %d bundles", UPFILE_BUNDLES_MAX);
	json_object_foreach((json_t *)(uintptr_t)at->val, name, val) {
		struct jat m;

		(void)json_member(at, name, &m);
		if (strlen(name) > 63 || name_parse_domain(name, text, NULL) < 0)
			return json_error(&m, e, "a name has letters, digits and '-', at most 63");
		u->v[u->n].name = arena_strdup(&u->arena, name);
		rc = u->v[u->n].name ? read_bundle(u, &u->v[u->n], &m, e) : err_num(e, ENOMEM, "bundles");
		if (rc < 0)
			return rc;
		u->n++;
	}
	json_object_foreach((json_t *)(uintptr_t)at->val, name, val) {
		struct jat m;

		(void)json_member(at, name, &m);
		rc = read_after(u, &u->v[i++], &m, e);
		if (rc < 0)
			return rc;
	}
	return check_order(u, at, e);
}

static int read_all(struct upfile *u, const struct json_doc *doc, struct err *e)
{
	static const char *const keys[] = { "version", "fabric", "bundles", NULL };
	struct jat root = json_root(doc), bundles;
	char text[NAME_TEXT_MAX];
	int64_t version = 0;
	int rc = json_expect_object(&root, e);

	if (rc == 0)
		rc = json_known_keys(&root, keys, e);
	if (rc == 0)
		rc = json_get_int(&root, "version", 1, 1, &version, e);
	if (rc == 0)
		return json_error(&root, e, "\"version\": 1 is missing");
	if (rc > 0)
		rc = get_text(u, &root, "fabric", &u->fabric, e);
	if (rc == 0)
		return json_error(&root, e, "\"fabric\" is missing: its name");
	if (rc > 0 && (strlen(u->fabric) > 63 || name_parse_domain(u->fabric, text, NULL) < 0)) {
		(void)json_member(&root, "fabric", &bundles);
		return json_error(&bundles, e, "a name has letters, digits and '-', at most 63");
	}
	if (rc > 0)
		rc = json_get_object(&root, "bundles", &bundles, e);
	if (rc == 0)
		return json_error(&root, e, "\"bundles\" is missing");
	return rc < 0 ? rc : read_bundles(u, &bundles, e);
}

int upfile_load(struct upfile *u, const char *path, struct err *e)
{
	struct upfile own = { 0 };
	struct json_doc doc;
	int rc = json_doc_load(&doc, AT_FDCWD, path, NULL, e);

	if (rc < 0)
		return rc;
	rc = read_all(&own, &doc, e);
	json_doc_fini(&doc);
	if (rc < 0)
		upfile_fini(&own);
	else
		*u = own;
	return rc;
}

void upfile_fini(struct upfile *u)
{
	arena_fini(&u->arena);
}
