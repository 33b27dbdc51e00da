/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * A filter mostly decides by architecture and number alone. Both are compared
 * with constants only, so between two neighbouring constants all numbers fare
 * alike, and one try for each interval tells the whole story: the program is
 * run until it returns, or until it looks at something else (an argument).
 * What is found - a return, or the place of that look - is a node of the
 * compiler in bpf.c, which builds its own tree over the intervals; code from
 * such a place on is copied as it is.
 *
 * A program that does anything else with architecture or number (arithmetic,
 * comparing an architecture by order) is not understood and left alone.
 */
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "kern/bpf_compiler.h"

#define ARCHES_MAX 8U
#define TOP_BIT 0x80000000U
#define X32_BIT 0x40000000U

/* What the accumulator holds; bits, as an instruction may be reached in several ways. */
enum { HOLDS_NOTHING = 1, HOLDS_ARCH = 2, HOLDS_NR = 4, HOLDS_OTHER = 8 };

struct shrink {
	const struct bpf_prog *p;
	uint32_t arches[ARCHES_MAX]; /* that the program tells apart, in its order */
	unsigned n_arches;
	uint32_t borders[2 * BPF_MAXINSNS + 8]; /* where intervals of numbers begin; ascending */
	size_t n_borders;
	unsigned char holds[BPF_MAXINSNS];
	int copied[BPF_MAXINSNS];
};

static bool is_jump(const struct sock_filter *s)
{
	return BPF_CLASS(s->code) == BPF_JMP && s->code != (BPF_JMP | BPF_JA);
}

static unsigned char after_load(const struct sock_filter *s)
{
	if (s->k == offsetof(struct seccomp_data, nr))
		return HOLDS_NR;
	return s->k == offsetof(struct seccomp_data, arch) ? HOLDS_ARCH : HOLDS_OTHER;
}

static int note_arch(struct shrink *s, uint32_t arch)
{
	for (unsigned i = 0; i < s->n_arches; i++)
		if (s->arches[i] == arch)
			return 0;
	if (s->n_arches == ARCHES_MAX)
		return -ENOTSUP;
	s->arches[s->n_arches++] = arch;
	return 0;
}

static void note_border(struct shrink *s, uint32_t nr)
{
	s->borders[s->n_borders++] = nr;
}

/* A comparison before any look at an argument: what it means for architectures and intervals. */
static int note_jump(struct shrink *s, const struct sock_filter *i, unsigned char holds)
{
	uint16_t op = BPF_OP(i->code);

	if (holds & HOLDS_NOTHING)
		return -ENOTSUP;
	if ((holds & HOLDS_ARCH) && (op != BPF_JEQ || note_arch(s, i->k) < 0))
		return -ENOTSUP;
	if (!(holds & HOLDS_NR))
		return 0;
	if (op == BPF_JSET) /* the x32 bit: 0x40000000 to 0x7fffffff and 0xc0000000 to the end */
		return i->k == X32_BIT ? 0 : -ENOTSUP;
	if (op != BPF_JGT)
		note_border(s, i->k);
	if (op != BPF_JGE && i->k != UINT32_MAX)
		note_border(s, i->k + 1);
	return 0;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Jumps lead forward, so one pass from the beginning sees every way to reach an instruction. */
static int survey(struct shrink *s)
{
	size_t n = 0;

	s->holds[0] = HOLDS_NOTHING;
	for (unsigned pc = 0; pc < s->p->n; pc++) {
		const struct sock_filter *i = &s->p->v[pc];
		unsigned char holds = s->holds[pc] & (unsigned char)~HOLDS_OTHER;

		if (BPF_CLASS(i->code) == BPF_RET || !s->holds[pc])
			continue;
		if (BPF_CLASS(i->code) == BPF_LD) {
			s->holds[pc + 1] |= after_load(i);
		} else if (i->code == (BPF_JMP | BPF_JA)) {
			s->holds[pc + 1 + i->k] |= s->holds[pc];
		} else if (is_jump(i)) {
			if (holds && note_jump(s, i, holds) < 0)
				return -ENOTSUP;
			s->holds[pc + 1 + i->jt] |= s->holds[pc];
			s->holds[pc + 1 + i->jf] |= s->holds[pc];
		} else if (holds) {
			return -ENOTSUP;
		} else {
			s->holds[pc + 1] |= HOLDS_OTHER;
		}
	}
	note_border(s, 0);
	note_border(s, X32_BIT);
	note_border(s, TOP_BIT);
	note_border(s, TOP_BIT | X32_BIT);
	qsort(s->borders, s->n_borders, sizeof s->borders[0], compare_u32);
	for (size_t i = 0; i < s->n_borders; i++)
		if (i == 0 || s->borders[i] != s->borders[n - 1])
			s->borders[n++] = s->borders[i];
	s->n_borders = n;
	return 0;
}

static bool holds_true(const struct sock_filter *i, uint32_t a)
{
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		return a == i->k;
	case BPF_JGT:
		return a > i->k;
	case BPF_JGE:
		return a >= i->k;
	}
	return (a & i->k) != 0;
}

