/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

/* DEL, a C1 control or a bidirectional override: what JSON may have as it is, and a terminal obeys. Its bytes. */
static size_t is_terminal_control(const unsigned char *s, unsigned *ret)
{
	if (s[0] == 0x7f) {
		*ret = 0x7f;
		return 1;
	}
	if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) {
		*ret = s[1];
		return 2;
	}
	if (s[0] != 0xe2 || (s[1] != 0x80 && s[1] != 0x81) || s[2] < 0x80)
		return 0;
	*ret = 0x2000U | (s[1] & 0x3fU) << 6 | (s[2] & 0x3fU);
	return (*ret >= 0x202a && *ret <= 0x202e) || (*ret >= 0x2066 && *ret <= 0x2069) ? 3 : 0;
}

/* A string as JSON has it. Strings of a policy have passed jansson, so they encode. */
static void put_string(FILE *f, const char *text)
{
	json_t *s = json_string(text);
	AUTO_FREE char *word = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
	unsigned control;

	for (const char *p = word ? word : "\"\""; *p;) {
		size_t n = is_terminal_control((const unsigned char *)p, &control);

		if (n)
			(void)fprintf(f, "\\u%04x", control);
		else
			(void)fputc(*p, f);
		p += n ? n : 1;
	}
	json_decref(s);
}

static int text_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef const char *format_fn(const void *list, size_t i, char *buf, size_t size);

/* "KEY": one text, or a list of them in order. False when memory runs out. */
static bool put_list(FILE *f, const char *key, bool always_list, const void *list, size_t n,
		     format_fn *format, size_t size)
{
	char **v = calloc(n + 1, sizeof *v);
	bool ok = v != NULL, many = always_list || n > 1;

	for (size_t i = 0; ok && i < n; i++) {
		char *buf = malloc(size);

		ok = buf != NULL;
		v[i] = ok ? strdup(format(list, i, buf, size)) : NULL;
		ok = ok && v[i];
		free(buf);
	}
	if (ok) {
		qsort(v, n, sizeof *v, text_order);
		(void)fprintf(f, "\"%s\": %s", key, many ? "[" : "");
		for (size_t i = 0; i < n; i++) {
			if (i)
				(void)fputs(", ", f);
			put_string(f, v[i]);
		}
		(void)fputs(many ? "]" : "", f);
	}
	for (size_t i = 0; v && i < n; i++)
		free(v[i]);
	free(v);
	return ok;
}

static const char *format_to(const void *list, size_t i, char *buf, size_t size)
{
	return endpoint_format((const struct endpoint *)list + i, buf, size);
}

static const char *format_at(const void *list, size_t i, char *buf, size_t size)
{
	return endpoint_format_local((const struct endpoint *)list + i, buf, size);
}

static const char *format_from(const void *list, size_t i, char *buf, size_t size)
{
	return host_format((const struct host_pattern *)list + i, buf, size);
}

static const char *format_type(const void *list, size_t i, char *buf, size_t size)
{
	return policy_query_type_name(((const uint16_t *)list)[i], buf, size);
}

static const char *format_text(const void *list, size_t i, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", ((const char *const *)list)[i]);
	return buf;
}

static const char *format_addr(const void *list, size_t i, char *buf, size_t size)
{
	return addr_format((const struct addr *)list + i, buf, size);
}

static bool put_options(FILE *f, const struct policy_options *o)
{
	bool ok = true;

	if (o->rate)
		(void)fprintf(f, ", \"rate\": \"%" PRIu64 "/s\"", o->rate);
	if (o->burst)
		(void)fprintf(f, ", \"burst\": %" PRIu64, o->burst);
	if (o->max_bytes)
		(void)fprintf(f, ", \"maxBytes\": %" PRIu64, o->max_bytes);
	if (o->max_connections)
		(void)fprintf(f, ", \"maxConnections\": %u", o->max_connections);
	if (o->record != POLICY_RECORD_NONE) {
		(void)fputs(", \"record\": { \"file\": ", f);
		put_string(f, o->record_file);
		(void)fprintf(f, ", \"format\": \"%s\" }", policy_record_name(o->record));
	}
	if (o->n_tls_names) {
		(void)fputs(", \"tls\": { ", f);
		ok = put_list(f, "names", true, o->tls_names, o->n_tls_names, format_text,
			      NAME_TEXT_MAX + 2);
		(void)fputs(" }", f);
	}
	return ok;
}

