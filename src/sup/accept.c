/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept(2) and accept4(2), on the duplicate, when it is readable. Nobody else should
 * accept from a listener of F, so a connection that was seen is still there.
 *
 * A connection that was accepted for a thread that had left meanwhile, or that
 * came in from the outside, is parked in the listener's row. Those who poll the
 * listener have to see it, so a token, a connection of the supervisor's own,
 * takes its place in the kernel's queue, and it is given out when the token is
 * accepted: before that it may be on its way, and would show an app a connection
 * when all are taken. An app that polls, and does not expect to wait, would. While
 * one thread alone accepts from the listener, one token stands for all that are parked.
 *
 * What is parked beyond the tokens (there is no room, or an accept waits already) is given
 * out without.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/sup.h"
#include "sup/transport.h"
#include "sup/wire_options.h"

#define OUTRUN_US 4000 /* that it is worth when somebody else has taken a connection */

void accept_park(struct sup *s, struct vsk *listener, uint64_t cookie, int *fd, bool nonblock)
{
	struct vsk_parked *p = malloc(sizeof *p);

	if (!p || listener->n_parked == UINT16_MAX || !sup_take_files(listener->domain, 1)) {
		free(p);
		return; /* the client sees a reset */
	}
	p->fd = fd_take(fd);
	p->cookie = cookie;
	p->looked = false;
	p->nonblock = nonblock;
	TAILQ_INSERT_TAIL(&listener->parked, p, link);
	listener->n_parked++;
	if (s->n_arrived >= ARRIVED_MAX) /* more than are remembered */
		accept_show(s, listener, false);
	sup_arrived(s, listener->cookie);
}

/* One wakes a thread that comes back as long as it sees one, and costs as much as a connection. */
static unsigned tokens_wanted(const struct vsk *listener, bool each)
{
	if (listener->n_parked == 0)
		return 0;
	if (each) /* one more: those that are there have woken who they could */
		return listener->n_parked + 1U;
	return listener->acceptor && !listener->several ? 1 : listener->n_parked;
}

void accept_show(struct sup *s, struct vsk *listener, bool each)
{
	while (listener->n_tokens < tokens_wanted(listener, each) &&
	       listener->n_arrivals + listener->n_tokens <= listener->backlog &&
	       transport_of(listener)->send_token(s, listener))
		listener->n_tokens++;
	/* Nobody else would tell those who poll. */
	if (listener->n_parked && (listener->n_tokens == 0 || listener->n_coming))
		sup_tokens_late(s, listener->cookie);
}

static int unpark(struct vsk *listener, int flags, uint64_t *ret_cookie)
{
	struct vsk_parked *p = TAILQ_FIRST(&listener->parked);
	bool nonblock = flags & SOCK_NONBLOCK;
	int fd = p->fd;

	*ret_cookie = p->cookie;
	/* Nobody has it yet, or a gateway that says the truth of it and could not gain by anything else. */
	if (p->nonblock != nonblock)
		(void)fcntl(fd, F_SETFL, nonblock ? O_NONBLOCK : 0);
	TAILQ_REMOVE(&listener->parked, p, link);
	listener->n_parked--;
	sup_give_files(listener->domain, 1);
	free(p);
	publish_taken(listener, nonblock);
	return fd;
}

