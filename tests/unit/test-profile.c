/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default profile. What it compiles to is compared, call by call and with
 * many arguments, with a walk over its own table and with what libseccomp
 * makes of the same promises, which are written here once more: a slip in the
 * table or in the compiler has to be made twice to pass.
 */
#include "kern/profile.h"

#include <linux/capability.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "bpf_naive.h"
#include "bpf_sim.h"
#include "tap.h"

#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))
#define BIT(cap) (UINT64_C(1) << (cap))
#define LAST_NR 600
#define LOW32 0xffffffffU

#if defined __x86_64__
#define NATIVE AUDIT_ARCH_X86_64
#else
#define NATIVE AUDIT_ARCH_AARCH64
#endif

struct setting {
	enum profile_net net;
	uint64_t caps;
};

static const uint64_t cap_sets[] = {
	0,
	0xa80425fb, /* what container engines give by default */
	UINT64_MAX >> 1,
	BIT(CAP_NET_RAW),
	BIT(CAP_SYS_ADMIN),
	BIT(CAP_SYS_PTRACE),
	BIT(CAP_SYS_TIME) | BIT(CAP_SYS_NICE),
	BIT(CAP_BPF),
	BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_SYS_BOOT) | BIT(CAP_SYS_MODULE),
};

static struct bpf_table table;

/* --- arguments worth trying ---------------------------------------------- */

static const uint64_t families[] = { AF_UNSPEC, AF_UNIX, AF_INET, AF_AX25, AF_INET6, AF_NETLINK, AF_PACKET,
				     AF_RDS, AF_CAN, AF_TIPC, AF_BLUETOOTH, AF_ALG, AF_VSOCK, AF_KCM, 43,
				     44, 45, 255, 256 + 2, 0xffffffff, 0x80000002 };
static const uint64_t types[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 0x11, 0x12, 0x13, 0x800 | 1,
				  0x80800 | 2, 0x80003, 0x80000005, 0xffffffff };
static const uint64_t protocols[] = { 0, 1, 2, 6, 12, 16, 17, 33, 41, 58, 132, 136, 255, 256, 262, 263,
				      0x10006, 0xffffffff };
static const uint64_t ioctls[] = { 0x5401, 0x5411, 0x5412, 0x5413, 0x541b, 0x541c, 0x541d, 0x541e, 0x5421,
				   0x5422, 0x5423, 0x5424, 0x8912, 0xc0045412, 0x15412, 0 };
static const uint64_t numbers[] = { 0, 1, 2, 4, 7, 8, 9, 15, 16, 22, 34, 35, 36, 38, 0x17, 0x20000, 0x20008,
				    0x40000, 0x60008, 0x60009, 0x400000, 0x7fffffff, 0x80000000,
				    0xffffffff, 0xfffffffe, 0x200, 0x400, 0x600, 0x40600, 0x40601, 0x80,
				    0x11, 0x3d0f00, 0x7e020000, 0x1200011 };

struct values {
	const uint64_t *v;
	size_t n;
};
#define VALUES(a) { (a), sizeof(a) / sizeof(a)[0] }

/* Calls that are judged by arguments, and what to try for each of their first three. */
static const struct judged {
	uint32_t nr;
	struct values args[3];
} judged[] = {
	{ __NR_socket, { VALUES(families), VALUES(types), VALUES(protocols) } },
	{ __NR_socketpair, { VALUES(families), VALUES(types), VALUES(protocols) } },
	{ __NR_ioctl, { VALUES(numbers), VALUES(ioctls), { NULL, 0 } } },
	{ __NR_clone, { VALUES(numbers), VALUES(numbers), { NULL, 0 } } },
	{ __NR_unshare, { VALUES(numbers), VALUES(numbers), { NULL, 0 } } },
	{ __NR_prctl, { VALUES(numbers), VALUES(numbers), { NULL, 0 } } },
	{ __NR_personality, { VALUES(numbers), { NULL, 0 }, { NULL, 0 } } },
	{ __NR_seccomp, { VALUES(numbers), VALUES(numbers), { NULL, 0 } } },
};
#define N_JUDGED (sizeof judged / sizeof judged[0])

static bool is_judged(uint32_t nr)
{
	for (size_t i = 0; i < N_JUDGED; i++)
		if (judged[i].nr == nr)
			return true;
	return false;
}

