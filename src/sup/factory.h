/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The factory: a process of the supervisor's that does what its own confinement
 * forbids it, at its request and on nothing else's.
 *
 * It is forked before the supervisor gives up its rights, keeps those over
 * network namespaces (CAP_SYS_ADMIN and CAP_NET_ADMIN in the supervisor's user
 * namespace), and never sees a byte that comes from an app: requests are of
 * a fixed form, from the supervisor alone. It ends with the supervisor.
 *
 * Requests are answered in order; the loop goes on meanwhile.
 */
#ifndef VRUN_SUP_FACTORY_H
#define VRUN_SUP_FACTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/addr.h"
#include "sup/loop.h"

#define FACTORY_ADDRESSES_MAX 260 /* what a policy can list, and what is assigned */
#define FACTORY_DNS_PORT 53

/* What is wanted in a network namespace. */
struct factory_network {
	const struct addr *addresses;
	size_t n;
	uint16_t number; /* the domain's, for names of interfaces */
	bool udp;        /* datagrams leave it: an interface, and a packet socket at its other end */
};

/* What came of a request. Descriptors are the caller's from then on. */
struct factory_made {
	uint64_t cookie;  /* SO_NETNS_COOKIE of the namespace */
	int resolver;     /* UDP socket at 127.0.0.53:53 in it; or the resolver's end of a socket pair */
	int packets;      /* with udp: packet(7) socket, with PACKET_VNET_HDR; else -1 */
	uint8_t mac[6];   /* with udp: where frames for the namespace go to */
};

/* Called once: with what was made, or with an error. */
typedef void factory_done(void *ctx, struct factory_made *made, const struct err *e);

struct factory_job;
struct factory {
	struct watch watch;
	struct loop *loop;
	int fd;    /* owned; -1: it is gone */
	pid_t pid; /* 0: none was started */
	uint32_t next;
	TAILQ_HEAD(, factory_job) jobs;
};

/* A factory that was never started: every request fails. */
void factory_init(struct factory *f);

/*
 * Starts it. `resolver` is the resolver's program (kern/helper.h), `foreign`: containers come from other
 * runtimes, and may have no user namespace of their own. Comes after the
 * supervisor has its network namespace and before it is confined. `kept` is open in it to its end, and nowhere else.
 */
int factory_start(struct factory *f, struct loop *loop, int resolver, int *kept, bool foreign, struct err *e);
/* Ends it and waits for that. Requests that are open are dropped unanswered. */
void factory_fini(struct factory *f);

/*
 * Sets the namespace behind `ns` (borrowed) up: lo, addresses, routes, the
 * socket at which the resolver is asked. -EIO: the factory is gone.
 */
int factory_network(struct factory *f, const struct factory_network *want, int ns, factory_done *done,
		    void *ctx, struct err *e);
/* Starts a resolver. */
int factory_resolver(struct factory *f, factory_done *done, void *ctx, struct err *e);
struct porter_task;
/* Forks a porter (porter.h) with its descriptors, which stay the caller's. Nothing comes of it but
 * what the porter says itself. */
int factory_port(struct factory *f, const struct porter_task *task, const int *fds, struct err *e);
/* Forks a scribe (scribe.h), in the same way. */
int factory_scribe(struct factory *f, const int *fds, struct err *e);
/* No call back with that context any more. */
void factory_forget(struct factory *f, const void *ctx);

#endif
