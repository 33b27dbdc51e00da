/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's configuration: config.json by the OCI runtime spec 1.2, read
 * into plain structs. Nothing here touches the system. Unknown properties are
 * ignored, as the spec demands; wrong types and impossible values are errors
 * with file, line and path.
 *
 * `vrun run -- CMD` fills the same struct without a file.
 *
 * Memory: every string and array belongs to the bundle's arena and lives until
 * bundle_fini(). Absent strings are NULL, absent arrays empty.
 */
#ifndef VRUN_MODEL_BUNDLE_H
#define VRUN_MODEL_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/json.h"

/* A list of strings, also usable as argv or envp: v[n] is NULL. */
struct strlist {
	const char **v;
	size_t n;
};

/* One line of a uid or gid map: `size` ids from `inside` (container) stand for as many from
 * `outside`. */
struct idmap_entry {
	uint32_t inside, outside, size;
};

struct idmap {
	struct idmap_entry *v;
	size_t n;
};

/*
 * The capability sets, as bit masks by capability number (capabilities(7)).
 * Effective is within permitted. Ambient may be more than the kernel grants
 * ("crun spec" writes such a set): what can be raised is what is in permitted
 * and inheritable too.
 */
struct cap_sets {
	bool given; /* process.capabilities is present; otherwise none are kept */
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

struct rlimit_entry {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

struct bundle_user {
	uint32_t uid, gid;
	bool has_umask;
	mode_t umask;
	const gid_t *groups;
	size_t n_groups;
};

/* process.scheduler, sched_setattr(2) */
struct bundle_scheduler {
	bool given;
	uint32_t policy;
	int32_t nice, priority;
	uint64_t flags, runtime, deadline, period; /* ns */
};

struct bundle_process {
	bool given; /* absent only for `create` without a process to start */
	bool terminal;
	unsigned short rows, columns; /* console size; 0: leave alone */
	struct bundle_user user;
	struct strlist args, env;
	const char *cwd; /* absolute */
	struct cap_sets caps;
	struct rlimit_entry *rlimits;
	size_t n_rlimits;
	bool no_new_privs;
	bool has_oom_score;
	int oom_score_adj;
	struct bundle_scheduler scheduler;
	bool has_ioprio;
	int ioprio; /* as ioprio_set(2) takes it: class and data */
	bool has_exec_affinity;
	const char *affinity_initial, *affinity_final; /* cpu lists */
	const char *apparmor, *selinux; /* profile and label to set at exec */
};

enum mount_idmap { MOUNT_IDMAP_NONE, MOUNT_IDMAP_PLAIN, MOUNT_IDMAP_RECURSIVE };

/* Option strings are taken apart here; what is left for the filesystem is in `data`. */
struct bundle_mount {
	const char *destination; /* absolute path inside the root */
	const char *type;        /* filesystem type; "bind" when the options say so */
	const char *source;      /* absolute for binds: relative ones are resolved against the bundle */
	bool bind, rbind;                      /* rbind: recursively, and then bind is set too */
	/* As mount_setattr(2) takes them: a bit is in one of set and clear or in neither, except
	 * for the access-time field, whose mask is in clear whenever an option chose a value. */
	uint64_t attr_set, attr_clear;         /* MOUNT_ATTR_*, this mount only */
	uint64_t rec_attr_set, rec_attr_clear; /* MOUNT_ATTR_*, recursively (rro, rnosuid ...) */
	unsigned long propagation;             /* MS_SHARED ... optionally with MS_REC; 0: leave */
	unsigned sb_flags;                     /* superblock switches, BUNDLE_SB_*; 0 for binds */
	bool remount;                          /* change what is mounted at destination */
	bool tmpcopyup;                        /* tmpfs: copy what lay there */
	bool optional;                         /* vrun's own lists only: what cannot be had is left out */
	bool own_files;                        /* vrun's own lists only: the source's owner becomes the app */
	struct strlist data;                   /* "key=value" or "flag" for fsconfig(2) */
	enum mount_idmap idmap;
	struct idmap uid_map, gid_map; /* with idmap; empty: the container's own maps */
};
#define BUNDLE_SB_RDONLY (1U << 0)
#define BUNDLE_SB_SYNC (1U << 1)
#define BUNDLE_SB_DIRSYNC (1U << 2)
#define BUNDLE_SB_LAZYTIME (1U << 3)
#define BUNDLE_SB_MAND (1U << 4) /* accepted; the kernel ignores it since 5.15 */
#define BUNDLE_SB_SILENT (1U << 5)
#define BUNDLE_SB_IVERSION (1U << 6)

/* Namespace kinds, in the order in which they are joined. */
enum ns_kind { NS_USER, NS_PID, NS_NET, NS_IPC, NS_UTS, NS_CGROUP, NS_TIME, NS_MNT, NS_KINDS };

struct bundle_ns {
	bool listed;      /* a new one, unless path is given */
	const char *path; /* join this one */
};

struct bundle_device {
	const char *path;
	char type; /* 'c', 'b', 'p' */
	uint32_t major, minor;
	mode_t mode; /* permission bits; default 0666 */
	uint32_t uid, gid;
};

struct bundle_device_rule {
	bool allow;
	char type;            /* 'a', 'c', 'b' */
	int64_t major, minor; /* -1: all */
	const char *access;   /* some of "rwm" */
};

struct bundle_weight_device {
	uint32_t major, minor;
	bool has_weight, has_leaf;
	uint16_t weight, leaf_weight;
};

struct bundle_throttle {
	uint32_t major, minor;
	uint64_t rate;
};

struct bundle_hugepage {
	const char *page_size;
	uint64_t limit;
};

struct bundle_rdma {
	const char *device;
	bool has_handles, has_objects;
	uint32_t handles, objects;
};

struct key_value {
	const char *key, *value;
};

enum throttle_kind {
	THROTTLE_READ_BPS,
	THROTTLE_WRITE_BPS,
	THROTTLE_READ_IOPS,
	THROTTLE_WRITE_IOPS,
	THROTTLE_KINDS
};

/*
 * linux.resources. A `has_` flag says that the value was given; -1 means
 * unlimited where the spec says so. Where 0 can only be an engine's way to say
 * "not set" (memory limits, shares, quota, periods, weights) it counts as absent.
 */
struct bundle_resources {
	struct bundle_device_rule *devices;
	size_t n_devices;
	int64_t mem_limit, mem_reservation, mem_swap, mem_kernel, mem_kernel_tcp;
	uint64_t swappiness;
	uint64_t cpu_shares, cpu_period, cpu_burst, rt_period;
	int64_t cpu_quota, rt_runtime, cpu_idle;
	const char *cpus, *mems; /* lists like "0-3,7" */
	int64_t pids_limit;
	struct bundle_weight_device *blkio_weights;
	size_t n_blkio_weights;
	struct bundle_throttle *throttle[THROTTLE_KINDS];
	size_t n_throttle[THROTTLE_KINDS];
	struct bundle_hugepage *hugepages;
	size_t n_hugepages;
	struct key_value *net_prios; /* interface, priority */
	size_t n_net_prios;
	struct bundle_rdma *rdma;
	size_t n_rdma;
	struct key_value *unified; /* cgroup v2 file and content */
	size_t n_unified;
	uint32_t net_class;
	uint16_t blkio_weight, blkio_leaf_weight;
	bool given;
	bool has_mem_limit, has_mem_reservation, has_mem_swap, has_mem_kernel, has_mem_kernel_tcp,
		has_swappiness, has_disable_oom, has_use_hierarchy, has_check_before_update;
	bool disable_oom, use_hierarchy, check_before_update;
	bool has_cpu_shares, has_cpu_quota, has_cpu_period, has_cpu_burst, has_rt_runtime,
		has_rt_period, has_cpu_idle;
	bool has_pids, has_blkio_weight, has_blkio_leaf, has_net_class;
};

/* linux.seccomp. Names stay names: kern/ resolves them. */
struct bundle_seccomp_arg {
	unsigned index; /* 0 to 5 */
	uint64_t value, value_two;
	const char *op; /* "SCMP_CMP_EQ" ... */
};

struct bundle_seccomp_rule {
	struct strlist names;
	const char *action; /* "SCMP_ACT_..." */
	bool has_errno;
	uint32_t errno_ret;
	struct bundle_seccomp_arg *args;
	size_t n_args;
};

struct bundle_seccomp {
	bool given;
	const char *default_action;
	bool has_default_errno;
	uint32_t default_errno;
	struct strlist architectures; /* "SCMP_ARCH_..." */
	struct strlist flags;         /* "SECCOMP_FILTER_FLAG_..." */
	const char *listener_path, *listener_metadata; /* the path is absolute */
	struct bundle_seccomp_rule *rules;
	size_t n_rules;
};

struct bundle_hook {
	const char *path;
	struct strlist args, env;
	int64_t timeout; /* seconds; 0: none */
};

enum hook_kind {
	HOOK_PRESTART,
	HOOK_CREATE_RUNTIME,
	HOOK_CREATE_CONTAINER,
	HOOK_START_CONTAINER,
	HOOK_POSTSTART,
	HOOK_POSTSTOP,
	HOOK_KINDS
};

struct bundle_hooks {
	struct bundle_hook *v[HOOK_KINDS];
	size_t n[HOOK_KINDS];
};

struct bundle {
	struct arena arena;
	const char *dir;         /* absolute path of the bundle; "" for `run -- CMD` */
	const char *oci_version; /* ociVersion */
	const char *hostname, *domainname;
	struct bundle_process process;
	const char *root_path; /* as written; relative to dir */
	bool root_readonly;
	struct bundle_mount *mounts;
	size_t n_mounts;
	struct bundle_hooks hooks;
	struct key_value *annotations;
	size_t n_annotations;
	/* linux */
	struct bundle_ns ns[NS_KINDS];
	struct idmap uid_map, gid_map;
	bool has_time_monotonic, has_time_boottime;
	int64_t time_monotonic_secs, time_boottime_secs;
	uint32_t time_monotonic_nsecs, time_boottime_nsecs;
	struct bundle_device *devices;
	size_t n_devices;
	const char *cgroups_path;
	struct bundle_resources resources;
	unsigned long root_propagation; /* MS_SHARED ... with MS_REC when the "r" form; 0: default */
	struct key_value *sysctl; /* path below /proc/sys ("net/ipv4/ip_forward") and value */
	size_t n_sysctl;
	struct bundle_seccomp seccomp;
	struct strlist masked_paths, readonly_paths;
	const char *mount_label;
	/* What is present, changes what a container is, and vrun does not implement
	 * ("linux.intelRdt", "vm", "the mount option remount" ...). A launch refuses any. */
	struct strlist unsupported;
	bool has_personality;
	unsigned long personality; /* PER_LINUX or PER_LINUX32 */
	/* Not from config.json: */
	bool host_root; /* `run -- CMD`: the root is a read-only view of the host's; root_path is unused */
};

/*
 * Reads DIR/config.json. `dir` may be relative; the bundle keeps its absolute
 * form. On success the caller calls bundle_fini(). Errors: -ENOENT with a hint
 * when there is no config.json, -EINVAL with file, line and path.
 * (runtime-spec 1.2, config.md and config-linux.md)
 */
int bundle_load(struct bundle *b, const char *dir, struct err *e);
/* The same, with the text of config.json, which the caller frees. */
int bundle_load_text(struct bundle *b, const char *dir, char **ret_text, struct err *e);

/* As above from a parsed document; `dir` must be absolute. For tests, fuzzers and `create`. */
int bundle_read(struct bundle *b, const char *dir, const struct json_doc *doc, struct err *e);

void bundle_fini(struct bundle *b);

/* Value of an annotation, or NULL. */
const char *bundle_annotation(const struct bundle *b, const char *key);

/*
 * The words of the spec that the reader knows, one by one: NULL behind the
 * last. Mount options that lie on the mount itself have a recursive form with
 * "r" in front, too.
 */
enum bundle_words { WORDS_CAPS, WORDS_MOUNT_ATTRS, WORDS_MOUNT_OTHERS, WORDS_ACTIONS, WORDS_OPERATORS, WORDS_ARCHS, WORDS_FILTER_FLAGS };
const char *bundle_word(enum bundle_words kind, size_t i);

/* "user", "pid", "network" ... as the spec writes them. Never NULL. */
const char *bundle_ns_name(enum ns_kind kind);

/*
 * Takes one mount's options apart into the struct (runtime-spec config.md,
 * "mount options"; mount(8)). Exposed for `vrun run --mount` and tests. `at`
 * is the option array's place for messages; options[i] is its element i. The
 * caller has set m->type (NULL: a bind without a type).
 */
int bundle_mount_options(struct bundle_mount *m, struct arena *arena, const struct jat *at,
			 struct err *e);

#endif
