/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/outgoing.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/handoff.h"
#include "sup/outgoing_impl.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define OUTGOING_FILES 2 /* its two ends, of which one is the plug at first; pipes come and go (relay.c) */
#define GRACE_MS 20 /* for a call that brings the host's socket, when a server speaks first */
#define FORSAKEN_MS 1000 /* between looks at whether the thread is there whose wait was interrupted early */

struct vsk *outgoing_row(const struct outgoing *o)
{
	struct vsk *v = vsk_find(&o->sup->table, o->cookie);

	return v && v->out == o ? v : NULL;
}

bool outgoing_asks(const struct outgoing *o)
{
	return o->request != 0;
}

void outgoing_unwatch(struct outgoing *o)
{
	if (o->near_watched)
		loop_remove(&o->sup->loop, o->near, &o->near_watch);
	if (o->far_watched)
		loop_remove(&o->sup->loop, o->far, &o->far_watch);
	o->near_watched = o->far_watched = false;
	loop_clear_alarm(&o->grace);
}

void outgoing_drop(struct outgoing *o)
{
	struct vsk *v = outgoing_row(o);

	if (v)
		v->out = NULL;
	if (o->request)
		gateway_cancel(&o->domain->gateway, o->request);
	outgoing_unwatch(o);
	loop_clear_alarm(&o->lateness);
	if (o->pipe)
		relay_free(o->pipe);
	fd_close(&o->near);
	fd_close(&o->far);
	fd_close(&o->plug.fd);
	sup_give_files(o->domain, OUTGOING_FILES);
	if (o->lingers)
		outgoing_lingered(o);
	free(o);
}

/* --- limbo ---------------------------------------------------------------------------------- */

int outgoing_enter_limbo(struct outgoing *o, struct target *t)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof sa;
	int rc;

	if (t->row->wire) {
		rc = plug_enter(&o->plug, &o->sup->guard, t->fd);
		if (rc == 0)
			o->port = t->row->local_port;
		return rc;
	}
	rc = limbo_enter(&o->sup->limbo, t->fd);
	if (rc < 0)
		return rc;
	if (getsockname(t->fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	o->at = sa.sin6_addr;
	o->port = ntohs(sa.sin6_port);
	t->row->local_port = o->port;
	return 0;
}

/* For an app that waits, what that costs is put off: most connections are there by then. */
static void is_late(struct loop_alarm *a)
{
	struct outgoing *o = (struct outgoing *)((char *)a - offsetof(struct outgoing, lateness));

	o->late = true;
	sup_retry(o->sup, o->cookie);
}

/* --- relayed -------------------------------------------------------------------------------- */

/* The app has sent, or ended. */
static void near_ready(struct watch *w, uint32_t events)
{
	(void)events;
	outgoing_relay((struct outgoing *)((char *)w - offsetof(struct outgoing, near_watch)));
}

/*
 * A connection that no call waited for when it came, and whose socket never was in limbo: the next call brings it. Not
 * of an app that has ended: its server would keep it.
 */
static void look_for_thread(struct outgoing *o)
{
	struct vsk *v = outgoing_row(o);

	if (kill(o->call.tid, 0) == 0 || errno != ESRCH) {
		loop_set_alarm(&o->sup->loop, &o->grace, FORSAKEN_MS);
		return;
	}
	outgoing_drop(o);
	if (v)
		vsk_reset(&v->domain->sup->table, v);
}

static void join(struct outgoing *o, struct vsk *v);

static void grace_over(struct loop_alarm *a)
{
	struct outgoing *o = (struct outgoing *)((char *)a - offsetof(struct outgoing, grace));

	if (o->near >= 0)
		outgoing_relay(o);
	else if (o->port == 0)
		look_for_thread(o);
	else if (outgoing_row(o) && !o->connecting)
		join(o, outgoing_row(o));
}

static void watch_both(struct outgoing *o)
{
	o->near_watched = loop_add(&o->sup->loop, o->near, EPOLLIN | EPOLLRDHUP, &o->near_watch) == 0;
	o->far_watched = loop_add(&o->sup->loop, o->far, EPOLLIN | EPOLLRDHUP, &o->far_watch) == 0;
}

/* --- failed --------------------------------------------------------------------------------- */

static void fail(struct outgoing *o, int error)
{
	struct sup *s = o->sup;
	struct in6_addr at = o->at;
	uint16_t port = o->port;
	uint64_t cookie = o->cookie;
	struct vsk *v = outgoing_row(o);

	if (v) {
		v->error = (int16_t)error;
		v->changed = s->table.survey;
	}
	outgoing_drop(o); /* a wire hangs up */
	sup_retry(s, cookie);
	/* Nobody has heard it: those who poll the socket are to ask. */
	v = vsk_find(&s->table, cookie);
	if (v && v->error && port && !v->wire)
		limbo_fail(&s->limbo, &s->diag, &at, port, cookie);
}

static int pending_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	return error ? error : ECONNREFUSED;
}

