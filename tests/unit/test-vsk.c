/* SPDX-License-Identifier: Apache-2.0 */
/* The table of virtual sockets: rows, ports, queues. No kernel is asked. */
#include <stdlib.h>

#include "sup/domain.h"
#include "sup/vsk.h"
#include "tap.h"

static struct vsk_table table;
static struct domain one = { .number = 1 }, two = { .number = 2 };
static uint64_t next_cookie = 1;

static struct addr address(const char *text)
{
	struct addr a = { 0 };

	(void)addr_parse(text, &a, NULL);
	return a;
}

static struct vsk *bound(struct domain *d, const char *at, uint16_t port, bool v6)
{
	struct vsk *v = vsk_new(&table, d, next_cookie++, v6);

	v->local = address(at);
	v->local_port = port;
	vsk_set_status(&table, v, VSK_BOUND);
	return v;
}

static void forget(struct domain *d)
{
	while (!LIST_EMPTY(&d->rows))
		vsk_free(&table, LIST_FIRST(&d->rows));
}

static void test_rows(void)
{
	enum { MANY = 100000 };
	uint64_t first = next_cookie;
	unsigned lost = 0, loose = 0;

	for (unsigned i = 0; i < MANY; i++)
		vsk_set_status(&table, vsk_new(&table, &one, next_cookie++, false), VSK_CONNECTED);
	for (uint64_t c = first; c < next_cookie; c++)
		lost += !vsk_find(&table, c);
	TAP_INT(lost, 0, "a hundred thousand rows are found");
	TAP_OK(table.n_buckets >= MANY / 2, "in short chains (%zu)", table.n_buckets);
	TAP_INT(one.n_rows, MANY, "the domain counts them");
	TAP_OK(!vsk_find(&table, next_cookie), "another one is not");
	first = next_cookie;
	for (unsigned i = 0; i < VSK_LOOSE_MAX + 100; i++)
		(void)vsk_new(&table, &two, next_cookie++, true);
	for (uint64_t c = first; c < next_cookie; c++)
		loose += vsk_find(&table, c) != NULL;
	TAP_INT(loose, VSK_LOOSE_MAX, "rows of unconnected sockets are bounded");
	TAP_OK(!vsk_find(&table, first) && vsk_find(&table, next_cookie - 1), "the oldest go");
	forget(&one);
	forget(&two);
	TAP_INT(table.n, 0, "all are gone");
	TAP_INT(table.n_loose, 0, "from every list");
}