/* --- the promises again, for libseccomp ----------------------------------- */

struct reference {
	struct bpf_prog allow; /* an allow-list */
	struct bpf_prog deny;  /* a second filter before it, for what is "all but" */
	struct bpf_prog small; /* the allow-list after bpf_prog_shrink() */
};

static int exported(scmp_filter_ctx ctx, struct bpf_prog *ret)
{
	AUTO_FD int fd = memfd_create("reference", MFD_CLOEXEC);
	struct stat st;

	if (fd < 0 || seccomp_export_bpf(ctx, fd) < 0 || fstat(fd, &st) < 0)
		return -1;
	ret->v = malloc((size_t)st.st_size);
	if (!ret->v || pread(fd, ret->v, (size_t)st.st_size, 0) != (ssize_t)st.st_size)
		return -1;
	ret->n = (unsigned short)((size_t)st.st_size / sizeof *ret->v);
	return 0;
}

#define IS(n, v) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, LOW32, v)

static int allow_inet(scmp_filter_ctx ctx, const struct setting *s)
{
	static const unsigned allowed[] = { 0, 1, 6, 17, 58 };
	int rc = 0;

	for (unsigned family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
		for (unsigned type = 0; type <= SOCK_DGRAM; type++)
			for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
				rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_socket, 3, IS(0, family),
						       SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xf, type),
						       IS(2, allowed[i]));
		if (s->caps & BIT(CAP_NET_RAW))
			rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_socket, 2, IS(0, family),
					       SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_RAW));
	}
	return rc;
}

static int allow_judged(scmp_filter_ctx ctx, const struct setting *s)
{
	bool admin = s->caps & BIT(CAP_SYS_ADMIN);
	int rc = 0;

	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_socket, 1, IS(0, AF_UNIX));
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_socket, 2, IS(0, AF_NETLINK), IS(2, 0));
	if (s->net != PROFILE_NET_NONE)
		rc |= allow_inet(ctx, s);
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_socketpair, 1, IS(0, AF_UNIX));
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_seccomp, 1,
			       SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 8, 0));
	if (admin)
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_clone, 0) |
		      seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_unshare, 0);
	else
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_clone, 1,
				       SCMP_CMP(0, SCMP_CMP_MASKED_EQ, 0x7e020000, 0));
	for (unsigned bits = 0; bits < 8; bits++) {
		uint64_t flags = (bits & 1 ? 0x200 : 0) | (bits & 2 ? 0x400 : 0) | (bits & 4 ? 0x40000 : 0);
		uint64_t looks = (bits & 1 ? 8 : 0) | (bits & 2 ? 0x20000 : 0) | (bits & 4 ? 0x40000 : 0);

		if (!admin)
			rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_unshare, 1,
					       SCMP_CMP(0, SCMP_CMP_EQ, flags, 0));
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_personality, 1, IS(0, looks));
	}
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_personality, 1, IS(0, LOW32));
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_ioctl, 0);
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, __NR_prctl, 0);
	return rc;
}

/* The allow-list: unconditional calls from the table (their choice is tested by name below). */
static int build_allow(const struct setting *s, struct bpf_prog *ret)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int rc = ctx ? 0 : -1;

	rc |= seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	rc |= seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < table.n_rules && rc == 0; i++) {
		const struct bpf_rule *r = &table.rules[i];

		if (!is_judged(r->nr) && r->action != ERRNO(ENOSYS))
			rc = seccomp_rule_add(ctx, r->action, (int)r->nr, 0);
	}
	rc |= allow_judged(ctx, s);
	rc |= exported(ctx, ret);
	seccomp_release(ctx);
	return rc;
}

static int build_deny(struct bpf_prog *ret)
{
	static const unsigned cmds[] = { 0x5412, 0x541c, 0x541d, 0x5423 };
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? 0 : -1;

	for (size_t i = 0; i < sizeof cmds / sizeof cmds[0]; i++)
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), __NR_ioctl, 1, IS(1, cmds[i]));
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), __NR_prctl, 1, IS(0, 35));
	rc |= exported(ctx, ret);
	seccomp_release(ctx);
	return rc;
}

