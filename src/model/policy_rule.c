/* SPDX-License-Identifier: Apache-2.0 */
/* One rule of net.rules: its keys, and which of them may stand together. */
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "model/policy_load.h"

#define CONNECTIONS_MAX 1000000
#define MESSAGE_MAX 400
#define RECORD_NAME_MAX 100

const char *const policy_rule_keys[] = {
	"id",      "allow",   "deny",    "to",       "at",             "proto",  "from",
	"publish", "rate",    "burst",   "maxBytes", "maxConnections", "record", "tls",
	"forward", "onDeny",  "message", "comment",  NULL,
};
const char *const policy_record_keys[] = { "file", "format", NULL };
const char *const policy_tls_keys[] = { "names", NULL };

static const struct {
	const char *name;
	uint16_t type;
} query_types[] = {
	{ "NS", 2 },    { "CNAME", 5 }, { "SOA", 6 },    { "PTR", 12 },   { "MX", 15 },
	{ "TXT", 16 },  { "SRV", 33 },  { "NAPTR", 35 }, { "DS", 43 },    { "SSHFP", 44 },
	{ "TLSA", 52 }, { "SVCB", 64 }, { "HTTPS", 65 }, { "CAA", 257 },
};

const char *policy_query_type_name(uint16_t type, char *buf, size_t size)
{
	for (size_t i = 0; i < sizeof query_types / sizeof *query_types; i++) {
		if (query_types[i].type == type) {
			(void)snprintf(buf, size, "%s", query_types[i].name);
			return buf;
		}
	}
	(void)snprintf(buf, size, "TYPE%u", type);
	return buf;
}

uint16_t policy_query_type_at(size_t i)
{
	return i < sizeof query_types / sizeof *query_types ? query_types[i].type : 0;
}

uint16_t policy_query_type_find(const char *name)
{
	for (size_t i = 0; i < sizeof query_types / sizeof *query_types; i++)
		if (strcmp(query_types[i].name, name) == 0)
			return query_types[i].type;
	return 0;
}

/* A key whose value is one string or a list of them: how many; the i-th is at_many(). */
static int count_many(const struct jat *at, const char *key, struct jat *ret, size_t *ret_n,
		      struct err *e)
{
	if (!json_member(at, key, ret)) {
		*ret_n = 0;
		return 0;
	}
	if (!json_is_array(ret->val)) {
		const char *unused;

		*ret_n = 1;
		if (!json_is_string(ret->val))
			return json_error(ret, e, "expected a string or a list of strings");
		return json_as_string(ret, &unused, e) < 0 ? -EINVAL : 1;
	}
	*ret_n = json_array_size(ret->val);
	return *ret_n ? 1 : json_error(ret, e, "an empty list");
}

static int at_many(const struct jat *many, size_t i, struct jat *ret, const char **ret_text,
		   struct err *e)
{
	if (json_is_array(many->val))
		(void)json_element(many, i, ret);
	else
		*ret = *many;
	return json_as_string(ret, ret_text, e);
}

static int no_memory(const struct policy_loader *l, struct err *e)
{
	return err_num(e, ENOMEM, "%s", l->p->file);
}

/* --- what a rule is about -------------------------------------------------- */

static int read_verb(const struct jat *at, struct policy_rule *r, struct err *e)
{
	static const char *const ops[] = { "connect", "listen", NULL };
	int op = 0, allow, deny;

	allow = policy_get_word(at, "allow", ops, &op, e);
	if (allow < 0)
		return allow;
	deny = policy_get_word(at, "deny", ops, &op, e);
	if (deny < 0)
		return deny;
	if (allow == deny) {
		(void)json_error(at, e, allow ? "a rule cannot both allow and deny"
					      : "a rule must say \"allow\" or \"deny\"");
		return err_hint(e, "like { \"allow\": \"connect\", \"to\": \"db:5432\" }");
	}
	r->allow = allow == 1;
	r->op = op == 0 ? POLICY_CONNECT : POLICY_LISTEN;
	return 0;
}

