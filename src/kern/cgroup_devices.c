/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources.devices: which device nodes may be made, read and written.
 *
 * Theory of operation. The spec's list is applied in order and the last rule
 * that matches decides, for each of read, write and mknod by itself. A list
 * starts from "deny all" plus the default devices that a container cannot do
 * without (the spec's table, the console, pseudo terminals, and mknod(2), which
 * by itself opens nothing). So the list
 *
 *     [ deny all ]                       is the default devices,
 *     [ deny all, allow c 10:229 rwm ]   those and /dev/fuse,
 *     [ allow all, deny b 8:0 rwm ]      everything but one disk.
 *
 * A rule for all devices and all accesses makes everything before it void.
 *
 * v2: an eBPF program on the cgroup, made here instruction by instruction
 * (BPF_PROG_TYPE_CGROUP_DEVICE, kernel/bpf/cgroup.c). It walks the list from
 * its end with the requested accesses as a bit set, and takes out what each
 * matching rule allows; a deny that meets a remaining bit ends in "no".
 *
 * v1: devices.allow and devices.deny (Documentation/admin-guide/cgroup-v1/
 * devices.rst). The kernel keeps exceptions to a default, and taking one back
 * works only with the numbers it was made with. A list that would need more is
 * refused, not approximated.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/cgroup_impl.h"

#define ACC_ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)
#define PROGS_MAX 64 /* programs on one cgroup, BPF_CGROUP_MAX_PROGS */

struct dev_rule {
	int64_t major, minor; /* -1: all */
	unsigned access;      /* BPF_DEVCG_ACC_* */
	char type;            /* 'b' or 'c' */
	bool allow;
};

/* What is left of a list: the verdict when no rule matches, and rules of one type each. */
struct dev_list {
	bool allow_rest;
	struct dev_rule *v; /* owned */
	size_t n;
};

#define MK BPF_DEVCG_ACC_MKNOD
static const struct dev_rule default_devices[] = {
	{ -1, -1, MK, 'c', true },	 { -1, -1, MK, 'b', true },
	{ 1, 3, ACC_ALL, 'c', true },	 /* null */
	{ 1, 5, ACC_ALL, 'c', true },	 /* zero */
	{ 1, 7, ACC_ALL, 'c', true },	 /* full */
	{ 1, 8, ACC_ALL, 'c', true },	 /* random */
	{ 1, 9, ACC_ALL, 'c', true },	 /* urandom */
	{ 5, 0, ACC_ALL, 'c', true },	 /* tty */
	{ 5, 1, ACC_ALL, 'c', true },	 /* console */
	{ 5, 2, ACC_ALL, 'c', true },	 /* ptmx */
	{ 136, -1, ACC_ALL, 'c', true }, /* pts */
};
#undef MK
#define N_DEFAULT (sizeof default_devices / sizeof *default_devices)

static unsigned access_bits(const char *text)
{
	unsigned bits = 0;

	if (!text || !*text)
		return ACC_ALL;
	for (; *text; text++) {
		if (*text == 'r')
			bits |= BPF_DEVCG_ACC_READ;
		if (*text == 'w')
			bits |= BPF_DEVCG_ACC_WRITE;
		if (*text == 'm')
			bits |= BPF_DEVCG_ACC_MKNOD;
	}
	return bits;
}

static bool any_type(const struct bundle_device_rule *r)
{
	return r->type != 'b' && r->type != 'c';
}

static bool is_all(const struct bundle_device_rule *r)
{
	return any_type(r) && r->major < 0 && r->minor < 0 && access_bits(r->access) == ACC_ALL;
}

static void add(struct dev_list *l, const struct bundle_device_rule *r, char type)
{
	l->v[l->n++] = (struct dev_rule){ .allow = r->allow,
					  .type = type,
					  .major = r->major,
					  .minor = r->minor,
					  .access = access_bits(r->access) };
}

/* The list as it takes effect; l->v is to be freed. -ENOMEM. */
static int flatten(const struct bundle_resources *r, struct dev_list *l)
{
	size_t start = 0;

	*l = (struct dev_list){ 0 };
	for (size_t i = 0; i < r->n_devices; i++) {
		if (!is_all(&r->devices[i]))
			continue;
		l->allow_rest = r->devices[i].allow;
		start = i + 1;
	}
	l->v = calloc(N_DEFAULT + 2 * (r->n_devices - start) + 1, sizeof *l->v);
	if (!l->v)
		return -ENOMEM;
	if (!l->allow_rest) {
		memcpy(l->v, default_devices, sizeof default_devices);
		l->n = N_DEFAULT;
	}
	for (size_t i = start; i < r->n_devices; i++) {
		const struct bundle_device_rule *d = &r->devices[i];

		if (any_type(d) || d->type == 'b')
			add(l, d, 'b');
		if (any_type(d) || d->type == 'c')
			add(l, d, 'c');
	}
	return 0;
}

