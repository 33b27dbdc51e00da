/* SPDX-License-Identifier: Apache-2.0 */
/* Rows whose sockets are gone: nothing tells of a close, so the kernel is asked what is left. */
#include "sup/sup.h"
#include "sup/transport.h"

#define STATE_TIME_WAIT 6 /* include/net/tcp_states.h */

/* --- in slices ----------------------------------------------------------------- */

static bool always(struct survey_job *j)
{
	(void)j;
	return true;
}

/* A list that comes in parts may miss a socket, so a row goes when it was missed twice. */
static void look(struct survey_job *j, struct vsk *v, const struct sockdiag_entry *e)
{
	struct sup *s = (struct sup *)((char *)j - offsetof(struct sup, collector));
	if (e && e->state == STATE_TIME_WAIT)
		e = NULL; /* closed, and waiting for late packets that never come */
	if (e || (v->status == VSK_UNCONNECTED && !v->wire) ||
	    !s->survey.whole[v->wire ? SOCKDIAG_UNIX : SOCKDIAG_TCP6]) {
		v->missed = false;
		return;
	}
	if (!v->missed)
		v->missed = true;
	else if (transport_of(v)->is_gone(v))
		vsk_free(&s->table, v);
}

static void set_mark(struct vsk_table *t)
{
	t->collect_at = t->n * 2 > VSK_COLLECT_MIN ? t->n * 2 : VSK_COLLECT_MIN;
}

static void looked(struct survey_job *j)
{
	struct sup *s = (struct sup *)((char *)j - offsetof(struct sup, collector));

	if (--s->collections)
		survey_add(&s->survey, j);
	else
		set_mark(&s->table);
}

void sup_collect_slowly(struct sup *s)
{
	if (s->collections)
		return;
	s->collections = 2;
	s->collector = (struct survey_job){ .ready = always, .row = look, .end = looked };
	survey_add(&s->survey, &s->collector);
}

/* --- at once -------------------------------------------------------------------- */

static void collect_domain(struct sup *s, struct domain *d, const struct transport *t)
{
	struct vsk *v = LIST_FIRST(&d->rows), *next;

	for (; v; v = next) {
		bool gone = transport_of(v) == t && !v->seen && t->is_gone(v);

		next = LIST_NEXT(v, in_domain);
		v->seen = false;
		if (gone)
			vsk_free(&s->table, v);
	}
}

static void collect(struct sup *s, const struct transport *t)
{
	struct domain *d;

	if (t->look(s) == 0)
		LIST_FOREACH(d, &s->domains, link)
			collect_domain(s, d, t);
}

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
	set_mark(&s->table);
}
