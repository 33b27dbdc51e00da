/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a network namespace, as /proc shows them, and the sockets
 * that they have descriptors of. For what has to be taken away from them: what
 * is parked in a message (SCM_RIGHTS) nobody can see.
 */
#ifndef VRUN_KERN_HOLDERS_H
#define VRUN_KERN_HOLDERS_H

#include <stddef.h>
#include <sys/types.h>

struct holders {
	dev_t dev; /* of the namespace, as stat(2) of its file says */
	ino_t ino;
};

/*
 * Calls back for each socket descriptor of each process: a close-on-exec
 * duplicate, closed afterwards. The same socket comes once for each descriptor.
 * Processes that end meanwhile are passed over. 0, or -errno when there is no
 * /proc to look at.
 */
int holders_each_socket(const struct holders *h, void (*each)(void *ctx, int fd), void *ctx);

/*
 * Sends SIGKILL to all of them, the first process of their pid namespace before
 * the others, so that none can fork away. Does not wait. 0 or -errno.
 */
int holders_kill(const struct holders *h);

#endif
