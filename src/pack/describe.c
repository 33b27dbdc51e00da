/* SPDX-License-Identifier: Apache-2.0 */
/* Says in the bundle's three documents what was packed. */
#include "pack/pack.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "pack/describe.h"
#include "pack/manifest.h"
#include "pack/ociconfig.h"

static json_t *string_list(const struct pack_strings *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n; i++)
		(void)json_array_append_new(a, json_string(s->v[i]));
	return a;
}

static json_t *libraries(const struct pack *p)
{
	json_t *a = json_array();
	char name[MANIFEST_PATH_MAX], path[MANIFEST_PATH_MAX], file[MANIFEST_PATH_MAX],
		by[MANIFEST_PATH_MAX];

	for (size_t i = 0; i < p->libs.all.n; i++) {
		const struct lib *l = p->libs.all.v[i];
		const struct dpkg_package *pkg;
		json_t *entry;

		if (!l->loader)
			continue;
		entry = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name",
				  manifest_encode_path(l->name, name), "path",
				  manifest_encode_path(l->path, path), "file",
				  manifest_encode_path(l->real, file), "found", lib_how_name(l->how),
				  "neededBy", manifest_encode_path(l->loader->real, by));
		pkg = dpkg_owner(&p->dpkg, l->real);
		if (pkg) {
			(void)json_object_set_new(entry, "package", json_string(pkg->name));
			(void)json_object_set_new(entry, "version", json_string(pkg->version));
		}
		(void)json_array_append_new(a, entry);
	}
	return a;
}

static json_t *missing(const struct pack *p)
{
	json_t *a = json_array();
	char name[MANIFEST_PATH_MAX], by[MANIFEST_PATH_MAX];

	for (const struct lib_missing *m = p->libs.missing; m; m = m->next)
		(void)json_array_append_new(a, json_pack("{s:s, s:s}", "name",
							 manifest_encode_path(m->name, name),
							 "neededBy",
							 manifest_encode_path(m->by->real, by)));
	return a;
}

static json_t *packages(const struct pack *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_packages; i++)
		(void)json_array_append_new(a, json_pack("{s:s, s:s, s:s}", "name",
							 p->packages[i].pkg->name, "version",
							 p->packages[i].pkg->version, "taken",
							 p->packages[i].whole ? "whole" : "data"));
	return a;
}

static json_t *interpreters(const struct pack *p)
{
	json_t *a = json_array();
	char path[MANIFEST_PATH_MAX], file[MANIFEST_PATH_MAX];

	for (size_t i = 1; i < p->program.n; i++)
		(void)json_array_append_new(
			a, json_pack("{s:s, s:s}", "path",
				     manifest_encode_path(p->program.step[i].path, path), "file",
				     manifest_encode_path(p->program.step[i].real, file)));
	return a;
}

static json_t *execution(const struct pack *p)
{
	const struct elffile *elf = &p->libs.program.v[0]->elf;
	char file[MANIFEST_PATH_MAX];

	return json_pack("{s:o, s:o, s:s, s:{s:I, s:I}, s:s, s:o, s:o*, s:o, s:o, s:o}", "arguments",
			 string_list(&p->args), "environment", string_list(&p->env), "directory",
			 p->cwd, "user", "uid", (json_int_t)p->uid, "gid", (json_int_t)p->gid,
			 "program", manifest_encode_path(p->program.step[0].real, file),
			 "interpreters", interpreters(p), "loader",
			 elf->interp ? json_string(elf->interp) : NULL, "libraries", libraries(p),
			 "missing", missing(p), "packages", packages(p));
}

/* Where what the caller named lay and lies; everything else kept its path. */
static json_t *directories(const struct pack *p)
{
	json_t *a = json_array();
	char from[MANIFEST_PATH_MAX], to[MANIFEST_PATH_MAX], bundle[32];

	(void)json_array_append_new(a, json_pack("{s:s, s:s, s:s, s:s}", "why", "system", "from", "/",
						 "to", "/", "bundle", "rootfs"));
	for (size_t i = 0; i < p->n_moves; i++)
		(void)json_array_append_new(a, json_pack("{s:s, s:s, s:s, s:s}", "why", "add", "from",
							 manifest_encode_path(p->moves[i].from, from),
							 "to",
							 manifest_encode_path(p->moves[i].to, to),
							 "bundle", "rootfs"));
	for (size_t i = 0; i < p->n_data; i++) {
		(void)snprintf(bundle, sizeof bundle, "data/%zu", i);
		(void)json_array_append_new(a, json_pack("{s:s, s:s, s:s, s:s}", "why", "data", "from",
							 manifest_encode_path(p->data[i].from, from),
							 "to",
							 manifest_encode_path(p->data[i].dest, to),
							 "bundle", bundle));
	}
	return a;
}

