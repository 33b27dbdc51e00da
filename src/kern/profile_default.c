/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun's default profile, whole. Read it from top to bottom:
 *
 *   - what every app may call, by purpose;
 *   - what is shut (EPERM) unless the app keeps the capability it is for;
 *   - what is shut for everybody;
 *   - calls that are judged by their arguments.
 *
 * Everything else, so every call that a later kernel adds, is answered ENOSYS:
 * the app's libc falls back as on an older kernel.
 *
 * A call of a foreign architecture (int 0x80 in a 64-bit program) ends the
 * process with SIGSYS. No program tries that to find out: without 32-bit
 * support the kernel answers with a signal too. And ENOSYS would help nobody:
 * a 32-bit program cannot even exit with it. x32 calls are answered ENOSYS,
 * which is what kernels without x32 do, as Debian's by default.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/kernel.h"
#include "kern/profile.h"

#define CAP(name) (UINT64_C(1) << (CAP_##name))
#define EVERYBODY (UINT64_C(1) << 63) /* no capability has this number */
#define NOBODY UINT64_C(0)

/* --- open to every app --------------------------------------------------- */

/* Files and directories: what may be reached is the mount namespace's and the permissions' matter. */
static const uint16_t files[] = {
	__NR_read, __NR_write, __NR_readv, __NR_writev, __NR_pread64, __NR_pwrite64, __NR_preadv,
	__NR_pwritev, __NR_preadv2, __NR_pwritev2, __NR_lseek, __NR_close, __NR_close_range,
	__NR_dup, __NR_dup3, __NR_fcntl, __NR_flock, __NR_openat, __NR_openat2, __NR_getdents64,
	__NR_fstat, __NR_newfstatat, __NR_statx, __NR_statfs, __NR_fstatfs, __NR_faccessat,
	__NR_faccessat2, __NR_readlinkat, __NR_getcwd, __NR_chdir, __NR_fchdir, __NR_umask,
	__NR_mkdirat, __NR_mknodat, __NR_unlinkat, __NR_renameat, __NR_renameat2, __NR_linkat,
	__NR_symlinkat, __NR_fchmod, __NR_fchmodat, __NR_fchmodat2, __NR_fchown, __NR_fchownat,
	__NR_utimensat, __NR_truncate, __NR_ftruncate, __NR_fallocate, __NR_fsync, __NR_fdatasync,
	__NR_sync, __NR_syncfs, __NR_sync_file_range, __NR_fadvise64, __NR_readahead,
	__NR_cachestat, __NR_copy_file_range, __NR_sendfile, __NR_splice, __NR_tee, __NR_vmsplice,
	__NR_setxattr, __NR_lsetxattr, __NR_fsetxattr, __NR_getxattr, __NR_lgetxattr,
	__NR_fgetxattr, __NR_listxattr, __NR_llistxattr, __NR_flistxattr, __NR_removexattr,
	__NR_lremovexattr, __NR_fremovexattr, __NR_setxattrat, __NR_getxattrat, __NR_listxattrat,
	__NR_removexattrat, __NR_file_getattr, __NR_file_setattr, __NR_inotify_init1,
	__NR_inotify_add_watch, __NR_inotify_rm_watch, __NR_name_to_handle_at,
#ifdef __x86_64__
	__NR_open, __NR_creat, __NR_stat, __NR_lstat, __NR_access, __NR_readlink, __NR_getdents,
	__NR_dup2, __NR_mkdir, __NR_rmdir, __NR_mknod, __NR_link, __NR_unlink, __NR_symlink,
	__NR_rename, __NR_chmod, __NR_chown, __NR_lchown, __NR_utime, __NR_utimes,
	__NR_futimesat, __NR_inotify_init,
#endif
};

/* The mount table as /proc/self/mountinfo shows it, too; only of the app's own mount namespace. */
static const uint16_t mount_table[] = { __NR_statmount, __NR_listmount };

/* The kernel asks for CAP_SYS_CHROOT, and a changed root leads to nothing that is not mounted. */
static const uint16_t root_directory[] = { __NR_chroot };

/* Asynchronous file I/O, the old kind (databases, nginx). io_uring is below, among the doors. */
static const uint16_t aio[] = {
	__NR_io_setup, __NR_io_destroy, __NR_io_submit, __NR_io_cancel, __NR_io_getevents,
	__NR_io_pgetevents,
};

