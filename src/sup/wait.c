/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait: for an event of their socket, for another call, for a time (sup.h). */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define SWEEP_MS 500
#define LATE_MS 500 /* a kernel that is busy puts packets off */

static struct wait_queue *waits_for(struct sup *s, uint64_t cookie)
{
	return &s->waits_for[cookie % WAIT_BUCKETS];
}

void wait_free(struct wait *w)
{
	struct sup *s = w->call.sup;

	if (w->watched)
		loop_remove(&s->loop, w->fd, &w->watch);
	if (w->unseen)
		TAILQ_REMOVE(&s->unseen, w, in_unseen);
	TAILQ_REMOVE(&s->waits, w, link);
	TAILQ_REMOVE(waits_for(s, w->cookie), w, by_cookie);
	w->call.domain->n_waits--;
	if (w->fd >= 0)
		sup_give_files(w->call.domain, 1);
	fd_close(&w->fd);
	free(w);
}

/* Whether it waits on. */
static bool wait_do(struct wait *w)
{
	int64_t result = w->retry(w);

	if (result == -EAGAIN)
		return true;
	if (result != CALL_ANSWERED)
		call_reply(&w->call, result, w->cookie);
	wait_free(w);
	return false;
}

static bool wait_retry(struct wait *w)
{
	if (call_valid(&w->call))
		return wait_do(w);
	wait_free(w);
	return false;
}

void wait_look_at(struct wait *w)
{
	(void)wait_retry(w);
}

static void wait_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	(void)wait_retry((struct wait *)((char *)watch - offsetof(struct wait, watch)));
}

int call_wait(struct call *c, int *fd, uint64_t cookie, uint32_t events, int64_t timeout, int timeout_error,
	      int64_t (*retry)(struct wait *w))
{
	struct sup *s = c->sup;
	struct wait *w = c->domain->n_waits < domain_pending_max(c->domain) ? calloc(1, sizeof *w) : NULL;
	int64_t now = loop_now(), look = now + SWEEP_MS;

	if (!w || (*fd >= 0 && !sup_take_files(c->domain, 1))) {
		free(w);
		return -EAGAIN;
	}
	*w = (struct wait){ .call = *c,
			    .watch = { wait_ready },
			    .cookie = cookie,
			    .deadline = timeout < 0 ? INT64_MAX : now + timeout,
			    .retry = retry,
			    .timeout_error = timeout_error };
	w->fd = fd_take(fd);
	TAILQ_INSERT_TAIL(&s->waits, w, link);
	TAILQ_INSERT_TAIL(waits_for(s, cookie), w, by_cookie);
	c->domain->n_waits++;
	if (events && loop_add(&s->loop, w->fd, events, &w->watch) < 0) {
		wait_free(w);
		return -EAGAIN;
	}
	w->watched = events != 0;
	if (w->deadline < look)
		look = w->deadline;
	if (look < s->next_look)
		s->next_look = look;
	return 0;
}

static bool is_accept(const struct wait *w)
{
	return w->call.trap == TRAP_ACCEPT || w->call.trap == TRAP_ACCEPT4;
}

void sup_retry(struct sup *s, uint64_t cookie)
{
	struct wait *w = TAILQ_FIRST(waits_for(s, cookie)), *next;

	for (; w; w = next) {
		next = TAILQ_NEXT(w, by_cookie);
		if (w->cookie == cookie && !w->watched && !is_accept(w))
			(void)wait_retry(w);
	}
}

void sup_arrived(struct sup *s, uint64_t cookie)
{
	for (unsigned i = 0; i < s->n_arrived && i < ARRIVED_MAX; i++)
		if (s->arrived[i] == cookie)
			return;
	if (s->n_arrived < ARRIVED_MAX)
		s->arrived[s->n_arrived] = cookie;
	s->n_arrived++;
}

