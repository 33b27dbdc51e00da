/* SPDX-License-Identifier: Apache-2.0 */
/* The five capability sets of a process (capabilities(7)), through libcap. */
#ifndef VRUN_KERN_CAPS_H
#define VRUN_KERN_CAPS_H

#include <stdint.h>

#include "base/err.h"
#include "model/bundle.h"

/* Drops from the bounding set whatever is not in the mask. Needs CAP_SETPCAP, so it comes before
 * the change of user. */
int caps_limit_bounding(uint64_t keep, struct err *e);

/*
 * Sets effective, permitted and inheritable, then ambient. Comes after the
 * change of user, with SECBIT_KEEP_CAPS on before it. A set that the kernel
 * cannot give (ambient without permitted and inheritable, permitted beyond
 * what is held) is an error that names the first such capability.
 */
int caps_apply(const struct cap_sets *sets, struct err *e);

/* PR_SET_KEEPCAPS: permitted capabilities survive the change from uid 0. 0 or -errno. */
int caps_keep_over_setuid(void);

/* Mask of the calling process's effective set; 0 when it cannot be read. */
uint64_t caps_effective(void);
/* The same of its permitted set. */
uint64_t caps_permitted(void);

/* Highest capability number that the running kernel knows. */
int caps_last(void);

#endif
