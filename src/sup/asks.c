/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/asks.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/policy_explain.h"
#include "sup/sup.h"

struct ask_call {
	STAILQ_ENTRY(ask_call) link;
	struct call call;
};

struct asks *asks_new(void)
{
	struct asks *a = calloc(1, sizeof *a);

	if (a)
		STAILQ_INIT(&a->all);
	return a;
}

static void ask_free(struct ask *k)
{
	while (!STAILQ_EMPTY(&k->calls)) {
		struct ask_call *c = STAILQ_FIRST(&k->calls);

		STAILQ_REMOVE_HEAD(&k->calls, link);
		free(c);
	}
	free(k->line);
	free(k->text);
	free(k);
}

void asks_free(struct asks *a)
{
	while (a && !STAILQ_EMPTY(&a->all)) {
		struct ask *k = STAILQ_FIRST(&a->all);

		STAILQ_REMOVE_HEAD(&a->all, link);
		ask_free(k);
	}
	free(a);
}

static char *text_of(const struct ask *k, const struct call *c, const struct policy_attempt *at)
{
	char attempt[EXPLAIN_TEXT_MAX], path[48], quoted[96] = "";
	AUTO_FREE char *program = NULL;
	char *text, *out = NULL;
	json_t *o;

	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)c->tid);
	if (fd_read_file(-1, path, 64, &program, NULL, NULL) == 0) {
		program[strcspn(program, "\n")] = '\0';
		(void)log_quote(quoted, sizeof quoted, program);
	}
	o = json_pack("{s:I, s:s, s:s, s:s}", "number", (json_int_t)k->number, "program", quoted, "attempt",
		      policy_attempt_text(at, attempt, sizeof attempt), "line", k->line);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (text && asprintf(&out, "%s\n", text) < 0)
		out = NULL;
	free(text);
	return out;
}

static struct ask *ask_new(struct asks *a, const char *line, const struct call *c, const struct policy_attempt *at)
{
	struct ask *k = a->n < ASKS_MAX ? calloc(1, sizeof *k) : NULL;

	if (!k)
		return NULL;
	STAILQ_INIT(&k->calls);
	k->number = a->n + 1;
	k->line = strdup(line);
	k->text = k->line ? text_of(k, c, at) : NULL;
	if (!k->text) {
		ask_free(k);
		return NULL;
	}
	a->n++;
	STAILQ_INSERT_TAIL(&a->all, k, link);
	query_question(c->sup, c->domain, k);
	return k;
}

/* Threads that were interrupted meanwhile do not wait any more. */
static void drop_gone(struct asks *a, struct ask *k)
{
	struct ask_call *c = STAILQ_FIRST(&k->calls), *next;

	for (; c; c = next) {
		next = STAILQ_NEXT(c, link);
		if (call_valid(&c->call))
			continue;
		STAILQ_REMOVE(&k->calls, c, ask_call, link);
		free(c);
		a->n_calls--;
	}
}

bool asks_hold(const struct call *c, const struct policy_attempt *at, const struct policy_verdict *v)
{
	struct asks *a = c->domain->asks;
	struct policy_advice advice;
	struct ask_call *waiting;
	struct ask *k;

	if (!a || v->allow || v->policy != &c->domain->policy)
		return false;
	policy_advise(v, at, &advice);
	if (advice.remedy != REMEDY_ADD || !*advice.line)
		return false;
	STAILQ_FOREACH(k, &a->all, link)
		if (strcmp(k->line, advice.line) == 0)
			break;
	if (!k)
		k = ask_new(a, advice.line, c, at);
	if (!k || k->denied)
		return false;
	drop_gone(a, k);
	waiting = a->n_calls < ASKS_CALLS_MAX ? malloc(sizeof *waiting) : NULL;
	if (!waiting)
		return false;
	waiting->call = *c;
	STAILQ_INSERT_TAIL(&k->calls, waiting, link);
	a->n_calls++;
	return true;
}

void asks_forget(struct asks *a, const struct listener *l)
{
	struct ask_call *c, *next;
	struct ask *k;

	if (!a)
		return;
	STAILQ_FOREACH(k, &a->all, link)
		for (c = STAILQ_FIRST(&k->calls); c; c = next) {
			next = STAILQ_NEXT(c, link);
			if (c->call.listener != l)
				continue;
			STAILQ_REMOVE(&k->calls, c, ask_call, link);
			free(c);
			a->n_calls--;
		}
}

static void make_anew(struct ask_call *c)
{
	if (call_valid(&c->call))
		sup_call(&c->call);
	free(c);
}

int asks_answer(struct domain *d, uint32_t number, bool allow)
{
	struct asks *a = d->asks;
	STAILQ_HEAD(, ask_call) calls = STAILQ_HEAD_INITIALIZER(calls);
	struct ask *k = NULL;

	if (a)
		STAILQ_FOREACH(k, &a->all, link)
			if (k->number == number)
				break;
	if (!k || k->denied)
		return -ENOENT;
	while (!STAILQ_EMPTY(&k->calls)) {
		struct ask_call *c = STAILQ_FIRST(&k->calls);

		STAILQ_REMOVE_HEAD(&k->calls, link);
		STAILQ_INSERT_TAIL(&calls, c, link);
		a->n_calls--;
	}
	k->denied = !allow;
	if (allow) {
		STAILQ_REMOVE(&a->all, k, ask, link);
		ask_free(k);
	}
	while (!STAILQ_EMPTY(&calls)) {
		struct ask_call *c = STAILQ_FIRST(&calls);

		STAILQ_REMOVE_HEAD(&calls, link);
		make_anew(c);
	}
	return 0;
}
