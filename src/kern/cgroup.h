/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups: an OCI bundle's linux.resources made real, on cgroup v2, v1
 * and mixtures of both.
 *
 * Life of one:
 *
 *	cgroup_prepare()         decides where, makes the directories, sets limits
 *	clone3(CLONE_INTO_CGROUP, cgroup_clone_fd()) and, or only, cgroup_enter()
 *	cgroup_freeze() ... cgroup_update() ... cgroup_kill()
 *	cgroup_destroy()         removes the directories
 *	cgroup_free()            forgets them
 *
 * A run that asks for nothing gets a NULL `struct cgroup`, which costs no
 * system call; every function here accepts NULL and then does nothing.
 *
 * The app enters before it makes its cgroup namespace, so that the namespace's
 * root is the container's own directory.
 *
 * Where the directory lies:
 *   cgroupsPath "/a/b"        below the mount point of each hierarchy
 *   cgroupsPath "a/b"         below the caller's own cgroup
 *   none                      "vrun-ID" below the caller's own cgroup
 *   systemd                   "vrun-ID" below a scope that the service manager
 *                             makes; cgroupsPath "SLICE:PREFIX:NAME" names it
 * On v2 a cgroup with processes cannot hand controllers to its children. When
 * the caller's own one is delegated, its processes are moved one level down,
 * into "vrun.launcher". When it is not delegated and systemd runs, a delegated
 * scope is asked for. That happens only when a limit needs a controller.
 *
 * What follows: Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst,
 * cgroups(7), runtime-spec config-linux.md "Control groups".
 */
#ifndef VRUN_KERN_CGROUP_H
#define VRUN_KERN_CGROUP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "model/bundle.h"

struct cgroup;

struct cgroup_params {
	const struct bundle_resources *resources; /* NULL: none */
	const char *path;      /* linux.cgroupsPath; NULL: vrun's choice */
	const char *id;        /* the container's; names the default directory */
	bool systemd;          /* let the service manager make a scope */
	bool every_controller; /* join all, also those without a limit: later update and stats */
	bool best_effort;      /* note what cannot be honoured and go on */
	/*
	 * The launcher itself keeps device nodes away: the app is in a user
	 * namespace of its own (where mknod(2) of devices is refused) and all
	 * its mounts but the default nodes are nodev. Then a device list that
	 * allows no more than the default devices asks for nothing that is not
	 * there already, and is not counted as a request. Other lists are.
	 */
	bool devices_closed;
	/* Called with the path of each directory that is not there, before it is made, so that somebody
	 * else can remove it should we be killed. -errno stops the making. NULL: not called. */
	int (*announce)(void *arg, const char *path);
	void *announce_arg;
	const char *sysroot; /* tests only: a directory that stands for "/"; NULL otherwise */
};

/*
 * Makes the cgroup and sets its limits. *ret is NULL when the bundle asks for
 * nothing. -EACCES, -ENOTSUP, -EEXIST (a container of that id lives),
 * -EINVAL and what the kernel answered, with the key at fault and a remedy; no
 * directory is left behind then. With best_effort these become lines in
 * cgroup_left_out(); malformed paths and ids still are errors.
 */
int cgroup_prepare(struct cgroup **ret, const struct cgroup_params *p, struct err *e);

/* What best_effort had to leave out, one sentence each. Never NULL; lives as long as cg. */
const struct strlist *cgroup_left_out(const struct cgroup *cg);

/* The v2 directory for clone3(CLONE_INTO_CGROUP), -1 when there is none. Owned by cg. */
int cgroup_clone_fd(const struct cgroup *cg);

/* Moves a process (with all its threads) in. `cloned`: it was born into cgroup_clone_fd() already. */
int cgroup_enter(struct cgroup *cg, pid_t pid, bool cloned, struct err *e);

/*
 * v2 only, nothing on v1 (which is not safe to delegate): hands the directory
 * to the container's root (host ids), as the spec wants when the app mounts
 * cgroup writable in a cgroup namespace of its own. Bounds what it may nest.
 */
int cgroup_delegate(struct cgroup *cg, uid_t uid, gid_t gid, struct err *e);

/* Return when all is frozen (thawed). -ETIMEDOUT after 10 s. -ENOTSUP without a freezer. */
int cgroup_freeze(struct cgroup *cg, struct err *e);
int cgroup_thaw(struct cgroup *cg, struct err *e);
int cgroup_frozen(struct cgroup *cg, bool *ret_frozen, struct err *e);

/* SIGKILL to all in it, nested cgroups included, also when frozen. Does not wait for their end. */
int cgroup_kill(struct cgroup *cg, struct err *e);

/* The processes in it, nested cgroups included, in the caller's pid namespace. The caller frees. */
int cgroup_pids(struct cgroup *cg, pid_t **ret_pids, size_t *ret_n, struct err *e);

/* Sets the limits that r gives, in an order that also works when they shrink. Others stay. */
int cgroup_update(struct cgroup *cg, const struct bundle_resources *r, struct err *e);

/*
 * Removes the directories that cgroup_prepare() made, with what the app nested
 * in them, waiting up to timeout_ms for processes that are dying. -EBUSY when
 * some live on. Directories that were there before stay. cg remains valid, so
 * that it can be tried again; after success a second call does nothing.
 */
int cgroup_destroy(struct cgroup *cg, unsigned timeout_ms, struct err *e);

void cgroup_free(struct cgroup **cg);

/*
 * A JSON object with the directories, for a state file or a keeper process. A
 * new reference; NULL when memory runs out; JSON null for a NULL cg.
 */
json_t *cgroup_save(const struct cgroup *cg);

/*
 * The reverse. Directories that are gone, or are others of the same name by
 * now, are not an error: they are left alone. -EINVAL for a damaged object.
 * `sysroot` as in cgroup_params.
 */
int cgroup_restore(struct cgroup **ret, const struct jat *at, const char *sysroot, struct err *e);

/* Usage, for `events`. A number is valid when its group's flag is set; limits: UINT64_MAX is none. */
struct cgroup_io_stats {
	uint32_t major, minor;
	uint64_t read_bytes, write_bytes, read_ops, write_ops;
};

struct cgroup_stats {
	bool has_cpu, has_throttling, has_memory, has_swap, has_pids;
	uint64_t cpu_ns, cpu_user_ns, cpu_system_ns;
	uint64_t periods, throttled_periods, throttled_ns;
	uint64_t memory, memory_peak, memory_limit; /* bytes; peak 0 where the kernel does not keep it */
	uint64_t memory_failures;                   /* times the limit was hit */
	uint64_t oom_kills;
	uint64_t swap, swap_limit; /* bytes of swap alone (v2) or memory and swap (v1), as configured */
	uint64_t pids, pids_limit;
	struct cgroup_io_stats *io; /* freed by cgroup_stats_fini() */
	size_t n_io;
};

int cgroup_stats(struct cgroup *cg, struct cgroup_stats *ret, struct err *e);
void cgroup_stats_fini(struct cgroup_stats *s);

#endif