/* The process's own memory. */
static const uint16_t memory[] = {
	__NR_brk, __NR_mmap, __NR_munmap, __NR_mremap, __NR_mprotect, __NR_madvise, __NR_mincore,
	__NR_msync, __NR_mlock, __NR_mlock2, __NR_mlockall, __NR_munlock, __NR_munlockall,
	__NR_remap_file_pages, __NR_memfd_create, __NR_memfd_secret, __NR_membarrier,
	__NR_pkey_alloc, __NR_pkey_free, __NR_pkey_mprotect, __NR_mseal, __NR_map_shadow_stack,
};

/* Processes and threads. The pid namespace bounds whom they reach. clone: by its arguments, below. */
static const uint16_t processes[] = {
	__NR_execve, __NR_execveat, __NR_exit, __NR_exit_group, __NR_wait4, __NR_waitid,
	__NR_set_tid_address, __NR_restart_syscall, __NR_getpid, __NR_getppid, __NR_gettid,
	__NR_getpgid, __NR_setpgid, __NR_getsid, __NR_setsid, __NR_pidfd_open,
	__NR_process_mrelease, __NR_getrusage, __NR_prlimit64, __NR_getrlimit, __NR_setrlimit,
	__NR_getpriority, __NR_setpriority, __NR_ioprio_get, __NR_ioprio_set, __NR_getcpu,
	__NR_futex, __NR_futex_waitv, __NR_futex_wake, __NR_futex_wait, __NR_futex_requeue,
	__NR_set_robust_list, __NR_get_robust_list, __NR_rseq,
#ifdef __x86_64__
	__NR_fork, __NR_vfork, __NR_getpgrp, __NR_arch_prctl, __NR_set_thread_area,
	__NR_get_thread_area,
	/* probes put these two in the app's path; from elsewhere the kernel answers SIGILL */
	__NR_uretprobe, __NR_uprobe,
#endif
};

/* Scheduling: what is more than its own share needs CAP_SYS_NICE or a limit, as everywhere. */
static const uint16_t scheduling[] = {
	__NR_sched_yield, __NR_sched_getaffinity, __NR_sched_setaffinity, __NR_sched_getattr,
	__NR_sched_setattr, __NR_sched_getparam, __NR_sched_setparam, __NR_sched_getscheduler,
	__NR_sched_setscheduler, __NR_sched_get_priority_max, __NR_sched_get_priority_min,
	__NR_sched_rr_get_interval,
};

/* Users, groups, capabilities, and giving up rights (Landlock, LSM attributes). */
static const uint16_t identity[] = {
	__NR_getuid, __NR_geteuid, __NR_getgid, __NR_getegid, __NR_getresuid, __NR_getresgid,
	__NR_getgroups, __NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid,
	__NR_setresgid, __NR_setfsuid, __NR_setfsgid, __NR_setgroups, __NR_capget, __NR_capset,
	__NR_landlock_create_ruleset, __NR_landlock_add_rule, __NR_landlock_restrict_self,
	__NR_lsm_get_self_attr, __NR_lsm_set_self_attr, __NR_lsm_list_modules,
};

/* Signals, which the pid namespace bounds. */
static const uint16_t signals[] = {
	__NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_rt_sigpending,
	__NR_rt_sigtimedwait, __NR_rt_sigqueueinfo, __NR_rt_tgsigqueueinfo, __NR_rt_sigsuspend,
	__NR_sigaltstack, __NR_kill, __NR_tkill, __NR_tgkill, __NR_pidfd_send_signal,
	__NR_signalfd4,
#ifdef __x86_64__
	__NR_signalfd, __NR_pause,
#endif
};

/* Clocks and timers. Without CAP_SYS_TIME the two adj calls only read. */
static const uint16_t time_calls[] = {
	__NR_clock_gettime, __NR_clock_getres, __NR_clock_nanosleep, __NR_nanosleep,
	__NR_gettimeofday, __NR_times, __NR_adjtimex, __NR_clock_adjtime, __NR_getitimer,
	__NR_setitimer, __NR_timer_create, __NR_timer_settime, __NR_timer_gettime,
	__NR_timer_getoverrun, __NR_timer_delete, __NR_timerfd_create, __NR_timerfd_settime,
	__NR_timerfd_gettime,
#ifdef __x86_64__
	__NR_time, __NR_alarm,
#endif
};

