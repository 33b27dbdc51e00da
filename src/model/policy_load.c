/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "model/policy_index.h"

static const char *const top_keys[] = { "$schema", "version", "domain", "net",     "limits",
					"audit",   "onDeny",  "comment", NULL };
static const char *const net_keys[] = { "address", "names", "transport", "rules", "resolver", NULL };
static const char *const resolver_keys[] = { "pools", "ttl", NULL };
static const char *const limit_keys[] = { "memory",  "pids",	 "files", "sockets",
					  "pending", "trapRate", NULL };
static const char *const audit_keys[] = { "denied", "allowed", NULL };

const struct policy_key_table policy_key_tables[] = {
	{ "", top_keys },
	{ "net", net_keys },
	{ "net.resolver", resolver_keys },
	{ "net.rules[]", policy_rule_keys },
	{ "net.rules[].record", policy_record_keys },
	{ "net.rules[].tls", policy_tls_keys },
	{ "limits", limit_keys },
	{ "audit", audit_keys },
	{ NULL, NULL },
};

/* --- helpers for all parts -------------------------------------------------- */

int policy_warn(struct policy_loader *l, const struct jat *at, const char *hint, const char *fmt, ...)
{
	struct policy_warnings *w = l->warnings;
	struct policy_warning *v;
	char text[512], path[256];
	va_list ap;

	if (!w || w->n == POLICY_WARNINGS_MAX)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	v = realloc(w->v, (w->n + 1) * sizeof *v);
	if (!v)
		return -ENOMEM;
	w->v = v;
	v[w->n] = (struct policy_warning){ 0 };
	v[w->n].line = json_line(at, &v[w->n].col);
	v[w->n].hint = hint ? strdup(hint) : NULL;
	if (asprintf(&v[w->n].text, "%s:%zu: %s: %s", at->doc->name, v[w->n].line,
		     json_path(at, path, sizeof path), text) < 0) {
		free(v[w->n].hint);
		return -ENOMEM;
	}
	w->n++;
	return 0;
}

void policy_warnings_fini(struct policy_warnings *w)
{
	for (size_t i = 0; i < w->n; i++) {
		free(w->v[i].text);
		free(w->v[i].hint);
	}
	free(w->v);
	*w = (struct policy_warnings){ 0 };
}

int policy_bad_value(const struct jat *at, const struct err *inner, struct err *e)
{
	if (inner->num != EINVAL)
		return err_num(e, inner->num, "%s", at->doc->name);
	(void)json_error(at, e, "%s", inner->text);
	return inner->hint[0] ? err_hint(e, "%s", inner->hint) : -EINVAL;
}

int policy_bound_list(const struct jat *list, size_t max, struct err *e)
{
	size_t n = json_array_size(list->val);

	return n > max ? json_error(list, e, "%zu elements; at most %zu are read", n, max) : 0;
}

int policy_no_nulls(const struct jat *at, struct err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)at->val, key, value) {
		struct jat m;

		if (!json_is_null(value))
			continue;
		(void)json_member(at, key, &m);
		(void)json_error(&m, e, "null says nothing");
		return err_hint(e, "leave the key out for its default");
	}
	return 0;
}

int policy_get_size(const struct jat *at, const char *key, uint64_t *ret, struct err *e)
{
	struct jat m;
	uint64_t v;

	if (!json_member(at, key, &m))
		return 0;
	if (json_is_string(m.val)) {
		const char *text;

		if (json_as_string(&m, &text, e) < 0)
			return -EINVAL;
		if (num_parse_size(text, INT64_MAX, &v) < 0) {
			(void)json_error(&m, e, "not a size in bytes");
			return err_hint(e, "like \"512M\", \"10MB\" or 4096");
		}
	} else {
		int64_t n;

		if (json_as_int(&m, 0, INT64_MAX, &n, e) < 0)
			return -EINVAL;
		v = (uint64_t)n;
	}
	if (v == 0) {
		(void)json_error(&m, e, "0 lets nothing through");
		return err_hint(e, "leave it out for no limit");
	}
	*ret = v;
	return 1;
}

