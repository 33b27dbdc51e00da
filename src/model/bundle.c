/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bundle.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/bundle_read.h"

#define UTS_NAME_MAX 64 /* bytes in a host or domain name (__NEW_UTS_LEN) */

static const struct name_value ns_names[] = {
	{ "user", NS_USER }, { "pid", NS_PID },	      { "network", NS_NET }, { "ipc", NS_IPC },
	{ "uts", NS_UTS },   { "cgroup", NS_CGROUP }, { "time", NS_TIME },   { "mount", NS_MNT },
	{ NULL, 0 },
};

const char *bundle_ns_name(enum ns_kind kind)
{
	for (const struct name_value *n = ns_names; n->name; n++)
		if (n->value == (uint64_t)kind)
			return n->name;
	return "(unknown)";
}

const char *bundle_word(enum bundle_words kind, size_t i)
{
	if (kind == WORDS_CAPS)
		return bundle_cap_word(i);
	if (kind == WORDS_MOUNT_ATTRS || kind == WORDS_MOUNT_OTHERS)
		return bundle_mount_word(kind == WORDS_MOUNT_ATTRS, i);
	return bundle_seccomp_word(kind, i);
}

const char *bundle_annotation(const struct bundle *b, const char *key)
{
	for (size_t i = 0; i < b->n_annotations; i++)
		if (strcmp(b->annotations[i].key, key) == 0)
			return b->annotations[i].value;
	return NULL;
}

/* "1.2.0", "1.0.2-dev": digits, at least one dot, and an optional SemVer suffix. */
static bool version_parts(const char *v, bool *ret_major_one)
{
	size_t n = strspn(v, "0123456789");

	*ret_major_one = n == 1 && *v == '1';
	if (n == 0 || v[n] != '.')
		return false;
	for (int part = 0; part < 2 && v[n] == '.'; part++) {
		size_t digits = strspn(v + n + 1, "0123456789");

		if (digits == 0)
			return false;
		n += 1 + digits;
	}
	if (!v[n])
		return true;
	return (v[n] == '-' || v[n] == '+') && v[n + 1] &&
	       v[n + strspn(v + n, "0123456789.+-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz")] == '\0';
}

static int read_version(struct bundle *b, const struct jat *root, struct err *e)
{
	struct jat m;
	bool one;
	int rc = bundle_need_text(&b->arena, root, "ociVersion", &b->oci_version, e);

	if (rc < 0)
		return rc;
	(void)json_member(root, "ociVersion", &m);
	if (!version_parts(b->oci_version, &one))
		return bundle_bad_word(&m, b->oci_version, e, "expected a version like \"1.2.0\"");
	if (one)
		return 0;
	(void)bundle_bad_word(&m, b->oci_version, e, "not a version that vrun knows");
	return err_hint(e, "vrun reads version 1 of the OCI runtime spec");
}

static int read_root(struct bundle *b, const struct jat *root, struct err *e)
{
	struct jat obj;
	int rc = json_get_object(root, "root", &obj, e);

	if (rc == 0)
		return bundle_missing(root, "root", e);
	if (rc < 0 || (rc = bundle_need_text(&b->arena, &obj, "path", &b->root_path, e)) < 0)
		return rc;
	rc = json_get_bool(&obj, "readonly", &b->root_readonly, e);
	return rc < 0 ? rc : 0;
}

static int read_uts_name(struct bundle *b, const struct jat *root, const char *key,
			 const char **ret, struct err *e)
{
	struct jat m;
	int rc = bundle_get_text(&b->arena, root, key, ret, e);

	if (rc <= 0)
		return rc;
	(void)json_member(root, key, &m);
	if (strlen(*ret) > UTS_NAME_MAX)
		return json_error(&m, e, "%zu bytes; the kernel takes at most %d", strlen(*ret),
				  UTS_NAME_MAX);
	if (!b->ns[NS_UTS].listed) {
		(void)json_error(&m, e, "would rename the host, since linux.namespaces has no \"uts\"");
		return err_hint(e, "add {\"type\": \"uts\"} to linux.namespaces");
	}
	return 0;
}

static int read_namespace(struct bundle *b, const struct jat *at, struct err *e)
{
	struct bundle_ns *ns;
	uint64_t kind = 0;
	struct jat m;
	int rc = json_expect_object(at, e);

	if (rc < 0)
		return rc;
	rc = bundle_get_name(at, "type", ns_names, "kind of namespace", &kind, e);
	if (rc == 0)
		return bundle_missing(at, "type", e);
	if (rc < 0)
		return rc;
	ns = &b->ns[kind];
	if (ns->listed)
		return json_error(at, e, "a second namespace of type \"%s\"",
				  bundle_ns_name((enum ns_kind)kind));
	ns->listed = true;
	if (!json_member(at, "path", &m))
		return 0;
	rc = bundle_need_path(&b->arena, at, "path", &ns->path, e);
	return rc < 0 ? rc : 0;
}

