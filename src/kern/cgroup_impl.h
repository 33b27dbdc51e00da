/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cgroup files share among themselves. Others include kern/cgroup.h.
 *
 *   cgroup.c          what is asked for, prepare, enter, update
 *   cgroup_layout.c   which hierarchies there are
 *   cgroup_place.c    where the directories go, making them
 *   cgroup_v1.c _v2.c values into files
 *   cgroup_devices.c  device rules: v1 lists, v2 eBPF
 *   cgroup_systemd.c  a delegated scope from the service manager
 *   cgroup_life.c     freeze, kill, list, remove
 *   cgroup_stats.c    usage
 *   cgroup_state.c    to JSON and back
 */
#ifndef VRUN_KERN_CGROUP_IMPL_H
#define VRUN_KERN_CGROUP_IMPL_H

#include "base/arena.h"
#include "kern/cgroup.h"
#include "kern/cgroup_layout.h"

#define CGROUP_TEXT_MAX (256U << 10) /* bytes of a cgroup file that is read whole */

struct cgroup_dir {
	int fd; /* the directory, readable; -1 when it is gone */
	bool v2;
	bool made;            /* by vrun, which then removes it */
	unsigned above;       /* directories above it that were made on the way */
	unsigned controllers; /* CGROUP_BIT()s that are set through this directory */
	uint64_t inode;       /* tells it from a later one of the same name */
	const char *path;     /* absolute, as the caller sees it */
};

struct cgroup {
	struct arena arena; /* owns the strings */
	struct cgroup_dir dirs[CGROUP_HIER_MAX];
	size_t n;
	struct strlist left_out;
	const char *sysroot; /* "" outside tests */
};

/* One setting of limits under way. */
struct cgroup_apply {
	struct cgroup *cg;
	const struct bundle_resources *r;
	bool update; /* the app runs already */
	bool best_effort;
	unsigned failed; /* controllers that were refused as a whole, and said so */
	struct err *e;
};

/*
 * Something cannot be honoured. With best_effort: a line in left_out and 0.
 * Otherwise the error with its hint (NULL: none) and -num.
 */
int cgroup_refuse(struct cgroup_apply *a, int num, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Appends a line to left_out; out of memory is -ENOMEM. */
int cgroup_note(struct cgroup *cg, const char *text);

/* Writes a value to a file of the directory. 0 or -errno; says nothing. */
int cgroup_try(const struct cgroup_dir *d, const char *file, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As above; a failure is refused in the name of `key` ("memory.limit"). */
int cgroup_set(struct cgroup_apply *a, const struct cgroup_dir *d, const char *key,
	       const char *file, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Refuses for a failure that cgroup_try() returned. */
int cgroup_failed(struct cgroup_apply *a, int rc, const struct cgroup_dir *d, const char *key,
		  const char *file);

/* Reads a small file of a directory; the caller frees. 0 or -errno. */
int cgroup_read(int dirfd, const char *file, char **ret_text);

/* Whether processes live in it or below it: 1, 0, -errno. */
int cgroup_is_populated(int dirfd, bool v2);

/* Reads one number; "max" is UINT64_MAX. 0 or -errno. */
int cgroup_read_u64(int dirfd, const char *file, uint64_t *ret);

/* Whether the list, separated by spaces or newlines, has the word. */
bool cgroup_list_has(const char *list, const char *word);

/* The directory through which a controller is set, or NULL. */
const struct cgroup_dir *cgroup_dir_of(const struct cgroup *cg, enum cgroup_ctl ctl);
const struct cgroup_dir *cgroup_dir_v2(const struct cgroup *cg);

extern const char cgroup_hint_rights[];

/* --- cgroup_place.c --- */

struct cgroup_want {
	unsigned v1;         /* controllers to join on v1 */
	bool v2;             /* join v2 */
	unsigned ctl;        /* controllers to have enabled there */
	const char **extra;  /* more of them by name, from "unified" */
	size_t n_extra;
};

/* Makes one hierarchy's directory and adds it to a->cg. */
int cgroup_place(struct cgroup_apply *a, const struct cgroup_params *p,
		 const struct cgroup_hier *h, const struct cgroup_want *w);

/* Whether the caller's own v2 cgroup cannot serve for `w`, so that a scope has to be asked for. */
bool cgroup_needs_scope(const struct cgroup_params *p, const struct cgroup_hier *v2,
			const struct cgroup_want *w);

/* Whether the caller may hand controllers down from its own v2 cgroup, whose directory this is. */
bool cgroup_own_usable(int dirfd, const char *sysroot);

/* --- cgroup_v1.c, cgroup_v2.c: one function for each group of linux.resources --- */

typedef int cgroup_setter(struct cgroup_apply *a, const struct cgroup_dir *d);
cgroup_setter cgroup_v1_memory, cgroup_v2_memory;
cgroup_setter cgroup_v1_cpu, cgroup_v2_cpu;
cgroup_setter cgroup_v1_cpuset, cgroup_v2_cpuset;
cgroup_setter cgroup_v1_blkio, cgroup_v2_blkio;
cgroup_setter cgroup_v1_hugetlb, cgroup_v2_hugetlb;
cgroup_setter cgroup_v1_net_cls, cgroup_v1_net_prio;
cgroup_setter cgroup_set_pids, cgroup_set_rdma; /* the same files on both */
cgroup_setter cgroup_v2_unified;
cgroup_setter cgroup_v1_devices, cgroup_v2_devices;

/* Refuses keys that leave the directory, and files that are vrun's own to write. -EINVAL. */
int cgroup_check_unified(const struct bundle_resources *r, struct err *e);

/* "2MB" and the like: no path can be made of it. */
bool cgroup_page_size_ok(const char *text);

/* cpu.shares (2 to 262144) as cpu.weight (1 to 10000), and blkio weight (10 to 1000) as io.weight. */
uint64_t cgroup_weight_of_shares(uint64_t shares);
uint64_t cgroup_weight_of_blkio(uint64_t weight);

/* Swap alone (v2) from the spec's memory and swap together; -1: no limit. -EINVAL when they contradict. */
int cgroup_swap_of_total(const struct bundle_resources *r, int64_t *ret_swap);

/* --- cgroup_devices.c --- */

/* Whether the list allows no more than the default devices (and making nodes). */
bool cgroup_devices_only_default(const struct bundle_resources *r);

/* --- cgroup_systemd.c --- */

/*
 * Moves the calling process into a new scope with delegated controllers, from
 * the system's manager for root, the user's otherwise. Returns when it is
 * there. -ENOTSUP when no manager answers.
 */
int cgroup_systemd_scope(const struct cgroup_params *p, struct err *e);

/* Whether a manager is there to be asked. */
bool cgroup_systemd_runs(const char *sysroot);

/* Unit name and slice for cgroupsPath "SLICE:PREFIX:NAME" (or id alone); -EINVAL for another form. */
int cgroup_systemd_names(const struct cgroup_params *p, char *unit, size_t unit_size,
			 char *slice, size_t slice_size, struct err *e);

#endif
