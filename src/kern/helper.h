/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs are that do what vrun itself should not be linked for. */
#ifndef VRUN_KERN_HELPER_H
#define VRUN_KERN_HELPER_H

#include <limits.h>

#include "base/err.h"

/*
 * The path of a helper program: beside vrun itself in a build tree, else where
 * "make install" put it. -ENOENT and the like with a hint.
 */
int helper_find(const char *helper, char path[static PATH_MAX], struct err *e);

#endif
