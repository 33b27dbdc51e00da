/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/names.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sup/sup.h"

#define FIRST 3          /* place of the first name: after the resolver's and the host's */
#define GRACE_MS 120000  /* that an address is kept beyond its answers' time: apps keep them longer */
#define USED_MS 20000    /* ... and beyond the time that it was found to be in use */
#define OLDEST_TRIED 16  /* when a place is looked for */

struct names_entry {
	LIST_ENTRY(names_entry) by_name;
	TAILQ_ENTRY(names_entry) by_age;
	uint32_t place;
	int64_t until; /* loop_now(); not given to another name before */
	char name[NAME_TEXT_MAX];
};

/* A question that the gateway has. */
struct names_question {
	LIST_ENTRY(names_question) link;
	struct sup *sup;
	struct domain *domain;
	uint32_t resolver; /* which one asked (resolver.generation) */
	struct lookup lookup;
};

void names_init(struct names *n)
{
	*n = (struct names){ .places = NULL };
	TAILQ_INIT(&n->ages);
	LIST_INIT(&n->questions);
}

/* --- places and addresses ------------------------------------------------------------------- */

static const struct prefix *pool_of(const struct domain *d, bool v4)
{
	return v4 ? &d->policy.resolver.pool4 : &d->policy.resolver.pool6;
}

static struct addr address_of(const struct domain *d, bool v4, uint32_t place)
{
	struct addr a = pool_of(d, v4)->addr;

	for (int i = 15; i >= 12; i--, place >>= 8)
		a.b[i] = (uint8_t)(a.b[i] | (place & 0xff));
	return a;
}

/* How many names there is room for: the smaller pool's addresses but the first three and the last. */
static uint32_t room_of(const struct domain *d)
{
	uint32_t room = NAMES_MAX;

	for (int v4 = 0; v4 < 2; v4++) {
		unsigned free = 128U - pool_of(d, v4)->bits;

		if (free < 16 && (1U << free) - FIRST - 1 < room)
			room = (1U << free) - FIRST - 1;
	}
	return room;
}

bool names_in_pool(const struct domain *d, const struct addr *a)
{
	return prefix_match(pool_of(d, addr_is_v4(a)), a);
}

bool names_is_host(const struct domain *d, const struct addr *a)
{
	const struct addr host = policy_host_addr(&d->policy, addr_is_v4(a));

	return addr_equal(a, &host);
}

static const struct names_entry *entry_at(const struct domain *d, const struct addr *a)
{
	uint32_t place = 0;
	struct addr whole;

	if (!names_in_pool(d, a))
		return NULL;
	for (int i = 12; i < 16; i++)
		place = place << 8 | (uint8_t)(a->b[i] & ~pool_of(d, addr_is_v4(a))->addr.b[i]);
	if (place < FIRST || place - FIRST >= d->host_names.n)
		return NULL;
	/* A large pool has addresses that differ further up. */
	whole = address_of(d, addr_is_v4(a), place);
	return addr_equal(&whole, a) ? d->host_names.places[place - FIRST] : NULL;
}

const char *names_find(const struct domain *d, const struct addr *a)
{
	const struct names_entry *i = entry_at(d, a);

	return i ? i->name : NULL;
}

/* --- giving them out --------------------------------------------------------------------------- */

static unsigned bucket_of(const char *name)
{
	unsigned h = 5381;

	for (; *name; name++)
		h = h * 33 + (uint8_t)*name;
	return h % NAMES_BUCKETS;
}

static struct names_entry *entry_find(struct names *n, const char *name)
{
	struct names_entry *i;

	LIST_FOREACH(i, &n->buckets[bucket_of(name)], by_name)
		if (strcmp(i->name, name) == 0)
			return i;
	return NULL;
}

static bool in_use(const struct domain *d, const struct names_entry *i)
{
	const struct vsk *v;
	const struct flow *f;

	LIST_FOREACH(v, &d->rows, in_domain)
		if (entry_at(d, &v->remote) == i)
			return true;
	TAILQ_FOREACH(f, &d->flows, in_domain)
		if (entry_at(d, &f->ends.to) == i)
			return true;
	return false;
}