static size_t endpoint_size(const struct policy_rule *r)
{
	size_t ranges = 0;

	for (size_t i = 0; i < r->n_endpoints; i++)
		ranges = r->endpoints[i].ports.n > ranges ? r->endpoints[i].ports.n : ranges;
	return NAME_TEXT_MAX + 12 * ranges + 8;
}

static void put_publish(FILE *f, const struct policy_rule *r)
{
	char addr[ADDR_TEXT_MAX];
	bool v4 = addr_is_v4(&r->publish_addr);

	(void)addr_format(&r->publish_addr, addr, sizeof addr);
	(void)fprintf(f, v4 ? ", \"publish\": \"%s:%u\"" : ", \"publish\": \"[%s]:%u\"", addr,
		      r->publish_port);
}

static bool put_rule(FILE *f, const struct policy_rule *r)
{
	bool connect = r->op == POLICY_CONNECT, ok = true;

	(void)fputs("{ ", f);
	if (r->id_given)
		(void)fprintf(f, "\"id\": \"%s\", ", r->id);
	(void)fprintf(f, "\"%s\": \"%s\", ", r->allow ? "allow" : "deny", connect ? "connect" : "listen");
	ok &= put_list(f, connect ? "to" : "at", false, r->endpoints, r->n_endpoints,
		       connect ? format_to : format_at, endpoint_size(r));
	if (r->protos == POLICY_UDP)
		(void)fputs(", \"proto\": \"udp\"", f);
	else if (r->protos == (POLICY_TCP | POLICY_UDP))
		(void)fputs(", \"proto\": [\"tcp\", \"udp\"]", f);
	if (r->n_from) {
		(void)fputs(", ", f);
		ok &= put_list(f, "from", true, r->from, r->n_from, format_from, NAME_TEXT_MAX + 8);
	}
	if (r->publish)
		put_publish(f, r);
	ok &= put_options(f, &r->options);
	if (r->n_forward) {
		(void)fputs(", ", f);
		ok &= put_list(f, "forward", true, r->forward, r->n_forward, format_type, 16);
	}
	if (r->on_deny != POLICY_DENY_INHERIT)
		(void)fprintf(f, ", \"onDeny\": \"%s\"", policy_on_deny_name(r->on_deny));
	if (r->message) {
		(void)fputs(", \"message\": ", f);
		put_string(f, r->message);
	}
	(void)fputs(" }", f);
	return ok;
}

int policy_rule_format(const struct policy_rule *r, char **ret_text, struct err *e)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool ok = f && put_rule(f, r);

	if ((f && fclose(f) != 0) || !ok) {
		free(text);
		return err_num(e, ENOMEM, "writing a rule");
	}
	*ret_text = text;
	return 0;
}

int policy_options_format(const struct policy_options *o, char **ret_text, struct err *e)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool ok = f && put_options(f, o);

	if ((f && fclose(f) != 0) || !ok) {
		free(text);
		return err_num(e, ENOMEM, "writing options");
	}
	/* Each begins with ", ". */
	if (len >= 2)
		memmove(text, text + 2, len - 1);
	*ret_text = text;
	return 0;
}

/* --- the document ------------------------------------------------------------- */

static bool put_rules(FILE *f, const struct policy *p)
{
	char **v = calloc(p->n_rules + 1, sizeof *v);
	bool ok = v != NULL;

	for (size_t i = 0; ok && i < p->n_rules; i++)
		ok = policy_rule_format(&p->rules[i], &v[i], NULL) == 0;
	if (ok) {
		qsort(v, p->n_rules, sizeof *v, text_order);
		for (size_t i = 0; i < p->n_rules; i++)
			(void)fprintf(f, "%s\n      %s", i ? "," : "", v[i]);
	}
	for (size_t i = 0; v && i < p->n_rules; i++)
		free(v[i]);
	free(v);
	return ok;
}

