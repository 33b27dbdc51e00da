/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of the resolver, which apps ask at 127.0.0.53.
 *
 * A domain's questions come to a UDP socket in its own namespace, and over
 * connections to a listener in F. Both are handed to the resolver, a process
 * that reads what apps send and asks the supervisor what it may answer
 * (model/lookup.h). It is started by the first question, and again when it ends.
 */
#ifndef VRUN_SUP_RESOLVER_H
#define VRUN_SUP_RESOLVER_H

#include <stdbool.h>
#include <sys/queue.h>

#include "model/lookup.h"
#include "sup/fabric.h"
#include "sup/loop.h"

struct sup;
struct domain;

#define RESOLVER_QUEUE_MAX 4096 /* messages that wait for room in its socket; it has less questions open */
#define RESOLVER_STREAMS_QUEUE 1024 /* with so many no connection is handed over */
#define RESOLVER_STREAMS_MAX 16 /* connections that wait for the resolver's start; more are closed */

struct resolver_message;

struct resolver {
	struct watch watch;    /* of the connection to it */
	STAILQ_HEAD(, resolver_message) queue; /* for it, while its socket has no room */
	size_t n_queue;
	struct watch arrivals; /* of the listener */
	struct loop_alarm again;
	int fd;                /* owned; -1: none is running */
	int listener;          /* owned; in F, at: */
	struct faddr at;
	bool starting;
	uint32_t generation; /* of the process: its questions are not another one's */
	int64_t started;       /* loop_now() */
	size_t n_streams;
	struct resolver_stream {
		struct domain *domain;
		int fd; /* owned */
	} streams[RESOLVER_STREAMS_MAX];
};

int resolver_init(struct sup *s, struct err *e);
void resolver_fini(struct sup *s);

/* A domain whose network is set up. */
void resolver_add(struct sup *s, struct domain *d);
void resolver_remove(struct sup *s, struct domain *d);

/* A connection of the domain to the resolver, which is taken or left to be closed. */
void resolver_take(struct sup *s, struct domain *d, int *fd);

/* Where a connection of an app to that address of its own domain goes when nothing of its own is there. */
struct faddr *resolver_place(struct sup *s, const struct addr *a, uint16_t port);

/* Answers a question of the resolver that was then; nobody's if there is another by now. `data`: l->size
 * bytes of a name server's message. */
void resolver_answer(struct sup *s, uint32_t generation, struct lookup *l, const uint8_t *data);

/*
 * Fills the answer into a question of a domain's apps (lookup.c); false: it comes
 * later, by resolver_answer(). Denials are put on record.
 */
bool lookup_answer(struct sup *s, struct domain *d, struct lookup *l);
/* Whether the name has not been on record already. */
bool lookup_is_news(struct domain *d, const char *name);

/* Whether some rule of the domain lets it connect to the other one at some port. */
bool lookup_may_know(const struct domain *d, const struct domain *other);

#endif