/* After SO_ERROR has told it, connect() still says once that there was one. */
#define TOLD (-1)

int outgoing_error(struct target *t)
{
	int error = t->row->error;

	if (error <= 0)
		return 0;
	t->row->error = TOLD;
	(void)pending_error(t->fd); /* what the kernel made of it */
	return error;
}

int outgoing_take_error(struct target *t)
{
	int error = t->row->error;

	if (error == 0)
		return 0;
	t->row->error = 0;
	limbo_leave(t->fd);
	vsk_reset(&t->row->domain->sup->table, t->row);
	return error == TOLD ? ECONNABORTED : error;
}

/* The gateway knows the address by now, and the domain's policy does not let it through. */
static void denied(struct outgoing *o, const struct gateway_answer *a)
{
	struct policy_verdict v;
	int64_t rc = -EACCES;

	if (a->n) {
		o->addr = a->addresses[0];
		o->attempt.peer.addr = &o->addr;
	}
	policy_decide_bounded(&o->domain->policy, domain_ceiling(o->domain), &o->attempt, &v);
	o->call.listener = LIST_FIRST(&o->domain->listeners); /* its own may have gone */
	if (!v.allow)
		rc = call_verdict(&o->call, &o->attempt, &v);
	fail(o, rc < 0 && rc > -4096 ? (int)-rc : EACCES);
}

/* --- connected ------------------------------------------------------------------------------ */

/* The app's socket is joined: it sees its connection made. */
static void join(struct outgoing *o, struct vsk *v)
{
	struct sup *s = o->sup;
	int near = o->plug.fd >= 0 ? plug_open(&o->plug) : limbo_join(&o->sup->limbo, &o->at, o->port);

	if (near < 0) { /* no descriptors: what is in limbo would stay there */
		fail(o, near == -EMFILE ? ENFILE : -near);
		return;
	}
	o->near = near;
	loop_clear_alarm(&o->grace);
	vsk_set_status(&s->table, v, VSK_CONNECTED);
	if (o->relay)
		outgoing_relay(o);
	else
		watch_both(o);
	sup_retry(s, v->cookie); /* the relay may be over already */
}

static void far_ready(struct watch *w, uint32_t events)
{
	struct outgoing *o = (struct outgoing *)((char *)w - offsetof(struct outgoing, far_watch));
	struct vsk *v = outgoing_row(o);

	loop_remove(&o->sup->loop, o->far, &o->far_watch);
	o->far_watched = false;
	if (!o->connecting) {
		loop_set_alarm(&o->sup->loop, &o->grace, GRACE_MS);
		return;
	}
	o->connecting = false;
	if (events & (EPOLLERR | EPOLLHUP))
		fail(o, pending_error(o->far));
	else if (v)
		join(o, v);
}

/* The gateway's last answer, with a socket. A call that waits takes it. */
static void have(struct outgoing *o)
{
	struct sup *s = o->sup;
	uint64_t cookie = o->cookie;
	struct vsk *v;

	sup_retry(s, cookie);
	v = vsk_find(&s->table, cookie);
	if (!v || v->out != o)
		return;
	if (o->first) { /* connect() was interrupted, and has had no effect */
		outgoing_drop(o);
		vsk_reset(&s->table, v);
	} else if (o->port == 0) {
		loop_set_alarm(&s->loop, &o->grace, 0); /* its wait was interrupted early on, or it is gone */
	} else if (o->connecting) {
		o->far_watched = loop_add(&s->loop, o->far, EPOLLOUT, &o->far_watch) == 0;
	} else {
		join(o, v);
	}
}

/* While the gateway tried, the policy may have become another one, which has a say in the address. */
static bool is_revoked(const struct outgoing *o, const struct gateway_answer *a)
{
	struct policy_attempt at = o->attempt;
	struct policy_verdict v;

	if (o->generation == o->domain->generation || a->n == 0)
		return false;
	if (at.peer.kind == PARTY_NAME)
		at.peer.addr = &a->addresses[0];
	policy_decide_bounded(&o->domain->policy, domain_ceiling(o->domain), &at, &v);
	return !v.allow;
}

