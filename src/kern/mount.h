/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount API of descriptors (fsopen(2), open_tree(2), mount_setattr(2),
 * move_mount(2), all in Linux >= 5.12). A mount is made detached, given its
 * attributes while nobody can see it, and attached to a descriptor of the
 * place that was checked: there is no moment and no string to race with.
 */
#ifndef VRUN_KERN_MOUNT_H
#define VRUN_KERN_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * A new filesystem of `type`, detached. `data` holds n strings "key=value" or
 * "flag" (fsconfig(2)); `source` may be NULL. attrs: MOUNT_ATTR_*. What the
 * kernel writes into the filesystem context's log becomes the reason.
 */
int mount_new(const char *type, const char *source, const char *const *data, size_t n,
	      uint64_t attrs, int *ret_fd, struct err *e);

/* A detached copy of the mount at dirfd/path (path "" for dirfd itself), with what is mounted below
 * it when `recursive`. `name` is for messages. */
int mount_clone(int dirfd, const char *path, bool recursive, int *ret_fd, struct err *e,
		const char *name);

/* mount_setattr(2) on a mount's descriptor. `propagation`: MS_PRIVATE ..., 0 leaves it. userns_fd
 * with MOUNT_ATTR_IDMAP in `set`, else -1. 0 or -errno. */
int mount_change(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int userns_fd,
		 bool recursive);

/* Attaches a detached mount on top of what `target` (O_PATH) refers to. 0 or -errno. */
int mount_attach(int fd, int target);

#endif
