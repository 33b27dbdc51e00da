/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's linux object (runtime-spec config-linux.md), but for resources and seccomp. */
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "base/kernel.h"
#include "base/log.h"
#include "model/bundle_read.h"

/* The kernel's dev_t has 12 bits for the major and 20 for the minor number. */
#define DEV_MAJOR_MAX 0xfff
#define DEV_MINOR_MAX 0xfffff

static int read_maps(struct bundle *b, const struct jat *at, struct err *e)
{
	static const char *const keys[] = { "uidMappings", "gidMappings" };
	struct idmap *maps[] = { &b->uid_map, &b->gid_map };
	struct jat m;

	for (size_t i = 0; i < 2; i++) {
		int rc = bundle_get_idmap(&b->arena, at, keys[i], maps[i], e);

		if (rc < 0)
			return rc;
		if (maps[i]->n == 0 || b->ns[NS_USER].listed)
			continue;
		(void)json_member(at, keys[i], &m);
		(void)json_error(&m, e, "an id map, but linux.namespaces has no \"user\"");
		return err_hint(e, "add {\"type\": \"user\"} to linux.namespaces");
	}
	return 0;
}

static int read_clock(const struct jat *at, int64_t *ret_secs, uint32_t *ret_nsecs, struct err *e)
{
	int rc = json_expect_object(at, e);

	if (rc < 0 ||
	    (rc = json_get_int(at, "secs", INT64_MIN / 1000000000, INT64_MAX / 1000000000, ret_secs,
			       e)) < 0)
		return rc;
	return bundle_get_u32(at, "nanosecs", 999999999, ret_nsecs, e);
}

static int read_time(struct bundle *b, const struct jat *at, struct err *e)
{
	static const char *const clocks[] = { "monotonic", "boottime", NULL };
	struct jat times, m;
	int rc = json_get_object(at, "timeOffsets", &times, e);

	if (rc <= 0 || json_object_size(times.val) == 0)
		return rc;
	rc = json_known_keys(&times, clocks, e);
	if (rc < 0)
		return rc;
	if (!b->ns[NS_TIME].listed || b->ns[NS_TIME].path) {
		(void)json_error(&times, e, "offsets can be set in a new time namespace only");
		return err_hint(e, "list {\"type\": \"time\"} without a path in linux.namespaces");
	}
	if (json_member(&times, "monotonic", &m)) {
		b->has_time_monotonic = true;
		rc = read_clock(&m, &b->time_monotonic_secs, &b->time_monotonic_nsecs, e);
	}
	if (rc >= 0 && json_member(&times, "boottime", &m)) {
		b->has_time_boottime = true;
		rc = read_clock(&m, &b->time_boottime_secs, &b->time_boottime_nsecs, e);
	}
	return rc;
}

static int read_device_mode(const struct jat *at, struct bundle_device *d, struct err *e)
{
	uint32_t mode = 0, format = 0;
	struct jat m;
	int rc = bundle_get_u32(at, "fileMode", 0177777, &mode, e);

	d->mode = 0666;
	if (rc <= 0)
		return rc;
	(void)json_member(at, "fileMode", &m);
	/* Some engines hand stat's st_mode through, with the type of the file in it. */
	format = d->type == 'c' ? S_IFCHR : d->type == 'b' ? S_IFBLK : S_IFIFO;
	if ((mode & S_IFMT) != 0 && (mode & S_IFMT) != format)
		return json_error(&m, e, "%u has another type of file in it than \"%c\"", mode,
				  d->type);
	if ((mode & 07000) != 0)
		return json_error(&m, e, "%u has set-id or sticky bits; it is a decimal number",
				  mode);
	d->mode = mode & 0777;
	return 0;
}

