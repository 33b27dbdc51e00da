/* SPDX-License-Identifier: Apache-2.0 */
/*
 * F, the supervisor's own network namespace: empty but for lo, and every IPv6
 * address is local there. Streams of all domains live in it (transport.h).
 *
 * Each virtual address of each domain, wildcards and loopback too, has an
 * address in F of its own, so domains cannot collide and the kernel keeps the
 * ports. Those addresses are random and are shown to nobody.
 *
 * A socket carries a mark (SO_MARK) that says whose it is; an app can neither
 * set nor read it.
 */
#ifndef VRUN_SUP_FABRIC_H
#define VRUN_SUP_FABRIC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "base/err.h"

struct domain;

struct vsk;
struct vsk_arrival;

struct faddr {
	LIST_ENTRY(faddr) by_addr, in_domain;
	LIST_HEAD(, vsk) peers;            /* rows that are connected to it */
	LIST_HEAD(, vsk_arrival) arrivals; /* connections from it that wait to be accepted */
	struct domain *domain; /* NULL: the supervisor's own, for tokens */
	struct addr virtual;
	struct in6_addr addr; /* in F */
};
LIST_HEAD(faddr_list, faddr);

#define FABRIC_BUCKETS 256
#define FABRIC_ADDRS_MAX 512 /* of a domain: its addresses, and those of 127.0.0.0/8 that it uses */

struct fabric {
	uint64_t cookie; /* of the namespace, SO_NETNS_COOKIE */
	int netlink;     /* owned, until the factory has it; open so that F's sockets can be counted (collect.c) */
	struct faddr own;   /* where tokens come from, and where nobody ever listens */
	struct faddr limbo; /* of sockets that were never bound, in domains without an address of the family */
	bool free_bind;     /* every address can be bound to, without IPV6_FREEBIND */
	struct faddr_list buckets[FABRIC_BUCKETS];
};

/*
 * Makes F and moves the calling thread into it, for good. Needs CAP_SYS_ADMIN
 * in the user namespace; -EPERM with a hint otherwise.
 */
int fabric_init(struct fabric *f, struct err *e);
void fabric_fini(struct fabric *f);

/* The address in F that stands for a virtual one of the domain; made when new. NULL: too many, or no memory. */
struct faddr *fabric_addr(struct fabric *f, struct domain *d, const struct addr *virtual);
/* NULL when it is nobody's. */
struct faddr *fabric_find(struct fabric *f, const struct in6_addr *addr);
/* Frees the domain's. Rows that point to them have to be gone. */
void fabric_forget(struct domain *d);

struct fabric_mark {
	uint16_t domain; /* its number */
	bool v6, v6only;
};

/* Binds a stream of the supervisor's own to a new place, where apps are connected to. 0 or -errno. */
int fabric_serve(int fd, uint16_t port, struct faddr *ret);

int fabric_set_mark(int fd, const struct fabric_mark *m);
/* The socket is of F's namespace. */
bool fabric_has(const struct fabric *f, int fd);
/* False when the socket is not one of F's, or has no mark. */
bool fabric_get_mark(const struct fabric *f, int fd, struct fabric_mark *ret);

#endif
