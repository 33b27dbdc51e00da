/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter compiler's second half: instructions, from the last to the first.
 *
 * Jumps go forward only, so code is written from its end to its beginning:
 * what a jump leads to is always there already, and its distance is known. A
 * *label* is an instruction's index counted from the end. A conditional jump
 * spans 255 instructions; a farther one goes over a copy of the return, or
 * over a JA, that is put close by.
 */
#include <linux/seccomp.h>

#include "kern/bpf_compiler.h"

#define JUMP_MAX 255

/* Where a test leads: to a label, or to a node's code as the path that leads there needs it. */
struct edge {
	int label; /* -1: to the node */
	uint16_t node;
	const struct bpf_cond *known; /* conditions that hold on this path */
	unsigned n_known;
};

/* Puts an instruction before those that are there; returns its label. */
static int emit(struct bpf_compiler *c, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (c->n_code == BPF_MAXINSNS) {
		c->full = true;
		return 0;
	}
	*bpf_code_at(c, c->n_code) = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
	return c->n_code++;
}

/* The label itself, or a stepping stone to it that a jump emitted `slack` instructions on reaches. */
static int reachable(struct bpf_compiler *c, int label, int slack)
{
	if (c->n_code + slack - 1 - label <= JUMP_MAX || c->full)
		return label;
	if (BPF_CLASS(bpf_code_at(c, label)->code) == BPF_RET)
		return emit(c, BPF_RET | BPF_K, 0, 0, bpf_code_at(c, label)->k);
	return emit(c, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(c->n_code - 1 - label));
}

static int emit_jump(struct bpf_compiler *c, uint16_t op, uint32_t k, int yes, int no)
{
	if (yes == no)
		return yes;
	no = reachable(c, no, 1);
	yes = reachable(c, yes, 0);
	if (c->full)
		return 0;
	return emit(c, (uint16_t)(BPF_JMP | BPF_K | op), (uint8_t)(c->n_code - 1 - yes),
		    (uint8_t)(c->n_code - 1 - no), k);
}

/* Makes control fall from the next instruction into this label. */
static void emit_fall(struct bpf_compiler *c, int label)
{
	if (label != c->n_code - 1)
		(void)emit(c, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(c->n_code - 1 - label));
}

/* A word is half an argument: 2 * argument, plus 1 for the high half. */
static int emit_load(struct bpf_compiler *c, int word)
{
	size_t half = (unsigned)word & 1;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	half = 1 - half;
#endif
	return emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0,
		    (uint32_t)(offsetof(struct seccomp_data, args) + ((size_t)word / 2) * 8 +
			       half * 4));
}

/* Mask and value as EQ, NE and MASKED_* have them in common. */
static uint64_t cond_mask(const struct bpf_cond *k)
{
	if (k->op == BPF_OP_MASKED_EQ || k->op == BPF_OP_MASKED_NE)
		return k->mask;
	return k->low32 ? UINT32_MAX : UINT64_MAX;
}

/* The word that a condition's code loads first. */
static int cond_first_word(const struct bpf_cond *k)
{
	return 2 * k->arg + (cond_mask(k) >> 32 ? 1 : 0);
}

/* A mask that one JSET decides: nothing is set, or its only bit is. */
static bool mask_is_jset(uint32_t mask, uint32_t value)
{
	return value == 0 || (value == mask && !(mask & (mask - 1)));
}

/* The word that the accumulator holds, whole, on every path out of a condition's code. */
static int cond_leaves_word(const struct bpf_cond *k)
{
	uint64_t mask = cond_mask(k);
	uint32_t half = (uint32_t)(mask >> 32 ? mask >> 32 : mask);
	uint32_t value = (uint32_t)(mask >> 32 ? k->value >> 32 : k->value);

	if ((mask >> 32) && (uint32_t)mask)
		return WORD_NONE;
	return half == UINT32_MAX || mask_is_jset(half, value) ? cond_first_word(k) : WORD_NONE;
}

static int node_entry(struct bpf_compiler *c, uint16_t id, int word);

