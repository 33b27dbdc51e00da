/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/audit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/policy_explain.h"
#include "sup/domain.h"

static void program_of(pid_t pid, char *buf, size_t size)
{
	char path[48], quoted[96];
	AUTO_FREE char *text = NULL;

	buf[0] = '\0';
	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	if (fd_read_file(-1, path, 64, &text, NULL, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(buf, size, "%s", log_quote(quoted, sizeof quoted, text));
}

/* What the thread is called in its own pid namespace: ours no other command sees. 0: not known. */
static long own_number(pid_t pid)
{
	AUTO_FREE char *text = NULL;
	char path[48], *line, *end;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	if (pid <= 0 || fd_read_file(-1, path, 65536, &text, NULL, NULL) < 0)
		return 0;
	line = strstr(text, "\nNSpid:");
	end = line ? strchr(line + 1, '\n') : NULL;
	if (!end)
		return 0;
	*end = '\0';
	line = strrchr(line + 1, '\t');
	return line ? strtol(line + 1, NULL, 10) : 0;
}

static void now_text(char *buf, size_t size)
{
	struct timespec t;
	struct tm tm;
	char seconds[32];

	(void)clock_gettime(CLOCK_REALTIME, &t);
	(void)gmtime_r(&t.tv_sec, &tm);
	(void)strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buf, size, "%s.%06ldZ", seconds, t.tv_nsec / 1000);
}

static void add(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		(void)json_object_set_new(o, key, json_string(value));
}

/* The same for programs. */
static void add_attempt(json_t *o, const struct policy_attempt *a)
{
	static const char *const names[] = { [ATTEMPT_CONNECT] = "connect",
					     [ATTEMPT_LISTEN] = "listen",
					     [ATTEMPT_ACCEPT] = "accept",
					     [ATTEMPT_RESOLVE] = "resolve" };
	char text[EXPLAIN_TEXT_MAX];

	add(o, "what", names[a->kind]);
	if (a->kind != ATTEMPT_RESOLVE) {
		add(o, "proto", policy_proto_name(a->proto));
		(void)json_object_set_new(o, "port", json_integer(a->port));
	}
	if (a->kind != ATTEMPT_LISTEN)
		add(o, "peer", policy_party_text(&a->peer, text, sizeof text));
	if (a->peer.addr)
		add(o, "address", addr_format(a->peer.addr, text, sizeof text));
	if (a->tls)
		add(o, "tls", a->tls->name);
	if (a->local)
		add(o, "local", addr_format(a->local, text, sizeof text));
}

/*
 * Where the domain's own policy denies a connection to another domain, that one's may deny it too: whoever is
 * to allow it wants to know both.
 */
static void add_other_side(json_t *o, const struct audit_record *r)
{
	const struct policy_attempt *a = r->attempt;
	struct policy_attempt theirs = { .kind = ATTEMPT_ACCEPT, .proto = a->proto, .port = a->port, .local = a->peer.addr };
	char text[EXPLAIN_TEXT_MAX];
	struct policy_advice advice;
	struct policy_verdict v;
	const struct domain *other;
	json_t *side;

	if (a->kind != ATTEMPT_CONNECT || a->peer.kind != PARTY_DOMAIN || !a->peer.addr)
		return;
	other = domain_find(r->domain->sup, a->peer.addr);
	if (!other || other == r->domain)
		return;
	theirs.peer = domain_party(r->domain, domain_source(r->domain, a->peer.addr));
	policy_decide_bounded(&other->policy, domain_ceiling(other), &theirs, &v);
	side = v.allow ? NULL : json_object();
	if (!side)
		return;
	policy_advise(&v, &theirs, &advice);
	add(side, "attempt", policy_attempt_text(&theirs, text, sizeof text));
	add(side, "policy", v.policy->file);
	add(side, "advice", advice.text);
	add(side, "line", advice.line);
	(void)json_object_set_new(o, "also", side);
}

char *audit_json(const struct audit_record *r)
{
	char text[EXPLAIN_TEXT_MAX], small[96];
	struct policy_advice advice;
	json_t *o = json_object();
	char *line, *out = NULL;
	long number;

	if (!o)
		return NULL;
	now_text(small, sizeof small);
	add(o, "time", small);
	add(o, "id", r->domain->id);
	add(o, "domain", r->domain->n_names ? r->domain->names[0] : NULL);
	(void)json_object_set_new(o, "pid", json_integer(r->pid));
	number = own_number(r->pid);
	if (number)
		(void)json_object_set_new(o, "ownPid", json_integer(number));
	program_of(r->pid, small, sizeof small);
	add(o, "program", small);
	add(o, "call", r->call);
	add(o, "attempt", policy_attempt_text(r->attempt, text, sizeof text));
	add_attempt(o, r->attempt);
	add(o, "decision", r->verdict->allow ? "allow" : "deny");
	add(o, "reason", policy_reason_name(r->verdict->reason));
	add(o, "rule", r->verdict->rule ? r->verdict->rule->id : NULL);
	add(o, "message", policy_verdict_message(r->verdict));
	(void)json_object_set_new(o, "generation", json_integer(r->domain->generation));
	add(o, "why", policy_verdict_text(r->verdict, r->attempt, text, sizeof text));
	add(o, "policy", r->verdict->policy->file);
	if (r->verdict->allow && r->verdict->reason == POLICY_BY_RULE)
		add(o, "line", policy_attempt_rule(r->verdict, r->attempt, text, sizeof text));
	if (!r->verdict->allow) {
		policy_advise(r->verdict, r->attempt, &advice);
		add(o, "advice", advice.text);
		add(o, "line", advice.line);
		add_other_side(o, r);
	}
	line = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (line && asprintf(&out, "%s\n", line) < 0)
		out = NULL;
	free(line);
	return out;
}