/* Nobody has them yet but we: an app that is slow to accept hides nothing. What was sent for them is found to be for none. */
void accept_cut(struct sup *s, struct vsk *listener)
{
	const struct linger now = { .l_onoff = 1 };
	struct vsk_parked *p = TAILQ_FIRST(&listener->parked), *next;

	for (; p; p = next) {
		struct vsk *v = vsk_find(&s->table, p->cookie);

		next = TAILQ_NEXT(p, link);
		if (!v || !v->doomed)
			continue;
		(void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		v->cut = shutdown(p->fd, SHUT_RDWR) == 0 && v->host; /* the gateway may be about to close its own */
		(void)close(p->fd);
		TAILQ_REMOVE(&listener->parked, p, link);
		listener->n_parked--;
		sup_give_files(listener->domain, 1);
		free(p);
	}
}

static struct vsk *new_row(struct call *c, struct vsk *listener, const struct vsk_arrival *a, uint64_t cookie)
{
	struct vsk *v = vsk_new(&c->sup->table, c->domain, cookie, listener->v6);

	if (!v)
		return NULL;
	v->v6only = listener->v6only;
	v->linger = listener->linger;
	if (v->wire)
		wire_inherit_options(v, listener);
	v->accepted = true;
	v->local = a->local;
	v->local_port = listener->local_port;
	v->remote = a->peer;
	v->remote_port = a->port;
	v->at = listener->at;
	vsk_set_to(v, a->from);
	v->rule = listener->rule;
	v->generation = listener->generation;
	vsk_set_status(&c->sup->table, v, VSK_CONNECTED);
	return v;
}

/* Others who have the listener may be faster as often as they like. */
static int64_t outrun(struct call *c, int rc)
{
	if (rc != -ETIME)
		return rc;
	sup_charge(c->domain, OUTRUN_US);
	return -EAGAIN;
}

/*
 * Of several TCP listeners at one place (SO_REUSEPORT) the kernel chooses who gets a token, as it chooses who gets a
 * connection: whoever has a token that none of its own is parked for, takes what is parked for another of them.
 */
static struct vsk *whose_token(struct sup *s, const struct vsk *v)
{
	struct vsk *o = v->reuse_port ? vsk_next_listener(&s->table, v->domain, v->local_port, NULL) : NULL;

	while (o && (o == v || !o->n_parked || !o->reuse_port || o->wire || o->at != v->at || o->v6 != v->v6))
		o = vsk_next_listener(&s->table, v->domain, v->local_port, o);
	return o;
}

/* From the kernel's queue, or what a token there stands for. */
static int next_fd(struct call *c, struct target *t, int flags, struct vsk_arrival *who, uint64_t *ret_cookie)
{
	struct vsk *v = t->row;

	while (v->n_parked <= v->n_tokens) {
		int fd = transport_of(v)->accept(c->sup, t->fd, v, flags, who);

		if (fd == -ETIME)
			return (int)outrun(c, fd);
		if (fd == -EAGAIN && v->n_parked)
			sup_tokens_late(c->sup, v->cookie);
		if (fd < 0)
			return fd;
		if (!who->token) {
			socklen_t len = sizeof *ret_cookie;

			(void)getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &len); /* of a socket, it does not fail */
			return fd;
		}
		(void)close(fd);
		if (v->n_tokens == 0) {
			struct vsk *o = whose_token(c->sup, v);

			if (!o)
				continue; /* that was given up, and came after all */
			o->n_tokens -= o->n_tokens > 0;
			fd = unpark(o, flags, ret_cookie);
			accept_show(c->sup, o, false);
			return fd;
		}
		v->n_tokens--;
		if (v->n_tokens < v->n_parked)
			break;
	}
	who->token = true;
	return unpark(v, flags, ret_cookie);
}

/* The next connection of a virtual listener, or -errno; -EAGAIN: none. */
static int take(struct call *c, struct target *t, int flags, struct vsk **ret)
{
	struct vsk_arrival who = { 0 };
	uint64_t cookie = 0;
	AUTO_FD int fd = next_fd(c, t, flags, &who, &cookie);

	if (fd < 0)
		return fd;
	*ret = who.token ? vsk_find(&c->sup->table, cookie) : new_row(c, t->row, &who, cookie);
	if (who.token && *ret && (*ret)->host)
		publish_accepted(c->sup, t, fd);
	return *ret ? fd_take(&fd) : -ENOMEM;
}

/*
 * The length of the address is read before anything is taken, and whether somebody waits is asked between the two.
 * Without an address nothing of the app's is believed, and the answer tells.
 */
static int64_t accept_virtual(struct call *c, struct target *t, int flags)
{
	struct vsk *v = NULL;
	AUTO_FD int fd = -1;
	uint64_t cookie = t->cookie;
	int room = 0, rc;

	if (c->args[1] && guestmem_read(c->tid, c->args[2], &room, sizeof room) < 0)
		return -EFAULT;
	if (c->args[1] && !call_valid(c))
		return CALL_ANSWERED;
	fd = take(c, t, flags, &v);
	if (fd < 0 || !v)
		return fd < 0 ? fd : -ENOMEM;
	rc = c->args[1] ? call_put_name(c, c->args[1], c->args[2], room, v) : 0;
	if (rc == -EFAULT || rc == -EINVAL) {
		vsk_free(&c->sup->table, v); /* lost, as it would be with the kernel */
	} else {
		if (rc == 0)
			rc = notify_reply_fd(&c->listener->notify, c->id, fd, flags & SOCK_CLOEXEC);
		if (rc < 0)
			accept_park(c->sup, t->row, v->cookie, &fd, flags & SOCK_NONBLOCK);
		else
			hunch_served(c, cookie);
	}
	sup_retry(c->sup, cookie);
	return rc >= 0 || rc == -ENOENT ? CALL_ANSWERED : rc;
}

