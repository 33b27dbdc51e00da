/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/survey.h"

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

/* Asks for the kernel's next list; what it does not have (AF_UNIX may be a module) is left out. */
static void begin(struct survey *s)
{
	if (s->phase == SURVEY_IDLE) {
		s->number++;
		s->whole[SOCKDIAG_TCP6] = s->whole[SOCKDIAG_UNIX] = false;
		s->phase = SURVEY_TCP;
		if (sockdiag_begin(&s->diag, SOCKDIAG_TCP6, true) == 0)
			return;
	}
	if (s->phase == SURVEY_TCP) {
		s->phase = SURVEY_UNIX;
		if (sockdiag_begin(&s->diag, SOCKDIAG_UNIX, true) == 0)
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

void survey_step(struct survey *s)
{
	int rc;

	if (!survey_due(s))
		return;
	switch (s->phase) {
	case SURVEY_DRAIN:
		if (sockdiag_step(&s->diag, ignore, NULL) <= 0)
			s->phase = SURVEY_IDLE;
		break;
	case SURVEY_IDLE:
		begin(s);
		break;
	case SURVEY_TCP:
	case SURVEY_UNIX:
		rc = sockdiag_step(&s->diag, listed, s);
		s->whole[s->phase == SURVEY_UNIX ? SOCKDIAG_UNIX : SOCKDIAG_TCP6] = rc == 0;
		if (rc <= 0)
			begin(s);
		break;
	case SURVEY_TABLE:
		go_on_in_table(s);
		break;
	}
}
