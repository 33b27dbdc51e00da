/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a pool's addresses a name gets, and when another name gets it. The clock is the test's. */
#include <stdio.h>
#include <string.h>

#include "sup/domain.h"
#include "sup/flow.h"
#include "sup/names.h"
#include "sup/sup.h"
#include "sup/vsk.h"
#include "tap.h"

#define MANY 60 /* of a pool of 64: but for three and the last */
#define HELD 20 /* more of them than are looked at for one question */

static int64_t seconds = 1000;
static struct vsk_table table;
static struct domain d = { .number = 1 };
static struct sup sup;

/* What the linker puts in the place of loop_now(). */
int64_t __wrap_loop_now(void);
int64_t __wrap_loop_now(void)
{
	return seconds * 1000;
}

/* The address of a name, by number; false: there is none left. */
static bool ask(unsigned number, struct addr *ret)
{
	struct lookup l = { .what = LOOKUP_NAME };

	(void)snprintf(l.name, sizeof l.name, "n%u.example.com", number);
	names_pretend(&d, &l);
	if (l.n)
		*ret = l.addresses[0];
	return l.n == 1;
}

static bool means(const struct addr *a, unsigned number)
{
	const char *name = names_find(&d, a);
	char wanted[NAME_TEXT_MAX];

	(void)snprintf(wanted, sizeof wanted, "n%u.example.com", number);
	return name && strcmp(name, wanted) == 0;
}

static void connect_to(const struct addr *a)
{
	struct vsk *v = vsk_new(&table, &d, 1 + table.n, false);

	v->remote = *a;
	v->remote_port = 443;
	vsk_set_status(&table, v, VSK_CONNECTED);
}

static void test_oldest_held(void)
{
	struct addr at[MANY], another;
	unsigned given = 0, right = 0;
	bool had = false;

	for (unsigned i = 0; i < MANY; i++)
		given += ask(i, &at[i]);
	TAP_INT(given, MANY, "as many names as the pool has room for");
	TAP_OK(!ask(MANY, &another), "one more has none");
	for (unsigned i = 0; i < HELD; i++)
		connect_to(&at[i]);
	seconds += 121;
	for (unsigned i = 0; i < 3 && !had; i++)
		had = ask(MANY, &another);
	TAP_OK(had, "when time has passed it gets one, though those that were asked for longest ago are in use");
	TAP_OK(had && means(&another, MANY) && addr_equal(&another, &at[HELD]), "that of the oldest which is not");
	for (unsigned i = 0; i < HELD; i++)
		right += means(&at[i], i);
	TAP_INT(right, HELD, "what is connected to means what it meant");
}

static void test_all_held(void)
{
	struct addr another;
	unsigned given = 0;

	for (unsigned i = HELD + 1; i < MANY; i++)
		given += ask(i, &another);
	TAP_INT(given, MANY - HELD - 1, "the others are as they were");
	for (struct addr a = d.policy.resolver.pool4.addr; a.b[15] < 64; a.b[15]++)
		if (names_find(&d, &a))
			connect_to(&a);
	seconds += 1000;
	for (unsigned i = 0; i < MANY; i++)
		given += ask(MANY + 1, &another);
	TAP_INT(given, MANY - HELD - 1, "where all are in use none is given out");
	while (!LIST_EMPTY(&d.rows))
		vsk_free(&table, LIST_FIRST(&d.rows));
	seconds += 21;
	TAP_OK(ask(MANY + 1, &another) && means(&another, MANY + 1), "one that is not any more is, soon after");
}

/* A resolver in somebody else's hands asks as often as it likes. */
static void test_flood(void)
{
	const struct lookup l = { .what = LOOKUP_NAME, .name = "web.example.com" };

	sup.resolver.fd = -1;
	TAP_INT(gateway_init(&d.gateway, &sup, -1), 0, "a gateway");
	for (unsigned i = 0; i < 10 * NAMES_ASKED_MAX; i++)
		names_ask(&sup, &d, &l);
	TAP_INT(d.gateway.next, NAMES_ASKED_MAX, "no more questions are kept than there may be at a time");
	names_fini(&d.host_names);
	gateway_fini(&d.gateway);
}

int main(void)
{
	const struct addr six = { { 0xfd, [1] = 0x53 } };

	(void)vsk_table_init(&table);
	LIST_INIT(&d.rows);
	TAILQ_INIT(&d.flows);
	names_init(&d.host_names);
	d.policy.resolver.pool4 = (struct prefix){ addr_v4(198, 18, 0, 0), 96 + 26 };
	d.policy.resolver.pool6 = (struct prefix){ six, 64 };
	test_oldest_held();
	test_all_held();
	test_flood();
	vsk_table_fini(&table);
	return tap_done();
}