static uint32_t reference_verdict(const struct reference *r, const struct seccomp_data *d)
{
	uint32_t first = bpf_sim_run(r->deny.v, r->deny.n, d, NULL);
	uint32_t second = bpf_sim_run(r->allow.v, r->allow.n, d, NULL);

	if (first == SECCOMP_RET_KILL_THREAD) /* its answer to other architectures; the next one's counts */
		return second;
	return first == SECCOMP_RET_ALLOW ? second : first;
}

/* --- comparing ------------------------------------------------------------ */

struct comparison {
	const struct bpf_prog *prog;
	const struct reference *ref;
	unsigned long compared;
	unsigned bad;
};

static void compare(struct comparison *c, const struct seccomp_data *d)
{
	uint32_t got = bpf_sim_run(c->prog->v, c->prog->n, d, NULL);
	uint32_t want = naive_verdict(&table, d), ref = reference_verdict(c->ref, d);
	bool agrees = is_judged((uint32_t)d->nr) && d->arch == NATIVE ?
			      (got == SECCOMP_RET_ALLOW) == (ref == SECCOMP_RET_ALLOW) :
			      got == ref;

	/* libseccomp ends a process for x32 where this profile answers ENOSYS: both refuse. */
	if (d->arch == NATIVE && (uint32_t)d->nr >= 0x40000000)
		agrees = got != SECCOMP_RET_ALLOW && ref != SECCOMP_RET_ALLOW;
	/* Beside the point here, but a program of libseccomp's for shrinking, and calls to try it with. */
	agrees = agrees && bpf_sim_run(c->ref->allow.v, c->ref->allow.n, d, NULL) ==
				   bpf_sim_run(c->ref->small.v, c->ref->small.n, d, NULL);
	c->compared++;
	if (got == want && agrees)
		return;
	if (c->bad++ < 5)
		printf("# call %d arch %08x args %llx %llx %llx: got %08x, table %08x, libseccomp %08x\n",
		       d->nr, d->arch, (unsigned long long)d->args[0], (unsigned long long)d->args[1],
		       (unsigned long long)d->args[2], got, want, ref);
}

static const uint64_t garbage[] = { 0, 0x100000000, 0xffffffff00000000, 0x7e02000000000000 };

static void compare_judged(struct comparison *c, const struct judged *j)
{
	struct seccomp_data d = { .nr = (int)j->nr, .arch = NATIVE };
	size_t n[3];

	for (unsigned i = 0; i < 3; i++)
		n[i] = j->args[i].n ? j->args[i].n : 1;
	for (size_t at = 0; at < n[0] * n[1] * n[2]; at++) {
		const size_t index[3] = { at % n[0], at / n[0] % n[1], at / n[0] / n[1] };

		for (unsigned high = 0; high < 4; high++) {
			for (unsigned i = 0; i < 3; i++)
				d.args[i] = (j->args[i].n ? j->args[i].v[index[i]] : 0) |
					    garbage[(high * (i + 1)) % 4];
			compare(c, &d);
		}
	}
	for (unsigned bit = 0; bit < 64; bit++)
		for (unsigned arg = 0; arg < 3; arg++) {
			memset(d.args, 0, sizeof d.args);
			d.args[arg] = UINT64_C(1) << bit;
			compare(c, &d);
		}
}

static void compare_all(struct comparison *c)
{
	static const uint32_t foreign[] = { AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_PPC64,
					    AUDIT_ARCH_S390X, 0, UINT32_MAX };
	static const uint32_t high[] = { 1023, 1024, 1025, 0x3fffffff, 0x7fffffff, 0x80000000, UINT32_MAX };

	for (int nr = 0; nr <= LAST_NR; nr++) {
		struct seccomp_data d = { .nr = nr, .arch = NATIVE };

		compare(c, &d);
		memset(d.args, 0xff, sizeof d.args);
		compare(c, &d);
		for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
			d.arch = foreign[i];
			compare(c, &d);
		}
		d.arch = NATIVE;
		d.nr = nr | 0x40000000;
#ifdef __x86_64__
		compare(c, &d);
#endif
	}
	for (size_t i = 0; i < sizeof high / sizeof high[0]; i++) {
		struct seccomp_data d = { .nr = (int)high[i], .arch = NATIVE };

		compare(c, &d);
	}
	for (size_t i = 0; i < N_JUDGED; i++)
		compare_judged(c, &judged[i]);
}

