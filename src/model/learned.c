/* SPDX-License-Identifier: Apache-2.0 */
#include "model/learned.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/policy_edit.h"

#define MANY 3 /* names of a zone, addresses of a network: so many look like a pattern */
#define MANY_PORTS 8
#define REFUSED_MAX 50

void learned_fini(struct learned *l)
{
	proposal_fini(&l->rules);
	json_decref(l->looked_up);
	json_decref(l->refused);
	*l = (struct learned){ 0 };
}

/* --- taking ---------------------------------------------------------------------------- */

static const char *string_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "";
}

static bool is_connected(const json_t *attempts, const char *peer)
{
	const json_t *o;
	size_t i;

	json_array_foreach(attempts, i, o)
		if (strcmp(string_of(o, "what"), "connect") == 0 && strcmp(string_of(o, "peer"), peer) == 0)
			return true;
	return false;
}

static void refuse(struct learned *l, const json_t *o)
{
	char text[1600];

	if (json_array_size(l->refused) >= REFUSED_MAX)
		return;
	(void)snprintf(text, sizeof text, "%s%s%s", string_of(o, "attempt"), *string_of(o, "why") ? ": " : "",
		       string_of(o, "why"));
	(void)json_array_append_new(l->refused, json_string(text));
}

static int take(struct learned *l, const json_t *attempts, const json_t *o, struct err *e)
{
	const char *decision = string_of(o, "decision"), *line = string_of(o, "line"), *what = string_of(o, "what");
	json_int_t count = json_integer_value(json_object_get(o, "count"));

	if (json_object_get(o, "others")) {
		l->others += (uint64_t)json_integer_value(json_object_get(o, "others"));
		return 0;
	}
	if (!*decision || count < 1)
		return err_set(e, EINVAL, "attempts: not what a run writes");
	l->attempts += (uint64_t)count;
	if (l->asked && strcmp(decision, "deny") == 0) {
		if (strcmp(what, "resolve") != 0) /* that is only the way to where one was asked about */
			refuse(l, o);
		return 0;
	}
	/* Its port is a guess, which is not needed when the port is known. */
	if (strcmp(what, "resolve") == 0 && is_connected(attempts, string_of(o, "peer")))
		return 0;
	if (strcmp(what, "resolve") == 0)
		(void)json_object_set_new(l->looked_up, string_of(o, "peer"), json_true());
	if (*line)
		return proposal_add(&l->rules, line, (uint64_t)count, e);
	if (strcmp(decision, "deny") == 0)
		refuse(l, o);
	return 0;
}

int learned_take(struct learned *l, const json_t *attempts, struct err *e)
{
	const json_t *o;
	size_t i;
	int rc = 0;

	if (!json_is_array(attempts))
		return err_set(e, EINVAL, "attempts: not what a run writes");
	if (!l->refused)
		l->refused = json_array();
	if (!l->looked_up)
		l->looked_up = json_object();
	json_array_foreach(attempts, i, o)
		rc = rc < 0 ? rc : take(l, attempts, o, e);
	return rc;
}

/* --- what is worth a look -------------------------------------------------------------------- */

/* Why a rule is unusual, or NULL. */
static const char *unusual(const struct learned *l, const struct proposal_part *t, char *text, size_t size)
{
	if (!t->listen && t->host.name && json_object_get(l->looked_up, t->host.name))
		return "only looked up, so the port is a guess";
	if (t->host.kind == HOST_PREFIX && !t->listen) {
		enum addr_kind kind = addr_kind(&t->host.prefix.addr);

		if (kind == ADDR_PUBLIC)
			return "an address without a name";
		(void)snprintf(text, size, "a %s address without a name", addr_kind_name(kind));
		return text;
	}
	if (t->host.kind == HOST_OUTSIDE)
		return "this machine itself";
	for (size_t i = 0; t->host.kind == HOST_NAME && i < t->n_ports; i++)
		if (t->ports[i].lo != t->ports[i].hi || (t->ports[i].lo != 80 && t->ports[i].lo != 443))
			return "a host outside at another port than the web's";
	return NULL;
}

static unsigned port_count(const struct proposal_part *t)
{
	const struct port_set set = { t->ports, t->n_ports };

	return ports_count(&set);
}

/* --- writing --------------------------------------------------------------------------------- */

/* "seen once; an address without a name", or "". */
static const char *remark(const struct learned *l, const struct proposal_part *t, char *buf, size_t size)
{
	char text[64];
	const char *why = unusual(l, t, text, sizeof text);

	(void)snprintf(buf, size, "%s%s%s", t->seen == 1 ? "seen once" : "", t->seen == 1 && why ? "; " : "",
		       why ? why : "");
	return buf;
}

/* A rule with what there is to say of it. The caller frees. */
static char *commented(const struct learned *l, const struct proposal_part *t)
{
	char text[128], *out = NULL;

	if (strncmp(t->line, "{ ", 2) != 0 || !*remark(l, t, text, sizeof text))
		return strdup(t->line);
	return asprintf(&out, "{ \"comment\": \"%s\", %s", text, t->line + 2) < 0 ? NULL : out;
}

static int add_rules(const struct learned *l, const struct json_doc *doc, char **ret_text, struct err *e)
{
	size_t n = l->rules.n;
	char **lines = calloc(n + 1, sizeof *lines);
	int rc = lines ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		lines[i] = commented(l, &l->rules.v[i]);
		rc = lines[i] ? 0 : -ENOMEM;
	}
	if (rc < 0)
		(void)err_num(e, ENOMEM, "policy");
	else
		rc = policy_edit_add(doc, lines, n, ret_text, e);
	for (size_t i = 0; lines && i < n; i++)
		free(lines[i]);
	free(lines);
	return rc;
}

