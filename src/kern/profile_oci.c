/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/profile_oci.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "kern/profile_cache.h"

/* Raised when the same profile shall give another program than an earlier vrun's of one version. */
#define TRANSLATION 2U

/* libseccomp up to 2.5.4 writes wrong trees for tiny profiles; few rules need no tree anyway. */
#define TREE_RULES 32

#define X32_BIT 0x40000000U

/* The architectures whose calls this kernel may run; a filter for others would never be asked. */
static const struct oci_arch {
	const char *name;
	uint32_t token; /* libseccomp's */
	uint32_t audit; /* the kernel's */
} arches[] = {
#if defined __x86_64__
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64 },
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64 },
#elif defined __aarch64__
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM },
#endif
};
#define N_ARCHES (sizeof arches / sizeof arches[0])

struct translation {
	const struct bundle_seccomp *profile;
	scmp_filter_ctx ctx;
	uint32_t default_action;
	bool in[N_ARCHES];   /* the filter is for this architecture too */
	int newest[N_ARCHES]; /* highest number that the profile names; -1: none */
	unsigned n_rules;
};

/* --- words --------------------------------------------------------------- */

static uint32_t action_value(const char *name, bool has_errno, uint32_t errno_ret)
{
	uint32_t num = has_errno ? errno_ret : EPERM;

	if (strcmp(name, "SCMP_ACT_ALLOW") == 0)
		return SCMP_ACT_ALLOW;
	if (strcmp(name, "SCMP_ACT_ERRNO") == 0)
		return SCMP_ACT_ERRNO(num);
	if (strcmp(name, "SCMP_ACT_NOTIFY") == 0)
		return SCMP_ACT_NOTIFY;
	if (strcmp(name, "SCMP_ACT_LOG") == 0)
		return SCMP_ACT_LOG;
	if (strcmp(name, "SCMP_ACT_TRACE") == 0)
		return SCMP_ACT_TRACE(num);
	if (strcmp(name, "SCMP_ACT_TRAP") == 0)
		return SCMP_ACT_TRAP;
	if (strcmp(name, "SCMP_ACT_KILL_PROCESS") == 0)
		return SCMP_ACT_KILL_PROCESS;
	return SCMP_ACT_KILL_THREAD; /* KILL, KILL_THREAD: the bundle's reader lets nothing else through */
}

