/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rules mean together. Errors: rules that can never match, that say the
 * same twice, or between which nothing could choose. Warnings: what is legal
 * and probably not meant.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/policy_index.h"
#include "model/policy_load.h"

/* --- ids ------------------------------------------------------------------------ */

static int text_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "a,b" of the texts in order, so that the order in which they are written does not matter. */
static void join_sorted(FILE *f, char **v, size_t n)
{
	qsort(v, n, sizeof *v, text_order);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(f, " %s", v[i]);
}

/* What a rule matches, as text that two rules share only if they match the same. Freed by the caller. */
static char *meaning(const struct policy_rule *r)
{
	size_t n = r->n_endpoints + r->n_from, len;
	char **v = calloc(n + 1, sizeof *v), *text = NULL, addr[ADDR_TEXT_MAX];
	FILE *f = v ? open_memstream(&text, &len) : NULL;
	bool ok = f != NULL;

	for (size_t i = 0; ok && i < n; i++) {
		size_t size = i < r->n_endpoints ? NAME_TEXT_MAX + 12 * r->endpoints[i].ports.n + 8 :
						   NAME_TEXT_MAX + 8;

		v[i] = malloc(size);
		ok = v[i] != NULL;
		if (ok && i < r->n_endpoints)
			(void)endpoint_format(&r->endpoints[i], v[i], size);
		else if (ok)
			(void)host_format(&r->from[i - r->n_endpoints], v[i], size);
	}
	if (ok) {
		(void)fprintf(f, "%s %s %u", r->allow ? "allow" : "deny",
			      r->op == POLICY_CONNECT ? "connect" : "listen", r->protos);
		join_sorted(f, v, r->n_endpoints);
		if (r->n_from)
			(void)fputs(" from", f);
		join_sorted(f, v + r->n_endpoints, r->n_from);
		if (r->publish) /* a port of the domain may be published at several places */
			(void)fprintf(f, " publish %s %u", addr_format(&r->publish_addr, addr, sizeof addr),
				      r->publish_port);
	}
	if (f && (fclose(f) != 0 || !ok)) {
		free(text);
		text = NULL;
	}
	for (size_t i = 0; v && i < n; i++)
		free(v[i]);
	free(v);
	return text;
}

struct named {
	char *meaning;
	struct policy_rule *rule;
};

static int meaning_order(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int d = strcmp(x->meaning, y->meaning);

	return d ? d : (x->rule > y->rule) - (x->rule < y->rule);
}

static int id_order(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int d = strcmp(x->rule->id, y->rule->id);

	return d ? d : (x->rule > y->rule) - (x->rule < y->rule);
}

static struct jat rule_at(const struct policy *p, const struct jat *rules, const struct policy_rule *r)
{
	struct jat at;

	(void)json_element(rules, (size_t)(r - p->rules), &at);
	return at;
}

static uint64_t hash_text(const char *text)
{
	uint64_t h = 14695981039346656037ULL; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211ULL;
	return h;
}

/* Eight digits of the meaning's hash; all sixteen for rules that have the same eight. */
static int derive_ids(struct policy *p, struct named *v)
{
	size_t n = p->n_rules;

	for (size_t i = 0; i < n; i++) {
		if (!v[i].rule->id)
			v[i].rule->id = arena_printf(&p->arena, "r%08x", (unsigned)(hash_text(v[i].meaning) >> 32));
		if (!v[i].rule->id)
			return -ENOMEM;
	}
	qsort(v, n, sizeof *v, id_order);
	for (size_t i = 0; i < n;) {
		const char *id = v[i].rule->id;
		size_t end = i + 1;

		while (end < n && strcmp(v[end].rule->id, id) == 0)
			end++;
		for (size_t j = i; end > i + 1 && j < end; j++) {
			if (v[j].rule->id_given)
				continue;
			v[j].rule->id = arena_printf(&p->arena, "r%016llx", (unsigned long long)hash_text(v[j].meaning));
			if (!v[j].rule->id)
				return -ENOMEM;
		}
		i = end;
	}
	return 0;
}

