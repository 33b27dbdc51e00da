/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/survey.h"

#include "sup/loop.h"

int survey_init(struct survey *s, struct vsk_table *t, struct err *e)
{
	*s = (struct survey){ .table = t };
	TAILQ_INIT(&s->jobs);
	return sockdiag_init(&s->diag, e);
}

void survey_fini(struct survey *s)
{
	sockdiag_fini(&s->diag);
}

void survey_add(struct survey *s, struct survey_job *j)
{
	TAILQ_INSERT_TAIL(&s->jobs, j, link);
}

void survey_remove(struct survey *s, struct survey_job *j)
{
	bool running = j == TAILQ_FIRST(&s->jobs);

	TAILQ_REMOVE(&s->jobs, j, link);
	if (!running || s->phase == SURVEY_IDLE)
		return;
	/* A list that the kernel has begun has to be taken to its end. */
	s->phase = s->phase == SURVEY_TABLE ? SURVEY_IDLE : SURVEY_DRAIN;
}

bool survey_due(const struct survey *s)
{
	struct survey_job *j = TAILQ_FIRST(&s->jobs);

	return s->phase == SURVEY_DRAIN || (j && j->ready(j));
}

/* --- slices ---------------------------------------------------------------------- */

static void listed(void *ctx, const struct sockdiag_entry *e)
{
	struct survey *s = ctx;
	struct survey_job *j = TAILQ_FIRST(&s->jobs);
	struct vsk *v = vsk_find(s->table, e->cookie);

	s->part_begun = true;
	if (!v || v->surveyed == s->number)
		return;
	v->surveyed = s->number;
	j->row(j, v, e);
}

static void ignore(void *ctx, const struct sockdiag_entry *e)
{
	(void)ctx;
	(void)e;
}

/* What the kernel does not have (AF_UNIX may be a module) is left out. */
static bool ask(struct survey *s, enum sockdiag_kind kind)
{
	const struct vsk_table *t = s->table;
	size_t n = kind == SOCKDIAG_UNIX ? t->n_wires : t->n - t->n_wires - t->n_host;

	return n && sockdiag_begin(&s->diag, kind, !TAILQ_FIRST(&s->jobs)->brief) == 0;
}

/* Asks for the kernel's next list. */
static void begin(struct survey *s)
{
	if (s->phase == SURVEY_IDLE) {
		s->table->survey = ++s->number;
		s->whole[SOCKDIAG_TCP6] = s->whole[SOCKDIAG_UNIX] = false;
		s->parts[SOCKDIAG_TCP6] = s->parts[SOCKDIAG_UNIX] = 0;
		s->took = 0;
		s->phase = SURVEY_TCP;
		if (ask(s, SOCKDIAG_TCP6))
			return;
	}
	if (s->phase == SURVEY_TCP) {
		s->phase = SURVEY_UNIX;
		if (ask(s, SOCKDIAG_UNIX))
			return;
	}
	s->phase = SURVEY_TABLE;
	s->bucket = 0;
	s->n_buckets = s->table->n_buckets;
}

static void finish(struct survey *s)
{
	struct survey_job *j = TAILQ_FIRST(&s->jobs);

	TAILQ_REMOVE(&s->jobs, j, link);
	s->phase = SURVEY_IDLE;
	j->end(j);
}

/* Rows that the kernel did not list. A table that has grown meanwhile is begun anew: none is told twice. */
static void go_on_in_table(struct survey *s)
{
	struct survey_job *j = TAILQ_FIRST(&s->jobs);
	struct vsk *v, *next;
	unsigned n = 0;

	if (s->n_buckets != s->table->n_buckets) {
		s->n_buckets = s->table->n_buckets;
		s->bucket = 0;
	}
	/* Chains are short; empty ones cost little. */
	for (unsigned looked = 0; s->bucket < s->n_buckets && n < SURVEY_ROWS && looked < 4096; looked++) {
		for (v = LIST_FIRST(&s->table->buckets[s->bucket++]); v; v = next) {
			next = LIST_NEXT(v, by_cookie);
			if (v->surveyed == s->number)
				continue;
			v->surveyed = s->number;
			n++;
			j->row(j, v, NULL);
		}
	}
	if (s->bucket == s->n_buckets)
		finish(s);
}

static void take_part(struct survey *s, enum sockdiag_kind kind)
{
	int rc;

	s->part_begun = false;
	rc = sockdiag_step(&s->diag, listed, s);
	s->parts[kind] += s->part_begun;
	s->whole[kind] = rc == 0;
	if (rc <= 0)
		begin(s);
}

static void step(struct survey *s)
{
	switch (s->phase) {
	case SURVEY_DRAIN:
		if (sockdiag_step(&s->diag, ignore, NULL) <= 0)
			s->phase = SURVEY_IDLE;
		break;
	case SURVEY_IDLE:
		begin(s);
		break;
	case SURVEY_TCP:
		take_part(s, SOCKDIAG_TCP6);
		break;
	case SURVEY_UNIX:
		take_part(s, SOCKDIAG_UNIX);
		break;
	case SURVEY_TABLE:
		go_on_in_table(s);
		break;
	}
}

void survey_step(struct survey *s)
{
	int64_t start;

	if (!survey_due(s))
		return;
	start = loop_worked();
	step(s);
	s->took += loop_worked() - start;
}
