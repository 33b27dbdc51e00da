/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ids of U, the supervisor's user namespace. A map of a container inside
 * it is written in U's ids, which are the caller's: every id stands for
 * itself, and a map reads the same with and without a supervisor.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/ids.h"
#include "run/plan.h"

#define OWN_MAX 64 /* lines that are read of a map */

/* Nobody's, below the ranges of containers; in a namespace with few ids the overflow id. */
static const uint32_t supervisor_ids[] = { 0x3fffffffU, 65534 };

static bool covers(const struct idmap *map, uint32_t id)
{
	return ids_to_outside(map, id) >= 0;
}

static int add(struct arena *a, struct idmap *map, uint32_t id, uint32_t size)
{
	struct idmap_entry *v = arena_array(a, map->n + 1, sizeof *v);

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < map->n; i++)
		v[i] = map->v[i];
	v[map->n++] = (struct idmap_entry){ id, id, size };
	map->v = v;
	return 0;
}

/* All ids that there are in the caller's own namespace. */
static int whole(struct arena *a, const char *file, struct idmap *ret, struct err *e)
{
	struct idmap_entry map[OWN_MAX];
	int n = ids_read_map(file, map, OWN_MAX, e), rc = 0;

	if (n < 0)
		return n;
	for (int i = 0; rc == 0 && i < n; i++)
		rc = add(a, ret, map[i].inside, map[i].size);
	return rc < 0 ? err_num(e, ENOMEM, "id maps") : 0;
}

/* The caller's own id, and what the container's map stands for. */
static int of_container(struct arena *a, const struct idmap *map, uint32_t own, struct idmap *ret,
			struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < map->n && rc == 0; i++)
		rc = add(a, ret, map->v[i].outside, map->v[i].size);
	if (rc == 0 && !covers(ret, own))
		rc = add(a, ret, own, 1);
	return rc < 0 ? err_num(e, ENOMEM, "id maps") : 0;
}

/* A fabric's later containers may want ranges though its first one does not. 1, 0 when there are none. */
static int subordinate(const struct launch *l, struct outer_ids *o, struct err *e)
{
	uint32_t uid_first, uid_count, gid_first, gid_count;
	struct arena *a = &l->bundle->arena;
	int rc = plan_find_subordinate(a, &uid_first, &uid_count, &gid_first, &gid_count, e);

	if (rc <= 0)
		return rc;
	if (add(a, &o->uids, uid_first, uid_count) < 0 || add(a, &o->uids, geteuid(), 1) < 0 ||
	    add(a, &o->gids, gid_first, gid_count) < 0 || add(a, &o->gids, getegid(), 1) < 0)
		return err_num(e, ENOMEM, "id maps");
	o->writer = MAP_HELPERS;
	return 1;
}

static int unprivileged(const struct launch *l, struct outer_ids *o, struct err *e)
{
	struct arena *a = &l->bundle->arena;
	int rc = l->opt->fabric ? subordinate(l, o, e) : 0;

	if (rc != 0)
		return rc < 0 ? rc : 0;
	o->writer = l->map_writer;
	o->deny_setgroups = l->deny_setgroups;
	rc = of_container(a, &l->uids, geteuid(), &o->uids, e);
	return rc < 0 ? rc : of_container(a, &l->gids, getegid(), &o->gids, e);
}

/* An id that owns nothing, of those that there are. */
static void find_nobody(struct outer_ids *o)
{
	for (size_t i = 0; i < 2 && !o->change_id; i++) {
		o->id = supervisor_ids[i];
		o->change_id = covers(&o->uids, o->id) && covers(&o->gids, o->id);
	}
}

int plan_gateway_ids(const struct launch *l, struct outer_ids *ret, struct err *e)
{
	struct arena *a = &l->bundle->arena;
	struct outer_ids o = { .writer = MAP_NONE };
	int rc = 0;

	if (geteuid() == 0) {
		rc = whole(a, "/proc/self/uid_map", &o.uids, e);
		if (rc == 0)
			rc = whole(a, "/proc/self/gid_map", &o.gids, e);
		if (rc == 0)
			find_nobody(&o);
	}
	if (rc == 0)
		*ret = o;
	return rc;
}

int plan_outer_ids(const struct launch *l, struct outer_ids *ret, struct err *e)
{
	struct arena *a = &l->bundle->arena;
	struct outer_ids o = { .writer = MAP_NONE };
	int rc = 0;

	if (l->map_writer == MAP_PARENT) {
		o.writer = MAP_PARENT;
		rc = whole(a, "/proc/self/uid_map", &o.uids, e);
		if (rc == 0)
			rc = whole(a, "/proc/self/gid_map", &o.gids, e);
		if (rc == 0)
			find_nobody(&o);
	} else if (l->map_writer != MAP_NONE) {
		rc = unprivileged(l, &o, e);
	}
	if (rc == 0)
		*ret = o;
	return rc;
}
