/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler of filters against the plain meaning of its table: every
 * verdict of a compiled program is compared with a naive walk over the rules.
 */
#include "kern/bpf.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>

#include "bpf_naive.h"
#include "bpf_sim.h"
#include "rng.h"
#include "tap.h"

#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))

static struct bpf_table table;

/* Values at and around everything that conditions compare with, and noise. */
static uint64_t pick(const struct bpf_table *t, uint32_t nr, unsigned arg)
{
	uint64_t v = rng();

	if (v % 5 == 0 || t->n_rules == 0)
		return rng();
	if (v % 5 == 1)
		return rng() % 8;
	for (size_t i = 0, start = rng() % t->n_rules; i < t->n_rules; i++) {
		const struct bpf_rule *r = &t->rules[(start + i) % t->n_rules];

		if (r->nr != nr)
			continue;
		for (unsigned j = 0; j < r->n_conds; j++) {
			if (r->conds[j].arg != arg || rng() % 3 == 0)
				continue;
			v = r->conds[j].value + rng() % 3 - 1;
			if (r->conds[j].mask)
				v |= rng() & ~r->conds[j].mask;
			if (rng() % 2)
				v ^= (uint64_t)1 << rng() % 64;
			return rng() % 2 ? v : (v & UINT32_MAX) | rng() << 32;
		}
	}
	return rng();
}

static void report(const struct bpf_table *t, const struct seccomp_data *d, uint32_t got)
{
	printf("# call %d arch %08x args %llx %llx %llx %llx %llx %llx: got %08x want %08x\n", d->nr,
	       d->arch, (unsigned long long)d->args[0], (unsigned long long)d->args[1],
	       (unsigned long long)d->args[2], (unsigned long long)d->args[3],
	       (unsigned long long)d->args[4], (unsigned long long)d->args[5], got, naive_verdict(t, d));
}

/* A random program of the kind that bpf_prog_check() lets through; the last instruction returns. */
static void random_program(struct sock_filter *v, unsigned n)
{
	static const uint32_t values[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, 0x40000000, 0, 1, 2, 3, 5, 8,
					   100, 0x80000000, 0xffffffff };
	static const uint16_t ops[] = { BPF_JEQ, BPF_JEQ, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET };
	bool strange = rng() % 4 == 0; /* or only what can be understood */

	for (unsigned i = 0; i < n; i++) {
		unsigned left = n - i - 2, near = left < 6 ? left : 6;
		uint32_t k = values[rng() % 12];
		uint16_t op = ops[rng() % 6];

		if (i + 1 >= n || rng() % 9 == 0) {
			v[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
							    rng() % 2 ? SECCOMP_RET_ALLOW : ERRNO(rng() % 5));
		} else if (i == 0 || rng() % 5 == 0) {
			v[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							    4 * (uint32_t)(rng() % (rng() % 3 ? 2 : 8)));
		} else if (rng() % 30 == 0) {
			v[i] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(rng() % (near + 1)));
		} else if (strange && rng() % 20 == 0) {
			v[i] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k);
		} else {
			if (!strange && op == BPF_JSET)
				k = 0x40000000;
			if (!strange && k > 0x80000000 && k != UINT32_MAX)
				op = BPF_JEQ;
			v[i] = (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | BPF_K | op), k,
							    (uint8_t)(rng() % (near + 1)),
							    (uint8_t)(rng() % (near + 1)));
		}
	}
}

/* Whether two programs agree on this many random calls. */
static bool agree(const struct bpf_prog *a, const struct bpf_prog *b, unsigned calls)
{
	static const uint32_t arches[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, 0, 1, AUDIT_ARCH_ARM };
	static const uint32_t nrs[] = { 0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0xbfffffff,
					0xc0000000, 0xffffffff };

	for (unsigned i = 0; i < calls; i++) {
		struct seccomp_data d = { .nr = (int)(rng() % 4 ? rng() % 110 : nrs[rng() % 7]),
					  .arch = arches[rng() % 5] };
		uint32_t x, y;

		for (unsigned j = 0; j < 3; j++)
			d.args[j] = rng() % 2 ? rng() % 9 : 0x40000000ULL << rng() % 34;
		x = bpf_sim_run(a->v, a->n, &d, NULL);
		y = bpf_sim_run(b->v, b->n, &d, NULL);
		if (x == y)
			continue;
		printf("# call %d arch %08x: %08x became %08x\n", d.nr, d.arch, x, y);
		return false;
	}
	return true;
}

