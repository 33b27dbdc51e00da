/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/profile_export.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define ARGS 6
#define PIECES_MAX 4096
#define REFUSALS_MAX 64 /* pieces of a refusal whose error is not the default one */

/* (argument & mask) == value, for each argument; a mask of 0 says nothing. */
struct piece {
	uint64_t mask[ARGS], value[ARGS];
};

struct pieces {
	struct piece *v; /* owned */
	size_t n, room;
};

static int add(struct pieces *to, const struct piece *p)
{
	if (to->n == PIECES_MAX)
		return -E2BIG;
	if (to->n == to->room) {
		size_t room = to->room ? to->room * 2 : 32;
		struct piece *v = realloc(to->v, room * sizeof *v);

		if (!v)
			return -ENOMEM;
		to->v = v;
		to->room = room;
	}
	to->v[to->n++] = *p;
	return 0;
}

static bool overlap(const struct piece *a, const struct piece *b)
{
	for (int i = 0; i < ARGS; i++)
		if ((a->value[i] ^ b->value[i]) & a->mask[i] & b->mask[i])
			return false;
	return true;
}

/* What of `p` is not in `cut`: for each bit that `cut` fixes and `p` does not, the half with the other value. */
static int subtract(struct piece p, const struct piece *cut, struct pieces *to)
{
	if (!overlap(&p, cut))
		return add(to, &p);
	for (int i = 0; i < ARGS; i++) {
		uint64_t left = cut->mask[i] & ~p.mask[i];

		while (left) {
			uint64_t bit = UINT64_C(1) << (63 - __builtin_clzll(left));
			struct piece other = p;
			int rc;

			left &= ~bit;
			other.mask[i] |= bit;
			other.value[i] = (p.value[i] & ~bit) | (~cut->value[i] & bit);
			rc = add(to, &other);
			if (rc < 0)
				return rc;
			p.mask[i] |= bit;
			p.value[i] = (p.value[i] & ~bit) | (cut->value[i] & bit);
		}
	}
	return 0; /* what is left lies within */
}

/* --- conditions to pieces ------------------------------------------------------- */

/* Narrows a piece to (argument & mask) == value. False: nothing is left of it. */
static bool narrow(struct piece *p, unsigned arg, uint64_t mask, uint64_t value)
{
	if ((p->value[arg] ^ value) & p->mask[arg] & mask)
		return false;
	p->mask[arg] |= mask;
	p->value[arg] |= value & mask;
	return true;
}

/* All values from lo to hi as masked comparisons, the largest first. */
static int narrow_range(const struct piece *p, unsigned arg, uint64_t lo, uint64_t hi, uint64_t all, struct pieces *to)
{
	int rc = 0;

	while (rc == 0 && lo <= hi) {
		uint64_t size = 1;
		struct piece q = *p;

		while ((lo & (size * 2 - 1)) == 0 && size * 2 - 1 <= hi - lo && size * 2 - 1 < all)
			size *= 2;
		if ((lo & (size * 2 - 1)) == 0 && lo == 0 && hi == all)
			size = 0; /* all of them */
		if (narrow(&q, arg, size ? all & ~(size - 1) : 0, lo))
			rc = add(to, &q);
		if (size == 0 || lo + size - 1 >= hi)
			break;
		lo += size;
	}
	return rc;
}

/* Not (argument & mask) == value: for each bit of the mask those that differ in it first. */
static int narrow_not(const struct piece *p, unsigned arg, uint64_t mask, uint64_t value, struct pieces *to)
{
	uint64_t fixed = 0;

	while (mask & ~fixed) {
		uint64_t bit = UINT64_C(1) << (63 - __builtin_clzll(mask & ~fixed));
		struct piece q = *p;
		int rc = 0;

		if (narrow(&q, arg, fixed | bit, (value & fixed) | (~value & bit)))
			rc = add(to, &q);
		if (rc < 0)
			return rc;
		fixed |= bit;
	}
	return 0;
}

