/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of the machine that lead into a domain: "publish" in its policy.
 *
 * Its gateway takes each of them before the app starts, and listens while
 * somebody in the domain does. What came in is a socket of the host's, which is
 * parked in the listener's row, like a connection that was accepted for a thread
 * that had left (accept.c), and given to the next accept. UDP ports are open all the time; what
 * comes there are flows (flow_in.c).
 */
#ifndef VRUN_SUP_PUBLISH_H
#define VRUN_SUP_PUBLISH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "model/gateway.h"
#include "sup/flow.h"
#include "sup/loop.h"

struct domain;
struct sup;
struct target;
struct vsk;

#define PUBLISH_SEEN 16 /* a cookie's place is its remainder */

struct publish {
	struct domain *domain;
	struct addr addr;          /* of the machine */
	uint16_t asked;            /* the port of the machine as the policy has it; 0: any */
	uint16_t port, local_port; /* of the machine, as it was taken; of the domain */
	uint32_t id;               /* of the gateway's job */
	uint64_t listener;         /* its cookie; whose listen() opened it */
	struct {
		uint64_t cookie;
		int64_t at; /* milliseconds */
	} seen[PUBLISH_SEEN];      /* listeners that were there; several share a port */
	struct loop_alarm look;    /* somebody waits to be accepted by listeners that may be closed */
	enum policy_proto proto;
	/* Of UDP (flow_in.c): */
	struct prefix local;       /* of the domain, where the rule names addresses */
	bool one_local;
	int fd;                    /* owned; to the gateway; -1: none */
	struct watch visits;
	struct flow_list flows;
	size_t n_flows;
	bool taken, open;
	bool listens;       /* the gateway does, and said so */
	bool nonblock;      /* who accepted last wanted it so */
	uint16_t credit;    /* connections that the gateway may pass on and has not */
	bool late; /* of a policy that came later: nobody waits for it */
	unsigned n_options; /* of the listener */
	struct gateway_option *options; /* owned; or NULL */
};

/* Of a domain. Zeroed: none. */
struct publishes {
	struct publish **v; /* owned, and each of them */
	size_t n, n_waiting;
	void (*done)(struct domain *d, const struct err *e);
	bool over; /* it was called: before that the policy stays what it is */
	struct loop_alarm ready;
	struct err failed; /* num 0: all were taken */
};

/*
 * Has the domain's gateway take what its policy publishes; `done` is called
 * once, from the loop: with NULL, or with why one could not be taken. It may end
 * the domain. -ENOMEM: it is not.
 */
int publish_begin(struct domain *d, void (*done)(struct domain *d, const struct err *e));
void publish_end(struct domain *d);

/*
 * The domain has another policy: what that does not publish is given up, and the
 * gateway, which has claimed the rest, is asked for it. Nothing waits for it.
 */
void publish_update(struct domain *d);

/*
 * Somebody in the domain listens, with a socket whose options those who come
 * inherit as they are now; or does not any more.
 */
void publish_listening(struct sup *s, const struct target *t);
void publish_closed(struct domain *d, uint16_t port);
/* Who comes to the ports that lead there is not refused any more; or never will be let in. */
bool publish_is_open(const struct vsk *listener);
/* One of those that were parked at the listener was accepted, by somebody who wants it in that mode. */
void publish_taken(const struct vsk *listener, bool nonblock);
/* A socket that came in is about to be accepted from that listener, which was there before its port was published. */
void publish_accepted(struct sup *s, const struct target *listener, int fd);

/* [{"at": "127.0.0.1:8080", "port": 80, "proto": "tcp", "open": true}]: what is published where. */
json_t *publish_json(const struct domain *d);

#endif