/* What a condition is worth where `known` holds: 1 true, 0 false, -1 open. */
static int cond_known(const struct bpf_cond *k, const struct edge *edge)
{
	for (unsigned i = 0; i < edge->n_known; i++) {
		const struct bpf_cond *is = &edge->known[i];

		if (is->op != BPF_OP_EQ || is->arg != k->arg || is->low32 != k->low32)
			continue;
		if (k->op == BPF_OP_EQ)
			return k->value == is->value;
		if (k->op == BPF_OP_NE)
			return k->value != is->value;
	}
	return -1;
}

/* Steps over the rules whose outcome is known on this path. */
static uint16_t edge_node(struct bpf_compiler *c, const struct edge *edge)
{
	uint16_t id = edge->node;

	while (c->nodes[id].rule) {
		const struct bpf_rule *r = c->nodes[id].rule;
		unsigned held = 0;
		bool failed = false;

		for (unsigned i = 0; i < r->n_conds && !failed; i++) {
			int v = cond_known(&r->conds[i], edge);

			failed = v == 0;
			held += v == 1;
		}
		if (failed)
			id = c->nodes[id].next;
		else if (held == r->n_conds)
			return bpf_node_leaf(c, r->action); /* there already: this rule's own */
		else
			break;
	}
	return id;
}

static int edge_label(struct bpf_compiler *c, const struct edge *edge, int word)
{
	if (edge->label >= 0)
		return edge->label;
	return node_entry(c, edge_node(c, edge), word);
}