/* Waiting for events. */
static const uint16_t polling[] = {
	__NR_ppoll, __NR_pselect6, __NR_epoll_create1, __NR_epoll_ctl, __NR_epoll_pwait,
	__NR_epoll_pwait2, __NR_eventfd2,
#ifdef __x86_64__
	__NR_poll, __NR_select, __NR_epoll_create, __NR_epoll_wait, __NR_eventfd,
	__NR_epoll_ctl_old, __NR_epoll_wait_old, /* never implemented */
#endif
};

/* Sockets once made. Which may be made is decided by socket's and socketpair's arguments, below. */
static const uint16_t sockets[] = {
	__NR_connect, __NR_bind, __NR_listen, __NR_accept, __NR_accept4, __NR_getsockname,
	__NR_getpeername, __NR_setsockopt, __NR_getsockopt, __NR_shutdown, __NR_sendto,
	__NR_sendmsg, __NR_sendmmsg, __NR_recvfrom, __NR_recvmsg, __NR_recvmmsg,
};

/* Pipes, System V and POSIX IPC: bounded by the ipc namespace (PostgreSQL needs shm and sem). */
static const uint16_t ipc[] = {
	__NR_pipe2, __NR_shmget, __NR_shmat, __NR_shmdt, __NR_shmctl, __NR_semget, __NR_semop,
	__NR_semtimedop, __NR_semctl, __NR_msgget, __NR_msgsnd, __NR_msgrcv, __NR_msgctl,
	__NR_mq_open, __NR_mq_unlink, __NR_mq_timedsend, __NR_mq_timedreceive, __NR_mq_notify,
	__NR_mq_getsetattr,
#ifdef __x86_64__
	__NR_pipe,
#endif
};

/* Facts about the system, and random numbers. */
static const uint16_t information[] = { __NR_uname, __NR_sysinfo, __NR_getrandom };

/* --- shut, but for the capability they are for --------------------------- */

/* Mounts, name spaces, quotas, host names. In its own user namespace an app with this may build
 * containers; with the host's it owns the machine anyway. clone and unshare are below. */
static const uint16_t administration[] = {
	__NR_mount, __NR_umount2, __NR_pivot_root, __NR_open_tree, __NR_move_mount, __NR_fsopen,
	__NR_fsconfig, __NR_fsmount, __NR_fspick, __NR_mount_setattr, __NR_open_tree_attr,
	__NR_setns, __NR_sethostname, __NR_setdomainname, __NR_swapon, __NR_swapoff,
	__NR_quotactl, __NR_quotactl_fd, __NR_fanotify_init, __NR_fanotify_mark,
	__NR_lookup_dcookie,
};

/* Another process's memory, registers and descriptors. */
static const uint16_t tracing[] = {
	__NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_process_madvise,
	__NR_pidfd_getfd, __NR_kcmp,
};

/* A file by its handle, past every directory's permissions (the "shocker" escape). */
static const uint16_t file_handles[] = { __NR_open_by_handle_at };

static const uint16_t process_accounting[] = { __NR_acct };
static const uint16_t kernel_log[] = { __NR_syslog };
static const uint16_t kernel_modules[] = { __NR_init_module, __NR_finit_module, __NR_delete_module };
static const uint16_t bpf_programs[] = { __NR_bpf };
static const uint16_t perf_events[] = { __NR_perf_event_open };
static const uint16_t restart[] = { __NR_reboot };
static const uint16_t setting_clocks[] = { __NR_clock_settime, __NR_settimeofday };
static const uint16_t terminals[] = { __NR_vhangup };

/* Where memory lies: own memory only, but much code in the kernel for few programs. EPERM is what
 * libnuma takes for a machine without NUMA. */
static const uint16_t numa[] = {
	__NR_mbind, __NR_set_mempolicy, __NR_get_mempolicy, __NR_set_mempolicy_home_node,
	__NR_migrate_pages, __NR_move_pages,
};

#ifdef __x86_64__
static const uint16_t io_ports[] = { __NR_iopl, __NR_ioperm };
#endif

/* --- shut for everybody -------------------------------------------------- */

/*
 * Doors that a capability does not excuse.
 * io_uring makes system calls that no filter sees. userfaultfd stops the
 * kernel, or a supervisor's copy, in the middle of a read. Keys are not
 * namespaced: they would be the host user's. kexec boots another kernel.
 */
