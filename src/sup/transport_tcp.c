/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_INET6 TCP sockets of F, whatever family the app asked for. A place is an
 * address of F and the port. The kernel keeps the ports, chooses those of
 * clients, and says who connected by the address that it comes from.
 *
 * A socket begins at home: bound to its domain's first address without a port,
 * which is where its connections to other domains come from, or in limbo, which
 * nothing is ever connected to. So a listen() that reached it without the
 * supervisor, in a race for the descriptor, would not open it to anybody: at
 * best to those who were just let in at a port that its own domain listened at.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define TOKENS_MAX 64 /* of a domain, under way */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

static struct sockaddr_in6 place(const struct faddr *a, uint16_t port)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6,
				      .sin6_addr = a->addr,
				      .sin6_port = htons(port) };
}

static int bind_to(int fd, const struct faddr *a, uint16_t port)
{
	const struct sockaddr_in6 sa = place(a, port);

	return bind(fd, (const struct sockaddr *)&sa, sizeof sa) < 0 ? -errno : 0;
}

/* -EINPROGRESS as a rule. What the table knows of queues does not bind the kernel, so this never waits. */
static int begin(const struct sup *s, int fd, const struct faddr *a, uint16_t port)
{
	const struct sockaddr_in6 sa = place(a, port);

	return guard_begin(&s->guard, fd, &sa, sizeof sa);
}

/* --- sockets ------------------------------------------------------------------- */

static const struct faddr *home(struct sup *s, struct domain *d, bool v6)
{
	const struct faddr *a = NULL;

	for (size_t i = 0; !a && i < d->n_virtual; i++)
		if (addr_is_v4(&d->virtual[i]) != v6)
			a = fabric_addr(&s->fabric, d, &d->virtual[i]);
	return a ? a : &s->fabric.limbo;
}

static int create(struct sup *s, struct domain *d, bool v6, bool nonblock, int *ret_fd)
{
	const struct fabric_mark mark = { .domain = d->number, .v6 = v6 };
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = fabric_set_mark(fd, &mark);
	if (rc == 0 && !s->fabric.free_bind)
		rc = set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
	if (rc == 0) /* a client's port is chosen at connect, and may serve many destinations */
		rc = set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	if (rc == 0) /* takes no port, so it can be bound again */
		rc = bind_to(fd, home(s, d, v6), 0);
	if (rc < 0)
		return rc;
	*ret_fd = fd_take(&fd);
	return 0;
}

static void describe(struct sup *s, int fd, struct vsk *v)
{
	struct fabric_mark m;

	if (fabric_get_mark(&s->fabric, fd, &m))
		v->v6only = m.v6only;
}

static int set_v6only(int fd, struct vsk *v, bool v6only)
{
	const struct fabric_mark m = { .domain = v->domain->number, .v6 = v->v6, .v6only = v6only };

	return fabric_set_mark(fd, &m);
}

static int bind_row(int fd, struct vsk *v)
{
	v->at_home = false;
	return bind_to(fd, v->at, v->local_port);
}

static bool in_use(const struct vsk *v)
{
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* With SO_REUSEADDR what is left of closed connections is no hindrance, but a listener is;
	 * a bound one is with it off. Where nothing can be tried it counts as in use: its row may be somebody's. */
	return fd < 0 || set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1) < 0 ||
	       bind_to(fd, v->at, v->local_port) == -EADDRINUSE;
}

static int listen_row(int fd, struct vsk *v, unsigned backlog)
{
	return guard_listen(&v->domain->sup->guard, fd, (int)backlog);
}

/* --- connections ----------------------------------------------------------------- */

static int bind_source(struct sup *s, int fd, struct vsk *v)
{
	int rc;

	if (v->at_home && v->at == home(s, v->domain, v->v6))
		return 0;
	v->at_home = false;
	rc = bind_to(fd, v->at, 0);
	return rc == -EINVAL ? 0 : rc; /* bound by a connect that failed */
}

/* The kernel's word on how many wait in a listener's queue. */
struct queue_question {
	uint64_t cookie;
	int64_t length;
};

static void find_length(void *ctx, const struct sockdiag_entry *e)
{
	struct queue_question *q = ctx;

	if (e->cookie == q->cookie)
		q->length = e->receive_queue;
}

/* 0 with the length; -ENOENT: it does not listen; or why that cannot be told. */
static int queue_length(struct sup *s, const struct vsk *listener, int64_t *ret)
{
	struct queue_question q = { .cookie = listener->cookie, .length = -1 };
	const struct sockaddr_in6 at = place(listener->at, listener->local_port);
	struct sockdiag_entry e;
	int rc = sockdiag_find_tcp6(&s->diag, &at, NULL, listener->cookie, &e);

	if (rc == 0)
		q.length = e.receive_queue;
	else if (rc == -ESTALE) /* several listen there */
		rc = sockdiag_list(&s->diag, SOCKDIAG_LISTENERS, find_length, &q);
	if (rc == 0 && q.length < 0)
		return s->diag.parts > 1 ? -ESTALE : -ENOENT; /* a list of several parts may miss one */
	*ret = q.length;
	return rc;
}

