/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_fabric.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/policy_explain.h"

static const char *display_name(const struct policy *p)
{
	return p->n_names ? p->names[0] : p->file;
}

int policy_fabric_conflict(const struct policy *a, const struct policy *b, struct err *e)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < a->n_names; i++) {
		for (size_t j = 0; j < b->n_names; j++) {
			if (strcmp(a->names[i], b->names[j]) != 0)
				continue;
			(void)err_set(e, EEXIST, "%s and %s both have the name \"%s\"", a->file, b->file,
				      a->names[i]);
			return err_hint(e, "the second of them is refused when it starts");
		}
	}
	for (size_t i = 0; i < a->n_addresses; i++) {
		for (size_t j = 0; j < b->n_addresses; j++) {
			if (!addr_equal(&a->addresses[i], &b->addresses[j]))
				continue;
			(void)err_set(e, EEXIST, "%s and %s both have the address %s", a->file, b->file,
				      addr_format(&a->addresses[i], text, sizeof text));
			return err_hint(e, "the second of them is refused when it starts");
		}
	}
	return 0;
}

__attribute__((format(printf, 4, 5))) static int warn(const struct fabric *f,
						      const struct policy_rule *r,
						      struct policy_warnings *w, const char *fmt, ...)
{
	struct policy_warning *v = realloc(w->v, (w->n + 1) * sizeof *v);
	AUTO_FREE char *what = NULL;
	va_list ap;
	int n;

	if (!v)
		return -ENOMEM;
	w->v = v;
	va_start(ap, fmt);
	n = vasprintf(&what, fmt, ap);
	va_end(ap);
	if (n < 0) {
		what = NULL;
		return -ENOMEM;
	}
	v[w->n] = (struct policy_warning){ .line = r->line };
	if (asprintf(&v[w->n].text, "%s:%zu: net.rules[%zu]: %s", f->self->file, r->line,
		     (size_t)(r - f->self->rules), what) < 0)
		return -ENOMEM;
	w->n++;
	return 0;
}

static int add_hint(struct policy_warnings *w, const char *hint)
{
	struct policy_warning *last = &w->v[w->n - 1];

	last->hint = strdup(hint);
	return last->hint ? 0 : -ENOMEM;
}

static const struct policy *offered_by(const struct fabric *f, const char *name)
{
	for (size_t i = 0; i <= f->n_others; i++) {
		const struct policy *p = i < f->n_others ? f->others[i] : f->self;

		for (size_t j = 0; j < p->n_names; j++) {
			if (strcmp(p->names[j], name) == 0)
				return p;
		}
	}
	return NULL;
}

static int warn_unknown(const struct fabric *f, const struct policy_rule *r, const char *name,
			struct policy_warnings *w)
{
	size_t n = 0, total = f->self->n_names;
	const char **names, *near;
	char hint[128];
	int rc;

	for (size_t i = 0; i < f->n_others; i++)
		total += f->others[i]->n_names;
	names = calloc(total + 1, sizeof *names);
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < f->n_others; i++) {
		for (size_t j = 0; j < f->others[i]->n_names; j++)
			names[n++] = f->others[i]->names[j];
	}
	near = json_nearest(name, names);
	rc = warn(f, r, w, "no domain here has the name \"%s\"", name);
	if (rc == 0 && near) {
		(void)snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
		rc = add_hint(w, hint);
	}
	free(names);
	return rc;
}

/* Decides one port of one protocol; keeps the server's denial for the hint. */
static bool pair_allows(const struct fabric *f, const struct policy *server, unsigned proto,
			unsigned port, struct policy_pair_verdict *v)
{
	struct policy_side c = { .policy = f->self, .ceiling = f->ceiling }, s = { .policy = server };

	if (f->self->n_addresses)
		c.addr = f->self->addresses;
	if (server->n_addresses)
		s.addr = server->addresses;
	policy_decide_pair(&c, &s, (enum policy_proto)proto, (uint16_t)port, v);
	return v->allow;
}