/* Keys that the rule's kind has no use for, each with the reason. */
static int refuse_misplaced(const struct jat *at, const struct policy_rule *r, struct err *e)
{
	static const struct {
		const char *key;
		bool allow_connect, deny_connect, allow_listen, deny_listen;
		const char *why;
	} where[] = {
		{ "to", 1, 1, 0, 0, "belongs to connect rules; a listen rule has \"at\"" },
		{ "at", 0, 0, 1, 1, "belongs to listen rules; a connect rule has \"to\"" },
		{ "from", 0, 0, 1, 1, "belongs to listen rules: it says who may come in" },
		{ "publish", 0, 0, 1, 0, "belongs to rules that allow listening" },
		{ "rate", 1, 0, 1, 0, "belongs to rules that allow" },
		{ "burst", 1, 0, 1, 0, "belongs to rules that allow" },
		{ "maxBytes", 1, 0, 1, 0, "belongs to rules that allow" },
		{ "maxConnections", 1, 0, 1, 0, "belongs to rules that allow" },
		{ "record", 1, 0, 1, 0, "belongs to rules that allow" },
		{ "tls", 1, 0, 0, 0, "belongs to rules that allow connecting" },
		{ "forward", 1, 0, 0, 0, "belongs to rules that allow connecting" },
		{ "onDeny", 0, 1, 0, 1, "belongs to rules that deny" },
	};

	for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
		bool ok = r->op == POLICY_CONNECT ?
				  (r->allow ? where[i].allow_connect : where[i].deny_connect) :
				  (r->allow ? where[i].allow_listen : where[i].deny_listen);
		struct jat m;

		if (!ok && json_member(at, where[i].key, &m))
			return json_error(&m, e, "%s", where[i].why);
	}
	return 0;
}

static int count_elements(struct policy_loader *l, const struct jat *many, size_t n, struct err *e)
{
	if (json_is_array(many->val) && policy_bound_list(many, POLICY_RULE_LIST_MAX, e) < 0)
		return -EINVAL;
	l->elements += n;
	if (l->elements > POLICY_ELEMENTS_MAX)
		return json_error(many, e, "more than %d elements in all rules", POLICY_ELEMENTS_MAX);
	return 0;
}

static int read_endpoints(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
			  struct err *e)
{
	const char *key = r->op == POLICY_CONNECT ? "to" : "at", *text;
	struct jat many, el;
	struct err inner;
	size_t n;
	int rc = count_many(at, key, &many, &n, e);

	if (rc < 0)
		return rc;
	if (rc == 0) {
		(void)json_error(at, e, "\"%s\" is missing", key);
		return err_hint(e, r->op == POLICY_CONNECT ? "like \"to\": \"db:5432\"" :
							     "like \"at\": \":8080\"");
	}
	if (count_elements(l, &many, n, e) < 0)
		return -EINVAL;
	r->endpoints = arena_array(&l->p->arena, n, sizeof *r->endpoints);
	if (!r->endpoints)
		return no_memory(l, e);
	for (size_t i = 0; i < n; i++) {
		struct endpoint *ep = &r->endpoints[i];

		if (at_many(&many, i, &el, &text, e) < 0)
			return -EINVAL;
		rc = r->op == POLICY_CONNECT ? endpoint_parse(text, &l->p->arena, ep, &inner) :
					       endpoint_parse_local(text, &l->p->arena, ep, &inner);
		if (rc < 0)
			return policy_bad_value(&el, &inner, e);
		l->ranges += ep->ports.n;
		if (l->ranges > POLICY_RANGES_MAX)
			return json_error(&el, e, "more than %d ranges of ports", POLICY_RANGES_MAX);
		for (size_t j = 0; j < i; j++) {
			if (host_equal(&ep->host, &r->endpoints[j].host) &&
			    ports_overlap(&ep->ports, &r->endpoints[j].ports))
				return json_error(&el, e, "overlaps element %zu of the same list", j);
		}
	}
	r->n_endpoints = n;
	return 0;
}

