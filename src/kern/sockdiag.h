/* SPDX-License-Identifier: Apache-2.0 */
/* What streams there are in a network namespace, how full their queues, what they carried (sock_diag(7)). */
#ifndef VRUN_KERN_SOCKDIAG_H
#define VRUN_KERN_SOCKDIAG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct sockdiag {
	int fd; /* owned */
	unsigned parts; /* of the list that was asked for last, so far */
};

enum sockdiag_kind {
	SOCKDIAG_TCP6, /* AF_INET6 TCP sockets */
	SOCKDIAG_UNIX, /* AF_UNIX stream sockets */
	SOCKDIAG_LISTENERS, /* to ask for: those of SOCKDIAG_TCP6 that listen, for which the kernel need not
			     * go through all */
};

struct sockdiag_entry {
	enum sockdiag_kind kind;
	uint64_t cookie; /* SO_COOKIE */
	uint8_t state;   /* TCP_ESTABLISHED ... of netinet/tcp.h */
	bool orphan;     /* no process has it any more; the kernel still sends what is left, and its FIN */
	uint32_t receive_queue, send_queue; /* bytes; of a listener: connections, backlog */

	/* Only when details were asked for. */
	bool counted;                /* the counters are there; TCP only */
	uint64_t bytes_in, bytes_out; /* received; sent, each byte once */
	uint32_t receive_buffer, send_buffer; /* SO_RCVBUF, SO_SNDBUF; 0: not told */
	bool keepalive;              /* its timer runs */
	uint8_t shut;                /* AF_UNIX: 1 receiving has ended, 2 sending */
	char congestion[16];         /* "" when not told */
};

typedef void sockdiag_each(void *ctx, const struct sockdiag_entry *e);

/* For the namespace of the calling thread. */
int sockdiag_init(struct sockdiag *d, struct err *e);
void sockdiag_fini(struct sockdiag *d);

/*
 * Asks for a list, which sockdiag_step() then gives in parts: 1 when there is
 * more, 0 at the end, -errno when it ended early. A list that was begun has to
 * be taken to its end before another one. One that takes several steps may
 * leave out a socket, when another one next to it was closed in between.
 *
 * Listed is every TCP socket that is not closed and has a place in the
 * kernel's tables (one that is only bound from 6.8 on, one that is not even
 * bound never); what is left of closed ones (TIME_WAIT, with the cookie of the
 * socket) only with details. Of AF_UNIX every stream socket.
 */
int sockdiag_begin(struct sockdiag *d, enum sockdiag_kind kind, bool details);
int sockdiag_step(struct sockdiag *d, sockdiag_each *each, void *ctx);

/* The whole list, without details. 0 or -errno; -ENOENT: the kernel cannot list those. */
int sockdiag_list(struct sockdiag *d, enum sockdiag_kind kind, sockdiag_each *each, void *ctx);
/* The same with details: its parts end elsewhere. */
int sockdiag_list_again(struct sockdiag *d, enum sockdiag_kind kind, sockdiag_each *each, void *ctx);

/*
 * The one TCP socket at these places, a listener with `remote` NULL; the kernel
 * looks it up as it does for a packet. -ENOENT: there is none; -ESTALE: another
 * one than the cookie's, as happens among listeners with SO_REUSEPORT.
 */
int sockdiag_find_tcp6(struct sockdiag *d, const struct sockaddr_in6 *local,
		       const struct sockaddr_in6 *remote, uint64_t cookie, struct sockdiag_entry *ret);

/*
 * Ends that socket as if its connection had been reset (SOCK_DESTROY): whoever
 * has it gets ECONNABORTED, its peer ECONNRESET. With `remote` NULL a listener, with all that
 * wait in its queue. -ENOENT: it is not there; -EOPNOTSUPP: the kernel was built without it. Needs
 * CAP_NET_ADMIN over the namespace.
 */
int sockdiag_destroy_tcp6(struct sockdiag *d, const struct sockaddr_in6 *local,
			  const struct sockaddr_in6 *remote, uint64_t cookie);

/*
 * The same for every AF_UNIX socket of the namespace, whatever its state;
 * queues are not told. -ENOENT: the kernel has no unix_diag.
 */
int sockdiag_unix(struct sockdiag *d, void (*each)(void *ctx, const struct sockdiag_entry *e),
		  void *ctx);

#endif
