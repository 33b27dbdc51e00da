/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts another socket in the place of an app's, in a call that the app makes
 * on it. Descriptors are the app's own affair, so what stands in the table of
 * the calling process is not all: other numbers and other processes may have
 * the same socket (dup, fork, SCM_RIGHTS). Whether they do shows afterwards, by
 * whether the old one is gone with its last known descriptor.
 */
#ifndef VRUN_SUP_REPLACE_H
#define VRUN_SUP_REPLACE_H

#include <stdbool.h>

struct call;
struct target;

/*
 * Takes *fd, which is what `t` holds then, without a row; the flags of the
 * app's descriptor and what epolls know of it go over. 0; 1 when somebody has the
 * old one still who cannot be found; or -errno, and nothing was done: -ENOENT: nobody waits any more; -EMLINK: another process has the
 * socket, too, and one cannot replace it there; -EBUSY: the domain's took too long for others. Then `t` holds the old one. `leave`: others are left with
 * the old one, and 1 says so.
 */
int replace_socket(struct call *c, struct target *t, int *fd, bool leave);

#endif
