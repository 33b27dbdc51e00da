/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/relay.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "sup/tls.h"

#define PIECE 16384           /* under a rate no less than that is moved at once, as far as the burst allows */
#define TURN_BYTES (1 << 20)  /* of one direction; the loop has others to serve */
#define LOOK_BYTES 4096       /* read at once of what is looked at */
#define RECORD_BYTES 16384    /* ... of what is recorded */

/* What came from a side and is in memory, for somebody has to look at it. */
struct kept {
	uint8_t *v; /* owned; NULL: nothing */
	size_t n, room;
	size_t may;  /* bytes from its beginning that may pass */
	size_t gone; /* that have */
	size_t coming; /* behind those that may: they are being recorded */
};

struct relay_side {
	struct watch watch;
	struct relay *relay;
	int fd;            /* owned */
	uint32_t interest; /* that the loop has */
	bool watched;
	bool ended;        /* it sends no more */
	bool shut;         /* it was told that nothing more comes */
	uint64_t tokens;   /* bytes that may come from it now, under a rate */
	int pipe[2];       /* owned; what came from it and the other could not take yet; -1: nothing */
	size_t held;
	struct tape_wait wait; /* for kept.coming */
	struct kept kept;  /* the same, and what is held back; it comes before what the pipe has */
};

struct relay {
	struct sup *sup;
	void (*ended)(void *ctx);
	void *ctx;
	struct relay_terms terms;
	struct tls_gate tls;
	TAILQ_ENTRY(relay) waits;  /* in the supervisor's relay_waits */
	int64_t give_up_at;        /* loop_now(); 0: it does not wait for a ClientHello */
	uint64_t left;             /* of max_bytes */
	bool used_up;
	bool app_gone;             /* what it sent goes on, nothing else */
	int64_t at;                /* loop_now() when tokens were counted */
	struct loop_alarm refill;  /* set while a side has none */
	struct relay_side side[2]; /* near, far */
};

/* --- limits ----------------------------------------------------------------------------- */

static void count_tokens(struct relay *r)
{
	int64_t now = loop_now();
	uint64_t more = (uint64_t)(now - r->at) * r->terms.rate / 1000;

	if (r->terms.rate == 0 || more == 0)
		return;
	r->at = now;
	for (unsigned i = 0; i < 2; i++) {
		struct relay_side *s = &r->side[i];

		s->tokens = r->terms.burst - s->tokens < more ? r->terms.burst : s->tokens + more;
	}
}

/* How much of `most` may come from a side now. */
static size_t allowed(const struct relay_side *s, size_t most)
{
	const struct relay *r = s->relay;

	if (r->terms.rate && s->tokens < most)
		most = (size_t)s->tokens;
	/* One byte more than the limit is taken, to see that there is one. */
	if (r->terms.max_bytes && r->left + 1 < most)
		most = (size_t)r->left + 1;
	return most;
}

/* False: that was one too many. */
static bool take(struct relay_side *s, size_t n)
{
	struct relay *r = s->relay;

	if (r->terms.rate)
		s->tokens -= n;
	if (!r->terms.max_bytes)
		return true;
	if (n > r->left) {
		r->used_up = true;
		return false;
	}
	r->left -= n;
	return true;
}

/* --- one direction ------------------------------------------------------------------------ */