/* AF_UNIX: the same without names of ours. */
static int64_t accept_other(struct call *c, struct target *t, int flags)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	AUTO_FD int fd = -1;
	int rc = 0;

	if (t->family != AF_UNIX)
		return -EOPNOTSUPP;
	if (!call_valid(c))
		return CALL_ANSWERED;
	fd = socket_accept(t->fd, (struct sockaddr *)&sa, &len, flags);
	if (fd < 0)
		return outrun(c, fd);
	if (c->args[1])
		rc = call_write_address(c, c->args[1], c->args[2], &sa, len);
	if (rc == 0)
		rc = notify_reply_fd(&c->listener->notify, c->id, fd, flags & SOCK_CLOEXEC);
	return rc >= 0 || rc == -ENOENT ? CALL_ANSWERED : rc;
}

static int flags_of(const struct call *c)
{
	return c->trap == TRAP_ACCEPT4 ? (int)c->args[3] : 0;
}

static void note_acceptor(struct vsk *v, pid_t tid)
{
	uint16_t who = (uint16_t)tid ? (uint16_t)tid : 1;

	v->several = v->several || (v->acceptor && v->acceptor != who);
	v->acceptor = who;
}

static int64_t try_accept(struct call *c, struct target *t)
{
	if (t->row && t->row->status != VSK_LISTENING)
		return -EINVAL;
	if (t->row)
		note_acceptor(t->row, c->tid);
	return t->row ? accept_virtual(c, t, flags_of(c)) : accept_other(c, t, flags_of(c));
}

static int64_t retry(struct wait *w)
{
	struct target t = { .fd = w->fd, .cookie = w->cookie, .family = AF_UNIX };

	t.row = vsk_find(&w->call.sup->table, w->cookie);
	if (t.row && !w->call.args[1] && !call_valid(&w->call)) /* for long, perhaps */
		return CALL_ANSWERED;
	/* AF_UNIX may have a thousand readers with one connection; so may a listener of F. */
	return try_accept(&w->call, &t);
}

/* Without asking the kernel for its queue. */
static bool is_empty(const struct target *t)
{
	const struct vsk *v = t->row;

	if (!v || v->status != VSK_LISTENING || v->n_arrivals || v->n_parked)
		return false;
	/* TCP's may have been shut down, which is not trapped. */
	return v->wire || !(v->reuse_port || v->n_tokens || v->unsure || !socket_listens(t->fd));
}

/*
 * Connections to a listener of F are made by the supervisor, which remembers
 * the accepts that wait for them. It does not know which of several TCP
 * listeners at one port the kernel chose, nor when a packet that was put off
 * comes, which may be a token's.
 */
static uint32_t events_of(const struct target *t)
{
	const struct vsk *v = t->row;

	return v && (v->wire || (!v->reuse_port && v->n_arrivals == 0 && v->n_parked == 0)) ? 0 : EPOLLIN;
}

static int64_t serve(struct call *c)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);

	if (rc < 0)
		return rc;
	if (flags_of(c) & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	/* One that only waits may be long gone: whoever ends the wait finds out. */
	rc = is_empty(&t) ? -EAGAIN : try_accept(c, &t);
	if (rc != -EAGAIN || socket_nonblocking(t.fd))
		return rc;
	if (t.row)
		hunch_waits(c, t.cookie);
	return call_wait(c, &t.fd, t.cookie, events_of(&t), socket_timeout(t.fd, SO_RCVTIMEO), EAGAIN, retry) == 0 ?
		       CALL_ANSWERED :
		       -EAGAIN;
}

/* It is no wait any more, or another one. */
static int64_t look(struct wait *w)
{
	struct call *c = &w->call;
	int64_t rc;

	c->domain->n_waits--; /* whose place that one takes */
	rc = serve(c);
	c->domain->n_waits++;
	if (rc != CALL_ANSWERED)
		call_reply(c, rc, 0);
	return CALL_ANSWERED;
}

int64_t handle_accept(struct call *c)
{
	return hunch_follow(c, look) ? CALL_ANSWERED : serve(c);
}