static int name_all(struct policy *p, const struct jat *rules, struct named *v, struct err *e)
{
	size_t n = p->n_rules;
	struct jat at;

	for (size_t i = 0; i < n; i++) {
		v[i].rule = &p->rules[i];
		v[i].meaning = meaning(v[i].rule);
		if (!v[i].meaning)
			return err_num(e, ENOMEM, "%s", p->file);
	}
	qsort(v, n, sizeof *v, meaning_order);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(v[i].meaning, v[i - 1].meaning) != 0)
			continue;
		at = rule_at(p, rules, v[i].rule);
		return json_error(&at, e, "says the same as the rule of line %zu", v[i - 1].rule->line);
	}
	if (derive_ids(p, v) < 0)
		return err_num(e, ENOMEM, "%s", p->file);
	qsort(v, n, sizeof *v, id_order);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(v[i].rule->id, v[i - 1].rule->id) != 0)
			continue;
		at = rule_at(p, rules, v[i].rule);
		(void)json_error(&at, e, "the id \"%s\" is that of the rule of line %zu",
				 v[i].rule->id, v[i - 1].rule->line);
		return err_hint(e, "give it an \"id\" of its own");
	}
	return 0;
}

int policy_name_rules(struct policy *p, const struct jat *rules, struct err *e)
{
	struct named *v = calloc(p->n_rules + 1, sizeof *v);
	int rc = v ? name_all(p, rules, v, e) : err_num(e, ENOMEM, "%s", p->file);

	for (size_t i = 0; v && i < p->n_rules; i++)
		free(v[i].meaning);
	free(v);
	return rc;
}

/* --- places ----------------------------------------------------------------------- */

/* Cursors on an element of a rule's "to", "at" or "from"; they point at each other. */
struct place {
	struct jat rule, key, el;
};

static const struct jat *place_of(struct place *at, const struct policy *p, const struct jat *rules,
				  const struct policy_rule *r, const char *key, size_t i)
{
	at->rule = rule_at(p, rules, r);
	(void)json_member(&at->rule, key, &at->key);
	if (!json_is_array(at->key.val))
		return &at->key;
	(void)json_element(&at->key, i, &at->el);
	return &at->el;
}

struct check {
	struct policy_loader *l;
	const struct policy *p;
	const struct jat *rules;
	struct err *e;
};

static const struct jat *endpoint_at(const struct check *c, struct place *at,
				     const struct policy_rule *r, const struct endpoint *ep)
{
	return place_of(at, c->p, c->rules, r, r->op == POLICY_CONNECT ? "to" : "at",
			(size_t)(ep - r->endpoints));
}

/* --- connect rules ------------------------------------------------------------------ */

/* "*" as an allow leaves out the machine outside and all that is not public. */
static bool any_covers(const struct host_pattern *h)
{
	return h->kind != HOST_OUTSIDE && h->kind != HOST_PREFIX;
}

static int compare_endpoints(const struct check *c, const struct policy_rule *r,
			     const struct endpoint *ep, const struct policy_entry *other)
{
	const struct policy_rule *o = other->rule;
	struct place at;
	bool covered;

	/* First what is cheap: thousands of rules may be about one host. */
	if (!(r->protos & o->protos) || !ports_overlap(&ep->ports, &other->ep->ports))
		return 0;
	covered = policy_denies_all(o, other->ep, r, ep);
	if (r->allow && !o->allow && covered) {
		(void)json_error(endpoint_at(c, &at, r, ep), c->e,
				 "never allows anything: the rule of line %zu denies all of it", o->line);
		return err_hint(c->e, "any deny beats any allow, whatever their order");
	}
	if (r->allow != o->allow)
		return 0;
	if (covered && (!r->allow || (policy_options_equal(&r->options, &o->options) && r->n_forward == 0 &&
				      (other->ep->host.kind != HOST_ANY || any_covers(&ep->host)))))
		return policy_warn(c->l, endpoint_at(c, &at, r, ep), NULL,
				   "adds nothing: the rule of line %zu has it", o->line);
	if (r->allow && !policy_options_equal(&r->options, &o->options) &&
	    host_equal(&other->ep->host, &ep->host) && ports_count(&ep->ports) == ports_count(&other->ep->ports) &&
	    (r->protos == (POLICY_TCP | POLICY_UDP)) == (o->protos == (POLICY_TCP | POLICY_UDP))) {
		(void)json_error(endpoint_at(c, &at, r, ep), c->e,
				 "overlaps the rule of line %zu, which has other options", o->line);
		return err_hint(c->e, "give each port to one of them");
	}
	return 0;
}

