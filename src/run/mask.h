/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is covered once the mounts are in place: linux.maskedPaths,
 * linux.readonlyPaths, and vrun's own records and control sockets wherever a
 * part of the host is shown.
 */
#ifndef VRUN_RUN_MASK_H
#define VRUN_RUN_MASK_H

#include <sys/stat.h>

#include "run/launch.h"

/* Notes where the state directory lies, for mask_state(); refuses mounts of something in it. */
int mask_plan_state(struct launch *l, struct err *e);

/* Covers the state directory in a tree of the host's that has been attached. `tree` is its root as the
 * host has it, fd the mount that shows it. */
int mask_state(const struct launch *l, const struct stat *tree, int fd, struct err *e);

/* Covers masked paths and makes read-only ones read-only. l->mount_fds still has the proc and sysfs mounts. */
int mask_paths(const struct launch *l, int root, struct err *e);

#endif
