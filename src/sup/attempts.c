/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/attempts.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/policy_explain.h"
#include "sup/audit.h"
#include "sup/domain.h"

#define COUNT_BYTES 32 /* what follows a text */

struct attempts *attempts_new(void)
{
	struct attempts *a = calloc(1, sizeof *a);

	if (a)
		STAILQ_INIT(&a->all);
	return a;
}

void attempts_free(struct attempts *a)
{
	while (a && !STAILQ_EMPTY(&a->all)) {
		struct attempt_seen *s = STAILQ_FIRST(&a->all);

		STAILQ_REMOVE_HEAD(&a->all, order);
		free(s);
	}
	free(a);
}

static uint64_t hash_of(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (const char *p = text; *p; p++)
		hash = (hash ^ (uint8_t)*p) * UINT64_C(1099511628211);
	return hash;
}

/* One of them by what makes it one: the text up to the program that did it first. */
static struct attempt_seen *find(const struct attempts *a, const char *text, size_t len, uint64_t hash)
{
	struct attempt_seen *s;

	SLIST_FOREACH(s, &a->buckets[hash % ATTEMPTS_BUCKETS], link)
		if (s->hash == hash && strncmp(s->text, text, len) == 0)
			return s;
	return NULL;
}

static void keep(struct attempts *a, const char *text, uint64_t hash, const char *program)
{
	size_t len = strlen(text) + strlen(program);
	struct attempt_seen *s = a->bytes + len + COUNT_BYTES <= ATTEMPTS_BYTES ? malloc(sizeof *s + len + 1) : NULL;

	if (!s) {
		a->others++;
		return;
	}
	s->hash = hash;
	s->count = 1;
	(void)snprintf(s->text, len + 1, "%s%s", text, program);
	a->bytes += len + COUNT_BYTES;
	SLIST_INSERT_HEAD(&a->buckets[hash % ATTEMPTS_BUCKETS], s, link);
	STAILQ_INSERT_TAIL(&a->all, s, order);
}

static void add(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		(void)json_object_set_new(o, key, json_string(value));
}

/* The object without its brace. NULL without memory. */
static char *text_of(const struct policy_attempt *at, const struct policy_verdict *v)
{
	static const char *const names[] = { [ATTEMPT_CONNECT] = "connect",
					     [ATTEMPT_LISTEN] = "listen",
					     [ATTEMPT_ACCEPT] = "accept",
					     [ATTEMPT_RESOLVE] = "resolve" };
	char text[EXPLAIN_TEXT_MAX];
	json_t *o = json_object();
	char *out;

	add(o, "decision", v->allow ? "allow" : "deny");
	add(o, "reason", policy_reason_name(v->reason));
	add(o, "what", names[at->kind]);
	add(o, "peer", policy_party_text(&at->peer, text, sizeof text));
	add(o, "attempt", policy_attempt_text(at, text, sizeof text));
	if ((v->reason == POLICY_BY_RULE && !v->allow) || v->reason == POLICY_BY_TLS)
		add(o, "why", policy_verdict_text(v, at, text, sizeof text)); /* no line allows it */
	else if (v->reason != POLICY_BY_OWN && at->peer.kind != PARTY_OWN) /* what is its own needs no rule */
		add(o, "line", policy_attempt_rule(v, at, text, sizeof text));
	out = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (out && *out)
		out[strlen(out) - 1] = '\0';
	return out;
}

/* ,"program":"..." */
static char *program_of(pid_t pid)
{
	AUTO_FREE char *text = NULL;
	char path[48], *quoted = NULL, *out = NULL;
	json_t *s;

	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	if (pid <= 0 || fd_read_file(-1, path, 64, &text, NULL, NULL) < 0)
		return strdup("");
	text[strcspn(text, "\n")] = '\0';
	s = json_string(text);
	quoted = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
	json_decref(s);
	if (quoted && asprintf(&out, ",\"program\":%s", quoted) < 0)
		out = NULL;
	free(quoted);
	return out ? out : strdup("");
}

