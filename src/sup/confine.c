/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/confine.h"

#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <unistd.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "kern/allowlist.h"
#include "kern/caps.h"
#include "kern/filter.h"
#include "kern/mount.h"
#include "model/syscalls.h"

#define CAP(name) (UINT64_C(1) << (CAP_##name))

#define SUPERVISOR_CAPS (CAP(SYS_PTRACE) | CAP(KILL) | CAP(NET_ADMIN) | CAP(NET_BIND_SERVICE))
static const uint16_t supervisor_calls[] = {
	/* notifications, the loop, apps' memory and descriptors */
	__NR_ioctl, __NR_epoll_pwait, __NR_epoll_ctl, __NR_process_vm_readv, __NR_process_vm_writev,
	__NR_pidfd_open, __NR_pidfd_getfd, __NR_pidfd_send_signal, __NR_kcmp, __NR_kill,
	/* sockets; socket itself is below */
	__NR_bind, __NR_listen, __NR_accept4, __NR_connect, __NR_getsockname, __NR_getpeername,
	__NR_getsockopt, __NR_setsockopt, __NR_recvmsg, __NR_recvmmsg, __NR_recvfrom, __NR_sendto,
	__NR_shutdown, __NR_ppoll, __NR_socketpair, __NR_epoll_create1, __NR_dup3, __NR_pipe2, __NR_splice,
	__NR_sched_getaffinity,
	__NR_wait4, /* for the factory, at the end */
	/* policies, /proc, the audit stream */
	__NR_openat, __NR_openat2, __NR_read, __NR_preadv2, __NR_write, __NR_writev, __NR_lseek, __NR_getdents64, __NR_fstat,
	__NR_statx, __NR_newfstatat, __NR_readlinkat, __NR_close, __NR_close_range, __NR_fcntl, __NR_unlinkat,
	__NR_pread64,
	/* libc */
	__NR_brk, __NR_mmap, __NR_munmap, __NR_mremap, __NR_madvise, __NR_futex, __NR_getrandom,
	__NR_clock_gettime, __NR_gettimeofday, __NR_getpid, __NR_gettid, __NR_geteuid, __NR_exit,
	__NR_exit_group, __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_tgkill,
	__NR_restart_syscall,
#ifdef __x86_64__
	__NR_epoll_wait, __NR_poll, __NR_unlink, __NR_readlink, __NR_open, __NR_time,
#endif
};

/* Namespaces, interfaces, sockets in them; the resolver is started under this filter, and so is what starts it. */
#define FACTORY_CAPS (CAP(SYS_ADMIN) | CAP(NET_ADMIN) | CAP(NET_RAW) | CAP(NET_BIND_SERVICE))
/* To become an app whose user namespace is our own; in one below a porter has all it needs. */
#define PORTER_CAPS (CAP(SETUID) | CAP(SETGID) | CAP(SYS_CHROOT))
static const uint16_t factory_calls[] = {
	__NR_setns, __NR_bind, __NR_getsockname, __NR_getsockopt, __NR_setsockopt, __NR_socketpair,
	__NR_recvmsg, __NR_recvfrom, __NR_sendmsg, __NR_sendto, __NR_ppoll,
	__NR_clone, __NR_execveat, __NR_wait4, __NR_prctl, __NR_close_range, __NR_dup3, __NR_getppid,
	/* porters; what they have not in the app's user namespace they do not get */
	__NR_fchdir, __NR_chroot, __NR_umask, __NR_setgroups, __NR_setresgid, __NR_setresuid, __NR_connect, __NR_listen,
	/* the resolver's own start and work */
	__NR_capget, __NR_capset, __NR_epoll_create1, __NR_epoll_ctl, __NR_epoll_pwait, __NR_accept4,
	__NR_pread64, __NR_mprotect, __NR_set_tid_address, __NR_set_robust_list, __NR_prlimit64,
	__NR_ftruncate, /* scribes */
	__NR_faccessat, __NR_uname, __NR_sysinfo, __NR_sched_getaffinity, __NR_getuid, __NR_getgid,
	__NR_getegid, __NR_rseq, __NR_seccomp, __NR_landlock_create_ruleset, __NR_landlock_add_rule,
	__NR_landlock_restrict_self, __NR_sigaltstack, /* with sanitizers */
	/* files: /proc/self/ns/net, and the libraries of the resolver */
	__NR_openat, __NR_openat2, __NR_read, __NR_write, __NR_lseek, __NR_fstat, __NR_newfstatat,
	__NR_readlinkat, __NR_close, __NR_fcntl,
	/* libc */
	__NR_brk, __NR_mmap, __NR_munmap, __NR_mremap, __NR_madvise, __NR_futex, __NR_getrandom,
	__NR_clock_gettime, __NR_gettimeofday, __NR_getpid, __NR_gettid, __NR_geteuid, __NR_exit,
	__NR_exit_group, __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_tgkill,
	__NR_restart_syscall,
#ifdef __x86_64__
	__NR_epoll_wait, __NR_poll, __NR_readlink, __NR_open, __NR_access, __NR_stat, __NR_time,
	__NR_dup2, __NR_arch_prctl, __NR_fork, __NR_vfork,
#endif
};

