/* SPDX-License-Identifier: Apache-2.0 */
#include "model/proposal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/json.h"
#include "model/policy_write.h"

/* --- taking --------------------------------------------------------------------------- */

static int read_line(const char *line, struct policy *ret, struct err *e)
{
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	int rc;

	if (strchr(line, '\n') || asprintf(&text, "{\"version\":1,\"net\":{\"rules\":[%s]}}", line) < 0) {
		text = NULL;
		return err_set(e, EINVAL, "rule of a record");
	}
	rc = json_doc_parse(&doc, "rule of a record", text, strlen(text), e);
	if (rc < 0)
		return rc;
	rc = policy_read(ret, &doc, NULL, e);
	json_doc_fini(&doc);
	return rc;
}

static bool is_single(const struct host_pattern *h)
{
	return h->kind == HOST_DOMAIN || h->kind == HOST_NAME || h->kind == HOST_OUTSIDE ||
	       (h->kind == HOST_PREFIX && h->prefix.bits == 128);
}

/* One attempt and nothing else: whoever wrote the record is not believed to have seen more. */
static bool is_one(const struct policy *p)
{
	const struct policy_rule *r = p->rules;
	struct policy_rule plain;

	if (p->n_rules != 1 || !r->allow || r->n_endpoints != 1 || ports_count(&r->endpoints->ports) != 1 ||
	    r->n_from > 1 || (r->n_from && !is_single(r->from)))
		return false;
	if (r->protos != POLICY_TCP && r->protos != POLICY_UDP)
		return false;
	/* In "at", "*" is an address of the domain. */
	if (!is_single(&r->endpoints->host) && (r->op == POLICY_CONNECT || r->endpoints->host.kind != HOST_ANY))
		return false;
	plain = (struct policy_rule){ .options = { .rate = 0 } };
	return !r->publish && !r->n_forward && !r->message && r->on_deny == POLICY_DENY_INHERIT && !r->id_given &&
	       policy_options_equal(&r->options, &plain.options);
}

static bool copy_host(struct arena *a, const struct host_pattern *h, bool local, struct host_pattern *ret,
		      const char **ret_text)
{
	char text[ENDPOINT_TEXT_MAX];

	*ret = *h;
	if (h->name)
		ret->name = arena_strdup(a, h->name);
	*ret_text = arena_strdup(a, local && h->kind == HOST_ANY ? "" : host_format(h, text, sizeof text));
	return *ret_text && (!h->name || ret->name);
}

static bool fill(struct proposal *p, const struct policy_rule *r, uint64_t seen, struct proposal_part *ret)
{
	struct port_range *range = arena_alloc(&p->arena, sizeof *range);
	struct host_pattern *from = arena_alloc(&p->arena, sizeof *from);
	const char **texts = arena_alloc(&p->arena, sizeof *texts);

	if (!range || !from || !texts)
		return false;
	*range = *r->endpoints->ports.v;
	*ret = (struct proposal_part){ .listen = r->op == POLICY_LISTEN,
				       .protos = r->protos,
				       .from = from,
				       .from_texts = texts,
				       .n_from = r->n_from,
				       .from_key = "",
				       .ports = range,
				       .n_ports = 1,
				       .seen = seen };
	if (!copy_host(&p->arena, &r->endpoints->host, ret->listen, &ret->host, &ret->host_text))
		return false;
	if (r->n_from && !copy_host(&p->arena, r->from, false, from, texts))
		return false;
	ret->from_key = r->n_from ? texts[0] : "";
	return true;
}

int proposal_add(struct proposal *p, const char *line, uint64_t seen, struct err *e)
{
	struct proposal_part *v = p->v;
	struct policy policy;
	int rc;

	if (p->n == PROPOSAL_MAX)
		return err_set(e, E2BIG, "more than %d different things were seen", PROPOSAL_MAX);
	if (p->n == p->room) {
		v = realloc(p->v, (p->room ? 2 * p->room : 64) * sizeof *v);
		if (!v)
			return err_num(e, ENOMEM, "rules");
		p->v = v;
		p->room = p->room ? 2 * p->room : 64;
	}
	rc = read_line(line, &policy, e);
	if (rc < 0)
		return rc;
	if (!is_one(&policy))
		rc = err_set(e, EINVAL, "rule of a record: it is not about one attempt");
	else if (!fill(p, policy.rules, seen, &v[p->n]))
		rc = err_num(e, ENOMEM, "rules");
	else
		p->n++;
	policy_fini(&policy);
	return rc;
}

