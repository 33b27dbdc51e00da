/* SPDX-License-Identifier: Apache-2.0 */
/* The table of trapped calls as rules for a seccomp filter. */
#ifndef VRUN_KERN_TRAPS_H
#define VRUN_KERN_TRAPS_H

#include "kern/bpf.h"
#include "model/syscalls.h"

struct traps {
	struct bpf_rule rules[SYSCALL_RULES_MAX];
	size_t n;
	struct bpf_cond conds[SYSCALL_RULES_MAX * SYSCALL_CONDS_MAX * 2]; /* what the rules point to */
};

/* Fills *ret for what a policy needs (policy_needs()), for profile_params.extra; it must stay where
 * it is while the rules are used. */
void traps_rules(unsigned needs, struct traps *ret);

/*
 * A filter of these rules alone, for an app whose profile is its bundle's own:
 * it shuts what would get round them (io_uring, calls of other architectures)
 * and leaves the rest to that filter. bpf_prog_fini() after success.
 */
int traps_build(const struct traps *t, struct bpf_prog *ret, struct err *e);

#endif