static void test_setting(const struct setting *s)
{
	const struct profile_params params = { .net = s->net, .caps = s->caps };
	struct bpf_prog prog = { 0 };
	struct reference ref = { 0 };
	struct comparison c = { .prog = &prog, .ref = &ref };
	char name[64];
	struct err e = { 0 };
	const char *why;

	(void)snprintf(name, sizeof name, "net %d caps %llx", (int)s->net, (unsigned long long)s->caps);
	if (!TAP_OK(profile_default_table(&params, &table, &e) == 0 &&
			    profile_default_build(&params, &prog, &e) == 0,
		    "%s: builds (%s)", name, e.text))
		return;
	why = bpf_sim_check(prog.v, prog.n);
	TAP_OK(!why && !bpf_prog_check(&prog), "%s: the kernel takes it (%s)", name, why ? why : "");
	if (!TAP_OK(prog.n < 150, "%s: fewer than 150 instructions", name))
		printf("#   got: %u\n", prog.n);
	if (TAP_OK(build_allow(s, &ref.allow) == 0 && build_deny(&ref.deny) == 0 &&
			   bpf_prog_shrink(&ref.allow, &ref.small) == 0,
		   "%s: libseccomp has its version", name)) {
		if (!TAP_OK(ref.small.n * 3 < ref.allow.n, "%s: which shrinks to a third", name))
			printf("#   %u to %u\n", ref.allow.n, ref.small.n);
		compare_all(&c);
		TAP_INT(c.bad, 0, "%s: %lu calls judged alike by all three", name, c.compared);
	}
	bpf_prog_fini(&prog);
	bpf_prog_fini(&ref.allow);
	bpf_prog_fini(&ref.deny);
	bpf_prog_fini(&ref.small);
}

/* --- single promises ------------------------------------------------------ */

static uint32_t ask(uint64_t caps, uint32_t nr)
{
	const struct profile_params params = { .net = PROFILE_NET_NONE, .caps = caps };
	const struct seccomp_data d = { .nr = (int)nr, .arch = NATIVE };
	struct bpf_prog prog = { 0 };
	uint32_t verdict;

	if (profile_default_build(&params, &prog, NULL) < 0)
		return 0;
	verdict = bpf_sim_run(prog.v, prog.n, &d, NULL);
	bpf_prog_fini(&prog);
	return verdict;
}

