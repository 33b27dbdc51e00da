/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/sup.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/handoff.h"
#include "sup/network.h"
#include "sup/outgoing.h"
#include "sup/transport.h"

/* The supervisor's own, a few for each domain, and those of the call in work; but no more than half. */
#define FILES_OWN ((size_t)PROCS_SLOTS + PROCS_INFOS + (size_t)2 * RELAY_PIPES + 128)
#define CPUS_MS 1000 /* an affinity may be changed while it runs */
#define LINGER_MS 3000 /* less than a launcher waits for its supervisor's end (run/supervisor.c) */
#define COSTLY_US 2000 /* of a call; who asks for less takes its turn with the others as ever */
#define OTHERS_SHARE 4 /* times what it took is the others' */

static int64_t (*const handlers[])(struct call *) = {
	[TRAP_SOCKET] = handle_socket,
	[TRAP_BIND] = handle_bind,
	[TRAP_LISTEN] = handle_listen,
	[TRAP_ACCEPT] = handle_accept,
	[TRAP_ACCEPT4] = handle_accept,
	[TRAP_CONNECT] = handle_connect,
	[TRAP_GETSOCKNAME] = handle_getsockname,
	[TRAP_GETPEERNAME] = handle_getpeername,
	[TRAP_GETSOCKOPT] = handle_getsockopt,
	[TRAP_SETSOCKOPT] = handle_setsockopt,
	[TRAP_SENDTO] = handle_sendto,
	[TRAP_SHUTDOWN] = handle_shutdown,
	[TRAP_SEND_MULTI] = handle_send_multi,
	[TRAP_EPOLL_CREATE] = handle_epoll_create,
	[TRAP_EPOLL_CREATE1] = handle_epoll_create,
	[TRAP_IOCTL] = handle_ioctl,
};
static_assert(sizeof handlers / sizeof *handlers == TRAP_COUNT, "every trap has a handler");