void proposal_fini(struct proposal *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].line);
	free(p->v);
	arena_fini(&p->arena);
	*p = (struct proposal){ 0 };
}

/* --- what is allowed already ------------------------------------------------------------- */

static struct policy_party party_of(const struct host_pattern *h, const char *const *name)
{
	struct policy_party party = { .kind = PARTY_HOST };

	if (h->kind == HOST_PREFIX) {
		party.kind = PARTY_ADDR;
		party.addr = &h->prefix.addr;
	} else if (h->kind != HOST_OUTSIDE) {
		party.kind = h->kind == HOST_DOMAIN ? PARTY_DOMAIN : PARTY_NAME;
		party.names = name;
		party.n_names = 1;
	}
	return party;
}

static void decide(const struct proposal_part *t, const struct policy *by, struct policy_verdict *ret)
{
	const struct host_pattern *who = t->listen ? t->from : &t->host;
	struct policy_attempt a = { .kind = ATTEMPT_CONNECT,
				    .proto = (enum policy_proto)t->protos,
				    .port = t->ports->lo };

	if (!t->listen || t->n_from)
		a.peer = party_of(who, &who->name);
	if (t->listen) {
		a.kind = t->n_from ? ATTEMPT_ACCEPT : ATTEMPT_LISTEN;
		a.local = t->host.kind == HOST_PREFIX ? &t->host.prefix.addr : NULL;
	}
	policy_decide(by, &a, ret);
}

size_t proposal_drop_allowed(struct proposal *p, const struct policy *by, proposal_dropped *dropped, void *ctx)
{
	size_t kept = 0, gone;

	for (size_t i = 0; i < p->n; i++) {
		struct policy_verdict v;

		decide(&p->v[i], by, &v);
		if (!v.allow)
			p->v[kept++] = p->v[i];
		else if (dropped)
			dropped(ctx, &p->v[i], v.rule);
	}
	gone = p->n - kept;
	p->n = kept;
	return gone;
}

/* --- putting together ----------------------------------------------------------------------- */

static int order_place(const struct proposal_part *a, const struct proposal_part *b)
{
	int d = (int)a->listen - (int)b->listen;

	return d ? d : strcmp(a->host_text, b->host_text);
}

static int order_port(const struct proposal_part *a, const struct proposal_part *b)
{
	return (int)a->ports->lo - (int)b->ports->lo;
}

/* Same place, port and peer: protocols. */
static int by_attempt(const void *x, const void *y)
{
	const struct proposal_part *a = x, *b = y;
	int d = order_place(a, b);

	if (d == 0)
		d = order_port(a, b);
	return d ? d : strcmp(a->from_key, b->from_key);
}

/* Same place, port and protocols: peers. */
static int by_peer(const void *x, const void *y)
{
	const struct proposal_part *a = x, *b = y;
	int d = order_place(a, b);

	if (d == 0)
		d = order_port(a, b);
	if (d == 0)
		d = (int)a->protos - (int)b->protos;
	if (d == 0)
		d = (int)(a->n_from > 0) - (int)(b->n_from > 0); /* a listener without is another thing */
	return d ? d : strcmp(a->from_key, b->from_key);
}

/* Same place, protocols and peers: ports. */
static int by_ports(const void *x, const void *y)
{
	const struct proposal_part *a = x, *b = y;
	int d = order_place(a, b);

	if (d == 0)
		d = (int)a->protos - (int)b->protos;
	if (d == 0)
		d = strcmp(a->from_key, b->from_key);
	return d ? d : order_port(a, b);
}

