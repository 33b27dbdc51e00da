/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's own profile: what the program that libseccomp makes of it answers. */
#include "kern/profile_oci.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "bpf_sim.h"
#include "kern/profile_cache.h"
#include "rmtree.h"
#include "tap.h"

#if defined __x86_64__
#define NATIVE AUDIT_ARCH_X86_64
#define SUB_ARCH AUDIT_ARCH_I386
#define ARCHES "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\",\"SCMP_ARCH_AARCH64\""
#else
#define NATIVE AUDIT_ARCH_AARCH64
#define SUB_ARCH AUDIT_ARCH_ARM
#define ARCHES "\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_ARM\",\"SCMP_ARCH_X86\""
#endif

#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))

/* In the manner of the container engines' default, smaller; more than 32 rules, so that a tree is made. */
static const char medium[] =
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,"
	"\"architectures\":[" ARCHES "],"
	"\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\",\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"],"
	"\"syscalls\":["
	"{\"names\":[\"accept\",\"accept4\",\"bind\",\"brk\",\"chdir\",\"close\",\"connect\",\"dup\","
	"\"epoll_create1\",\"epoll_ctl\",\"execve\",\"exit\",\"exit_group\",\"fchmod\",\"fchown\","
	"\"fcntl\",\"fstat\",\"fstatfs\",\"fsync\",\"futex\",\"getcwd\",\"getdents64\",\"getpid\","
	"\"getrandom\",\"ioctl\",\"kill\",\"listen\",\"lseek\",\"madvise\",\"mmap\",\"mprotect\","
	"\"munmap\",\"nanosleep\",\"openat\",\"prctl\",\"pread64\",\"read\",\"readv\",\"recvfrom\","
	"\"rt_sigaction\",\"rt_sigreturn\",\"sendto\",\"set_robust_list\",\"statx\",\"uname\","
	"\"wait4\",\"write\",\"writev\",\"a_call_of_tomorrow\",\"clone3_of_tomorrow\"],"
	"\"action\":\"SCMP_ACT_ALLOW\"},"
	"{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":8,"
	"\"op\":\"SCMP_CMP_EQ\"}]},"
	"{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
	"\"value\":4294967295,\"op\":\"SCMP_CMP_EQ\"}]},"
	"{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
	"\"value\":2114060288,\"valueTwo\":0,\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
	"{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":40,"
	"\"op\":\"SCMP_CMP_NE\"}]},"
	"{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38},"
	"{\"names\":[\"ptrace\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"},"
	"{\"names\":[\"kexec_load\"],\"action\":\"SCMP_ACT_KILL\"},"
	"{\"names\":[\"setuid\"],\"action\":\"SCMP_ACT_LOG\"},"
	"{\"names\":[\"setgid\"],\"action\":\"SCMP_ACT_TRAP\"},"
	"{\"names\":[\"sethostname\"],\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":7},"
	"{\"names\":[\"acct\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1},"
	"{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
	"{\"index\":1,\"value\":5,\"op\":\"SCMP_CMP_LT\"},{\"index\":1,\"value\":9,\"op\":\"SCMP_CMP_GT\"}]},"
	"{\"names\":[\"getuid\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
	"{\"index\":1,\"value\":5,\"op\":\"SCMP_CMP_GE\"},{\"index\":2,\"value\":4294967296,"
	"\"op\":\"SCMP_CMP_LE\"}]}"
	"]}";

/* Parses a seccomp object into a bundle; the caller calls bundle_fini(). */
static int read_profile(struct bundle *b, const char *seccomp, struct err *e)
{
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	int len, rc;

	memset(b, 0, sizeof *b);
	len = asprintf(&text, "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"linux\":{\"seccomp\":%s}}",
		       seccomp);
	rc = json_doc_parse(&doc, "test", text, (size_t)len, e);
	if (rc < 0)
		return rc;
	rc = bundle_read(b, "/bundle", &doc, e);
	json_doc_fini(&doc);
	return rc;
}

static int build(const char *seccomp, int cache, struct profile_oci *ret, struct err *e)
{
	struct bundle b;
	int rc = read_profile(&b, seccomp, e);

	if (rc == 0) {
		rc = profile_oci_build(&b.seccomp, cache, ret, e);
		bundle_fini(&b);
	}
	return rc;
}

