/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host gives, found by trying. Every try that could leave something
 * behind, or that a filter above us could punish with death, happens in a child
 * that ends at once; what it made ends with it. Nothing is judged here: that is
 * run/doctor.
 */
#ifndef VRUN_KERN_PROBE_H
#define VRUN_KERN_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "kern/filter.h"
#include "model/bundle.h"

/* The result of one try: 0 it worked, an errno number why not, or one of these. */
#define PROBE_UNTRIED (-1)       /* something it builds on failed */
#define PROBE_KILLED(sig) (-1000 - (sig)) /* the child died of the signal; SIGSYS: a filter */
#define PROBE_TIMEOUT (-2)

/*
 * Runs fn in a child with `arg`, a block of `size` bytes that is shared with it
 * and copied back. The result is fn's (0 or an errno number) or a PROBE_ value.
 * A child that takes longer than two seconds is killed.
 */
int probe_run(int (*fn)(void *arg), void *arg, size_t size);

#define PROBE_ABSENT INT64_MIN /* a switch that this kernel does not have */
#define PROBE_TEXT 256

/* The same for everybody on this host. */
struct probe_host {
	char release[66];
	unsigned major, minor; /* of the kernel */
	/* sysctls; PROBE_ABSENT when there is no such file */
	int64_t userns_clone;        /* kernel.unprivileged_userns_clone (Debian) */
	int64_t apparmor_userns;     /* kernel.apparmor_restrict_unprivileged_userns (Ubuntu) */
	int64_t max_ns[NS_KINDS];    /* user.max_*_namespaces, of our own user namespace */
	int64_t yama_ptrace;         /* kernel.yama.ptrace_scope */
	int64_t legacy_tiocsti;      /* dev.tty.legacy_tiocsti */
	int64_t io_uring_disabled;   /* kernel.io_uring_disabled */
	int64_t selinux_enforcing;   /* /sys/fs/selinux/enforce */
	int64_t selinux_deny_ptrace; /* the boolean of Fedora's policy */
	char core_pattern[PROBE_TEXT];
	bool systemd;  /* it is the service manager here */
	bool filtered; /* a system-call filter is in force above us */
	/* what a system call or option answered */
	int openat2, close_range, mount_api, pidfd_thread, passrights;
	int landlock_abi; /* 0: none */
};

/* `sysroot` (NULL: none) stands before the paths of files that are read. */
int probe_host(struct probe_host *ret, const char *sysroot, struct err *e);

/* Name of a sysctl under user.max_*_namespaces: "user", "pid", "mnt" ... */
const char *probe_max_ns_name(enum ns_kind kind);

enum probe_paths { PROBE_PATH_ROOT, PROBE_PATH_CWD, PROBE_PATH_TMP, PROBE_PATHS };

struct probe_cgroup {
	char layout[16];         /* "v2", "v1", "v1 and v2", "none" */
	char path[PROBE_TEXT];   /* the user's own cgroup, below the mount point; "" unknown */
	int make;                /* making one below it */
	char controllers[PROBE_TEXT]; /* that could be limited there, e.g. "cpu memory pids" */
	bool arrangeable;        /* its processes may be moved to make room (v2) */
	bool manager;            /* a systemd that would make a scope for this user answers */
	char manager_controllers[PROBE_TEXT]; /* what such a scope gets; "" unknown */
};

/* For one user. */
struct probe_user {
	uid_t uid;
	gid_t gid;
	char name[64]; /* "" unknown */
	int become;    /* taking on the user's ids, when the caller is another */
	uint64_t ids;  /* how many uids our own user namespace has: 2^32 - 1 on a host */
	/* a user namespace, a map in it, and the other kinds and mounts inside */
	int user_ns, map;
	int ns[NS_KINDS]; /* but NS_USER */
	int mount_tmpfs, mount_proc, mount_overlay;
	int veth;                  /* a pair of interfaces */
	int steal_fd, read_memory; /* pidfd_getfd(2), process_vm_readv(2) on a process in it */
	int idmap[PROBE_PATHS];    /* idmapped mounts; root only, else PROBE_UNTRIED */
	/* subordinate ids */
	uint32_t sub_uids, sub_gids; /* how many */
	uint32_t sub_free;           /* first id behind all ranges that are given out */
	int helper_uid, helper_gid;  /* newuidmap, newgidmap: 0, ENOENT, or EPERM: neither set-uid nor capable */
	int helper_map;              /* mapping the range with them */
	struct filter_features filter;
	int filter_addfd, filter_addfd_send; /* ioctls on a listener */
	struct probe_cgroup cgroup;
	uint64_t nofile_soft, nofile_hard;
};

/*
 * Fills all but uid, gid and name, which are set. Root may ask for other users:
 * the tries are made with their ids, without supplementary groups.
 */
int probe_user(struct probe_user *u, struct err *e);

/*
 * Parts of it, in files of their own. They are called in a child that has the
 * user's ids, with `u` in memory that children share.
 */
void probe_namespaces(struct probe_user *u);          /* probe_ns.c: user_ns to read_memory, idmap */
void probe_idmaps(struct probe_user *u, int userns);  /* probe_ids.c: with a mapped user namespace */
void probe_subids(struct probe_user *u);              /* probe_ids.c */
void probe_limits(struct probe_user *u);              /* probe_limits.c: cgroup, nofile */

#endif
