/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of launch_plan(), each in a file of its own. */
#ifndef VRUN_RUN_PLAN_H
#define VRUN_RUN_PLAN_H

#include "run/launch.h"

/* Maps of the new user namespace and who writes them (ids_plan.c). */
int plan_ids(struct launch *l, struct err *e);

/* `inside` stands for `self`; the ids around it, 0 upwards, for first .. first+count-1. */
int plan_around(struct arena *a, struct idmap *map, uint32_t inside, uint32_t self, uint32_t first,
		uint32_t count);

/* Maps for its root. 1; 0 when it has no ids but its own (ids_nested.c). */
int plan_nested(struct launch *l, uint32_t uid, uint32_t gid, struct err *e);
/* In the caller's user namespace, and so in every one below it: that is never taken back (user_namespaces(7)). */
bool plan_setgroups_is_denied(void);

/* The caller's ranges of /etc/subuid and /etc/subgid and the helpers to use them. 1, 0 when there are none. */
int plan_find_subordinate(struct arena *a, uint32_t *ret_uid_first, uint32_t *ret_uid_count,
			  uint32_t *ret_gid_first, uint32_t *ret_gid_count, struct err *e);

/* The supervisor's user namespace, in which the container's is made: every id stands for itself. */
struct outer_ids {
	enum map_writer writer; /* MAP_NONE: there is none */
	bool deny_setgroups;
	struct idmap uids, gids; /* in the bundle's arena */
	bool change_id;          /* the supervisor takes on the id, as user and group */
	uint32_t id;
};

/* Wide enough for the container; a fabric's for all that the caller may have (ids_outer.c). */
int plan_outer_ids(const struct launch *l, struct outer_ids *ret, struct err *e);

/* The gateway stays in the caller's namespace: only change_id and id are filled. */
int plan_gateway_ids(const struct launch *l, struct outer_ids *ret, struct err *e);

#endif