static enum scmp_compare operator_value(const char *name)
{
	static const struct {
		const char *name;
		enum scmp_compare op;
	} operators[] = {
		{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT },
		{ "SCMP_CMP_LE", SCMP_CMP_LE }, { "SCMP_CMP_EQ", SCMP_CMP_EQ },
		{ "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT },
		{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	};

	for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
		if (strcmp(operators[i].name, name) == 0)
			return operators[i].op;
	return _SCMP_CMP_MIN; /* libseccomp refuses it */
}

static unsigned flags_value(const struct bundle_seccomp *s)
{
	unsigned flags = 0;

	for (size_t i = 0; i < s->flags.n; i++) {
		const char *f = s->flags.v[i];

		if (strcmp(f, "SECCOMP_FILTER_FLAG_TSYNC") == 0)
			flags |= SECCOMP_FILTER_FLAG_TSYNC;
		else if (strcmp(f, "SECCOMP_FILTER_FLAG_LOG") == 0)
			flags |= SECCOMP_FILTER_FLAG_LOG;
		else if (strcmp(f, "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
			flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
		else if (strcmp(f, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") == 0)
			flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	}
	return flags;
}

static bool notifies(const struct bundle_seccomp *s)
{
	if (strcmp(s->default_action, "SCMP_ACT_NOTIFY") == 0)
		return true;
	for (size_t i = 0; i < s->n_rules; i++)
		if (strcmp(s->rules[i].action, "SCMP_ACT_NOTIFY") == 0)
			return true;
	return false;
}

/* --- the canonical text -------------------------------------------------- */

struct text {
	char *v; /* owned */
	size_t n, cap;
	bool failed; /* out of memory */
};

static void put(struct text *t, const void *data, size_t len)
{
	if (!t->v || t->cap - t->n < len) {
		size_t cap = (t->cap + len) * 2 + 4096;
		char *v = t->failed ? NULL : realloc(t->v, cap);

		if (!v) {
			t->failed = true;
			return;
		}
		t->v = v;
		t->cap = cap;
	}
	memcpy(t->v + t->n, data, len);
	t->n += len;
}

static void put_u64(struct text *t, uint64_t v)
{
	put(t, &v, sizeof v);
}

/* With its length, so that no two lists look alike. */
static void put_string(struct text *t, const char *s)
{
	uint32_t len = s ? (uint32_t)strlen(s) : UINT32_MAX;

	put(t, &len, sizeof len);
	if (s)
		put(t, s, len);
}

static void put_list(struct text *t, const struct strlist *l)
{
	put_u64(t, l->n);
	for (size_t i = 0; i < l->n; i++)
		put_string(t, l->v[i]);
}

static void put_rule(struct text *t, const struct bundle_seccomp_rule *r)
{
	put_list(t, &r->names);
	put_u64(t, action_value(r->action, r->has_errno, r->errno_ret));
	put_u64(t, r->n_args);
	for (size_t i = 0; i < r->n_args; i++) {
		put_u64(t, r->args[i].index);
		put_u64(t, r->args[i].value);
		put_u64(t, r->args[i].value_two);
		put_string(t, r->args[i].op);
	}
}

/* Everything that the program depends on; not the kernel, nor what is given beside the program. */
static void put_profile(struct text *t, const struct bundle_seccomp *s)
{
	const struct scmp_version *version = seccomp_version();

	put_string(t, PACKAGE_VERSION);
	put_u64(t, TRANSLATION);
	put_u64(t, (uint64_t)version->major << 32 | version->minor << 16 | version->micro);
	put_u64(t, seccomp_arch_native());
	put_u64(t, action_value(s->default_action, s->has_default_errno, s->default_errno));
	put_list(t, &s->architectures);
	put_u64(t, s->n_rules);
	for (size_t i = 0; i < s->n_rules; i++)
		put_rule(t, &s->rules[i]);
}

/* --- libseccomp ---------------------------------------------------------- */

static int add_arches(struct translation *t, struct err *e)
{
	const struct strlist *wanted = &t->profile->architectures;

	for (size_t i = 0; i < N_ARCHES; i++) {
		int rc;

		t->newest[i] = -1;
		t->in[i] = i == 0; /* the native one, which libseccomp begins with */
		for (size_t j = 0; j < wanted->n && !t->in[i]; j++)
			t->in[i] = strcmp(wanted->v[j], arches[i].name) == 0;
		if (i == 0 || !t->in[i])
			continue;
		rc = seccomp_arch_add(t->ctx, arches[i].token);
		if (rc < 0)
			return err_num(e, -rc, "seccomp profile: %s", arches[i].name);
	}
	return 0;
}

/* Notes the number on each architecture; false when it is a call of none. */
static bool note_numbers(struct translation *t, const char *name)
{
	bool any = false;

	for (size_t i = 0; i < N_ARCHES; i++) {
		int nr = t->in[i] ? seccomp_syscall_resolve_name_arch(arches[i].token, name) : -1;

		if (nr < 0)
			continue;
		any = true;
		if (nr > t->newest[i])
			t->newest[i] = nr;
	}
	return any;
}

static int rule_failed(int rc, const char *name, struct err *e)
{
	char quoted[64];

	(void)log_quote(quoted, sizeof quoted, name);
	if (rc == -EEXIST)
		return err_set(e, EINVAL,
			       "seccomp profile: two actions for the same arguments of \"%s\"", quoted);
	return err_num(e, -rc, "seccomp profile: rule for \"%s\"", quoted);
}

/* One name of a rule, whose conditions stand each on an argument of its own, or are one. */
static int add_conditions(struct translation *t, uint32_t action, const char *name,
			  const struct scmp_arg_cmp *conds, unsigned n, struct err *e)
{
	int rc = seccomp_rule_add_array(t->ctx, action, seccomp_syscall_resolve_name(name), n, conds);

	if (rc < 0)
		return rule_failed(rc, name, e);
	t->n_rules++;
	return 0;
}

static int add_name(struct translation *t, const struct bundle_seccomp_rule *r, uint32_t action,
		    const char *name, struct err *e)
{
	struct scmp_arg_cmp conds[6];
	unsigned seen = 0;
	bool apart = false;
	int rc = 0;

	for (size_t i = 0; i < r->n_args; i++) {
		apart = apart || (seen & 1U << r->args[i].index);
		seen |= 1U << r->args[i].index;
	}
	for (size_t i = 0; i < r->n_args && rc == 0; i++) {
		const struct bundle_seccomp_arg *a = &r->args[i];
		struct scmp_arg_cmp cond = { .arg = a->index, .op = operator_value(a->op),
					     .datum_a = a->value, .datum_b = a->value_two };

		if (apart)
			rc = add_conditions(t, action, name, &cond, 1, e);
		else
			conds[i] = cond;
	}
	return apart ? rc : add_conditions(t, action, name, conds, (unsigned)r->n_args, e);
}

static int add_rules(struct translation *t, struct err *e)
{
	for (size_t i = 0; i < t->profile->n_rules; i++) {
		const struct bundle_seccomp_rule *r = &t->profile->rules[i];
		uint32_t action = action_value(r->action, r->has_errno, r->errno_ret);

		for (size_t j = 0; j < r->names.n; j++) {
			int rc;

			if (!note_numbers(t, r->names.v[j]))
				continue;
			if (action == t->default_action) /* libseccomp calls that an error */
				continue;
			rc = add_name(t, r, action, r->names.v[j], e);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* --- the program --------------------------------------------------------- */

/* libseccomp's programs are several times as long as they have to be, and attaching costs by length. */
static void shrink(struct bpf_prog *p)
{
	struct bpf_prog smaller = { 0 };

	if (bpf_prog_shrink(p, &smaller) < 0)
		return;
	if (smaller.n < p->n) {
		struct bpf_prog old = *p;

		*p = smaller;
		smaller = old;
	}
	bpf_prog_fini(&smaller);
}

/* Room for answer_newer()'s instructions: for each architecture four, the load and the return. */
#define NEWER_MAX (2 + 4 * N_ARCHES)

/*
 * Instructions before libseccomp's program: a call newer than all that the
 * profile names is answered ENOSYS. Their number, 0 when the profile is to have
 * none. x32 is left to the program: its numbers are not in order with the rest.
 */
static unsigned answer_newer(const struct translation *t, struct sock_filter *v)
{
	uint32_t act = t->default_action & SECCOMP_RET_ACTION_FULL;
	unsigned n = 1, end;

	if (t->default_action == SCMP_ACT_ERRNO(ENOSYS) || act == SECCOMP_RET_ALLOW ||
	    act == SECCOMP_RET_LOG || act == SECCOMP_RET_TRACE || act == SECCOMP_RET_USER_NOTIF)
		return 0;
	v[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < N_ARCHES; i++) {
		if (t->newest[i] < 0 || arches[i].token == SCMP_ARCH_X32)
			continue;
		v[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arches[i].audit, 0, 3);
		v[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, nr));
		v[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 0);
		v[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K,
						      (uint32_t)t->newest[i], 0, 0);
	}
	if (n == 1)
		return 0;
	end = n + 1;
	for (unsigned i = 1; i < n; i += 4) {
		v[i + 2].jt = (uint8_t)(end - (i + 2) - 1);
		v[i + 3].jt = (uint8_t)(n - (i + 3) - 1);
		v[i + 3].jf = (uint8_t)(end - (i + 3) - 1);
	}
	v[n - 4].jf = (uint8_t)(end - (n - 4) - 1); /* no further architecture to look for */
	v[n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	return end;
}

static int export_program(struct translation *t, struct bpf_prog *ret, struct err *e)
{
	AUTO_FD int fd = memfd_create("seccomp", MFD_CLOEXEC);
	AUTO_FREE struct sock_filter *v = NULL;
	struct sock_filter before[NEWER_MAX];
	size_t n_before, n;
	struct stat st;
	int rc;

	if (fd < 0)
		return err_sys(e, "seccomp profile");
	rc = seccomp_export_bpf(t->ctx, fd);
	if (rc < 0)
		return err_num(e, -rc, "seccomp profile: compiling it");
	if (fstat(fd, &st) < 0)
		return err_sys(e, "seccomp profile");
	n_before = answer_newer(t, before);
	n = (size_t)st.st_size / sizeof *v;
	if (n + n_before > BPF_MAXINSNS)
		return err_set(e, E2BIG, "seccomp profile: %zu instructions; the kernel takes %d",
			       n + n_before, BPF_MAXINSNS);
	v = malloc((n + n_before) * sizeof *v);
	if (!v)
		return err_num(e, ENOMEM, "seccomp profile");
	memcpy(v, before, n_before * sizeof *v);
	if (pread(fd, v + n_before, n * sizeof *v, 0) != (ssize_t)(n * sizeof *v))
		/* cppcheck-suppress memleak ; freed by AUTO_FREE */
		return err_set(e, EIO, "seccomp profile: short read of the program");
	ret->n = (unsigned short)(n + n_before);
	ret->v = mem_take(&v);
	shrink(ret);
	return 0;
}

static int compile_in(struct translation *t, struct bpf_prog *ret, struct err *e)
{
	int rc = add_arches(t, e);

	if (rc == 0)
		rc = add_rules(t, e);
	if (rc == 0 && t->n_rules > TREE_RULES)
		rc = seccomp_attr_set(t->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0 ?
			     err_set(e, EINVAL, "seccomp profile: libseccomp cannot optimise") :
			     0;
	return rc < 0 ? rc : export_program(t, ret, e);
}

static int compile(const struct bundle_seccomp *s, struct bpf_prog *ret, struct err *e)
{
	struct translation t = { .profile = s };
	int rc;

	t.default_action = action_value(s->default_action, s->has_default_errno, s->default_errno);
	t.ctx = seccomp_init(t.default_action);
	if (!t.ctx)
		return err_set(e, EINVAL, "seccomp profile: libseccomp refuses the default action %s",
			       s->default_action);
	rc = compile_in(&t, ret, e);
	seccomp_release(t.ctx);
	return rc;
}

int profile_oci_build(const struct bundle_seccomp *s, int cache_dirfd, struct profile_oci *ret,
		      struct err *e)
{
	struct profile_oci r = { .flags = flags_value(s), .notify = notifies(s) };
	struct text key = { 0 };
	int rc = 0;

	if (!r.notify) /* it is about the listener; the kernel refuses it without one */
		r.flags &= ~(unsigned)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	if (cache_dirfd >= 0) {
		put_profile(&key, s);
		r.store_error = key.failed ? ENOMEM : 0;
	}
	if (cache_dirfd >= 0 && !key.failed)
		r.cached = profile_cache_find(cache_dirfd, key.v, key.n, &r.prog) > 0;
	if (!r.cached)
		rc = compile(s, &r.prog, e);
	if (rc == 0 && !r.cached && cache_dirfd >= 0 && !key.failed)
		r.store_error = -profile_cache_store(cache_dirfd, key.v, key.n, &r.prog);
	free(key.v);
	if (rc == 0)
		*ret = r;
	return rc;
}
