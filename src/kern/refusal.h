/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a host refuses: distributions have switches for new namespaces, and old
 * kernels have not what vrun needs; the errno number names neither.
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

/*
 * On a kernel that is too old for vrun, the hint that says so, to the error of
 * a call that it may lack. `release` is uname(2)'s; NULL: this host's. Returns
 * -num of what is already there.
 */
int refusal_old_kernel(struct err *e, const char *release);

#endif