int bundle_read_namespaces(struct bundle *b, const struct jat *linux_at, struct err *e)
{
	struct jat arr, el;
	int rc = json_get_array(linux_at, "namespaces", &arr, e);

	for (size_t i = 0; rc > 0 && json_element(&arr, i, &el); i++) {
		int r = read_namespace(b, &el, e);

		if (r < 0)
			return r;
	}
	return rc < 0 ? rc : 0;
}

static int read_hook(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct bundle_hook *h = item;
	int rc = bundle_need_path(&b->arena, at, "path", &h->path, e);

	if (rc < 0 || (rc = bundle_get_list(&b->arena, at, "args", &h->args, e)) < 0 ||
	    (rc = bundle_get_env(&b->arena, at, "env", &h->env, e)) < 0)
		return rc;
	return json_get_int(at, "timeout", 1, INT32_MAX, &h->timeout, e);
}

int bundle_read_hooks(struct bundle *b, const struct jat *root, struct err *e)
{
	static const char *const keys[HOOK_KINDS] = {
		[HOOK_PRESTART] = "prestart",
		[HOOK_CREATE_RUNTIME] = "createRuntime",
		[HOOK_CREATE_CONTAINER] = "createContainer",
		[HOOK_START_CONTAINER] = "startContainer",
		[HOOK_POSTSTART] = "poststart",
		[HOOK_POSTSTOP] = "poststop",
	};
	struct jat hooks;
	int rc = json_get_object(root, "hooks", &hooks, e);

	for (int i = 0; rc > 0 && i < HOOK_KINDS; i++) {
		struct bundle_items items = { 0 };
		int r = bundle_get_items(b, &hooks, keys[i], sizeof(struct bundle_hook), read_hook,
					 &items, e);

		if (r < 0)
			return r;
		b->hooks.v[i] = items.v;
		b->hooks.n[i] = items.n;
	}
	return rc < 0 ? rc : 0;
}

/* Annotations of vrun's own that take one of a few words. */
static const struct {
	const char *key, *words[3];
} own_annotations[] = {
	{ "org.vrun.init", { "true", "false", NULL } },
	{ "org.vrun.owner", { "app", NULL } },
};

static int check_annotation(const struct jat *at, const char *key, const char *value,
			    struct err *e)
{
	if (strcmp(key, "org.vrun.policy") == 0 &&
	    (!*value || *value == '/' || bundle_path_climbs(value)))
		return bundle_bad_word(at, value, e, "expected a path inside the bundle");
	if (strcmp(key, "org.vrun.overlay") == 0 && !*value)
		return json_error(at, e, "expected \"tmpfs\" or a directory");
	for (size_t i = 0; i < sizeof own_annotations / sizeof *own_annotations; i++) {
		const char *const *w = own_annotations[i].words;

		if (strcmp(key, own_annotations[i].key) != 0)
			continue;
		while (*w && strcmp(*w, value) != 0)
			w++;
		if (*w)
			continue;
		w = own_annotations[i].words;
		return json_error(at, e, "expected \"%s\"%s%s%s", w[0], w[1] ? " or \"" : "",
				  w[1] ? w[1] : "", w[1] ? "\"" : "");
	}
	return 0;
}

