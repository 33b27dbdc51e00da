/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun-gateway: the one process of a domain's that has the host's network.
 *
 * Theory of operation
 *
 * It has the policy and the ceiling from the launcher and serves one socket
 * (model/gateway.h), behind which it takes nobody's word: whatever is asked for is
 * decided here again, for the address that is then connected to. Everything that
 * waits is a watch or a timer of one loop; only what it tells the supervisor may
 * block, since that one never waits for the gateway. The end of the socket is the end
 * of the process, and of every socket that was not handed over.
 */
#ifndef VRUN_GATE_GATE_H
#define VRUN_GATE_GATE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "gate/read.h"
#include "model/gateway.h"
#include "model/policy_decide.h"

#define GATE_JOBS_MAX 4096      /* requests in work */
#define GATE_CANDIDATES_MAX 8   /* addresses that a connection is tried with */
#define GATE_LOOKUPS_MAX 256    /* names that are being looked up */
#define GATE_NAMES_MAX 2048     /* in the cache */
#define GATE_FLOWS_MAX 4352     /* of datagrams: those of a domain, and some whose end is not seen yet */
#define GATE_DIRECT 6           /* watches that are waited for beside epoll; others go there */

struct gate;

/* --- the loop (loop.c) ------------------------------------------------------------------ */

struct gate_watch {
	void (*ready)(struct gate *g, struct gate_watch *w, uint32_t events);
};

/* Zeroed: not set. */
struct gate_timer {
	TAILQ_ENTRY(gate_timer) link;
	int64_t due; /* milliseconds of the monotonic clock; 0: not set */
	void (*ring)(struct gate *g, struct gate_timer *t);
};
TAILQ_HEAD(gate_timers, gate_timer);

int64_t gate_now(void);
/* Level-triggered. 0 or -errno. */
int gate_watch_add(struct gate *g, int fd, uint32_t events, struct gate_watch *w);
/* The same for EPOLLIN alone, without the way through epoll: for what comes often, and of which there is little. */
int gate_watch_add_direct(struct gate *g, int fd, struct gate_watch *w);
void gate_watch_change(struct gate *g, int fd, uint32_t events, struct gate_watch *w);
/* Before the close of fd; the watch may be freed then. */
void gate_watch_remove(struct gate *g, int fd);
void gate_timer_set(struct gate *g, struct gate_timer *t, int64_t after);
void gate_timer_clear(struct gate *g, struct gate_timer *t);
/* One event or the timers that are due. 0 or -errno. */
int gate_turn(struct gate *g);

/* --- names (names.c) ---------------------------------------------------------------------- */

/* Addresses of a name, of one family. */
struct gate_found {
	int error; /* 0; ENOENT: there is no such name; else nobody can tell */
	uint32_t ttl;
	unsigned n;
	struct addr addresses[GATEWAY_ADDRESSES_MAX];
};

/* Who waits for one. Zeroed: nobody. */
struct gate_asker {
	LIST_ENTRY(gate_asker) link;
	struct gate_name *name; /* that it waits for, or NULL */
	void (*found)(struct gate *g, struct gate_asker *a, const struct gate_found *f);
};

int gate_names_init(struct gate *g, struct err *e);
void gate_names_fini(struct gate *g);
/* From the cache: it is in *ret and true; else `found` is called later. The name is not in a decision yet. */
bool gate_names_ask(struct gate *g, const char *name, bool v6, struct gate_asker *a, struct gate_found *ret);
void gate_names_cancel(struct gate_asker *a);

/*
 * Asks a name server for records of another type. `found` is called once, from
 * within the loop or this, also when the names end (ECANCELED): 0 with the
 * server's message (of no bytes: no such record), or why not. False: too many are being asked, or too often.
 */
bool gate_names_query(struct gate *g, const char *name, uint16_t type,
		      void (*found)(void *ctx, int error, const uint8_t *data, size_t len), void *ctx);

/* --- jobs (serve.c): requests that are not finished ------------------------------------------ */

struct gate_job {
	LIST_ENTRY(gate_job) by_id;
	uint32_t id;
	void (*end)(struct gate *g, struct gate_job *j); /* frees it and all it holds; gate_job_remove() first */
};

#define GATE_JOB_BUCKETS 1024

/* Who gives it another policy (control.c). */
struct gate_control {
	struct gate_watch arrivals, talk;
	struct gate_timer patience;
	int fd;   /* owned; the listening socket; -1: none */
	int sock; /* owned; of the conversation; -1: none */
	int64_t owner;
	struct gate_text next;
};

struct gate {
	int sock, ep; /* borrowed; the supervisor; epoll */
	bool over;
	struct pollfd direct[2 + GATE_DIRECT]; /* behind sock and ep; not watched: the complement of fd */
	struct gate_watch *direct_watch[2 + GATE_DIRECT];
	unsigned n_direct;
	struct gate_text *text;      /* borrowed; what is in force */
	struct gate_text *next;      /* and what has to allow it, too: NULL: nothing (control.c) */
	struct gate_control control;
	struct gate_watch requests;
	struct gate_timers timers;
	struct gate_names *names; /* owned */
	LIST_HEAD(, gate_job) jobs[GATE_JOB_BUCKETS];
	unsigned n_jobs;
	LIST_HEAD(, published) published; /* ports of the machine (publish.c) */
	LIST_HEAD(, published) claims;    /* that nobody has asked for yet */
	LIST_HEAD(, bound) bound, bound_claims; /* the same for UDP (bind.c) */
	LIST_HEAD(, relay) relays; /* flows (flow.c) */
	unsigned n_relays;
};

