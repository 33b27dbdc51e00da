/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of a domain's gateway (model/gateway.h): requests, and
 * who hears of the answers. Nothing here waits. A domain without a gateway, or
 * whose gateway is gone, gets GATEWAY_FAILED with ENETUNREACH.
 */
#ifndef VRUN_SUP_GATEWAY_H
#define VRUN_SUP_GATEWAY_H

#include <sys/queue.h>

#include "model/gateway.h"
#include "sup/loop.h"

struct domain;
struct sup;
struct gateway_job;

/* An answer. `fd` is the callee's (-1: none). With GATEWAY_RACING and PUBLISHED more come; of GATEWAY_ARRIVED one for
 * each arrival, which is the first and only one then. The bytes of GATEWAY_RECORDS follow it in memory. */
typedef void gateway_done(void *ctx, const struct gateway_answer *a, int fd);

#define GATEWAY_BUCKETS 256

struct gateway {
	struct watch watch;
	struct loop_alarm lost; /* rings for those who wait, once it is gone */
	struct sup *sup;        /* NULL: before gateway_init() */
	int fd; /* owned; -1: none, or gone */
	uint32_t next;
	TAILQ_HEAD(, gateway_job) jobs, unsent;
	LIST_HEAD(, gateway_job) buckets[GATEWAY_BUCKETS];
};

/* Takes the socket, also when it fails; -1: a domain that has no gateway. 0 or -errno. */
int gateway_init(struct gateway *g, struct sup *s, int fd);
/* Ends the gateway; nobody is called any more. Zeroed is fine. */
void gateway_fini(struct gateway *g);

/*
 * Sends a request; `id` is filled in. `done` is called from the loop, never
 * from within this. Returns the id, for gateway_cancel(); 0: no memory, and
 * nothing will come.
 */
uint32_t gateway_ask(struct gateway *g, struct gateway_request *req, gateway_done *done, void *ctx);
/* Says something of the job `id` that has no answer of its own: GATEWAY_OPEN, GATEWAY_SHUT. False: no memory. */
bool gateway_note(struct gateway *g, const struct gateway_request *r);
/* `done` of that request is not called any more; descriptors that still come are closed. */
void gateway_cancel(struct gateway *g, uint32_t id);

#endif
