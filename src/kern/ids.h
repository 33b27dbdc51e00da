/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User and group id maps: subordinate ranges of /etc/subuid and /etc/subgid
 * (subuid(5)) and writing maps (user_namespaces(7), newuidmap(1)).
 */
#ifndef VRUN_KERN_IDS_H
#define VRUN_KERN_IDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "model/bundle.h"

/*
 * First range of at least `least` ids that /etc/subuid (uids) or /etc/subgid
 * gives to the user, who is named or numbered there. 1 found, 0 none, -errno.
 * `dirfd` is the directory that stands for /etc (AT_FDCWD with "/etc" is not
 * assumed: tests pass their own).
 */
int ids_find_subordinate(int etc_fd, bool gids, const char *user, uid_t uid, uint32_t least,
			 uint32_t *ret_first, uint32_t *ret_count, struct err *e);

/*
 * Reads a map as the kernel shows it (/proc/self/uid_map), up to `room` lines.
 * The number of lines, or -errno.
 */
int ids_read_map(const char *file, struct idmap_entry *ret, size_t room, struct err *e);

/* Writes /proc/PID/{uid,gid}_map directly, in one write each, as the kernel demands. With
 * `deny_setgroups` "deny" goes into /proc/PID/setgroups before the gid map. proc_pid_fd is a
 * descriptor of /proc/PID (or of /proc/self). */
int ids_write_maps(int proc_pid_fd, const struct idmap *uids, const struct idmap *gids,
		   bool deny_setgroups, struct err *e);

/* As above through the set-uid helpers newuidmap and newgidmap, both at the same time. */
int ids_run_helpers(pid_t pid, const struct idmap *uids, const struct idmap *gids, struct err *e);

/* The id in the parent namespace for an id inside, or -1 when the map has none. */
int64_t ids_to_outside(const struct idmap *map, uint32_t inside);

/* Whether our own user namespace has only some of the host's ids. */
bool ids_is_nested(void);

#endif