static void merge_protos(struct proposal *p)
{
	size_t n = 0;

	qsort(p->v, p->n, sizeof *p->v, by_attempt);
	for (size_t i = 0; i < p->n; i++) {
		struct proposal_part *last = n ? &p->v[n - 1] : NULL;

		if (last && by_attempt(last, &p->v[i]) == 0) {
			last->protos |= p->v[i].protos;
			last->seen += p->v[i].seen;
		} else {
			p->v[n++] = p->v[i];
		}
	}
	p->n = n;
}

/* The peers of n parts as one's. */
static bool join_peers(struct proposal *p, struct proposal_part *first, size_t n)
{
	struct host_pattern *from = arena_array(&p->arena, n, sizeof *from);
	const char **texts = arena_array(&p->arena, n, sizeof *texts);
	const char *key = "";

	if (!from || !texts)
		return false;
	for (size_t i = 0; key && i < n; i++) {
		from[i] = first[i].from[0];
		texts[i] = first[i].from_texts[0];
		key = arena_printf(&p->arena, "%s %s", key, texts[i]);
		first->seen += i ? first[i].seen : 0;
	}
	first->from = from;
	first->from_texts = texts;
	first->from_key = key;
	first->n_from = n;
	return key != NULL;
}

static bool merge_peers(struct proposal *p)
{
	size_t n = 0, len;
	bool ok = true;

	qsort(p->v, p->n, sizeof *p->v, by_peer);
	for (size_t i = 0; ok && i < p->n; i += len) {
		struct proposal_part *v = &p->v[i];

		for (len = 1; v->n_from && i + len < p->n && order_place(v, v + len) == 0 &&
			      order_port(v, v + len) == 0 && v[len].protos == v->protos && v[len].n_from;)
			len++;
		if (len > 1)
			ok = join_peers(p, v, len);
		p->v[n++] = *v;
	}
	p->n = n;
	return ok;
}

static bool join_ports(struct proposal *p, struct proposal_part *first, size_t n)
{
	struct port_range *v = arena_array(&p->arena, n, sizeof *v);
	size_t ranges = 0;

	for (size_t i = 0; v && i < n; i++) {
		if (ranges && v[ranges - 1].hi + 1 == first[i].ports->lo)
			v[ranges - 1].hi++;
		else
			v[ranges++] = *first[i].ports;
		first->seen += i ? first[i].seen : 0;
	}
	first->ports = v;
	first->n_ports = ranges;
	return v != NULL;
}

static bool merge_ports(struct proposal *p)
{
	size_t n = 0, len;
	bool ok = true;

	qsort(p->v, p->n, sizeof *p->v, by_ports);
	for (size_t i = 0; ok && i < p->n; i += len) {
		struct proposal_part *v = &p->v[i];

		for (len = 1; i + len < p->n && order_place(v, v + len) == 0 && v[len].protos == v->protos &&
			      strcmp(v[len].from_key, v->from_key) == 0;)
			len++;
		if (len > 1)
			ok = join_ports(p, v, len);
		p->v[n++] = *v;
	}
	p->n = n;
	return ok;
}

static int write_part(struct proposal_part *t, struct err *e)
{
	struct endpoint ep = { .host = t->host, .ports = { t->ports, t->n_ports } };
	struct policy_rule r = { .allow = true,
				 .op = t->listen ? POLICY_LISTEN : POLICY_CONNECT,
				 .protos = t->protos,
				 .endpoints = &ep,
				 .n_endpoints = 1,
				 .n_from = t->n_from,
				 .on_deny = POLICY_DENY_INHERIT };

	/* Read only; a rule that was loaded owns what it points to. */
	r.from = (struct host_pattern *)(uintptr_t)t->from;
	return policy_rule_format(&r, &t->line, e);
}

int proposal_merge(struct proposal *p, struct err *e)
{
	int rc = 0;

	if (p->n == 0)
		return 0;
	merge_protos(p);
	if (!merge_peers(p) || !merge_ports(p))
		return err_num(e, ENOMEM, "rules");
	for (size_t i = 0; rc == 0 && i < p->n; i++)
		rc = write_part(&p->v[i], e);
	return rc;
}
