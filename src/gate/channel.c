/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "gate/gate.h"

#define TIMEOUT_MS 2000 /* of the first try at a server, doubled by each further one */
#define TRIES 3
#define RESOLV_CONF "/etc/resolv.conf"

/* A socket of c-ares'. */
struct gate_query {
	struct gate_watch watch;
	LIST_ENTRY(gate_query) link;
	struct gate_channel *channel;
	int fd; /* c-ares' */
};

struct gate_channel {
	LIST_ENTRY(gate_channel) link;
	struct gate_channels *all;
	ares_channel ares;
	struct gate_timer due; /* c-ares wants to be called, or it is to be closed */
	LIST_HEAD(, gate_query) queries;
	unsigned n_pending;
};

static void channel_free(struct gate_channel *c)
{
	ares_destroy(c->ares); /* ends what is pending, and its sockets */
	gate_timer_clear(c->all->gate, &c->due);
	LIST_REMOVE(c, link);
	c->all->n--;
	if (c->all->current == c)
		c->all->current = NULL;
	free(c);
}

static bool is_over(const struct gate_channel *c)
{
	return c->n_pending == 0 && c != c->all->current;
}

static void settle(struct gate_channel *c)
{
	struct timeval most = { 60, 0 }, tv, *t;

	if (is_over(c)) { /* we may be within c-ares, where who hears an answer asks for more */
		gate_timer_set(c->all->gate, &c->due, 0);
		return;
	}
	if (c->n_pending == 0) {
		gate_timer_clear(c->all->gate, &c->due);
		return;
	}
	t = ares_timeout(c->ares, &most, &tv);
	gate_timer_set(c->all->gate, &c->due, t->tv_sec * 1000 + t->tv_usec / 1000 + 1);
}

static void due(struct gate *g, struct gate_timer *t)
{
	struct gate_channel *c = (struct gate_channel *)((char *)t - offsetof(struct gate_channel, due));

	(void)g;
	if (is_over(c)) {
		channel_free(c);
		return;
	}
	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	settle(c);
}

static void ready(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct gate_query *q = (struct gate_query *)((char *)w - offsetof(struct gate_query, watch));
	struct gate_channel *c = q->channel;
	int fd = q->fd;

	(void)g;
	/* It may close the socket, and with that free the watch. */
	ares_process_fd(c->ares, (events & ~(uint32_t)EPOLLOUT) ? fd : ARES_SOCKET_BAD,
			(events & EPOLLOUT) ? fd : ARES_SOCKET_BAD);
	settle(c);
}

static void query_free(struct gate_query *q)
{
	gate_watch_remove(q->channel->all->gate, q->fd);
	LIST_REMOVE(q, link);
	free(q);
}

static void socket_changed(void *data, ares_socket_t fd, int readable, int writable)
{
	struct gate_channel *c = data;
	uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
	struct gate_query *q;

	LIST_FOREACH(q, &c->queries, link)
		if (q->fd == fd)
			break;
	if (q && !events) {
		query_free(q);
	} else if (q) {
		gate_watch_change(c->all->gate, fd, events, &q->watch);
	} else if (events) {
		q = calloc(1, sizeof *q);
		if (!q)
			return; /* the query times out */
		q->watch.ready = ready;
		q->channel = c;
		q->fd = fd;
		LIST_INSERT_HEAD(&c->queries, q, link);
		if (gate_watch_add(c->all->gate, fd, events, &q->watch) < 0)
			query_free(q);
	}
}

static struct gate_channel *channel_new(struct gate_channels *all)
{
	struct gate_channel *c = calloc(1, sizeof *c);
	struct ares_options o = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
				  .timeout = TIMEOUT_MS,
				  .tries = TRIES,
				  .sock_state_cb = socket_changed,
				  .sock_state_cb_data = c };

	if (!c)
		return NULL;
	c->all = all;
	c->due.ring = due;
	LIST_INIT(&c->queries);
	if (ares_init_options(&c->ares, &o,
			      ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
	    ARES_SUCCESS) {
		free(c);
		return NULL;
	}
	LIST_INSERT_HEAD(&all->list, c, link);
	all->n++;
	if (all->servers && ares_set_servers_csv(c->ares, all->servers) != ARES_SUCCESS) {
		channel_free(c);
		return NULL;
	}
	return c;
}

static void open_current(struct gate_channels *all)
{
	struct gate_channel *was = all->current;

	if (stat(RESOLV_CONF, &all->conf) < 0)
		memset(&all->conf, 0, sizeof all->conf);
	all->current = channel_new(all);
	if (was)
		settle(was);
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

struct gate_channel *gate_channel_begin(struct gate_channels *all)
{
	/* Another network has other servers. */
	if (!all->current || (!all->servers && all->n < GATE_CHANNELS_MAX && has_changed(&all->conf)))
		open_current(all);
	if (all->current)
		all->current->n_pending++;
	return all->current;
}

ares_channel gate_channel_ares(const struct gate_channel *c)
{
	return c->ares;
}

void gate_channel_sent(struct gate_channel *c)
{
	settle(c);
}

void gate_channel_end(struct gate_channel *c)
{
	c->n_pending--;
}

int gate_channels_init(struct gate_channels *all, struct gate *g, const char *servers)
{
	*all = (struct gate_channels){ .gate = g, .servers = servers };
	LIST_INIT(&all->list);
	open_current(all);
	return all->current ? 0 : -EIO;
}

void gate_channels_fini(struct gate_channels *all)
{
	while (!LIST_EMPTY(&all->list))
		channel_free(LIST_FIRST(&all->list));
}