static void move_behind(struct names *n, struct names_entry *i)
{
	TAILQ_REMOVE(&n->ages, i, by_age);
	TAILQ_INSERT_TAIL(&n->ages, i, by_age);
}

/*
 * The place of a name that nobody uses any more. To see that somebody does takes a look at all of the domain's sockets:
 * such a one is left alone for a while, or whoever asks for names all the time would take the others' time with it.
 */
static struct names_entry *take_back(struct domain *d)
{
	struct names *n = &d->host_names;
	struct names_entry *i = TAILQ_FIRST(&n->ages), *next;
	int64_t now = loop_now();

	for (unsigned tried = 0; i && tried < OLDEST_TRIED; i = next, tried++) {
		next = TAILQ_NEXT(i, by_age);
		if (i->until > now)
			continue;
		if (!in_use(d, i)) {
			LIST_REMOVE(i, by_name);
			TAILQ_REMOVE(&n->ages, i, by_age);
			return i;
		}
		i->until = now + USED_MS;
		move_behind(n, i);
	}
	return NULL;
}

static struct names_entry *entry_new(struct domain *d, const char *name)
{
	struct names *n = &d->host_names;
	struct names_entry *i = NULL;

	if (!n->places) {
		n->room = room_of(d);
		n->places = calloc(n->room, sizeof(struct names_entry *));
	}
	if (n->places && n->n < n->room)
		i = calloc(1, sizeof *i);
	if (i) {
		i->place = FIRST + n->n;
		n->places[n->n++] = i;
	} else if (n->places) {
		i = take_back(d);
	}
	if (!i)
		return NULL;
	memcpy(i->name, name, strlen(name) + 1);
	LIST_INSERT_HEAD(&n->buckets[bucket_of(name)], i, by_name);
	TAILQ_INSERT_TAIL(&n->ages, i, by_age);
	return i;
}

static struct names_entry *give_out(struct domain *d, const char *name, uint32_t ttl)
{
	struct names *n = &d->host_names;
	struct names_entry *i = entry_find(n, name);
	int64_t until = loop_now() + INT64_C(1000) * ttl + GRACE_MS;

	if (!i)
		i = entry_new(d, name);
	if (!i)
		return NULL;
	move_behind(n, i);
	if (until > i->until)
		i->until = until;
	return i;
}

void names_fini(struct names *n)
{
	struct names_question *q;

	while ((q = LIST_FIRST(&n->questions))) {
		LIST_REMOVE(q, link);
		free(q);
	}
	for (uint32_t i = 0; i < n->n; i++)
		free(n->places[i]);
	free(n->places);
	names_init(n);
}

/* --- questions --------------------------------------------------------------------------------- */

static void found(struct domain *d, struct lookup *l, const struct gateway_answer *a)
{
	const struct names_entry *i;

	l->result = LOOKUP_FOUND;
	if (a->ttl < l->ttl)
		l->ttl = a->ttl;
	if (a->n == 0 || l->what != LOOKUP_NAME)
		return;
	i = give_out(d, l->name, l->ttl);
	if (i)
		l->addresses[l->n++] = address_of(d, !l->v6, i->place);
	else
		l->result = LOOKUP_FAILED;
}

void names_pretend(struct domain *d, struct lookup *l)
{
	const struct gateway_answer there = { .n = 1, .ttl = l->ttl };

	found(d, l, &there);
}

static bool question_add(struct names *n, struct names_question *q)
{
	if (n->n_questions == NAMES_ASKED_MAX)
		return false;
	LIST_INSERT_HEAD(&n->questions, q, link);
	n->n_questions++;
	return true;
}

static void question_remove(struct names *n, struct names_question *q)
{
	LIST_REMOVE(q, link);
	n->n_questions--;
}