static void test_shrink_random(void)
{
	unsigned understood = 0, unsound = 0, wrong = 0;
	struct sock_filter v[80];

	for (unsigned round = 0; round < 30000; round++) {
		struct bpf_prog p = { .v = v, .n = (unsigned short)(2 + rng() % 78) }, q = { 0 };

		random_program(v, p.n);
		if (bpf_sim_check(p.v, p.n) || bpf_prog_check(&p)) {
			unsound++;
			continue;
		}
		if (bpf_prog_shrink(&p, &q) < 0)
			continue;
		understood++;
		if (bpf_sim_check(q.v, q.n) || !agree(&p, &q, 60))
			wrong++;
		bpf_prog_fini(&q);
	}
	TAP_INT(unsound, 0, "random programs are programs");
	TAP_OK(understood > 3000, "shrinking understands many of them (%u)", understood);
	TAP_INT(wrong, 0, "and changes no verdict");
}

/* Compares over the numbers 0 to 1100, those of the rules, x32's, and another architecture. */
static unsigned differences(const struct bpf_table *t, const struct bpf_prog *p, unsigned rounds)
{
	unsigned bad = 0;

	for (uint32_t i = 0; i < 1200 + t->n_rules * 3; i++) {
		uint32_t nr = i;

		if (i >= 1100 && i < 1200)
			nr = i < 1150 ? 0x40000000 + (uint32_t)rng() % 600 : (uint32_t)rng();
		if (i >= 1200)
			nr = t->rules[(i - 1200) / 3].nr + (i - 1200) % 3 - 1;
		for (unsigned r = 0; r < rounds; r++) {
			struct seccomp_data d = { .nr = (int)nr, .arch = t->arch };
			uint32_t got;

			if (r == 0 && i % 16 == 0)
				d.arch = AUDIT_ARCH_I386;
			for (unsigned j = 0; j < 6; j++)
				d.args[j] = pick(t, nr, j);
			got = bpf_sim_run(p->v, p->n, &d, NULL);
			if (got != naive_verdict(t, &d) && bad++ < 5)
				report(t, &d, got);
		}
	}
	return bad;
}

static void table_start(uint32_t default_action)
{
	table.arch = AUDIT_ARCH_X86_64;
	table.foreign_action = SECCOMP_RET_KILL_PROCESS;
	table.x32_action = ERRNO(38);
	table.default_action = default_action;
	table.n_rules = 0;
}

static void table_test(const char *name, unsigned rounds, unsigned max_insns)
{
	struct bpf_prog p = { 0 };
	struct err e = { 0 };
	const char *why;

	if (!TAP_OK(bpf_compile(&table, &p, &e) == 0, "%s: compiles (%s)", name, e.text))
		return;
	why = bpf_sim_check(p.v, p.n);
	TAP_OK(!why, "%s: the kernel's checks pass (%s)", name, why ? why : "");
	if (!why)
		TAP_INT(differences(&table, &p, rounds), 0, "%s: every verdict is the table's", name);
	if (!TAP_OK(p.n <= max_insns, "%s: at most %u instructions", name, max_insns))
		printf("#   got: %u\n", p.n);
	bpf_prog_fini(&p);
}