#define IS(number, v) { .arg = (number), .low32 = true, .value = (v) }
#define NONE_OF(number, m) { .arg = (number), .op = BPF_OP_MASKED_EQ, .low32 = true, .mask = (m), .value = 0 }

static int give_up(uint64_t keep, struct err *e)
{
	const struct cap_sets sets = { .effective = keep, .permitted = keep };
	int rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "confining a process of vrun");
	rc = caps_limit_bounding(keep, e);
	return rc == 0 ? caps_apply(&sets, e) : rc;
}

int confine_files(struct err *e)
{
	static const char *const data[] = { "mode=0755", "size=16k" };
	const uint64_t attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	AUTO_FD int top = -1, proc = -1, place = -1, old = -1;
	int rc;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
	    (old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_sys(e, "mount namespace of the supervisor");
	rc = mount_new("tmpfs", "vrun", data, 2, attrs, &top, e);
	if (rc == 0)
		rc = mount_attach(top, old);
	if (rc < 0)
		return err_num(e, -rc, "file system of the supervisor");
	if (mkdirat(top, "proc", 0555) < 0 || (place = openat(top, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_sys(e, "file system of the supervisor");
	/* Refused where the host covers parts of its own: programs have no names in the log then. */
	if (mount_new("proc", "proc", NULL, 0, attrs, &proc, NULL) == 0 && mount_attach(proc, place) < 0)
		return err_set(e, EIO, "/proc of the supervisor");
	if (fchdir(top) < 0 || chroot(".") < 0)
		return err_sys(e, "file system of the supervisor");
	return 0;
}

int confine_supervisor(struct err *e)
{
	static const struct bpf_cond inet6 = IS(0, AF_INET6), wire = IS(0, AF_UNIX), sizes = IS(0, SECCOMP_GET_NOTIF_SIZES),
				     more = IS(0, SECCOMP_SET_MODE_FILTER); /* confine_guarded() */
	/* sendto begins connections in F by it (guard.h), until confine_guarded(). */
	static const struct bpf_cond slow_msg = NONE_OF(2, MSG_FASTOPEN);
	static const struct bpf_rule special[] = {
		{ .nr = __NR_sendmsg, .conds = &slow_msg, .n_conds = 1 },
		{ .nr = __NR_socket, .conds = &inet6, .n_conds = 1 },
		{ .nr = __NR_socket, .conds = &wire, .n_conds = 1 },
		{ .nr = __NR_seccomp, .conds = &sizes, .n_conds = 1 },
		{ .nr = __NR_seccomp, .conds = &more, .n_conds = 1 },
	};
	int rc = give_up(SUPERVISOR_CAPS & caps_effective(), e);

	return rc == 0 ? allowlist_load(supervisor_calls, sizeof supervisor_calls / sizeof *supervisor_calls,
					special, sizeof special / sizeof *special, e) :
			 rc;
}

int confine_factory(bool foreign, struct err *e)
{
	static const struct bpf_cond netlink[] = { IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE) };
	static const struct bpf_cond packet = IS(0, AF_PACKET);
	static const struct bpf_cond datagram[] = { IS(0, AF_INET),
						    { .arg = 1,
						      .op = BPF_OP_MASKED_EQ,
						      .low32 = true,
						      .mask = 0xf,
						      .value = SOCK_DGRAM } };
	static const struct bpf_cond network = IS(0, CLONE_NEWNET);
	static const struct bpf_rule special[] = {
		{ .nr = __NR_socket, .conds = netlink, .n_conds = 2 },
		{ .nr = __NR_socket, .conds = &packet, .n_conds = 1 },
		{ .nr = __NR_socket, .conds = datagram, .n_conds = 2 },
		{ .nr = __NR_unshare, .conds = &network, .n_conds = 1 },
	};
	int rc = give_up((foreign ? FACTORY_CAPS | PORTER_CAPS : FACTORY_CAPS) & caps_effective(), e);

	return rc == 0 ? allowlist_load(factory_calls, sizeof factory_calls / sizeof *factory_calls, special,
					sizeof special / sizeof *special, e) :
			 rc;
}

/*
 * On a connected socket some options lead packets elsewhere (IP_OPTIONS, IPV6_RTHDR). So those of IP and TCP
 * are left that an app may have, or its sockets in F.
 */
static bool may_set(int level, int option)
{
	return syscalls_option(0, true, level, option) != OPTION_SHUT ||
	       (level == IPPROTO_IP && option == IP_BIND_ADDRESS_NO_PORT) ||
	       (level == IPPROTO_IPV6 && option == IPV6_FREEBIND);
}

#define OPTIONS_END 256
#define RANGES_MAX 64

/* Neighbours that may be set, from *ret_lo on; false: there are none. */
static bool find_range(int level, int *ret_lo, int *ret_hi)
{
	while (*ret_lo < OPTIONS_END && !may_set(level, *ret_lo))
		++*ret_lo;
	for (*ret_hi = *ret_lo; may_set(level, *ret_hi + 1);)
		++*ret_hi;
	return *ret_lo < OPTIONS_END;
}

/* The table borrows the conditions. */
static int add_options(struct bpf_table *t)
{
	static const int levels[] = { IPPROTO_IP, IPPROTO_TCP, IPPROTO_IPV6 };
	static const struct bpf_cond device[] = { IS(1, SOL_SOCKET), IS(2, SO_BINDTODEVICE) },
				     interface[] = { IS(1, SOL_SOCKET), IS(2, SO_BINDTOIFINDEX) };
	static struct bpf_cond ranges[RANGES_MAX][3];
	size_t n = 0;
	int lo, hi, rc = bpf_table_add(t, __NR_setsockopt, SECCOMP_RET_ERRNO | EACCES, device, 2);

	if (rc == 0)
		rc = bpf_table_add(t, __NR_setsockopt, SECCOMP_RET_ERRNO | EACCES, interface, 2);
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		for (lo = 0; rc == 0 && n < RANGES_MAX && find_range(levels[i], &lo, &hi); lo = hi + 1, n++) {
			ranges[n][0] = (struct bpf_cond)IS(1, (unsigned)levels[i]);
			ranges[n][1] = (struct bpf_cond){ .arg = 2, .op = BPF_OP_GE, .low32 = true, .value = (unsigned)lo };
			ranges[n][2] = (struct bpf_cond){ .arg = 2, .op = BPF_OP_LE, .low32 = true, .value = (unsigned)hi };
			rc = bpf_table_add(t, __NR_setsockopt, SECCOMP_RET_ALLOW, ranges[n], 3);
		}
		if (rc == 0 && n == RANGES_MAX)
			rc = -E2BIG;
		if (rc == 0) {
			ranges[n][0] = (struct bpf_cond)IS(1, (unsigned)levels[i]);
			rc = bpf_table_add(t, __NR_setsockopt, SECCOMP_RET_ERRNO | EACCES, ranges[n++], 1);
		}
	}
	return rc;
}

/* Nothing else comes to its number: whatever makes descriptors takes one that is free. */
static int add_bell(struct bpf_table *t, int bell)
{
	static struct bpf_cond it, onto, range[2];
	int rc;

	if (bell < 0)
		return 0;
	it = (struct bpf_cond)IS(0, (unsigned)bell);
	onto = (struct bpf_cond)IS(1, (unsigned)bell);
	range[0] = (struct bpf_cond){ .arg = 0, .op = BPF_OP_LE, .low32 = true, .value = (unsigned)bell };
	range[1] = (struct bpf_cond){ .arg = 1, .op = BPF_OP_GE, .low32 = true, .value = (unsigned)bell };
	rc = bpf_table_add(t, __NR_connect, SECCOMP_RET_ALLOW, &it, 1);
	if (rc == 0)
		rc = bpf_table_add(t, __NR_close, SECCOMP_RET_ERRNO | EPERM, &it, 1);
	if (rc == 0)
		rc = bpf_table_add(t, __NR_dup3, SECCOMP_RET_ERRNO | EPERM, &onto, 1);
	return rc == 0 ? bpf_table_add(t, __NR_close_range, SECCOMP_RET_ERRNO | EPERM, range, 2) : rc;
}

int confine_guarded(int bell, struct err *e)
{
	static const struct bpf_cond address = { .arg = 2, .op = BPF_OP_GE, .low32 = true,
						 .value = CONFINE_ADDRESS_MIN };
	/* It sends the first bytes to any address, whatever else is said of connect. */
	static const struct bpf_cond fast = { .arg = 3, .op = BPF_OP_MASKED_NE, .low32 = true, .mask = MSG_FASTOPEN };
	AUTO_FREE struct bpf_table *t = calloc(1, sizeof *t);
	struct bpf_prog prog = { 0 };
	int rc;

	if (!t)
		return err_num(e, ENOMEM, "the supervisor's filter");
	t->arch = BPF_NATIVE_ARCH;
	t->foreign_action = t->x32_action = SECCOMP_RET_KILL_PROCESS;
	t->default_action = SECCOMP_RET_ALLOW;
	rc = add_bell(t, bell);
	if (rc == 0)
		rc = bpf_table_add(t, __NR_connect, SECCOMP_RET_ERRNO | EACCES, &address, 1);
	if (rc == 0)
		rc = bpf_table_add(t, __NR_listen, SECCOMP_RET_ERRNO | EACCES, NULL, 0);
	if (rc == 0)
		rc = bpf_table_add(t, __NR_sendto, SECCOMP_RET_ERRNO | EACCES, &fast, 1);
	if (rc == 0)
		rc = add_options(t);
	if (rc < 0)
		return err_num(e, -rc, "the supervisor's filter");
	rc = bpf_compile(t, &prog, e);
	if (rc == 0)
		rc = filter_load(&prog, 0, NULL, e);
	bpf_prog_fini(&prog);
	return rc;
}

int confine_scribe(struct err *e)
{
	static const uint16_t calls[] = { __NR_recvfrom, __NR_sendto, __NR_write, __NR_ftruncate, __NR_exit, __NR_exit_group,
					  __NR_rt_sigreturn, __NR_restart_syscall };
	const struct cap_sets none = { 0 };
	int rc = caps_apply(&none, e); /* the rest was given up by the factory */

	return rc == 0 ? allowlist_load(calls, sizeof calls / sizeof *calls, NULL, 0, e) : rc;
}

int confine_guard(struct err *e)
{
	static const uint16_t calls[] = { __NR_connect, __NR_sendto, __NR_listen, __NR_getsockopt, __NR_recvmsg, __NR_close,
					  __NR_exit, __NR_exit_group, __NR_rt_sigreturn, __NR_restart_syscall };
	static const struct bpf_cond slow = NONE_OF(2, MSG_FASTOPEN);
	static const struct bpf_rule special[] = { { .nr = __NR_sendmsg, .conds = &slow, .n_conds = 1 } };
	int rc = give_up(0, e);

	return rc == 0 ? allowlist_load(calls, sizeof calls / sizeof *calls, special, 1, e) : rc;
}