static uint32_t ask(const struct profile_oci *f, uint32_t arch, uint32_t nr, uint64_t a0, uint64_t a1,
		    uint64_t a2)
{
	struct seccomp_data d = { .nr = (int)nr, .arch = arch, .args = { a0, a1, a2 } };

	return bpf_sim_run(f->prog.v, f->prog.n, &d, NULL);
}

#define TAP_RET(got, want, ...)                                                                    \
	do {                                                                                       \
		uint32_t got_ = (got), want_ = (want);                                             \
		if (!TAP_OK(got_ == want_, __VA_ARGS__))                                           \
			printf("#   got:  %08x\n#   want: %08x\n", got_, want_);                   \
	} while (0)

static void test_native(const struct profile_oci *f)
{
	static const struct {
		uint32_t nr, want;
		uint64_t args[3];
		const char *name;
	} calls[] = {
		{ __NR_read, SECCOMP_RET_ALLOW, { 1, 2, 3 }, "a named call" },
		{ __NR_mount, ERRNO(1), { 0 }, "a call that is not named" },
		{ __NR_personality, SECCOMP_RET_ALLOW, { 8 }, "a value that one rule allows" },
		{ __NR_personality, SECCOMP_RET_ALLOW, { 0xffffffff }, "that another rule allows" },
		{ __NR_personality, ERRNO(1), { 0x100000008 }, "a value with high bits: 64 bits are compared" },
		{ __NR_personality, ERRNO(1), { 9 }, "a value that no rule allows" },
		{ __NR_clone, SECCOMP_RET_ALLOW, { 0x11 }, "masked: no forbidden bit" },
		{ __NR_clone, ERRNO(1), { 0x10000011 }, "masked: a forbidden bit" },
		{ __NR_socket, SECCOMP_RET_ALLOW, { 1 }, "not equal" },
		{ __NR_socket, ERRNO(1), { 40 }, "equal" },
		{ __NR_clone3, ERRNO(38), { 0 }, "an errno of its own" },
		{ __NR_ptrace, SECCOMP_RET_KILL_PROCESS, { 0 }, "KILL_PROCESS" },
		{ __NR_kexec_load, SECCOMP_RET_KILL_THREAD, { 0 }, "KILL is the thread" },
		{ __NR_setuid, SECCOMP_RET_LOG, { 0 }, "LOG" },
		{ __NR_setgid, SECCOMP_RET_TRAP, { 0 }, "TRAP" },
		{ __NR_sethostname, SECCOMP_RET_TRACE | 7, { 0 }, "TRACE with its number" },
		{ __NR_acct, ERRNO(1), { 0 }, "the default action, spelt out" },
		{ __NR_getppid, SECCOMP_RET_ALLOW, { 0, 4 }, "two conditions on one argument: the first" },
		{ __NR_getppid, SECCOMP_RET_ALLOW, { 0, 10 }, "two conditions on one argument: the second" },
		{ __NR_getppid, ERRNO(1), { 0, 7 }, "two conditions on one argument: neither" },
		{ __NR_getuid, SECCOMP_RET_ALLOW, { 0, 5, 0x100000000 }, "two arguments: both hold" },
		{ __NR_getuid, ERRNO(1), { 0, 4, 0 }, "two arguments: the first fails" },
		{ __NR_getuid, ERRNO(1), { 0, 5, 0x100000001 }, "two arguments: the second fails" },
		{ __NR_clone3 + 1, ERRNO(38), { 0 }, "a call newer than all that are named" },
		{ 900, ERRNO(38), { 0 }, "a call of a later kernel" },
		{ 0x3fffffff, ERRNO(38), { 0 }, "the highest number" },
	};

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
		TAP_RET(ask(f, NATIVE, calls[i].nr, calls[i].args[0], calls[i].args[1], calls[i].args[2]),
			calls[i].want, "%s", calls[i].name);
}

