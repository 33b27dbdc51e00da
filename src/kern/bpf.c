/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * 1. Every system call number gets a *node*: a leaf (an action) or a rule with
 *    conditions and the node that decides when they do not hold. Equal nodes
 *    are one node, so equal checks are one piece of code, and tails that two
 *    checks have in common too.
 * 2. The line of numbers is cut into *segments* of equal nodes.
 * 3. Neighbouring segments form *groups*: one background node with a few
 *    numbers that differ. A group costs one JEQ for each such number, a border
 *    between groups one JGE; the grouping with the fewest instructions is
 *    found from the right end to the left.
 * 4. A balanced tree of JGE finds the group.
 *
 * What the kernel charges for attaching a filter is the instructions (checked,
 * translated, compiled) plus the steps that its emulation takes for each
 * number there is (the constant-action bitmap): hence few instructions and a
 * shallow tree.
 *
 * bpf_code.c writes the instructions.
 */
#include "kern/bpf_compiler.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define X32_BIT 0x40000000U /* arch/x86/include/uapi/asm/unistd.h */

int bpf_table_add(struct bpf_table *t, uint32_t nr, uint32_t action, const struct bpf_cond *conds,
		  unsigned n_conds)
{
	if (t->n_rules == BPF_RULES_MAX)
		return -E2BIG;
	t->rules[t->n_rules++] = (struct bpf_rule){
		.nr = nr, .action = action, .conds = conds, .n_conds = n_conds
	};
	return 0;
}

void bpf_prog_fini(struct bpf_prog *p)
{
	free(p->v);
	p->v = NULL;
	p->n = 0;
}

/* --- nodes --------------------------------------------------------------- */

static bool conds_equal(const struct bpf_rule *a, const struct bpf_rule *b)
{
	if (a->n_conds != b->n_conds)
		return false;
	for (unsigned i = 0; i < a->n_conds; i++) {
		const struct bpf_cond *x = &a->conds[i], *y = &b->conds[i];

		if (x->arg != y->arg || x->op != y->op || x->low32 != y->low32 ||
		    x->value != y->value || x->mask != y->mask)
			return false;
	}
	return true;
}

static uint16_t node_new(struct bpf_compiler *c, const struct bpf_rule *rule, uint32_t action,
			 uint16_t next)
{
	struct bpf_node *n = &c->nodes[c->n_nodes];

	*n = (struct bpf_node){ .rule = rule, .action = action, .next = next, .label = -1,
				.inner = -1, .word = WORD_NONE, .pc = -1 };
	if (rule)
		c->nodes[next].refs++;
	return (uint16_t)c->n_nodes++;
}

uint16_t bpf_node_leaf(struct bpf_compiler *c, uint32_t action)
{
	for (unsigned i = 0; i < c->n_nodes; i++)
		if (!c->nodes[i].rule && c->nodes[i].pc < 0 && c->nodes[i].action == action)
			return (uint16_t)i;
	return node_new(c, NULL, action, 0);
}

uint16_t bpf_node_piece(struct bpf_compiler *c, int pc)
{
	uint16_t id;

	for (unsigned i = 0; i < c->n_nodes; i++)
		if (c->nodes[i].pc == pc)
			return (uint16_t)i;
	id = node_new(c, NULL, 0, 0);
	c->nodes[id].pc = pc;
	return id;
}

static uint16_t node_rule(struct bpf_compiler *c, const struct bpf_rule *rule, uint16_t next)
{
	if (rule->n_conds == 0)
		return bpf_node_leaf(c, rule->action);
	for (unsigned i = 0; i < c->n_nodes; i++) {
		const struct bpf_node *n = &c->nodes[i];

		if (n->rule && n->next == next && n->action == rule->action &&
		    conds_equal(n->rule, rule))
			return (uint16_t)i;
	}
	return node_new(c, rule, rule->action, next);
}

static int rule_check(const struct bpf_rule *r, struct err *e)
{
	if (r->n_conds > BPF_CONDS_MAX)
		return err_set(e, EINVAL, "seccomp rule for call %u: more than %d conditions", r->nr,
			       BPF_CONDS_MAX);
	for (unsigned i = 0; i < r->n_conds; i++) {
		const struct bpf_cond *k = &r->conds[i];
		bool masked = k->op == BPF_OP_MASKED_EQ || k->op == BPF_OP_MASKED_NE;

		if (k->arg > 5 || k->op > BPF_OP_MASKED_NE)
			return err_set(e, EINVAL, "seccomp rule for call %u: no such argument or operator",
				       r->nr);
		if (k->low32 && ((k->value >> 32) || (masked && (k->mask >> 32))))
			return err_set(e, EINVAL, "seccomp rule for call %u: value beyond 32 bits",
				       r->nr);
		if (masked && (!k->mask || (k->value & ~k->mask)))
			return err_set(e, EINVAL, "seccomp rule for call %u: a mask that decides nothing",
				       r->nr);
	}
	return 0;
}

