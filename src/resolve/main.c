/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun-resolver: reads the questions that apps send, so it has nothing but
 * them. Before the first one it gives up every capability, every file and every
 * system call beyond reading, answering and memory.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kern/allowlist.h"
#include "kern/caps.h"
#include "kern/landlock.h"
#include "model/lookup.h"
#include "resolve/serve.h"

static const uint16_t calls[] = {
	__NR_epoll_ctl, __NR_epoll_pwait, __NR_recvfrom, __NR_recvmsg, __NR_sendto, __NR_close,
	__NR_clock_gettime, __NR_gettimeofday, __NR_brk, __NR_munmap, __NR_mremap, __NR_madvise,
	__NR_futex, __NR_getrandom, __NR_getpid, __NR_gettid, __NR_tgkill, __NR_rt_sigprocmask,
	__NR_rt_sigreturn, __NR_restart_syscall, __NR_exit, __NR_exit_group, __NR_write,
#ifdef __x86_64__
	__NR_epoll_wait, __NR_time,
#endif
};

/* Memory, but never of instructions. */
static int confine(struct err *e)
{
	static const struct bpf_cond data = { .arg = 2,
					      .op = BPF_OP_MASKED_EQ,
					      .low32 = true,
					      .mask = 4 /* PROT_EXEC */,
					      .value = 0 };
	static const struct bpf_rule map = { .nr = __NR_mmap, .conds = &data, .n_conds = 1 };
	const struct landlock_wall wall = { .deny_tcp = true, .scope = true, .signals = true, .root_only = true, .root_fd = -1 };
	const struct cap_sets none = { 0 };
	int rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "confining the resolver");
	rc = caps_apply(&none, e);
	if (rc == 0)
		rc = landlock_enter(&wall, e);
	return rc == 0 ? allowlist_load(calls, sizeof calls / sizeof *calls, &map, 1, e) : rc;
}

int main(void)
{
	int type = 0, ep;
	socklen_t len = sizeof type;
	struct err e;
	int rc;

	if (getsockopt(LOOKUP_SOCK, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		(void)err_set(&e, EINVAL, "vrun-resolver is started by vrun, for names in its sandboxes");
		log_err(&e);
		return 125;
	}
	(void)prctl(PR_SET_NAME, "vrun-resolver", 0, 0, 0); /* started by a descriptor */
	(void)fcntl(LOOKUP_SOCK, F_SETFD, FD_CLOEXEC);
	ep = epoll_create1(EPOLL_CLOEXEC);
	rc = ep < 0 ? err_sys(&e, "epoll") : confine(&e);
	if (rc == 0)
		rc = resolve_serve(LOOKUP_SOCK, ep, &e);
	if (rc < 0)
		log_err(&e);
	return rc < 0 ? 125 : 0;
}
