/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_reach.h"

#include <stdlib.h>
#include <string.h>

/* --- where answers may change ------------------------------------------------------------ */

struct steps {
	unsigned *v; /* owned; sorted, each once, the first is 1 */
	size_t n;
};

static size_t put_steps(const struct policy *p, unsigned *v)
{
	size_t n = 0;

	for (size_t i = 0; p && i < p->n_rules; i++)
		for (size_t j = 0; j < p->rules[i].n_endpoints; j++) {
			const struct port_set *s = &p->rules[i].endpoints[j].ports;

			for (size_t k = 0; k < s->n; k++, n += 2) {
				if (!v)
					continue;
				v[n] = s->v[k].lo;
				v[n + 1] = s->v[k].hi + 1U;
			}
		}
	return n;
}

static int step_order(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int make_steps(const struct policy *const *policies, size_t n_policies, struct steps *ret)
{
	size_t n = 1, out = 1;
	unsigned *v;

	for (size_t i = 0; i < n_policies; i++)
		n += put_steps(policies[i], NULL);
	v = calloc(n, sizeof *v);
	if (!v)
		return -ENOMEM;
	v[0] = 1;
	n = 1;
	for (size_t i = 0; i < n_policies; i++)
		n += put_steps(policies[i], v + n);
	qsort(v, n, sizeof *v, step_order);
	for (size_t i = 1; i < n; i++)
		if (v[i] != v[out - 1] && v[i] <= UINT16_MAX)
			v[out++] = v[i];
	*ret = (struct steps){ v, out };
	return 0;
}

/* --- sets ---------------------------------------------------------------------------------- */

struct set {
	struct port_range *v;
	size_t n;
};

static void put(struct set *s, const struct steps *steps, size_t i)
{
	unsigned lo = steps->v[i], hi = i + 1 < steps->n ? steps->v[i + 1] - 1 : UINT16_MAX;

	if (s->n && s->v[s->n - 1].hi + 1U == lo)
		s->v[s->n - 1].hi = (uint16_t)hi;
	else
		s->v[s->n++] = (struct port_range){ (uint16_t)lo, (uint16_t)hi };
}

int policy_reach(const struct policy *p, const struct policy *ceiling, const struct policy_attempt *a,
		 struct arena *arena, struct port_set *ret, struct err *e)
{
	const struct policy *const both[] = { p, ceiling };
	struct policy_attempt at = *a;
	struct policy_verdict v;
	struct steps steps;
	struct set s = { 0 };

	if (make_steps(both, 2, &steps) < 0)
		return err_num(e, ENOMEM, "ports");
	s.v = arena_array(arena, steps.n, sizeof *s.v);
	for (size_t i = 0; s.v && i < steps.n; i++) {
		at.port = (uint16_t)steps.v[i];
		policy_decide_bounded(p, ceiling, &at, &v);
		if (v.allow)
			put(&s, &steps, i);
	}
	free(steps.v);
	*ret = (struct port_set){ s.v, s.n };
	return s.v ? 0 : err_num(e, ENOMEM, "ports");
}

int policy_reach_pair(const struct policy_side *client, const struct policy_side *server, enum policy_proto proto,
		      struct arena *arena, struct port_set *ret_both, struct port_set *ret_client, struct err *e)
{
	const struct policy *const all[] = { client->policy, client->ceiling, server->policy, server->ceiling };
	struct set both = { 0 }, one = { 0 };
	struct policy_pair_verdict v;
	struct steps steps;

	if (make_steps(all, 4, &steps) < 0)
		return err_num(e, ENOMEM, "ports");
	both.v = arena_array(arena, steps.n, sizeof *both.v);
	one.v = arena_array(arena, steps.n, sizeof *one.v);
	for (size_t i = 0; both.v && one.v && i < steps.n; i++) {
		policy_decide_pair(client, server, proto, (uint16_t)steps.v[i], &v);
		if (v.allow)
			put(&both, &steps, i);
		else if (v.client.allow || v.client.reason == POLICY_BY_TRANSPORT)
			put(&one, &steps, i);
	}
	free(steps.v);
	*ret_both = (struct port_set){ both.v, both.n };
	*ret_client = (struct port_set){ one.v, one.n };
	return both.v && one.v ? 0 : err_num(e, ENOMEM, "ports");
}