int policy_get_word(const struct jat *at, const char *key, const char *const *words, int *ret,
		    struct err *e)
{
	char list[256] = "", quoted[128];
	const char *text, *near;
	struct jat m;
	int rc = json_get_string(at, key, &text, e);

	if (rc <= 0)
		return rc;
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = i;
			return 1;
		}
		if (i)
			strncat(list, words[i + 1] ? ", " : " or ", sizeof list - strlen(list) - 1);
		strncat(list, words[i], sizeof list - strlen(list) - 1);
	}
	(void)json_member(at, key, &m);
	near = json_nearest(text, words);
	(void)json_error(&m, e, "\"%s\" is not %s", log_quote(quoted, sizeof quoted, text), list);
	return near ? err_hint(e, "did you mean \"%s\"?", near) : -EINVAL;
}

static int no_memory(const struct policy_loader *l, struct err *e)
{
	return err_num(e, ENOMEM, "%s", l->p->file);
}

/* --- net --------------------------------------------------------------------- */

static int check_address(struct policy_loader *l, const struct jat *el, const struct addr *a,
			 struct err *e)
{
	enum addr_kind kind = addr_kind(a);
	struct addr inner[ADDR_EMBEDDED_MAX];

	switch (kind) {
	case ADDR_PRIVATE:
	case ADDR_SHARED:
	case ADDR_RESERVED:
		break;
	case ADDR_PUBLIC:
		return policy_warn(l, el, "private addresses like 10.88.0.10 hide nothing",
				   "a public address: the domain hides the real host that has it");
	case ADDR_UNSPECIFIED:
	case ADDR_LOOPBACK:
	case ADDR_LINK_LOCAL:
	case ADDR_METADATA:
	case ADDR_MULTICAST:
	case ADDR_BROADCAST:
	case ADDR_KINDS:
		(void)json_error(el, e, "a domain cannot have a %s address", addr_kind_name(kind));
		return err_hint(e, "private addresses like 10.88.0.10 or fd00::10 are meant for this");
	}
	if (addr_embedded(a, inner) > 0)
		return json_error(el, e, "an address that carries an IPv4 address inside");
	return 0;
}

static int read_addresses(struct policy_loader *l, const struct jat *net, struct err *e)
{
	struct policy *p = l->p;
	struct addr *v;
	struct jat list, el;
	struct err inner;
	size_t n;
	int rc = json_get_array(net, "address", &list, e);

	if (rc <= 0)
		return rc;
	n = json_array_size(list.val);
	if (n == 0)
		return json_error(&list, e, "an empty list (leave it out: one is assigned)");
	if (policy_bound_list(&list, POLICY_LIST_MAX, e) < 0)
		return -EINVAL;
	v = arena_array(&p->arena, n, sizeof *v);
	if (!v)
		return no_memory(l, e);
	for (size_t i = 0; json_element(&list, i, &el); i++) {
		const char *text;

		if (json_as_string(&el, &text, e) < 0)
			return -EINVAL;
		if (addr_parse(text, &v[i], &inner) < 0)
			return policy_bad_value(&el, &inner, e);
		rc = check_address(l, &el, &v[i], e);
		if (rc < 0)
			return rc;
		if (prefix_match(&p->resolver.pool4, &v[i]) || prefix_match(&p->resolver.pool6, &v[i])) {
			(void)json_error(&el, e, "lies in the resolver's pool");
			return err_hint(e, "choose another address, or other \"pools\"");
		}
		for (size_t j = 0; j < i; j++) {
			if (addr_equal(&v[i], &v[j]))
				return json_error(&el, e, "is given twice");
		}
	}
	p->addresses = v;
	p->n_addresses = n;
	return 0;
}

