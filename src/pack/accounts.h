/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The users and groups that a bundle knows. Of the host's passwd(5) and
 * group(5) only these lines are taken: root, nobody, the ids below 100 that
 * are the same on every system of a distribution, and those that something in
 * the bundle names: an owner, a service's user, --user. Never a password, a
 * person's name or a member who is not taken too.
 */
#ifndef VRUN_PACK_ACCOUNTS_H
#define VRUN_PACK_ACCOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "pack/host.h"
#include "pack/tree.h"

struct account_user {
	const char *name, *home, *shell;
	uid_t uid;
	gid_t gid;
	bool wanted;
};

struct account_group {
	const char *name;
	const char *members; /* comma-separated */
	gid_t gid;
	bool wanted;
};

struct accounts {
	struct arena arena;
	struct account_user *users;
	struct account_group *groups;
	size_t n_users, n_groups;
	bool has_nameless; /* one that only --user knows */
};

/* Reads /etc/passwd and /etc/group; missing files are empty ones. Damaged lines are passed over. */
int accounts_read(struct accounts *a, const struct host *h, struct err *e);
void accounts_fini(struct accounts *a);

/* From text, for tests and fuzzers. Either may be NULL. */
int accounts_parse(struct accounts *a, const char *passwd, const char *group, struct err *e);

const struct account_user *accounts_by_uid(const struct accounts *a, uid_t uid);
const struct account_user *accounts_by_name(const struct accounts *a, const char *name);

/*
 * "USER[:GROUP]", each a name or a number. The group defaults to the user's
 * own, for an unknown number to the same number. Both become wanted; an unknown
 * number becomes a user of its own, once. -ENOENT for an unknown name.
 */
int accounts_resolve(struct accounts *a, const char *text, uid_t *ret_uid, gid_t *ret_gid,
		     struct err *e);

void accounts_want_uid(struct accounts *a, uid_t uid);
void accounts_want_gid(struct accounts *a, gid_t gid);
void accounts_want_name(struct accounts *a, const char *user, const char *group); /* NULL: none */

/* Puts /etc/passwd and /etc/group into the tree, unless they are there. */
int accounts_add(const struct accounts *a, struct tree *t, struct err *e);

#endif
