/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind and connect of an app's own AF_UNIX sockets where no wall stands.
 *
 * Such a call has to be made with the app's ids, root, directory and umask: they
 * decide which file it is and whether it may be used, and the ids are what the server sees.
 * The kernel makes it when it is continued, and may then meet another socket at that
 * descriptor than was looked at. Where Landlock would refuse that one it does not
 * matter; on kernels before 6.7, and for containers of other runtimes, it would.
 *
 * listen, which tells clients who serves, has the same question everywhere: Landlock does
 * not know it, and another socket could be one of the host's, or a wire, whose queue the table counts.
 *
 * There a porter does it: a process of its own for each call, forked by the
 * factory, which enters the app's user namespace, takes on what the calling thread has,
 * and makes the call on the duplicate. It has no process id in the app's namespace:
 * SO_PEERCRED shows pid 0. It can wait as long as the app can, and ends when the
 * call is given up.
 */
#ifndef VRUN_SUP_PORTER_H
#define VRUN_SUP_PORTER_H

#include <sys/socket.h>

#include "kern/taskstatus.h"
#include "sup/sup.h"

#define PORTERS_MAX 32 /* of a domain and a call at once; more get EAGAIN */

enum porter_call { PORTER_BIND, PORTER_CONNECT, PORTER_LISTEN };

/* What the factory is given beside descriptors. */
struct porter_task {
	uint32_t call; /* enum porter_call */
	uint32_t len;  /* of the address; of PORTER_LISTEN: the backlog */
	struct sockaddr_storage address;
	struct taskstatus as;
};

enum porter_fd { PORTER_ANSWER, PORTER_SOCKET, PORTER_USERS, PORTER_CWD, PORTER_ROOT, PORTER_FDS };

/* Makes the call, or begins to: a result, or CALL_ANSWERED. Takes the target's duplicate when it waits. */
int64_t porter_do(struct call *c, struct target *t, enum porter_call what, const struct sockaddr_storage *sa,
		  size_t len);

/* The porter's process. Never returns. */
_Noreturn void porter_main(const struct porter_task *task, const int fds[static PORTER_FDS]);

#endif
