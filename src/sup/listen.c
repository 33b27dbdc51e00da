/* SPDX-License-Identifier: Apache-2.0 */
/* listen(2): here a policy is asked whether the domain may serve. */
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/bind.h"
#include "sup/decide.h"
#include "sup/porter.h"
#include "sup/transport.h"

#define GATEWAY_MS 2000
#define BACKLOG_MAX 4096 /* net.core.somaxconn as the kernel sets it */

static int64_t decide(struct call *c, struct vsk *v)
{
	struct decision d;

	decide_listen(c->domain, POLICY_TCP, &v->local, v->local_port, &d);
	v->rule = decision_rule(&d, c->domain);
	v->generation = c->domain->generation;
	decision_count(&d, c->domain);
	return call_verdict(c, &d.attempt, &d.verdict);
}

static int64_t start(struct call *c, struct target *t, unsigned backlog)
{
	struct vsk *v = t->row;
	const struct addr any4 = addr_v4(0, 0, 0, 0), any6 = { { 0 } };
	int64_t rc = 0;

	if (v->status == VSK_UNCONNECTED)
		rc = bind_stream(c, t, v->v6 ? &any6 : &any4, 0);
	if (rc == 0 && v->status == VSK_BOUND)
		rc = decide(c, v);
	if (rc != 0)
		return rc;
	if (v->status == VSK_BOUND && bind_conflicts(c, v))
		return -EADDRINUSE;
	rc = transport_of(v)->listen(t->fd, v, backlog);
	if (rc < 0)
		return rc;
	v->backlog = backlog;
	if (v->status == VSK_BOUND)
		vsk_set_status(&c->sup->table, v, VSK_LISTENING);
	publish_listening(c->sup, t);
	sup_retry(c->sup, t->cookie); /* the queue may have become longer */
	return 0;
}

/*
 * Never continued: the kernel would look the descriptor up again, and no wall stands before listen(2). A socket
 * of the host's whose connection failed would listen on the machine then, and a wire with a queue of the app's length.
 */
static int64_t listen_other(struct call *c, struct target *t, unsigned backlog)
{
	static const struct sockaddr_storage none;

	return t->family == AF_UNIX ? porter_do(c, t, PORTER_LISTEN, &none, backlog) : -EOPNOTSUPP;
}

/* --- published ones ------------------------------------------------------------------------- */

static int64_t look_again(struct wait *w)
{
	const struct vsk *v = vsk_find(&w->call.sup->table, w->cookie);

	return v && v->status == VSK_LISTENING && !publish_is_open(v) ? -EAGAIN : 0;
}

/* Who hears that an app listens, and connects from the outside, is not to be refused. Not for long: it listens. */
static int64_t wait_for_gateway(struct call *c, const struct target *t)
{
	int none = -1;

	if (publish_is_open(t->row) || call_wait(c, &none, t->cookie, 0, GATEWAY_MS, 0, look_again) < 0)
		return 0;
	return CALL_ANSWERED;
}

int64_t handle_listen(struct call *c)
{
	unsigned backlog = (unsigned)c->args[1]; /* negative ones are large, as in the kernel */
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);

	if (rc < 0)
		return rc;
	if (!t.row)
		return listen_other(c, &t, backlog);
	if (t.row->status != VSK_UNCONNECTED && t.row->status != VSK_BOUND &&
	    t.row->status != VSK_LISTENING)
		return -EINVAL;
	if (!call_valid(c))
		return CALL_ANSWERED;
	rc = start(c, &t, backlog > BACKLOG_MAX ? BACKLOG_MAX : backlog);
	if (rc == 0)
		rc = wait_for_gateway(c, &t);
	if (rc != CALL_ANSWERED)
		call_reply(c, rc, t.cookie);
	return CALL_ANSWERED;
}