static bool covers(int64_t wide, int64_t narrow)
{
	return wide < 0 || wide == narrow;
}

bool cgroup_devices_only_default(const struct bundle_resources *r)
{
	struct dev_list l;
	bool only = flatten(r, &l) == 0 && !l.allow_rest;

	for (size_t i = N_DEFAULT; only && i < l.n; i++) {
		const struct dev_rule *v = &l.v[i];
		bool known = false;

		for (size_t k = 0; k < N_DEFAULT; k++) {
			const struct dev_rule *d = &default_devices[k];

			known = known || (d->type == v->type && covers(d->major, v->major) &&
					  covers(d->minor, v->minor) && !(v->access & ~d->access));
		}
		only = v->allow && known;
	}
	free(l.v);
	return only;
}

/* --- v2 --- */

static int sys_bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(__NR_bpf, cmd, attr, sizeof *attr);
}

#define INSN(c, d, s, o, i)                                                                        \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

#define PROLOGUE 6
#define RULE_MAX 8 /* instructions of one rule */

/*
 * Registers: r2 accesses asked for and not decided yet, r3 type, r4 major, r5
 * minor. `n` is where the rule starts; each test jumps to the instruction
 * after it.
 */
static size_t emit_rule(struct bpf_insn *p, const struct dev_rule *r)
{
	size_t len = 1 + (r->major >= 0) + (r->minor >= 0) + 4 + !r->allow;
	size_t n = 0;
	int type = r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;

#define PAST ((short)(len - n - 1)) /* from here to the next rule */
	p[n] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 3, 0, PAST, type);
	n++;
	if (r->major >= 0) {
		p[n] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 4, 0, PAST, (int)r->major);
		n++;
	}
	if (r->minor >= 0) {
		p[n] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 5, 0, PAST, (int)r->minor);
		n++;
	}
	if (r->allow) {
		p[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, ~(int)r->access);
		p[n] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, PAST, 0);
		n++;
		p[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
	} else {
		p[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 0, 2, 0, 0);
		p[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0, (int)r->access);
		p[n] = INSN(BPF_JMP32 | BPF_JEQ | BPF_K, 0, 0, PAST, 0);
		n++;
		p[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	}
	p[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
#undef PAST
	return n;
}

/* The whole program; the caller frees. NULL when memory runs out. */
static struct bpf_insn *emit(const struct dev_list *l, size_t *ret_n)
{
	struct bpf_insn *p = calloc(PROLOGUE + RULE_MAX * l->n + 2, sizeof *p);
	size_t n = 0;

	if (!p)
		return NULL;
	/* struct bpf_cgroup_dev_ctx: access_type (accesses in the upper half), major, minor */
	p[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0);
	p[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0);
	p[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 3, 0, 0, 0xffff);
	p[n++] = INSN(BPF_ALU | BPF_RSH | BPF_K, 2, 0, 0, 16);
	p[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0);
	p[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0);
	for (size_t i = l->n; i-- > 0;)
		n += emit_rule(p + n, &l->v[i]);
	p[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, l->allow_rest);
	p[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	*ret_n = n;
	return p;
}

static int load(const struct dev_list *l)
{
	static const char licence[] = "Apache-2.0";
	AUTO_FREE struct bpf_insn *insns = NULL;
	union bpf_attr attr;
	size_t n;
	int fd;

	insns = emit(l, &n);
	if (!insns)
		return -ENOMEM;
	memset(&attr, 0, sizeof attr);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uintptr_t)licence;
	memcpy(attr.prog_name, "vrun_devices", sizeof "vrun_devices");
	fd = sys_bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		return -errno;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

/* Ids of the programs that sit on the directory itself. Their number, or -errno. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes there */
static int query(int cgroup_fd, uint32_t *ids)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = PROGS_MAX;
	return sys_bpf(BPF_PROG_QUERY, &attr) < 0 ? -errno : (int)attr.query.prog_cnt;
}

static int attach(int cgroup_fd, int prog)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI; /* others above and below us keep theirs */
	return sys_bpf(BPF_PROG_ATTACH, &attr) < 0 ? -errno : 0;
}

static int detach(int cgroup_fd, uint32_t id)
{
	union bpf_attr attr;
	AUTO_FD int prog = -1;

	memset(&attr, 0, sizeof attr);
	attr.prog_id = id;
	prog = sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
	if (prog < 0)
		return -errno;
	memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog;
	attr.attach_type = BPF_CGROUP_DEVICE;
	return sys_bpf(BPF_PROG_DETACH, &attr) < 0 ? -errno : 0;
}

/*
 * Every program on a cgroup has to agree, so a new one is attached before the
 * old ones go: at no time is more allowed than one of the two lists says.
 */
static int replace(int cgroup_fd, const struct dev_list *l, bool update)
{
	uint32_t ids[PROGS_MAX];
	int n = update ? query(cgroup_fd, ids) : 0;
	AUTO_FD int prog = n < 0 ? n : load(l);
	int rc = prog < 0 ? prog : attach(cgroup_fd, prog);

	for (int i = 0; rc == 0 && i < n; i++)
		rc = detach(cgroup_fd, ids[i]);
	return rc;
}