static int has_room(struct sup *s, struct vsk *listener)
{
	int64_t length;
	int rc;

	if (listener->n_arrivals + listener->n_tokens <= listener->backlog)
		return 1;
	/* Some of those may have left without being accepted, and the kernel dropped them. */
	rc = queue_length(s, listener, &length);
	if (rc == -ENOENT)
		return -ESTALE;
	return rc == 0 && length <= (int64_t)listener->backlog;
}

/* Without errors. The kernel only believes it at the next connect(), which no app makes by itself. */
static bool is_made(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

static int connect_row(int fd, struct vsk *v, struct vsk *listener)
{
	struct sockaddr_in6 at = { 0 };
	socklen_t len = sizeof at;
	int rc = begin(v->domain->sup, fd, v->to, v->remote_port);

	/* Over lo it is made by now, or refused, which one who does not wait asks for later. */
	if (rc == -EINPROGRESS && !socket_nonblocking(fd))
		rc = is_made(fd) ? 0 : transport_progress(fd, AF_INET6);
	if (rc < 0 && rc != -EALREADY && rc != -EINPROGRESS)
		return rc;
	if (getsockname(fd, (struct sockaddr *)&at, &len) == 0)
		v->local_port = ntohs(at.sin6_port);
	if (listener && vsk_arrive(listener, v) < 0)
		listener->unsure = true;
	return rc < 0 ? -EINPROGRESS : 0;
}

static int connect_again(int fd, struct vsk *v)
{
	return v->status == VSK_CONNECTED ? -EISCONN : transport_progress(fd, AF_INET6);
}

static int disconnect(int fd, struct vsk *v)
{
	const struct sockaddr sa = { .sa_family = AF_UNSPEC };

	(void)v;
	return connect(fd, &sa, sizeof sa.sa_family) < 0 ? -errno : 0;
}

/* Who it is: what the client said at its connect, else what F's addresses tell. */
static void identify(struct sup *s, struct vsk *listener, const struct sockaddr_in6 *peer,
		     struct vsk_arrival *ret)
{
	*ret = (struct vsk_arrival){ .from = fabric_find(&s->fabric, &peer->sin6_addr),
				     .local = listener->local,
				     .port = ntohs(peer->sin6_port) };
	if (ret->from)
		ret->peer = ret->from->virtual;
	(void)vsk_take_arrival(listener, ret->from, ret->port, ret);
}

static int accept_next(struct sup *s, int fd, struct vsk *listener, int flags, struct vsk_arrival *ret)
{
	struct sockaddr_in6 peer = { 0 };
	socklen_t len = sizeof peer;
	int got;

	got = socket_accept(fd, (struct sockaddr *)&peer, &len, flags);
	if (got == -EAGAIN)
		listener->unsure = false;
	if (got < 0)
		return got;
	if (memcmp(&peer.sin6_addr, &s->fabric.own.addr, sizeof peer.sin6_addr) == 0)
		*ret = (struct vsk_arrival){ .token = true };
	else
		identify(s, listener, &peer, ret);
	return got;
}

/*
 * One that is under way. Closed before it is there it would never come. Of listeners that share a
 * port the kernel chooses one, which may be full: then it would be under way for two minutes.
 */
struct token {
	struct watch watch;
	TAILQ_ENTRY(token) link;
	struct domain *domain;
	int64_t since; /* loop_now() */
	uint64_t listener; /* its cookie */
	int fd;            /* owned */
};

static void token_free(struct token *t)
{
	struct sup *s = t->domain->sup;
	struct vsk *v = vsk_find(&s->table, t->listener);

	if (v && v->n_coming)
		v->n_coming--;
	t->domain->n_tokens--;
	TAILQ_REMOVE(&t->domain->tokens, t, link);
	loop_remove(&s->loop, t->fd, &t->watch);
	(void)close(t->fd);
	free(t);
}

void transport_tcp_end_tokens(struct domain *d, int64_t before)
{
	struct token *t;

	while ((t = TAILQ_FIRST(&d->tokens)) && t->since < before)
		token_free(t);
}

static void token_came(struct watch *watch, uint32_t events)
{
	struct token *t = (struct token *)((char *)watch - offsetof(struct token, watch));

	if (events & (EPOLLERR | EPOLLHUP))
		sup_tokens_late(t->domain->sup, t->listener);
	token_free(t);
}

/* As a rule the kernel has done it all by now; under load it puts packets off. */
static bool await_token(struct sup *s, struct vsk *listener, int *fd)
{
	struct pollfd p = { .fd = *fd, .events = POLLOUT };
	struct domain *d = listener->domain;
	struct token *t;

	if (poll(&p, 1, 0) > 0)
		return !(p.revents & (POLLERR | POLLHUP));
	t = malloc(sizeof *t);
	if (!t)
		return false;
	*t = (struct token){ .watch = { token_came }, .domain = d, .since = loop_now(),
			     .listener = listener->cookie, .fd = *fd };
	if (loop_add(&s->loop, t->fd, EPOLLOUT, &t->watch) < 0) {
		free(t);
		return false;
	}
	(void)fd_take(fd);
	TAILQ_INSERT_TAIL(&d->tokens, t, link);
	d->n_tokens++;
	listener->n_coming++;
	return true;
}

/* What comes from the supervisor itself. Reset when it is closed: what is left of thousands that were not would
 * keep their ports for a minute. */
static int bind_own(struct sup *s, int fd)
{
	const struct linger now = { .l_onoff = 1 };
	int rc = s->fabric.free_bind ? 0 : set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);

	if (rc == 0)
		rc = setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) < 0 ? -errno : 0;
	return rc == 0 ? bind_to(fd, &s->fabric.own, 0) : rc;
}

