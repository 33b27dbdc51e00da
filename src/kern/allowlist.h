/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of a process of vrun's own: what it does not need is refused. */
#ifndef VRUN_KERN_ALLOWLIST_H
#define VRUN_KERN_ALLOWLIST_H

#include "kern/bpf.h"

/*
 * Installs a filter that allows the calls, and those that a rule of `special`
 * allows, for the calling thread and what it starts. Others get EPERM; foreign
 * architectures end the process. Needs no_new_privs.
 */
int allowlist_load(const uint16_t *calls, size_t n, const struct bpf_rule *special, size_t n_special,
		   struct err *e);

#endif
