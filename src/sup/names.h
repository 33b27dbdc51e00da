/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual addresses that stand for host names in a domain.
 *
 * A name gets a place in the pools of the domain's policy when its gateway has
 * found it, the same number in both; connecting to such an address means the
 * name. Places are given out in order, and then again: that of the name which
 * was asked for longest ago, if its answers have run out and no socket of the
 * domain is connected to it.
 */
#ifndef VRUN_SUP_NAMES_H
#define VRUN_SUP_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/addr.h"
#include "model/lookup.h"

struct domain;
struct sup;
struct names_entry;
struct names_question;

#define NAMES_MAX 4096
#define NAMES_BUCKETS 256
#define NAMES_ASKED_MAX 512 /* questions that the gateway has at a time; the resolver asks fewer, but is not believed */

/* Of a domain. Zeroed: none yet. */
struct names {
	LIST_HEAD(, names_entry) buckets[NAMES_BUCKETS];
	TAILQ_HEAD(, names_entry) ages; /* the one that was asked for longest ago first */
	struct names_entry **places;    /* owned; by number; NULL: nothing was given out yet */
	uint32_t n, room;
	LIST_HEAD(, names_question) questions; /* that the gateway has not answered */
	unsigned n_questions;
};

void names_init(struct names *n);
void names_fini(struct names *n);

/* The host name that the address stands for, or NULL. Lives as long as a socket's row has the address. */
const char *names_find(const struct domain *d, const struct addr *a);
/* Whether it stands for the machine outside. */
bool names_is_host(const struct domain *d, const struct addr *a);
/* Whether it is one of the pools', be it given out or not. */
bool names_in_pool(const struct domain *d, const struct addr *a);

/*
 * Has the gateway look up the name of a question; resolver_answer() follows,
 * with an address of the pool. The question is copied.
 */
void names_ask(struct sup *s, struct domain *d, const struct lookup *l);
/* The same for records of the type that was asked for, which come as the name server has them. */
void names_query(struct sup *s, struct domain *d, const struct lookup *l);
/* Answers with an address of the pool without asking anybody: where the name is connected to shows then. */
void names_pretend(struct domain *d, struct lookup *l);

#endif
