/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A supervisor that serves domains with gateways gets hold of sockets of the host's.
 * Taken over, it must not connect them to where no policy lets it, nor listen.
 * So from the first of those domains on its filter forbids it connect(2) to
 * addresses and listen(2); a process of its own does both, the guard, which was
 * forked before, has nothing else, and looks whether the socket is one of F.
 *
 * Landlock would do for connect, but who is under it may not look into processes
 * that are not, and those are the apps.
 */
#ifndef VRUN_SUP_GUARD_H
#define VRUN_SUP_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

struct guard {
	int sock; /* owned; -1: there is none */
	int bell; /* guard_bell() */
	uint64_t f_cookie;
	bool on;
};

void guard_init(struct guard *g);
/* Forks the guard. Before the supervisor confines itself, and once it is in F. */
int guard_start(struct guard *g, uint64_t f_cookie, struct err *e);
void guard_fini(struct guard *g);

/* From now on the guard does it. -ENOTSUP: there is none. */
int guard_on(struct guard *g, struct err *e);

/*
 * A TCP socket of F, non-blocking and not bound, that a guarded supervisor may connect by itself: listeners are
 * rung with it, for each connection that comes from outside, and the way to the guard and back would cost as much
 * as that. Its number is another socket's never: the filter forbids to close or replace it. -1: there is none.
 */
int guard_bell(const struct guard *g);

/* connect(2) and listen(2) of a socket that is no TCP socket, or one of F. 0 or -errno. */
int guard_connect(const struct guard *g, int fd, const void *sa, socklen_t len);
/* Begins to connect a TCP socket of F, and never waits, whatever the socket's mode is: -EINPROGRESS as a rule. */
int guard_begin(const struct guard *g, int fd, const void *sa, socklen_t len);
int guard_listen(const struct guard *g, int fd, int backlog);

#endif