static int read_names(struct policy_loader *l, const struct jat *net, struct err *e)
{
	struct policy *p = l->p;
	char name[NAME_TEXT_MAX];
	struct jat list, el;
	struct err inner;
	int rc = json_get_array(net, "names", &list, e);
	size_t n = rc == 1 ? json_array_size(list.val) : 0;
	bool own_seen = false; /* the domain's own name may be listed, once */

	if (rc < 0 || (n && policy_bound_list(&list, POLICY_LIST_MAX, e) < 0))
		return -EINVAL;
	p->names = arena_array(&p->arena, n + 1, sizeof *p->names);
	if (!p->names)
		return no_memory(l, e);
	p->n_names = 0;
	if (p->domain)
		p->names[p->n_names++] = p->domain;
	for (size_t i = 0; i < n; i++) {
		const char *text;

		(void)json_element(&list, i, &el);
		if (json_as_string(&el, &text, e) < 0)
			return -EINVAL;
		if (name_parse_domain(text, name, &inner) < 0)
			return policy_bad_value(&el, &inner, e);
		if (p->domain && !own_seen && strcmp(name, p->domain) == 0) {
			own_seen = true;
			continue;
		}
		for (size_t j = 0; j < p->n_names; j++) {
			if (strcmp(p->names[j], name) == 0)
				return json_error(&el, e, "is given twice");
		}
		p->names[p->n_names] = arena_strdup(&p->arena, name);
		if (!p->names[p->n_names++])
			return no_memory(l, e);
	}
	return 0;
}

static int read_pool(const struct jat *el, struct policy_resolver *r, unsigned *seen, struct err *e)
{
	const char *text;
	struct err inner;
	struct prefix pool;
	enum addr_kind kind;
	bool v4;

	if (json_as_string(el, &text, e) < 0)
		return -EINVAL;
	if (prefix_parse(text, &pool, &inner) < 0)
		return policy_bad_value(el, &inner, e);
	v4 = addr_is_v4(&pool.addr);
	if (v4 ? pool.bits < ADDR_V4_BITS + 8 || pool.bits > ADDR_V4_BITS + 28 :
		 pool.bits < 32 || pool.bits > 124)
		return json_error(el, e, v4 ? "a pool of IPv4 addresses is a /8 to /28"
					    : "a pool of IPv6 addresses is a /32 to /124");
	kind = addr_kind(&pool.addr);
	if (kind != ADDR_PRIVATE && kind != ADDR_SHARED && kind != ADDR_RESERVED) {
		(void)json_error(el, e, "a pool of %s addresses would hide real hosts",
				 addr_kind_name(kind));
		return err_hint(e, "like %s or %s", POLICY_POOL4_DEFAULT, POLICY_POOL6_DEFAULT);
	}
	if (*seen & (v4 ? 1U : 2U))
		return json_error(el, e, "a second pool of the same family");
	*seen |= v4 ? 1U : 2U;
	*(v4 ? &r->pool4 : &r->pool6) = pool;
	return 0;
}