/* Where the program stops for this architecture and number: at a return, or at another look. */
static int follow(const struct bpf_prog *p, uint32_t arch, uint32_t nr)
{
	uint32_t a = 0;
	int pc = 0;

	for (;;) {
		const struct sock_filter *i = &p->v[pc];

		if (BPF_CLASS(i->code) == BPF_RET)
			return pc;
		if (BPF_CLASS(i->code) == BPF_LD) {
			if (after_load(i) == HOLDS_OTHER)
				return pc;
			a = after_load(i) == HOLDS_NR ? nr : arch;
			pc++;
		} else if (i->code == (BPF_JMP | BPF_JA)) {
			pc += 1 + (int)i->k;
		} else {
			pc += 1 + (holds_true(i, a) ? i->jt : i->jf);
		}
	}
}

/* Everything about one architecture; its label. */
static int emit_arch(const struct shrink *s, struct bpf_compiler *c, uint32_t arch)
{
	c->n_segs = 0;
	for (size_t i = 0; i < s->n_borders; i++) {
		int pc = follow(s->p, arch, s->borders[i]);
		bool leaf = BPF_CLASS(s->p->v[pc].code) == BPF_RET;

		if (c->n_segs == SEGS_MAX || c->n_nodes == NODES_MAX) {
			c->full = true;
			return 0;
		}
		bpf_seg_add(c, s->borders[i],
			    leaf ? bpf_node_leaf(c, s->p->v[pc].k) : bpf_node_piece(c, pc));
	}
	return bpf_emit_tree(c);
}

/* An architecture that the program does not know. */
static uint32_t other_arch(const struct shrink *s)
{
	uint32_t arch = 0;
	unsigned i = 0;

	while (i < s->n_arches) {
		if (s->arches[i++] != arch)
			continue;
		arch++;
		i = 0;
	}
	return arch;
}

static int shrink(struct shrink *s, struct bpf_compiler *c, struct bpf_prog *ret)
{
	int labels[ARCHES_MAX], other, rc = survey(s);

	if (rc < 0)
		return rc;
	memset(s->copied, -1, sizeof s->copied);
	bpf_compiler_init(c);
	c->source = s->p;
	c->copied = s->copied;
	other = emit_arch(s, c, other_arch(s));
	for (unsigned i = s->n_arches; i-- > 0;)
		labels[i] = emit_arch(s, c, s->arches[i]);
	bpf_emit_start(c, s->arches, labels, s->n_arches, other);
	return bpf_compiler_finish(c, ret, NULL);
}

int bpf_prog_shrink(const struct bpf_prog *p, struct bpf_prog *ret)
{
	struct shrink *s;
	struct bpf_compiler *c;
	int rc = -ENOMEM;

	if (bpf_prog_check(p))
		return -ENOTSUP;
	s = calloc(1, sizeof *s);
	c = malloc(sizeof *c);
	if (s && c) {
		s->p = p;
		rc = shrink(s, c, ret);
	}
	free(s);
	free(c);
	return rc;
}
