/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GATEWAY_CONNECT: a race of attempts (Happy Eyeballs, RFC 8305). Candidates are
 * the addresses that the policy lets through, IPv6 and IPv4 by turns; the next one
 * is tried when the last has failed or 250 ms have passed, and the first that
 * connects wins. Where there is one candidate alone, an app that does not wait gets
 * the socket at once.
 *
 * Errors stay in the sockets of attempts that failed until all have: the app
 * is to find the first one's in its socket.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"

#define ATTEMPT_DELAY_MS 250  /* RFC 8305, 5 */
#define RESOLUTION_DELAY_MS 50 /* RFC 8305, 3: for IPv6 addresses that are still to come */

struct attempt {
	struct gate_watch watch;
	struct race *race;
	int fd; /* owned; -1: none */
	bool watched, over;
	int error; /* what it failed by, when its socket does not know any more; positive */
	struct addr addr;
};

struct race {
	struct gate_job job;
	struct gateway_request r;
	struct gate_asker askers[2]; /* of IPv4, of IPv6 */
	bool waiting[2];             /* for their answers */
	struct gate_found found[2];
	struct gate_timer next;      /* the next attempt */
	bool begun;                  /* candidates are there */
	bool racing;                 /* the supervisor was told to wait */
	unsigned n, tried;           /* candidates */
	struct addr candidates[GATE_CANDIDATES_MAX];
	struct addr denied;          /* the last one that was */
	bool any_denied, lookup_failed;
	bool revoked;                /* an attempt was, by a policy that came meanwhile */
	int error;                   /* the first that no socket holds; positive */
	struct attempt attempts[GATE_CANDIDATES_MAX];
};

static void unwatch(struct gate *g, struct attempt *t)
{
	if (t->watched)
		gate_watch_remove(g, t->fd);
	t->watched = false;
}

static void race_end(struct gate *g, struct gate_job *job)
{
	struct race *c = (struct race *)((char *)job - offsetof(struct race, job));

	gate_job_remove(g, job);
	gate_timer_clear(g, &c->next);
	for (unsigned i = 0; i < 2; i++)
		gate_names_cancel(&c->askers[i]);
	for (unsigned i = 0; i < c->tried; i++) {
		struct attempt *t = &c->attempts[i];

		unwatch(g, t);
		fd_close(&t->fd);
	}
	free(c);
}

/* --- how it ends --------------------------------------------------------------------------- */

static void finish(struct gate *g, struct race *c, enum gateway_kind kind, struct attempt *t)
{
	struct gateway_answer a = { .kind = (uint8_t)kind, .id = c->job.id, .port = c->r.port, .n = 1,
				    .addresses = { t->addr } };

	unwatch(g, t);
	t->over = true;
	gate_tell(g, &a, fd_take(&t->fd));
	race_end(g, &c->job);
}

static void fail(struct gate *g, struct race *c)
{
	struct gateway_answer a = { .kind = GATEWAY_FAILED, .id = c->job.id, .port = c->r.port, .error = c->error };
	struct attempt *first = NULL;
	socklen_t len = sizeof a.error;
	int fd = -1;

	for (unsigned i = 0; i < c->tried && !first; i++)
		if (c->attempts[i].fd >= 0)
			first = &c->attempts[i];
	if (first && c->r.nonblock) {
		a.error = 0;
		a.addresses[a.n++] = first->addr;
		fd = fd_take(&first->fd);
	} else if (first && first->error) {
		a.error = first->error;
	} else if (first && getsockopt(first->fd, SOL_SOCKET, SO_ERROR, &a.error, &len) < 0) {
		a.error = errno;
	}
	if (c->n == 0 ? c->any_denied : c->revoked && !first) {
		a.kind = GATEWAY_DENIED;
		a.addresses[a.n++] = c->denied;
	} else if (a.error == 0 && fd < 0) {
		a.error = c->lookup_failed ? EHOSTUNREACH : ENETUNREACH;
	}
	gate_tell(g, &a, fd);
	race_end(g, &c->job);
}

/* --- attempts -------------------------------------------------------------------------------- */

static void go_on(struct gate *g, struct race *c);

/*
 * 1: it has connected; 0: not yet; -1: it has failed. An app that waits gets a socket whose connect() has said so,
 * and no other answer than the error; the socket of one that does not, is to say both to the app.
 */