/* What DESIGN calls doors: {call, the capability that opens it; 0: none does} */
static void test_doors(void)
{
	static const struct {
		uint32_t nr;
		uint64_t cap;
	} doors[] = {
		{ __NR_io_uring_setup, 0 }, { __NR_io_uring_enter, 0 }, { __NR_io_uring_register, 0 },
		{ __NR_userfaultfd, 0 }, { __NR_keyctl, 0 }, { __NR_add_key, 0 }, { __NR_request_key, 0 },
		{ __NR_kexec_load, 0 }, { __NR_kexec_file_load, 0 },
		{ __NR_ptrace, BIT(CAP_SYS_PTRACE) }, { __NR_process_vm_readv, BIT(CAP_SYS_PTRACE) },
		{ __NR_process_vm_writev, BIT(CAP_SYS_PTRACE) }, { __NR_pidfd_getfd, BIT(CAP_SYS_PTRACE) },
		{ __NR_process_madvise, BIT(CAP_SYS_PTRACE) }, { __NR_kcmp, BIT(CAP_SYS_PTRACE) },
		{ __NR_bpf, BIT(CAP_BPF) }, { __NR_bpf, BIT(CAP_SYS_ADMIN) },
		{ __NR_perf_event_open, BIT(CAP_PERFMON) }, { __NR_syslog, BIT(CAP_SYSLOG) },
		{ __NR_mount, BIT(CAP_SYS_ADMIN) }, { __NR_umount2, BIT(CAP_SYS_ADMIN) },
		{ __NR_fsopen, BIT(CAP_SYS_ADMIN) }, { __NR_open_tree, BIT(CAP_SYS_ADMIN) },
		{ __NR_open_tree_attr, BIT(CAP_SYS_ADMIN) }, { __NR_move_mount, BIT(CAP_SYS_ADMIN) },
		{ __NR_mount_setattr, BIT(CAP_SYS_ADMIN) }, { __NR_pivot_root, BIT(CAP_SYS_ADMIN) },
		{ __NR_setns, BIT(CAP_SYS_ADMIN) }, { __NR_quotactl, BIT(CAP_SYS_ADMIN) },
		{ __NR_swapon, BIT(CAP_SYS_ADMIN) }, { __NR_fanotify_init, BIT(CAP_SYS_ADMIN) },
		{ __NR_open_by_handle_at, BIT(CAP_DAC_READ_SEARCH) }, { __NR_acct, BIT(CAP_SYS_PACCT) },
		{ __NR_reboot, BIT(CAP_SYS_BOOT) }, { __NR_init_module, BIT(CAP_SYS_MODULE) },
		{ __NR_finit_module, BIT(CAP_SYS_MODULE) }, { __NR_settimeofday, BIT(CAP_SYS_TIME) },
		{ __NR_clock_settime, BIT(CAP_SYS_TIME) }, { __NR_mbind, BIT(CAP_SYS_NICE) },
		{ __NR_move_pages, BIT(CAP_SYS_NICE) }, { __NR_vhangup, BIT(CAP_SYS_TTY_CONFIG) },
#ifdef __x86_64__
		{ __NR_iopl, BIT(CAP_SYS_RAWIO) }, { __NR_ioperm, BIT(CAP_SYS_RAWIO) },
		{ __NR_modify_ldt, 0 }, { __NR_uselib, 0 },
#endif
	};
	unsigned open = 0, shut = 0;

	for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
		uint64_t all_but = (UINT64_MAX >> 1) & ~doors[i].cap;

		/* CAP_SYS_ADMIN stands in for three others */
		if (doors[i].nr == __NR_bpf || doors[i].nr == __NR_perf_event_open ||
		    doors[i].nr == __NR_syslog)
			all_but = 0;
		if (ask(0, doors[i].nr) != ERRNO(EPERM) || ask(all_but, doors[i].nr) != ERRNO(EPERM)) {
			printf("# call %u is open\n", doors[i].nr);
			open++;
		}
		if (doors[i].cap && ask(doors[i].cap, doors[i].nr) != SECCOMP_RET_ALLOW) {
			printf("# call %u stays shut\n", doors[i].nr);
			shut++;
		}
	}
	TAP_INT(open, 0, "doors are shut, whatever other capabilities there are");
	TAP_INT(shut, 0, "and open with the capability they are for");
	TAP_INT(ask(0, __NR_clone3), ERRNO(ENOSYS), "clone3 is not there");
	TAP_INT(ask(UINT64_MAX >> 1, __NR_clone3), ERRNO(ENOSYS), "with all capabilities neither");
	TAP_INT(ask(UINT64_MAX, 470), ERRNO(ENOSYS), "a call of tomorrow is not there");
}

/* Every call that libseccomp knows for this machine has been thought about, once. */
static void test_complete(void)
{
	const struct profile_params params = { .net = PROFILE_NET_LOOPBACK };
	unsigned missing = 0, twice = 0;

	(void)profile_default_table(&params, &table, NULL);
	for (int nr = 0; nr <= LAST_NR; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		unsigned unconditional = 0;

		for (size_t i = 0; i < table.n_rules; i++)
			unconditional += (int)table.rules[i].nr == nr && table.rules[i].n_conds == 0;
		if (name && unconditional == 0) {
			printf("# %s (%d) is not in the profile\n", name, nr);
			missing++;
		}
		if (unconditional > 1) {
			printf("# %s (%d) is listed twice\n", name ? name : "?", nr);
			twice++;
		}
		free(name);
	}
	TAP_INT(missing, 0, "every call is listed");
	TAP_INT(twice, 0, "none is listed twice");
}

