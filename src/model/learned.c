/* SPDX-License-Identifier: Apache-2.0 */
#include "model/learned.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/learned_base.h"

#define MANY 3 /* names of a zone, addresses of a network: so many look like a pattern */
#define MANY_PORTS 8
#define REFUSED_MAX 50

void learned_fini(struct learned *l)
{
	proposal_fini(&l->rules);
	json_decref(l->looked_up);
	json_decref(l->refused);
	json_decref(l->folded);
	json_decref(l->idle);
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
	/* Its port is a guess, which is not needed when the port is known. */
	if (strcmp(what, "resolve") == 0 && strcmp(decision, "allow") == 0 && is_connected(attempts, string_of(o, "peer")))
		return 0;
	l->attempts += (uint64_t)count;
	if (l->asked && strcmp(decision, "deny") == 0) {
		if (strcmp(what, "resolve") != 0) /* that is only the way to where one was asked about */
			refuse(l, o);
		return 0;
	}
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

static const char no_name[] = "an address without a name", no_name_of[] = "a %s address without a name",
		  own_host[] = "this machine itself", other_port[] = "a host outside at another port than the web's";

/* Why a rule is unusual, or NULL. */
static const char *unusual(const struct learned *l, const struct proposal_part *t, char *text, size_t size)
{
	if (!t->listen && t->host.name && json_object_get(l->looked_up, t->host.name))
		return LEARNED_GUESS;
	if (t->host.kind == HOST_PREFIX && !t->listen) {
		enum addr_kind kind = addr_kind(&t->host.prefix.addr);

		if (kind == ADDR_PUBLIC)
			return no_name;
		(void)snprintf(text, size, no_name_of, addr_kind_name(kind));
		return text;
	}
	if (t->host.kind == HOST_OUTSIDE)
		return own_host;
	for (size_t i = 0; t->host.kind == HOST_NAME && i < t->n_ports; i++)
		if (t->ports[i].lo != t->ports[i].hi || (t->ports[i].lo != 80 && t->ports[i].lo != 443))
			return other_port;
	return NULL;
}

bool learned_is_unusual(const char *text)
{
	static const char *const all[] = { LEARNED_GUESS, no_name, own_host, other_port };
	char other[64];

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(text, all[i]) == 0)
			return true;
	for (enum addr_kind kind = 0; kind < ADDR_KINDS; kind++) {
		(void)snprintf(other, sizeof other, no_name_of, addr_kind_name(kind));
		if (strcmp(text, other) == 0)
			return true;
	}
	return false;
}

static unsigned port_count(const struct proposal_part *t)
{
	const struct port_set set = { t->ports, t->n_ports };

	return ports_count(&set);
}

/* --- writing --------------------------------------------------------------------------------- */

const char *learned_remark(const struct learned *l, const struct proposal_part *t, bool guess, char *buf, size_t size)
{
	char text[64];
	const char *why = guess ? LEARNED_GUESS : unusual(l, t, text, sizeof text);

	(void)snprintf(buf, size, "%s%s%s", t->seen == 1 ? "seen once" : "", t->seen == 1 && why ? "; " : "",
		       why ? why : "");
	return buf;
}

int learned_comment_line(const char *comment, const char *line, char **ret, struct err *e)
{
	json_t *s = json_string(comment ?: "");
	AUTO_FREE char *word = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
	bool plain = !comment || !*comment || strncmp(line, "{ ", 2) != 0;

	json_decref(s);
	if (!word || asprintf(ret, "%s%s%s%s", plain ? "" : "{ \"comment\": ", plain ? "" : word, plain ? "" : ", ",
			      line + (plain ? 0 : 2)) < 0)
		return err_num(e, ENOMEM, "policy");
	return 0;
}

/* The base with its own rules as they are now, and those that none of them takes in. */
static int edit(const struct learned *l, const struct learned_base *b, char **ret_text, struct err *e)
{
	char **lines = calloc(l->rules.n + 1, sizeof *lines), text[128];
	size_t n = 0;
	int rc = lines ? 0 : err_num(e, ENOMEM, "policy");

	for (size_t i = 0; rc == 0 && i < l->rules.n; i++) {
		const struct proposal_part *t = &l->rules.v[i];

		if (t->folded)
			continue;
		rc = learned_comment_line(learned_remark(l, t, false, text, sizeof text), t->line, &lines[n], e);
		n += rc == 0;
	}
	if (rc == 0)
		rc = policy_edit_change(b->doc, b->swaps, b->n_swaps, lines, n, ret_text, e);
	for (size_t i = 0; i < n; i++)
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
	size_t wanted;
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
	wanted = again.n;
	if (rc == 0 && proposal_drop_allowed(&again, &p, NULL, NULL) < wanted)
		rc = err_set(e, EIO, "the policy that was learned does not allow what was seen");
	proposal_fini(&again);
	policy_fini(&p);
	return rc;
}