static void test_other_arches(const struct profile_oci *f)
{
	/* numbers of i386 and arm: read 3, mount 21, clone3 435 */
	TAP_RET(ask(f, SUB_ARCH, 3, 0, 0, 0), SECCOMP_RET_ALLOW, "32 bits: a named call");
	TAP_RET(ask(f, SUB_ARCH, 21, 0, 0, 0), ERRNO(1), "32 bits: a call that is not named");
	TAP_RET(ask(f, SUB_ARCH, 436, 0, 0, 0), ERRNO(38), "32 bits: a newer call");
#ifdef __x86_64__
	TAP_RET(ask(f, NATIVE, 0x40000000, 0, 0, 0), SECCOMP_RET_ALLOW, "x32: a named call");
	TAP_RET(ask(f, NATIVE, 0x40000000 + 165, 0, 0, 0), ERRNO(1), "x32: a call that is not named");
	TAP_RET(ask(f, AUDIT_ARCH_AARCH64, 63, 0, 0, 0), SECCOMP_RET_KILL_THREAD,
		"an architecture that cannot run here");
#endif
	TAP_RET(ask(f, AUDIT_ARCH_PPC64, 3, 0, 0, 0), SECCOMP_RET_KILL_THREAD, "one that is not listed");
}

static void test_medium(void)
{
	struct profile_oci f = { 0 };
	struct err e = { 0 };
	const char *why;

	if (!TAP_OK(build(medium, -1, &f, &e) == 0, "the medium profile compiles (%s)", e.text))
		return;
	why = bpf_sim_check(f.prog.v, f.prog.n);
	TAP_OK(!why, "the kernel's checks pass (%s)", why ? why : "");
	TAP_OK(!bpf_prog_check(&f.prog), "our own check passes");
	TAP_INT(f.flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW, "flags");
	TAP_OK(!f.notify && !f.cached, "no listener, no cache");
	test_native(&f);
	test_other_arches(&f);
	bpf_prog_fini(&f.prog);
}

/* Small profiles: {what, profile, verdict for read, verdict for mount, verdict for a new call} */
static void test_small(void)
{
	static const struct {
		const char *name, *profile;
		uint32_t read, mount, newer, foreign;
	} cases[] = {
		{ "allow all", "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", SECCOMP_RET_ALLOW,
		  SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_THREAD },
		{ "deny one", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mount\"],"
			      "\"action\":\"SCMP_ACT_ERRNO\"}]}",
		  SECCOMP_RET_ALLOW, ERRNO(1), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_THREAD },
		{ "allow one", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],"
			       "\"action\":\"SCMP_ACT_ALLOW\"}]}",
		  SECCOMP_RET_ALLOW, ERRNO(38), ERRNO(38), SECCOMP_RET_KILL_THREAD },
		{ "kill the rest", "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"syscalls\":[{\"names\":"
				   "[\"read\",\"statx\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
		  SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, ERRNO(38), SECCOMP_RET_KILL_THREAD },
		{ "log the rest", "{\"defaultAction\":\"SCMP_ACT_LOG\",\"syscalls\":[{\"names\":[\"read\"],"
				  "\"action\":\"SCMP_ACT_ALLOW\"}]}",
		  SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_LOG, SECCOMP_RET_KILL_THREAD },
		{ "ENOSYS by default", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
				       "\"syscalls\":[{\"names\":[\"read\",\"statx\"],"
				       "\"action\":\"SCMP_ACT_ALLOW\"}]}",
		  SECCOMP_RET_ALLOW, ERRNO(38), ERRNO(38), SECCOMP_RET_KILL_THREAD },
		{ "errno 0", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":0,\"syscalls\":["
			     "{\"names\":[\"read\",\"statx\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
		  SECCOMP_RET_ALLOW, ERRNO(0), ERRNO(38), SECCOMP_RET_KILL_THREAD },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct profile_oci f = { 0 };
		struct err e = { 0 };

		if (!TAP_OK(build(cases[i].profile, -1, &f, &e) == 0, "%s (%s)", cases[i].name, e.text))
			continue;
		TAP_RET(ask(&f, NATIVE, __NR_read, 0, 0, 0), cases[i].read, "%s: read", cases[i].name);
		TAP_RET(ask(&f, NATIVE, __NR_mount, 0, 0, 0), cases[i].mount, "%s: mount", cases[i].name);
		TAP_RET(ask(&f, NATIVE, 900, 0, 0, 0), cases[i].newer, "%s: a newer call", cases[i].name);
		TAP_RET(ask(&f, SUB_ARCH, 3, 0, 0, 0), cases[i].foreign, "%s: 32 bits", cases[i].name);
		bpf_prog_fini(&f.prog);
	}
}