static int read_protos(const struct jat *at, struct policy_rule *r, struct err *e)
{
	struct jat many, el;
	const char *text;
	size_t n;
	int rc = count_many(at, "proto", &many, &n, e);

	if (rc < 0)
		return rc;
	if (rc == 0)
		r->protos = POLICY_TCP;
	for (size_t i = 0; i < n; i++) {
		unsigned bit;

		if (at_many(&many, i, &el, &text, e) < 0)
			return -EINVAL;
		bit = strcmp(text, "tcp") == 0 ? POLICY_TCP :
		      strcmp(text, "udp") == 0 ? POLICY_UDP :
						 0U;
		if (!bit)
			return json_error(&el, e, "expected \"tcp\" or \"udp\"");
		if (r->protos & bit)
			return json_error(&el, e, "\"%s\" is given twice", text);
		r->protos |= bit;
	}
	return 0;
}

static int read_from(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
		     struct err *e)
{
	struct jat many, el;
	const char *text;
	struct err inner;
	size_t n;
	int rc = count_many(at, "from", &many, &n, e);

	if (rc <= 0)
		return rc;
	if (count_elements(l, &many, n, e) < 0)
		return -EINVAL;
	r->from = arena_array(&l->p->arena, n, sizeof *r->from);
	if (!r->from)
		return no_memory(l, e);
	for (size_t i = 0; i < n; i++) {
		struct host_pattern *h = &r->from[i];

		if (at_many(&many, i, &el, &text, e) < 0)
			return -EINVAL;
		if (host_parse(text, &l->p->arena, h, &inner) < 0)
			return policy_bad_value(&el, &inner, e);
		if (h->kind == HOST_NAME || h->kind == HOST_WILDCARD) {
			(void)json_error(&el, e, "who comes in is known by address, not by host name");
			return err_hint(e, "write a domain's name, \"host\", an address or a prefix");
		}
		for (size_t j = 0; j < i; j++) {
			if (host_equal(h, &r->from[j]))
				return json_error(&el, e, "is given twice");
		}
	}
	r->n_from = n;
	return 0;
}

static int read_publish(const struct jat *at, struct policy_rule *r, struct err *e)
{
	const char *text;
	struct err inner;
	struct jat m;
	int rc = json_get_string(at, "publish", &text, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, "publish", &m);
	if (endpoint_parse_publish(text, &r->publish_addr, &r->publish_port, &inner) < 0)
		return policy_bad_value(&m, &inner, e);
	r->publish = true;
	if (r->n_endpoints != 1 || ports_count(&r->endpoints[0].ports) != 1) {
		(void)json_error(&m, e, "one host port stands for one port of the domain");
		return err_hint(e, "give \"at\" a single port, and each published port its own rule");
	}
	for (size_t i = 0; i < r->n_from; i++) {
		if (r->from[i].kind != HOST_DOMAIN)
			return 0;
	}
	(void)json_error(&m, e, "published, but \"from\" lets nobody outside in");
	return err_hint(e, "add \"from\": [\"host\"] for this machine, \"0.0.0.0/0\" or \"*\" for all");
}

/* --- options --------------------------------------------------------------- */

static int read_rate(const struct jat *at, struct policy_options *o, struct err *e)
{
	const char *text;
	char size[32];
	struct jat m;
	size_t len;
	int rc = json_get_string(at, "rate", &text, e);

	if (rc < 0)
		return rc;
	(void)json_member(at, "rate", &m);
	len = rc ? strlen(text) : 0;
	if (rc && (len < 3 || len - 2 >= sizeof size || strcmp(text + len - 2, "/s") != 0)) {
		(void)json_error(&m, e, "expected bytes per second");
		return err_hint(e, "like \"10MB/s\" or \"512K/s\"");
	}
	if (rc) {
		memcpy(size, text, len - 2);
		size[len - 2] = '\0';
		if (num_parse_size(size, INT64_MAX, &o->rate) < 0) {
			(void)json_error(&m, e, "expected bytes per second");
			return err_hint(e, "like \"10MB/s\" or \"512K/s\"");
		}
		if (o->rate == 0)
			return json_error(&m, e, "a rate of 0 lets nothing through");
	}
	rc = policy_get_size(at, "burst", &o->burst, e);
	if (rc == 1 && !o->rate) {
		(void)json_member(at, "burst", &m);
		return json_error(&m, e, "a burst means nothing without a rate");
	}
	return rc < 0 ? rc : 0;
}

static int read_record(struct policy_loader *l, const struct jat *at, struct policy_options *o,
		       struct err *e)
{
	static const char *const formats[] = { "pcapng", "raw", NULL };
	static const char record_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	struct jat m;
	const char *file;
	int rc, format = 0;

