/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cgroup hierarchies there are, where they are mounted, and where the
 * calling process is in each: /proc/self/cgroup and /proc/self/mountinfo
 * (cgroups(7), proc(5)). Handles v2 alone, v1 with controllers mounted singly
 * or together, v1 beside an (emptier) v2, mounts of a part of a hierarchy as
 * containers have them, and hierarchies that are mounted nowhere.
 */
#ifndef VRUN_KERN_CGROUP_LAYOUT_H
#define VRUN_KERN_CGROUP_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

/* Controllers that vrun knows, by bit. cgroup_ctl_name() has their names on v1 and v2. */
enum cgroup_ctl {
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_IO, /* "blkio" on v1 */
	CGROUP_DEVICES,
	CGROUP_FREEZER,
	CGROUP_HUGETLB,
	CGROUP_NET_CLS,
	CGROUP_NET_PRIO,
	CGROUP_RDMA,
	CGROUP_MISC,
	CGROUP_PERF_EVENT,
	CGROUP_CTLS
};
#define CGROUP_BIT(ctl) (1U << (ctl))

#define CGROUP_HIER_MAX 32

struct cgroup_hier {
	bool v2;
	unsigned controllers; /* v1: CGROUP_BIT()s; v2: 0, read cgroup.controllers */
	const char *names;    /* as in /proc/self/cgroup: "cpu,cpuacct", "name=systemd"; "" for v2 */
	const char *mount;    /* mount point; NULL: mounted nowhere */
	const char *own;      /* the caller's cgroup below the mount point, "/" or "/a/b";
			       * NULL: not visible there */
};

struct cgroup_layout {
	struct arena arena; /* owns the strings */
	struct cgroup_hier v[CGROUP_HIER_MAX];
	size_t n;
};

/* Reads both files below `sysroot` (NULL: the real ones). On success call cgroup_layout_fini(). */
int cgroup_layout_read(struct cgroup_layout *l, const char *sysroot, struct err *e);

/* As above from the files' texts, which are not kept. For tests and fuzzers. */
int cgroup_layout_parse(struct cgroup_layout *l, const char *self_cgroup, const char *mountinfo,
			struct err *e);

void cgroup_layout_fini(struct cgroup_layout *l);

/* The mounted v2 hierarchy, or NULL. */
const struct cgroup_hier *cgroup_layout_v2(const struct cgroup_layout *l);

/* The mounted v1 hierarchy with that controller, or NULL. */
const struct cgroup_hier *cgroup_layout_v1(const struct cgroup_layout *l, enum cgroup_ctl ctl);

/* Controllers that mounted v1 hierarchies have. 0 means a pure v2 system (or none at all). */
unsigned cgroup_layout_v1_controllers(const struct cgroup_layout *l);

/* "blkio" or "io"; NULL when that version has no such controller. */
const char *cgroup_ctl_name(enum cgroup_ctl ctl, bool v2);

/* Bits for a list of names with that separator; unknown ones are skipped. */
unsigned cgroup_ctl_parse(const char *names, char separator, bool v2);

#endif