static int read_device(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	static const struct name_value types[] = {
		{ "c", 'c' }, { "u", 'c' }, { "b", 'b' }, { "p", 'p' }, { NULL, 0 },
	};
	struct bundle_device *d = item;
	uint64_t type = 0;
	int rc = bundle_need_path(&b->arena, at, "path", &d->path, e);

	if (rc < 0)
		return rc;
	rc = bundle_get_name(at, "type", types, "type of device (c, b, u or p)", &type, e);
	if (rc == 0)
		return bundle_missing(at, "type", e);
	if (rc < 0)
		return rc;
	d->type = (char)type;
	if (d->type != 'p' &&
	    ((rc = bundle_need_u32(at, "major", DEV_MAJOR_MAX, &d->major, e)) < 0 ||
	     (rc = bundle_need_u32(at, "minor", DEV_MINOR_MAX, &d->minor, e)) < 0))
		return rc;
	if ((rc = bundle_get_u32(at, "uid", BUNDLE_ID_MAX, &d->uid, e)) < 0 ||
	    (rc = bundle_get_u32(at, "gid", BUNDLE_ID_MAX, &d->gid, e)) < 0)
		return rc;
	return read_device_mode(at, d, e);
}

static int read_devices(struct bundle *b, const struct jat *at, struct err *e)
{
	struct bundle_items items = { 0 };
	int rc = bundle_get_items(b, at, "devices", sizeof(struct bundle_device), read_device,
				  &items, e);

	b->devices = items.v;
	b->n_devices = items.n;
	return rc;
}

static int read_paths(struct bundle *b, const struct jat *at, const char *key, struct strlist *ret,
		      struct err *e)
{
	struct jat arr, el;
	int rc = bundle_get_list(&b->arena, at, key, ret, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, key, &arr);
	for (size_t i = 0; i < ret->n; i++) {
		if (*ret->v[i] == '/')
			continue;
		(void)json_element(&arr, i, &el);
		return bundle_bad_word(&el, ret->v[i], e, "the path must be absolute");
	}
	return 0;
}

/* Kernel parameters that belong to a namespace; all others are the host's. A '/' or '.' at the
 * end makes the name a prefix. */
static const struct {
	const char *name;
	enum ns_kind ns;
} sysctls[] = {
	{ "net/", NS_NET },		{ "fs/mqueue/", NS_IPC },
	{ "kernel/msgmax", NS_IPC },	{ "kernel/msgmnb", NS_IPC },
	{ "kernel/msgmni", NS_IPC },	{ "kernel/msg_next_id", NS_IPC },
	{ "kernel/sem", NS_IPC },	{ "kernel/sem_next_id", NS_IPC },
	{ "kernel/shmall", NS_IPC },	{ "kernel/shmmax", NS_IPC },
	{ "kernel/shmmni", NS_IPC },	{ "kernel/shm_next_id", NS_IPC },
	{ "kernel/shm_rmid_forced", NS_IPC }, { "kernel/hostname", NS_UTS },
	{ "kernel/domainname", NS_UTS }, { "user/", NS_USER },
};

/* "net.ipv4.conf.eth0/1.forwarding" and "net/ipv4/conf/eth0.1/forwarding" are the same
 * (sysctl(8)): the separator that comes first decides. */
static void sysctl_path(char *key)
{
	char *p = strpbrk(key, "./");

	if (!p || *p == '/')
		return;
	for (; *p; p++) {
		if (*p == '.')
			*p = '/';
		else if (*p == '/')
			*p = '.';
	}
}

static int check_sysctl(struct bundle *b, const struct jat *at, const char *path, struct err *e)
{
	if (bundle_path_climbs(path) || strstr(path, "//") || path[strlen(path) - 1] == '/')
		return json_error(at, e, "not the name of a kernel parameter");
	for (size_t i = 0; i < sizeof sysctls / sizeof *sysctls; i++) {
		const char *name = sysctls[i].name;
		size_t len = strlen(name);

		if (strncmp(path, name, len + (name[len - 1] != '/')) != 0)
			continue;
		if (b->ns[sysctls[i].ns].listed)
			return 0;
		(void)json_error(at, e, "would change the host, since linux.namespaces has no"
				 " \"%s\"", bundle_ns_name(sysctls[i].ns));
		return err_hint(e, "add {\"type\": \"%s\"} to linux.namespaces",
				bundle_ns_name(sysctls[i].ns));
	}
	return json_error(at, e, "a kernel parameter of the whole host, not of a namespace");
}