static bool has_one_cpu(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

bool sup_one_cpu(struct sup *s)
{
	int64_t now = loop_now();

	if (now >= s->cpus_until) {
		s->one_cpu = has_one_cpu();
		s->cpus_until = now + CPUS_MS;
	}
	return s->one_cpu;
}

int sup_init(struct sup *s, struct err *e)
{
	struct rlimit files = { .rlim_cur = 1024 };
	int rc;

	memset(s, 0, sizeof *s);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	s->files_max = files.rlim_cur;
	socket_init();
	LIST_INIT(&s->domains);
	LIST_INIT(&s->retired);
	TAILQ_INIT(&s->waits);
	for (unsigned i = 0; i < WAIT_BUCKETS; i++)
		TAILQ_INIT(&s->waits_for[i]);
	TAILQ_INIT(&s->unseen);
	s->unseen_until.ring = hunch_over;
	s->next_look = INT64_MAX;
	s->own_sockets = SIZE_MAX;
	factory_init(&s->factory);
	guard_init(&s->guard);
	flows_init(&s->flows);
	limbo_init(&s->limbo, &s->guard);
	s->late_tokens.ring = wait_tokens_lost;
	s->handed.ep = s->handed.info = s->spare.ep = s->spare.info = -1;
	procs_init(&s->procs);
	rc = fabric_init(&s->fabric, e);
	if (rc == 0)
		rc = sockdiag_init(&s->diag, e);
	if (rc < 0) {
		fabric_fini(&s->fabric);
		return rc;
	}
	query_init(&s->queries);
	rc = survey_init(&s->survey, &s->table, e);
	if (rc == 0 && vsk_table_init(&s->table) < 0)
		rc = err_num(e, ENOMEM, "socket table");
	if (rc == 0)
		rc = loop_init(&s->loop, e);
	if (rc == 0) {
		rc = resolver_init(s, e);
		if (rc < 0)
			loop_fini(&s->loop);
	}
	if (rc < 0) {
		vsk_table_fini(&s->table);
		survey_fini(&s->survey);
		sockdiag_fini(&s->diag);
		fabric_fini(&s->fabric);
	}
	return rc;
}

/* --- answers ------------------------------------------------------------------- */

static struct replay *replay_keep(const struct call *c, int64_t result, uint64_t cookie)
{
	struct replay *r = &c->sup->replays[(unsigned)c->tid % REPLAY_SLOTS];

	if (r->tid == 0)
		c->sup->n_replays++;
	r->tid = c->tid;
	r->serial = c->domain->serial;
	r->trap = c->trap;
	r->cookie = cookie;
	r->result = result;
	memcpy(r->args, c->args, sizeof r->args);
	return r;
}

/* A call that was interrupted after it had its effect gets the same result when it is repeated. */
static bool replay_give(struct call *c)
{
	struct replay *r = &c->sup->replays[(unsigned)c->tid % REPLAY_SLOTS];
	AUTO_TARGET struct target t = { .fd = -1 };
	bool same;

	if (r->tid != c->tid)
		return false;
	r->tid = 0; /* whatever the thread does now, that call is over */
	c->sup->n_replays--;
	if (r->serial != c->domain->serial || r->trap != c->trap || memcmp(r->args, c->args, sizeof r->args) != 0)
		return false;
	if (r->cookie == 0) {
		call_reply_data(c, r->result, r->at, r->data, r->len);
		return true;
	}
	same = call_target(c, &t) == 0 && t.cookie == r->cookie;
	if (same)
		call_reply(c, r->result, r->cookie);
	return same;
}

bool call_valid(const struct call *c)
{
	return notify_valid(&c->listener->notify, c->id);
}

void call_reply(struct call *c, int64_t result, uint64_t cookie)
{
	int rc = notify_reply(&c->listener->notify, c->id, result, result < 0 ? (int)-result : 0);

	if (rc == -ENOENT && cookie &&
	    (c->trap == TRAP_CONNECT || c->trap == TRAP_BIND || c->trap == TRAP_LISTEN ||
	     (c->trap == TRAP_SENDTO && result > 0)))
		replay_keep(c, result, cookie);
}

void call_reply_data(struct call *c, int64_t result, uint64_t at, const void *data, size_t len)
{
	struct replay *r;

	/* Or that memory may be another's. */
	if (call_valid(c) && guestmem_write(c->tid, at, data, len) < 0)
		result = -EFAULT;
	/* Kept also when the answer was taken: a signal that came just then makes the kernel forget it. */
	r = replay_keep(c, result, 0);
	r->at = at;
	r->len = len;
	if (len > r->room) {
		mem_free(&r->data);
		r->data = malloc(len);
		r->room = r->data ? len : 0;
	}
	if (len > r->room)
		r->len = 0; /* the result at least */
	else if (len)
		memmove(r->data, data, len);
	(void)notify_reply(&c->listener->notify, c->id, result, result < 0 ? (int)-result : 0);
}

/* --- domains ------------------------------------------------------------------- */

/* No process has its filter any more. */
static void remove_listener(struct sup *s, struct listener *l)
{
	struct wait *w = TAILQ_FIRST(&s->waits), *next;

	for (; w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->call.listener == l)
			wait_free(w);
	}
	asks_forget(l->domain->asks, l);
	loop_remove(&s->loop, l->notify.fd, &l->watch);
	listener_free(l);
}

static void given_up(struct loop_alarm *a)
{
	outgoing_abandon((struct domain *)((char *)a - offsetof(struct domain, give_up)));
}

static void bury(struct loop_alarm *a)
{
	struct domain *d = (struct domain *)((char *)a - offsetof(struct domain, give_up));

	loop_clear_alarm(a);
	LIST_REMOVE(d, link);
	domain_free(d);
}

/* Not at once: it may be something of the domain's, a tape, that tells, and has others to tell. */
void sup_bury(struct domain *d)
{
	d->give_up.ring = bury;
	loop_set_alarm(&d->sup->loop, &d->give_up, 0);
}