/* Whether the second may be bound beside the first; r: SO_REUSEADDR, p: SO_REUSEPORT, l: listens, 6: V6ONLY. */
static void test_conflicts(void)
{
	static const struct {
		const char *a, *a_flags, *b, *b_flags;
		bool conflict;
	} cases[] = {
		{ "127.0.0.1", "", "127.0.0.1", "", true },
		{ "127.0.0.1", "", "127.0.0.2", "", false },
		{ "127.0.0.1", "", "0.0.0.0", "", true },
		{ "0.0.0.0", "", "10.88.0.1", "", true },
		{ "0.0.0.0", "", "::", "", true },
		{ "0.0.0.0", "", "::", "6", false },
		{ "::", "6", "0.0.0.0", "", false },
		{ "::", "", "127.0.0.1", "", true },
		{ "::", "6", "127.0.0.1", "", false },
		{ "::", "6", "::1", "", true },
		{ "::1", "", "127.0.0.1", "", false },
		{ "0.0.0.0", "r", "0.0.0.0", "r", false },
		{ "0.0.0.0", "r", "0.0.0.0", "", true },
		{ "0.0.0.0", "rl", "0.0.0.0", "r", true },
		{ "0.0.0.0", "p", "0.0.0.0", "p", false },
		{ "0.0.0.0", "pl", "0.0.0.0", "p", false },
		{ "0.0.0.0", "p", "127.0.0.1", "", true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vsk *v[2];

		for (int k = 0; k < 2; k++) {
			const char *flags = k ? cases[i].b_flags : cases[i].a_flags;

			v[k] = bound(&one, k ? cases[i].b : cases[i].a, 80, true);
			v[k]->reuse_addr = strchr(flags, 'r');
			v[k]->reuse_port = strchr(flags, 'p');
			v[k]->v6only = strchr(flags, '6');
			if (strchr(flags, 'l'))
				vsk_set_status(&table, v[k], VSK_LISTENING);
		}
		TAP_INT(vsk_find_conflict(&table, v[1], false) == v[0], cases[i].conflict, "%s(%s) and %s(%s)",
			cases[i].a, cases[i].a_flags, cases[i].b, cases[i].b_flags);
		forget(&one);
	}
	(void)bound(&two, "127.0.0.1", 80, false);
	TAP_OK(!vsk_find_conflict(&table, bound(&one, "127.0.0.1", 80, false), false), "domains do not conflict");
	TAP_OK(!vsk_find_conflict(&table, bound(&one, "127.0.0.1", 81, false), false), "nor do ports");
	forget(&one);
	forget(&two);
}

static void test_listeners(void)
{
	struct vsk *dual = bound(&one, "::", 80, true), *any, *exact, *other = bound(&two, "::", 80, true);
	struct addr v4 = address("10.88.0.1"), v6 = address("fd00::1");
	unsigned n = 0;

	TAP_OK(!vsk_find_listener(&table, &one, &v4, 80), "a bound one is not there");
	vsk_set_status(&table, dual, VSK_LISTENING);
	vsk_set_status(&table, other, VSK_LISTENING);
	TAP_OK(vsk_find_listener(&table, &one, &v4, 80) == dual, "the dual wildcard hears IPv4");
	TAP_OK(vsk_find_listener(&table, &one, &v6, 80) == dual, "and IPv6");
	TAP_OK(!vsk_find_listener(&table, &one, &v6, 81), "at its port");
	any = bound(&one, "0.0.0.0", 80, false);
	vsk_set_status(&table, any, VSK_LISTENING);
	TAP_OK(vsk_find_listener(&table, &one, &v4, 80) == any, "its own wildcard before it");
	exact = bound(&one, "10.88.0.1", 80, false);
	vsk_set_status(&table, exact, VSK_LISTENING);
	TAP_OK(vsk_find_listener(&table, &one, &v4, 80) == exact, "the address itself before that");
	for (struct vsk *v = vsk_next_listener(&table, &one, 80, NULL); v; v = vsk_next_listener(&table, &one, 80, v)) {
		TAP_OK(v == dual || v == any || v == exact, "a listener at that port, of that domain");
		n++;
	}
	TAP_INT(n, 3, "each of them once");
	vsk_set_status(&table, exact, VSK_CONNECTED);
	n = 0;
	for (struct vsk *v = vsk_next_listener(&table, &one, 80, NULL); v; v = vsk_next_listener(&table, &one, 80, v))
		n++;
	TAP_INT(n, 2, "without one that does not listen any more");
	TAP_OK(!vsk_next_listener(&table, &one, 81, NULL), "none at another port");
	dual->v6only = true;
	vsk_free(&table, any);
	vsk_free(&table, exact);
	TAP_OK(!vsk_find_listener(&table, &one, &v4, 80), "one for IPv6 only does not hear IPv4");
	forget(&one);
	forget(&two);
}

static void test_arrivals(void)
{
	static struct faddr place;
	struct vsk *l = bound(&one, "::", 80, true), *c = vsk_new(&table, &two, next_cookie++, true);
	struct vsk_arrival a;

	vsk_set_status(&table, l, VSK_LISTENING);
	l->backlog = 2;
	c->at = &place;
	c->local = address("10.0.0.1");
	c->remote = address("10.0.0.2");
	for (uint16_t port = 1; port <= 100; port++) {
		c->local_port = port;
		(void)vsk_arrive(l, c);
	}
	TAP_OK(l->n_arrivals < 32, "a queue that nobody empties is bounded (%u)", l->n_arrivals);
	TAP_OK(!vsk_take_arrival(l, &place, 1, &a), "the oldest are gone");
	TAP_OK(vsk_take_arrival(l, &place, 100, &a) && addr_equal(&a.peer, &c->local) &&
		       addr_equal(&a.local, &c->remote),
	       "the newest is known by both names");
	TAP_OK(!vsk_take_arrival(l, &place, 100, &a), "once");
	TAP_OK(!vsk_take_arrival(l, NULL, 99, &a), "and from there only");
	vsk_set_status(&table, l, VSK_BOUND);
	TAP_INT(l->n_arrivals, 0, "who listens no more has no queue");
	forget(&one);
	forget(&two);
}

static void test_places(void)
{
	static struct faddr gone, stays;
	struct vsk *l = bound(&one, "::", 80, true), *peer = vsk_new(&table, &one, next_cookie++, true);
	struct vsk *c = vsk_new(&table, &two, next_cookie++, true), *freed = vsk_new(&table, &one, next_cookie++, true);
	struct vsk_arrival a;

	vsk_set_status(&table, l, VSK_LISTENING);
	l->backlog = 8;
	vsk_set_to(peer, &stays);
	vsk_set_to(peer, &gone);
	vsk_set_to(freed, &gone);
	vsk_free(&table, freed);
	for (uint16_t port = 1; port <= 4; port++) {
		c->at = port % 2 ? &gone : &stays;
		c->local_port = port;
		(void)vsk_arrive(l, c);
	}
	(void)vsk_take_arrival(l, &gone, 3, &a);
	vsk_forget_place(&gone);
	TAP_OK(!peer->to, "who was connected to a place that is gone is connected to none");
	TAP_INT(l->n_arrivals, 2, "connections from there are forgotten");
	TAP_OK(l->unsure, "though the kernel may have them still");
	TAP_OK(vsk_take_arrival(l, &stays, 2, &a) && vsk_take_arrival(l, &stays, 4, &a), "others are not");
	l->wire = true;
	c->at = &gone;
	(void)vsk_arrive(l, c);
	vsk_forget_place(&gone);
	TAP_INT(l->n_arrivals, 1, "a wire's queue keeps its order");
	TAP_OK(vsk_take_first_arrival(l, &a) && !a.from, "with somebody unknown in it");
	l->wire = false;
	forget(&one);
	forget(&two);
	TAP_OK(LIST_EMPTY(&gone.peers) && LIST_EMPTY(&gone.arrivals) && LIST_EMPTY(&stays.peers) &&
		       LIST_EMPTY(&stays.arrivals), "rows that are freed leave the lists of places");
}

int main(void)
{
	if (vsk_table_init(&table) < 0)
		return 1;
	test_rows();
	test_conflicts();
	test_listeners();
	test_arrivals();
	test_places();
	printf("# a row has %zu bytes\n", sizeof(struct vsk));
	vsk_table_fini(&table);
	return tap_done();
}