/* The place where a number's node is kept; NULL when there are too many high numbers. */
static uint16_t *nr_slot(struct bpf_compiler *c, uint32_t nr, uint16_t fallback)
{
	unsigned i = 0;

	if (nr < DIRECT_NRS)
		return &c->by_nr[nr];
	while (i < c->n_far && c->far_nrs[i].nr < nr)
		i++;
	if (i < c->n_far && c->far_nrs[i].nr == nr)
		return &c->far_nrs[i].node;
	if (c->n_far == FAR_NRS_MAX)
		return NULL;
	memmove(&c->far_nrs[i + 1], &c->far_nrs[i], (c->n_far - i) * sizeof c->far_nrs[0]);
	c->far_nrs[i] = (struct bpf_far_nr){ .nr = nr, .node = fallback };
	c->n_far++;
	return &c->far_nrs[i].node;
}

/* From the last rule to the first: each stands before what was found so far. */
static int nodes_build(struct bpf_compiler *c, const struct bpf_table *t, struct err *e)
{
	uint16_t fallback = bpf_node_leaf(c, t->default_action);

	for (unsigned i = 0; i < DIRECT_NRS; i++)
		c->by_nr[i] = fallback;
	for (size_t i = t->n_rules; i-- > 0;) {
		const struct bpf_rule *r = &t->rules[i];
		uint16_t *slot;
		int rc = rule_check(r, e);

		if (rc < 0)
			return rc;
		if (t->arch == AUDIT_ARCH_X86_64 && r->nr >= X32_BIT)
			return err_set(e, EINVAL, "seccomp rule for an x32 call (%u)", r->nr);
		slot = nr_slot(c, r->nr, fallback);
		if (!slot)
			return err_set(e, E2BIG, "seccomp rules for more than %u calls from %u on",
				       FAR_NRS_MAX, DIRECT_NRS);
		*slot = node_rule(c, r, *slot);
	}
	return 0;
}

/* --- segments ------------------------------------------------- */

void bpf_seg_add(struct bpf_compiler *c, uint32_t lo, uint16_t node)
{
	if (c->n_segs > 0 && c->segs[c->n_segs - 1].node == node)
		return;
	c->segs[c->n_segs++] = (struct bpf_seg){ .lo = lo, .node = node };
	c->nodes[node].refs++;
}

static void segs_build(struct bpf_compiler *c, const struct bpf_table *t)
{
	uint16_t fallback = bpf_node_leaf(c, t->default_action);

	for (unsigned nr = 0; nr < DIRECT_NRS; nr++)
		bpf_seg_add(c, nr, c->by_nr[nr]);
	bpf_seg_add(c, DIRECT_NRS, fallback);
	for (unsigned i = 0; i < c->n_far; i++) {
		bpf_seg_add(c, c->far_nrs[i].nr, c->far_nrs[i].node);
		if (c->far_nrs[i].nr != UINT32_MAX)
			bpf_seg_add(c, c->far_nrs[i].nr + 1, fallback);
	}
	if (t->arch == AUDIT_ARCH_X86_64)
		bpf_seg_add(c, X32_BIT, bpf_node_leaf(c, t->x32_action));
}

void bpf_compiler_init(struct bpf_compiler *c)
{
	c->n_nodes = c->n_far = c->n_segs = 0;
	c->n_code = 0;
	c->full = false;
	c->source = NULL;
	c->copied = NULL;
}

int bpf_compiler_finish(const struct bpf_compiler *c, struct bpf_prog *ret, struct err *e)
{
	size_t n = (size_t)c->n_code;
	struct sock_filter *v;

	if (c->full)
		return err_set(e, E2BIG, "seccomp filter: more than %d instructions", BPF_MAXINSNS);
	v = malloc(n * sizeof *v);
	if (!v)
		return err_num(e, ENOMEM, "seccomp filter");
	memcpy(v, &c->code[BPF_MAXINSNS - n], n * sizeof *v);
	ret->v = v;
	ret->n = (unsigned short)n;
	return 0;
}

int bpf_compile(const struct bpf_table *t, struct bpf_prog *ret, struct err *e)
{
	AUTO_FREE struct bpf_compiler *c = malloc(sizeof *c);
	int rc, tree;

	if (!c)
		return err_num(e, ENOMEM, "seccomp filter");
	bpf_compiler_init(c);
	rc = nodes_build(c, t, e);
	if (rc < 0)
		return rc;
	segs_build(c, t);
	tree = bpf_emit_tree(c);
	bpf_emit_start(c, &t->arch, &tree, 1, bpf_emit_leaf(c, t->foreign_action));
	return bpf_compiler_finish(c, ret, e);
}