/* Names and addresses are free for others. What its app has sent goes on for a while. */
static void retire(struct sup *s, struct domain *d)
{
	if (LIST_EMPTY(&d->lingering)) {
		domain_free(d);
		return;
	}
	while (!LIST_EMPTY(&d->listeners))
		listener_free(LIST_FIRST(&d->listeners));
	fabric_forget(d);
	d->retired = true;
	d->give_up.ring = given_up;
	loop_set_alarm(&s->loop, &d->give_up, LINGER_MS);
	LIST_INSERT_HEAD(&s->retired, d, link);
}

void sup_remove(struct sup *s, struct domain *d)
{
	struct vsk *v;
	struct listener *l;
	struct faddr *place;
	struct wait *w = TAILQ_FIRST(&s->waits), *next;

	for (; w && d->n_waits; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->call.domain == d)
			wait_free(w);
	}
	transport_tcp_end_tokens(d, INT64_MAX);
	LIST_FOREACH(v, &d->rows, in_domain)
		outgoing_linger(v);
	while (!LIST_EMPTY(&d->rows))
		vsk_free(&s->table, LIST_FIRST(&d->rows));
	/* Others may still have arrivals and peers at addresses of this domain. */
	LIST_FOREACH(place, &d->addrs, in_domain)
		vsk_forget_place(place);
	query_forget(s, d);
	if (d->resume_at)
		s->n_held--;
	LIST_FOREACH(l, &d->listeners, link)
		loop_remove(&s->loop, l->notify.fd, &l->watch);
	network_end(s, d);
	publish_end(d);
	gateway_fini(&d->gateway);
	LIST_REMOVE(d, link);
	domain_unindex(d);
	if (d->ended)
		d->ended(d, d->ended_ctx);
	retire(s, d);
}

void sup_call(struct call *c)
{
	int64_t result;

	if (c->sup->n_replays && replay_give(c))
		return;
	result = handlers[c->trap](c);
	if (result == CALL_CONTINUE)
		(void)notify_continue(&c->listener->notify, c->id);
	else if (result != CALL_ANSWERED)
		call_reply(c, result, 0);
}

void sup_set_rate(struct domain *d)
{
	rate_init(&d->rate, domain_trap_rate(d), loop_now());
}

static void watch_listeners(struct domain *d, uint32_t events)
{
	struct listener *l;

	LIST_FOREACH(l, &d->listeners, link)
		loop_change(&d->sup->loop, l->notify.fd, events, &l->watch);
}

/* Its calls are left where they are: its listeners are not watched for a while. */
static void hold_until(struct domain *d, int64_t at)
{
	watch_listeners(d, 0);
	d->sup->n_held += d->resume_at == 0;
	if (at > d->resume_at)
		d->resume_at = at;
}

static bool is_beyond_rate(struct domain *d)
{
	int64_t now = loop_now();

	if (rate_take(&d->rate, now))
		return false;
	hold_until(d, now + rate_wait(&d->rate));
	return true;
}

void sup_charge(struct domain *d, int64_t microseconds)
{
	const struct domain *first = LIST_FIRST(&d->sup->domains);

	if (microseconds >= COSTLY_US && (first != d || LIST_NEXT(first, link)))
		hold_until(d, loop_now() + microseconds * OTHERS_SHARE / 1000);
}

/* As many as it leaves: one takes half of what there is at most, two a third each. */
bool sup_take_files(struct domain *d, size_t n)
{
	struct sup *s = d->sup;
	size_t own = s->files_max < 2 * FILES_OWN ? s->files_max / 2 : FILES_OWN, used = s->n_files + own;
	size_t left = s->files_max > used ? s->files_max - used : 0;

	if (d->n_files + n > left)
		return false;
	d->n_files += n;
	s->n_files += n;
	return true;
}

void sup_give_files(struct domain *d, size_t n)
{
	d->n_files -= n;
	d->sup->n_files -= n;
}

