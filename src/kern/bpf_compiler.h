/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the filter compiler share: bpf.c (for a table) or
 * bpf_shrink.c (for another program) decides what there is to tell apart,
 * bpf_code.c writes it. Nobody else includes this. The theory of operation is
 * in bpf.c.
 */
#ifndef VRUN_KERN_BPF_COMPILER_H
#define VRUN_KERN_BPF_COMPILER_H

#include "kern/bpf.h"

#define DIRECT_NRS 1024U      /* numbers below are looked up by index */
#define FAR_NRS_MAX 64U       /* different numbers above, such as a virtual system call's */
#define WORD_NONE (-1)        /* the accumulator holds nothing that is known */
#define GROUP_EXCEPTIONS 3U   /* JEQs in a row before a JGE pays */
#define NODES_MAX (2U * BPF_RULES_MAX + 4U) /* each rule, its action, the three of the table */
#define SEGS_MAX (DIRECT_NRS + 2U * FAR_NRS_MAX + 3U)

struct bpf_node {
	const struct bpf_rule *rule; /* NULL: a leaf */
	uint32_t action;
	uint16_t next; /* decides when the conditions do not hold */
	uint16_t refs; /* other nodes' next and numbers that lead here */
	int label;     /* entry that loads what it looks at; a leaf's return; -1: not written yet */
	int inner;     /* entry when the accumulator already holds `word`; -1: not written yet */
	int word;
	int pc; /* a piece of the source program that begins here decides; -1: no such piece */
};

/* A segment, and the group that begins with it, should one begin there. */
struct bpf_seg {
	uint32_t lo; /* up to the next one's lo - 1 */
	uint16_t node;
	uint16_t background; /* the group's node */
	uint16_t end;        /* the group ends before this segment; 0: none yet */
	uint16_t cost;       /* the group's instructions and those of all groups right of it */
};

struct bpf_far_nr {
	uint32_t nr;
	uint16_t node;
};

/* Ordered so that a usual table touches few pages: a launch compiles once, in fresh memory. */
struct bpf_compiler {
	struct sock_filter code[BPF_MAXINSNS]; /* filled from the end */
	uint16_t by_nr[DIRECT_NRS];
	const struct bpf_prog *source; /* for pieces; else NULL */
	int *copied;                   /* a piece's instruction's label, by pc; -1: not written yet */
	int n_code;
	bool full;
	unsigned n_nodes, n_far, n_segs;
	struct bpf_node nodes[NODES_MAX];
	struct bpf_seg segs[SEGS_MAX];
	struct bpf_far_nr far_nrs[FAR_NRS_MAX]; /* ascending */
};

/* The node of an action; makes it when it is not there. */
uint16_t bpf_node_leaf(struct bpf_compiler *c, uint32_t action);

void bpf_compiler_init(struct bpf_compiler *c);

/* The node of a piece of the source program; makes it when it is not there. */
uint16_t bpf_node_piece(struct bpf_compiler *c, int pc);

/* Numbers from lo on have this node; to be called with ascending lo, from 0 on. */
void bpf_seg_add(struct bpf_compiler *c, uint32_t lo, uint16_t node);

/* Groups the segments and writes what tells them apart. Its label. c->full when it does not fit. */
int bpf_emit_tree(struct bpf_compiler *c);

/* Writes the program's beginning: where to go for each architecture, and for all others. */
void bpf_emit_start(struct bpf_compiler *c, const uint32_t *arches, const int *labels, unsigned n,
		    int other);

/* A leaf's return, within a jump's reach. */
int bpf_emit_leaf(struct bpf_compiler *c, uint32_t action);

/* The finished program. -E2BIG, -ENOMEM. */
int bpf_compiler_finish(const struct bpf_compiler *c, struct bpf_prog *ret, struct err *e);

/* The instruction at a label. */
static inline struct sock_filter *bpf_code_at(struct bpf_compiler *c, int label)
{
	return &c->code[BPF_MAXINSNS - 1 - label];
}

#endif
