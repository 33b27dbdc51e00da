/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/traps.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/fd.h"

static uint32_t action_of(const struct syscall_rule *r)
{
	switch (r->verdict) {
	case SYSCALL_ALLOW:
		return SECCOMP_RET_ALLOW;
	case SYSCALL_TRAP:
		return SECCOMP_RET_USER_NOTIF;
	case SYSCALL_REFUSE:
		break;
	}
	return SECCOMP_RET_ERRNO | (uint32_t)r->error;
}

/* Writes one or two conditions; returns how many. */
static unsigned convert(const struct syscall_cond *c, struct bpf_cond *to)
{
	to[0] = (struct bpf_cond){ .arg = c->arg, .low32 = true, .value = c->lo };
	if (c->masked || c->masked_eq) {
		to[0].op = c->masked_eq ? BPF_OP_MASKED_EQ : BPF_OP_MASKED_NE;
		to[0].mask = c->lo;
		to[0].value = c->masked_eq ? c->hi : 0;
		return 1;
	}
	if (c->lo == c->hi)
		return 1; /* op 0 is equality */
	to[0].op = BPF_OP_GE;
	to[1] = (struct bpf_cond){ .arg = c->arg, .op = BPF_OP_LE, .low32 = true, .value = c->hi };
	return 2;
}

void traps_rules(unsigned needs, struct traps *ret)
{
	struct syscall_rules from;
	struct bpf_cond *next = ret->conds;

	syscalls_rules(needs, &from);
	ret->n = from.n;
	for (size_t i = 0; i < from.n; i++) {
		struct bpf_rule *to = &ret->rules[i];

		*to = (struct bpf_rule){ .nr = from.v[i].nr,
					 .action = action_of(&from.v[i]),
					 .conds = next };
		for (unsigned c = 0; c < from.v[i].n_conds; c++)
			to->n_conds += convert(&from.v[i].conds[c], &next[to->n_conds]);
		next += to->n_conds;
	}
}

int traps_build(const struct traps *t, struct bpf_prog *ret, struct err *e)
{
	/* A ring would make the app's socket calls without the filter being asked. */
	static const uint32_t shut[] = { __NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register };
	AUTO_FREE struct bpf_table *table = calloc(1, sizeof *table);
	int rc = 0;

	if (!table)
		return err_num(e, ENOMEM, "the supervisor's rules");
	table->arch = BPF_NATIVE_ARCH;
	table->foreign_action = SECCOMP_RET_KILL_PROCESS;
	table->x32_action = SECCOMP_RET_ERRNO | ENOSYS;
	table->default_action = SECCOMP_RET_ALLOW;
	for (size_t i = 0; i < t->n && rc == 0; i++)
		rc = bpf_table_add(table, t->rules[i].nr, t->rules[i].action, t->rules[i].conds,
				   t->rules[i].n_conds);
	for (size_t i = 0; i < sizeof shut / sizeof *shut && rc == 0; i++)
		rc = bpf_table_add(table, shut[i], SECCOMP_RET_ERRNO | EPERM, NULL, 0);
	return rc < 0 ? err_num(e, -rc, "the supervisor's rules") : bpf_compile(table, ret, e);
}