/* False: too many, or that id is in use (which ends the gateway). */
/* A job that still is one, by its number and what ends it, or NULL. */
struct gate_job *gate_job_find(struct gate *g, uint32_t id, void (*end)(struct gate *, struct gate_job *));
bool gate_job_add(struct gate *g, struct gate_job *j, uint32_t id);
void gate_job_remove(struct gate *g, struct gate_job *j);

/* Sends an answer; fd is closed (-1: none). */
void gate_tell(struct gate *g, struct gateway_answer *a, int fd);
/* GATEWAY_ARRIVED with n descriptors, which stay the caller's. False: too many are under way, and it has none. */
bool gate_tell_arrived(struct gate *g, const struct gateway_answer *a, const int *fds, unsigned n);
/* The same as gate_tell() with bytes behind it. */
void gate_tell_more(struct gate *g, const struct gateway_answer *a, const uint8_t *data, size_t len);
void gate_tell_failed(struct gate *g, uint32_t id, int error);

/* Serves until the supervisor's end. 0 or -errno. */
int gate_serve(struct gate *g, struct err *e);

/* --- decisions (decide.c) -------------------------------------------------------------------- */

enum gate_decision { GATE_ALLOWED, GATE_DENIED, GATE_UNREACHABLE };

/* A connection or flow of the request to that address. */
enum gate_decision gate_decide(const struct gate *g, const struct gateway_request *r, enum policy_proto proto,
			       const struct addr *a);
/* One who comes from outside to a port of the domain, at an address of the machine. */
bool gate_lets_in(const struct gate *g, enum policy_proto proto, const struct addr *from, const struct addr *at,
		  uint16_t port);
/* How many rules publish that port of the domain there; a port of 0 stands for any, as in the policy. */
unsigned gate_publishes(const struct gate *g, enum policy_proto proto, const struct addr *at, uint16_t port,
			uint16_t local_port);
/* The same of the policy in force alone: whether the port may be taken, for one that may be to come lets nobody in there. */
unsigned gate_publishes_now(const struct gate *g, enum policy_proto proto, const struct addr *at, uint16_t port,
			    uint16_t local_port);
/* Whether the name of a request may be connected to, as far as that is no matter of its address. */
bool gate_may_connect(const struct gate *g, const struct gateway_request *r, enum policy_proto proto);
/* Whether the name may be asked for outside. */
bool gate_may_look_up(const struct gate *g, const char *name);
/* The same for records of that type. */
bool gate_may_query(const struct gate *g, const char *name, uint16_t type);
/* Whether anybody would be let through to that address of a name that was looked up. */
bool gate_may_know(const struct gate *g, const char *name, const struct addr *a);

/* --- sockets (socket.c) ------------------------------------------------------------------------ */

/*
 * A socket of the request's family with its options and local port, on which
 * nothing but packets of that peer ever arrives. Close-on-exec, non-blocking. -errno.
 */
int gate_socket(const struct gateway_request *r, const struct addr *peer);
/* Makes it so: only packets of that peer, for good. 0 or -errno. */
int gate_lock(int fd, const struct addr *peer, uint16_t port);
/* Starts connecting. 0: connected; -EINPROGRESS, or why not. */
int gate_socket_connect(int fd, bool v6, const struct addr *peer, uint16_t port);

/* --- requests: each answers itself ----------------------------------------------------------------- */

void gate_connect(struct gate *g, const struct gateway_request *r); /* connect.c */
void gate_resolve(struct gate *g, const struct gateway_request *r); /* resolve.c */
void gate_query(struct gate *g, const struct gateway_request *r); /* query.c */

void gate_publish(struct gate *g, const struct gateway_request *r); /* publish.c */
/* GATEWAY_OPEN, GATEWAY_SHUT. */
void gate_publish_open(struct gate *g, const struct gateway_request *r);
/* Takes the ports of a policy that is to come, all or none; and gives up those that nobody has asked for. */
int gate_publish_claim(struct gate *g, const struct policy *next, struct err *e);
void gate_publish_unclaim(struct gate *g);

void gate_flow(struct gate *g, const struct gateway_request *r); /* flow.c */
/* Ends those that the policy does not allow any more. */
void gate_flows_review(struct gate *g);
void gate_flows_fini(struct gate *g);

void gate_bind(struct gate *g, const struct gateway_request *r); /* bind.c */
/* Ends ports and forgets visitors that the policy does not allow any more. */
void gate_bound_review(struct gate *g);
void gate_bound_fini(struct gate *g);
/* The UDP port that a rule of a policy that is to come publishes; all of them are given up by gate_bind_unclaim(). */
int gate_bind_claim(struct gate *g, const struct policy_rule *r, struct err *e);
void gate_bind_unclaim(struct gate *g);

/* Hears those who put another policy in force at the listening socket, which it takes. */
int gate_control_init(struct gate *g, int fd, int64_t owner, struct err *e);
void gate_control_fini(struct gate *g);

/* What the process gives up (confine.c). */
int gate_confine(const struct policy *p, struct err *e);

#endif
