/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups by c-ares, and what they found, for a while. A name of the cache has
 * the addresses of one family; who asks while it is being looked up waits for the
 * same answer. c-ares calls back from within calls of it, so what follows from an
 * answer happens in a timer.
 */
#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "gate/channel.h"
#include "gate/gate.h"

#define BUCKETS 512
#define TTL_MIN 5     /* seconds that an answer is kept; a connect follows its look-up */
#define TTL_MAX 3600
#define TTL_NONE 10   /* ... that there is no such name */
#define TTL_FAILED 2  /* ... that nobody could tell */
/* Of questions for other records than addresses: a name can say something to its servers. */
#define QUERIES_BURST 40
#define QUERIES_MS 50 /* for one more */

struct gate_name {
	LIST_ENTRY(gate_name) by_hash;
	TAILQ_ENTRY(gate_name) by_age; /* the one that was asked for longest ago first */
	struct gate_names *names;
	struct gate_channel *channel; /* while it is pending */
	struct gate_timer done;  /* set when the answer is there and those who wait have to hear it */
	LIST_HEAD(, gate_asker) askers;
	int64_t until;           /* gate_now(); its answer is good so long */
	int64_t found_at;
	bool pending, v6;
	struct gate_found found;
	char name[NAME_TEXT_MAX];
};

struct gate_names {
	struct gate *gate;
	struct gate_channels channels;
	LIST_HEAD(, gate_name) buckets[BUCKETS];
	TAILQ_HEAD(, gate_name) ages;
	unsigned n, n_pending;
	unsigned queries_left; /* that may be made now (gate_names_query()) */
	int64_t queries_at;    /* gate_now() when they were counted */
};

/* --- the cache ----------------------------------------------------------------------------------- */

static unsigned bucket_of(const char *name, bool v6)
{
	unsigned h = v6 ? 5381 : 33;

	for (; *name; name++)
		h = h * 33 + (uint8_t)*name;
	return h % BUCKETS;
}

static struct gate_name *find(struct gate_names *n, const char *name, bool v6)
{
	struct gate_name *i;

	LIST_FOREACH(i, &n->buckets[bucket_of(name, v6)], by_hash)
		if (i->v6 == v6 && strcmp(i->name, name) == 0)
			return i;
	return NULL;
}

static void name_free(struct gate *g, struct gate_name *i)
{
	gate_timer_clear(g, &i->done);
	LIST_REMOVE(i, by_hash);
	TAILQ_REMOVE(&g->names->ages, i, by_age);
	g->names->n--;
	free(i);
}

static void make_room(struct gate *g)
{
	struct gate_name *i;

	TAILQ_FOREACH(i, &g->names->ages, by_age)
		if (!i->pending && LIST_EMPTY(&i->askers))
			break;
	if (i)
		name_free(g, i);
}

static void tell_askers(struct gate *g, struct gate_timer *t)
{
	struct gate_name *i = (struct gate_name *)((char *)t - offsetof(struct gate_name, done));
	const struct gate_found found = i->found;
	LIST_HEAD(, gate_asker) askers = LIST_HEAD_INITIALIZER(askers);
	struct gate_asker *a;

	/* One who hears it may end others that wait, ask again, and drive the name out of the cache. */
	while ((a = LIST_FIRST(&i->askers))) {
		LIST_REMOVE(a, link);
		LIST_INSERT_HEAD(&askers, a, link);
	}
	while ((a = LIST_FIRST(&askers))) {
		gate_names_cancel(a);
		a->found(g, a, &found);
	}
}

static void keep(struct gate_name *i, int error, uint32_t ttl)
{
	uint32_t stays = ttl < TTL_MIN ? TTL_MIN : ttl > TTL_MAX ? TTL_MAX : ttl;

	i->found.error = error;
	i->found.ttl = ttl;
	if (error)
		stays = error == ENOENT ? TTL_NONE : TTL_FAILED;
	i->found_at = gate_now();
	i->until = i->found_at + INT64_C(1000) * stays;
	i->pending = false;
	i->names->n_pending--;
	gate_channel_end(i->channel);
	i->channel = NULL;
	gate_timer_set(i->names->gate, &i->done, 0);
}

static void answered(void *ctx, int status, int timeouts, struct ares_addrinfo *found)
{
	struct gate_name *i = ctx;
	uint32_t ttl = TTL_MAX;

	(void)timeouts;
	i->found.n = 0;
	for (struct ares_addrinfo_node *a = found ? found->nodes : NULL; a; a = a->ai_next) {
		struct addr *to = &i->found.addresses[i->found.n];
		uint16_t port;

		if (i->found.n == GATEWAY_ADDRESSES_MAX || a->ai_family != (i->v6 ? AF_INET6 : AF_INET) ||
		    addr_from_sockaddr(a->ai_addr, a->ai_addrlen, to, &port) < 0)
			continue;
		i->found.n++;
		if (a->ai_ttl >= 0 && (uint32_t)a->ai_ttl < ttl)
			ttl = (uint32_t)a->ai_ttl;
	}
	if (found)
		ares_freeaddrinfo(found);
	if (status == ARES_SUCCESS || status == ARES_ENODATA)
		keep(i, 0, i->found.n ? ttl : TTL_NONE);
	else
		keep(i, status == ARES_ENOTFOUND ? ENOENT : status == ARES_ETIMEOUT ? ETIMEDOUT : EIO, 0);
}

static struct gate_name *name_new(struct gate *g, const char *name, bool v6)
{
	struct gate_names *n = g->names;
	struct gate_name *i;

