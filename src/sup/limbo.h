/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "In progress", for as long as it takes: an app's TCP socket of F connects to
 * a listener that hears nothing, so it stays in SYN_SENT and those who poll it
 * sleep. It leaves that state when the supervisor wants: joined, by a connection
 * from the same place to it (a simultaneous open, RFC 9293, 3.5), for which
 * neither its descriptor is needed nor a retransmission; or failed, by
 * SOCK_DESTROY, or where the kernel does not have that, the same and a reset.
 */
#ifndef VRUN_SUP_LIMBO_H
#define VRUN_SUP_LIMBO_H

#include "kern/sockdiag.h"
#include "sup/fabric.h"
#include "sup/guard.h"

struct limbo {
	const struct guard *guard;
	int fd; /* owned; the listener; -1: not there yet */
	struct faddr at;
};

/* `g` makes the connections; borrowed. */
void limbo_init(struct limbo *l, const struct guard *g);
void limbo_fini(struct limbo *l);

/* The socket, which is bound to an address of F, enters. Also one in blocking mode. 0 or -errno. */
int limbo_enter(struct limbo *l, int fd);
/* It leaves, through its descriptor: it is as if it had never been there. */
void limbo_leave(int fd);
/* The other end of a connection with the socket there that is at that place of F; -errno. Non-blocking. */
int limbo_join(const struct limbo *l, const struct in6_addr *addr, uint16_t port);
/* The socket there, which has that cookie, sees its connection fail. */
void limbo_fail(const struct limbo *l, struct sockdiag *diag, const struct in6_addr *addr, uint16_t port,
		uint64_t cookie);

#endif
