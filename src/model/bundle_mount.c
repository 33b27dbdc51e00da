/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json's mounts and their option strings.
 *
 * Every option of the spec's table is known here, by what it does to the
 * struct. The order of options matters as for mount(8): a later one undoes an
 * earlier one. What is in no table belongs to the filesystem. A bind has no
 * filesystem to hand such an option to: there it is an error, so that a
 * misspelt "nosuid" is not lost; but for those of tmpfs.
 */
#include <string.h>

#include "base/kernel.h"
#include "model/bundle_read.h"

enum option_kind {
	OPT_NOTHING,
	OPT_SET,	/* arg: MOUNT_ATTR_* */
	OPT_CLEAR,	/* arg: MOUNT_ATTR_* */
	OPT_ATIME,	/* arg: the value of the access-time field */
	OPT_ATIME_DROP, /* arg: the value to take back; the default is then relatime */
	OPT_SB_SET,	/* arg: BUNDLE_SB_* */
	OPT_SB_CLEAR,	/* arg: BUNDLE_SB_* */
	OPT_PROPAGATION, /* arg: MS_* */
	OPT_BIND,
	OPT_RBIND,
	OPT_REMOUNT,
	OPT_COPYUP,
	OPT_IDMAP, /* arg: enum mount_idmap */
};

struct mount_option {
	const char *name;
	enum option_kind kind;
	uint64_t arg;
};

/* Options on the mount itself. Each also has a recursive form with "r" in front. */
static const struct mount_option attr_options[] = {
	{ "ro", OPT_SET, MOUNT_ATTR_RDONLY },
	{ "rw", OPT_CLEAR, MOUNT_ATTR_RDONLY },
	{ "nosuid", OPT_SET, MOUNT_ATTR_NOSUID },
	{ "suid", OPT_CLEAR, MOUNT_ATTR_NOSUID },
	{ "nodev", OPT_SET, MOUNT_ATTR_NODEV },
	{ "dev", OPT_CLEAR, MOUNT_ATTR_NODEV },
	{ "noexec", OPT_SET, MOUNT_ATTR_NOEXEC },
	{ "exec", OPT_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "nodiratime", OPT_SET, MOUNT_ATTR_NODIRATIME },
	{ "diratime", OPT_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "nosymfollow", OPT_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "symfollow", OPT_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "noatime", OPT_ATIME, MOUNT_ATTR_NOATIME },
	{ "atime", OPT_ATIME_DROP, MOUNT_ATTR_NOATIME },
	{ "relatime", OPT_ATIME, MOUNT_ATTR_RELATIME },
	{ "norelatime", OPT_ATIME_DROP, MOUNT_ATTR_RELATIME },
	{ "strictatime", OPT_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "nostrictatime", OPT_ATIME_DROP, MOUNT_ATTR_STRICTATIME },
	{ NULL, OPT_NOTHING, 0 },
};

static const struct mount_option other_options[] = {
	{ "defaults", OPT_NOTHING, 0 },
	{ "bind", OPT_BIND, 0 },
	{ "rbind", OPT_RBIND, 0 },
	{ "remount", OPT_REMOUNT, 0 },
	{ "private", OPT_PROPAGATION, MS_PRIVATE },
	{ "rprivate", OPT_PROPAGATION, MS_PRIVATE | MS_REC },
	{ "shared", OPT_PROPAGATION, MS_SHARED },
	{ "rshared", OPT_PROPAGATION, MS_SHARED | MS_REC },
	{ "slave", OPT_PROPAGATION, MS_SLAVE },
	{ "rslave", OPT_PROPAGATION, MS_SLAVE | MS_REC },
	{ "unbindable", OPT_PROPAGATION, MS_UNBINDABLE },
	{ "runbindable", OPT_PROPAGATION, MS_UNBINDABLE | MS_REC },
	{ "sync", OPT_SB_SET, BUNDLE_SB_SYNC },
	{ "async", OPT_SB_CLEAR, BUNDLE_SB_SYNC },
	{ "dirsync", OPT_SB_SET, BUNDLE_SB_DIRSYNC },
	{ "lazytime", OPT_SB_SET, BUNDLE_SB_LAZYTIME },
	{ "nolazytime", OPT_SB_CLEAR, BUNDLE_SB_LAZYTIME },
	{ "mand", OPT_SB_SET, BUNDLE_SB_MAND },
	{ "nomand", OPT_SB_CLEAR, BUNDLE_SB_MAND },
	{ "silent", OPT_SB_SET, BUNDLE_SB_SILENT },
	{ "loud", OPT_SB_CLEAR, BUNDLE_SB_SILENT },
	{ "iversion", OPT_SB_SET, BUNDLE_SB_IVERSION },
	{ "noiversion", OPT_SB_CLEAR, BUNDLE_SB_IVERSION },
	{ "tmpcopyup", OPT_COPYUP, 0 },
	{ "idmap", OPT_IDMAP, MOUNT_IDMAP_PLAIN },
	{ "ridmap", OPT_IDMAP, MOUNT_IDMAP_RECURSIVE },
	{ NULL, OPT_NOTHING, 0 },
};

