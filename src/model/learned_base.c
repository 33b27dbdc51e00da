/* SPDX-License-Identifier: Apache-2.0 */
#include "model/learned_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/policy_write.h"

#define IDLE_MAX 20      /* rules that were not needed, one by one */
#define COMMENT_MAX 1000 /* bytes; after that no more commands are added */

/* --- what fits ------------------------------------------------------------------------- */

/* An allow that asks for nothing beside. */
static bool is_plain(const struct policy_rule *r)
{
	const struct policy_options none = { .rate = 0 };

	return r->allow && !r->publish && !r->n_forward && !r->message && r->on_deny == POLICY_DENY_INHERIT &&
	       policy_options_equal(&r->options, &none);
}

static bool has_peer(const struct policy_rule *r, const struct host_pattern *h)
{
	for (size_t i = 0; i < r->n_from; i++)
		if (host_equal(&r->from[i], h))
			return true;
	return false;
}

static bool same_peers(const struct policy_rule *r, const struct proposal_part *t)
{
	for (size_t i = 0; i < t->n_from; i++)
		if (!has_peer(r, &t->from[i]))
			return false;
	return r->n_from == t->n_from;
}

static bool same_ports(const struct endpoint *ep, const struct proposal_part *t)
{
	const struct port_set set = { t->ports, t->n_ports };

	return ports_equal(&ep->ports, &set);
}

static struct endpoint *endpoint_of(const struct policy_rule *r, const struct proposal_part *t)
{
	for (size_t i = 0; i < r->n_endpoints; i++)
		if (host_equal(&r->endpoints[i].host, &t->host))
			return &r->endpoints[i];
	return NULL;
}

static int port_order(const void *a, const void *b)
{
	const struct port_range *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

static bool add_ports(struct arena *a, struct port_set *s, const struct proposal_part *t)
{
	struct port_range *v = arena_array(a, s->n + t->n_ports, sizeof *v);
	size_t n = s->n + t->n_ports, out = 0;

	if (!v)
		return false;
	memcpy(v, s->v, s->n * sizeof *v);
	memcpy(v + s->n, t->ports, t->n_ports * sizeof *v);
	qsort(v, n, sizeof *v, port_order);
	for (size_t i = 1; i < n; i++)
		if (v[i].lo <= v[out].hi + 1U)
			v[out].hi = v[i].hi > v[out].hi ? v[i].hi : v[out].hi;
		else
			v[++out] = v[i];
	*s = (struct port_set){ v, out + 1 };
	return true;
}

static bool add_peers(struct arena *a, struct policy_rule *r, const struct proposal_part *t)
{
	struct host_pattern *v = arena_array(a, r->n_from + t->n_from, sizeof *v);

	if (!v)
		return false;
	memcpy(v, r->from, r->n_from * sizeof *v);
	for (size_t i = 0; i < t->n_from; i++)
		if (!has_peer(r, &t->from[i]))
			v[r->n_from++] = t->from[i];
	r->from = v;
	return true;
}

/* --- comments that a run wrote ------------------------------------------------------------ */

static bool take_word(const char **text, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*text, word, n) != 0)
		return false;
	*text += n;
	return true;
}

/* It was written by learned_remark(), and may be written anew. */
static bool is_remark(const char *comment)
{
	if (!comment)
		return true; /* none is what most rules get */
	if (take_word(&comment, "seen once") && !take_word(&comment, "; "))
		return !*comment;
	return learned_is_unusual(comment);
}

static const char *comment_of(const struct learned_base *b, size_t i)
{
	struct jat root = json_root(b->doc), net, rules, rule;

	if (!json_member(&root, "net", &net) || !json_member(&net, "rules", &rules) || !json_element(&rules, i, &rule))
		return NULL;
	return json_string_value(json_object_get(rule.val, "comment"));
}

static bool is_guess(const char *comment)
{
	return comment && strstr(comment, LEARNED_GUESS) && is_remark(comment);
}

/* --- folding --------------------------------------------------------------------------------- */

struct fold {
	struct learned_base *b;
	struct learned *l;
	bool *changed; /* of each rule; owned */
	bool *unguess; /* its port was a guess, and is known now */
};

