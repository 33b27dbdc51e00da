/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/hunch.h"

#include <stddef.h>

#include "sup/sup.h"

#define SHORT_MS 1  /* what a thread that is busy waits for a connection */
#define UNSEEN_MS 2 /* that an accept is believed */

static struct hunch *slot(const struct call *c)
{
	return &c->sup->hunches[(unsigned)c->tid % HUNCH_SLOTS];
}

static bool is_same(const struct hunch *h, const struct call *c)
{
	return h->tid == c->tid && h->serial == c->domain->serial && h->fd == (int)c->args[0];
}

void hunch_waits(const struct call *c, uint64_t cookie)
{
	*slot(c) = (struct hunch){ .tid = c->tid,
				   .serial = c->domain->serial,
				   .fd = (int)c->args[0],
				   .cookie = cookie,
				   .since = loop_now() };
}

void hunch_served(const struct call *c, uint64_t cookie)
{
	struct hunch *h = slot(c);

	if (!h->quick && is_same(h, c) && h->cookie == cookie)
		h->quick = loop_now() - h->since <= SHORT_MS;
}

/* Whatever makes a listener more than a queue that is empty is looked at. */
static bool is_plain(const struct vsk *v, const struct domain *d)
{
	return v && v->domain == d && v->status == VSK_LISTENING && v->n_arrivals == 0 && v->n_parked == 0 &&
	       v->n_tokens == 0 && !v->unsure && !v->reuse_port;
}

bool hunch_follow(struct call *c, int64_t (*look)(struct wait *w))
{
	const struct hunch *h = slot(c);
	struct sup *s = c->sup;
	struct wait *w;
	int none = -1;

	if (!h->quick || !is_same(h, c) || !is_plain(vsk_find(&s->table, h->cookie), c->domain) ||
	    call_wait(c, &none, h->cookie, 0, -1, EAGAIN, look) < 0)
		return false;
	w = TAILQ_LAST(&s->waits, wait_queue);
	w->unseen = true;
	TAILQ_INSERT_TAIL(&s->unseen, w, in_unseen);
	if (!s->unseen_until.due)
		loop_set_alarm(&s->loop, &s->unseen_until, UNSEEN_MS);
	return true;
}

void hunch_over(struct loop_alarm *a)
{
	struct sup *s = (struct sup *)((char *)a - offsetof(struct sup, unseen_until));
	struct wait *w;

	while ((w = TAILQ_FIRST(&s->unseen))) {
		slot(&w->call)->quick = false;
		wait_look_at(w);
	}
}