	if (!json_member(at, "record", &m))
		return 0;
	if (json_is_object(m.val)) {
		if (policy_no_nulls(&m, e) < 0 || json_known_keys(&m, policy_record_keys, e) < 0 ||
		    policy_get_word(&m, "format", formats, &format, e) < 0)
			return -EINVAL;
		rc = json_get_string(&m, "file", &file, e);
		if (rc == 0)
			return json_error(&m, e, "\"file\" is missing");
	} else {
		rc = json_as_string(&m, &file, e);
	}
	if (rc < 0)
		return rc;
	/* It comes from whoever wrote the policy, and the run's caller gives the place. */
	if (*file == '.' || !*file || strlen(file) > RECORD_NAME_MAX || file[strspn(file, record_chars)]) {
		(void)json_error(&m, e, "expected a plain file name: letters, digits, '.', '_' and '-'");
		return err_hint(e, "the directory is given to the run: --record DIR");
	}
	o->record = format == 0 ? POLICY_RECORD_PCAPNG : POLICY_RECORD_RAW;
	o->record_file = arena_strdup(&l->p->arena, file);
	return o->record_file ? 0 : no_memory(l, e);
}

static int read_tls_name(struct policy_loader *l, const struct jat *el, const char **ret,
			 struct err *e)
{
	struct host_pattern h;
	const char *text;
	struct err inner;

	if (json_as_string(el, &text, e) < 0)
		return -EINVAL;
	if (host_parse(text, &l->p->arena, &h, &inner) < 0)
		return policy_bad_value(el, &inner, e);
	if (h.kind != HOST_NAME && h.kind != HOST_WILDCARD && h.kind != HOST_DOMAIN)
		return json_error(el, e, "expected a name or \"*.name\"");
	*ret = h.kind == HOST_WILDCARD ? arena_printf(&l->p->arena, "*.%s", h.name) : h.name;
	return *ret ? 0 : no_memory(l, e);
}

static int read_tls(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
		    struct err *e)
{
	struct policy_options *o = &r->options;
	struct jat m, names, el;
	size_t n;
	int rc = json_get_object(at, "tls", &m, e);

	if (rc <= 0)
		return rc;
	if (policy_no_nulls(&m, e) < 0 || json_known_keys(&m, policy_tls_keys, e) < 0)
		return -EINVAL;
	rc = json_get_array(&m, "names", &names, e);
	if (rc < 0)
		return rc;
	n = rc ? json_array_size(names.val) : 0;
	if (n == 0)
		return json_error(&m, e, "\"names\" must list at least one server name");
	if (policy_bound_list(&names, POLICY_LIST_MAX, e) < 0)
		return -EINVAL;
	if (r->protos & POLICY_UDP)
		return json_error(&m, e, "only the names of TLS over TCP can be seen");
	o->tls_names = arena_array(&l->p->arena, n, sizeof *o->tls_names);
	if (!o->tls_names)
		return no_memory(l, e);
	for (o->n_tls_names = 0; o->n_tls_names < n; o->n_tls_names++) {
		(void)json_element(&names, o->n_tls_names, &el);
		rc = read_tls_name(l, &el, &o->tls_names[o->n_tls_names], e);
		if (rc < 0)
			return rc;
		for (size_t j = 0; j < o->n_tls_names; j++) {
			if (strcmp(o->tls_names[j], o->tls_names[o->n_tls_names]) == 0)
				return json_error(&el, e, "is given twice");
		}
	}
	return 0;
}

static int read_options(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
			struct err *e)
{
	int64_t n;
	int rc = read_rate(at, &r->options, e);

	if (rc < 0)
		return rc;
	rc = policy_get_size(at, "maxBytes", &r->options.max_bytes, e);
	if (rc < 0)
		return rc;
	rc = json_get_int(at, "maxConnections", 1, CONNECTIONS_MAX, &n, e);
	if (rc < 0)
		return rc;
	if (rc)
		r->options.max_connections = (uint32_t)n;
	rc = read_record(l, at, &r->options, e);
	return rc < 0 ? rc : read_tls(l, at, r, e);
}