static int read_sysctl(struct bundle *b, const struct jat *at, struct err *e)
{
	struct jat obj, m;
	int rc = bundle_get_pairs(&b->arena, at, "sysctl", &b->sysctl, &b->n_sysctl, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, "sysctl", &obj);
	for (size_t i = 0; i < b->n_sysctl; i++) {
		char *path = arena_strdup(&b->arena, b->sysctl[i].key);

		if (!path)
			return bundle_no_memory(at, e);
		sysctl_path(path);
		(void)json_member(&obj, b->sysctl[i].key, &m);
		rc = check_sysctl(b, &m, path, e);
		if (rc < 0)
			return rc;
		b->sysctl[i].key = path;
	}
	return 0;
}

static int read_personality(struct bundle *b, const struct jat *at, struct err *e)
{
	static const struct name_value domains[] = {
		{ "LINUX", PER_LINUX }, { "LINUX32", PER_LINUX32 }, { NULL, 0 },
	};
	struct jat obj, flags;
	uint64_t domain = 0;
	int rc = json_get_object(at, "personality", &obj, e);

	if (rc <= 0)
		return rc;
	rc = bundle_get_name(&obj, "domain", domains, "execution domain", &domain, e);
	if (rc == 0)
		return bundle_missing(&obj, "domain", e);
	if (rc < 0 || (rc = json_get_array(&obj, "flags", &flags, e)) < 0)
		return rc;
	if (rc > 0 && json_array_size(flags.val) > 0)
		return json_error(&flags, e, "the runtime spec defines no flags");
	b->has_personality = true;
	b->personality = (unsigned long)domain;
	return 0;
}

static int read_propagation(struct bundle *b, const struct jat *at, struct err *e)
{
	static const struct name_value kinds[] = {
		{ "", 0 }, /* as if absent: engines write it */
		{ "shared", MS_SHARED },
		{ "rshared", MS_SHARED | MS_REC },
		{ "slave", MS_SLAVE },
		{ "rslave", MS_SLAVE | MS_REC },
		{ "private", MS_PRIVATE },
		{ "rprivate", MS_PRIVATE | MS_REC },
		{ "unbindable", MS_UNBINDABLE },
		{ "runbindable", MS_UNBINDABLE | MS_REC },
		{ NULL, 0 },
	};
	uint64_t kind = 0;
	int rc = bundle_get_name(at, "rootfsPropagation", kinds, "kind of propagation", &kind, e);

	b->root_propagation = (unsigned long)kind;
	return rc;
}

static int read_cgroups_path(struct bundle *b, const struct jat *at, struct err *e)
{
	struct jat m;
	int rc = bundle_get_text(&b->arena, at, "cgroupsPath", &b->cgroups_path, e);

	if (rc <= 0 || !bundle_path_climbs(b->cgroups_path))
		return rc;
	(void)json_member(at, "cgroupsPath", &m);
	return bundle_bad_word(&m, b->cgroups_path, e, "the path has \"..\" in it");
}

int bundle_read_linux(struct bundle *b, const struct jat *root, struct err *e)
{
	struct jat at;
	int rc = json_get_object(root, "linux", &at, e);

	if (rc <= 0)
		return rc;
	/* Namespaces first: what else is allowed depends on them. */
	if ((rc = bundle_read_namespaces(b, &at, e)) < 0 || (rc = read_maps(b, &at, e)) < 0 ||
	    (rc = read_time(b, &at, e)) < 0 || (rc = read_devices(b, &at, e)) < 0 ||
	    (rc = read_cgroups_path(b, &at, e)) < 0 ||
	    (rc = bundle_read_resources(b, &at, e)) < 0 ||
	    (rc = read_propagation(b, &at, e)) < 0 || (rc = read_sysctl(b, &at, e)) < 0 ||
	    (rc = bundle_read_seccomp(b, &at, e)) < 0 ||
	    (rc = read_paths(b, &at, "maskedPaths", &b->masked_paths, e)) < 0 ||
	    (rc = read_paths(b, &at, "readonlyPaths", &b->readonly_paths, e)) < 0 ||
	    (rc = bundle_get_text(&b->arena, &at, "mountLabel", &b->mount_label, e)) < 0)
		return rc;
	return read_personality(b, &at, e);
}
