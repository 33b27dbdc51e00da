/* SPDX-License-Identifier: Apache-2.0 */
/* A protection domain: one container, its policy, its names and virtual addresses. */
#ifndef VRUN_SUP_DOMAIN_H
#define VRUN_SUP_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/addr.h"
#include "kern/notify.h"
#include "model/policy.h"
#include "model/policy_decide.h"
#include "sup/asks.h"
#include "sup/attempts.h"
#include "sup/epolls.h"
#include "sup/fabric.h"
#include "sup/gateway.h"
#include "sup/loop.h"
#include "sup/names.h"
#include "sup/publish.h"
#include "sup/rate.h"
#include "sup/summary.h"
#include "sup/tape.h"
#include "sup/trail.h"
#include "sup/vsk.h"

struct sup;

/* Its own network namespace (network.h). */
struct domain_net {
	struct watch asked; /* of the resolver's socket, while no resolver runs */
	dev_t dev;
	ino_t ino;
	uint64_t cookie; /* SO_NETNS_COOKIE; 0: not known yet */
	struct watch frames;
	int resolver;    /* owned; UDP socket there at which the resolver is asked; -1: none */
	int packets;     /* owned; packet socket at the other end of its interface; -1: none */
	uint8_t mac[6];  /* of that interface */
};

#define DOMAIN_UNKNOWN_MAX 64
#define DOMAIN_RECORDS_MAX 64 /* in a second, of what no call of its apps waits for */
#define DOMAIN_BUCKETS 256

/* One of a domain's addresses, to find it by. */
struct domain_at {
	LIST_ENTRY(domain_at) link;
	const struct addr *addr;
	struct domain *domain;
};

/* A filter's listener: the container's own, and one for each process that was put into it later. */
struct listener {
	LIST_ENTRY(listener) link;
	struct watch watch;
	struct domain *domain;
	struct notify notify;
};

#define DOMAIN_LISTENERS_MAX 256

struct domain {
	LIST_ENTRY(domain) link;
	LIST_HEAD(, listener) listeners; /* at least one while it is served */
	size_t n_listeners;
	bool is_served;
	struct sup *sup;
	uint32_t serial; /* no two ever have the same */
	uint16_t number; /* from 1; no two living ones have the same */
	char *id;        /* owned; the container's */
	struct policy policy;
	struct policy ceiling; /* allowed is what both allow */
	bool has_ceiling;
	bool retired;          /* nothing of it is left but what lingers */
	uint32_t generation;   /* of the policy, from 1; counted on by each that is put in force */
	uint64_t *hits;        /* owned; for each rule of the policy how many decisions it made */
	bool relayed;          /* no socket of the host's is put into its hands */
	bool walled;           /* Landlock holds the app's TCP sockets: AF_UNIX calls may be continued (porter.h) */
	void (*ended)(struct domain *d, void *ctx); /* called before it is freed, or NULL */
	void *ended_ctx;
	/* Called once when it is served or cannot be, or NULL. */
	void (*settled)(struct domain *d, void *ctx, const struct err *e);
	void *settled_ctx;
	struct domain_net net;
	struct names host_names;
	struct publishes published;
	struct tapes tapes;     /* that its connections are recorded to */
	struct gateway gateway; /* its way out, where its policy has one */
	struct epolls epolls; /* of its apps, when it has a gateway */
	unsigned trapped;     /* policy_needs() that its filter was made for; a later policy may need less */
	uint64_t options_set; /* that its apps ever set on a socket: bits by kind (handoff.h) */
	uint64_t unknown[DOMAIN_UNKNOWN_MAX]; /* names that were looked up in vain and are on record: hashes */
	size_t next_unknown;
	int64_t records_since; /* loop_now() when n_records was 0: those of names and datagrams */
	unsigned n_records;
	const char **names; /* owned; the first is what the domain is called */
	size_t n_names;
	char *hostname; /* owned; what its processes are told, in its one form, or NULL: not known */
	struct addr *virtual; /* owned; its addresses, at least one */
	size_t n_virtual;
	struct domain_at *index; /* owned; one for each */
	struct vsk_list rows;
	size_t n_rows;
	size_t n_forgotten; /* unconnected sockets without rows, which may be closed */
	int64_t full_until; /* microseconds of the monotonic clock: no costly look at what is closed until then */
	struct faddr_list addrs;
	size_t n_addrs;
	struct flow_list flows; /* that it began */
	size_t n_flows, n_out; /* n_out: to the outside */
	size_t n_waits;
	size_t n_files; /* descriptors that the supervisor has for it beyond a call (sup_take_files()) */
	TAILQ_HEAD(, token) tokens; /* under way to its listeners, oldest first (transport_tcp.c) */
	size_t n_tokens;
	LIST_HEAD(, outgoing) lingering; /* what its app had sent before it ended, and is not out yet */
	struct loop_alarm give_up;       /* on those */
	int64_t no_replacing_until; /* loop_now(): its sockets, which took too long (replace.c) */
	struct rate rate;   /* of its calls */
	int64_t resume_at;  /* milliseconds of the monotonic clock; 0: its listener is watched */
	uint64_t n_traps, n_denied;
	struct trail trail;     /* of its audit records */
	struct summary summary; /* of what was denied to it */
	struct asks *asks; /* owned; of whom what no rule allows is asked, or NULL */
	struct attempts *attempts; /* owned; all that was tried, or NULL: nobody asked for it */
};
LIST_HEAD(domain_list, domain);

/*
 * A domain of a policy, which is taken over (emptied) on success, as the
 * listener is. What the policy leaves out is given: the container's id as the
 * name, when it can be one; an address of each family. -EEXIST: another domain
 * has one of its names or addresses. The caller calls domain_free().
 */
int domain_new(struct sup *s, const char *id, struct policy *policy, int listener,
	       struct domain **ret, struct err *e);
void domain_free(struct domain *d);

/* Another listener of the domain, which is taken over. -EMFILE: it has too many. */
int domain_add_listener(struct domain *d, int fd, struct listener **ret, struct err *e);
/* It must not be watched any more. */
void listener_free(struct listener *l);

/* Makes it findable by its addresses, and not any more. */
void domain_index(struct domain *d);
void domain_unindex(struct domain *d);
/*
 * Whether something that apps can do without waiting for an answer is to be
 * put on record: not when they do it all the time.
 */
bool domain_may_record(struct domain *d);

/* The domain that has the address, or NULL. */
struct domain *domain_find(struct sup *s, const struct addr *a);

/* Loopback, a wildcard, or one of the domain's addresses. */
bool domain_owns(const struct domain *d, const struct addr *a);
/* The address that its connections to `to` come from; NULL when it has none of that family. */
const struct addr *domain_source(const struct domain *d, const struct addr *to);

static inline const struct policy *domain_ceiling(const struct domain *d)
{
	return d->has_ceiling ? &d->ceiling : NULL;
}

/* Limits as they are in force now: the lower one of the policy's and the ceiling's, or what goes without. */
uint64_t domain_sockets_max(const struct domain *d);
uint64_t domain_pending_max(const struct domain *d);
uint64_t domain_trap_rate(const struct domain *d); /* 0: none */

struct policy_party domain_party(const struct domain *d, const struct addr *at);

#endif