static json_t *removed(const struct pack *p)
{
	json_t *a = json_array();
	char path[MANIFEST_PATH_MAX];

	for (size_t i = 0; i < p->tree.n; i++) {
		const struct node *n = p->sorted[i];
		json_t *what;

		if (!n->lost_bits && !n->lost_caps)
			continue;
		what = json_array();
		if (n->lost_bits & 04000)
			(void)json_array_append_new(what, json_string("set-user-id"));
		if (n->lost_bits & 02000)
			(void)json_array_append_new(what, json_string("set-group-id"));
		if (n->lost_caps)
			(void)json_array_append_new(what, json_string("file-capabilities"));
		(void)json_array_append_new(a, json_pack("{s:s, s:o}", "path",
							 manifest_encode_path(n->path, path), "removed",
							 what));
	}
	return a;
}

static json_t *security(const struct pack *p, json_t *documents)
{
	json_t *data = json_array();
	char bundle[32];

	for (size_t i = 0; i < p->n_data; i++) {
		(void)snprintf(bundle, sizeof bundle, "data/%zu", i);
		(void)json_array_append_new(
			data, json_pack("{s:s, s:o}", "bundle", bundle, "files",
					manifest_files(p->data[i].sorted, p->data[i].tree.n)));
	}
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "digest", "sha256", "needs",
			 describe_needs(p), "removed", removed(p), "documents", documents, "files",
			 manifest_files(p->sorted, p->tree.n), "data", data);
}

static int write_manifest(struct pack *p, json_t *documents, struct err *e)
{
	json_t *doc = json_pack("{s:i, s:s, s:I, s:o, s:o, s:o, s:o}", "version", MANIFEST_VERSION,
				"generator", "vrun " PACKAGE_VERSION, "time", (json_int_t)p->when,
				"execution", execution(p), "directories", directories(p), "security",
				security(p, documents), "system", describe_system(p));
	char *text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
	AUTO_FREE char *line = NULL;

	json_decref(doc);
	if (!text || asprintf(&line, "%s\n", text) < 0) {
		line = NULL;
		free(text);
		return err_num(e, ENOMEM, "manifest.json");
	}
	free(text);
	return copy_text(p->staging.fd, "manifest.json", line, strlen(line), p->when, e);
}

static int write_document(struct pack *p, const char *name, const char *text, json_t *documents,
			  struct err *e)
{
	unsigned char digest[HASH_BYTES];
	char hex[HASH_HEX];

	hash_data(text, strlen(text), digest);
	(void)json_object_set_new(documents, name, json_string(hash_hex(digest, hex)));
	return copy_text(p->staging.fd, name, text, strlen(text), p->when, e);
}

int describe_write(struct pack *p, struct err *e)
{
	const char **dest = arena_array(&p->arena, p->n_data, sizeof *dest);
	struct ociconfig c = { .args = p->args.v,
			       .n_args = p->args.n,
			       .env = p->env.v,
			       .n_env = p->env.n,
			       .cwd = p->cwd,
			       .uid = p->uid,
			       .gid = p->gid,
			       .caps = p->o->caps,
			       .name = p->name,
			       .read_only = p->o->read_only,
			       .own_tmp = p->own_tmp,
			       .data_dest = dest,
			       .n_data = p->n_data,
			       .tmpfs = p->tmpfs.v,
			       .n_tmpfs = p->tmpfs.n };
	AUTO_FREE char *config = NULL;
	AUTO_FREE char *policy = NULL;
	json_t *documents = json_object();
	int rc;

	if (!dest || !documents)
		return err_num(e, ENOMEM, "manifest.json");
	for (size_t i = 0; i < p->n_data; i++)
		dest[i] = p->data[i].dest;
	progress_phase(&p->progress, "describing", 0);
	describe_find_needs(p);
	rc = ociconfig_write(&c, &config, e);
	if (rc == 0)
		rc = ociconfig_write_policy(&c, &policy, e);
	if (rc == 0)
		rc = write_document(p, "config.json", config, documents, e);
	if (rc == 0)
		rc = write_document(p, "policy.json", policy, documents, e);
	if (rc < 0) {
		json_decref(documents);
		return rc;
	}
	return write_manifest(p, documents, e);
}