/* Watches again those whose time has come. Milliseconds until the next one's, -1: none is held. */
static int64_t release_held(struct sup *s)
{
	int64_t now = loop_now(), next = INT64_MAX;
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link) {
		if (d->resume_at && d->resume_at <= now) {
			watch_listeners(d, EPOLLIN);
			d->resume_at = 0;
			s->n_held--;
		}
		if (d->resume_at && d->resume_at < next)
			next = d->resume_at;
	}
	return next == INT64_MAX ? -1 : next > now ? next - now : 1;
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	struct listener *l = (struct listener *)((char *)watch - offsetof(struct listener, watch));
	struct domain *d = l->domain;
	struct seccomp_notif q;
	struct call c;
	int trap;

	if (!(events & EPOLLIN)) {
		if ((events & (EPOLLHUP | EPOLLERR)) && d->n_listeners == 1)
			sup_remove(d->sup, d);
		else if (events & (EPOLLHUP | EPOLLERR))
			remove_listener(d->sup, l);
		return;
	}
	if (d->rate.per_second && is_beyond_rate(d))
		return;
	if (notify_receive(&l->notify, &q) < 0)
		return;
	d->n_traps++;
	c = (struct call){ .sup = d->sup, .domain = d, .listener = l, .id = q.id, .tid = (pid_t)q.pid };
	trap = trap_find((uint32_t)q.data.nr);
	if (trap < 0 || c.tid == 0) { /* a filter of others; or out of our sight */
		call_reply(&c, trap < 0 ? -ENOSYS : -EPERM, 0);
		return;
	}
	c.trap = (enum trap)trap;
	for (unsigned i = 0; i < 6; i++)
		c.args[i] = q.data.args[i];
	sup_call(&c);
}

void sup_add(struct sup *s, struct domain *d)
{
	LIST_INSERT_HEAD(&s->domains, d, link);
	domain_index(d);
	s->served = true;
}

int sup_serve(struct sup *s, struct domain *d, struct err *e)
{
	struct listener *l;
	int rc = 0;

	sup_set_rate(d);
	d->is_served = true;
	LIST_FOREACH(l, &d->listeners, link)
		rc = rc < 0 ? rc : sup_serve_listener(s, l, e);
	return rc;
}

int sup_serve_listener(struct sup *s, struct listener *l, struct err *e)
{
	int rc;

	l->watch = (struct watch){ listener_ready };
	rc = loop_add_direct(&s->loop, l->notify.fd, &l->watch);
	if (rc < 0)
		return err_num(e, -rc, "container %s", l->domain->id);
	if (l->domain->resume_at) /* it is being held */
		loop_change(&s->loop, l->notify.fd, 0, &l->watch);
	return 0;
}

void sup_fini(struct sup *s)
{
	struct domain *d;

	while (!LIST_EMPTY(&s->domains))
		sup_remove(s, LIST_FIRST(&s->domains));
	while ((d = LIST_FIRST(&s->retired))) {
		outgoing_abandon(d);
		bury(&d->give_up);
	}
	query_fini(s);
	if (s->collections)
		survey_remove(&s->survey, &s->collector);
	survey_fini(&s->survey);
	resolver_fini(s);
	guard_fini(&s->guard);
	factory_fini(&s->factory);
	handoff_fini(s);
	relay_pipes_fini(&s->pipes);
	limbo_fini(&s->limbo);
	for (size_t i = 0; i < REPLAY_SLOTS; i++)
		mem_free(&s->replays[i].data);
	vsk_table_fini(&s->table);
	procs_fini(&s->procs);
	sockdiag_fini(&s->diag);
	fabric_fini(&s->fabric);
	loop_fini(&s->loop);
}

int sup_turn(struct sup *s, struct err *e)
{
	int64_t now, left = -1, held, query = query_timeout(s);
	int rc;

	if (s->next_look != INT64_MAX) {
		now = loop_now();
		if (now >= s->next_look)
			wait_look(s, now);
		wait_hand_over(s);
		if (s->next_look != INT64_MAX)
			left = s->next_look > now ? s->next_look - now : 0;
	}
	if (query >= 0 && (left < 0 || query < left))
		left = query;
	if (s->n_held) {
		held = release_held(s);
		if (held >= 0 && (left < 0 || held < left))
			left = held;
	}
	rc = loop_turn(&s->loop, (int)left);
	wait_hand_over(s);
	query_step(s);
	if (s->table.n > s->table.collect_at)
		sup_collect_slowly(s);
	return rc < 0 ? err_num(e, -rc, "epoll") : 0;
}