static const uint16_t doors[] = {
	__NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register, __NR_userfaultfd,
	__NR_add_key, __NR_request_key, __NR_keyctl, __NR_kexec_load, __NR_kexec_file_load,
#ifdef __x86_64__
	__NR_modify_ldt, /* 16-bit segments: a door of the 32-bit world, with a history of holes */
#endif
};

/* What no kernel has any more, or ever had, and what only very old programs call. */
static const uint16_t obsolete[] = {
	__NR_nfsservctl,
#ifdef __x86_64__
	__NR_uselib, __NR_ustat, __NR_sysfs, __NR__sysctl, __NR_create_module,
	__NR_get_kernel_syms, __NR_query_module, __NR_getpmsg, __NR_putpmsg, __NR_afs_syscall,
	__NR_tuxcall, __NR_security, __NR_vserver,
#endif
};

struct group {
	uint64_t opened_by; /* one of these capabilities, or EVERYBODY, or NOBODY */
	unsigned n;
	const uint16_t *nr;
};

#define GROUP(who, list) { .opened_by = (who), .n = sizeof(list) / sizeof(list)[0], .nr = (list) }

static const struct group groups[] = {
	GROUP(EVERYBODY, files),
	GROUP(EVERYBODY, mount_table),
	GROUP(EVERYBODY, root_directory),
	GROUP(EVERYBODY, aio),
	GROUP(EVERYBODY, memory),
	GROUP(EVERYBODY, processes),
	GROUP(EVERYBODY, scheduling),
	GROUP(EVERYBODY, identity),
	GROUP(EVERYBODY, signals),
	GROUP(EVERYBODY, time_calls),
	GROUP(EVERYBODY, polling),
	GROUP(EVERYBODY, sockets),
	GROUP(EVERYBODY, ipc),
	GROUP(EVERYBODY, information),
	GROUP(CAP(SYS_ADMIN), administration),
	GROUP(CAP(SYS_PTRACE), tracing),
	GROUP(CAP(DAC_READ_SEARCH), file_handles),
	GROUP(CAP(SYS_PACCT), process_accounting),
	GROUP(CAP(SYSLOG) | CAP(SYS_ADMIN), kernel_log),
	GROUP(CAP(SYS_MODULE), kernel_modules),
	GROUP(CAP(BPF) | CAP(SYS_ADMIN), bpf_programs),
	GROUP(CAP(PERFMON) | CAP(SYS_ADMIN), perf_events),
	GROUP(CAP(SYS_BOOT), restart),
	GROUP(CAP(SYS_TIME), setting_clocks),
	GROUP(CAP(SYS_TTY_CONFIG), terminals),
	GROUP(CAP(SYS_NICE), numa),
#ifdef __x86_64__
	GROUP(CAP(SYS_RAWIO), io_ports),
#endif
	GROUP(NOBODY, doors),
	GROUP(NOBODY, obsolete),
};

/* --- judged by their arguments ------------------------------------------- */

#define ALLOW SECCOMP_RET_ALLOW
#define FAIL(num) (SECCOMP_RET_ERRNO | (num))

/* All of these compare the low half where the kernel takes an int. */
#define INT_IS(n, v) { .arg = (n), .op = BPF_OP_EQ, .low32 = true, .value = (v) }
#define INT_IS_NOT(n, v) { .arg = (n), .op = BPF_OP_NE, .low32 = true, .value = (v) }
#define INT_HAS(n, bits) { .arg = (n), .op = BPF_OP_MASKED_NE, .low32 = true, .mask = (bits) }
#define INT_PART_IS(n, bits, v) \
	{ .arg = (n), .op = BPF_OP_MASKED_EQ, .low32 = true, .mask = (bits), .value = (v) }
#define LONG_HAS(n, bits) { .arg = (n), .op = BPF_OP_MASKED_NE, .mask = (bits) }

#define IF(...)                                                                                    \
	.conds = (const struct bpf_cond[]){ __VA_ARGS__ },                                         \
	.n_conds = sizeof((const struct bpf_cond[]){ __VA_ARGS__ }) / sizeof(struct bpf_cond)

#define NO_NET (1U << PROFILE_NET_NONE)
#define SOME_NET (1U << PROFILE_NET_LOOPBACK | 1U << PROFILE_NET_HOST)

struct judged {
	uint16_t nr;
	uint16_t nets;   /* with these only; 0: with all */
	uint32_t action; /* when the conditions hold; the first entry that fits decides */
	uint64_t unless; /* left out when the app may hold one of these capabilities */
	uint64_t needs;  /* left out when it may hold none of these; 0: none is needed */
	const struct bpf_cond *conds;
	unsigned n_conds;
};