static const struct mount_option *option_find(const struct mount_option *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

static void apply_attr(uint64_t *set, uint64_t *clear, const struct mount_option *o)
{
	switch (o->kind) {
	case OPT_SET:
		*set |= o->arg;
		*clear &= ~o->arg;
		break;
	case OPT_CLEAR:
		*set &= ~o->arg;
		*clear |= o->arg;
		break;
	case OPT_ATIME:
		*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | o->arg;
		*clear |= MOUNT_ATTR__ATIME;
		break;
	case OPT_ATIME_DROP:
		if ((*set & MOUNT_ATTR__ATIME) == o->arg)
			*set &= ~(uint64_t)MOUNT_ATTR__ATIME;
		*clear |= MOUNT_ATTR__ATIME;
		break;
	default:
		break;
	}
}

static int apply_propagation(struct bundle_mount *m, unsigned long type, const struct jat *at,
			     struct err *e)
{
	unsigned long rec = (unsigned long)MS_REC;

	if (m->propagation && (m->propagation & ~rec) != (type & ~rec))
		return json_error(at, e, "a second kind of propagation");
	m->propagation |= type;
	return 0;
}

static int apply_other(struct bundle_mount *m, const struct mount_option *o, const struct jat *at,
		       struct err *e)
{
	switch (o->kind) {
	case OPT_BIND:
		m->bind = true;
		break;
	case OPT_RBIND:
		m->bind = m->rbind = true;
		break;
	case OPT_REMOUNT:
		m->remount = true;
		break;
	case OPT_SB_SET:
		m->sb_flags |= (unsigned)o->arg;
		break;
	case OPT_SB_CLEAR:
		m->sb_flags &= ~(unsigned)o->arg;
		break;
	case OPT_COPYUP:
		if (!m->type || strcmp(m->type, "tmpfs") != 0)
			return json_error(at, e, "tmpcopyup is for tmpfs only");
		m->tmpcopyup = true;
		break;
	case OPT_IDMAP:
		if (m->idmap != MOUNT_IDMAP_RECURSIVE)
			m->idmap = (enum mount_idmap)o->arg;
		break;
	case OPT_PROPAGATION:
		return apply_propagation(m, (unsigned long)o->arg, at, e);
	default:
		break;
	}
	return 0;
}

static int apply_option(struct bundle_mount *m, struct arena *arena, const char *name,
			const struct jat *at, struct err *e)
{
	const struct mount_option *o = option_find(attr_options, name);

	if (o) {
		apply_attr(&m->attr_set, &m->attr_clear, o);
		return 0;
	}
	o = option_find(other_options, name);
	if (o)
		return apply_other(m, o, at, e);
	if (*name == 'r' && (o = option_find(attr_options, name + 1)) != NULL) {
		apply_attr(&m->rec_attr_set, &m->rec_attr_clear, o);
		return 0;
	}
	m->data.v[m->data.n] = arena_strdup(arena, name);
	return m->data.v[m->data.n++] ? 0 : bundle_no_memory(at, e);
}

/* What tools leave in the options of a bind that was a tmpfs: the kernel ignores it there, and other runtimes do. */
static bool is_of_tmpfs(const char *option)
{
	static const char *const keys[] = { "mode=", "size=", "nr_blocks=", "nr_inodes=" };

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (strncmp(option, keys[i], strlen(keys[i])) == 0)
			return true;
	return false;
}

static void drop_tmpfs_data(struct strlist *data)
{
	size_t n = 0;

	for (size_t i = 0; i < data->n; i++)
		if (!is_of_tmpfs(data->v[i]))
			data->v[n++] = data->v[i];
	data->n = n;
}

/* A bind has no filesystem of its own: nobody would look at what is left in data. */
static int refuse_bind_data(const struct bundle_mount *m, const struct jat *at, struct err *e)
{
	enum { ATTRS = sizeof attr_options / sizeof *attr_options,
	       OTHERS = sizeof other_options / sizeof *other_options };
	struct name_value names[ATTRS + OTHERS] = { 0 };
	struct jat el;
	size_t n = 0;

	for (size_t i = 0; attr_options[i].name; i++)
		names[n++].name = attr_options[i].name;
	for (size_t i = 0; other_options[i].name; i++)
		names[n++].name = other_options[i].name;
	for (size_t i = 0; json_element(at, i, &el); i++) {
		const char *s = json_string_value(el.val);

		if (!s || strcmp(s, m->data.v[0]) != 0)
			continue;
		(void)bundle_bad_word(&el, s, e, "not an option of a bind mount");
		return bundle_hint_name(s, names, e);
	}
	return json_error(at, e, "options for a filesystem on a bind mount");
}

int bundle_mount_options(struct bundle_mount *m, struct arena *arena, const struct jat *at,
			 struct err *e)
{
	const char *name;
	struct jat el;
	int rc = json_expect_array(at, e);

	if (rc < 0)
		return rc;
	m->data.v = arena_array(arena, json_array_size(at->val) + 1, sizeof *m->data.v);
	if (!m->data.v)
		return bundle_no_memory(at, e);
	for (size_t i = 0; json_element(at, i, &el); i++) {
		rc = json_as_string(&el, &name, e);
		if (rc < 0)
			return rc;
		if (!*name)
			return json_error(&el, e, "is empty");
		rc = apply_option(m, arena, name, &el, e);
		if (rc < 0)
			return rc;
	}
	if (m->type && strcmp(m->type, "bind") == 0)
		m->bind = true;
	if (m->bind) {
		m->type = "bind";
		m->sb_flags = 0; /* the superblock is somebody else's */
		drop_tmpfs_data(&m->data);
		return m->data.n ? refuse_bind_data(m, at, e) : 0;
	}
	if (m->attr_set & MOUNT_ATTR_RDONLY)
		m->sb_flags |= BUNDLE_SB_RDONLY;
	return 0;
}

static int read_destination(struct bundle *b, const struct jat *at, struct bundle_mount *m,
			    struct err *e)
{
	int rc = bundle_need_text(&b->arena, at, "destination", &m->destination, e);

	if (rc < 0 || *m->destination == '/')
		return rc;
	/* Deprecated by the spec, which has it mean "relative to /". */
	m->destination = arena_printf(&b->arena, "/%s", m->destination);
	return m->destination ? 0 : bundle_no_memory(at, e);
}

/* Sources of binds are host paths; relative ones start at the bundle. Others are only names. */
static int settle_source(struct bundle *b, const struct jat *at, struct bundle_mount *m,
			 struct err *e)
{
	struct jat type;

	if (!m->bind && (!m->type || (strcmp(m->type, "none") == 0 && !m->remount))) {
		(void)json_member(at, "type", &type);
		(void)json_error(&type, e, "no filesystem to mount");
		return err_hint(e, "name a type, or put \"bind\" or \"rbind\" into the options");
	}
	if (m->bind && !m->source && !m->remount)
		return bundle_missing(at, "source", e);
	if (!m->source)
		m->source = m->type;
	else if (m->bind && *m->source != '/')
		m->source = arena_printf(&b->arena, "%s/%s", b->dir, m->source);
	return m->source ? 0 : bundle_no_memory(at, e);
}

static int read_maps(struct bundle *b, const struct jat *at, struct bundle_mount *m, struct err *e)
{
	int rc = bundle_get_idmap(&b->arena, at, "uidMappings", &m->uid_map, e);

	if (rc < 0 || (rc = bundle_get_idmap(&b->arena, at, "gidMappings", &m->gid_map, e)) < 0)
		return rc;
	if (m->uid_map.n > 0 && m->gid_map.n == 0)
		return json_error(at, e, "uidMappings without gidMappings");
	if (m->gid_map.n > 0 && m->uid_map.n == 0)
		return json_error(at, e, "gidMappings without uidMappings");
	if (m->uid_map.n > 0 && m->idmap == MOUNT_IDMAP_NONE)
		m->idmap = MOUNT_IDMAP_PLAIN;
	if (m->idmap != MOUNT_IDMAP_NONE && m->uid_map.n == 0 && !b->ns[NS_USER].listed) {
		(void)json_error(at, e, "no id map for an idmapped mount");
		return err_hint(e, "give the mount uidMappings and gidMappings, or list a user"
				   " namespace in linux.namespaces");
	}
	return 0;
}

static int read_mount(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct bundle_mount *m = item;
	struct jat options;
	int rc = read_destination(b, at, m, e);

	if (rc < 0 || (rc = bundle_get_text(&b->arena, at, "type", &m->type, e)) < 0 ||
	    (rc = bundle_get_text(&b->arena, at, "source", &m->source, e)) < 0)
		return rc;
	if (json_member(at, "options", &options))
		rc = bundle_mount_options(m, &b->arena, &options, e);
	else if (m->type && strcmp(m->type, "bind") == 0)
		m->bind = true;
	if (rc < 0 || (rc = settle_source(b, at, m, e)) < 0)
		return rc;
	return read_maps(b, at, m, e);
}

int bundle_read_mounts(struct bundle *b, const struct jat *root, struct err *e)
{
	struct bundle_items items = { 0 };
	int rc = bundle_get_items(b, root, "mounts", sizeof(struct bundle_mount), read_mount,
				  &items, e);

	if (rc <= 0)
		return rc;
	b->mounts = items.v;
	b->n_mounts = items.n;
	return 0;
}

const char *bundle_mount_word(bool attrs, size_t i)
{
	if (attrs)
		return i < sizeof attr_options / sizeof *attr_options ? attr_options[i].name : NULL;
	return i < sizeof other_options / sizeof *other_options ? other_options[i].name : NULL;
}
