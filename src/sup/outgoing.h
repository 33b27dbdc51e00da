/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that leave the machine.
 *
 * Theory of operation
 *
 * The gateway connects a socket of the host's (model/gateway.h), and that takes
 * the place of the app's socket, which is one of F (replace.h). An exchange
 * needs a call of the app's on that socket:
 *
 * - connect() itself, of an app that waits, and of one that does not when there
 *   is one place to connect to: the host's socket comes at once, connecting.
 * - While the gateway still looks for a place, the app that does not wait has
 *   its own socket in limbo: SYN_SENT (limbo.h). So has one that waits, for a
 *   signal may end its wait while the connection is still to come.
 * - When it has come and no call waits for it, the app's socket is joined with
 *   one of the supervisor's, and the app sees it connected. Its next trapped
 *   call on it (SO_ERROR, as a rule) brings the host's socket. Should bytes come
 *   before such a call does, the two are relayed for good (relay.h).
 *
 * A relay also serves a socket that a process has which makes no call, and
 * everything where there is no /proc, without which neither the flags of a
 * descriptor nor what epolls know of it can be seen.
 */
#ifndef VRUN_SUP_OUTGOING_H
#define VRUN_SUP_OUTGOING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct call;
struct domain;
struct outgoing;
struct policy_attempt;
struct policy_tls;
struct sup;
struct target;
struct vsk;

/* connect() to a place outside that the domain's policy allows: what the call gets, or CALL_ANSWERED. The
 * socket has its source, and the row its remote. `attempt` is what was decided. */
int64_t outgoing_connect(struct call *c, struct target *t, const struct policy_attempt *attempt);

#define OUTGOING_ANEW (INT64_MIN + 3) /* beside CALL_ANSWERED: the socket may connect, again */
/* connect() on a socket that has a connection to the outside, or had: what the call gets. */
int64_t outgoing_again(struct call *c, struct target *t);
/* connect() with AF_UNSPEC on such a one: it is one of F again, and unconnected. */
int64_t outgoing_disconnect(struct call *c, struct target *t);

/* In a call of the app's on the socket: the host's takes its place, when it is there. */
void outgoing_settle(struct call *c, struct target *t);
/* SO_ERROR of a connection that failed; 0: ask the kernel. It is told once. */
int outgoing_error(struct target *t);

/* What the ClientHello of a connection has said, for a decision on it; NULL: it is still to come. `o`: NULL:
 * the app has the host's socket, and nobody has looked. */
const struct policy_tls *outgoing_tls(const struct outgoing *o);

/* The app has ended: what it has sent through a relay is the domain's, which outlives its rows for that. */
void outgoing_linger(struct vsk *v);
/* Such ones of the domain are reset. It is freed with the last of them. */
void outgoing_abandon(struct domain *d);

/* Its gateway is still to say how it goes. */
bool outgoing_asks(const struct outgoing *o);

/* The row goes, and with it what is under way. */
void outgoing_drop(struct outgoing *o);

#endif