static bool is_own(const struct policy *p, const struct host_pattern *h)
{
	for (size_t i = 0; h->kind == HOST_DOMAIN && i < p->n_names; i++) {
		if (strcmp(p->names[i], h->name) == 0)
			return true;
	}
	for (size_t i = 0; h->kind == HOST_PREFIX && h->prefix.bits == 128 && i < p->n_addresses; i++) {
		if (addr_equal(&p->addresses[i], &h->prefix.addr))
			return true;
	}
	return false;
}

static int check_allowed_target(const struct check *c, const struct policy_rule *r,
				const struct endpoint *ep)
{
	const struct host_pattern *h = &ep->host;
	const char *why = h->kind == HOST_PREFIX ? policy_unreachable(c->p, &h->prefix) : NULL;
	struct place at;

	if (why)
		return json_error(endpoint_at(c, &at, r, ep), c->e, "can never match: %s", why);
	if (is_own(c->p, h))
		return policy_warn(c->l, endpoint_at(c, &at, r, ep), NULL,
				   "is the domain itself, which is allowed anyway");
	if (h->kind == HOST_PREFIX && (h->prefix.bits == ADDR_V4_BITS || h->prefix.bits == 0))
		return policy_warn(c->l, endpoint_at(c, &at, r, ep),
				   "\"*\" allows every name and every public address",
				   "includes private, loopback and cloud metadata addresses");
	return 0;
}

