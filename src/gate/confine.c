/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"
#include "kern/allowlist.h"
#include "kern/caps.h"
#include "kern/landlock.h"

#define CAP_NR_NET_BIND_SERVICE 10
#define MEMORY_MAX (UINT64_C(1) << 30)

static const uint16_t calls[] = {
	/* the loop, sockets; socket itself is below */
	__NR_epoll_ctl, __NR_epoll_pwait, __NR_ppoll, __NR_connect, __NR_bind, __NR_listen, __NR_accept4,
	__NR_getsockname, __NR_getpeername, __NR_getsockopt, __NR_setsockopt, __NR_socketpair,
	__NR_recvfrom, __NR_recvmsg, __NR_sendto, __NR_sendmsg, __NR_shutdown, __NR_ioctl,
	/* resolv.conf, hosts; open itself is below */
	__NR_read, __NR_lseek, __NR_fstat, __NR_newfstatat, __NR_faccessat, __NR_close, __NR_fcntl, __NR_uname,
	/* libc */
	__NR_brk, __NR_munmap, __NR_mremap, __NR_madvise, __NR_futex, __NR_getrandom, __NR_clock_gettime,
	__NR_gettimeofday, __NR_getpid, __NR_gettid, __NR_geteuid, __NR_getuid, __NR_tgkill,
	__NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_rt_sigaction, __NR_restart_syscall, __NR_exit, __NR_exit_group,
	__NR_write, __NR_writev,
#ifdef __x86_64__
	__NR_epoll_wait, __NR_poll, __NR_stat, __NR_access, __NR_time,
#endif
};

#define IS(number, v) { .arg = (number), .low32 = true, .value = (v) }
#define NONE_OF(number, m) { .arg = (number), .op = BPF_OP_MASKED_EQ, .low32 = true, .mask = (m), .value = 0 }

static int load_filter(struct err *e)
{
	/* Memory, but never of instructions; files, but only to read them. */
	static const struct bpf_cond data = NONE_OF(2, 4 /* PROT_EXEC */);
	static const struct bpf_cond read = NONE_OF(2, (unsigned)(O_ACCMODE | O_CREAT | O_TRUNC));
	static const struct bpf_cond v4 = IS(0, AF_INET), v6 = IS(0, AF_INET6);
	static const struct bpf_rule special[] = {
		{ .nr = __NR_mmap, .conds = &data, .n_conds = 1 },
		{ .nr = __NR_openat, .conds = &read, .n_conds = 1 },
		{ .nr = __NR_socket, .conds = &v4, .n_conds = 1 },
		{ .nr = __NR_socket, .conds = &v6, .n_conds = 1 },
	};

	return allowlist_load(calls, sizeof calls / sizeof *calls, special, sizeof special / sizeof *special, e);
}

static int limit(int what, rlim_t most)
{
	const struct rlimit r = { most, most };

	return setrlimit(what, &r);
}

static int set_limits(struct err *e)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || limit(RLIMIT_NOFILE, files.rlim_max) < 0 ||
	    limit(RLIMIT_FSIZE, 0) < 0 || limit(RLIMIT_CORE, 0) < 0)
		return err_sys(e, "limits of the gateway");
#ifndef __SANITIZE_ADDRESS__
	if (limit(RLIMIT_AS, MEMORY_MAX) < 0)
		return err_sys(e, "limits of the gateway");
#endif
	return 0;
}

/* A port below 1024 that is to be listened at on the machine. */
static bool publishes_low(const struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].publish && p->rules[i].publish_port && p->rules[i].publish_port < 1024)
			return true;
	return false;
}

int gate_confine(const struct policy *p, struct err *e)
{
	/* resolv.conf, hosts: whoever changes one puts a new file in its place, and some have a link to theirs. */
	const char *files[] = { "/dev/urandom", "/etc", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf",
				"/run/connman", NULL, NULL };
	AUTO_FREE char *link = realpath("/etc/resolv.conf", NULL);
	const struct landlock_wall wall = { .scope = true, .signals = true, .root_only = true, .root_fd = -1, .files = files };
	uint64_t keep = publishes_low(p) ? UINT64_C(1) << CAP_NR_NET_BIND_SERVICE & caps_effective() : 0;
	const struct cap_sets sets = { .effective = keep, .permitted = keep };
	char *slash = link ? strrchr(link, '/') : NULL;
	int rc;

	if (slash && slash != link) {
		*slash = '\0';
		files[sizeof files / sizeof *files - 2] = link;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "confining the gateway");
	rc = set_limits(e);
	if (rc == 0)
		rc = caps_apply(&sets, e);
	if (rc == 0)
		rc = landlock_enter(&wall, e);
	return rc == 0 ? load_filter(e) : rc;
}