static void answered(void *ctx, const struct gateway_answer *a, int fd)
{
	struct outgoing *o = ctx;
	struct vsk *v = outgoing_row(o);
	uint64_t cookie = o->cookie;
	struct sup *s = o->sup;

	if (a->kind != GATEWAY_RACING)
		o->request = 0;
	switch (a->kind) {
	case GATEWAY_RACING:
		o->racing = true;
		sup_retry(s, cookie);
		if (v && vsk_find(&s->table, cookie) == v && v->out == o && o->first)
			have(o);
		break;
	case GATEWAY_CONNECTING:
	case GATEWAY_CONNECTED:
		if (fd < 0) { /* it came, and there was no number for it */
			fail(o, ENFILE);
			return;
		}
		if (is_revoked(o, a)) {
			(void)close(fd);
			denied(o, a);
			return;
		}
		o->far = fd;
		fd = -1;
		if (v && a->n)
			v->real = a->addresses[0];
		if (a->n)
			outgoing_found(o, &a->addresses[0]);
		o->connecting = a->kind == GATEWAY_CONNECTING;
		have(o);
		break;
	case GATEWAY_DENIED:
		denied(o, a);
		break;
	default:
		fail(o, a->error ? a->error : fd >= 0 ? pending_error(fd) : ENETUNREACH);
		break;
	}
	fd_close(&fd);
}

/* What came into the socket that was joined after the look at it. */
static void forward(int near, int far)
{
	char buf[4096];
	ssize_t n;

	while (near >= 0 && (n = recv(near, buf, sizeof buf, MSG_DONTWAIT)) > 0)
		if (send(far, buf, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < n)
			break;
}

void outgoing_settle(struct call *c, struct target *t)
{
	struct outgoing *o = t->row->out;
	int rc;

	if (o->far < 0 && o->port == 0 && !o->first && c->trap != TRAP_CONNECT)
		(void)outgoing_enter_limbo(o, t); /* somebody looks at it while connect() waits, or was interrupted */
	if (o->far >= 0 && o->relay && o->port == 0 && outgoing_enter_limbo(o, t) == 0)
		o->first = false; /* that it is to be relayed shows late */
	if (o->far < 0 || o->relay || o->pipe)
		return;
	if (o->near >= 0 && socket_readable(o->near)) {
		outgoing_relay(o);
		return;
	}
	outgoing_unwatch(o);
	t->row->out = NULL; /* the row goes before the rest of it */
	rc = handoff_place(c, t, &o->far, o->connecting ? VSK_CONNECTING : VSK_CONNECTED);
	if (rc >= 0) {
		if (t->row)
			t->row->untold = o->waits && !o->connecting;
		forward(o->near, t->fd);
		if (rc > 0)
			outgoing_leave_behind(o);
		outgoing_drop(o);
		return;
	}
	t->row->out = o;
	o->relay = rc != -ENOENT; /* another process has it, too; or its descriptor cannot be read */
	if (o->port == 0 && o->relay && outgoing_enter_limbo(o, t) == 0)
		o->first = false;
	if (o->near >= 0 && o->relay)
		outgoing_relay(o);
	else if (o->near >= 0)
		watch_both(o);
	else
		loop_set_alarm(&c->sup->loop, &o->grace, o->port ? 0 : FORSAKEN_MS);
}

/* --- one more ----------------------------------------------------------------------------------- */

struct outgoing *outgoing_new(struct call *c, const struct target *t, const struct policy_attempt *a)
{
	struct outgoing *o = NULL;

	if (!sup_take_files(c->domain, OUTGOING_FILES))
		return NULL;
	o = calloc(1, sizeof *o);
	if (!o) {
		sup_give_files(c->domain, OUTGOING_FILES);
		return NULL;
	}
	*o = (struct outgoing){ .sup = c->sup,
				.domain = c->domain,
				.call = *c,
				.attempt = *a,
				.generation = c->domain->generation,
				.cookie = t->cookie,
				.near = -1,
				.far = -1,
				.plug = { .fd = -1 },
				.near_watch = { near_ready },
				.far_watch = { far_ready },
				.grace = { .ring = grace_over },
				.lateness = { .ring = is_late } };
	if (a->peer.addr)
		o->addr = *a->peer.addr;
	o->attempt.peer.addr = a->peer.addr ? &o->addr : NULL;
	if (a->peer.n_names)
		(void)strncpy(o->name, a->peer.names[0], sizeof o->name - 1);
	o->names[0] = o->name;
	o->attempt.peer.names = o->names;
	return o;
}

int outgoing_ask(struct outgoing *o, struct gateway_request *r)
{
	o->request = gateway_ask(&o->domain->gateway, r, answered, o);
	return o->request ? 0 : -ENOMEM;
}