static int narrow_by(const struct piece *p, const struct bpf_cond *c, struct pieces *to)
{
	/* A rule has as many conditions as it says. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	uint64_t all = c->low32 ? UINT32_MAX : UINT64_MAX;
	struct piece q = *p;

	switch ((enum bpf_op)c->op) {
	case BPF_OP_EQ:
		return narrow(&q, c->arg, all, c->value) ? add(to, &q) : 0;
	case BPF_OP_MASKED_EQ:
		return narrow(&q, c->arg, c->mask & all, c->value) ? add(to, &q) : 0;
	case BPF_OP_NE:
		return narrow_not(p, c->arg, all, c->value, to);
	case BPF_OP_MASKED_NE:
		return narrow_not(p, c->arg, c->mask & all, c->value, to);
	case BPF_OP_LT:
		return c->value ? narrow_range(p, c->arg, 0, c->value - 1, all, to) : 0;
	case BPF_OP_LE:
		return narrow_range(p, c->arg, 0, c->value, all, to);
	case BPF_OP_GT:
		return c->value < all ? narrow_range(p, c->arg, c->value + 1, all, all, to) : 0;
	case BPF_OP_GE:
		return narrow_range(p, c->arg, c->value, all, all, to);
	}
	return -EINVAL;
}

/* A range on one argument that two conditions give is one range: else its pieces would be crossed. */
static int pieces_of(const struct bpf_rule *r, struct pieces *ret)
{
	struct pieces now = { 0 }, next = { 0 };
	struct piece whole = { 0 };
	int rc = add(&now, &whole);

	for (unsigned c = 0; rc == 0 && r->conds && c < r->n_conds; c++) {
		const struct bpf_cond *k = &r->conds[c];
		const struct bpf_cond *also = c + 1 < r->n_conds ? k + 1 : NULL;
		bool range = also && k->op == BPF_OP_GE && also->op == BPF_OP_LE && also->arg == k->arg;

		next.n = 0;
		for (size_t i = 0; rc == 0 && i < now.n; i++)
			rc = range ? narrow_range(&now.v[i], k->arg, k->value, also->value,
						  k->low32 ? UINT32_MAX : UINT64_MAX, &next) :
				     narrow_by(&now.v[i], k, &next);
		c += range;
		{
			struct pieces t = now;

			now = next;
			next = t;
		}
	}
	free(next.v);
	if (rc < 0)
		free(now.v);
	else
		*ret = now;
	return rc;
}

/* --- rules -------------------------------------------------------------------------- */

static int subtract_all(struct pieces *from, const struct pieces *cuts)
{
	struct pieces next = { 0 };
	int rc = 0;

	for (size_t c = 0; rc == 0 && c < cuts->n && from->n; c++) {
		struct pieces t;

		next.n = 0;
		for (size_t i = 0; rc == 0 && i < from->n; i++)
			rc = subtract(from->v[i], &cuts->v[c], &next);
		t = *from;
		*from = next;
		next = t;
	}
	free(next.v);
	return rc;
}

static json_t *action_of(uint32_t action, const char *name)
{
	uint32_t data = action & SECCOMP_RET_DATA;

	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		return json_pack("{s:[s], s:s}", "names", name, "action", "SCMP_ACT_ALLOW");
	case SECCOMP_RET_USER_NOTIF:
		return json_pack("{s:[s], s:s}", "names", name, "action", "SCMP_ACT_NOTIFY");
	case SECCOMP_RET_ERRNO:
		return json_pack("{s:[s], s:s, s:i}", "names", name, "action", "SCMP_ACT_ERRNO", "errnoRet", (int)data);
	default:
		return json_pack("{s:[s], s:s}", "names", name, "action", "SCMP_ACT_KILL_PROCESS");
	}
}

