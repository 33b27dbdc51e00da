/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/profile_setid.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/stat.h>

#include "base/kernel.h"

#define SET_ID (S_ISUID | S_ISGID)
#define SHUT (SECCOMP_RET_ERRNO | EPERM)
#define HAS(n, bits) { .arg = (n), .op = BPF_OP_MASKED_NE, .low32 = true, .mask = (bits) }

/* The mode as argument 1, 2 or 3; where open takes a mode. The kernel takes mode and flags as ints. */
static const struct bpf_cond mode_1[] = { HAS(1, SET_ID) };
static const struct bpf_cond mode_2[] = { HAS(2, SET_ID) };
static const struct bpf_cond openat_makes[] = { HAS(2, O_CREAT), HAS(3, SET_ID) };
static const struct bpf_cond openat_makes_unnamed[] = { HAS(2, __O_TMPFILE), HAS(3, SET_ID) };
#ifdef __x86_64__
static const struct bpf_cond open_makes[] = { HAS(1, O_CREAT), HAS(2, SET_ID) };
static const struct bpf_cond open_makes_unnamed[] = { HAS(1, __O_TMPFILE), HAS(2, SET_ID) };
#endif

#define WHEN(list) .conds = (list), .n_conds = sizeof(list) / sizeof(list)[0]

static const struct bpf_rule rules[] = {
	{ .nr = __NR_fchmod, .action = SHUT, WHEN(mode_1) },
	{ .nr = __NR_fchmodat, .action = SHUT, WHEN(mode_2) },
	{ .nr = __NR_fchmodat2, .action = SHUT, WHEN(mode_2) },
	{ .nr = __NR_mknodat, .action = SHUT, WHEN(mode_2) },
	{ .nr = __NR_openat, .action = SHUT, WHEN(openat_makes) },
	{ .nr = __NR_openat, .action = SHUT, WHEN(openat_makes_unnamed) },
	{ .nr = __NR_openat2, .action = SECCOMP_RET_ERRNO | ENOSYS },
#ifdef __x86_64__
	{ .nr = __NR_chmod, .action = SHUT, WHEN(mode_1) },
	{ .nr = __NR_creat, .action = SHUT, WHEN(mode_1) },
	{ .nr = __NR_mknod, .action = SHUT, WHEN(mode_1) },
	{ .nr = __NR_open, .action = SHUT, WHEN(open_makes) },
	{ .nr = __NR_open, .action = SHUT, WHEN(open_makes_unnamed) },
#endif
};

const struct bpf_rule *profile_setid_rules(size_t *ret_n)
{
	*ret_n = sizeof rules / sizeof rules[0];
	return rules;
}
