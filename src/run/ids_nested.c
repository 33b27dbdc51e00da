/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root of a user namespace that has only some of the host's ids (unshare -r, a
 * rootless container) is no root to the host: its own id is somebody's, ids
 * that its map does not have cannot be given out, and the files of the host
 * cannot be shown through another map. What it may do is what a user with a
 * range may do: its own id stands for the app's, the others of its namespace
 * lie around it. It writes the map itself, without helpers.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "kern/ids.h"
#include "run/plan.h"

#define LINES_MAX 340 /* of a map, as the kernel has it */

/* The longest run of ids of our namespace without `own`; false when there is none. */
static int find_run(const char *file, uint32_t own, uint32_t *ret_first, uint32_t *ret_count, struct err *e)
{
	AUTO_FREE struct idmap_entry *map = calloc(LINES_MAX, sizeof *map);
	uint32_t best = 0;
	int n = map ? ids_read_map(file, map, LINES_MAX, e) : err_num(e, ENOMEM, "%s", file);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		uint32_t inside = map[i].inside, size = map[i].size;
		bool has_own = own >= inside && own - inside < size;
		uint32_t below = has_own ? own - inside : 0, above = has_own ? size - below - 1 : size;

		if (below > best) {
			*ret_first = inside;
			best = below;
		}
		if (above > best) {
			*ret_first = has_own ? own + 1 : inside;
			best = above;
		}
	}
	*ret_count = best;
	return best > 0;
}

bool plan_setgroups_is_denied(void)
{
	AUTO_FREE char *text = NULL;

	return fd_read_file(AT_FDCWD, "/proc/self/setgroups", 64, &text, NULL, NULL) == 0 &&
	       strncmp(text, "deny", 4) == 0;
}

int plan_nested(struct launch *l, uint32_t uid, uint32_t gid, struct err *e)
{
	const struct bundle_user *user = &l->bundle->process.user;
	struct arena *a = &l->bundle->arena;
	uint32_t uf, uc, gf, gc;
	int rc = find_run("/proc/self/uid_map", uid, &uf, &uc, e);

	if (rc > 0)
		rc = find_run("/proc/self/gid_map", gid, &gf, &gc, e);
	if (rc <= 0)
		return rc;
	if (plan_around(a, &l->uids, user->uid, uid, uf, uc) < 0 ||
	    plan_around(a, &l->gids, user->gid, gid, gf, gc) < 0)
		return err_num(e, ENOMEM, "id maps");
	l->map_writer = MAP_PARENT;
	l->own_id_mapped = true;
	l->deny_setgroups = plan_setgroups_is_denied();
	return 1;
}