static void test_simple(void)
{
	table_start(SECCOMP_RET_ALLOW);
	table_test("no rules", 4, 7);
	table_start(ERRNO(38));
	for (uint32_t i = 0; i < 400; i++)
		(void)bpf_table_add(&table, i, SECCOMP_RET_ALLOW, NULL, 0);
	(void)bpf_table_add(&table, 17, ERRNO(1), NULL, 0);
	table_test("a later rule changes nothing", 4, 8);
	table_start(ERRNO(38));
	(void)bpf_table_add(&table, 17, ERRNO(1), NULL, 0);
	for (uint32_t i = 0; i < 400; i++)
		(void)bpf_table_add(&table, i, SECCOMP_RET_ALLOW, NULL, 0);
	table_test("an earlier rule wins", 4, 10);
	table_start(ERRNO(38));
	(void)bpf_table_add(&table, 0x3fffffff, SECCOMP_RET_ALLOW, NULL, 0);
	(void)bpf_table_add(&table, 0x00fab001, SECCOMP_RET_USER_NOTIF, NULL, 0);
	(void)bpf_table_add(&table, 0x00fab000, SECCOMP_RET_USER_NOTIF, NULL, 0);
	(void)bpf_table_add(&table, 1023, SECCOMP_RET_ALLOW, NULL, 0);
	(void)bpf_table_add(&table, 1024, ERRNO(7), NULL, 0);
	table_test("high numbers", 4, 20);
	table.arch = AUDIT_ARCH_AARCH64;
	(void)bpf_table_add(&table, UINT32_MAX, ERRNO(9), NULL, 0);
	table_test("the highest number", 4, 20);
}

static void test_each_operator(void)
{
	static const uint64_t values[] = { 0, 1, 0xffffffff, 0x100000000, 0x80000000, 0x123456789abcdef0,
					   UINT64_MAX };

	for (unsigned op = BPF_OP_EQ; op <= BPF_OP_MASKED_NE; op++) {
		struct bpf_cond conds[16][2] = { 0 };
		char name[64];
		unsigned n = 0;

		table_start(ERRNO(1));
		for (unsigned v = 0; v < sizeof values / sizeof values[0]; v++)
			for (unsigned low = 0; low < 2; low++, n++) {
				struct bpf_cond *k = conds[n];
				uint64_t mask = low ? UINT32_MAX : UINT64_MAX;

				k[0] = (struct bpf_cond){ .arg = (uint8_t)(v % 6), .op = (uint8_t)op,
							  .low32 = low, .value = values[v] & mask };
				if (op >= BPF_OP_MASKED_EQ)
					k[0].mask = (k[0].value | 0xf0f0f0f0f0f0f0f0) & mask;
				k[1] = k[0];
				k[1].arg = 5 - k[0].arg;
				(void)bpf_table_add(&table, n, SECCOMP_RET_ALLOW, k, 1 + v % 2);
			}
		(void)snprintf(name, sizeof name, "operator %u", op);
		table_test(name, 200, 250);
	}
}

static struct bpf_cond random_cond(void)
{
	struct bpf_cond k = { .arg = (uint8_t)(rng() % 3), .op = (uint8_t)(rng() % 8),
			      .low32 = rng() % 2, .value = rng() % 4 ? rng() % 5 : rng() };

	if (k.op >= BPF_OP_MASKED_EQ) {
		k.mask = rng() % 3 ? rng() : (uint64_t)1 << rng() % 64;
		if (k.low32)
			k.mask = (k.mask & UINT32_MAX) | 2;
		k.value = rng() % 2 ? 0 : k.value & k.mask;
	}
	if (k.low32)
		k.value &= UINT32_MAX;
	return k;
}

/* Many rules for few numbers: shared tails, loads left out, facts known from earlier conditions. */
static void test_random(void)
{
	static struct bpf_cond conds[BPF_RULES_MAX][3];
	unsigned bad = 0, uncompiled = 0, unchecked = 0, shrunk = 0;

	for (unsigned round = 0; round < 250; round++) {
		struct bpf_prog p = { 0 }, q = { 0 };
		unsigned n = 1 + (unsigned)(rng() % (round % 20 ? 60 : BPF_RULES_MAX));
		unsigned spread = 1 + (unsigned)(rng() % 500);

		table_start(rng() % 2 ? SECCOMP_RET_ALLOW : ERRNO(38));
		for (unsigned i = 0; i < n; i++) {
			unsigned n_conds = (unsigned)(rng() % 4);

			for (unsigned j = 0; j < n_conds; j++)
				conds[i][j] = rng() % 4 && i > 0 ? conds[i - 1][j] : random_cond();
			for (unsigned j = 0; j < n_conds; j++) /* what was not used before */
				if (conds[i][j].op >= BPF_OP_MASKED_EQ && !conds[i][j].mask)
					conds[i][j] = random_cond();
			(void)bpf_table_add(&table, (uint32_t)(rng() % spread + (rng() % 40 ? 0 : 3000)),
					    rng() % 2 ? SECCOMP_RET_ALLOW : ERRNO(rng() % 9), conds[i],
					    n_conds);
		}
		if (bpf_compile(&table, &p, NULL) < 0) {
			uncompiled++;
			continue;
		}
		if (bpf_sim_check(p.v, p.n))
			unchecked++;
		else
			bad += differences(&table, &p, 3);
		if (bpf_prog_shrink(&p, &q) == 0) {
			if (bpf_sim_check(q.v, q.n))
				unchecked++;
			else
				bad += differences(&table, &q, 1);
			shrunk++;
		}
		bpf_prog_fini(&q);
		bpf_prog_fini(&p);
	}
	TAP_INT(uncompiled, 0, "random tables compile");
	TAP_INT(unchecked, 0, "random programs pass the kernel's checks");
	TAP_INT(bad, 0, "random tables: every verdict is the table's");
	TAP_OK(shrunk > 240, "and the programs can be compiled again (%u)", shrunk);
}

