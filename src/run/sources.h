/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted from the host: the root filesystem, the overlay's directory
 * and the sources of bind mounts, opened as detached mounts. The monitor does
 * it for a root caller, whose container has ids that could not reach them;
 * else the container does, in its own mount namespace.
 */
#ifndef VRUN_RUN_SOURCES_H
#define VRUN_RUN_SOURCES_H

#include "run/launch.h"

/* Fills l->root_fd, l->overlay_fd and l->mount_fds. userns_fd: the container's user namespace, whose
 * map owners are shown through when l->idmap_sources; else -1. */
int sources_open(struct launch *l, int userns_fd, struct err *e);

/* Hands them over from monitor to container. */
int sources_send(const struct launch *l, int sock, struct err *e);
int sources_receive(struct launch *l, int sock);

/*
 * A descriptor of a new user namespace with these maps, for idmapped mounts.
 * The namespace lives as long as the descriptor. Needs privilege over the ids.
 */
int sources_userns(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct err *e);

#endif