static int look(struct attempt *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };
	int rc;

	if (!t->race->r.nonblock) {
		rc = gate_socket_connect(t->fd, t->race->r.v6, &t->addr, t->race->r.port);
		if (rc == 0 || rc == -EISCONN)
			return 1;
		t->error = rc == -EALREADY ? 0 : -rc;
		return t->error ? -1 : 0;
	}
	if (poll(&p, 1, 0) <= 0)
		return 0;
	return (p.revents & (POLLERR | POLLHUP)) ? -1 : 1;
}

/* The policy may be another one by now (control.c). */
static bool is_allowed(const struct gate *g, struct race *c, const struct addr *a)
{
	if (gate_decide(g, &c->r, POLICY_TCP, a) == GATE_ALLOWED)
		return true;
	c->denied = *a;
	c->revoked = true;
	return false;
}

static void settled(struct gate *g, struct attempt *t, int how)
{
	struct race *c = t->race;

	if (how > 0 && is_allowed(g, c, &t->addr)) {
		finish(g, c, c->r.nonblock && !c->racing ? GATEWAY_CONNECTING : GATEWAY_CONNECTED, t);
		return;
	}
	unwatch(g, t);
	t->over = true;
	if (how > 0)
		fd_close(&t->fd);
	gate_timer_clear(g, &c->next);
	go_on(g, c);
}

static void ready(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct attempt *t = (struct attempt *)((char *)w - offsetof(struct attempt, watch));
	int how = look(t);

	(void)events;
	if (how != 0)
		settled(g, t, how);
}

static bool failed(struct race *c, struct attempt *t, int rc)
{
	fd_close(&t->fd);
	t->over = true;
	if (!c->error)
		c->error = -rc;
	return false;
}

/* Starts the next one. False when it cannot even be started. */
static bool start(const struct gate *g, struct race *c)
{
	struct attempt *t = &c->attempts[c->tried];
	int rc;

	*t = (struct attempt){ .watch = { ready }, .race = c, .fd = -1, .addr = c->candidates[c->tried] };
	c->tried++;
	rc = is_allowed(g, c, &t->addr) ? gate_socket(&c->r, &t->addr) : -EACCES;
	if (rc >= 0) {
		t->fd = rc;
		rc = gate_socket_connect(t->fd, c->r.v6, &t->addr, c->r.port);
	}
	return rc == 0 || rc == -EINPROGRESS || failed(c, t, rc);
}

/* It is under way. */
static bool watch(struct gate *g, struct race *c, struct attempt *t)
{
	int rc = gate_watch_add(g, t->fd, EPOLLOUT, &t->watch);

	t->watched = rc == 0;
	return t->watched || failed(c, t, rc);
}

static bool any_left(const struct race *c)
{
	for (unsigned i = 0; i < c->tried; i++)
		if (!c->attempts[i].over)
			return true;
	return c->tried < c->n || c->waiting[0] || c->waiting[1];
}

/* An app that does not wait is told to, once. */
static void tell_racing(struct gate *g, struct race *c)
{
	struct gateway_answer a = { .kind = GATEWAY_RACING, .id = c->job.id };

	if (!c->r.nonblock || c->racing)
		return;
	c->racing = true;
	gate_tell(g, &a, -1);
}

/* The next attempt, or the end. */
static void go_on(struct gate *g, struct race *c)
{
	while (c->tried < c->n) {
		struct attempt *t = &c->attempts[c->tried];
		bool single = c->n == 1 && !c->waiting[0] && !c->waiting[1];
		int how;

		if (!start(g, c))
			continue;
		how = look(t);
		if (how > 0 || (single && c->r.nonblock && !c->racing)) {
			finish(g, c, c->r.nonblock && !c->racing ? GATEWAY_CONNECTING : GATEWAY_CONNECTED, t);
			return;
		}
		if (how == 0 && !watch(g, c, t))
			continue;
		if (how == 0) {
			gate_timer_set(g, &c->next, ATTEMPT_DELAY_MS);
			break;
		}
		t->over = true;
	}
	if (!any_left(c)) {
		fail(g, c);
	} else {
		tell_racing(g, c);
	}
}

static void take_found(struct gate *g, struct race *c);

static void ring(struct gate *g, struct gate_timer *t)
{
	struct race *c = (struct race *)((char *)t - offsetof(struct race, next));

	if (!c->begun)
		take_found(g, c);
	c->begun = true;
	go_on(g, c);
}

/* --- candidates --------------------------------------------------------------------------------- */