	if (n->n >= GATE_NAMES_MAX)
		make_room(g);
	i = n->n < GATE_NAMES_MAX ? calloc(1, sizeof *i) : NULL;
	if (!i)
		return NULL;
	i->names = n;
	i->v6 = v6;
	i->done.ring = tell_askers;
	memcpy(i->name, name, strlen(name) + 1);
	LIST_INIT(&i->askers);
	LIST_INSERT_HEAD(&n->buckets[bucket_of(name, v6)], i, by_hash);
	TAILQ_INSERT_TAIL(&n->ages, i, by_age);
	n->n++;
	return i;
}

static void look_up(struct gate *g, struct gate_name *i)
{
	/* Sorted as RFC 6724 has it. */
	const struct ares_addrinfo_hints hints = { .ai_family = i->v6 ? AF_INET6 : AF_INET,
						   .ai_socktype = SOCK_STREAM };

	struct gate_channel *c = gate_channel_begin(&g->names->channels);

	if (!c)
		return;
	i->channel = c;
	i->pending = true;
	g->names->n_pending++;
	ares_getaddrinfo(gate_channel_ares(c), i->name, NULL, &hints, answered, i);
	gate_channel_sent(c);
}

/* Its answer, with the time that is left of it. */
static void give(const struct gate_name *i, struct gate_found *ret)
{
	uint32_t age = (uint32_t)((gate_now() - i->found_at) / 1000);

	*ret = i->found;
	ret->ttl = i->found.ttl > age ? i->found.ttl - age : 0;
}

bool gate_names_ask(struct gate *g, const char *name, bool v6, struct gate_asker *a, struct gate_found *ret)
{
	struct gate_names *n = g->names;
	struct gate_name *i = find(n, name, v6);

	*ret = (struct gate_found){ .error = EAGAIN };
	if (!i)
		i = name_new(g, name, v6);
	if (!i)
		return true;
	TAILQ_REMOVE(&n->ages, i, by_age);
	TAILQ_INSERT_TAIL(&n->ages, i, by_age);
	if (!i->pending && i->until <= gate_now()) {
		if (n->n_pending < GATE_LOOKUPS_MAX)
			look_up(g, i);
		if (!i->pending && i->until <= gate_now())
			return true;
	}
	if (!i->pending) {
		give(i, ret);
		return true;
	}
	a->name = i;
	LIST_INSERT_HEAD(&i->askers, a, link);
	return false;
}

void gate_names_cancel(struct gate_asker *a)
{
	if (a->name)
		LIST_REMOVE(a, link);
	a->name = NULL;
}

/* --- other records -------------------------------------------------------------------------------- */

struct gate_asked {
	struct gate *gate;
	struct gate_channel *channel;
	void (*found)(void *ctx, int error, const uint8_t *data, size_t len);
	void *ctx;
};

static void heard(void *arg, int status, int timeouts, unsigned char *data, int len)
{
	struct gate_asked *a = arg;
	struct gate_names *n = a->gate->names;
	int error = status == ARES_SUCCESS || status == ARES_ENODATA ? 0 :
		    status == ARES_ENOTFOUND			     ? ENOENT :
		    status == ARES_ETIMEOUT			     ? ETIMEDOUT :
		    status == ARES_EDESTRUCTION			     ? ECANCELED :
								       EIO;

	(void)timeouts;
	n->n_pending--;
	gate_channel_end(a->channel);
	if (status == ARES_SUCCESS && (len < 0 || len > GATEWAY_RECORDS_MAX))
		error = EMSGSIZE;
	a->found(a->ctx, error, data, error || status != ARES_SUCCESS ? 0 : (size_t)len);
	free(a);
}

static bool may_query(struct gate_names *n)
{
	int64_t now = gate_now(), more = (now - n->queries_at) / QUERIES_MS;

	if (more > 0) {
		n->queries_left = more < QUERIES_BURST - (int64_t)n->queries_left ? n->queries_left + (unsigned)more : QUERIES_BURST;
		n->queries_at = now;
	}
	return n->queries_left > 0 && n->n_pending < GATE_LOOKUPS_MAX;
}

bool gate_names_query(struct gate *g, const char *name, uint16_t type,
		      void (*found)(void *ctx, int error, const uint8_t *data, size_t len), void *ctx)
{
	struct gate_names *n = g->names;
	struct gate_asked *a = may_query(n) ? malloc(sizeof *a) : NULL;
	struct gate_channel *c;

	if (!a)
		return false;
	c = gate_channel_begin(&n->channels);
	if (!c) {
		free(a);
		return false;
	}
	*a = (struct gate_asked){ g, c, found, ctx };
	n->queries_left--;
	n->n_pending++;
	ares_query(gate_channel_ares(c), name, 1 /* IN */, type, heard, a);
	gate_channel_sent(c);
	return true;
}

int gate_names_init(struct gate *g, struct err *e)
{
	struct gate_names *n = calloc(1, sizeof *n);

	if (!n || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(n);
		return err_num(e, ENOMEM, "names");
	}
	n->gate = g;
	TAILQ_INIT(&n->ages);
	g->names = n;
	/* A machine without a name server has names all the same (/etc/hosts). */
	return gate_channels_init(&n->channels, g, g->text->servers) < 0 ? err_set(e, EIO, "names cannot be looked up here: c-ares does not start") : 0;
}

void gate_names_fini(struct gate *g)
{
	struct gate_names *n = g->names;

	gate_channels_fini(&n->channels);
	while (!TAILQ_EMPTY(&n->ages))
		name_free(g, TAILQ_FIRST(&n->ages));
	free(n);
	g->names = NULL;
	ares_library_cleanup();
}