/* Every kind of new namespace that clone(2) makes. (Not time: 0x80 is part of the exit signal there.) */
#define NEW_NAMESPACES                                                                             \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

static const struct judged judged[] = {
	/*
	 * A new user namespace hands out every capability over a new set of
	 * kernel objects: most of the kernel's holes began there. The kernel
	 * takes clone's flags from the low half. clone3 keeps its flags in
	 * memory, where a filter cannot look, so it is not there at all and
	 * libc falls back to clone.
	 */
	{ .nr = __NR_clone, .unless = CAP(SYS_ADMIN), .action = FAIL(EPERM), IF(INT_HAS(0, NEW_NAMESPACES)) },
	{ .nr = __NR_clone, .action = ALLOW },
	{ .nr = __NR_clone3, .action = FAIL(ENOSYS) },
	/* A thread may stop sharing its descriptors, its directory and its semaphore undo list. */
	{ .nr = __NR_unshare, .unless = CAP(SYS_ADMIN), .action = FAIL(EPERM),
	  IF(LONG_HAS(0, ~(uint64_t)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM))) },
	{ .nr = __NR_unshare, .action = ALLOW },

	/*
	 * AF_UNIX reaches what is mounted and what shares the network
	 * namespace. NETLINK_ROUTE shows the namespace's own interfaces
	 * (getifaddrs, getaddrinfo); the other netlink families are large,
	 * little-tested parts of the kernel. AF_PACKET, AF_VSOCK, AF_ALG, ...:
	 * not there.
	 */
	{ .nr = __NR_socket, .action = ALLOW, IF(INT_IS(0, AF_UNIX)) },
	{ .nr = __NR_socket, .action = ALLOW, IF(INT_IS(0, AF_NETLINK), INT_IS(2, NETLINK_ROUTE)) },
	{ .nr = __NR_socket, .action = FAIL(EPROTONOSUPPORT), IF(INT_IS(0, AF_NETLINK)) },
	{ .nr = __NR_socket, .nets = NO_NET, .action = FAIL(EACCES), IF(INT_IS(0, AF_INET)) },
	{ .nr = __NR_socket, .nets = NO_NET, .action = FAIL(EACCES), IF(INT_IS(0, AF_INET6)) },
	{ .nr = __NR_socket, .nets = NO_NET, .action = FAIL(EAFNOSUPPORT) },
	{ .nr = __NR_socket, .nets = SOME_NET, .action = FAIL(EAFNOSUPPORT),
	  IF(INT_IS_NOT(0, AF_INET), INT_IS_NOT(0, AF_INET6)) },
	{ .nr = __NR_socket, .nets = SOME_NET, .needs = CAP(NET_RAW), .action = ALLOW,
	  IF(INT_PART_IS(1, 0xf, SOCK_RAW)) },
	/* Types above 3 (RDM, SEQPACKET, DCCP, PACKET), and 3, SOCK_RAW. The rest of the word is flags. */
	{ .nr = __NR_socket, .nets = SOME_NET, .action = FAIL(EPERM), IF(INT_HAS(1, 0xc)) },
	{ .nr = __NR_socket, .nets = SOME_NET, .action = FAIL(EPERM), IF(INT_PART_IS(1, 0x3, SOCK_RAW)) },
	/* By value: MPTCP would open subflows that nobody was asked about; SCTP, SMC, UDP-Lite ... */
	{ .nr = __NR_socket, .nets = SOME_NET, .action = ALLOW, IF(INT_IS(2, 0)) },
	{ .nr = __NR_socket, .nets = SOME_NET, .action = ALLOW, IF(INT_IS(2, IPPROTO_TCP)) },
	{ .nr = __NR_socket, .nets = SOME_NET, .action = ALLOW, IF(INT_IS(2, IPPROTO_UDP)) },
	{ .nr = __NR_socket, .nets = SOME_NET, .action = ALLOW, IF(INT_IS(2, IPPROTO_ICMP)) },
	{ .nr = __NR_socket, .nets = SOME_NET, .action = ALLOW, IF(INT_IS(2, IPPROTO_ICMPV6)) },
	{ .nr = __NR_socket, .nets = SOME_NET, .action = FAIL(EPROTONOSUPPORT) },
	{ .nr = __NR_socketpair, .action = ALLOW, IF(INT_IS(0, AF_UNIX)) },
	{ .nr = __NR_socketpair, .action = FAIL(EAFNOSUPPORT) },

	/*
	 * TIOCSTI types into the terminal that the caller of vrun reads from
	 * next, TIOCLINUX pastes there. TIOCCONS takes over the system console's
	 * output (unprivileged before 6.6). TIOCSETD loads line disciplines,
	 * modules with a history of holes.
	 */
	{ .nr = __NR_ioctl, .action = FAIL(EPERM), IF(INT_IS(1, TIOCSTI)) },
	{ .nr = __NR_ioctl, .action = FAIL(EPERM), IF(INT_IS(1, TIOCLINUX)) },
	{ .nr = __NR_ioctl, .action = FAIL(EPERM), IF(INT_IS(1, TIOCCONS)) },
	{ .nr = __NR_ioctl, .action = FAIL(EPERM), IF(INT_IS(1, TIOCSETD)) },
	{ .nr = __NR_ioctl, .action = ALLOW },

	/*
	 * PR_SET_MM rewrites what /proc says of the process: its program, its
	 * arguments. Audit records are read from there. It takes no capability
	 * (PR_SET_MM_MAP), and only checkpoint tools need it. All other options
	 * change the caller alone.
	 */
	{ .nr = __NR_prctl, .action = FAIL(EPERM), IF(INT_IS(0, PR_SET_MM)) },
	{ .nr = __NR_prctl, .action = ALLOW },

	/* Which values are harmless: the query, and uname's looks and address layout of the app itself. */
	{ .nr = __NR_personality, .action = ALLOW, IF(INT_IS(0, 0xffffffff)) },
	{ .nr = __NR_personality, .action = FAIL(EPERM),
	  IF(INT_HAS(0, ~(uint32_t)(PER_LINUX32 | UNAME26 | ADDR_NO_RANDOMIZE))) },
	{ .nr = __NR_personality, .action = ALLOW },

	/*
	 * Filters of the app's own only shut more. But a listener answers
	 * system calls, and the kernel keeps one for each process: it is the
	 * supervisor's.
	 */
	{ .nr = __NR_seccomp, .action = FAIL(EPERM), IF(INT_HAS(1, SECCOMP_FILTER_FLAG_NEW_LISTENER)) },
	{ .nr = __NR_seccomp, .action = ALLOW },
};

