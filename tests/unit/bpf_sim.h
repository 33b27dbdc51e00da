/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp filter's run as the kernel does it, for tests: checking
 * (net/core/filter.c bpf_check_classic(), kernel/seccomp.c
 * seccomp_check_filter()), running, and the emulation that finds the calls
 * which are always allowed (seccomp_is_const_allow()).
 */
#ifndef VRUN_TESTS_BPF_SIM_H
#define VRUN_TESTS_BPF_SIM_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL when the kernel takes the program, else why not. */
const char *bpf_sim_check(const struct sock_filter *v, unsigned n);

/* The program's verdict. It has passed bpf_sim_check(). ret_steps may be NULL. */
uint32_t bpf_sim_run(const struct sock_filter *v, unsigned n, const struct seccomp_data *data,
		     unsigned *ret_steps);

/* The kernel's bitmap would let this call pass without a run. */
bool bpf_sim_const_allow(const struct sock_filter *v, unsigned n, uint32_t arch, uint32_t nr,
			 unsigned *ret_steps);

#endif
