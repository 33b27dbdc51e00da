/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte chooses which of packing's text formats the rest is read as: #! lines, arguments
 * of env(1), passwd, group, the package database, tmpfiles.d, units, paths and entries of a
 * manifest.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pack/accounts.h"
#include "pack/dpkg.h"
#include "pack/manifest.h"
#include "pack/path.h"
#include "pack/program.h"
#include "pack/services.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int see_dir(void *ctx, const char *path, mode_t mode, const char *user, const char *group)
{
	(void)ctx;
	(void)user;
	(void)group;
	must(path_is_normal(path) && mode <= 07777);
	return 0;
}

static int see_user(void *ctx, const char *user, const char *group)
{
	(void)ctx;
	must(user[0] && (!group || group[0]));
	return 0;
}

static int see_package(void *ctx, struct dpkg_package *pkg)
{
	(void)ctx;
	must(pkg->name[0] && !strchr(pkg->name, '/'));
	return 0;
}

static void read_packages(char *text)
{
	struct dpkg d;

	if (dpkg_parse(&d, text, NULL) < 0)
		return;
	for (size_t i = 0; i < d.n && i < 64; i++) {
		must(dpkg_find(&d, d.packages[i].name) != NULL);
		(void)dpkg_relations(&d, d.packages[i].depends, see_package, NULL);
	}
	dpkg_close(&d);
}

static void read_accounts(const char *passwd, const char *group)
{
	struct accounts a;
	struct tree t;
	uid_t uid;
	gid_t gid;

	if (accounts_parse(&a, passwd, group, NULL) < 0)
		return;
	if (a.n_users > 0)
		must(accounts_resolve(&a, a.users[0].name, &uid, &gid, NULL) == 0 ||
		     strchr(a.users[0].name, ':') || strlen(a.users[0].name) >= 256);
	tree_init(&t);
	must(accounts_add(&a, &t, NULL) == 0 && tree_find(&t, "/etc/passwd"));
	tree_fini(&t);
	accounts_fini(&a);
}

static void read_manifest(const char *text, size_t len)
{
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct manifest_entry m;

	for (void *i = json_object_iter(doc); i; i = json_object_iter_next(doc, i))
		if (manifest_read_entry(json_object_iter_key(i), json_object_iter_value(i), &m, NULL) == 0)
			must(path_is_normal(m.path) && m.mode <= 01777);
	json_decref(doc);
}

static void read_path(const char *text)
{
	char path[PATH_MAX], again[MANIFEST_PATH_MAX];

	if (manifest_decode_path(text, path) == 0)
		must(strcmp(manifest_encode_path(path, again), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct services_wish wish = { .dir = see_dir, .user = see_user };
	char one[PATH_MAX], two[PATH_MAX];
	char *text;

	if (size < 1)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0]) {
	case 's':
		if (program_parse_shebang(text, one, two) == 0)
			must(one[0] && strlen(two) < sizeof two);
		break;
	case 'e':
		if (program_parse_env(text, one) == 0)
			must(one[0] && one[0] != '-');
		break;
	case 'p':
		read_accounts(text, NULL);
		break;
	case 'g':
		read_accounts(NULL, text);
		break;
	case 'd':
		read_packages(text);
		return 0; /* which took the text over */
	case 't':
		(void)services_read_tmpfiles(text, &wish);
		break;
	case 'u':
		(void)services_read_unit(text, &wish);
		break;
	case 'm':
		read_manifest(text, size - 1);
		break;
	default:
		read_path(text);
		break;
	}
	free(text);
	return 0;
}