struct counting {
	const struct learned *l;
	const struct policy *base;
	struct base_use *use;
};

/* Something that the base allows: by which of its rules. */
static void count_kept(void *ctx, const struct proposal_part *t, const struct policy_rule *rule)
{
	const struct counting *c = ctx;
	struct base_use *use = rule ? &c->use[rule - c->base->rules] : NULL;
	bool looked_up = !t->listen && t->host.name && json_object_get(c->l->looked_up, t->host.name);

	if (use && looked_up)
		use->looked_up += t->seen;
	else if (use)
		use->connected += t->seen;
}

/*
 * A look-up stands there as a rule for the port that is assumed. Where the base lets the name be
 * looked up for another port, that one is not to be learned.
 */
static void drop_looked_up(struct learned *l, const struct policy *base, struct counting *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->rules.n; i++) {
		const struct proposal_part *t = &l->rules.v[i];
		const char *name = t->listen ? NULL : t->host.name;
		struct policy_attempt a = { .kind = ATTEMPT_RESOLVE, .proto = POLICY_TCP,
					    .peer = { .kind = t->host.kind == HOST_DOMAIN ? PARTY_DOMAIN : PARTY_NAME,
						      .names = &name, .n_names = 1 } };
		struct policy_verdict v = { .allow = false };

		if (name && json_object_get(l->looked_up, name))
			policy_decide(base, &a, &v);
		if (v.allow)
			count_kept(c, t, v.rule);
		else
			l->rules.v[kept++] = *t;
	}
	l->rules.n = kept;
}

static int write_over(struct learned *l, const struct json_doc *base, const char *comment, char **ret_text,
		      struct err *e)
{
	struct policy p;
	struct learned_base b = { .policy = &p, .doc = base };
	int rc = policy_read(&p, base, NULL, e);
	char *text = NULL;

	if (rc < 0)
		return rc;
	b.use = calloc(p.n_rules + 1, sizeof *b.use);
	if (!b.use) {
		rc = err_num(e, ENOMEM, "policy");
	} else {
		struct counting counting = { l, &p, b.use };

		drop_looked_up(l, &p, &counting);
		(void)proposal_drop_allowed(&l->rules, &p, count_kept, &counting);
		rc = proposal_merge(&l->rules, e);
	}
	if (rc == 0)
		rc = learned_base_fold(&b, l, e);
	if (rc == 0 && l->rules.n)
		rc = learned_base_comment(&b, comment, e);
	if (rc == 0)
		rc = edit(l, &b, &text, e);
	if (rc == 0)
		rc = check(l, text, e);
	free(b.use);
	learned_base_fini(&b);
	policy_fini(&p);
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
		return write_over(l, base, comment, ret_text, e);
	if (!word || asprintf(&text, "{\n  \"version\": 1,\n  \"comment\": %s,\n  \"net\": {\n    \"rules\": []\n  }\n}\n", word) < 0) {
		text = NULL;
		return err_num(e, ENOMEM, "policy");
	}
	rc = json_doc_parse(&doc, "policy", text, strlen(text), e);
	if (rc < 0)
		return rc;
	rc = write_over(l, &doc, comment, ret_text, e);
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

static void report_base(const struct learned *l, FILE *f)
{
	const json_t *o;
	size_t i;

	json_array_foreach(l->folded, i, o)
		(void)fprintf(f, "  in one with a rule of the base: %s\n", json_string_value(o));
	if (l->n_kept)
		(void)fprintf(f, "  kept as they are: %zu %s of the base\n", l->n_kept, l->n_kept == 1 ? "rule" : "rules");
	json_array_foreach(l->idle, i, o)
		(void)fprintf(f, "  kept, and not needed by this run: %s\n", json_string_value(o));
	if (l->n_idle > json_array_size(l->idle))
		(void)fprintf(f, "  and %zu more of them\n", l->n_idle - json_array_size(l->idle));
}

void learned_report(const struct learned *l, FILE *f)
{
	char text[1600];
	const json_t *o;
	size_t i;

	for (i = 0; i < l->rules.n; i++) {
		(void)learned_remark(l, &l->rules.v[i], false, text, sizeof text);
		(void)fprintf(f, *text ? "  %s (%s)\n" : "  %s\n", l->rules.v[i].line, text);
	}
	for (i = 0; i < l->rules.n; i++) {
		report_pattern(&l->rules, i, f);
		if (port_count(&l->rules.v[i]) >= MANY_PORTS)
			(void)fprintf(f, "  not generalised: %u ports of %s\n", port_count(&l->rules.v[i]),
				      *l->rules.v[i].host_text ? l->rules.v[i].host_text : "its own");
	}
	report_base(l, f);
	json_array_foreach(l->refused, i, o)
		(void)fprintf(f, "  not learned: %s\n", log_quote(text, sizeof text, json_string_value(o) ?: ""));
	if (l->others)
		(void)fprintf(f, "  %" PRIu64 " more found no room: run it again with --base\n", l->others);
}