static int emit(json_t *list, uint32_t action, const char *name, const struct piece *p)
{
	json_t *o, *args;

	/* JSON's integers have no bit 63 here. Where it would have to be set the default decides, which
	 * refuses; where it would have to be clear it is not looked at: no argument has a meaning for it. */
	for (int i = 0; i < ARGS; i++)
		if (p->mask[i] & p->value[i] & ~(uint64_t)INT64_MAX)
			return 0;
	o = action_of(action, name);
	args = json_array();
	for (int i = 0; i < ARGS; i++)
		if (p->mask[i] & INT64_MAX)
			(void)json_array_append_new(args, json_pack("{s:i, s:I, s:I, s:s}", "index", i, "value",
								    (json_int_t)(p->mask[i] & INT64_MAX), "valueTwo",
								    (json_int_t)(p->value[i] & INT64_MAX), "op",
								    "SCMP_CMP_MASKED_EQ"));
	if (json_array_size(args))
		(void)json_object_set(o, "args", args);
	json_decref(args);
	return o && json_array_append_new(list, o) == 0 ? 0 : -ENOMEM;
}

static bool is_wide(const struct piece *p)
{
	for (int i = 0; i < ARGS; i++)
		if (p->mask[i] > UINT32_MAX)
			return true;
	return false;
}

/* Behind the rules of the same call that come before it. */
static int export_rule(const struct bpf_table *t, size_t at, const char *name, json_t *list)
{
	const struct bpf_rule *r = &t->rules[at];
	struct pieces own = { 0 };
	bool refusal = (r->action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
	int rc = r->action == t->default_action ? 0 : pieces_of(r, &own);

	for (size_t i = 0; rc == 0 && i < at && own.n; i++) {
		struct pieces before = { 0 };

		if (t->rules[i].nr != r->nr)
			continue;
		rc = pieces_of(&t->rules[i], &before);
		if (rc == 0)
			rc = subtract_all(&own, &before);
		free(before.v);
		if (refusal && (rc == -E2BIG || own.n > REFUSALS_MAX)) { /* the default refuses it, too */
			free(own.v);
			return 0;
		}
	}
	/* libseccomp looks at halves, and takes some of those for the same rule twice (EEXIST). */
	for (size_t i = 0; refusal && i < own.n; i++)
		if (is_wide(&own.v[i]))
			own.n = 0;
	for (size_t i = 0; rc == 0 && i < own.n; i++)
		rc = emit(list, r->action, name, &own.v[i]);
	free(own.v);
	return rc;
}

int profile_export(const struct bpf_table *t, json_t **ret, struct err *e)
{
	json_t *list = json_array(), *plain = json_array();
	int rc = list && plain ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < t->n_rules; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)t->rules[i].nr);
		bool first = true;

		for (size_t k = 0; k < i; k++)
			first = first && t->rules[k].nr != t->rules[i].nr;
		/* A call without a name is vrun's own, which needs vrun's own filter. */
		if (name && first && t->rules[i].n_conds == 0 && t->rules[i].action == SECCOMP_RET_ALLOW)
			rc = json_array_append_new(plain, json_string(name));
		else if (name)
			rc = export_rule(t, i, name, list);
		free(name);
	}
	if (rc == 0)
		rc = json_array_insert_new(list, 0, json_pack("{s:O, s:s}", "names", plain, "action", "SCMP_ACT_ALLOW"));
	json_decref(plain);
	if (rc < 0) {
		json_decref(list);
		return err_num(e, rc == -E2BIG ? E2BIG : ENOMEM, "seccomp profile");
	}
	*ret = json_pack("{s:s, s:i, s:[s], s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
			 (int)(t->default_action & SECCOMP_RET_DATA), "architectures",
#ifdef __x86_64__
			 "SCMP_ARCH_X86_64",
#else
			 "SCMP_ARCH_AARCH64",
#endif
			 "syscalls", list);
	return *ret ? 0 : err_num(e, ENOMEM, "seccomp profile");
}
