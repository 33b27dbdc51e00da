/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/telling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sup/sup.h"

#define PIECE 8192 /* bytes of a text; JSON has up to six for each */
#define IDS 200    /* with their counts; an id has up to 64 bytes */

static const char *const members[] = { "policy", "ceiling" };

/* By the rules' ids. Rules with the same id mean the same. */
static json_t *hits_of(const struct domain *d)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < d->policy.n_rules; i++)
		(void)json_object_set_new(o, d->policy.rules[i].id, json_integer((json_int_t)d->hits[i]));
	return o;
}

int telling_begin(struct telling *t, const struct domain *d, json_t *line)
{
	const struct policy *p[] = { &d->policy, domain_ceiling(d) };
	bool ok = true;

	telling_end(t);
	for (size_t i = 0; i < 2; i++) {
		if (!p[i])
			continue;
		t->text[i] = strdup(p[i]->text ?: "");
		ok = ok && t->text[i] &&
		     json_object_set_new(line, members[i], json_pack("{s:s, s:s}", "name", p[i]->file, "text", "")) == 0;
	}
	t->hits = hits_of(d);
	t->next = json_object_iter(t->hits);
	t->on = ok && t->hits && json_object_set_new(line, "hits", json_object()) == 0 &&
		json_object_set_new(line, "partial", json_true()) == 0;
	if (t->on)
		return 0;
	telling_end(t);
	return -ENOMEM;
}

/* Whole characters. */
static json_t *next_piece(struct telling *t, size_t i)
{
	const char *from = t->text[i] + t->at[i];
	size_t n = strnlen(from, PIECE);

	/* Where it ends by itself, from[n] is the terminator. */
	while (n && ((unsigned char)from[n] & 0xc0) == 0x80)
		n--;
	t->at[i] += n;
	return json_pack("{s:s, s:s%}", "of", members[i], "piece", from, n);
}

static json_t *next_hits(struct telling *t)
{
	json_t *some = json_object();

	for (int n = 0; t->next && n < IDS; n++) {
		(void)json_object_set(some, json_object_iter_key(t->next), json_object_iter_value(t->next));
		t->next = json_object_iter_next(t->hits, t->next);
	}
	return json_pack("{s:o}", "hits", some);
}

json_t *telling_next(struct telling *t)
{
	for (size_t i = 0; i < 2; i++)
		if (t->text[i] && t->text[i][t->at[i]])
			return next_piece(t, i);
	if (t->next)
		return next_hits(t);
	telling_end(t);
	return json_pack("{s:b}", "whole", 1);
}

void telling_end(struct telling *t)
{
	free(t->text[0]);
	free(t->text[1]);
	json_decref(t->hits);
	*t = (struct telling){ .on = false };
}