static void test_notify(void)
{
	static const char profile[] =
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/run/agent\","
		"\"flags\":[\"SECCOMP_FILTER_FLAG_TSYNC\",\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"],"
		"\"syscalls\":[{\"names\":[\"connect\"],\"action\":\"%s\"}]}";
	struct profile_oci f = { 0 };
	struct err e = { 0 };
	char text[512];

	(void)snprintf(text, sizeof text, profile, "SCMP_ACT_NOTIFY");
	TAP_INT(build(text, -1, &f, &e), 0, "notify");
	TAP_OK(f.notify, "notify: a listener is wanted");
	TAP_INT(f.flags, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		"notify: flags");
	TAP_RET(ask(&f, NATIVE, __NR_connect, 0, 0, 0), SECCOMP_RET_USER_NOTIF, "notify: the call");
	bpf_prog_fini(&f.prog);
	(void)snprintf(text, sizeof text, profile, "SCMP_ACT_ERRNO");
	TAP_INT(build(text, -1, &f, &e), 0, "a listener's flag without a listener");
	TAP_INT(f.flags, SECCOMP_FILTER_FLAG_TSYNC, "is dropped");
	bpf_prog_fini(&f.prog);
}

static void test_refusals(void)
{
	struct profile_oci f = { .flags = 77 };
	struct err e = { 0 };

	TAP_INT(build("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
		      "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":1,"
		      "\"op\":\"SCMP_CMP_EQ\"}]},"
		      "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_TRAP\",\"args\":[{\"index\":0,\"value\":1,"
		      "\"op\":\"SCMP_CMP_EQ\"}]}]}",
		      -1, &f, &e),
		-EINVAL, "two actions for the same arguments are refused");
	TAP_HAS(e.text, "\"read\"", "and the call is named");
	TAP_OK(f.flags == 77 && !f.prog.v, "outputs are untouched on failure");
}

static bool same(const struct profile_oci *a, const struct profile_oci *b)
{
	return a->prog.v && b->prog.v && a->prog.n == b->prog.n && a->flags == b->flags && a->notify == b->notify &&
	       memcmp(a->prog.v, b->prog.v, a->prog.n * sizeof *a->prog.v) == 0;
}

/* What must make another program has another key. */
static void test_cache(void)
{
	static const char *const variants[] = {
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":2}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"write\"],"
		"\"action\":\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_LOG\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_NE\"}]}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\",\"write\"],"
		"\"action\":\"SCMP_ACT_ERRNO\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[" ARCHES "],"
		"\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
		medium,
	};
	char dir[] = "/tmp/vrun-test-oci-XXXXXX";
	AUTO_FD int cache = -1;
	struct err e = { 0 };
	unsigned wrong = 0;

	if (!TAP_OK(mkdtemp(dir) != NULL, "a directory"))
		return;
	TAP_INT(profile_cache_open(dir, &cache, &e), 0, "a cache");
	for (unsigned round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
			struct profile_oci f = { 0 }, plain = { 0 };

			if (build(variants[i], cache, &f, &e) < 0 || build(variants[i], -1, &plain, &e) < 0 ||
			    f.cached != (round == 1) || f.store_error || !same(&f, &plain)) {
				printf("# variant %zu round %u: cached %d store error %d\n", i, round,
				       f.cached, f.store_error);
				wrong++;
			}
			bpf_prog_fini(&f.prog);
			bpf_prog_fini(&plain.prog);
		}
	TAP_INT(wrong, 0, "each profile is compiled once and comes back as it was");
	TAP_INT(rmtree(dir), 0, "clean up");
}

int main(void)
{
	test_medium();
	test_small();
	test_notify();
	test_refusals();
	test_cache();
	return tap_done();
}