static int check_connect(const struct check *c, const struct policy_rule *r)
{
	for (size_t i = 0; i < r->n_endpoints; i++) {
		const struct endpoint *ep = &r->endpoints[i];
		const struct policy_entry *other;
		struct policy_walk w;
		int rc = r->allow ? check_allowed_target(c, r, ep) : 0;

		policy_walk_init(&w, c->p, &ep->host, false);
		while (rc == 0 && (other = policy_walk_next(&w))) {
			if (other->rule != r)
				rc = compare_endpoints(c, r, ep, other);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- listen rules ---------------------------------------------------------------------- */

static bool is_loopback(const struct endpoint *ep)
{
	return ep->host.kind == HOST_PREFIX && addr_kind(&ep->host.prefix.addr) == ADDR_LOOPBACK;
}

static int check_at(const struct check *c, const struct policy_rule *r, const struct endpoint *ep)
{
	bool outside = r->n_from == 0;
	struct place at;

	if (ep->host.kind == HOST_PREFIX && !is_loopback(ep) && !is_own(c->p, &ep->host)) {
		(void)json_error(endpoint_at(c, &at, r, ep), c->e,
				 "can never match: the domain does not have this address");
		return err_hint(c->e, c->p->n_addresses ? "add it to \"address\", or write \":PORT\""
							: "write \":PORT\": the address is assigned");
	}
	for (size_t i = 0; i < r->n_from; i++)
		outside |= r->from[i].kind != HOST_DOMAIN || is_own(c->p, &r->from[i]);
	if (is_loopback(ep) && !outside) {
		(void)json_error(endpoint_at(c, &at, r, ep), c->e,
				 "can never match: no other domain reaches this one's loopback");
		return err_hint(c->e, "write \":PORT\"");
	}
	return 0;
}

static int check_from(const struct check *c, const struct policy_rule *r)
{
	struct place at;

	if (r->allow && r->n_from == 0) {
		struct jat rule = rule_at(c->p, c->rules, r);

		return policy_warn(c->l, &rule, "say who may connect with \"from\"",
				   "only the domain itself may connect, which it may anyway");
	}
	for (size_t i = 0; i < r->n_from; i++) {
		int rc = 0;

		if (r->allow && is_own(c->p, &r->from[i]))
			rc = policy_warn(c->l, place_of(&at, c->p, c->rules, r, "from", i), NULL,
					 "is the domain itself, which is allowed anyway");
		for (size_t j = 0; rc == 0 && j < r->n_from; j++) {
			if (i != j && host_covers(&r->from[j], &r->from[i]))
				rc = policy_warn(c->l, place_of(&at, c->p, c->rules, r, "from", i), NULL,
						 "adds nothing: element %zu has it", j);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_denied(const struct check *c, const struct policy_rule *r, const struct endpoint *ep)
{
	struct place at;

	for (size_t i = 0; i < c->p->n_rules; i++) {
		const struct policy_rule *d = &c->p->rules[i];

		for (size_t j = 0; !d->allow && j < d->n_endpoints; j++) {
			if (!policy_denies_all(d, &d->endpoints[j], r, ep))
				continue;
			(void)json_error(endpoint_at(c, &at, r, ep), c->e,
					 "never allows anything: the rule of line %zu denies all of it",
					 d->line);
			return err_hint(c->e, "any deny beats any allow, whatever their order");
		}
	}
	return 0;
}

static bool publish_clash(const struct policy_rule *a, const struct policy_rule *b)
{
	bool any;

	if (!b->publish || a->publish_port != b->publish_port || a->publish_port == 0 ||
	    !(a->protos & b->protos))
		return false;
	any = addr_kind(&a->publish_addr) == ADDR_UNSPECIFIED ||
	      addr_kind(&b->publish_addr) == ADDR_UNSPECIFIED;
	return any ? addr_is_v4(&a->publish_addr) == addr_is_v4(&b->publish_addr) :
		     addr_equal(&a->publish_addr, &b->publish_addr);
}

static int check_publish(const struct check *c, const struct policy_rule *r)
{
	struct place at;

	for (const struct policy_rule *o = c->p->rules; r->publish && o < r; o++) {
		if (publish_clash(r, o))
			return json_error(place_of(&at, c->p, c->rules, r, "publish", 0), c->e,
					  "the rule of line %zu publishes there", o->line);
	}
	return 0;
}

static int check_listen(const struct check *c, const struct policy_rule *r)
{
	int rc = check_from(c, r);

	for (size_t i = 0; rc == 0 && i < r->n_endpoints; i++) {
		rc = check_at(c, r, &r->endpoints[i]);
		if (rc == 0 && r->allow)
			rc = check_denied(c, r, &r->endpoints[i]);
	}
	return rc < 0 ? rc : check_publish(c, r);
}

static int check_records(struct policy_loader *l, const struct jat *rules, struct err *e)
{
	struct policy_record_file files[POLICY_RECORDS_MAX];
	const struct policy_rule *r = NULL;
	int n = policy_record_files(l->p, NULL, files, &r);
	struct jat rule, at;

	if (n >= 0)
		return 0;
	rule = rule_at(l->p, rules, r);
	(void)json_member(&rule, "record", &at);
	if (n == -E2BIG)
		return json_error(&at, e, "more than %d files", POLICY_RECORDS_MAX);
	return json_error(&at, e, "another rule has this file in another format");
}

int policy_check_rules(struct policy_loader *l, const struct jat *rules, struct err *e)
{
	struct check c = { .l = l, .p = l->p, .rules = rules, .e = e };

	for (size_t i = 0; i < l->p->n_rules; i++) {
		const struct policy_rule *r = &l->p->rules[i];
		int rc = r->op == POLICY_CONNECT ? check_connect(&c, r) : check_listen(&c, r);

		if (rc == -ENOMEM)
			return err_num(e, ENOMEM, "%s", l->p->file);
		if (rc < 0)
			return rc;
	}
	return check_records(l, rules, e);
}