/* Calls of a working program pass by the kernel's bitmap, without a run of the filter. */
static void test_fast_path(void)
{
	static const uint32_t hot[] = {
		__NR_read, __NR_write, __NR_readv, __NR_writev, __NR_openat, __NR_close, __NR_mmap,
		__NR_munmap, __NR_futex, __NR_epoll_pwait, __NR_recvfrom, __NR_sendto, __NR_recvmsg,
		__NR_sendmsg, __NR_accept4, __NR_connect, __NR_ppoll, __NR_clock_gettime,
		__NR_nanosleep, __NR_getppid, __NR_rt_sigprocmask, __NR_sched_yield, __NR_pread64,
#ifdef __x86_64__
		__NR_epoll_wait, __NR_poll, __NR_open, __NR_stat,
#endif
	};
	const struct profile_params params = { .net = PROFILE_NET_LOOPBACK };
	struct bpf_prog prog = { 0 };
	unsigned slow = 0, steps, total = 0;

	(void)profile_default_build(&params, &prog, NULL);
	for (size_t i = 0; i < sizeof hot / sizeof hot[0]; i++)
		if (!bpf_sim_const_allow(prog.v, prog.n, NATIVE, hot[i], &steps)) {
			printf("# call %u runs the filter\n", hot[i]);
			slow++;
		}
	TAP_INT(slow, 0, "hot calls pass by the kernel's bitmap");
	for (uint32_t nr = 0; nr < 470; nr++) {
		(void)bpf_sim_const_allow(prog.v, prog.n, NATIVE, nr, &steps);
		total += steps;
	}
	if (!TAP_OK(total < 12 * 470, "finding that out takes the kernel under 12 steps a call"))
		printf("#   got: %u in all\n", total);
	bpf_prog_fini(&prog);
}

static void test_extra(void)
{
	static const struct bpf_cond inet = { .arg = 0, .op = BPF_OP_EQ, .low32 = true, .value = AF_INET };
	static const struct bpf_rule extra[] = {
		{ .nr = __NR_socket, .action = SECCOMP_RET_USER_NOTIF, .conds = &inet, .n_conds = 1 },
		{ .nr = __NR_connect, .action = SECCOMP_RET_USER_NOTIF },
		{ .nr = 0x00fab000, .action = SECCOMP_RET_USER_NOTIF },
		{ .nr = __NR_io_uring_setup, .action = ERRNO(ENOSYS) },
	};
	static struct bpf_rule many[BPF_RULES_MAX];
	struct profile_params params = { .extra = extra, .n_extra = 4 };
	struct seccomp_data d = { .nr = __NR_socket, .arch = NATIVE, .args = { AF_INET | 1ULL << 32 } };
	struct bpf_prog prog = { 0 };
	struct err e = { 0 };

	TAP_INT(profile_default_build(&params, &prog, &e), 0, "with a supervisor's rules");
	TAP_INT(bpf_sim_run(prog.v, prog.n, &d, NULL), SECCOMP_RET_USER_NOTIF, "socket(AF_INET) is asked");
	d.args[0] = AF_UNIX;
	TAP_INT(bpf_sim_run(prog.v, prog.n, &d, NULL), SECCOMP_RET_ALLOW, "socket(AF_UNIX) is not");
	d.args[0] = AF_INET6;
	TAP_INT(bpf_sim_run(prog.v, prog.n, &d, NULL), ERRNO(EACCES), "socket(AF_INET6) is the profile's");
	d.nr = __NR_connect;
	TAP_INT(bpf_sim_run(prog.v, prog.n, &d, NULL), SECCOMP_RET_USER_NOTIF, "connect is asked");
	d.nr = 0x00fab000;
	TAP_INT(bpf_sim_run(prog.v, prog.n, &d, NULL), SECCOMP_RET_USER_NOTIF, "a virtual call is asked");
	d.nr = __NR_io_uring_setup;
	TAP_INT(bpf_sim_run(prog.v, prog.n, &d, NULL), ERRNO(ENOSYS), "io_uring as the rule says");
	bpf_prog_fini(&prog);
	params = (struct profile_params){ .extra = many, .n_extra = BPF_RULES_MAX };
	TAP_INT(profile_default_build(&params, &prog, &e), -E2BIG, "too many of them are refused");
	params = (struct profile_params){ .net = (enum profile_net)3 };
	TAP_INT(profile_default_build(&params, &prog, &e), -EINVAL, "an unknown network is refused");
}

int main(void)
{
	for (size_t i = 0; i < sizeof cap_sets / sizeof cap_sets[0]; i++)
		for (unsigned net = PROFILE_NET_NONE; net <= PROFILE_NET_HOST; net++) {
			const struct setting s = { (enum profile_net)net, cap_sets[i] };

			test_setting(&s);
		}
	test_doors();
	test_complete();
	test_fast_path();
	test_extra();
	return tap_done();
}
