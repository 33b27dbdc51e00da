/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/summary.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/policy_explain.h"
#include "sup/audit.h"
#include "sup/domain.h"

static void entry_fini(struct summary_entry *e)
{
	free(e->attempt);
	free(e->file);
	free(e->advice);
	free(e->line);
	free(e->message);
}

static bool fill(struct summary_entry *e, const struct audit_record *r, const char *attempt,
		 const char *file)
{
	const char *message = policy_verdict_message(r->verdict);
	struct policy_advice advice = { 0 };

	*e = (struct summary_entry){ .count = 1 };
	policy_advise(r->verdict, r->attempt, &advice);
	(void)snprintf(e->call, sizeof e->call, "%s", r->call);
	e->attempt = strdup(attempt);
	e->file = strdup(file);
	e->advice = strdup(advice.text);
	e->line = *advice.line ? strdup(advice.line) : NULL;
	e->message = message ? strdup(message) : NULL;
	if (e->attempt && e->file && e->advice && (e->line || !*advice.line) && (e->message || !message))
		return true;
	entry_fini(e);
	return false;
}

void summary_add(struct summary *s, const struct audit_record *r)
{
	char attempt[EXPLAIN_TEXT_MAX], file[256];

	s->denied++;
	(void)log_quote(file, sizeof file, r->verdict->policy->file ?: "");
	(void)policy_attempt_text(r->attempt, attempt, sizeof attempt);
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->v[i].attempt, attempt) == 0 && strcmp(s->v[i].call, r->call) == 0 &&
		    strcmp(s->v[i].file, file) == 0) {
			s->v[i].count++;
			return;
		}
	if (s->n < SUMMARY_MAX && fill(&s->v[s->n], r, attempt, file))
		s->n++;
	else
		s->others++;
}

void summary_fini(struct summary *s)
{
	while (s->n)
		entry_fini(&s->v[--s->n]);
}

char *summary_json(const struct domain *d)
{
	const struct summary *s = &d->summary;
	json_t *list = json_array(), *o;
	char *text;

	if (!list || s->denied == 0) {
		json_decref(list);
		return NULL;
	}
	for (unsigned i = 0; i < s->n; i++) {
		const struct summary_entry *e = &s->v[i];

		o = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s*, s:s*}", "call", e->call, "attempt", e->attempt,
			      "count", (json_int_t)e->count, "policy", e->file, "advice", e->advice, "line",
			      e->line, "message", e->message);
		(void)json_array_append_new(list, o);
	}
	o = json_pack("{s:I, s:o, s:I}", "denied", (json_int_t)s->denied, "list", list, "others",
		      (json_int_t)s->others);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}
