/* SPDX-License-Identifier: Apache-2.0 */
/* Rows whose sockets are gone: nothing tells of a close, so the kernel is asked what is left. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define ROWS_PER_US 4 /* that are worth a microsecond of looking */

#define UNTOLD_SURVEYS 4 /* for so many an error that nobody has asked for keeps its row: the kernel knows another one */

/* On its way out the socket itself is nowhere until it enters limbo, so the kernel does not list it. */
static bool is_leaving(const struct vsk *v)
{
	return v->out && outgoing_asks(v->out);
}

static bool seems_gone(const struct vsk *v, const struct transport *t)
{
	return transport_of(v) == t && !v->seen && !is_leaving(v) && t->is_gone(v);
}

static void collect_domain(struct sup *s, struct domain *d, const struct transport *t)
{
	struct vsk *v = LIST_FIRST(&d->rows), *next;

	for (; v; v = next) {
		bool gone = seems_gone(v, t);

		next = LIST_NEXT(v, in_domain);
		v->seen = false;
		if (gone)
			vsk_free(&s->table, v);
	}
}

static bool has_gone(const struct sup *s, const struct transport *t)
{
	const struct domain *d;
	const struct vsk *v;

	LIST_FOREACH(d, &s->domains, link)
		LIST_FOREACH(v, &d->rows, in_domain)
			if (seems_gone(v, t))
				return true;
	return false;
}

/* One that was missed between two parts is any domain's, and whoever closes many at that moment wants it to be. */
static void collect(struct sup *s, const struct transport *t)
{
	struct domain *d;
	int rc = t->look(s, false);

	if (rc > 0 && has_gone(s, t))
		rc = t->look(s, true);
	if (rc >= 0)
		LIST_FOREACH(d, &s->domains, link)
			collect_domain(s, d, t);
}

/* Those of the host, which the kernel tells of in one list. */
static void collect_host(struct sup *s)
{
	if (s->table.n_host)
		collect(s, &transport_host);
}

/* --- in slices ----------------------------------------------------------------- */

static bool always(struct survey_job *j)
{
	(void)j;
	return true;
}

/*
 * A list that comes in parts may miss a socket, so a row goes when it was missed
 * twice. One missed in a list of a single part is gone, if it was in the
 * kernel's tables all the time.
 */
static void look(struct survey_job *j, struct vsk *v, const struct sockdiag_entry *e)
{
	struct sup *s = (struct sup *)((char *)j - offsetof(struct sup, collector));
	const struct survey *u = &s->survey;
	enum sockdiag_kind kind = v->wire ? SOCKDIAG_UNIX : SOCKDIAG_TCP6;

	if (e || v->host || (v->status == VSK_UNCONNECTED && !v->wire) || !u->whole[kind] || is_leaving(v) ||
	    (v->error > 0 && u->number - v->changed < UNTOLD_SURVEYS)) {
		v->missed = false;
		return;
	}
	if (!v->missed && (u->parts[kind] > 1 || v->status != VSK_CONNECTED || v->changed == u->number)) {
		v->missed = true;
		s->n_missed++;
	} else if (transport_of(v)->is_gone(v)) {
		vsk_free(&s->table, v);
	}
}

/*
 * The kernel goes through the sockets of the whole machine, and through what is
 * left of closed ones: with some ten thousand of those a look takes as long as
 * it takes to make a hundred connections. Then the next one waits for more rows.
 */
static void set_mark(struct vsk_table *t, int64_t took)
{
	size_t rows = took * ROWS_PER_US < VSK_COLLECT_MAX ? (size_t)took * ROWS_PER_US : VSK_COLLECT_MAX;

	if (rows < VSK_COLLECT_MIN)
		rows = VSK_COLLECT_MIN;
	t->collect_at = t->n * 2 > rows ? t->n * 2 : rows;
}

static void looked(struct survey_job *j)
{
	struct sup *s = (struct sup *)((char *)j - offsetof(struct sup, collector));

	s->collect_us += s->survey.took;
	if (--s->collections && s->n_missed) {
		s->n_missed = 0;
		survey_add(&s->survey, j);
		return;
	}
	s->collections = 0;
	collect_host(s);
	set_mark(&s->table, s->collect_us);
}