int bundle_read_annotations(struct bundle *b, const struct jat *root, struct err *e)
{
	struct jat obj, m;
	int rc = bundle_get_pairs(&b->arena, root, "annotations", &b->annotations,
				  &b->n_annotations, e);

	if (rc <= 0)
		return rc;
	(void)json_member(root, "annotations", &obj);
	for (size_t i = 0; i < b->n_annotations; i++) {
		const struct key_value *kv = &b->annotations[i];

		(void)json_member(&obj, kv->key, &m);
		rc = check_annotation(&m, kv->key, kv->value, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Mount options that are read but that no launch carries out. */
static void unsupported_mounts(const struct bundle *b, struct strlist *list)
{
	bool remount = false;

	for (size_t i = 0; i < b->n_mounts; i++)
		remount |= b->mounts[i].remount;
	if (remount)
		list->v[list->n++] = "the mount option remount";
}

/*
 * What vrun does not implement and must not silently leave out. An empty
 * intelRdt asks for a class of its own; an empty netDevices asks for nothing.
 */
static int read_unsupported(struct bundle *b, const struct jat *root, struct err *e)
{
	static const struct {
		const char *section, *key, *name;
		bool empty_too;
	} table[] = {
		{ "linux", "intelRdt", "linux.intelRdt", true },
		{ "linux", "netDevices", "linux.netDevices", false },
		{ "linux", "memoryPolicy", "linux.memoryPolicy", true },
		{ NULL, "vm", "vm", false },
		{ NULL, "zos", "zos", false },
		{ NULL, "windows", "windows", false },
		{ NULL, "solaris", "solaris", false },
		{ NULL, "freebsd", "freebsd", false },
	};
	const size_t n = sizeof table / sizeof *table;
	struct strlist *list = &b->unsupported;

	list->v = arena_array(&b->arena, n + 2, sizeof *list->v);
	if (!list->v)
		return bundle_no_memory(root, e);
	for (size_t i = 0; i < n; i++) {
		struct jat section = *root, m;
		int rc;

		if (table[i].section && !json_member(root, table[i].section, &section))
			continue;
		rc = json_get_object(&section, table[i].key, &m, e);
		if (rc < 0)
			return rc;
		if (rc > 0 && (table[i].empty_too || json_object_size(m.val) > 0))
			list->v[list->n++] = table[i].name;
	}
	unsupported_mounts(b, list);
	return 0;
}

static int read_document(struct bundle *b, const struct jat *root, struct err *e)
{
	int rc = json_expect_object(root, e);

	if (rc < 0 || (rc = read_version(b, root, e)) < 0 || (rc = read_root(b, root, e)) < 0 ||
	    (rc = bundle_read_linux(b, root, e)) < 0 ||
	    (rc = read_uts_name(b, root, "hostname", &b->hostname, e)) < 0 ||
	    (rc = read_uts_name(b, root, "domainname", &b->domainname, e)) < 0 ||
	    (rc = bundle_read_process(b, root, e)) < 0 ||
	    (rc = bundle_read_mounts(b, root, e)) < 0 ||
	    (rc = bundle_read_hooks(b, root, e)) < 0 ||
	    (rc = bundle_read_annotations(b, root, e)) < 0)
		return rc;
	return read_unsupported(b, root, e);
}

int bundle_read(struct bundle *b, const char *dir, const struct json_doc *doc, struct err *e)
{
	struct bundle fresh = { 0 };
	struct jat root = json_root(doc);
	int rc;

	fresh.dir = arena_strdup(&fresh.arena, dir);
	rc = fresh.dir ? read_document(&fresh, &root, e) : bundle_no_memory(&root, e);
	if (rc < 0) {
		bundle_fini(&fresh);
		return rc;
	}
	*b = fresh;
	return 0;
}

/*
 * DIR's absolute form, by its text alone: symbolic links and ".." keep their
 * meaning, "." at the start and needless slashes at the end go.
 */
static int absolute_dir(const char *dir, char *buf, size_t size, struct err *e)
{
	size_t n = 0, len;

	if (*dir != '/') {
		if (!getcwd(buf, size))
			return err_sys(e, "current directory");
		n = strcmp(buf, "/") == 0 ? 0 : strlen(buf);
	}
	while (dir[0] == '.' && (dir[1] == '/' || !dir[1]))
		dir += 1 + strspn(dir + 1, "/");
	for (len = strlen(dir); len > 0 && dir[len - 1] == '/';)
		len--;
	if (n + len + 2 > size)
		return err_num(e, ENAMETOOLONG, "bundle %.64s...", dir);
	if ((len > 0 && *dir != '/') || n + len == 0)
		buf[n++] = '/';
	memcpy(buf + n, dir, len);
	buf[n + len] = '\0';
	return 0;
}

int bundle_load(struct bundle *b, const char *dir, struct err *e)
{
	return bundle_load_text(b, dir, NULL, e);
}

int bundle_load_text(struct bundle *b, const char *dir, char **ret_text, struct err *e)
{
	char full[PATH_MAX], path[PATH_MAX];
	struct json_doc doc = { 0 };
	int rc;

	if (!*dir)
		return err_set(e, EINVAL, "the name of the bundle is empty");
	rc = absolute_dir(dir, full, sizeof full, e);
	if (rc < 0)
		return rc;
	/* Messages name the file as the caller would. */
	rc = snprintf(path, sizeof path, "%s%sconfig.json", dir,
		      dir[strlen(dir) - 1] == '/' ? "" : "/");
	if (rc < 0 || (size_t)rc >= sizeof path)
		return err_num(e, ENAMETOOLONG, "bundle %.64s...", dir);
	rc = json_doc_load(&doc, AT_FDCWD, path, NULL, e);
	if (rc == -ENOENT || rc == -ENOTDIR)
		(void)err_hint(e, "a bundle is a directory with config.json and a root file system;"
				  " \"vrun spec\" writes a config.json to start from");
	if (rc < 0)
		return rc;
	rc = bundle_read(b, full, &doc, e);
	if (rc == 0 && ret_text)
		*ret_text = mem_take(&doc.text);
	json_doc_fini(&doc);
	return rc;
}

void bundle_fini(struct bundle *b)
{
	arena_fini(&b->arena);
	*b = (struct bundle){ 0 };
}
