/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/domain.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "sup/sup.h"

static const struct addr loopback6 = { { [15] = 1 } };

static bool is_loopback(const struct addr *a)
{
	return addr_equal(a, &loopback6) || (addr_is_v4(a) && a->b[12] == 127);
}

/* Of two limits, of which 0 is none. */
static uint64_t lower(uint64_t own, uint64_t top)
{
	return own == 0 || (top && top < own) ? top : own;
}

uint64_t domain_sockets_max(const struct domain *d)
{
	return lower(d->policy.limits.sockets, d->has_ceiling ? d->ceiling.limits.sockets : 0) ?: POLICY_SOCKETS_DEFAULT;
}

uint64_t domain_pending_max(const struct domain *d)
{
	return lower(d->policy.limits.pending, d->has_ceiling ? d->ceiling.limits.pending : 0) ?: POLICY_PENDING_DEFAULT;
}

uint64_t domain_trap_rate(const struct domain *d)
{
	return lower(d->policy.limits.trap_rate, d->has_ceiling ? d->ceiling.limits.trap_rate : 0);
}

static bool has_address(const struct domain *d, const struct addr *a)
{
	for (size_t i = 0; i < d->n_virtual; i++)
		if (addr_equal(&d->virtual[i], a))
			return true;
	return false;
}

bool domain_owns(const struct domain *d, const struct addr *a)
{
	static const struct addr any6;
	const struct addr any4 = addr_v4(0, 0, 0, 0);

	return is_loopback(a) || addr_equal(a, &any6) || addr_equal(a, &any4) || has_address(d, a);
}

/* Addresses of a fabric differ in their last bytes. */
static unsigned bucket_of(const struct addr *a)
{
	return (a->b[15] + a->b[14] * 31U + a->b[13] * 7U) % DOMAIN_BUCKETS;
}

bool domain_may_record(struct domain *d)
{
	int64_t now = loop_now();

	if (now - d->records_since >= 1000) {
		d->records_since = now;
		d->n_records = 0;
	}
	/* Attempts are kept once each, whoever repeats them. */
	return d->n_records++ < DOMAIN_RECORDS_MAX || d->attempts;
}

struct domain *domain_find(struct sup *s, const struct addr *a)
{
	const struct domain_at *i;

	LIST_FOREACH(i, &s->addresses[bucket_of(a)], link)
		if (addr_equal(i->addr, a))
			return i->domain;
	return NULL;
}

void domain_index(struct domain *d)
{
	for (size_t i = 0; i < d->n_virtual; i++) {
		d->index[i] = (struct domain_at){ .addr = &d->virtual[i], .domain = d };
		LIST_INSERT_HEAD(&d->sup->addresses[bucket_of(&d->virtual[i])], &d->index[i], link);
	}
}

void domain_unindex(struct domain *d)
{
	for (size_t i = 0; i < d->n_virtual; i++)
		LIST_REMOVE(&d->index[i], link);
}

const struct addr *domain_source(const struct domain *d, const struct addr *to)
{
	static struct addr loopback4;

	loopback4 = addr_v4(127, 0, 0, 1);
	if (is_loopback(to))
		return addr_is_v4(to) ? &loopback4 : &loopback6;
	if (has_address(d, to)) {
		for (size_t i = 0; i < d->n_virtual; i++)
			if (addr_equal(&d->virtual[i], to))
				return &d->virtual[i];
	}
	for (size_t i = 0; i < d->n_virtual; i++)
		if (addr_is_v4(&d->virtual[i]) == addr_is_v4(to))
			return &d->virtual[i];
	return NULL;
}

struct policy_party domain_party(const struct domain *d, const struct addr *at)
{
	return (struct policy_party){ .kind = PARTY_DOMAIN,
				      .names = d->names,
				      .n_names = d->n_names,
				      .addr = at };
}

/* --- making one -------------------------------------------------------------- */

static bool name_taken(const struct sup *s, const char *name)
{
	const struct domain *d;

	LIST_FOREACH(d, &s->domains, link)
		for (size_t i = 0; i < d->n_names; i++)
			if (d->names[i] && name && strcmp(d->names[i], name) == 0)
				return true;
	return false;
}

static int take_names(struct domain *d, struct err *e)
{
	char name[NAME_TEXT_MAX];

	d->names = calloc(d->policy.n_names + 1, sizeof *d->names);
	if (!d->names)
		return err_num(e, ENOMEM, "container %s", d->id);
	for (size_t i = 0; i < d->policy.n_names; i++)
		d->names[d->n_names++] = d->policy.names[i];
	if (!d->policy.domain && d->n_names == 0 && name_parse_domain(d->id, name, NULL) == 0) {
		d->names[0] = arena_strdup(&d->policy.arena, name);
		d->n_names = d->names[0] ? 1 : 0;
	}
	for (size_t i = 0; i < d->n_names; i++)
		if (name_taken(d->sup, d->names[i])) {
			(void)err_set(e, EEXIST, "container %s: another one is called \"%s\"", d->id,
				      d->names[i]);
			return err_hint(e, "give its policy another \"domain\" or other \"names\"");
		}
	return 0;
}

