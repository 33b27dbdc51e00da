/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a host refuses new namespaces: distributions have switches for it, and
 * the errno number names none of them.
 */
#ifndef VRUN_KERN_REFUSAL_H
#define VRUN_KERN_REFUSAL_H

#include <stdint.h>

#include "base/err.h"

/*
 * To the error of a clone3(2), clone(2) or unshare(2) with these CLONE_NEW*
 * `flags`: the hint that names the host's switch and how to turn it, or vrun
 * doctor where no switch is known. `sysroot` (NULL: none) stands before the
 * paths that are read. Returns -num of what is already there.
 */
int refusal_explain(struct err *e, uint64_t flags, const char *sysroot);

#endif
