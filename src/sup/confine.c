/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/confine.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "kern/bpf.h"
#include "kern/caps.h"
#include "kern/filter.h"

#define CAP(name) (UINT64_C(1) << (CAP_##name))
#define KEPT (CAP(SYS_PTRACE) | CAP(NET_ADMIN) | CAP(NET_BIND_SERVICE))

static const uint16_t allowed[] = {
	/* notifications, the loop, apps' memory and descriptors */
	__NR_ioctl, __NR_epoll_pwait, __NR_epoll_ctl, __NR_process_vm_readv, __NR_process_vm_writev,
	__NR_pidfd_open, __NR_pidfd_getfd, __NR_kcmp, __NR_kill,
	/* sockets; socket itself is below */
	__NR_bind, __NR_listen, __NR_accept4, __NR_connect, __NR_getsockname, __NR_getpeername,
	__NR_getsockopt, __NR_setsockopt, __NR_recvmsg, __NR_recvfrom, __NR_sendto, __NR_sendmsg,
	__NR_ppoll,
	/* policies, /proc, the audit stream */
	__NR_openat, __NR_openat2, __NR_read, __NR_write, __NR_writev, __NR_lseek, __NR_fstat,
	__NR_newfstatat, __NR_readlinkat, __NR_close, __NR_fcntl, __NR_unlinkat,
	/* libc */
	__NR_brk, __NR_mmap, __NR_munmap, __NR_mremap, __NR_madvise, __NR_futex, __NR_getrandom,
	__NR_clock_gettime, __NR_gettimeofday, __NR_getpid, __NR_gettid, __NR_geteuid, __NR_exit,
	__NR_exit_group, __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_tgkill,
	__NR_restart_syscall,
#ifdef __x86_64__
	__NR_epoll_wait, __NR_poll, __NR_unlink, __NR_readlink, __NR_open, __NR_time,
#endif
};

#define DENY (SECCOMP_RET_ERRNO | EPERM)

static int load(struct err *e)
{
	static const struct bpf_cond inet6 = { .arg = 0, .low32 = true, .value = AF_INET6 };
	static const struct bpf_cond sizes = { .arg = 0, .low32 = true, .value = SECCOMP_GET_NOTIF_SIZES };
	AUTO_FREE struct bpf_table *t = calloc(1, sizeof *t);
	struct bpf_prog prog = { 0 };
	int rc = 0;

	if (!t)
		return err_num(e, ENOMEM, "the supervisor's filter");
	t->arch = BPF_NATIVE_ARCH;
	t->foreign_action = SECCOMP_RET_KILL_PROCESS;
	t->x32_action = SECCOMP_RET_KILL_PROCESS;
	t->default_action = DENY;
	for (size_t i = 0; i < sizeof allowed / sizeof *allowed && rc == 0; i++)
		rc = bpf_table_add(t, allowed[i], SECCOMP_RET_ALLOW, NULL, 0);
	if (rc == 0)
		rc = bpf_table_add(t, __NR_socket, SECCOMP_RET_ALLOW, &inet6, 1);
	if (rc == 0)
		rc = bpf_table_add(t, __NR_seccomp, SECCOMP_RET_ALLOW, &sizes, 1);
	if (rc < 0)
		return err_num(e, -rc, "the supervisor's filter");
	rc = bpf_compile(t, &prog, e);
	if (rc == 0)
		rc = filter_load(&prog, 0, NULL, e);
	bpf_prog_fini(&prog);
	return rc;
}

int confine_supervisor(struct err *e)
{
	uint64_t keep = KEPT & caps_effective();
	const struct cap_sets sets = { .effective = keep, .permitted = keep };
	int rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "confining the supervisor");
	rc = caps_limit_bounding(keep, e);
	if (rc == 0)
		rc = caps_apply(&sets, e);
	return rc == 0 ? load(e) : rc;
}
