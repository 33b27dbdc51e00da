/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/running.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct loading {
	struct running *r;
	struct err *e;
};

/* The text that is in force. Its name is a path of the run's; it is not opened. */
static int read_text(struct policy *p, const json_t *o, const char *id, struct err *e)
{
	const char *text = ask_string(o, "text"), *name = ask_string(o, "name");
	struct json_doc doc;
	char quoted[300];
	int rc;

	if (!*text) { /* "net": "none" without a file is never served; this is another supervisor's answer */
		return err_set(e, EPROTO, "the supervisor does not tell the policy of %s",
			       log_quote(quoted, sizeof quoted, id));
	}
	rc = json_doc_parse(&doc, name, text, strlen(text), e);
	if (rc < 0)
		return rc;
	rc = policy_read(p, &doc, NULL, e);
	json_doc_fini(&doc);
	return rc;
}

static int set_names(struct policy *p, const json_t *list, struct err *e)
{
	size_t n = json_array_size(list), i;
	const char **names = arena_array(&p->arena, n, sizeof *names);
	const json_t *item;

	if (!names)
		return err_num(e, ENOMEM, "names");
	json_array_foreach(list, i, item) {
		names[i] = arena_strdup(&p->arena, json_string_value(item) ?: "");
		if (!names[i])
			return err_num(e, ENOMEM, "names");
	}
	p->names = names;
	p->n_names = n;
	return 0;
}

static int set_addresses(struct policy *p, const json_t *list, struct err *e)
{
	size_t n = json_array_size(list), i;
	struct addr *v = arena_array(&p->arena, n, sizeof *v);
	const json_t *item;

	if (!v)
		return err_num(e, ENOMEM, "addresses");
	json_array_foreach(list, i, item)
		if (addr_parse(json_string_value(item) ?: "", &v[i], e) < 0)
			return -EINVAL;
	p->addresses = v;
	p->n_addresses = n;
	return 0;
}

static int add(void *ctx, json_t *o)
{
	const struct loading *l = ctx;
	struct running *r = l->r;
	struct running_domain *v = realloc(r->v, (r->n + 1) * sizeof *v), *d;
	const json_t *ceiling = json_object_get(o, "ceiling");
	int rc;

	if (!v)
		return err_num(l->e, ENOMEM, "domains");
	r->v = v;
	d = &v[r->n++];
	*d = (struct running_domain){ .id = strdup(ask_string(o, "container")), .has_ceiling = ceiling != NULL };
	policy_init_none(&d->policy);
	policy_init_none(&d->ceiling);
	if (!d->id)
		return err_num(l->e, ENOMEM, "domains");
	rc = read_text(&d->policy, json_object_get(o, "policy"), d->id, l->e);
	if (rc == 0 && ceiling)
		rc = read_text(&d->ceiling, ceiling, d->id, l->e);
	if (rc == 0)
		rc = set_names(&d->policy, json_object_get(o, "names"), l->e);
	return rc < 0 ? rc : set_addresses(&d->policy, json_object_get(o, "addresses"), l->e);
}

/* The policies do not move any more. */
static int make_fabric(struct running *r, const char *id, struct err *e)
{
	size_t n = 0;

	r->others = calloc(r->n + 1, sizeof(void *));
	r->ceilings = calloc(r->n + 1, sizeof(void *));
	if (!r->others || !r->ceilings)
		return err_num(e, ENOMEM, "domains");
	for (size_t i = 0; i < r->n; i++) {
		const struct running_domain *d = &r->v[i];
		const struct policy *ceiling = d->has_ceiling ? &d->ceiling : NULL;

		if (id && strcmp(d->id, id) == 0) {
			r->fabric.self = &d->policy;
			r->fabric.ceiling = ceiling;
		} else {
			r->others[n] = &d->policy;
			r->ceilings[n++] = ceiling;
		}
	}
	r->fabric.others = r->others;
	r->fabric.ceilings = r->ceilings;
	r->fabric.n_others = n;
	return 0;
}

static int no_supervisor(const char *id, struct err *e)
{
	char quoted[300];

	(void)err_set(e, ENOENT, "%s has no supervisor that could be asked", log_quote(quoted, sizeof quoted, id));
	return err_hint(e, "its policy has no rules: ask \"vrun policy why FILE\"");
}

int running_load(struct running *r, const struct ask_whom *whom, struct err *e)
{
	struct loading l = { r, e };
	struct ask_whom by = *whom;
	struct ask_targets t;
	int rc;

	*r = (struct running){ 0 };
	by.id = whom->path || whom->fabric ? NULL : whom->id;
	rc = ask_whom(&by, &t, e);
	if (rc < 0)
		return rc;
	if (t.n == 0)
		rc = no_supervisor(whom->id ?: "", e);
	for (size_t i = 0; rc == 0 && i < t.n; i++)
		rc = ask_each(t.v[i].path, "policies", NULL, false, add, &l, e);
	ask_targets_fini(&t);
	if (rc == 0)
		rc = make_fabric(r, whom->id, e);
	if (rc == 0 && whom->id && !r->fabric.self)
		rc = no_supervisor(whom->id, e);
	return rc;
}

void running_fini(struct running *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].id);
		policy_fini(&r->v[i].policy);
		policy_fini(&r->v[i].ceiling);
	}
	free(r->v);
	free(r->others);
	free(r->ceilings);
	*r = (struct running){ 0 };
}
