/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to the outside that is under way or relayed, for the files that have to do with it. */
#ifndef VRUN_SUP_OUTGOING_IMPL_H
#define VRUN_SUP_OUTGOING_IMPL_H

#include "sup/outgoing.h"
#include "sup/plug.h"
#include "sup/relay.h"
#include "sup/sup.h"

struct outgoing {
	struct sup *sup;
	struct domain *domain;
	struct call call; /* that began it, for the record */
	struct policy_attempt attempt;
	struct addr addr;          /* that the attempt points to */
	char name[NAME_TEXT_MAX];  /* the same */
	const char *names[1];
	uint64_t cookie;           /* of the app's socket */
	uint32_t request;          /* at the gateway; 0: it has answered */
	uint32_t generation;       /* of the policy that it was decided by */
	int64_t patience;          /* milliseconds of the app's SO_SNDTIMEO when it began; negative: for ever */
	bool first;                /* connect() waits to hear how it goes on; its socket is as it was */
	bool late;                 /* it has waited for LATE_MS or BEGIN_MS */
	bool waits;                /* the gateway knows of no call but one that waits */
	bool racing;               /* the gateway says that it takes time */
	bool connecting;           /* far is, still */
	bool near_watched, far_watched;
	bool relay;                /* the host's socket cannot take the place, or is not to */
	bool lingers;              /* in the domain's list; its row has gone */
	bool recorded;             /* to terms.recording.tape, or not at all */
	bool told;                 /* connect() of a wire has said that it is connected */
	struct in6_addr at;        /* the app's socket in limbo */
	uint16_t port;             /* 0: it is not there */
	struct plug plug;          /* the same of a wire, which has a port of the table's then */
	int near, far;             /* owned; joined with the app's; the host's */
	struct watch near_watch, far_watch;
	struct loop_alarm grace, lateness;
	struct relay_terms terms;
	struct policy_tls tls;     /* that the attempt points to, once its ClientHello is there */
	char tls_name[NAME_TEXT_MAX];
	struct relay *pipe;        /* owned; then near and far are its */
	LIST_ENTRY(outgoing) lingering;
};

/* The app's, or NULL. */
struct vsk *outgoing_row(const struct outgoing *o);
/* Nothing of it is watched any more, before its descriptors are somebody else's. */
void outgoing_unwatch(struct outgoing *o);

/* The error that it ended with, for connect(): after that the socket is as if it had never been tried. */
int outgoing_take_error(struct target *t);
/* The app's socket is connecting, as far as anybody sees (limbo.h, plug.h). 0 or -errno. */
int outgoing_enter_limbo(struct outgoing *o, struct target *t);
/* To be owned by its row; NULL: no memory, or too many files. */
struct outgoing *outgoing_new(struct call *c, const struct target *t, const struct policy_attempt *a);
/* Its gateway, whose answer goes on with it. 0 or -errno. */
int outgoing_ask(struct outgoing *o, struct gateway_request *r);

/* --- outgoing_request.c ----------------------------------------------------------------------- */

/* For a socket of F, or a wire, with the options that it has. */
void outgoing_request(const struct outgoing *o, const struct target *t, struct gateway_request *ret);
/* Milliseconds that the app waits at most, of its options; negative: for ever. */
int64_t outgoing_patience(const struct gateway_request *r);

/* --- outgoing_relay.c ------------------------------------------------------------------------ */

/* What the rules that allow it ask for: its terms, and whether it has to be relayed. */
void outgoing_take_terms(struct outgoing *o);
/* The address of the name is known: another rule may have its say. */
void outgoing_found(struct outgoing *o, const struct addr *a);
/* Whoever still has the old socket, in whose place the host's has come, is to see that it is none any more. */
void outgoing_leave_behind(struct outgoing *o);
/* It is not in its domain's list any more, which may have been the last thing of that. */
void outgoing_lingered(struct outgoing *o);
/* Both ends are there: they are the relay's from now on. May drop it. */
void outgoing_relay(struct outgoing *o);

#endif