static int query_type(const struct jat *el, const char *text, uint16_t *ret, struct err *e)
{
	if (strcmp(text, "A") == 0 || strcmp(text, "AAAA") == 0)
		return json_error(el, e, "is always answered");
	*ret = policy_query_type_find(text);
	if (*ret)
		return 0;
	(void)json_error(el, e, "not a query type that can be forwarded");
	return err_hint(e, "NS, CNAME, SOA, PTR, MX, TXT, SRV, NAPTR, DS, SSHFP, TLSA, SVCB, HTTPS, CAA");
}

static int read_forward(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
			struct err *e)
{
	struct jat many, el;
	bool named = false;
	const char *text;
	size_t n;
	int rc = count_many(at, "forward", &many, &n, e);

	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < r->n_endpoints; i++) {
		enum host_kind k = r->endpoints[i].host.kind;

		named |= k == HOST_NAME || k == HOST_WILDCARD || k == HOST_ANY;
	}
	if (!named)
		return json_error(&many, e, "the rule names no real host whose records could be asked for");
	r->forward = arena_array(&l->p->arena, n, sizeof *r->forward);
	if (!r->forward)
		return no_memory(l, e);
	for (; r->n_forward < n; r->n_forward++) {
		if (at_many(&many, r->n_forward, &el, &text, e) < 0 ||
		    query_type(&el, text, &r->forward[r->n_forward], e) < 0)
			return -EINVAL;
		for (size_t j = 0; j < r->n_forward; j++) {
			if (r->forward[j] == r->forward[r->n_forward])
				return json_error(&el, e, "is given twice");
		}
	}
	return 0;
}

/* --- words for people ------------------------------------------------------ */

static int read_id(struct policy_loader *l, const struct jat *at, struct policy_rule *r, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *text;
	struct jat m;
	int rc = json_get_string(at, "id", &text, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, "id", &m);
	if (!*text || strlen(text) > 64 || text[strspn(text, allowed)])
		return json_error(&m, e, "an id has 1 to 64 letters, digits, '.', '_' or '-'");
	r->id = arena_strdup(&l->p->arena, text);
	r->id_given = true;
	return r->id ? 0 : no_memory(l, e);
}

static int read_words(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
		      struct err *e)
{
	static const char *const on_deny[] = { "EACCES", "ECONNREFUSED", "EHOSTUNREACH", "kill", NULL };
	const char *text;
	int word, rc = read_id(l, at, r, e);

	if (rc < 0)
		return rc;
	r->on_deny = POLICY_DENY_INHERIT;
	rc = policy_get_word(at, "onDeny", on_deny, &word, e);
	if (rc < 0)
		return rc;
	if (rc)
		r->on_deny = (enum policy_on_deny)word;
	if (json_get_string(at, "comment", &text, e) < 0)
		return -EINVAL;
	rc = json_get_string(at, "message", &text, e);
	if (rc <= 0)
		return rc;
	if (!*text || strlen(text) > MESSAGE_MAX) {
		struct jat m;

		(void)json_member(at, "message", &m);
		return json_error(&m, e, "a message has 1 to %d bytes", MESSAGE_MAX);
	}
	r->message = arena_strdup(&l->p->arena, text);
	return r->message ? 0 : no_memory(l, e);
}

int policy_read_rule(struct policy_loader *l, const struct jat *at, struct policy_rule *r,
		     struct err *e)
{
	int (*const whole[])(struct policy_loader *, const struct jat *, struct policy_rule *,
			     struct err *) = { read_endpoints, read_from, read_options, read_forward,
					       read_words };
	int rc;

	if (json_expect_object(at, e) < 0 || policy_no_nulls(at, e) < 0 ||
	    json_known_keys(at, policy_rule_keys, e) < 0)
		return -EINVAL;
	rc = read_verb(at, r, e);
	if (rc == 0)
		rc = refuse_misplaced(at, r, e);
	if (rc == 0)
		rc = read_protos(at, r, e);
	for (size_t i = 0; rc >= 0 && i < sizeof whole / sizeof *whole; i++)
		rc = whole[i](l, at, r, e);
	return rc < 0 ? rc : read_publish(at, r, e) < 0 ? -EINVAL : 0;
}
