/* SPDX-License-Identifier: Apache-2.0 */
#include "run/plan.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/caps.h"
#include "kern/ids.h"

/*
 * Whose ids the container's ids are.
 *
 * Unprivileged caller: the id that the app is to have stands for the caller.
 * With subordinate ids the rest of the range fills the gap around it, so that
 * a server that starts as root and drops to another id can do so.
 *
 * Root caller: never the host's own ids unless the bundle maps them or
 * --host-users says so. The range comes from /etc/subuid (user "vrun", then
 * the caller), else from a part of the id space that no distribution hands
 * out, at a place that depends on the container's id, so that two sandboxes
 * do not share users.
 */
#define RANGE_SIZE 65536U
#define DEFAULT_BASE 0x40000000U /* 1073741824 */
#define DEFAULT_SLOTS 12000U     /* up to 0x6ee00000, below the ranges systemd documents as taken */
#define CAP_BIT(c) (1ULL << (c))
#define CAP_NR_SETGID 6
#define CAP_NR_SETUID 7
#define CAP_NR_SYS_ADMIN 21

static bool map_has(const struct idmap *map, uint32_t inside)
{
	return ids_to_outside(map, inside) >= 0;
}

static int single(struct arena *a, struct idmap *map, uint32_t inside, uint32_t outside)
{
	map->v = arena_array(a, 1, sizeof *map->v);
	if (!map->v)
		return -ENOMEM;
	map->v[0] = (struct idmap_entry){ inside, outside, 1 };
	map->n = 1;
	return 0;
}

int plan_around(struct arena *a, struct idmap *map, uint32_t inside, uint32_t self, uint32_t first,
		uint32_t count)
{
	size_t n = 0;

	map->v = arena_array(a, 3, sizeof *map->v);
	if (!map->v)
		return -ENOMEM;
	if (inside > 0)
		map->v[n++] = (struct idmap_entry){ 0, first, inside < count ? inside : count };
	map->v[n++] = (struct idmap_entry){ inside, self, 1 };
	if (inside < count)
		map->v[n++] = (struct idmap_entry){ inside + 1, first + inside, count - inside };
	map->n = n;
	return 0;
}

static int whole(struct arena *a, struct idmap *map, uint32_t base)
{
	map->v = arena_array(a, 1, sizeof *map->v);
	if (!map->v)
		return -ENOMEM;
	map->v[0] = (struct idmap_entry){ 0, base, RANGE_SIZE };
	map->n = 1;
	return 0;
}

static uint32_t slot_of(const char *id)
{
	uint32_t h = 2166136261U; /* FNV-1a */

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619U;
	return h % DEFAULT_SLOTS;
}

static int range_base(int etc, bool gids, const char *id, uint32_t *ret, struct err *e)
{
	uint32_t first, count;
	int rc = ids_find_subordinate(etc, gids, "vrun", UINT32_MAX, RANGE_SIZE, &first, &count, e);

	if (rc == 0)
		rc = ids_find_subordinate(etc, gids, "root", 0, RANGE_SIZE, &first, &count, e);
	if (rc < 0)
		return rc;
	*ret = rc > 0 ? first + slot_of(id) % (count / RANGE_SIZE) * RANGE_SIZE :
			DEFAULT_BASE + slot_of(id) * RANGE_SIZE;
	return 0;
}

static int plan_root(struct launch *l, struct err *e)
{
	AUTO_FD int etc = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint32_t u = 0, g = 0;
	int rc;

	rc = range_base(etc, false, l->opt->id, &u, e);
	if (rc == 0)
		rc = range_base(etc, true, l->opt->id, &g, e);
	if (rc < 0)
		return rc;
	if (whole(&l->bundle->arena, &l->uids, u) < 0 || whole(&l->bundle->arena, &l->gids, g) < 0)
		return err_num(e, ENOMEM, "id maps");
	l->map_writer = MAP_PARENT;
	return 0;
}

/* The caller's name without NSS, which a static program does not have. NULL when unknown. */
static const char *caller_name(struct arena *a, uid_t uid)
{
	FILE *f = fopen("/etc/passwd", "re");
	const char *name = NULL;
	struct passwd *pw;

	while (f && !name && (pw = fgetpwent(f)) != NULL)
		if (pw->pw_uid == uid)
			name = arena_strdup(a, pw->pw_name);
	if (f)
		(void)fclose(f);
	return name;
}

int plan_find_subordinate(struct arena *a, uint32_t *ret_uid_first, uint32_t *ret_uid_count,
			  uint32_t *ret_gid_first, uint32_t *ret_gid_count, struct err *e)
{
	uid_t uid = geteuid();
	const char *name;
	AUTO_FD int etc = -1;
	int rc;

	/* With no_new_privs the helpers have no privilege either. */
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0 || access("/usr/bin/newuidmap", X_OK) < 0 ||
	    access("/usr/bin/newgidmap", X_OK) < 0)
		return 0;
	etc = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	name = caller_name(a, uid);
	rc = ids_find_subordinate(etc, false, name, uid, 1, ret_uid_first, ret_uid_count, e);
	return rc > 0 ? ids_find_subordinate(etc, true, name, uid, 1, ret_gid_first, ret_gid_count, e) : rc;
}

