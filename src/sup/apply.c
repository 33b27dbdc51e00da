/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fd.h"
#include "model/json.h"
#include "sup/admit.h"
#include "sup/sup.h"

static const char restart[] = "end the run and start it with the new policy";

static int refuse(const struct policy *p, struct err *e, const char *what)
{
	(void)err_set(e, ENOTSUP, "%s: %s cannot change while the container runs", p->file ?: "policy", what);
	return err_hint(e, "%s", restart);
}

static bool has(const struct domain *d, const char *name)
{
	for (size_t i = 0; i < d->n_names; i++)
		if (strcmp(d->names[i], name) == 0)
			return true;
	return false;
}

/* Others have looked the domain up by its names and addresses; what the new policy does not say stays. */
static bool same_names(const struct domain *d, const struct policy *p)
{
	if (p->n_names && p->n_names != d->n_names)
		return false;
	for (size_t i = 0; i < p->n_names; i++)
		if (!has(d, p->names[i]))
			return false;
	return !p->domain || d->n_names == 0 || strcmp(p->domain, d->names[0]) == 0;
}

static bool same_addresses(const struct domain *d, const struct policy *p)
{
	size_t found = 0;

	for (size_t i = 0; i < p->n_addresses; i++)
		for (size_t j = 0; j < d->n_virtual; j++)
			found += addr_equal(&p->addresses[i], &d->virtual[j]);
	return p->n_addresses == 0 || (found == p->n_addresses && found == d->n_virtual);
}

static bool same_prefix(const struct prefix *x, const struct prefix *y)
{
	return x->bits == y->bits && addr_equal(&x->addr, &y->addr);
}

/* What was made by the old policy when the container was: its filter, its cgroup, its network. */
static int check_fixed(const struct domain *d, const struct policy *p, bool gateway, struct err *e)
{
	const struct policy *old = &d->policy;
	const unsigned made = POLICY_NEEDS_UDP | POLICY_NEEDS_WIRE;

	if (p->net != old->net)
		return refuse(p, e, "the form of \"net\"");
	if (p->transport != old->transport)
		return refuse(p, e, "\"transport\"");
	if (!same_names(d, p))
		return refuse(p, e, "\"domain\" or \"names\"");
	if (!same_addresses(d, p))
		return refuse(p, e, "\"address\"");
	if (!same_prefix(&p->resolver.pool4, &old->resolver.pool4) ||
	    !same_prefix(&p->resolver.pool6, &old->resolver.pool6))
		return refuse(p, e, "\"pools\" of the resolver");
	if (p->limits.files != old->limits.files)
		return refuse(p, e, "\"files\" of \"limits\"");
	if (p->limits.memory != old->limits.memory || p->limits.pids != old->limits.pids) {
		(void)refuse(p, e, "\"memory\" or \"pids\" of \"limits\"");
		return err_hint(e, "\"vrun update %s\" changes them; leave them in the policy as they were", d->id);
	}
	if (policy_needs(p) & ~d->trapped & made)
		return refuse(p, e, "that there are no rules for UDP");
	if (!d->published.over)
		return err_set(e, EBUSY, "container %s is still being started", d->id);
	/* The gateway has its own copy of the policy, and not from us. */
	if (policy_needs(p) & POLICY_NEEDS_GATEWAY && d->gateway.fd < 0)
		return refuse(p, e, "that nothing leads outside");
	if (d->gateway.fd >= 0 && !gateway)
		return err_set(e, ENOTSUP, "%s: the gateway of the container was not given this policy", p->file ?: "policy");
	return 0;
}

static int load(const char *name, const char *text, struct policy *ret, struct err *e)
{
	struct json_doc doc;
	int rc = json_doc_parse(&doc, name, text, strlen(text), e);

	if (rc < 0)
		return rc;
	rc = policy_read(ret, &doc, NULL, e);
	json_doc_fini(&doc);
	return rc;
}

/* Rules keep their counts by their ids. */
static uint64_t *carry_hits(const struct domain *d, const struct policy *p)
{
	uint64_t *hits = calloc(p->n_rules + 1, sizeof *hits);

	for (size_t i = 0; hits && i < p->n_rules; i++)
		for (size_t j = 0; j < d->policy.n_rules; j++)
			if (strcmp(p->rules[i].id, d->policy.rules[j].id) == 0) {
				hits[i] = d->hits[j];
				break;
			}
	return hits;
}

/* The domain's names are strings of its policy. */
static const char **carry_names(const struct domain *d, struct policy *p)
{
	const char **names = calloc(d->n_names + 1, sizeof *names);

	for (size_t i = 0; names && i < d->n_names; i++) {
		names[i] = arena_strdup(&p->arena, d->names[i]);
		if (!names[i]) {
			free(names);
			return NULL;
		}
	}
	return names;
}

static int put_in_force(struct domain *d, struct policy *p, struct err *e)
{
	AUTO_FREE uint64_t *hits = carry_hits(d, p);
	AUTO_FREE const char **names = carry_names(d, p);

	if (!hits || !names)
		return err_num(e, ENOMEM, "container %s", d->id);
	policy_fini(&d->policy);
	free(d->hits);
	free(d->names);
	d->policy = *p;
	policy_init_none(p);
	d->hits = hits;
	d->names = names;
	hits = NULL;
	names = NULL;
	d->generation++;
	memset(d->unknown, 0, sizeof d->unknown);
	sup_set_rate(d);
	return 0;
}

int apply_policy(struct sup *s, struct domain *d, const struct apply_request *how, struct revoked *ret,
		 struct err *e)
{
	struct policy p;
	int rc = load(how->name, how->text, &p, e);

	if (rc < 0)
		return rc;
	rc = check_fixed(d, &p, how->gateway, e);
	if (rc == 0)
		rc = admit_check_needs(s, d->id, &p, e);
	if (rc == 0)
		rc = admit_check_records(d, &p, e);
	if (rc == 0 && !how->dry)
		rc = put_in_force(d, &p, e);
	if (rc == 0 && !how->dry) {
		publish_update(d);
		revoke_forbidden(s, d, ret);
	}
	policy_fini(&p); /* empty when it was taken */
	return rc;
}