/* A connection that is made and reset: it stays in the listener's queue. One socket does for all of them. */
static bool ring(struct sup *s, const struct vsk *listener)
{
	const struct sockaddr_in6 at = place(listener->at, listener->local_port);
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = guard_bell(&s->guard);
	bool made;

	if (fd < 0)
		return false;
	if (!s->bell_bound && bind_own(s, fd) < 0)
		return false;
	s->bell_bound = true;
	made = connect(fd, (const struct sockaddr *)&at, sizeof at) == 0 || (errno == EINPROGRESS && is_made(fd));
	(void)connect(fd, &none, sizeof none.sa_family);
	return made;
}

static bool send_token(struct sup *s, struct vsk *listener)
{
	AUTO_FD int fd = -1;
	int rc;

	if (ring(s, listener))
		return true;
	if (listener->domain->n_tokens >= TOKENS_MAX)
		transport_tcp_end_tokens(listener->domain, loop_now() - TOKEN_MS);
	if (listener->domain->n_tokens >= TOKENS_MAX)
		return false;
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind_own(s, fd) < 0)
		return false;
	rc = begin(s, fd, listener->at, listener->local_port);
	return rc == 0 || (rc == -EINPROGRESS && await_token(s, listener, &fd));
}

/* --- collecting ------------------------------------------------------------------ */

static void saw(void *ctx, const struct sockdiag_entry *entry)
{
	struct vsk *v = vsk_find(ctx, entry->cookie);

	if (v)
		v->seen = true;
}

static int look(struct sup *s, bool again)
{
	int rc = sockdiag_list(&s->diag, SOCKDIAG_TCP6, saw, &s->table);

	(void)again; /* details would come with what is left of closed ones */
	return rc < 0 ? rc : s->diag.parts > 1;
}

static bool is_gone(const struct vsk *v)
{
	if (v->status == VSK_UNCONNECTED) /* the kernel lists those nowhere */
		return false;
	/* Kernels before 6.8 do not list what is only bound. */
	return v->status != VSK_BOUND || !in_use(v);
}

static bool is_there(struct sup *s, const struct vsk *v)
{
	struct sockaddr_in6 local, remote;
	bool connects = v->status == VSK_CONNECTING || v->status == VSK_CONNECTED;
	struct sockdiag_entry e;
	int64_t length;
	int rc;

	if (v->status == VSK_LISTENING && v->at)
		return queue_length(s, v, &length) != -ENOENT;
	if (v->status == VSK_UNCONNECTED || v->status == VSK_BOUND || !v->at || (connects && !v->to))
		return !is_gone(v) || connects; /* not known of one whose peer's domain is gone */
	local = place(v->at, v->local_port);
	if (connects)
		remote = place(v->to, v->remote_port);
	rc = sockdiag_find_tcp6(&s->diag, &local, connects ? &remote : NULL, v->cookie, &e);
	if (rc == 0)
		return e.state != TCP_TIME_WAIT;
	return rc != -ENOENT && !(rc == -ESTALE && connects);
}

static int cut(struct sup *s, const struct vsk *v)
{
	bool listens = v->status == VSK_LISTENING;
	struct sockaddr_in6 local, remote;

	if (!v->at || (!listens && !v->to))
		return -ENOENT;
	local = place(v->at, v->local_port);
	if (!listens)
		remote = place(v->to, v->remote_port);
	return sockdiag_destroy_tcp6(&s->diag, &local, listens ? NULL : &remote, v->cookie);
}

const struct transport transport_tcp = {
	.create = create,
	.describe = describe,
	.set_v6only = set_v6only,
	.bind = bind_row,
	.in_use = in_use,
	.listen = listen_row,
	.bind_source = bind_source,
	.has_room = has_room,
	.connect = connect_row,
	.connect_again = connect_again,
	.disconnect = disconnect,
	.accept = accept_next,
	.send_token = send_token,
	.cut = cut,
	.look = look,
	.is_gone = is_gone,
	.is_there = is_there,
};
