/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual sockets: the table's rows.
 *
 * The socket itself is the app's; the supervisor keeps no descriptor of it. A
 * row is found by the socket's cookie (SO_COOKIE), which the kernel never
 * gives to another one. Nothing says that a socket was closed, so rows are
 * collected: streams that the kernel does not know any more when the table has
 * grown to twice its size after the last collection, and rows of unconnected
 * TCP sockets, which the kernel lists nowhere, oldest first beyond a bound.
 * Those can be made anew from the socket's mark (fabric.h).
 */
#ifndef VRUN_SUP_VSK_H
#define VRUN_SUP_VSK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "model/policy.h"

struct domain;
struct faddr;
struct outgoing;

enum vsk_status {
	VSK_UNCONNECTED,
	VSK_BOUND,
	VSK_LISTENING,
	VSK_CONNECTING,
	VSK_CONNECTED,
	VSK_STATUSES
};

/* A connection that was made and not yet accepted: what the peers call each other. */
struct vsk_arrival {
	TAILQ_ENTRY(vsk_arrival) link;
	LIST_ENTRY(vsk_arrival) in_from; /* while it has one */
	struct vsk *listener;
	struct faddr *from;      /* where the client is in F */
	struct addr peer, local; /* virtual: the client's address, and the one that it connected to */
	uint16_t port;           /* the client's, the same in F and outside */
	bool token;              /* a connection of the supervisor's own, in a wire's queue */
};

/* A connection that was accepted for a call that was given up meanwhile. */
struct vsk_parked {
	TAILQ_ENTRY(vsk_parked) link;
	int fd; /* owned */
	uint64_t cookie; /* its row's */
	bool looked;     /* it was the first one when somebody looked */
	bool nonblock;   /* its mode */
};

struct vsk {
	LIST_ENTRY(vsk) by_cookie;
	union { /* in_ports and in_loose_list say which */
		LIST_ENTRY(vsk) by_port;   /* bound and listening ones, and clients of wires */
		TAILQ_ENTRY(vsk) in_loose; /* unconnected ones */
	};
	LIST_ENTRY(vsk) in_domain;
	LIST_ENTRY(vsk) in_peers;    /* of `to`, while there is one */
	struct domain *domain;
	struct faddr *at;            /* where it is bound in F; NULL: nowhere */
	struct faddr *to;            /* where its peer is in F; vsk_set_to() sets it */
	const struct policy_rule *rule; /* that allowed it, or NULL: the domain's own */
	uint64_t cookie, id;
	struct addr local, remote;
	uint16_t local_port, remote_port;
	int16_t error;       /* of a connection to the outside, not told yet; positive */
	uint8_t status;      /* enum vsk_status */
	bool v6 : 1;         /* the app asked for AF_INET6 */
	bool v6only : 1;
	bool seen : 1;       /* while collecting at once */
	bool missed : 1;     /* the kernel did not list it when it was looked at last */
	bool wire : 1;       /* an AF_UNIX socket of F (transport_wire.c) */
	bool unsure : 1;     /* a TCP listener whose queue may have more than n_arrivals tells of */
	bool spent : 1;      /* a wire that listened and was shut down: it never can again */
	bool inherits : 1;   /* a listening wire: options that its connections have to be given */
	bool at_home : 1;    /* a TCP socket, bound as it was when it was made */
	bool in_ports : 1;   /* in the list of its port */
	bool in_loose_list : 1;
	bool accepted : 1;   /* its peer connected to it */
	bool doomed : 1;     /* while a policy is put in force: it is to be cut */
	bool client : 1;     /* a connected wire: keeps its port from other clients */
	bool reuse_addr : 1, reuse_port : 1; /* when it was bound */
	bool bound : 1;      /* by bind or listen, for good: its socket in F keeps the place */
	bool bound_port : 1; /* at a port that bind was told */
	bool host : 1;       /* a socket of the host's (handoff.h) */
	bool untold : 1;     /* such a one that is connected, which no connect() of the app's has said, though one of the gateway's has */
	bool cut : 1;        /* such a one that was shut down for a policy */
	bool told : 1;       /* a connection: its end for a policy is on record */
	bool dissolved : 1;  /* such a one whose connection another process has taken away */
	bool several : 1;    /* a listener from which more than one thread accepts */
	uint16_t acceptor;               /* the last one, by its number's end; 0: none yet */
	int32_t linger;                  /* seconds of SO_LINGER, of TCP: not the kernel's matter (options.c) */
	uint32_t backlog, n_arrivals;    /* listening */
	uint16_t n_parked;
	uint16_t n_tokens;               /* in its queue, of the supervisor's own; one more than are parked at most */
	uint16_t n_coming;               /* of those, on their way in the kernel (transport_tcp.c) */
	uint32_t ceiling_rule;           /* of the domain's ceiling, that allowed it, too: its number from 1; 0: none */
	uint32_t generation;             /* of the policy */
	uint32_t surveyed;               /* by which survey (survey.h) it was seen last */
	uint32_t changed;                /* during, or after, which one it was made or got its status */
	struct addr real;                /* where a host's is connected to; of one that came in, the machine's own */
	uint64_t name;                   /* a bound wire's, in F */
	struct outgoing *out;            /* owned; such a connection under way, or relayed */
	struct wire_options *options;    /* owned; of a wire, NULL: all as they are at first */
	TAILQ_HEAD(vsk_arrivals, vsk_arrival) arrivals;
	TAILQ_HEAD(, vsk_parked) parked;
};