/* (A & mask) == value, A being the raw word. */
static int emit_half_eq(struct bpf_compiler *c, int word, uint32_t mask, uint32_t value,
			const struct edge *yes, const struct edge *no)
{
	bool raw = mask == UINT32_MAX || mask_is_jset(mask, value);
	int left = raw ? word : WORD_NONE;
	int no_label = edge_label(c, no, left), yes_label = edge_label(c, yes, left);

	if (mask == UINT32_MAX)
		return emit_jump(c, BPF_JEQ, value, yes_label, no_label);
	if (value == 0)
		return emit_jump(c, BPF_JSET, mask, no_label, yes_label);
	if (raw)
		return emit_jump(c, BPF_JSET, mask, yes_label, no_label);
	emit_fall(c, emit_jump(c, BPF_JEQ, value, yes_label, no_label));
	return emit(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
}

static int emit_eq(struct bpf_compiler *c, const struct bpf_cond *k, const struct edge *yes,
		   const struct edge *no)
{
	uint64_t mask = cond_mask(k);
	struct edge low = { 0 };

	if (!(mask >> 32))
		return emit_half_eq(c, 2 * k->arg, (uint32_t)mask, (uint32_t)k->value, yes, no);
	if (!(uint32_t)mask)
		return emit_half_eq(c, 2 * k->arg + 1, (uint32_t)(mask >> 32),
				    (uint32_t)(k->value >> 32), yes, no);
	emit_fall(c, emit_half_eq(c, 2 * k->arg, (uint32_t)mask, (uint32_t)k->value, yes, no));
	low.label = emit_load(c, 2 * k->arg);
	return emit_half_eq(c, 2 * k->arg + 1, (uint32_t)(mask >> 32), (uint32_t)(k->value >> 32),
			    &low, no);
}

/* op is BPF_JGE or BPF_JGT */
static int emit_order(struct bpf_compiler *c, const struct bpf_cond *k, uint16_t op,
		      const struct edge *yes, const struct edge *no)
{
	int word = 2 * k->arg, low, no_label, yes_label;

	no_label = edge_label(c, no, word);
	yes_label = edge_label(c, yes, word);
	low = emit_jump(c, op, (uint32_t)k->value, yes_label, no_label);
	if (k->low32)
		return low;
	emit_fall(c, low);
	low = emit_load(c, word);
	no_label = edge_label(c, no, word + 1);
	yes_label = edge_label(c, yes, word + 1);
	low = emit_jump(c, BPF_JEQ, (uint32_t)(k->value >> 32), low, no_label);
	return emit_jump(c, BPF_JGT, (uint32_t)(k->value >> 32), yes_label, low);
}

/* A condition's code without its first load; its label. */
static int emit_cond(struct bpf_compiler *c, const struct bpf_cond *k, const struct edge *yes,
		     const struct edge *no)
{
	switch ((enum bpf_op)k->op) {
	case BPF_OP_EQ:
	case BPF_OP_MASKED_EQ:
		return emit_eq(c, k, yes, no);
	case BPF_OP_NE:
	case BPF_OP_MASKED_NE:
		return emit_eq(c, k, no, yes);
	case BPF_OP_GE:
		return emit_order(c, k, BPF_JGE, yes, no);
	case BPF_OP_LT:
		return emit_order(c, k, BPF_JGE, no, yes);
	case BPF_OP_GT:
		return emit_order(c, k, BPF_JGT, yes, no);
	case BPF_OP_LE:
		return emit_order(c, k, BPF_JGT, no, yes);
	}
	return 0; /* rule_check() let nothing else through */
}

/* A rule's code without its first load; conditions are written from the last to the first. */
static void emit_rule(struct bpf_compiler *c, struct bpf_node *n)
{
	const struct bpf_rule *r = n->rule;
	struct edge yes = { .label = -1, .node = bpf_node_leaf(c, r->action) };

	for (unsigned i = r->n_conds; i-- > 0;) {
		struct edge no = { .label = -1, .node = n->next, .known = r->conds, .n_known = i };

		n->inner = emit_cond(c, &r->conds[i], &yes, &no);
		n->word = cond_first_word(&r->conds[i]);
		if (i == 0)
			return;
		yes.label = n->inner;
		if (cond_leaves_word(&r->conds[i - 1]) != n->word) {
			emit_fall(c, n->inner);
			yes.label = emit_load(c, n->word);
		}
	}
}

/* An instruction that does the same, jumps to the same places, and is there already; -1: none. */
static int find_same(struct bpf_compiler *c, uint16_t code, uint32_t k, int yes, int no)
{
	for (int i = c->n_code - 1; i >= 0; i--) {
		const struct sock_filter *s = bpf_code_at(c, i);

		if (s->code == code && s->k == k && i - 1 - s->jt == yes && i - 1 - s->jf == no)
			return i;
	}
	return -1;
}

/* Copies what can be reached from an instruction of the source program. Equal ends become one. */
static int emit_piece(struct bpf_compiler *c, int pc)
{
	const struct sock_filter *s = &c->source->v[pc];
	bool jump = BPF_CLASS(s->code) == BPF_JMP;
	int yes, no, same;

	if (c->full)
		return 0;
	if (s->code == (BPF_RET | BPF_K))
		return bpf_emit_leaf(c, s->k);
	if (s->code == (BPF_JMP | BPF_JA))
		return emit_piece(c, pc + 1 + (int)s->k);
	if (c->copied[pc] >= 0)
		return c->copied[pc];
	/* Only a jump's jt and jf mean something; elsewhere the kernel takes any value. */
	yes = emit_piece(c, pc + 1 + (jump ? s->jt : 0));
	no = jump ? emit_piece(c, pc + 1 + s->jf) : yes;
	same = find_same(c, s->code, s->k, yes, no);
	if (same < 0 && jump) {
		same = emit_jump(c, BPF_OP(s->code), s->k, yes, no);
	} else if (same < 0) {
		emit_fall(c, yes);
		same = emit(c, s->code, 0, 0, s->k);
	}
	c->copied[pc] = same;
	return same;
}

/*
 * Where to jump to for a node's verdict while the accumulator holds `word`.
 * Writes the node's code when it is not there yet.
 */
static int node_entry(struct bpf_compiler *c, uint16_t id, int word)
{
	struct bpf_node *n = &c->nodes[id];

	if (n->pc >= 0)
		return emit_piece(c, n->pc);
	if (!n->rule) {
		if (n->label < 0 || c->n_code - n->label > JUMP_MAX - 1)
			n->label = emit(c, BPF_RET | BPF_K, 0, 0, n->action);
		return n->label;
	}
	if (n->inner < 0) {
		emit_rule(c, n);
		if (n->refs > 1 || n->word != word) {
			emit_fall(c, n->inner);
			n->label = emit_load(c, n->word);
		}
	}
	if (n->word == word)
		return n->inner;
	if (n->label < 0) {
		emit_fall(c, n->inner);
		n->label = emit_load(c, n->word);
	}
	return n->label;
}

/* How many numbers a segment has; what is more than fits a group counts as one more. */
static unsigned seg_numbers(const struct bpf_compiler *c, unsigned i)
{
	uint32_t n;

	if (i + 1 == c->n_segs)
		return GROUP_EXCEPTIONS + 1;
	n = c->segs[i + 1].lo - c->segs[i].lo;
	return n > GROUP_EXCEPTIONS ? GROUP_EXCEPTIONS + 1 : n;
}

/* The cheapest group that begins with segment i and has this background, all to the right known. */
static void group_try(struct bpf_compiler *c, unsigned i, uint16_t background)
{
	struct bpf_seg *best = &c->segs[i];
	unsigned exceptions = 0;

	for (unsigned j = i; j < c->n_segs; j++) {
		unsigned cost;

		if (c->segs[j].node != background)
			exceptions += seg_numbers(c, j);
		if (exceptions > GROUP_EXCEPTIONS)
			return;
		cost = exceptions;
		if (j + 1 < c->n_segs)
			cost += 1U + c->segs[j + 1].cost;
		if (best->end && cost >= best->cost)
			continue;
		best->background = background;
		best->end = (uint16_t)(j + 1);
		best->cost = (uint16_t)cost;
	}
}

static void groups_build(struct bpf_compiler *c)
{
	for (unsigned i = c->n_segs; i-- > 0;) {
		group_try(c, i, c->segs[i].node);
		if (i + 1 < c->n_segs)
			group_try(c, i, c->segs[i + 1].node);
	}
}

/* The group that begins with this segment. */
static int emit_group(struct bpf_compiler *c, unsigned first)
{
	uint16_t background = c->segs[first].background;
	int rest = node_entry(c, background, WORD_NONE);

	for (unsigned i = c->segs[first].end; i-- > first;) {
		const struct bpf_seg *s = &c->segs[i];

		if (s->node == background)
			continue;
		for (uint32_t nr = s[1].lo; nr-- > s->lo;) {
			int to = node_entry(c, s->node, WORD_NONE);

			rest = emit_jump(c, BPF_JEQ, nr, to, rest);
		}
	}
	return rest;
}

/* n groups, the first of which begins with segment `first`; *ret_end is the segment after them. */
static int emit_tree(struct bpf_compiler *c, unsigned first, unsigned n, unsigned *ret_end)
{
	unsigned border;
	int low, high;

	if (n == 1) {
		*ret_end = c->segs[first].end;
		return emit_group(c, first);
	}
	low = emit_tree(c, first, n / 2, &border);
	high = emit_tree(c, border, n - n / 2, ret_end);
	return emit_jump(c, BPF_JGE, c->segs[border].lo, high, low);
}

int bpf_emit_tree(struct bpf_compiler *c)
{
	const struct bpf_node *first = &c->nodes[c->segs[0].node];
	unsigned n_groups = 0, end = 0;

	if (c->n_segs == 1 && !first->rule) /* the number does not matter */
		return node_entry(c, c->segs[0].node, WORD_NONE);
	groups_build(c);
	for (; end < c->n_segs; end = c->segs[end].end)
		n_groups++;
	emit_fall(c, emit_tree(c, 0, n_groups, &end));
	return emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
}

int bpf_emit_leaf(struct bpf_compiler *c, uint32_t action)
{
	return node_entry(c, bpf_node_leaf(c, action), WORD_NONE);
}

void bpf_emit_start(struct bpf_compiler *c, const uint32_t *arches, const int *labels, unsigned n,
		    int other)
{
	for (unsigned i = n; i-- > 0;)
		other = emit_jump(c, BPF_JEQ, arches[i], labels[i], other);
	emit_fall(c, other);
	(void)emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
}