/* Those that waited longest first; 0: of any listener. */
static void hand_over(struct sup *s, uint64_t cookie)
{
	struct wait *w;

again:
	for (w = TAILQ_FIRST(cookie ? waits_for(s, cookie) : &s->waits); w;
	     w = cookie ? TAILQ_NEXT(w, by_cookie) : TAILQ_NEXT(w, link)) {
		const struct vsk *listener;

		if ((cookie && w->cookie != cookie) || w->watched || !is_accept(w))
			continue;
		/* It parks the connection when nobody waits any more, and asks before it writes. */
		if (!wait_do(w))
			goto again; /* others may have gone with it */
		/* The kernel may have put a packet off; then it makes the listener readable. */
		listener = vsk_find(&s->table, w->cookie);
		if (listener && (listener->n_arrivals || listener->n_parked))
			w->watched = loop_add(&s->loop, w->fd, EPOLLIN, &w->watch) == 0;
		if (cookie)
			return;
	}
}

void wait_hand_over(struct sup *s)
{
	while (s->n_arrived) {
		uint64_t cookies[ARRIVED_MAX];
		unsigned n = s->n_arrived;

		memcpy(cookies, s->arrived, sizeof cookies);
		s->n_arrived = 0;
		if (n > ARRIVED_MAX)
			hand_over(s, 0);
		for (unsigned i = 0; i < n && i < ARRIVED_MAX; i++) {
			struct vsk *listener;

			if (n <= ARRIVED_MAX)
				hand_over(s, cookies[i]);
			listener = vsk_find(&s->table, cookies[i]);
			if (listener && listener->status == VSK_LISTENING)
				accept_show(s, listener, false);
		}
	}
}

/* --- tokens ----------------------------------------------------------------------------- */

/* Those that are not under way are sent again: a poller would never hear of what is parked. */
void wait_tokens_lost(struct loop_alarm *a)
{
	struct sup *s = (struct sup *)((char *)a - offsetof(struct sup, late_tokens));

	for (unsigned i = 0; i < s->n_late; i++) {
		struct vsk *v = vsk_find(&s->table, s->late[i]);

		if (!v || v->status != VSK_LISTENING || v->n_parked == 0)
			continue;
		transport_tcp_end_tokens(v->domain, loop_now() - TOKEN_MS);
		v->n_tokens = v->n_coming;
		v->unsure = true; /* they may come after all */
		sup_arrived(s, v->cookie);
	}
	s->n_late = 0;
}

void sup_tokens_late(struct sup *s, uint64_t cookie)
{
	for (unsigned i = 0; i < s->n_late; i++)
		if (s->late[i] == cookie)
			return;
	if (s->n_late == ARRIVED_MAX)
		return; /* one of the others' accepts asks again */
	s->late[s->n_late++] = cookie;
	if (!s->late_tokens.due)
		loop_set_alarm(&s->loop, &s->late_tokens, LATE_MS);
}

void sup_sweep(struct sup *s)
{
	struct wait *w = TAILQ_FIRST(&s->waits), *next;

	for (; w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (!call_valid(&w->call))
			wait_free(w);
	}
}

void sup_sweep_listener(struct sup *s, uint64_t cookie)
{
	struct wait *w = TAILQ_FIRST(waits_for(s, cookie)), *next;

	for (; w; w = next) {
		next = TAILQ_NEXT(w, by_cookie);
		if (w->cookie != cookie || !is_accept(w) || w->unseen) /* holds no duplicate */
			continue;
		if (call_valid(&w->call))
			return; /* its thread's process has the listener */
		wait_free(w);
	}
}

void wait_look(struct sup *s, int64_t now)
{
	struct wait *w = TAILQ_FIRST(&s->waits), *next;
	int64_t first = now + SWEEP_MS;

	for (; w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->deadline <= now) {
			call_reply(&w->call, -w->timeout_error, 0);
			wait_free(w);
			continue;
		}
		if (!w->watched && !is_accept(w)) /* for a queue that the kernel may have shortened by itself */
			(void)wait_retry(w);
		else if (!call_valid(&w->call))
			wait_free(w);
		else if (!w->watched)
			sup_arrived(s, w->cookie);
	}
	TAILQ_FOREACH(w, &s->waits, link)
		if (w->deadline < first)
			first = w->deadline;
	s->next_look = TAILQ_EMPTY(&s->waits) ? INT64_MAX : first;
}
