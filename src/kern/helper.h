/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs are that do what vrun itself should not be linked for. */
#ifndef VRUN_KERN_HELPER_H
#define VRUN_KERN_HELPER_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

/*
 * The path of a helper program: beside vrun itself in a build tree, else where
 * "make install" put it. -ENOENT and the like with a hint.
 */
int helper_find(const char *helper, char path[static PATH_MAX], struct err *e);

/*
 * The same file, for helper_exec_fd(): a process that has given up its ids may
 * not come by the directories above it, root's home say, any more. `by_others`:
 * it is for ids that are neither its owner's nor its group's; -EACCES with a
 * hint when its mode does not let them.
 */
int helper_open(const char *helper, bool by_others, struct err *e);

/* execveat(2), without an environment. Comes back with errno when it fails. */
void helper_exec_fd(int fd, const char *name);

#endif
