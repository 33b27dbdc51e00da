/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP sockets there are in a network namespace, and how full their queues (sock_diag(7)). */
#ifndef VRUN_KERN_SOCKDIAG_H
#define VRUN_KERN_SOCKDIAG_H

#include <stdint.h>

#include "base/err.h"

struct sockdiag {
	int fd; /* owned */
};

struct sockdiag_entry {
	uint64_t cookie; /* SO_COOKIE */
	uint8_t state;   /* TCP_ESTABLISHED ... of netinet/tcp.h */
	uint32_t receive_queue, send_queue; /* bytes; of a listener: connections, backlog */
};

/* For the namespace of the calling thread. */
int sockdiag_init(struct sockdiag *d, struct err *e);
void sockdiag_fini(struct sockdiag *d);

/*
 * Calls back for every AF_INET6 TCP socket that is not closed, is not what is
 * left of a closed one (TIME_WAIT), and has a place in the kernel's tables: a
 * socket that is only bound is listed from 6.8 on, one that is not even bound
 * never. 0 or -errno.
 */
int sockdiag_tcp6(struct sockdiag *d, void (*each)(void *ctx, const struct sockdiag_entry *e),
		  void *ctx);

#endif
