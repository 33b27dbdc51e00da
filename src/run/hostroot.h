/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own files as a read-only root, for `vrun run -- CMD`.
 *
 * A read-only bind mount does not stop connect(2) to a socket that lies in it,
 * and sockets lie in many places. So the host is shown through overlayfs: its
 * inodes are overlayfs' own, and the kernel finds a bound socket, or a FIFO's
 * other end, by inode. What is seen of a host socket is a name that refuses
 * connections, today's and tomorrow's alike.
 *
 * overlayfs takes no directory with other mounts below it from a less
 * privileged namespace (that could show what they hide), and "/" always has
 * some. So the root is a tmpfs with the names of "/": each directory without
 * mounts below is one overlay; one that has some is made and looked into in
 * the same way. What belongs to the running system (/run, /home, /tmp ...) is
 * an empty directory.
 */
#ifndef VRUN_RUN_HOSTROOT_H
#define VRUN_RUN_HOSTROOT_H

#include <stdbool.h>

#include "run/launch.h"

/* Type of a mount that shows a directory of the host in this way. */
#define HOSTROOT_VIEW "vrun.view"

bool hostroot_is_view(const struct bundle_mount *m);

/* Opens what views show into l->mount_fds, before the new root covers some of it. */
int hostroot_open_views(struct launch *l, struct err *e);

/* Attaches the view of "/" at `scratch`. */
int hostroot_attach(struct launch *l, int scratch, int *ret_root, struct err *e);

/* In *fd what is to be shown; after success a detached view of it. A file is bound read-only as it is;
 * what is neither file nor directory could be talked to, and is refused. */
int hostroot_view(const struct bundle_mount *m, int *fd, struct err *e);

#endif
