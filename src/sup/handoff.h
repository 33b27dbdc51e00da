/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the host's in the hands of apps: rows for them, the options that
 * travel along, and the way back.
 *
 * Such a row has `host` set. Its socket is in no list of F's, so an epoll tells
 * whether it still is open (kern/alive.h).
 */
#ifndef VRUN_SUP_HANDOFF_H
#define VRUN_SUP_HANDOFF_H

#include "model/gateway.h"
#include "sup/vsk.h"

struct call;
struct domain;
struct sup;
struct target;

struct handoff_defaults; /* what options are on a new socket */

/* Once it works it goes on working; -ENOENT where there is no /proc. */
int handoff_init(struct sup *s);
void handoff_fini(struct sup *s);

/* The host's socket *fd, taken, in place of the app's. Fills the target. As replace_socket(). */
int handoff_place(struct call *c, struct target *t, int *fd, enum vsk_status status);
/* A new socket of F in place of the host's; `wire`: or of a wire, else in place of a wire. */
int handoff_return(struct call *c, struct target *t, bool wire);

/* The same for one whose connection is to be taken away, whoever else has it: it ends for all of them, and only the
 * calling process has a socket that can be connected again. */
int handoff_discard(struct call *c, struct target *t, bool wire);

/*
 * An app of the domain sets such an option. Most are set so seldom that their calls are trapped: what no app has ever
 * set need not be read. That it is the domain's matter, not the socket's, leaves nothing to lose: whichever socket
 * the call reaches in the end, however it is found, and whoever has it by then.
 */
void handoff_note_option(struct domain *d, int level, int name);

/* Options of an unconnected socket of F, or of a wire, that are not as on a new one; at most GATEWAY_OPTIONS_MAX. */
unsigned handoff_options(struct sup *s, const struct target *t, struct gateway_option *ret);

#endif