/* Bytes, 0 at the end, -errno. */
static ssize_t move(int from, int to, size_t most)
{
	ssize_t n = splice(from, NULL, to, NULL, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

	return n < 0 ? -errno : n;
}

static bool is_wait(ssize_t rc)
{
	return rc == -EAGAIN || rc == -EINTR;
}

static bool is_app(const struct relay_side *s)
{
	return s == &s->relay->side[0];
}

static struct relay_side *other_side(struct relay_side *s)
{
	return &s->relay->side[is_app(s) ? 1 : 0];
}

/* Something is there that the other side has yet to take. */
static bool has_more(const struct relay_side *s)
{
	return s->held || s->kept.gone < s->kept.may;
}

static bool is_done(const struct relay_side *s)
{
	return s->ended && s->held == 0 && s->kept.n == 0;
}

static int drain_kept(struct relay_side *from, const struct relay_side *to)
{
	struct kept *k = &from->kept;

	while (k->gone < k->may) {
		ssize_t n = send(to->fd, k->v + k->gone, k->may - k->gone, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return is_wait(-errno) ? 0 : -errno;
		k->gone += (size_t)n;
	}
	if (k->gone == k->n) {
		free(k->v);
		*k = (struct kept){ .v = NULL };
	}
	return 0;
}

/* What is there goes on. -errno: the other side takes nothing any more. */
static int drain(struct relay_side *from, const struct relay_side *to)
{
	int rc = from->kept.n ? drain_kept(from, to) : 0;

	if (rc < 0 || from->kept.gone < from->kept.may)
		return rc;
	while (from->held) {
		ssize_t n = move(from->pipe[0], to->fd, from->held);

		if (n < 0)
			return is_wait(n) ? 0 : (int)n;
		from->held -= (size_t)n;
	}
	relay_pipe_give(&from->relay->sup->pipes, from->relay->terms.payer, from->pipe);
	return 0;
}

/* Bytes, 0 at the end, -errno. */
static ssize_t read_unseen(struct relay_side *from, size_t most)
{
	ssize_t n;

	if (from->pipe[0] < 0 && !relay_pipe_take(&from->relay->sup->pipes, from->relay->terms.payer, from->pipe))
		return -ENFILE;
	n = move(from->fd, from->pipe[1], most);
	if (n <= 0)
		relay_pipe_give(&from->relay->sup->pipes, from->relay->terms.payer, from->pipe);
	else
		from->held = (size_t)n;
	return n;
}

/* The same into memory. */
static ssize_t read_seen(struct relay_side *from, size_t most)
{
	size_t more = from->relay->tls.phase == TLS_OPEN ? RECORD_BYTES : LOOK_BYTES;
	struct kept *k = &from->kept;
	ssize_t n;

	if (k->room - k->n < more) {
		uint8_t *v = realloc(k->v, k->n + more);

		if (!v)
			return -ENOMEM;
		k->v = v;
		k->room = k->n + more;
	}
	n = recv(from->fd, k->v + k->n, most < k->room - k->n ? most : k->room - k->n, MSG_DONTWAIT);
	if (n > 0)
		k->n += (size_t)n;
	return n < 0 ? -errno : n;
}

/* splice(2) ends before urgent data, for ever, and calls it the end of all when that has come; recv(2) leaves it out. */
static bool is_at_mark(const struct relay_side *from)
{
	int at = 0;

	return ioctl(from->fd, SIOCATMARK, &at) == 0 && at;
}

/* To the other side as what it is; where that has no room just now it is lost, as what comes after more of it is. */
static int pass_urgent(struct relay_side *from, const struct relay_side *to)
{
	uint8_t byte;

	if (recv(from->fd, &byte, sizeof byte, MSG_OOB | MSG_DONTWAIT) != sizeof byte)
		return 0; /* it went already */
	if (!take(from, sizeof byte))
		return -EDQUOT;
	(void)send(to->fd, &byte, sizeof byte, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

static void written(struct tape_wait *w, int rc);

/* What was seen of a side may pass, or not yet. -errno: it may not. */
static int release(struct relay_side *s)
{
	struct recording *rec = &s->relay->terms.recording;
	struct kept *k = &s->kept;
	int64_t n = k->may < k->n && k->coming == 0 ?
			    tls_look(&s->relay->tls, is_app(s), k->v + k->may, k->n - k->may) :
			    0;
	int rc;

	if (n <= 0)
		return (int)n;
	if (!rec->tape) {
		k->may += (size_t)n;
		return 0;
	}
	rc = recording_bytes(rec, is_app(s), k->v + k->may, (size_t)n);
	if (rc < 0)
		return rc;
	k->coming = (size_t)n;
	s->wait.written = written;
	tape_await(rec->tape, &s->wait);
	return 0;
}

static void impatient(struct loop_alarm *a);

static void stop_waiting(struct relay *r)
{
	if (r->give_up_at)
		TAILQ_REMOVE(&r->sup->relay_waits.list, r, waits);
	r->give_up_at = 0;
}

/* Whoever waits for a ClientHello does not wait for ever. All wait for as long, so one alarm does. */
static void be_patient(struct relay *r)
{
	struct relay_waits *w = &r->sup->relay_waits;

	if (!tls_waits(&r->tls)) {
		stop_waiting(r);
		return;
	}
	if (r->give_up_at)
		return;
	if (!w->alarm.ring) {
		TAILQ_INIT(&w->list);
		w->alarm.ring = impatient;
	}
	r->give_up_at = loop_now() + r->terms.patience;
	TAILQ_INSERT_TAIL(&w->list, r, waits);
	if (TAILQ_FIRST(&w->list) == r)
		loop_set_alarm(&r->sup->loop, &w->alarm, r->terms.patience);
}

static int look(struct relay_side *from, struct relay_side *to)
{
	struct relay *r = from->relay;
	enum tls_phase before = r->tls.phase;
	int rc;

	if (from->ended && !is_app(from))
		r->tls.phase = TLS_OPEN; /* a server that ends has nothing to ask for */
	rc = from->ended && is_app(from) && tls_waits(&r->tls) ?
		     tls_give_up(&r->tls, from->kept.n - from->kept.may, false) :
		     0;
	if (rc == 0)
		rc = release(from);
	if (rc == 0 && r->tls.phase != before) {
		be_patient(r);
		rc = release(to); /* what was held back for this */
		if (rc == 0)
			be_patient(r);
	}
	return rc;
}

/* 0 or -errno: the connection is broken on one side. */
static int pump(struct relay_side *from, struct relay_side *to)
{
	struct relay *r = from->relay;
	size_t moved = 0;
	int rc = drain(from, to);

	while (rc == 0 && !has_more(from) && !from->kept.coming && !from->ended && moved < TURN_BYTES &&
	       tls_reads(&r->tls, is_app(from))) {
		size_t most = allowed(from, RELAY_PIPE_SIZE);
		bool seen = r->tls.phase != TLS_OPEN || r->terms.recording.tape;
		ssize_t n;

		if (most == 0)
			break;
		n = seen ? read_seen(from, most) : read_unseen(from, most);
		if (!seen && (n == 0 || (n == -EAGAIN && moved == 0)) && is_at_mark(from)) {
			rc = pass_urgent(from, to);
			most = allowed(from, most);
			if (rc < 0 || most == 0)
				break;
			seen = true;
			n = read_seen(from, most);
		}
		if (n < 0)
			return is_wait(n) ? 0 : (int)n;
		from->ended = n == 0;
		moved += (size_t)n;
		if (!take(from, (size_t)n))
			return -EDQUOT;
		if (seen)
			rc = look(from, to);
		if (rc == 0)
			rc = drain(from, to);
		if (rc == 0 && seen)
			rc = drain(to, from);
	}
	if (rc == 0 && is_done(from) && !to->shut) {
		(void)recording_end(&r->terms.recording, is_app(from));
		(void)shutdown(to->fd, SHUT_WR);
		to->shut = true;
	}
	return rc;
}

/* --- both ----------------------------------------------------------------------------------- */

/* Enough for a piece worth the trouble, or for the burst. */
static int64_t refill_after(const struct relay *r)
{
	uint64_t piece = r->terms.burst < PIECE ? r->terms.burst : PIECE;
	uint64_t after = piece * 1000 / r->terms.rate;

	return after < 1 ? 1 : after > 1000 ? 1000 : (int64_t)after;
}

/* A side of which nothing is wanted is not watched: it may have hung up, which the loop would tell for ever. */
static void want(struct relay_side *s, const struct relay_side *other)
{
	bool reads = !s->ended && !has_more(s) && !s->kept.coming && tls_reads(&s->relay->tls, is_app(s)), may = allowed(s, 1) > 0;
	bool gone = s->relay->app_gone;
	uint32_t events = (reads && may && (!gone || is_app(s)) ? EPOLLIN | EPOLLPRI : 0) |
			  (has_more(other) && (!gone || !is_app(s)) ? EPOLLOUT : 0);
	struct loop *l = &s->relay->sup->loop;

	if (reads && !may && s->relay->refill.due == 0)
		loop_set_alarm(l, &s->relay->refill, refill_after(s->relay));
	if (events == 0) {
		if (s->watched)
			loop_remove(l, s->fd, &s->watch);
		s->watched = false;
	} else if (!s->watched) {
		s->watched = loop_add(l, s->fd, events, &s->watch) == 0;
	} else if (events != s->interest) {
		loop_change(l, s->fd, events, &s->watch);
	}
	s->interest = events;
}

/* Closing them will be a reset. */
static void break_both(struct relay *r)
{
	const struct linger now = { .l_onoff = 1 };

	(void)recording_reset(&r->terms.recording);
	for (unsigned i = 0; i < 2; i++)
		(void)setsockopt(r->side[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void reset(struct relay *r)
{
	break_both(r);
	r->ended(r->ctx);
}

/* After something was done: it ends, or this is what is waited for. */
static void go_on(struct relay_side *s, int rc)
{
	struct relay_side *other = other_side(s);
	struct relay *r = s->relay;

	if (rc < 0 && rc != -ECANCELED) {
		reset(r);
		return;
	}
	if (rc < 0 || (is_done(s) && is_done(other)) || (r->app_gone && r->side[1].shut)) {
		r->ended(r->ctx);
		return;
	}
	want(s, other);
	want(other, s);
}

static void side_ready(struct watch *w, uint32_t events)
{
	struct relay_side *s = (struct relay_side *)((char *)w - offsetof(struct relay_side, watch));
	struct relay *r = s->relay;
	struct relay_side *other = other_side(s);
	int rc = 0;

	count_tokens(r);
	if (events & EPOLLERR) { /* reset, or timed out */
		if (!s->ended)
			(void)pump(s, other);
		reset(r);
		return;
	}
	if (events & (EPOLLIN | EPOLLPRI | EPOLLHUP))
		rc = pump(s, other);
	if (rc == 0 && events & EPOLLOUT)
		rc = pump(other, s);
	go_on(s, rc);
}

/* They are in the record, and pass. */
static void written(struct tape_wait *w, int rc)
{
	struct relay_side *s = (struct relay_side *)((char *)w - offsetof(struct relay_side, wait));

	s->kept.may += rc == 0 ? s->kept.coming : 0;
	s->kept.coming = 0;
	count_tokens(s->relay);
	if (rc == 0)
		rc = release(s); /* what may pass by now, besides */
	if (rc == 0)
		rc = pump(s, other_side(s));
	go_on(s, rc);
}

static void refilled(struct loop_alarm *a)
{
	struct relay *r = (struct relay *)((char *)a - offsetof(struct relay, refill));

	count_tokens(r);
	want(&r->side[0], &r->side[1]);
	want(&r->side[1], &r->side[0]);
}

static void impatient(struct loop_alarm *a)
{
	struct relay_waits *w = (struct relay_waits *)((char *)a - offsetof(struct relay_waits, alarm));
	struct relay *r;

	while ((r = TAILQ_FIRST(&w->list)) && r->give_up_at <= loop_now()) {
		int rc = tls_give_up(&r->tls, r->side[0].kept.n, true);

		stop_waiting(r);
		if (rc == 0)
			rc = release(&r->side[0]);
		if (rc == 0)
			rc = drain(&r->side[0], &r->side[1]);
		if (rc < 0) {
			reset(r);
			continue;
		}
		want(&r->side[0], &r->side[1]);
		want(&r->side[1], &r->side[0]);
	}
	if (r)
		loop_set_alarm(&r->sup->loop, a, r->give_up_at - loop_now());
}

bool relay_linger(struct relay *r)
{
	struct relay_side *app = &r->side[0], *out = &r->side[1];
	int rc;

	if (tls_waits(&r->tls))
		return false;
	r->app_gone = true;
	count_tokens(r);
	rc = pump(app, out);
	if (rc < 0)
		break_both(r);
	if (rc < 0 || out->shut)
		return false;
	want(app, out);
	want(out, app);
	return true;
}

void relay_abandon(struct relay *r)
{
	reset(r);
}

bool relay_is_used_up(const struct relay *r)
{
	return r->used_up;
}

/*
 * What the app has sent waits in its own queue rather than in ours, which would grow to megabytes: what has left the
 * processor's cache by the time that it is read is copied at half the speed. Of the way outside the kernel knows
 * better.
 */
static void bound_queue(int near)
{
	const int size = RELAY_PIPE_SIZE / 2; /* the kernel doubles it */

	(void)setsockopt(near, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

struct relay *relay_new(struct sup *s, int *near, int *far, const struct relay_terms *terms, void (*ended)(void *ctx), void *ctx)
{
	struct relay *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	*r = (struct relay){ .sup = s,
			     .ended = ended,
			     .ctx = ctx,
			     .terms = *terms,
			     .tls = { terms->tls ? TLS_FIRST : TLS_OPEN, terms->tls, ctx },
			     .left = terms->max_bytes,
			     .at = loop_now(),
			     .refill = { .ring = refilled } };
	if (r->terms.rate && r->terms.burst == 0)
		r->terms.burst = r->terms.rate / 10 + 1;
	if (r->terms.patience == 0)
		r->terms.patience = TLS_PATIENCE_MS;
	be_patient(r);
	for (unsigned i = 0; i < 2; i++)
		r->side[i] = (struct relay_side){ .watch = { side_ready },
						  .relay = r,
						  .tokens = r->terms.burst,
						  .pipe = { -1, -1 } };
	bound_queue(*near);
	r->side[0].fd = fd_take(near);
	r->side[1].fd = fd_take(far);
	for (unsigned i = 0; i < 2; i++) /* splice(2) asks the socket, whatever its flags say */
		(void)fcntl(r->side[i].fd, F_SETFL, O_NONBLOCK);
	want(&r->side[0], &r->side[1]);
	want(&r->side[1], &r->side[0]);
	return r;
}

/* Whoever resets a connection and ends may be gone before the loop has come to it: the record says it all the same. */
static void look_for_reset(struct relay *r)
{
	struct pollfd p[] = { { .fd = r->side[0].fd }, { .fd = r->side[1].fd } };

	if (r->terms.recording.tape && poll(p, 2, 0) > 0 && ((p[0].revents | p[1].revents) & POLLERR))
		(void)recording_reset(&r->terms.recording);
}

void relay_free(struct relay *r)
{
	look_for_reset(r);
	loop_clear_alarm(&r->refill);
	stop_waiting(r);
	for (unsigned i = 0; i < 2; i++) {
		struct relay_side *s = &r->side[i];

		tape_forget(&s->wait);
		if (s->watched)
			loop_remove(&r->sup->loop, s->fd, &s->watch);
		fd_close(&s->fd);
		relay_pipe_drop(r->terms.payer, s->pipe);
		free(s->kept.v);
	}
	free(r);
}
