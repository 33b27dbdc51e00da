/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiler from a table of rules to a seccomp filter (classic BPF, as
 * Documentation/userspace-api/seccomp_filter.rst describes it).
 *
 * The meaning of a table is deliberately plain: the rules are tried in order,
 * and the first one whose number is the call's and whose conditions all hold
 * decides; when none does, the table's default decides.
 */
#ifndef VRUN_KERN_BPF_H
#define VRUN_KERN_BPF_H

#include <linux/filter.h>
#include <linux/audit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The architecture that vrun is made for, of whose numbers its tables are. */
#if defined __x86_64__
#define BPF_NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define BPF_NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
/* cppcheck-suppress preprocessorErrorDirective */
#error "the system-call tables know x86_64 and aarch64"
#endif

enum bpf_op {
	BPF_OP_EQ,
	BPF_OP_NE,
	BPF_OP_LT,
	BPF_OP_LE,
	BPF_OP_GT,
	BPF_OP_GE,
	BPF_OP_MASKED_EQ, /* (argument & mask) == value */
	BPF_OP_MASKED_NE, /* (argument & mask) != value */
};

/*
 * A condition on one argument, compared without sign. `low32` looks at the
 * low half only: where the kernel takes an int or unsigned int it ignores the
 * high half, so a rule that looked at it could be walked around.
 */
struct bpf_cond {
	uint8_t arg; /* 0 to 5 */
	uint8_t op;  /* enum bpf_op */
	bool low32;
	uint64_t value;
	uint64_t mask; /* MASKED_* only; not 0, and it covers value */
};

#define BPF_CONDS_MAX 8

struct bpf_rule {
	uint32_t nr;     /* system call number */
	uint32_t action; /* SECCOMP_RET_* with its data */
	const struct bpf_cond *conds; /* borrowed; all must hold; NULL when there are none */
	unsigned n_conds; /* at most BPF_CONDS_MAX */
};

#define BPF_RULES_MAX 768

struct bpf_table {
	uint32_t arch;           /* AUDIT_ARCH_* that the numbers belong to */
	uint32_t foreign_action; /* for calls of any other architecture */
	uint32_t x32_action;     /* AUDIT_ARCH_X86_64 only: numbers from 0x40000000 on */
	uint32_t default_action; /* for calls that no rule decides */
	size_t n_rules;
	struct bpf_rule rules[BPF_RULES_MAX];
};

/* Appends a rule; it comes after those that are there. -E2BIG when the table is full. */
int bpf_table_add(struct bpf_table *t, uint32_t nr, uint32_t action, const struct bpf_cond *conds,
		  unsigned n_conds);

/* A program for seccomp(2). `v` is owned: bpf_prog_fini(). */
struct bpf_prog {
	struct sock_filter *v;
	unsigned short n;
};

/*
 * Compiles the table. Calls that are always allowed are decided by their
 * number alone, so that the kernel's bitmap (kernel/seccomp.c,
 * seccomp_cache_prepare) lets them pass without running the filter.
 * -EINVAL: a condition that cannot be met or names no argument; -E2BIG: more
 * than the kernel's 4096 instructions; -ENOMEM.
 */
int bpf_compile(const struct bpf_table *t, struct bpf_prog *ret, struct err *e);

void bpf_prog_fini(struct bpf_prog *p);

/*
 * Rewrites a program, such as libseccomp's, so that it costs the kernel less;
 * its verdict stays the same for every system call there can be. It may come
 * out larger: compare. -ENOTSUP: it decides in a way that is not understood;
 * -E2BIG, -ENOMEM. In any case the program given is still good.
 */
int bpf_prog_shrink(const struct bpf_prog *p, struct bpf_prog *ret);

/*
 * NULL when the program is sound: only the instructions that libseccomp and
 * this compiler write, no load and no jump out of bounds, known actions. Else
 * what is wrong.
 */
const char *bpf_prog_check(const struct bpf_prog *p);

#endif