static int plan_subordinate(struct launch *l, uid_t uid, gid_t gid, struct err *e)
{
	const struct bundle_user *user = &l->bundle->process.user;
	struct arena *a = &l->bundle->arena;
	uint32_t uf, uc, gf, gc;
	int rc = plan_find_subordinate(a, &uf, &uc, &gf, &gc, e);

	if (rc <= 0)
		return rc;
	if (plan_around(a, &l->uids, user->uid, uid, uf, uc) < 0 ||
	    plan_around(a, &l->gids, user->gid, gid, gf, gc) < 0)
		return err_num(e, ENOMEM, "id maps");
	l->map_writer = MAP_HELPERS;
	return 1;
}

static int plan_unprivileged(struct launch *l, bool nested, uid_t uid, gid_t gid, struct err *e)
{
	const struct bundle_user *user = &l->bundle->process.user;
	int rc = 0;

	if (l->opt->subordinate)
		rc = nested ? plan_nested(l, uid, gid, e) : plan_subordinate(l, uid, gid, e);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (single(&l->bundle->arena, &l->uids, user->uid, uid) < 0 ||
	    single(&l->bundle->arena, &l->gids, user->gid, gid) < 0)
		return err_num(e, ENOMEM, "id maps");
	l->map_writer = MAP_SELF;
	l->deny_setgroups = true;
	return 0;
}

static int plan_given(struct launch *l, bool privileged, uid_t uid, gid_t gid, struct err *e)
{
	const struct bundle *b = l->bundle;
	/* The container has no rights over the caller's ids: without setgroups(2) switched off it may not write gid_map. */
	bool self = !privileged && b->uid_map.n == 1 && b->gid_map.n == 1 && b->uid_map.v[0].size == 1 &&
		    b->gid_map.v[0].size == 1 && b->uid_map.v[0].outside == uid &&
		    b->gid_map.v[0].outside == gid;

	if (b->uid_map.n == 0 || b->gid_map.n == 0)
		return err_set(e, EINVAL, "linux.%s is missing beside the other map",
			       b->uid_map.n ? "gidMappings" : "uidMappings");
	l->uids = b->uid_map;
	l->gids = b->gid_map;
	l->map_writer = self ? MAP_SELF : privileged ? MAP_PARENT : MAP_HELPERS;
	l->deny_setgroups = self || plan_setgroups_is_denied();
	return 0;
}

static int check_users(const struct launch *l, struct err *e)
{
	const struct bundle_user *user = &l->bundle->process.user;

	if (!map_has(&l->uids, user->uid)) {
		(void)err_set(e, EINVAL, "process.user.uid %u is not in the container's id map", user->uid);
		return err_hint(e, "add it to linux.uidMappings, or give the caller more ids in /etc/subuid");
	}
	if (!map_has(&l->gids, user->gid)) {
		(void)err_set(e, EINVAL, "process.user.gid %u is not in the container's id map", user->gid);
		return err_hint(e, "add it to linux.gidMappings, or give the caller more ids in /etc/subgid");
	}
	for (size_t i = 0; i < user->n_groups; i++) {
		if (l->deny_setgroups || !map_has(&l->gids, user->groups[i])) {
			(void)err_set(e, EINVAL, "additional group %u cannot be had with this id map",
				      user->groups[i]);
			return err_hint(e, "additional groups need a range of ids: install uidmap and give the caller one in /etc/subgid");
		}
	}
	return 0;
}

int plan_ids(struct launch *l, struct err *e)
{
	const struct bundle *b = l->bundle;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	uint64_t need = CAP_BIT(CAP_NR_SETUID) | CAP_BIT(CAP_NR_SETGID) | CAP_BIT(CAP_NR_SYS_ADMIN);
	bool privileged = uid == 0 && (caps_effective() & need) == need;
	bool nested = privileged && ids_is_nested();
	int rc;

	if (b->ns[NS_USER].path)
		return 0;
	if (b->uid_map.n || b->gid_map.n)
		rc = plan_given(l, privileged, uid, gid, e);
	else if (privileged && (l->opt->host_users))
		return 0;
	else if (privileged && !nested)
		rc = plan_root(l, e);
	else
		rc = plan_unprivileged(l, nested, uid, gid, e);
	if (rc == 0)
		rc = check_users(l, e);
	if (rc < 0)
		return rc;
	l->sources_in_parent = privileged && !nested && l->map_writer == MAP_PARENT;
	/* An engine that gives the mappings has given the files to their ids, as the specification has it. */
	l->idmap_sources = l->sources_in_parent && !(l->opt->create && b->uid_map.n && !l->owner_is_app);
	return 0;
}