/* Where only the ports differ: the rule has them all then. Where its port was a guess that came to nothing, only these. */
static bool fold_ports(struct fold *f, size_t i, const struct proposal_part *t)
{
	struct policy_rule *r = &f->b->policy->rules[i];
	struct endpoint *ep = endpoint_of(r, t);
	bool looked_up = t->host.name && json_object_get(f->l->looked_up, t->host.name);

	if (!ep || r->protos != t->protos || !same_peers(r, t))
		return false;
	if (is_guess(comment_of(f->b, i)) && !looked_up && r->n_endpoints == 1 && !f->b->use[i].connected &&
	    !f->unguess[i]) {
		f->unguess[i] = true;
		ep->ports = (struct port_set){ t->ports, t->n_ports };
		return true;
	}
	return add_ports(&f->b->policy->arena, &ep->ports, t);
}

static bool fold_peers(struct fold *f, size_t i, const struct proposal_part *t)
{
	struct policy_rule *r = &f->b->policy->rules[i];
	const struct endpoint *ep = endpoint_of(r, t);

	if (!t->n_from || !r->n_from || r->n_endpoints != 1 || !ep || r->protos != t->protos || !same_ports(ep, t))
		return false;
	return add_peers(&f->b->policy->arena, r, t);
}

static bool fold_protos(struct fold *f, size_t i, const struct proposal_part *t)
{
	struct policy_rule *r = &f->b->policy->rules[i];
	const struct endpoint *ep = endpoint_of(r, t);

	if (r->n_endpoints != 1 || !ep || !same_peers(r, t) || !same_ports(ep, t))
		return false;
	r->protos |= t->protos;
	return true;
}

/* Into the first rule that takes it in. */
static bool fold_part(struct fold *f, const struct proposal_part *t)
{
	static bool (*const ways[])(struct fold *f, size_t i, const struct proposal_part *t) = { fold_ports, fold_peers,
												   fold_protos };

	for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
		for (size_t i = 0; i < f->b->policy->n_rules; i++) {
			const struct policy_rule *r = &f->b->policy->rules[i];

			if (!is_plain(r) || (r->op == POLICY_LISTEN) != t->listen || !ways[way](f, i, t))
				continue;
			f->changed[i] = true;
			return true;
		}
	return false;
}

/* --- the base's text -------------------------------------------------------------------------- */

static bool add_swap(struct learned_base *b, const struct jat *at, char *text)
{
	struct policy_swap *v = text ? realloc(b->swaps, (b->n_swaps + 1) * sizeof *v) : NULL;

	if (!v) {
		free(text);
		return false;
	}
	b->swaps = v;
	json_span(at, &v[b->n_swaps].start, &v[b->n_swaps].end);
	v[b->n_swaps++].text = text;
	return true;
}

static bool swap_rule(struct learned_base *b, size_t i, const char *line)
{
	struct jat root = json_root(b->doc), net, rules, rule;

	return json_member(&root, "net", &net) && json_member(&net, "rules", &rules) &&
	       json_element(&rules, i, &rule) && add_swap(b, &rule, strdup(line));
}

/* What there is to say of the rule now. Its own words stay, if they are somebody's. */
static const char *new_comment(const struct fold *f, size_t i, char *buf, size_t size)
{
	const struct policy_rule *r = &f->b->policy->rules[i];
	const struct base_use *use = &f->b->use[i];
	const char *old = comment_of(f->b, i);
	struct proposal_part t = { .listen = r->op == POLICY_LISTEN, .host = r->endpoints->host,
				   .ports = r->endpoints->ports.v, .n_ports = r->endpoints->ports.n, .seen = 2 };

	if (r->n_endpoints != 1 || !is_remark(old))
		return old;
	if (!f->changed[i]) { /* only what was not sure may be sure now */
		if (!old || (!use->connected && !use->looked_up))
			return old;
		t.seen += !strncmp(old, "seen once", 9);
	}
	return learned_remark(f->l, &t, is_guess(old) && !use->connected && !f->unguess[i], buf, size);
}

