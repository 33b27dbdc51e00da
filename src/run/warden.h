/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The warden: a fork of the monitor that removes the directories of a cgroup
 * should the monitor be killed before there is a keeper to do it.
 *
 * Cgroups are made before the first clone, so that what the host does not give
 * is refused before anything runs; the keeper comes after it. The warden is
 * told of each directory before it is made, is out of the caller's process
 * group like the keeper, and ends when the keeper has taken over. It is not
 * there for a run that makes no directory.
 */
#ifndef VRUN_RUN_WARDEN_H
#define VRUN_RUN_WARDEN_H

#include <sys/types.h>

struct warden {
	pid_t pid; /* 0: not started */
	int sock;
};

/* For cgroup_params: starts the warden when there is none, and tells it of a directory. 0 or -errno. */
int warden_announce(void *warden, const char *path);

/* Somebody else is in charge now, or all has been removed: the warden ends. */
void warden_release(struct warden *w);

#endif