/* Jumps beyond 255 instructions: hundreds of different checks, reached from one tree. */
static void test_far_jumps(void)
{
	static struct bpf_cond conds[BPF_RULES_MAX];

	table_start(ERRNO(38));
	for (uint32_t i = 0; i < 500; i++) {
		conds[i] = (struct bpf_cond){ .arg = 1, .op = BPF_OP_EQ, .value = i + 5 };
		(void)bpf_table_add(&table, i, i % 3 ? SECCOMP_RET_ALLOW : ERRNO(i), &conds[i], 1);
	}
	table_test("far jumps", 30, BPF_MAXINSNS);
}

static void test_refusals(void)
{
	static struct bpf_cond conds[BPF_RULES_MAX][BPF_CONDS_MAX];
	static const struct bpf_cond wrong[] = {
		{ .arg = 6, .op = BPF_OP_EQ },
		{ .op = BPF_OP_MASKED_EQ, .mask = 1, .value = 2 },
		{ .op = BPF_OP_MASKED_EQ, .mask = 0 },
		{ .op = BPF_OP_EQ, .low32 = true, .value = 0x100000000 },
		{ .op = BPF_OP_MASKED_NE, .low32 = true, .mask = 0x100000000 },
		{ .op = BPF_OP_MASKED_NE + 1 },
	};
	struct bpf_prog p = { .v = NULL, .n = 77 };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		table_start(ERRNO(38));
		(void)bpf_table_add(&table, 1, SECCOMP_RET_ALLOW, &wrong[i], 1);
		TAP_INT(bpf_compile(&table, &p, &e), -EINVAL, "impossible condition %zu is refused", i);
	}
	table_start(ERRNO(38));
	(void)bpf_table_add(&table, 0x40000001, SECCOMP_RET_ALLOW, NULL, 0);
	TAP_INT(bpf_compile(&table, &p, &e), -EINVAL, "an x32 call is refused");
	table_start(ERRNO(38));
	for (uint32_t i = 0; i < 100; i++)
		(void)bpf_table_add(&table, 5000 + 2 * i, SECCOMP_RET_ALLOW, NULL, 0);
	TAP_INT(bpf_compile(&table, &p, &e), -E2BIG, "too many high numbers are refused");
	table_start(ERRNO(38));
	for (uint32_t i = 0; i < BPF_RULES_MAX; i++) {
		for (unsigned j = 0; j < BPF_CONDS_MAX; j++)
			conds[i][j] = (struct bpf_cond){ .arg = (uint8_t)(j % 6), .op = BPF_OP_GT,
							 .value = rng() };
		(void)bpf_table_add(&table, i, SECCOMP_RET_ALLOW, conds[i], BPF_CONDS_MAX);
	}
	TAP_INT(bpf_table_add(&table, 0, 0, NULL, 0), -E2BIG, "a full table takes no more");
	TAP_INT(bpf_compile(&table, &p, &e), -E2BIG, "more than 4096 instructions are refused");
	TAP_OK(!p.v && p.n == 77, "outputs are untouched on failure");
}

int main(void)
{
	test_simple();
	test_each_operator();
	test_random();
	test_shrink_random();
	test_far_jumps();
	test_refusals();
	return tap_done();
}