static void candidate(struct gate *g, struct race *c, const struct addr *a)
{
	if (c->n == GATE_CANDIDATES_MAX || (addr_is_v4(a) ? !c->r.want_v4 : !c->r.want_v6))
		return;
	switch (gate_decide(g, &c->r, POLICY_TCP, a)) {
	case GATE_ALLOWED:
		c->candidates[c->n++] = *a;
		break;
	case GATE_DENIED:
		c->denied = *a;
		c->any_denied = true;
		break;
	case GATE_UNREACHABLE:
		if (!c->error)
			c->error = ENETUNREACH;
		break;
	}
}

static void take_found(struct gate *g, struct race *c)
{
	const struct gate_found *v4 = &c->found[0], *v6 = &c->found[1];

	for (unsigned i = 0; i < GATEWAY_ADDRESSES_MAX; i++) {
		if (i < v6->n)
			candidate(g, c, &v6->addresses[i]);
		if (i < v4->n)
			candidate(g, c, &v4->addresses[i]);
	}
	c->found[0].n = c->found[1].n = 0;
}

/* One family's addresses have come. IPv4 waits a moment for IPv6. */
static void found(struct gate *g, struct race *c, unsigned v6, const struct gate_found *f)
{
	c->waiting[v6] = false;
	c->found[v6] = *f;
	if (f->error)
		c->lookup_failed = true;
	if (!c->begun && !v6 && c->waiting[1] && f->n) {
		gate_timer_set(g, &c->next, RESOLUTION_DELAY_MS);
		return;
	}
	take_found(g, c);
	if (c->begun && c->next.due) /* an attempt is having its time */
		return;
	if (c->n || !any_left(c)) {
		gate_timer_clear(g, &c->next);
		c->begun = true;
		go_on(g, c);
	}
}

static void found_v4(struct gate *g, struct gate_asker *a, const struct gate_found *f)
{
	found(g, (struct race *)((char *)a - offsetof(struct race, askers[0])), 0, f);
}

static void found_v6(struct gate *g, struct gate_asker *a, const struct gate_found *f)
{
	found(g, (struct race *)((char *)a - offsetof(struct race, askers[1])), 1, f);
}

static void look_up(struct gate *g, struct race *c)
{
	const bool want[2] = { c->r.want_v4, c->r.want_v6 };

	c->askers[0].found = found_v4;
	c->askers[1].found = found_v6;
	for (unsigned i = 0; i < 2; i++) {
		c->waiting[i] = want[i] && !gate_names_ask(g, c->r.name, i == 1, &c->askers[i], &c->found[i]);
		if (want[i] && !c->waiting[i] && c->found[i].error)
			c->lookup_failed = true;
	}
	/* What is not known may take a while; IPv6 that is does not wait for IPv4. */
	if (c->waiting[1] && c->found[0].n)
		gate_timer_set(g, &c->next, RESOLUTION_DELAY_MS);
	else
		take_found(g, c);
}

static struct race *race_new(struct gate *g, const struct gateway_request *r)
{
	struct race *c = calloc(1, sizeof *c);

	if (!c || !gate_job_add(g, &c->job, r->id)) {
		free(c);
		return NULL;
	}
	c->job.end = race_end;
	c->r = *r;
	c->r.want_v6 = r->want_v6 && r->v6;
	c->next.ring = ring;
	return c;
}

void gate_connect(struct gate *g, const struct gateway_request *r)
{
	const struct addr loopback4 = addr_v4(127, 0, 0, 1), loopback6 = { { [15] = 1 } };
	struct gateway_answer denied = { .kind = GATEWAY_DENIED, .id = r->id };
	struct race *c;

	/* Before it is looked up: a question can say something, too. */
	if (r->to == GATEWAY_TO_NAME && !gate_may_connect(g, r, POLICY_TCP)) {
		gate_tell(g, &denied, -1);
		return;
	}
	c = race_new(g, r);
	if (!c) {
		gate_tell_failed(g, r->id, ENOBUFS);
		return;
	}
	if (r->to == GATEWAY_TO_NAME) {
		look_up(g, c);
	} else if (r->to == GATEWAY_TO_HOST) {
		candidate(g, c, &loopback4);
		candidate(g, c, &loopback6);
	} else {
		c->r.want_v4 = c->r.want_v6 = 1;
		candidate(g, c, &r->addr);
	}
	c->begun = !c->next.due;
	if (c->begun)
		go_on(g, c);
	else
		tell_racing(g, c);
}