/* The name is there, but no address of it may be connected to: on record with the first of them. */
static void withheld(struct domain *d, struct lookup *l, const struct gateway_answer *a)
{
	const char *name = l->name;
	struct policy_attempt at = { .kind = ATTEMPT_CONNECT, .proto = POLICY_TCP, .port = 443,
				     .peer = { .kind = PARTY_NAME, .names = &name, .n_names = 1,
					       .addr = a->n ? &a->addresses[0] : NULL } };
	struct policy_verdict v;
	struct audit_record r = { .domain = d, .call = "resolve", .attempt = &at, .verdict = &v };

	if (d->attempts) { /* for which port it is wanted shows when it is connected to */
		names_pretend(d, l);
		return;
	}
	l->result = LOOKUP_FOUND;
	l->why = LOOKUP_WHY_FILTERED;
	policy_decide_bounded(&d->policy, domain_ceiling(d), &at, &v);
	if (!v.allow && lookup_is_news(d, l->name) && domain_may_record(d))
		sup_audit(d, &r);
}

static void answered(void *ctx, const struct gateway_answer *a, int fd)
{
	struct names_question *q = ctx;
	struct lookup *l = &q->lookup;

	if (fd >= 0)
		(void)close(fd); /* no answer to such a question has one */
	if (a->kind == GATEWAY_RESOLVED) {
		found(q->domain, l, a);
	} else if (a->kind == GATEWAY_DENIED) {
		withheld(q->domain, l, a);
	} else if (a->kind == GATEWAY_FAILED && a->error == ENOENT) {
		l->result = LOOKUP_UNKNOWN;
	} else {
		l->result = LOOKUP_FAILED;
		l->why = LOOKUP_WHY_NETWORK;
	}
	question_remove(&q->domain->host_names, q);
	resolver_answer(q->sup, q->resolver, l, NULL);
	free(q);
}

/* What a name server says is read by the resolver alone. */
static void passed_on(void *ctx, const struct gateway_answer *a, int fd)
{
	struct names_question *q = ctx;
	struct lookup *l = &q->lookup;

	if (fd >= 0)
		(void)close(fd);
	l->result = LOOKUP_FOUND;
	if (a->kind == GATEWAY_RECORDS) {
		l->size = (uint16_t)a->n;
	} else if (a->kind == GATEWAY_FAILED) {
		l->result = a->error == ENOENT ? LOOKUP_UNKNOWN : LOOKUP_FAILED;
		l->why = a->error == ENOENT ? LOOKUP_WHY_NONE : LOOKUP_WHY_NETWORK;
	} /* else the gateway has another policy by now: no such record */
	question_remove(&q->domain->host_names, q);
	resolver_answer(q->sup, q->resolver, l, (const uint8_t *)(a + 1));
	free(q);
}

static void ask(struct sup *s, struct domain *d, const struct lookup *l, struct gateway_request *r, gateway_done *done)
{
	struct names_question *q = calloc(1, sizeof *q);
	struct lookup failed = *l;

	memcpy(r->name, l->name, sizeof r->name);
	if (q)
		*q = (struct names_question){ .sup = s, .domain = d, .resolver = s->resolver.generation,
					      .lookup = *l };
	if (q && question_add(&d->host_names, q)) {
		if (gateway_ask(&d->gateway, r, done, q))
			return;
		question_remove(&d->host_names, q);
	}
	free(q);
	failed.result = LOOKUP_FAILED;
	resolver_answer(s, s->resolver.generation, &failed, NULL);
}

void names_ask(struct sup *s, struct domain *d, const struct lookup *l)
{
	struct gateway_request r = { .kind = GATEWAY_RESOLVE,
				     .want_v4 = l->what != LOOKUP_NAME || !l->v6,
				     .want_v6 = l->what == LOOKUP_NAME && l->v6 };

	ask(s, d, l, &r, answered);
}

void names_query(struct sup *s, struct domain *d, const struct lookup *l)
{
	struct gateway_request r = { .kind = GATEWAY_QUERY, .port = l->type };

	ask(s, d, l, &r, passed_on);
}
