/* SPDX-License-Identifier: Apache-2.0 */
/* The app's root, built in the container's own mount namespace. */
#ifndef VRUN_RUN_ROOTFS_H
#define VRUN_RUN_ROOTFS_H

#include "run/launch.h"

/*
 * Builds root, mounts, /dev, masks and makes it "/". With process.terminal the
 * controlling side of a new terminal goes to *ret_terminal and the app's side
 * to *ret_tty (both -1 otherwise). Everything of the host's mounts is gone
 * from the namespace afterwards.
 */
int rootfs_enter(struct launch *l, int sync, int *ret_terminal, int *ret_tty, struct err *e);

#endif