static int rewrite(struct fold *f, size_t i, struct err *e)
{
	const char *old = comment_of(f->b, i), *now;
	AUTO_FREE char *line = NULL, *whole = NULL;
	char text[128];
	int rc;

	now = new_comment(f, i, text, sizeof text);
	if (!f->changed[i] && strcmp(now ?: "", old ?: "") == 0)
		return 0;
	rc = policy_rule_format(&f->b->policy->rules[i], &line, e);
	if (rc == 0)
		rc = learned_comment_line(now, line, &whole, e);
	if (rc == 0 && !swap_rule(f->b, i, whole))
		rc = err_num(e, ENOMEM, "%s", f->b->doc->name);
	if (rc == 0 && f->changed[i])
		(void)json_array_append_new(f->l->folded, json_string(line));
	return rc;
}

/* Which of the base's rules this run did without. */
static int tell_idle(struct fold *f, struct err *e)
{
	const struct policy *p = f->b->policy;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct base_use *use = &f->b->use[i];
		AUTO_FREE char *line = NULL;

		f->l->n_kept += !f->changed[i];
		if (!p->rules[i].allow || f->changed[i] || use->connected || use->looked_up)
			continue;
		if (f->l->n_idle++ >= IDLE_MAX)
			continue;
		if (policy_rule_format(&p->rules[i], &line, e) < 0)
			return -ENOMEM;
		(void)json_array_append_new(f->l->idle, json_string(line));
	}
	return 0;
}

int learned_base_fold(struct learned_base *b, struct learned *l, struct err *e)
{
	size_t n = b->policy->n_rules;
	AUTO_FREE bool *changed = calloc(n + 1, sizeof *changed);
	AUTO_FREE bool *unguess = calloc(n + 1, sizeof *unguess);
	struct fold f = { b, l, changed, unguess };
	int rc = 0;

	l->folded = json_array();
	l->idle = json_array();
	if (!changed || !unguess || !l->folded || !l->idle)
		return err_num(e, ENOMEM, "%s", b->doc->name);
	for (size_t i = 0; i < l->rules.n; i++)
		l->rules.v[i].folded = fold_part(&f, &l->rules.v[i]);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = rewrite(&f, i, e);
	return rc < 0 ? rc : tell_idle(&f, e);
}

/* --- the policy's comment ------------------------------------------------------------------------ */

int learned_base_comment(struct learned_base *b, const char *comment, struct err *e)
{
	struct jat root = json_root(b->doc), at;
	const char *old = json_member(&root, "comment", &at) ? json_string_value(at.val) : NULL;
	const char *from = strstr(comment, " from: ");
	size_t old_len = old ? strlen(old) : 0, tail = strlen(LEARNED_READ_IT), len = strlen(comment);
	AUTO_FREE char *text = NULL, *command = NULL;
	json_t *value;

	if (!old || !from || old_len > COMMENT_MAX || old_len < tail || len < tail ||
	    strncmp(old, LEARNED_ON, strlen(LEARNED_ON)) != 0 || strcmp(old + old_len - tail, LEARNED_READ_IT) != 0)
		return 0;
	command = strndup(from, (size_t)(comment + len - tail - from));
	if (!command)
		return err_num(e, ENOMEM, "%s", b->doc->name);
	if (strstr(old, command)) /* it is that of an earlier run, or part of it */
		return 0;
	if (asprintf(&text, "%.*s; on %.*s%s", (int)(old_len - tail), old,
		     (int)(len - tail - strlen(LEARNED_ON)), comment + strlen(LEARNED_ON), LEARNED_READ_IT) < 0) {
		text = NULL;
		return err_num(e, ENOMEM, "%s", b->doc->name);
	}
	value = json_string(text);
	if (!value || !add_swap(b, &at, json_dumps(value, JSON_ENCODE_ANY))) {
		json_decref(value);
		return err_num(e, ENOMEM, "%s", b->doc->name);
	}
	json_decref(value);
	return 0;
}

void learned_base_fini(struct learned_base *b)
{
	for (size_t i = 0; i < b->n_swaps; i++)
		free((char *)(uintptr_t)b->swaps[i].text);
	free(b->swaps);
	*b = (struct learned_base){ 0 };
}
