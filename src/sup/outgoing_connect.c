/* SPDX-License-Identifier: Apache-2.0 */
/* connect() to the outside: what a call that begins, waits or comes again gets (outgoing.c: how it goes on). */
#include "sup/handoff.h"
#include "sup/outgoing_impl.h"

#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/transport.h"

#define LATE_MS 5 /* of an app that waits, until its socket enters limbo */
#define BEGIN_MS 100 /* of one that does not, until it is told that it takes time, whatever the gateway does */

/* What a wait has as its error at its deadline tells which kind it is. */
#define WAITS_FOR_END EINPROGRESS /* connect() of an app that waits; its time may be up */
#define WAITS_AGAIN EALREADY      /* the same, of one that had begun before */
#define WAITS_FOR_BEGIN EAGAIN    /* of one that does not, until it is known how it goes on; its time never is */

/* The kernel knows now that connect() has said so. */
static int64_t tell_connected(struct target *t)
{
	if (t->row->untold)
		t->row->untold = false;
	else if (!t->row->wire)
		(void)transport_host.connect_again(t->fd, t->row);
	else if (t->row->out)
		t->row->out->told = true;
	return 0;
}

/* To a connect() after the one that waited was interrupted. */
static int64_t tell_late(struct target *t)
{
	int error = 0;
	socklen_t len = sizeof error;

	t->row->untold = false;
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error)
		return -error;
	return socket_over(t->fd) ? -ECONNABORTED : 0;
}

/* What a connect() that waits gets by now; -EAGAIN: it waits on. */
static int64_t state_of(struct target *t, bool begin)
{
	struct outgoing *o = t->row->out;
	int error;

	if (t->row->host)
		return t->row->status == VSK_CONNECTED ? tell_connected(t) : -EINPROGRESS;
	error = outgoing_take_error(t);
	if (error)
		return -error;
	if (!o)
		return t->row->status == VSK_CONNECTED ? 0 : -ECONNABORTED;
	if (o->first && (o->racing || o->late)) {
		int rc = outgoing_enter_limbo(o, t);

		o->first = false;
		if (rc == 0)
			return -EINPROGRESS;
		outgoing_drop(o);
		vsk_reset(&t->row->domain->sup->table, t->row);
		return rc;
	}
	if (o->late && o->port == 0)
		(void)outgoing_enter_limbo(o, t);
	if (o->near >= 0 || o->pipe)
		return tell_connected(t);
	return o->first || !begin ? -EAGAIN : -EINPROGRESS;
}

static int64_t retry(struct wait *w)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(&w->call, &t);

	if (rc < 0)
		return rc;
	if (!t.row || (t.cookie != w->cookie && !t.row->host))
		return -EBADF; /* the number is another file's by now */
	rc = state_of(&t, w->timeout_error == WAITS_FOR_BEGIN);
	if (rc == -EAGAIN)
		return rc;
	target_fini(&t); /* whoever closes it then, is to be the last to do so */
	call_reply(&w->call, rc, t.cookie);
	return CALL_ANSWERED;
}

/* No duplicate is kept: it would be another that has the socket. */
static int64_t wait_until(struct call *c, const struct target *t, int kind, int64_t patience)
{
	int none = -1;

	return call_wait(c, &none, t->cookie, 0, patience, kind, retry) == 0 ? CALL_ANSWERED : -EAGAIN;
}

static int64_t wait_for(struct call *c, const struct target *t, int kind)
{
	return wait_until(c, t, kind, kind == WAITS_FOR_BEGIN ? -1 : socket_timeout(t->fd, SO_SNDTIMEO));
}

/* A wire cannot leave again, so it is put off where nobody has to hear of it before the end. */
static bool enters_at_once(const struct outgoing *o, const struct target *t, bool nonblock)
{
	return (o->relay && (nonblock || !t->row->wire)) || o->patience >= 0;
}

/* One whose connection failed, or was taken away. */
static bool is_spent(const struct target *t)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	return t->row->wire && getpeername(t->fd, (struct sockaddr *)&sa, &len) == 0;
}

int64_t outgoing_connect(struct call *c, struct target *t, const struct policy_attempt *attempt)
{
	struct gateway_request r;
	struct outgoing *o = is_spent(t) ? NULL : outgoing_new(c, t, attempt);
	bool nonblock = socket_nonblocking(t->fd);
	int64_t rc = 0;

	if (!o)
		return is_spent(t) ? -EMLINK : -ENFILE;
	outgoing_take_terms(o);
	o->relay = o->relay || t->row->wire || c->domain->relayed || handoff_init(c->sup) < 0;
	o->first = nonblock && !o->relay;
	outgoing_request(o, t, &r);
	o->waits = !r.nonblock;
	o->patience = nonblock ? -1 : outgoing_patience(&r);
	if (enters_at_once(o, t, nonblock))
		rc = outgoing_enter_limbo(o, t);
	else
		loop_set_alarm(&c->sup->loop, &o->lateness, nonblock ? BEGIN_MS : LATE_MS);
	if (rc == 0)
		rc = outgoing_ask(o, &r);
	if (rc < 0) {
		outgoing_drop(o);
		return rc;
	}
	t->row->out = o;
	vsk_set_status(&c->sup->table, t->row, VSK_CONNECTING);
	if (nonblock && o->relay)
		return -EINPROGRESS;
	rc = wait_until(c, t, nonblock ? WAITS_FOR_BEGIN : WAITS_FOR_END, o->patience);
	if (rc == -EAGAIN) { /* too many wait */
		outgoing_drop(o);
		limbo_leave(t->fd);
		vsk_reset(&c->sup->table, t->row);
	}
	return rc;
}

int64_t outgoing_again(struct call *c, struct target *t)
{
	struct vsk *v = t->row;
	struct outgoing *o = v->out;
	int64_t rc;

	if (v->error)
		return -outgoing_take_error(t);
	if (o && o->first) /* the same call, interrupted and begun anew */
		return wait_for(c, t, WAITS_FOR_BEGIN);
	if (o && o->port == 0)
		(void)outgoing_enter_limbo(o, t);
	if (o && o->near < 0 && !o->pipe)
		return socket_nonblocking(t->fd) ? -EALREADY : wait_for(c, t, WAITS_AGAIN);
	if (o && v->wire)
		return o->told ? -EISCONN : tell_connected(t);
	rc = v->untold ? tell_late(t) : transport_host.connect_again(t->fd, v);
	if (rc == 0)
		vsk_set_status(&c->sup->table, v, VSK_CONNECTED);
	if ((rc != -EINVAL && !v->dissolved) || !v->host)
		return rc;
	rc = handoff_return(c, t, c->domain->policy.transport == POLICY_TRANSPORT_WIRE);
	return rc < 0 ? rc : OUTGOING_ANEW;
}

int64_t outgoing_disconnect(struct call *c, struct target *t)
{
	if (t->row->host)
		return handoff_discard(c, t, c->domain->policy.transport == POLICY_TRANSPORT_WIRE);
	if (t->row->wire && t->row->out)
		return -EAFNOSUPPORT; /* as of any wire that was connected */
	if (t->row->out)
		outgoing_drop(t->row->out);
	t->row->error = 0;
	limbo_leave(t->fd);
	vsk_reset(&c->sup->table, t->row);
	return 0;
}
