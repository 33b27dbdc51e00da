/* SPDX-License-Identifier: Apache-2.0 */
/* The meaning of a rule table, walked rule by rule: what a compiled filter is held to. */
#ifndef VRUN_TESTS_BPF_NAIVE_H
#define VRUN_TESTS_BPF_NAIVE_H

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "kern/bpf.h"

static inline bool naive_cond(const struct bpf_cond *k, const struct seccomp_data *d)
{
	uint64_t a = d->args[k->arg];

	if (k->low32)
		a &= UINT32_MAX;
	switch ((enum bpf_op)k->op) {
	case BPF_OP_EQ:
		return a == k->value;
	case BPF_OP_NE:
		return a != k->value;
	case BPF_OP_LT:
		return a < k->value;
	case BPF_OP_LE:
		return a <= k->value;
	case BPF_OP_GT:
		return a > k->value;
	case BPF_OP_GE:
		return a >= k->value;
	case BPF_OP_MASKED_EQ:
		return (a & k->mask) == k->value;
	case BPF_OP_MASKED_NE:
		return (a & k->mask) != k->value;
	}
	return false;
}

static inline uint32_t naive_verdict(const struct bpf_table *t, const struct seccomp_data *d)
{
	if (d->arch != t->arch)
		return t->foreign_action;
	if (t->arch == AUDIT_ARCH_X86_64 && (uint32_t)d->nr >= 0x40000000)
		return t->x32_action;
	for (size_t i = 0; i < t->n_rules; i++) {
		const struct bpf_rule *r = &t->rules[i];
		bool holds = r->nr == (uint32_t)d->nr;

		for (unsigned j = 0; j < r->n_conds && holds; j++)
			holds = naive_cond(&r->conds[j], d);
		if (holds)
			return r->action;
	}
	return t->default_action;
}

#endif