static void note(struct attempts *a, const struct policy_attempt *at, const struct policy_verdict *v, pid_t pid)
{
	AUTO_FREE char *text = text_of(at, v), *program = NULL;
	struct attempt_seen *s;
	uint64_t hash;

	if (!text) {
		a->others++;
		return;
	}
	hash = hash_of(text);
	s = find(a, text, strlen(text), hash);
	if (s) {
		s->count++;
		return;
	}
	program = program_of(pid);
	if (program)
		keep(a, text, hash, program);
	else
		a->others++;
}

/* The same as the other domain of the fabric sees it: somebody comes in. */
static void note_other(const struct audit_record *r)
{
	const struct policy_attempt *at = r->attempt;
	const struct addr *place = at->kind == ATTEMPT_ACCEPT ? at->local : at->peer.addr;
	struct domain *other = place ? domain_find(r->domain->sup, place) : NULL;
	struct policy_attempt theirs = { .kind = ATTEMPT_ACCEPT, .proto = at->proto, .port = at->port, .local = place };
	struct policy_verdict v;

	/* What a rule of the one side forbids never comes to the other. */
	if (at->kind == ATTEMPT_CONNECT && !r->verdict->allow && r->verdict->reason == POLICY_BY_RULE)
		return;
	if (!other || other == r->domain || !other->attempts ||
	    (at->kind == ATTEMPT_CONNECT ? at->peer.kind != PARTY_DOMAIN : at->kind != ATTEMPT_ACCEPT))
		return;
	theirs.peer = domain_party(r->domain, domain_source(r->domain, place));
	policy_decide_bounded(&other->policy, domain_ceiling(other), &theirs, &v);
	note(other->attempts, &theirs, &v, 0);
}

/* Of a connection that the other side denies, the record is about that; the domain's own side allowed it. */
static void note_own(const struct audit_record *r)
{
	const struct policy_attempt *at = r->attempt;
	struct domain *to = at->kind == ATTEMPT_ACCEPT && at->local ? domain_find(r->domain->sup, at->local) : NULL;
	struct policy_attempt own = { .kind = ATTEMPT_CONNECT, .proto = at->proto, .port = at->port };
	struct policy_verdict v;

	if (!to || to == r->domain) {
		note(r->domain->attempts, at, r->verdict, r->pid);
		return;
	}
	own.peer = domain_party(to, at->local);
	policy_decide_bounded(&r->domain->policy, domain_ceiling(r->domain), &own, &v);
	note(r->domain->attempts, &own, &v, r->pid);
}

void attempts_note(const struct audit_record *r)
{
	if (r->domain->attempts)
		note_own(r);
	note_other(r);
}

void attempts_looked_up(struct domain *d, const struct policy_attempt *at, const struct policy_verdict *v)
{
	if (d->attempts)
		note(d->attempts, at, v, 0);
}

void attempts_address(struct domain *d, const struct policy_attempt *at, const struct addr *address)
{
	struct policy_attempt by_address = { .kind = ATTEMPT_CONNECT,
					     .proto = at->proto,
					     .port = at->port,
					     .peer = { .kind = PARTY_ADDR, .addr = address } };
	struct policy_verdict v;

	if (!d->attempts || at->peer.kind != PARTY_NAME || addr_kind(address) == ADDR_PUBLIC)
		return;
	policy_decide_bounded(&d->policy, domain_ceiling(d), &by_address, &v);
	note(d->attempts, &by_address, &v, 0);
	if (addr_kind(address) != ADDR_LOOPBACK)
		return;
	by_address.peer = (struct policy_party){ .kind = PARTY_HOST };
	policy_decide_bounded(&d->policy, domain_ceiling(d), &by_address, &v);
	note(d->attempts, &by_address, &v, 0);
}

char *attempts_text(const struct attempts *a)
{
	const struct attempt_seen *s;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	(void)fputs("[", f);
	STAILQ_FOREACH(s, &a->all, order)
		(void)fprintf(f, "%s,\"count\":%" PRIu64 "},", s->text, s->count);
	(void)fprintf(f, "{\"others\":%" PRIu64 "}]", a->others);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
