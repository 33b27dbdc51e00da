/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf_sim.h"

#include <stddef.h>
#include <string.h>

static bool code_known(uint16_t code)
{
	switch (code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_IMM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
	case BPF_JMP | BPF_JA:
	case BPF_ALU | BPF_NEG:
		return true;
	}
	switch (BPF_CLASS(code)) {
	case BPF_ALU:
		return BPF_OP(code) <= BPF_RSH || BPF_OP(code) == BPF_XOR;
	case BPF_JMP:
		return BPF_OP(code) >= BPF_JEQ && BPF_OP(code) <= BPF_JSET;
	}
	return false;
}

const char *bpf_sim_check(const struct sock_filter *v, unsigned n)
{
	if (n == 0 || n > BPF_MAXINSNS)
		return "length";
	for (unsigned i = 0; i < n; i++) {
		const struct sock_filter *s = &v[i];

		if (!code_known(s->code))
			return "unknown instruction";
		if (s->code == (BPF_LD | BPF_W | BPF_ABS) &&
		    (s->k >= sizeof(struct seccomp_data) || s->k % 4))
			return "load from outside the data";
		if (s->code == (BPF_JMP | BPF_JA) && s->k >= n - i - 1)
			return "jump out of the program";
		if (BPF_CLASS(s->code) == BPF_JMP && s->code != (BPF_JMP | BPF_JA) &&
		    (i + s->jt + 1 >= n || i + s->jf + 1 >= n))
			return "conditional jump out of the program";
		if ((s->code == (BPF_ALU | BPF_DIV | BPF_K) && s->k == 0) ||
		    ((s->code == (BPF_ALU | BPF_LSH | BPF_K) || s->code == (BPF_ALU | BPF_RSH | BPF_K)) &&
		     s->k >= 32))
			return "bad operand";
		if ((s->code == BPF_ST || s->code == BPF_STX || s->code == (BPF_LD | BPF_MEM) ||
		     s->code == (BPF_LDX | BPF_MEM)) &&
		    s->k >= BPF_MEMWORDS)
			return "no such scratch word";
	}
	return BPF_CLASS(v[n - 1].code) == BPF_RET ? NULL : "no return at the end";
}

static uint32_t alu(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << (b & 31);
	case BPF_RSH:
		return a >> (b & 31);
	}
	return -a; /* BPF_NEG */
}

static bool compare(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	}
	return (a & b) != 0; /* BPF_JSET */
}

uint32_t bpf_sim_run(const struct sock_filter *v, unsigned n, const struct seccomp_data *data,
		     unsigned *ret_steps)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };
	unsigned steps = 0;

	for (unsigned pc = 0; pc < n; pc++) {
		const struct sock_filter *s = &v[pc];
		uint32_t operand = BPF_SRC(s->code) == BPF_X ? x : s->k;

		steps++;
		switch (s->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + s->k, sizeof a);
			continue;
		case BPF_LD | BPF_W | BPF_LEN:
			a = sizeof *data;
			continue;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = sizeof *data;
			continue;
		case BPF_LD | BPF_IMM:
			a = s->k;
			continue;
		case BPF_LDX | BPF_IMM:
			x = s->k;
			continue;
		case BPF_LD | BPF_MEM:
			a = mem[s->k];
			continue;
		case BPF_LDX | BPF_MEM:
			x = mem[s->k];
			continue;
		case BPF_ST:
			mem[s->k] = a;
			continue;
		case BPF_STX:
			mem[s->k] = x;
			continue;
		case BPF_MISC | BPF_TAX:
			x = a;
			continue;
		case BPF_MISC | BPF_TXA:
			a = x;
			continue;
		case BPF_JMP | BPF_JA:
			pc += s->k;
			continue;
		case BPF_RET | BPF_K:
		case BPF_RET | BPF_A:
			if (ret_steps)
				*ret_steps = steps;
			return s->code == (BPF_RET | BPF_K) ? s->k : a;
		}
		if (BPF_CLASS(s->code) == BPF_ALU)
			a = alu(BPF_OP(s->code), a, operand);
		else
			pc += compare(BPF_OP(s->code), a, operand) ? s->jt : s->jf;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

bool bpf_sim_const_allow(const struct sock_filter *v, unsigned n, uint32_t arch, uint32_t nr,
			 unsigned *ret_steps)
{
	uint32_t a = 0;

	*ret_steps = 0;
	for (unsigned pc = 0; pc < n; pc++) {
		const struct sock_filter *s = &v[pc];

		++*ret_steps;
		if (s->code == (BPF_LD | BPF_W | BPF_ABS)) {
			if (s->k == offsetof(struct seccomp_data, nr))
				a = nr;
			else if (s->k == offsetof(struct seccomp_data, arch))
				a = arch;
			else
				return false;
		} else if (s->code == (BPF_RET | BPF_K)) {
			return s->k == SECCOMP_RET_ALLOW;
		} else if (s->code == (BPF_JMP | BPF_JA)) {
			pc += s->k;
		} else if (BPF_CLASS(s->code) == BPF_JMP && BPF_SRC(s->code) == BPF_K) {
			pc += compare(BPF_OP(s->code), a, s->k) ? s->jt : s->jf;
		} else if (s->code == (BPF_ALU | BPF_AND | BPF_K)) {
			a &= s->k;
		} else {
			return false;
		}
	}
	return false;
}