static int read_resolver(struct policy_loader *l, const struct jat *net, struct err *e)
{
	struct policy_resolver *r = &l->p->resolver;
	struct jat obj, list, el;
	unsigned seen = 0;
	int64_t ttl;
	int rc = json_get_object(net, "resolver", &obj, e);

	if (rc <= 0)
		return rc;
	if (policy_no_nulls(&obj, e) < 0 || json_known_keys(&obj, resolver_keys, e) < 0)
		return -EINVAL;
	rc = json_get_int(&obj, "ttl", 0, 86400, &ttl, e);
	if (rc < 0)
		return rc;
	if (rc)
		r->ttl = (uint32_t)ttl;
	rc = json_get_array(&obj, "pools", &list, e);
	if (rc <= 0)
		return rc;
	if (json_array_size(list.val) == 0)
		return json_error(&list, e, "an empty list");
	for (size_t i = 0; json_element(&list, i, &el); i++) {
		rc = read_pool(&el, r, &seen, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_rules(struct policy_loader *l, const struct jat *net, struct err *e)
{
	struct policy *p = l->p;
	AUTO_FREE size_t *lines = NULL;
	struct jat list, el;
	size_t n;
	int rc = json_get_array(net, "rules", &list, e);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return policy_index_build(p, e);
	n = json_array_size(list.val);
	if (policy_bound_list(&list, POLICY_RULES_MAX, e) < 0)
		return -EINVAL;
	p->rules = arena_array(&p->arena, n, sizeof *p->rules);
	lines = calloc(n + 1, sizeof *lines);
	if (!p->rules || !lines)
		return no_memory(l, e);
	json_element_lines(&list, n, lines);
	for (; p->n_rules < n; p->n_rules++) {
		struct policy_rule *r = &p->rules[p->n_rules];

		(void)json_element(&list, p->n_rules, &el);
		r->line = lines[p->n_rules];
		rc = policy_read_rule(l, &el, r, e);
		if (rc < 0)
			return rc;
	}
	rc = policy_name_rules(p, &list, e);
	if (rc == 0)
		rc = policy_index_build(p, e);
	return rc < 0 ? rc : policy_check_rules(l, &list, e);
}

static int read_net_object(struct policy_loader *l, const struct jat *net, struct err *e)
{
	static const char *const transports[] = { "tcp", "wire", NULL };
	int word, rc;

	l->p->net = POLICY_NET_RULES;
	if (policy_no_nulls(net, e) < 0 || json_known_keys(net, net_keys, e) < 0)
		return -EINVAL;
	rc = policy_get_word(net, "transport", transports, &word, e);
	if (rc < 0)
		return rc;
	if (rc)
		l->p->transport = (enum policy_transport)word;
	rc = read_resolver(l, net, e);
	if (rc == 0)
		rc = read_addresses(l, net, e);
	if (rc == 0)
		rc = read_names(l, net, e);
	return rc < 0 ? rc : read_rules(l, net, e);
}

static int read_net(struct policy_loader *l, const struct jat *root, struct err *e)
{
	static const char *const forms[] = { "none", "loopback", NULL };
	struct jat net;
	int word = 0;

	if (!json_member(root, "net", &net))
		return 0;
	if (json_is_object(net.val))
		return read_net_object(l, &net, e);
	if (!json_is_string(net.val)) {
		(void)json_error(&net, e, "expected \"none\", \"loopback\" or an object");
		return -EINVAL;
	}
	if (policy_get_word(root, "net", forms, &word, e) < 0)
		return -EINVAL;
	l->p->net = word == 0 ? POLICY_NET_NONE : POLICY_NET_LOOPBACK;
	return 0;
}

/* --- the rest of the document -------------------------------------------------- */

static int read_limits(const struct jat *root, struct policy_limits *limits, struct err *e)
{
	struct {
		const char *key;
		int64_t max;
		uint64_t *to;
	} counts[] = {
		{ "pids", 1 << 22, &limits->pids },
		{ "files", 1 << 30, &limits->files },
		{ "sockets", 1 << 24, &limits->sockets },
		{ "pending", 1 << 20, &limits->pending },
		{ "trapRate", 100000000, &limits->trap_rate },
	};
	struct jat obj;
	int rc = json_get_object(root, "limits", &obj, e);

	if (rc <= 0)
		return rc;
	if (policy_no_nulls(&obj, e) < 0 || json_known_keys(&obj, limit_keys, e) < 0 ||
	    policy_get_size(&obj, "memory", &limits->memory, e) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		int64_t v;

		rc = json_get_int(&obj, counts[i].key, 1, counts[i].max, &v, e);
		if (rc < 0)
			return rc;
		if (rc)
			*counts[i].to = (uint64_t)v;
	}
	return 0;
}

static int read_audit(const struct jat *root, struct policy_audit *audit, struct err *e)
{
	struct jat obj;
	int rc = json_get_object(root, "audit", &obj, e);

	if (rc <= 0)
		return rc;
	if (policy_no_nulls(&obj, e) < 0 || json_known_keys(&obj, audit_keys, e) < 0 ||
	    json_get_bool(&obj, "denied", &audit->denied, e) < 0 ||
	    json_get_bool(&obj, "allowed", &audit->allowed, e) < 0)
		return -EINVAL;
	return 0;
}

static int read_version(const struct jat *root, struct err *e)
{
	int64_t version;
	struct jat m;
	int rc = json_get_int(root, "version", INT64_MIN, INT64_MAX, &version, e);

	if (rc < 0)
		return rc;
	if (rc == 0) {
		(void)json_error(root, e, "\"version\" is missing");
		return err_hint(e, "add \"version\": 1");
	}
	(void)json_member(root, "version", &m);
	if (version != 1)
		return json_error(&m, e, "version %lld is not known; this vrun reads version 1",
				  (long long)version);
	return 0;
}

static int read_head(struct policy_loader *l, const struct jat *root, struct err *e)
{
	static const char *const on_deny[] = { "EACCES", "ECONNREFUSED", "EHOSTUNREACH", "kill", NULL };
	char name[NAME_TEXT_MAX];
	const char *text;
	struct err inner;
	struct jat m;
	int word, rc;

	if (read_version(root, e) < 0 || json_get_string(root, "comment", &text, e) < 0 ||
	    json_get_string(root, "$schema", &text, e) < 0)
		return -EINVAL;
	rc = json_get_string(root, "domain", &text, e);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		(void)json_member(root, "domain", &m);
		if (name_parse_domain(text, name, &inner) < 0)
			return policy_bad_value(&m, &inner, e);
		l->p->domain = arena_strdup(&l->p->arena, name);
		l->p->names = arena_array(&l->p->arena, 1, sizeof *l->p->names);
		if (!l->p->domain || !l->p->names)
			return no_memory(l, e);
		l->p->names[l->p->n_names++] = l->p->domain;
	}
	rc = policy_get_word(root, "onDeny", on_deny, &word, e);
	if (rc < 0)
		return rc;
	if (rc)
		l->p->on_deny = (enum policy_on_deny)word;
	return 0;
}

static int read_document(struct policy_loader *l, const struct jat *root, struct err *e)
{
	int rc;

	if (json_expect_object(root, e) < 0 || policy_no_nulls(root, e) < 0 ||
	    json_known_keys(root, top_keys, e) < 0)
		return -EINVAL;
	rc = read_head(l, root, e);
	if (rc == 0)
		rc = read_limits(root, &l->p->limits, e);
	if (rc == 0)
		rc = read_audit(root, &l->p->audit, e);
	return rc < 0 ? rc : read_net(l, root, e);
}

int policy_read(struct policy *ret_policy, const struct json_doc *doc, struct policy_warnings *warnings,
		struct err *e)
{
	struct policy p;
	struct policy_warnings w = { 0 };
	struct policy_loader l = { .p = &p, .warnings = warnings ? &w : NULL };
	struct jat root = json_root(doc);
	int rc;

	policy_init_none(&p);
	p.file = arena_strdup(&p.arena, doc->name);
	p.text = arena_strndup(&p.arena, doc->text, doc->len);
	rc = p.file && p.text ? read_document(&l, &root, e) : err_num(e, ENOMEM, "%s", doc->name);
	if (rc < 0) {
		policy_warnings_fini(&w);
		policy_fini(&p);
		return rc;
	}
	*ret_policy = p;
	if (warnings)
		*warnings = w;
	return 0;
}

int policy_load(struct policy *p, int dirfd, const char *path, struct policy_warnings *warnings,
		struct err *e)
{
	struct json_doc doc;
	int rc = json_doc_load(&doc, dirfd, path, NULL, e);

	if (rc < 0)
		return rc;
	rc = policy_read(p, &doc, warnings, e);
	json_doc_fini(&doc);
	return rc;
}