int cgroup_v2_devices(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	struct dev_list l;
	int rc = flatten(a->r, &l);

	if (rc == 0)
		rc = replace(d->fd, &l, a->update);
	free(l.v);
	if (rc == -EPERM || rc == -EACCES)
		return cgroup_refuse(a, EACCES,
				     "run it as root, leave all but the default devices out of "
				     "linux.resources.devices, or pass --best-effort",
				     "linux.resources.devices: loading a device program needs "
				     "CAP_BPF on the host: %s",
				     err_text(-rc));
	if (rc == -EINVAL || rc == -ENOSYS)
		return cgroup_refuse(a, ENOTSUP, NULL,
				     "linux.resources.devices: this kernel has no device programs "
				     "(CONFIG_CGROUP_BPF): %s",
				     err_text(-rc));
	if (rc < 0)
		return cgroup_refuse(a, -rc, NULL, "linux.resources.devices: %s", err_text(-rc));
	return 0;
}

/* --- v1 --- */

static bool overlap(int64_t a, int64_t b)
{
	return a < 0 || b < 0 || a == b;
}

/*
 * v1 keeps exceptions to the default verdict. A rule that goes back to the
 * default has to name every exception that it touches exactly.
 */
static bool v1_can_say(const struct dev_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct dev_rule *back = &l->v[i];

		if (back->allow != l->allow_rest)
			continue;
		for (size_t k = 0; k < i; k++) {
			const struct dev_rule *x = &l->v[k];

			if (x->allow == back->allow || x->type != back->type ||
			    !(x->access & back->access) || !overlap(x->major, back->major) ||
			    !overlap(x->minor, back->minor))
				continue;
			if (x->major != back->major || x->minor != back->minor)
				return false;
		}
	}
	return true;
}

static int write_rule(int allow_fd, int deny_fd, const struct dev_rule *r)
{
	char major[24] = "*", minor[24] = "*", text[80];

	if (r->major >= 0)
		(void)snprintf(major, sizeof major, "%lld", (long long)r->major);
	if (r->minor >= 0)
		(void)snprintf(minor, sizeof minor, "%lld", (long long)r->minor);
	(void)snprintf(text, sizeof text, "%c %s:%s %s%s%s", r->type, major, minor,
		       r->access & BPF_DEVCG_ACC_READ ? "r" : "",
		       r->access & BPF_DEVCG_ACC_WRITE ? "w" : "",
		       r->access & BPF_DEVCG_ACC_MKNOD ? "m" : "");
	return fd_write_all(r->allow ? allow_fd : deny_fd, text, strlen(text));
}

static int write_list(const struct cgroup_dir *d, const struct dev_list *l)
{
	AUTO_FD int allow = openat(d->fd, "devices.allow", O_WRONLY | O_CLOEXEC);
	AUTO_FD int deny = openat(d->fd, "devices.deny", O_WRONLY | O_CLOEXEC);
	size_t first = 0;
	int rc;

	if (allow < 0 || deny < 0)
		return -errno;
	/* Where nothing is taken back the order says nothing, and who reads devices.list expects the bundle's first. */
	while (first < l->n && l->v[first].allow)
		first++;
	first = l->allow_rest || first < l->n ? 0 : N_DEFAULT;
	rc = fd_write_all(l->allow_rest ? allow : deny, "a", 1);
	for (size_t k = 0; rc == 0 && k < l->n; k++) {
		size_t i = (first + k) % l->n;

		rc = write_rule(allow, deny, &l->v[i]);
		/* The cgroup above may allow less than the defaults: less is what there will be. */
		if (rc == -EPERM && !l->allow_rest && i < N_DEFAULT)
			rc = 0;
	}
	return rc;
}

int cgroup_v1_devices(struct cgroup_apply *a, const struct cgroup_dir *d)
{
	struct dev_list l;
	bool frozen = true, sayable;
	int rc = flatten(a->r, &l);

	if (rc < 0)
		return err_num(a->e, ENOMEM, "linux.resources.devices");
	sayable = v1_can_say(&l);
	/* The list is rebuilt from nothing: a running app must not see it half done. */
	if (sayable && a->update && cgroup_frozen(a->cg, &frozen, NULL) == 0 && !frozen)
		(void)cgroup_freeze(a->cg, NULL);
	if (sayable)
		rc = write_list(d, &l);
	if (sayable && a->update && !frozen)
		(void)cgroup_thaw(a->cg, NULL);
	free(l.v);
	if (!sayable)
		return cgroup_refuse(a, ENOTSUP, "list the allowed devices one by one",
				     "linux.resources.devices: cgroup v1 cannot take a part out of "
				     "a rule with wildcards");
	return rc < 0 ? cgroup_failed(a, rc, d, "devices", "devices.allow") : 0;
}