/* --- the table ----------------------------------------------------------- */

static int add_groups(uint64_t who, struct bpf_table *t)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
		const struct group *g = &groups[i];
		uint32_t action = g->opened_by & who ? ALLOW : FAIL(EPERM);

		for (unsigned j = 0; j < g->n && rc == 0; j++)
			rc = bpf_table_add(t, g->nr[j], action, NULL, 0);
	}
	return rc;
}

static int add_judged(const struct profile_params *p, struct bpf_table *t)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof judged / sizeof judged[0] && rc == 0; i++) {
		const struct judged *j = &judged[i];

		if (j->nets && !(j->nets & 1U << p->net))
			continue;
		if ((j->unless & p->caps) || (j->needs && !(j->needs & p->caps)))
			continue;
		rc = bpf_table_add(t, j->nr, j->action, j->conds, j->n_conds);
	}
	return rc;
}

int profile_default_table(const struct profile_params *p, struct bpf_table *ret, struct err *e)
{
	int rc = 0;

	if ((unsigned)p->net > PROFILE_NET_HOST)
		return err_set(e, EINVAL, "seccomp profile: no such kind of network (%d)", (int)p->net);
	ret->arch = BPF_NATIVE_ARCH;
	ret->foreign_action = SECCOMP_RET_KILL_PROCESS;
	ret->x32_action = FAIL(ENOSYS);
	ret->default_action = FAIL(ENOSYS);
	ret->n_rules = 0;
	for (size_t i = 0; i < p->n_extra && rc == 0; i++)
		rc = bpf_table_add(ret, p->extra[i].nr, p->extra[i].action, p->extra[i].conds,
				   p->extra[i].n_conds);
	if (rc == 0)
		rc = add_groups(p->caps | EVERYBODY, ret);
	if (rc == 0)
		rc = add_judged(p, ret);
	if (rc < 0)
		return err_set(e, E2BIG, "seccomp profile: too many extra rules (%zu)", p->n_extra);
	return 0;
}
