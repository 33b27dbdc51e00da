/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/seccomp.h>

#include "kern/bpf.h"

static bool in_program(const struct bpf_prog *p, unsigned from, uint32_t over)
{
	return over < (uint32_t)p->n - from - 1;
}

static bool return_known(uint32_t k)
{
	switch (k & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_USER_NOTIF:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW:
		return true;
	}
	return false;
}

const char *bpf_prog_check(const struct bpf_prog *p)
{
	if (p->n == 0 || p->n > BPF_MAXINSNS)
		return "wrong length";
	for (unsigned i = 0; i < p->n; i++) {
		const struct sock_filter *s = &p->v[i];

		switch (s->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (s->k >= sizeof(struct seccomp_data) || s->k % 4)
				return "load from outside the system call";
			break;
		case BPF_JMP | BPF_JA:
			if (!in_program(p, i, s->k))
				return "jump out of the program";
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_K:
			if (!in_program(p, i, s->jt) || !in_program(p, i, s->jf))
				return "jump out of the program";
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			break;
		case BPF_RET | BPF_K:
			if (!return_known(s->k))
				return "unknown action";
			break;
		default:
			return "unknown instruction";
		}
	}
	return p->v[p->n - 1].code == (BPF_RET | BPF_K) ? NULL : "no return at the end";
}