/*
 * Whether the two sides agree on a port of the endpoint. Where they do, they
 * do at the beginning of a range of it or of a server's rule, or just behind
 * a denied range.
 */
static bool any_port(const struct fabric *f, const struct policy *server, unsigned proto,
		     const struct endpoint *ep, struct policy_pair_verdict *v)
{
	for (size_t i = 0; i < ep->ports.n; i++) {
		if (pair_allows(f, server, proto, ep->ports.v[i].lo, v))
			return true;
	}
	for (size_t side = 0; side < 2; side++) {
		const struct policy *p = side ? server : f->self;

		for (size_t i = 0; i < p->n_rules; i++) {
			for (size_t j = 0; j < p->rules[i].n_endpoints; j++) {
				const struct port_set *s = &p->rules[i].endpoints[j].ports;

				for (size_t k = 0; k < s->n; k++) {
					unsigned port = p->rules[i].allow ? s->v[k].lo : s->v[k].hi + 1U;

					if (port <= UINT16_MAX && ports_have(&ep->ports, (uint16_t)port) &&
					    pair_allows(f, server, proto, port, v))
						return true;
				}
			}
		}
	}
	/* The verdict that is left for the hint is that of the first port. */
	return pair_allows(f, server, proto, ep->ports.v[0].lo, v);
}

static int check_server(const struct fabric *f, const struct policy_rule *r,
			const struct endpoint *ep, const struct policy *server,
			struct policy_warnings *w)
{
	char text[ENDPOINT_TEXT_MAX];
	struct policy_pair_verdict v;
	struct policy_advice advice;
	struct policy_attempt a = { .kind = ATTEMPT_ACCEPT, .port = ep->ports.v[0].lo };
	int rc;

	(void)endpoint_format(ep, text, sizeof text);
	for (unsigned proto = POLICY_TCP; proto <= POLICY_UDP; proto <<= 1) {
		if (!(r->protos & proto) || any_port(f, server, proto, ep, &v) || v.server.allow)
			continue;
		rc = warn(f, r, w, "allows %s/%s, but %s does not let %s in", text,
			  policy_proto_name((enum policy_proto)proto), display_name(server),
			  display_name(f->self));
		if (rc < 0)
			return rc;
		a.proto = (enum policy_proto)proto;
		a.peer = (struct policy_party){ .kind = PARTY_DOMAIN, .names = f->self->names,
						.n_names = f->self->n_names };
		policy_advise(&v.server, &a, &advice);
		rc = add_hint(w, f->self->n_names ? advice.text : "give the policy a \"domain\"");
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_rule(const struct fabric *f, const struct policy_rule *r, struct policy_warnings *w)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && r->op == POLICY_CONNECT && i < r->n_endpoints; i++) {
		const struct endpoint *ep = &r->endpoints[i];
		const struct policy *server;

		if (ep->host.kind != HOST_DOMAIN)
			continue;
		server = offered_by(f, ep->host.name);
		if (!server)
			rc = warn_unknown(f, r, ep->host.name, w);
		else if (server != f->self)
			rc = check_server(f, r, ep, server, w);
	}
	for (size_t i = 0; rc == 0 && i < r->n_from; i++) {
		if (r->from[i].kind == HOST_DOMAIN && !offered_by(f, r->from[i].name))
			rc = warn_unknown(f, r, r->from[i].name, w);
	}
	return rc;
}

int policy_fabric_check(const struct fabric *f, struct policy_warnings *warnings, struct err *e)
{
	for (size_t i = 0; i < f->self->n_rules; i++) {
		const struct policy_rule *r = &f->self->rules[i];
		int rc = r->allow ? check_rule(f, r, warnings) : 0;

		if (rc < 0)
			return err_num(e, -rc, "%s", f->self->file);
	}
	return 0;
}
