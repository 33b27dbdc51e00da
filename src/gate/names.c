/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups by c-ares, and what they found, for a while. A name of the cache has
 * the addresses of one family; who asks while it is being looked up waits for the
 * same answer. c-ares calls back from within calls of it, so what follows from an
 * answer happens in a timer.
 */
#include <ares.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "gate/gate.h"

#define BUCKETS 512
#define TIMEOUT_MS 2000 /* of the first try at a server, doubled by each further one */
#define TRIES 3
#define TTL_MIN 5     /* seconds that an answer is kept; a connect follows its look-up */
#define TTL_MAX 3600
#define TTL_NONE 10   /* ... that there is no such name */
#define TTL_FAILED 2  /* ... that nobody could tell */
#define RESOLV_CONF "/etc/resolv.conf"
/* Of questions for other records than addresses: a name can say something to its servers. */
#define QUERIES_BURST 40
#define QUERIES_MS 50 /* for one more */

struct gate_name {
	LIST_ENTRY(gate_name) by_hash;
	TAILQ_ENTRY(gate_name) by_age; /* the one that was asked for longest ago first */
	struct gate_names *names;
	struct gate_timer done;  /* set when the answer is there and those who wait have to hear it */
	LIST_HEAD(, gate_asker) askers;
	int64_t until;           /* gate_now(); its answer is good so long */
	int64_t found_at;
	bool pending, v6;
	struct gate_found found;
	char name[NAME_TEXT_MAX];
};

/* A socket of c-ares'. */
struct gate_query {
	struct gate_watch watch;
	LIST_ENTRY(gate_query) link;
	struct gate *gate;
	int fd; /* c-ares' */
};

struct gate_names {
	struct gate *gate;
	ares_channel channel; /* NULL: none */
	struct gate_timer due; /* c-ares wants to be called */
	LIST_HEAD(, gate_query) queries;
	LIST_HEAD(, gate_name) buckets[BUCKETS];
	TAILQ_HEAD(, gate_name) ages;
	unsigned n, n_pending;
	unsigned queries_left; /* that may be made now (gate_names_query()) */
	int64_t queries_at;    /* gate_now() when they were counted */
	struct stat conf; /* of resolv.conf when the channel was made */
	const char *servers; /* borrowed; in place of those of resolv.conf */
};

/* --- c-ares in the loop ---------------------------------------------------------------------- */

static void set_due(struct gate *g)
{
	struct timeval most = { 60, 0 }, tv, *t;

	if (g->names->n_pending == 0) {
		gate_timer_clear(g, &g->names->due);
		return;
	}
	t = ares_timeout(g->names->channel, &most, &tv);
	gate_timer_set(g, &g->names->due, t->tv_sec * 1000 + t->tv_usec / 1000 + 1);
}

static void due(struct gate *g, struct gate_timer *t)
{
	(void)t;
	ares_process_fd(g->names->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_due(g);
}

static void ready(struct gate *g, struct gate_watch *w, uint32_t events)
{
	int fd = ((struct gate_query *)((char *)w - offsetof(struct gate_query, watch)))->fd;

	/* It may close the socket, and with that free the watch. */
	ares_process_fd(g->names->channel, (events & ~(uint32_t)EPOLLOUT) ? fd : ARES_SOCKET_BAD,
			(events & EPOLLOUT) ? fd : ARES_SOCKET_BAD);
	set_due(g);
}

static void query_free(struct gate_query *q)
{
	gate_watch_remove(q->gate, q->fd);
	LIST_REMOVE(q, link);
	free(q);
}

static void socket_changed(void *data, ares_socket_t fd, int readable, int writable)
{
	struct gate *g = data;
	uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
	struct gate_query *q;

	LIST_FOREACH(q, &g->names->queries, link)
		if (q->fd == fd)
			break;
	if (q && !events) {
		query_free(q);
	} else if (q) {
		gate_watch_change(g, fd, events, &q->watch);
	} else if (events) {
		q = calloc(1, sizeof *q);
		if (!q)
			return; /* the query times out */
		q->watch.ready = ready;
		q->gate = g;
		q->fd = fd;
		LIST_INSERT_HEAD(&g->names->queries, q, link);
		if (gate_watch_add(g, fd, events, &q->watch) < 0)
			query_free(q);
	}
}

static int channel_open(struct gate *g)
{
	struct ares_options o = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
				  .timeout = TIMEOUT_MS,
				  .tries = TRIES,
				  .sock_state_cb = socket_changed,
				  .sock_state_cb_data = g };
	struct gate_names *n = g->names;

	if (stat(RESOLV_CONF, &n->conf) < 0)
		memset(&n->conf, 0, sizeof n->conf);
	if (ares_init_options(&n->channel, &o,
			      ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
	    ARES_SUCCESS) {
		n->channel = NULL;
		return -EIO;
	}
	if (n->servers && ares_set_servers_csv(n->channel, n->servers) != ARES_SUCCESS) {
		ares_destroy(n->channel);
		n->channel = NULL;
		return -EIO;
	}
	return 0;
}

/* The file may be replaced by another, which may have the same number; and by one that is not ours to read. */
static bool has_changed(const struct stat *was)
{
	AUTO_FD int fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat now;

	return fd >= 0 && fstat(fd, &now) == 0 &&
	       (now.st_ino != was->st_ino || now.st_mtim.tv_sec != was->st_mtim.tv_sec ||
		now.st_mtim.tv_nsec != was->st_mtim.tv_nsec);
}

/* Another network has other servers. Not while something is asked: that would be lost. */
static void channel_refresh(struct gate *g)
{
	struct gate_names *n = g->names;

	if (n->n_pending || (n->channel && (n->servers || !has_changed(&n->conf))))
		return;
	if (n->channel)
		ares_destroy(n->channel);
	(void)channel_open(g);
}

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

	channel_refresh(g);
	if (!g->names->channel)
		return;
	i->pending = true;
	g->names->n_pending++;
	ares_getaddrinfo(g->names->channel, i->name, NULL, &hints, answered, i);
	set_due(g);
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

	if (!a)
		return false;
	channel_refresh(g);
	if (!n->channel) {
		free(a);
		return false;
	}
	*a = (struct gate_asked){ g, found, ctx };
	n->queries_left--;
	n->n_pending++;
	ares_query(n->channel, name, 1 /* IN */, type, heard, a);
	set_due(g);
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
	n->servers = g->text->servers;
	n->due.ring = due;
	LIST_INIT(&n->queries);
	TAILQ_INIT(&n->ages);
	g->names = n;
	/* A machine without a name server has names all the same (/etc/hosts). */
	return channel_open(g) < 0 ? err_set(e, EIO, "names cannot be looked up here: c-ares does not start") : 0;
}

void gate_names_fini(struct gate *g)
{
	struct gate_names *n = g->names;

	if (n->channel)
		ares_destroy(n->channel); /* ends what is pending */
	n->channel = NULL;
	while (!TAILQ_EMPTY(&n->ages))
		name_free(g, TAILQ_FIRST(&n->ages));
	gate_timer_clear(g, &n->due);
	free(n);
	g->names = NULL;
	ares_library_cleanup();
}