static void put_resolver(FILE *f, const struct policy *p, const char **sep)
{
	char four[PREFIX_TEXT_MAX], six[PREFIX_TEXT_MAX];
	struct policy none;

	policy_init_none(&none);
	(void)prefix_format(&p->resolver.pool4, four, sizeof four);
	(void)prefix_format(&p->resolver.pool6, six, sizeof six);
	if (strcmp(four, POLICY_POOL4_DEFAULT) == 0 && strcmp(six, POLICY_POOL6_DEFAULT) == 0 &&
	    p->resolver.ttl == POLICY_TTL_DEFAULT)
		return;
	(void)fprintf(f, "%s\n    \"resolver\": { \"pools\": [\"%s\", \"%s\"], \"ttl\": %u }", *sep, four,
		      six, p->resolver.ttl);
	*sep = ",";
}

static bool put_net(FILE *f, const struct policy *p)
{
	size_t own = p->domain ? 1 : 0; /* the domain's name is among its names anyway */
	const char *sep = "";
	bool ok = true;

	if (p->net != POLICY_NET_RULES) {
		(void)fprintf(f, "\"%s\"", policy_net_name(p->net));
		return true;
	}
	(void)fputs("{", f);
	if (p->n_addresses) {
		(void)fputs("\n    ", f);
		ok &= put_list(f, "address", true, p->addresses, p->n_addresses, format_addr, ADDR_TEXT_MAX);
		sep = ",";
	}
	if (p->n_names > own) {
		(void)fprintf(f, "%s\n    ", sep);
		ok &= put_list(f, "names", true, p->names + own, p->n_names - own, format_text,
			       NAME_TEXT_MAX);
		sep = ",";
	}
	if (p->transport != POLICY_TRANSPORT_TCP) {
		(void)fprintf(f, "%s\n    \"transport\": \"%s\"", sep, policy_transport_name(p->transport));
		sep = ",";
	}
	put_resolver(f, p, &sep);
	if (p->n_rules) {
		(void)fprintf(f, "%s\n    \"rules\": [", sep);
		ok &= put_rules(f, p);
		(void)fputs("\n    ]", f);
		sep = ",";
	}
	(void)fputs(*sep ? "\n  }" : "}", f);
	return ok;
}

static void put_limits(FILE *f, const struct policy_limits *l)
{
	const struct {
		const char *key;
		uint64_t value;
	} v[] = {
		{ "memory", l->memory },   { "pids", l->pids },	      { "files", l->files },
		{ "sockets", l->sockets }, { "pending", l->pending }, { "trapRate", l->trap_rate },
	};
	const char *sep = ",\n  \"limits\": { ";

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!v[i].value)
			continue;
		(void)fprintf(f, "%s\"%s\": %" PRIu64, sep, v[i].key, v[i].value);
		sep = ", ";
	}
	if (sep[1] == ' ')
		(void)fputs(" }", f);
}

int policy_format(const struct policy *p, char **ret_text, struct err *e)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool ok = f != NULL;

	if (ok) {
		(void)fputs("{\n  \"version\": 1", f);
		if (p->domain)
			(void)fprintf(f, ",\n  \"domain\": \"%s\"", p->domain);
		(void)fputs(",\n  \"net\": ", f);
		ok = put_net(f, p);
		put_limits(f, &p->limits);
		if (!p->audit.denied || p->audit.allowed)
			(void)fprintf(f, ",\n  \"audit\": { \"denied\": %s, \"allowed\": %s }",
				      p->audit.denied ? "true" : "false",
				      p->audit.allowed ? "true" : "false");
		if (p->on_deny != POLICY_DENY_EACCES)
			(void)fprintf(f, ",\n  \"onDeny\": \"%s\"", policy_on_deny_name(p->on_deny));
		(void)fputs("\n}\n", f);
	}
	if ((f && fclose(f) != 0) || !ok) {
		free(text);
		return err_num(e, ENOMEM, "writing policy %s", p->file);
	}
	*ret_text = text;
	return 0;
}
