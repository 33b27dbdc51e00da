/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams between domains.
 *
 * Theory of operation
 *
 * A domain whose policy has rules for UDP has an interface in its namespace
 * (eth0, one end of a veth pair), through which everything is routed. What is
 * sent comes out at the other end, where there is nothing but a packet socket of
 * the supervisor's. A frame that carries a UDP datagram from an address of the
 * domain to one of another domain is decided on by both policies, as a connection
 * is, and written unchanged to the other domain's packet socket. So sources are
 * right, ports of different domains cannot collide, and the kernels' own errors
 * (port unreachable) find their way back. Everything else is dropped.
 *
 * What was decided is kept as a flow: who sent first, to whom. The other side may
 * answer while the flow lives; flows that are silent end. A denial is kept, too,
 * so that it is on record once.
 *
 * A flow to the outside is the same with one side: the domain's gateway has a
 * socket of the host's for each (flow_out.c), and frames from there are made here.
 *
 * Apps cannot make frames (no raw sockets), but what comes is not trusted to
 * be well-formed all the same (kern/frame.h).
 */
#ifndef VRUN_SUP_FLOW_H
#define VRUN_SUP_FLOW_H

#include <sys/queue.h>

#include "kern/frame.h"
#include "model/policy.h"
#include "sup/loop.h"

struct sup;
struct domain;
struct publish;

#define FLOW_BUCKETS 1024
#define FLOW_DOMAIN_MAX 4096 /* of one domain; then its oldest goes */
#define FLOW_BATCH 32        /* frames of a domain in one turn of the loop */
#define FLOW_LAST 1024       /* and at its end */
#define FLOW_SHORT_MS 30000  /* silence that ends a flow without answers, or forgets a denial */
#define FLOW_LONG_MS 180000  /* and one with */

TAILQ_HEAD(flow_list, flow);

struct flow {
	LIST_ENTRY(flow) by_hash;
	TAILQ_ENTRY(flow) in_domain; /* of the first sender or the port, the longest silent first */
	struct domain *from, *to;    /* to: NULL in a denial, and to the outside */
	struct flow_out *out;        /* owned; to the outside, or NULL */
	struct publish *port;        /* by which somebody came; `from` is the domain all the same, unless it is a denial */
	uint64_t id;                 /* among those of the socket table */
	struct frame_ends ends;      /* as the first datagram had them; of who came by a port: as answers have them */
	struct addr peer, at;        /* of who came: really, and at which address of the machine */
	const struct policy_rule *rule;
	bool denied, answered;
	uint32_t generation;
	int64_t last; /* loop_now() of its last datagram */
	uint64_t packets[2], bytes[2]; /* sent by the first, answered */
};

struct flows {
	LIST_HEAD(, flow) buckets[FLOW_BUCKETS];
	struct loop_alarm sweep;
	size_t n;
	uint8_t buffer[FRAME_MAX];
};

/* --- flow_out.c ------------------------------------------------------------------- */

struct decision;

#define FLOW_OUT_MAX FLOW_DOMAIN_MAX /* of one domain, at a time: each has a descriptor, and two of the gateway's */

/* Begins a flow to the outside, that was decided on. False: there is no way out. */
bool flow_out_begin(struct sup *s, struct flow *w, const struct decision *d);
/* What a frame in the buffer carries, to the outside. */
void flow_out_send(struct sup *s, struct flow *w, size_t payload);
void flow_out_end(struct flow *w);
/* The outside said no, or its end. */
bool flow_out_is_over(const struct flow *w);
/* --- flow_in.c -------------------------------------------------------------------- */

#define FLOW_IN_MAX 1024 /* of one port; then its oldest goes */

/* What comes to a UDP port of the machine, and the descriptor of the gateway's, taken. 0 or -errno. */
int flow_in_begin(struct publish *p, int fd);
/* The port is given up, and its flows end. */
void flow_in_end(struct publish *p);
/* What a frame in the buffer carries, to who came. */
void flow_in_send(struct flow *w, size_t payload);
/* Whether who came would still be let in. */
bool flow_in_decide(struct flow *w);

/* --- flow.c again --- */
/* For somebody who came by a port, from there to the domain. NULL: no memory. */
struct flow *flow_come(struct publish *p, const struct frame_ends *e, bool denied);
/* One that is there, or NULL. */
struct flow *flow_find(struct sup *s, const struct frame_ends *e);
void flow_free(struct sup *s, struct flow *w);
/* A frame in the buffer to a domain; one that came for a flow, and an error about what it sent. */
void flow_deliver(struct sup *s, const struct domain *to, size_t len);
void flow_answered(struct flow *w, size_t payload);

void flows_init(struct flows *f);
/* A domain whose network is set up: 0 or -errno; and one that ends. */
int flow_add_domain(struct sup *s, struct domain *d);
void flow_remove_domain(struct sup *s, struct domain *d);

/*
 * Whether datagrams from a port of the domain to there belong to a flow that is
 * open, such as answers. `own` may be a wildcard.
 */
bool flow_is_open(struct sup *s, const struct domain *d, const struct addr *own, uint16_t own_port,
		  const struct addr *to, uint16_t port);

/* The domain's policy is another one: flows that it allows get their new rule, the others are forgotten, and
 * counted unless they were denied before. */
size_t flow_revoke(struct sup *s, const struct domain *changed);

#endif