void sup_collect_slowly(struct sup *s)
{
	if (s->collections)
		return;
	s->collections = 2;
	s->n_missed = 0;
	s->collect_us = 0;
	s->collector = (struct survey_job){ .brief = true, .ready = always, .row = look, .end = looked };
	survey_add(&s->survey, &s->collector);
}

/* --- at once -------------------------------------------------------------------- */

void sup_collect(struct sup *s)
{
	const struct domain *d;
	bool wires = false, tcp = false;

	LIST_FOREACH(d, &s->domains, link) {
		wires = wires || transport_of_domain(d) == &transport_wire;
		tcp = tcp || transport_of_domain(d) == &transport_tcp;
	}
	if (tcp)
		collect(s, &transport_tcp);
	if (wires)
		collect(s, &transport_wire);
	collect_host(s);
	set_mark(&s->table, 0);
}

/* The rows of one domain, when they are few among many. */
static void collect_own(struct sup *s, struct domain *d)
{
	const struct transport *t = transport_of_domain(d);
	struct vsk *v = LIST_FIRST(&d->rows), *next;

	if (!t->is_there || d->n_rows > s->table.n / 4) {
		sup_collect(s);
		return;
	}
	for (; v; v = next) {
		next = LIST_NEXT(v, in_domain);
		if (!v->host && !is_leaving(v) && !t->is_there(s, v))
			vsk_free(&s->table, v);
	}
}

/* --- a domain at its limit --------------------------------------------------------- */

#define COSTLY_US 1000 /* a look that takes longer than that is not taken again at once */

static int64_t microseconds(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

size_t sup_count_sockets(void)
{
	static const char key[] = "sockets: used ";
	AUTO_FREE char *text = NULL;
	const char *at;

	/* "sockets: used N", of the reader's network namespace: F (net/socket.c) */
	if (fd_read_file(AT_FDCWD, "/proc/self/net/sockstat", 4096, &text, NULL, NULL) < 0 ||
	    !(at = strstr(text, key)))
		return 0;
	return strtoul(at + sizeof key - 1, NULL, 10);
}

/*
 * The kernel lists unconnected sockets nowhere, but it counts those of a
 * namespace. So many rows as there are sockets too few are of closed ones.
 * Which ones nobody knows, and with several domains in F not whose: the oldest
 * of this domain's go, so that all together have no more than there are.
 */
static void forget_closed(struct sup *s, struct domain *d)
{
	size_t live = sup_count_sockets(), known = s->table.n - s->table.n_host, dead, some;
	struct domain *o;
	struct vsk *v, *next;

	LIST_FOREACH(o, &s->domains, link)
		known += o->n_forgotten;
	if (live == 0)
		return;
	if (live < s->own_sockets)
		s->own_sockets = live;
	if (known <= live - s->own_sockets)
		return;
	dead = known - (live - s->own_sockets);
	some = dead < d->n_forgotten ? dead : d->n_forgotten;
	d->n_forgotten -= some;
	dead -= some;
	for (v = TAILQ_FIRST(&s->table.loose); v && dead; v = next) {
		next = TAILQ_NEXT(v, in_loose);
		if (v->domain != d)
			continue;
		vsk_free(&s->table, v);
		dead--;
	}
}

static void learn_own(struct sup *s)
{
	size_t n = sup_count_sockets();

	if (n && n < s->own_sockets)
		s->own_sockets = n;
}

/* Milliseconds, since the kernel goes through all of its tables: one domain must not have them all. */
void sup_collect_domain(struct sup *s, struct domain *d)
{
	int64_t now = microseconds(CLOCK_MONOTONIC), start = loop_worked(), took;

	/* Those of the host are no list of the kernel's. */
	if (now >= s->host_until) {
		collect_host(s);
		took = loop_worked() - start;
		if (took > COSTLY_US)
			s->host_until = now + 10 * took;
	}
	if (now < d->full_until)
		return;
	start = loop_worked();
	collect_own(s, d);
	took = loop_worked() - start;
	if (took > COSTLY_US)
		d->full_until = now + 10 * took;
}

bool sup_make_room(struct sup *s, struct domain *d, uint64_t most)
{

	if (s->table.n == 0) /* not before: what it took to set up the domain is closed by now */
		learn_own(s);
	if (d->n_rows + d->n_forgotten < most)
		return true;
	forget_closed(s, d);
	if (d->n_rows + d->n_forgotten >= most)
		sup_collect_domain(s, d);
	return d->n_rows + d->n_forgotten < most;
}