/* What is written must be a policy, and allow what was seen. */
static int check(const struct learned *l, const char *text, struct err *e)
{
	struct proposal again = { 0 };
	struct json_doc doc;
	struct policy p;
	int rc = json_doc_parse(&doc, "the policy that was learned", text, strlen(text), e);

	if (rc < 0)
		return rc;
	rc = policy_read(&p, &doc, NULL, e);
	json_doc_fini(&doc);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < l->rules.n; i++)
		if (port_count(&l->rules.v[i]) == 1 && l->rules.v[i].n_from < 2 && l->rules.v[i].protos != (POLICY_TCP | POLICY_UDP))
			rc = proposal_add(&again, l->rules.v[i].line, 1, e);
	if (rc == 0 && proposal_drop_allowed(&again, &p) < again.n)
		rc = err_set(e, EIO, "the policy that was learned does not allow what was seen");
	proposal_fini(&again);
	policy_fini(&p);
	return rc;
}

static int write_over(struct learned *l, const struct json_doc *base, char **ret_text, struct err *e)
{
	struct policy p;
	char *text = NULL;
	int rc = policy_read(&p, base, NULL, e);

	if (rc < 0)
		return rc;
	(void)proposal_drop_allowed(&l->rules, &p);
	policy_fini(&p);
	rc = proposal_merge(&l->rules, e);
	if (rc < 0)
		return rc;
	if (l->rules.n) {
		rc = add_rules(l, base, &text, e);
	} else {
		text = strdup(base->text);
		rc = text ? 0 : err_num(e, ENOMEM, "policy");
	}
	if (rc == 0)
		rc = check(l, text, e);
	if (rc < 0)
		free(text);
	else
		*ret_text = text;
	return rc;
}

int learned_write(struct learned *l, const struct json_doc *base, const char *comment, char **ret_text,
		  struct err *e)
{
	json_t *quoted = json_string(comment);
	AUTO_FREE char *text = NULL, *word = quoted ? json_dumps(quoted, JSON_ENCODE_ANY) : NULL;
	struct json_doc doc;
	int rc;

	json_decref(quoted);
	if (base)
		return write_over(l, base, ret_text, e);
	if (!word || asprintf(&text, "{\n  \"version\": 1,\n  \"comment\": %s,\n  \"net\": {\n    \"rules\": []\n  }\n}\n", word) < 0) {
		text = NULL;
		return err_num(e, ENOMEM, "policy");
	}
	rc = json_doc_parse(&doc, "policy", text, strlen(text), e);
	if (rc < 0)
		return rc;
	rc = write_over(l, &doc, ret_text, e);
	json_doc_fini(&doc);
	return rc;
}

/* --- saying so ---------------------------------------------------------------------------------- */

/* What follows the first label, when two labels are left at least. */
static const char *zone_of(const struct proposal_part *t)
{
	const char *dot = t->host.kind == HOST_NAME ? strchr(t->host.name, '.') : NULL;

	return dot && strchr(dot + 1, '.') ? dot + 1 : NULL;
}

static bool same_network(const struct proposal_part *a, const struct proposal_part *b)
{
	struct prefix net;

	if (a->listen || b->listen || a->host.kind != HOST_PREFIX || b->host.kind != HOST_PREFIX)
		return false;
	net = prefix_of(&a->host.prefix.addr, addr_is_v4(&a->host.prefix.addr) ? ADDR_V4_BITS + 24 : 64);
	return prefix_match(&net, &b->host.prefix.addr);
}

/* Of those that look like a pattern the first one says so. */
static void report_pattern(const struct proposal *p, size_t i, FILE *f)
{
	const char *zone = zone_of(&p->v[i]);
	size_t names = 0, addresses = 0;
	char text[PREFIX_TEXT_MAX];
	struct prefix net;

	for (size_t k = 0; k < p->n; k++) {
		const char *other = zone_of(&p->v[k]);
		bool name = zone && other && strcmp(zone, other) == 0, addr = same_network(&p->v[i], &p->v[k]);

		if (k < i && (name || addr))
			return;
		names += name;
		addresses += addr;
	}
	if (names >= MANY)
		(void)fprintf(f, "  not generalised: %zu names below %s; \"*.%s\" would allow others, too\n", names, zone, zone);
	if (addresses >= MANY) {
		net = prefix_of(&p->v[i].host.prefix.addr,
				addr_is_v4(&p->v[i].host.prefix.addr) ? ADDR_V4_BITS + 24 : 64);
		(void)fprintf(f, "  not generalised: %zu addresses in %s\n", addresses, prefix_format(&net, text, sizeof text));
	}
}

void learned_report(const struct learned *l, FILE *f)
{
	char text[1600];
	const json_t *o;
	size_t i;

	for (i = 0; i < l->rules.n; i++) {
		(void)remark(l, &l->rules.v[i], text, sizeof text);
		(void)fprintf(f, *text ? "  %s (%s)\n" : "  %s\n", l->rules.v[i].line, text);
	}
	for (i = 0; i < l->rules.n; i++) {
		report_pattern(&l->rules, i, f);
		if (port_count(&l->rules.v[i]) >= MANY_PORTS)
			(void)fprintf(f, "  not generalised: %u ports of %s\n", port_count(&l->rules.v[i]),
				      *l->rules.v[i].host_text ? l->rules.v[i].host_text : "its own");
	}
	json_array_foreach(l->refused, i, o)
		(void)fprintf(f, "  not learned: %s\n", log_quote(text, sizeof text, json_string_value(o) ?: ""));
	if (l->others)
		(void)fprintf(f, "  %" PRIu64 " more found no room: run it again with --base\n", l->others);
}
