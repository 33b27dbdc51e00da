/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's mount of type "cgroup": the container's own part of each hierarchy (cgroup_namespaces(7)). */
#ifndef VRUN_RUN_CGROUP_MOUNT_H
#define VRUN_RUN_CGROUP_MOUNT_H

#include "base/err.h"
#include "model/bundle.h"

/*
 * On a system with cgroup v2 alone that hierarchy; else a tmpfs with one
 * directory for each hierarchy, named as on the host. The caller is in
 * the container's own cgroup namespace, or the app would see the host's tree.
 */
int cgroup_mount(int root, const struct bundle_mount *m, struct err *e);

#endif