/* Addresses for domains that ask for none: 10.88.128.0/17 and fd76:7275:6e01::/112. */
static struct addr assigned(bool v4, unsigned number)
{
	struct addr a = { { 0xfd, 0x76, 0x72, 0x75, 0x6e, 0x01 } };

	if (v4)
		return addr_v4(10, 88, (uint8_t)(128 | (number >> 8 & 127)), (uint8_t)number);
	a.b[14] = (uint8_t)(number >> 8);
	a.b[15] = (uint8_t)number;
	return a;
}

static int take_addresses(struct domain *d, struct err *e)
{
	const struct policy *p = &d->policy;
	char text[ADDR_TEXT_MAX];

	d->virtual = calloc(p->n_addresses + 2, sizeof *d->virtual);
	if (!d->virtual)
		return err_num(e, ENOMEM, "container %s", d->id);
	for (size_t i = 0; i < p->n_addresses; i++) {
		if (domain_find(d->sup, &p->addresses[i])) {
			(void)err_set(e, EEXIST, "container %s: another one has the address %s", d->id,
				      addr_format(&p->addresses[i], text, sizeof text));
			return err_hint(e, "give its policy another \"address\"");
		}
		d->virtual[d->n_virtual++] = p->addresses[i];
	}
	for (int v4 = 1; v4 >= 0 && p->n_addresses == 0; v4--) {
		unsigned n = d->number;
		struct addr a = assigned(v4, n);

		while (domain_find(d->sup, &a))
			a = assigned(v4, ++n);
		d->virtual[d->n_virtual++] = a;
	}
	d->index = calloc(d->n_virtual, sizeof *d->index);
	return d->index ? 0 : err_num(e, ENOMEM, "container %s", d->id);
}

static uint16_t free_number(const struct sup *s)
{
	const struct domain *d;
	uint16_t n = s->last_number;

	/* Not the one that was free last: a socket that has outlived its domain bears its number. */
again:
	n = n == UINT16_MAX ? 1 : (uint16_t)(n + 1);
	LIST_FOREACH(d, &s->domains, link)
		if (d->number == n)
			goto again;
	return n;
}

int domain_new(struct sup *s, const char *id, struct policy *policy, int listener,
	       struct domain **ret, struct err *e)
{
	struct domain *d = calloc(1, sizeof *d);
	struct policy given = *policy;
	int rc;

	if (!d)
		return err_num(e, ENOMEM, "container %s", id);
	d->sup = s;
	trail_init(&d->trail);
	names_init(&d->host_names);
	TAILQ_INIT(&d->flows);
	TAILQ_INIT(&d->tokens);
	LIST_INIT(&d->lingering);
	d->net.resolver = d->net.packets = -1;
	d->number = s->last_number = free_number(s);
	d->serial = s->next_domain++;
	d->policy = given;
	d->trapped = policy_needs(&given);
	d->generation = 1;
	d->hits = calloc(given.n_rules + 1, sizeof *d->hits);
	d->id = strdup(id);
	rc = d->id && d->hits ? take_names(d, e) : err_num(e, ENOMEM, "container %s", id);
	if (rc == 0)
		rc = take_addresses(d, e);
	if (rc == 0)
		rc = domain_add_listener(d, listener, NULL, e);
	if (rc < 0) {
		policy_init_none(&d->policy); /* it stays the caller's */
		domain_free(d);
		return rc;
	}
	policy_init_none(policy);
	*ret = d;
	return 0;
}

int domain_add_listener(struct domain *d, int fd, struct listener **ret, struct err *e)
{
	struct listener *l;
	int rc;

	if (d->n_listeners >= DOMAIN_LISTENERS_MAX)
		return err_set(e, EMFILE, "container %s: %d processes were put into it already", d->id,
			       DOMAIN_LISTENERS_MAX - 1);
	l = calloc(1, sizeof *l);
	if (!l)
		return err_num(e, ENOMEM, "container %s", d->id);
	rc = notify_init(&l->notify, fd, e);
	if (rc < 0) {
		free(l);
		return rc;
	}
	l->domain = d;
	LIST_INSERT_HEAD(&d->listeners, l, link);
	d->n_listeners++;
	if (ret)
		*ret = l;
	return 0;
}

void listener_free(struct listener *l)
{
	LIST_REMOVE(l, link);
	l->domain->n_listeners--;
	notify_fini(&l->notify);
	free(l);
}

void domain_free(struct domain *d)
{
	while (!LIST_EMPTY(&d->listeners))
		listener_free(LIST_FIRST(&d->listeners));
	fabric_forget(d);
	names_fini(&d->host_names);
	trail_fini(&d->trail);
	summary_fini(&d->summary);
	asks_free(d->asks);
	attempts_free(d->attempts);
	tapes_fini(&d->tapes);
	free(d->hits);
	free(d->names);
	free(d->hostname);
	free(d->virtual);
	free(d->index);
	free(d->id);
	policy_fini(&d->policy);
	if (d->has_ceiling)
		policy_fini(&d->ceiling);
	free(d);
}