LIST_HEAD(vsk_list, vsk);
TAILQ_HEAD(vsk_queue, vsk);

#define VSK_PORT_BUCKETS 4096
#define VSK_LOOSE_MAX 4096 /* rows of unconnected sockets, all domains together */
#define VSK_COLLECT_MIN 4096 /* rows of closed sockets that are not worth a look */
#define VSK_COLLECT_MAX 16384 /* that are, however long it takes */

struct vsk_table {
	struct vsk_list *buckets; /* by cookie */
	size_t n_buckets, n, collect_at;
	size_t n_host, n_wires; /* those with host sockets; wires */
	uint32_t survey; /* the number of the last one (survey.h) */
	uint64_t next_id;
	struct vsk_list ports[VSK_PORT_BUCKETS];
	struct vsk_queue loose;
	size_t n_loose;
	unsigned turn; /* among listeners that share a port; counted on with every connection */
};

int vsk_table_init(struct vsk_table *t);
/* Frees every row. */
void vsk_table_fini(struct vsk_table *t);

/* A row for an unconnected socket of the domain's transport, or NULL without memory. May collect the
 * oldest of that kind. */
struct vsk *vsk_new(struct vsk_table *t, struct domain *d, uint64_t cookie, bool v6);
void vsk_free(struct vsk_table *t, struct vsk *v);
struct vsk *vsk_find(struct vsk_table *t, uint64_t cookie);

/* The row's socket is a wire from now on, or none. */
void vsk_set_wire(struct vsk_table *t, struct vsk *v, bool wire);
/* The row is one of a host's socket. */
void vsk_set_host(struct vsk_table *t, struct vsk *v);
/* What connect() did to the row is undone; it is unconnected, or bound as it was. */
void vsk_reset(struct vsk_table *t, struct vsk *v);

/* Sets where the row is connected to, or that it is nowhere (NULL). */
void vsk_set_to(struct vsk *v, struct faddr *to);
/* Nobody is at a place of F any more: rows and queues lose what leads there. */
void vsk_forget_place(struct faddr *place);

/* Changes the status, and with it the lists that the row is in. Set local and local_port before. */
void vsk_set_status(struct vsk_table *t, struct vsk *v, enum vsk_status status);

/* A client that connects from local and local_port to its remote would be mistaken for another one. */
bool vsk_client_taken(struct vsk_table *t, const struct vsk *v);

/* The listening row that a connection to an address and port of the domain reaches, or NULL. */
struct vsk *vsk_find_listener(struct vsk_table *t, const struct domain *d, const struct addr *a,
			      uint16_t port);

/* The domain's listening rows at a port, whatever their addresses are: the one behind `after`, NULL: the first. */
struct vsk *vsk_next_listener(struct vsk_table *t, const struct domain *d, uint16_t port, const struct vsk *after);

/*
 * A row that is in the way of binding `v` to local and local_port, as
 * inet_csk_get_port() in the kernel sees it, or NULL. `for_listen`: asked
 * again when it is to listen.
 */
struct vsk *vsk_find_conflict(struct vsk_table *t, const struct vsk *v, bool for_listen);

/* Adds what a client is called to a listener's queue, or a token (NULL). The oldest go when it is longer
 * than it can be. */
int vsk_arrive(struct vsk *listener, const struct vsk *client);
/* Takes out what is known of the client at that place in F. False when nothing is. */
bool vsk_take_arrival(struct vsk *listener, const struct faddr *from, uint16_t port,
		      struct vsk_arrival *ret);
/* The one that came first; false when there is none. */
bool vsk_take_first_arrival(struct vsk *listener, struct vsk_arrival *ret);
/* Takes the one back that was added last. */
void vsk_take_last_arrival(struct vsk *listener);

/* "unconnected", "bound" ...; never NULL. */
const char *vsk_status_name(enum vsk_status s);

#endif
