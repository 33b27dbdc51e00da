/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy why: a decision, by which rule on each side, and what would change it. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/cmd_policy.h"
#include "cli/running.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "model/policy_explain.h"

struct question {
	const char *file, *connect, *listen, *accept_from, *resolve, *resolved, *tls, *type, *as, *ceiling;
	const char **with;
	struct ask_whom whom; /* of a run */
	enum policy_proto proto;
	bool json, run; /* FILE is the id of a run */
};

/* Everything loaded that a question is about. */
struct setting {
	struct policy self, ceiling;
	struct policy_files others;
	struct running running;
	struct fabric fabric;
	char as[NAME_TEXT_MAX];
	const char *as_list[1];
};

/* --- making the attempt ---------------------------------------------------------------- */

/* "WHO:PORT" without a listener of its own: WHO and ":PORT". */
static int split_accept(const char *text, char *who, size_t size, const char **ret_local, struct err *e)
{
	const char *colon = strrchr(text, ':');

	if (!colon || (size_t)(colon - text) >= size || colon == text) {
		(void)err_set(e, EINVAL, "--accept-from: at which port?");
		return err_hint(e, "--accept-from WHO --listen :PORT, or --accept-from WHO:PORT");
	}
	memcpy(who, text, (size_t)(colon - text));
	who[colon - text] = '\0';
	*ret_local = colon;
	return 0;
}

static int make_attempt(struct attempt *at, const struct question *q, const struct fabric *f,
			struct err *e)
{
	char who[NAME_TEXT_MAX];
	const char *local = NULL;
	int rc;

	if (q->connect) {
		rc = attempt_connect(at, f, q->connect, q->resolved, q->proto, e);
		return rc == 0 && q->tls ? attempt_tls(at, q->tls, e) : rc;
	}
	if (q->resolve) {
		rc = attempt_resolve(at, f, q->resolve, e);
		return rc == 0 && q->type ? attempt_query(at, q->type, e) : rc;
	}
	if (!q->accept_from)
		return attempt_listen(at, f, q->listen, q->proto, e);
	if (q->listen)
		return attempt_accept(at, f, q->accept_from, q->listen, q->proto, e);
	rc = split_accept(q->accept_from, who, sizeof who, &local, e);
	return rc < 0 ? rc : attempt_accept(at, f, who, local, q->proto, e);
}

/* The policies in force where a sandbox runs. */
static int load_running(struct setting *s, const struct question *q, struct err *e)
{
	struct ask_whom whom = q->whom;
	int rc;

	whom.id = q->file;
	whom.root = q->whom.root ? q->whom.root : globals.root;
	rc = running_load(&s->running, &whom, e);
	if (rc < 0)
		return rc;
	s->fabric = s->running.fabric;
	return 0;
}

static int load_files(struct setting *s, const struct question *q, struct err *e)
{
	int rc = policy_load(&s->self, AT_FDCWD, q->file, NULL, e);

	if (rc == 0)
		rc = policy_files_load(&s->others, q->with, e);
	if (rc == 0 && q->ceiling) {
		rc = policy_load(&s->ceiling, AT_FDCWD, q->ceiling, NULL, e);
		s->fabric.ceiling = &s->ceiling;
	}
	if (rc == 0 && q->as) {
		rc = name_parse_domain(q->as, s->as, e);
		/* Under another name the policy answers for that name alone. */
		s->as_list[0] = s->as;
		s->self.names = s->as_list;
		s->self.n_names = 1;
		s->self.domain = s->as;
	}
	s->fabric.self = &s->self;
	s->fabric.others = s->others.list;
	s->fabric.n_others = s->others.n;
	return rc;
}

static void free_setting(struct setting *s)
{
	policy_fini(&s->self);
	running_fini(&s->running);
	policy_files_fini(&s->others);
	policy_fini(&s->ceiling);
}

/* --- answers ------------------------------------------------------------------------------ */

struct answer {
	struct attempt at;
	struct policy_pair_verdict v;
	const struct policy_verdict *own, *other; /* other: NULL when one side decides */
	bool both;
	bool unknown; /* the name stands for nothing there, and nothing gets as far as connecting */
};

/*
 * The attempt as the other side sees it: what it would have to allow. `own`
 * asked about connecting, so the other is asked about accepting, or the other
 * way round.
 */
static struct policy_attempt other_view(const struct answer *a, const struct setting *s)
{
	const struct policy_attempt *mine = &a->at.a;
	const struct policy *self = s->fabric.self;

	return (struct policy_attempt){
		.kind = mine->kind == ATTEMPT_CONNECT ? ATTEMPT_ACCEPT : ATTEMPT_CONNECT,
		.proto = mine->proto,
		.port = mine->port,
		.peer = { .kind = PARTY_DOMAIN, .names = self->names, .n_names = self->n_names,
			  .addr = self->n_addresses ? self->addresses : NULL },
	};
}

/* What happens to an allowed flow beyond the decision; "" for nothing worth saying. */
static void flow_note(const struct answer *a, const struct question *q, char *buf, size_t size)
{
	const struct policy_attempt *t = &a->at.a;
	struct policy_options o;

	buf[0] = '\0';
	if (t->kind == ATTEMPT_RESOLVE && a->v.allow && t->peer.kind == PARTY_NAME && !q->resolved && !q->type)
		(void)snprintf(buf, size, "where no port is open at any address that it has, there is no such name for "
					  "the program (try --resolved)");
	if (t->kind != ATTEMPT_CONNECT || !a->v.client.allow)
		return;
	policy_verdict_options(&a->v.client, &o);
	if (t->peer.kind == PARTY_NAME && !t->peer.addr)
		(void)snprintf(buf, size,
			       "each address of the name is decided on when it is known: address denies apply, "
			       "and one that is not public needs an address rule (try --resolved)");
	else if (policy_options_need_relay(&o))
		(void)snprintf(buf, size, "the rule's options are kept by relaying: %s%s%s%s",
			       o.rate ? "rate " : "", o.max_bytes ? "maxBytes " : "",
			       o.record != POLICY_RECORD_NONE ? "record " : "", o.n_tls_names ? "tls" : "");
}

static const char *side_name(const struct policy *p, char *buf, size_t size)
{
	char file[300];

	(void)log_quote(file, sizeof file, p->file);
	if (p->n_names)
		(void)snprintf(buf, size, "%s (%s)", p->names[0], file);
	else
		(void)snprintf(buf, size, "%s", file);
	return buf;
}

static void print_side(const struct policy *whose, const struct policy_verdict *v,
		       const struct policy_attempt *a)
{
	char text[EXPLAIN_TEXT_MAX], side[400];

	(void)printf("  %s: %s\n", side_name(whose, side, sizeof side), policy_verdict_text(v, a, text, sizeof text));
	if (v->policy != whose)
		(void)printf("    (the ceiling decides)\n");
	if (v->addr_rule)
		(void)printf("    and its address by rule %s (line %zu)\n", v->addr_rule->id, v->addr_rule->line);
}

static void print_advice(const struct policy_verdict *v, const struct policy_attempt *a)
{
	struct policy_advice advice;

	policy_advise(v, a, &advice);
	if (advice.text[0])
		(void)printf("  %s\n", advice.text);
}

/* What the program gets for its call, or NULL: it is allowed, or no call of the program's. */
static const char *consequence(const struct answer *a)
{
	bool own = !a->own->allow;

	if (a->unknown)
		return "NXDOMAIN";
	if (a->v.allow || (a->at.a.kind != ATTEMPT_CONNECT && a->at.a.kind != ATTEMPT_LISTEN))
		return NULL;
	if (own)
		return policy_on_deny_name(policy_verdict_on_deny(a->own, true));
	return a->other && !a->other->allow ? policy_on_deny_name(policy_verdict_on_deny(a->other, false)) : NULL;
}

static void print_consequence(const struct answer *a)
{
	const char *what = consequence(a);

	if (a->unknown)
		(void)printf("  the program is told that there is no such name%s\n",
			     a->own->allow || a->own->reason == POLICY_BY_ADDRESS || a->own->reason == POLICY_BY_HOST ? ": at that address no port is open to it" : "");
	else if (what && strcmp(what, "kill") == 0)
		(void)printf("  the program is killed\n");
	else if (what && strcmp(what, "EACCES") != 0)
		(void)printf("  the program gets %s\n", what);
}

static int print_answer(const struct answer *a, const struct question *q, const struct setting *s)
{
	char text[EXPLAIN_TEXT_MAX];
	struct policy_attempt theirs = other_view(a, s);

	(void)printf("%s: %s\n", a->v.allow ? "allowed" : "denied",
		     policy_attempt_text(&a->at.a, text, sizeof text));
	print_side(s->fabric.self, a->own, &a->at.a);
	if (a->other && a->at.other)
		print_side(a->at.other, a->other, &theirs);
	print_consequence(a);
	if (a->own->allow == a->v.allow)
		print_advice(a->own, &a->at.a);
	if (a->other && !a->other->allow)
		print_advice(a->other, &theirs);
	flow_note(a, q, text, sizeof text);
	if (text[0])
		(void)printf("  note: %s\n", text);
	return fflush(stdout) == 0 ? !a->v.allow : EXIT_VRUN;
}

static json_t *side_json(const struct policy *whose, const struct policy_verdict *v,
			 const struct policy_attempt *a)
{
	const struct policy *by = v->policy ? v->policy : whose;
	char text[EXPLAIN_TEXT_MAX];
	struct policy_advice advice;
	json_t *o;

	policy_advise(v, a, &advice);
	o = json_pack("{s:s, s:b, s:s, s:s, s:b}", "file", by->file, "allow", v->allow, "reason",
		      policy_reason_name(v->reason), "text", policy_verdict_text(v, a, text, sizeof text),
		      "ceiling", by != whose);
	if (o && whose->n_names)
		(void)json_object_set_new(o, "domain", json_string(whose->names[0]));
	if (o && v->rule) {
		(void)json_object_set_new(o, "rule", json_string(v->rule->id));
		(void)json_object_set_new(o, "line", json_integer((json_int_t)v->rule->line));
	}
	if (o && advice.line[0])
		(void)json_object_set_new(o, "suggest", json_string(advice.line));
	if (o && advice.text[0])
		(void)json_object_set_new(o, "advice", json_string(advice.text));
	return o;
}

static int print_json(const struct answer *a, const struct question *q, const struct setting *s)
{
	char text[EXPLAIN_TEXT_MAX], note[EXPLAIN_TEXT_MAX];
	struct policy_attempt theirs = other_view(a, s);
	json_t *o = json_pack("{s:b, s:s, s:[o]}", "allow", a->v.allow, "attempt",
			      policy_attempt_text(&a->at.a, text, sizeof text), "sides",
			      side_json(s->fabric.self, a->own, &a->at.a));
	int rc;

	flow_note(a, q, note, sizeof note);
	if (o && a->other && a->at.other)
		(void)json_array_append_new(json_object_get(o, "sides"),
					    side_json(a->at.other, a->other, &theirs));
	if (o && consequence(a))
		(void)json_object_set_new(o, "onDeny", json_string(consequence(a)));
	if (o && note[0])
		(void)json_object_set_new(o, "note", json_string(note));
	rc = o && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && putchar('\n') >= 0 && fflush(stdout) == 0;
	json_decref(o);
	return rc ? !a->v.allow : EXIT_VRUN;
}

/* What the resolver and the gateway make of its name. */
static int look_up(struct answer *a, const struct question *q, const struct fabric *f, struct err *e)
{
	struct addr addr;
	int rc = q->resolved ? addr_parse(q->resolved, &addr, e) : 0;

	if (rc < 0 || q->type || (a->at.a.kind != ATTEMPT_CONNECT && a->at.a.kind != ATTEMPT_RESOLVE))
		return rc;
	rc = attempt_is_unknown(&a->at, f, q->resolved ? &addr : NULL, &a->unknown, e);
	if (a->unknown)
		a->v.allow = false;
	return rc;
}

static int answer(const struct question *q)
{
	struct setting s = { 0 };
	struct answer a = { 0 };
	struct err e = { 0 };
	int rc = q->run ? load_running(&s, q, &e) : load_files(&s, q, &e);

	if (rc == 0)
		rc = make_attempt(&a.at, q, &s.fabric, &e);
	if (rc < 0) {
		free_setting(&s);
		return command_fail(&e);
	}
	attempt_decide(&a.at, &s.fabric, &a.v, &a.both);
	rc = look_up(&a, q, &s.fabric, &e);
	if (rc < 0) {
		free_setting(&s);
		return command_fail(&e);
	}
	a.own = a.at.a.kind == ATTEMPT_ACCEPT ? &a.v.server : &a.v.client;
	if (a.both)
		a.other = a.own == &a.v.server ? &a.v.client : &a.v.server;
	rc = q->json ? print_json(&a, q, &s) : print_answer(&a, q, &s);
	free_setting(&s);
	return rc;
}

/* --- the verb ------------------------------------------------------------------------------- */

static const struct option options[] = {
	{ "connect", required_argument, NULL, 'c' },  { "listen", required_argument, NULL, 'l' },
	{ "accept-from", required_argument, NULL, 'a' }, { "resolve", required_argument, NULL, 'r' },
	{ "resolved", required_argument, NULL, 'R' }, { "as", required_argument, NULL, 'A' },
	{ "tls", required_argument, NULL, 't' },	      { "type", required_argument, NULL, 'T' },
	{ "ceiling", required_argument, NULL, 'C' },  { "with", required_argument, NULL, 'w' },
	{ "root", required_argument, NULL, 'd' },     { "supervisor", required_argument, NULL, 's' },
	{ "proto", required_argument, NULL, 'p' },    { "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },	      { NULL, 0, NULL, 0 },
};

static int take_option(struct question *q, int c, struct err *e)
{
	const char **texts[] = { &q->connect, &q->listen,  &q->accept_from, &q->resolve,   &q->resolved,
				 &q->as,      &q->ceiling, &q->whom.root,   &q->whom.path, &q->tls, &q->type };
	static const char letters[] = "clarRACdstT";
	const char *place = strchr(letters, c);

	if (c == 'w')
		return policy_list_add(&q->with, optarg, e);
	if (c == 'j')
		q->json = true;
	else if (c == 'p' && strcmp(optarg, "udp") != 0 && strcmp(optarg, "tcp") != 0)
		return err_set(e, EINVAL, "--proto is tcp or udp");
	else if (c == 'p')
		q->proto = strcmp(optarg, "udp") == 0 ? POLICY_UDP : POLICY_TCP;
	else if (place && *texts[place - letters])
		return err_set(e, EINVAL, "%s after %s: one question at a time", optarg, *texts[place - letters]);
	else if (place)
		*texts[place - letters] = optarg;
	return 0;
}

static const char *wrong_question(const struct question *q)
{
	int asked = (q->connect != NULL) + (q->resolve != NULL) + (q->listen || q->accept_from);

	if (!q->file)
		return "why needs a FILE, or the ID of a running sandbox";
	if (q->run && (q->as || q->ceiling || q->with))
		return "--as, --ceiling and --with go with a FILE: a running sandbox has its own";
	if (!q->run && (q->whom.root || q->whom.path))
		return "--root and --supervisor go with the ID of a running sandbox";
	if (asked != 1)
		return "why needs one of --connect, --listen, --accept-from, --resolve";
	if (q->resolved && !q->connect && !q->resolve)
		return "--resolved goes with --connect and --resolve";
	if (q->type && !q->resolve)
		return "--type goes with --resolve";
	if (q->tls && !q->connect)
		return "--tls goes with --connect";
	return NULL;
}

static int why(int argc, char **argv, bool run)
{
	struct question q = { .proto = POLICY_TCP };
	struct err e = { 0 };
	int c = 0, rc = 0;

	while (rc == 0 && (c = getopt_long(argc, argv, "h", options, NULL)) != -1 && c != 'h' && c != '?')
		rc = take_option(&q, c, &e);
	if (rc == 0 && optind == argc - 1) {
		q.file = argv[optind];
		q.run = run || (!strchr(q.file, '/') && access(q.file, F_OK) < 0);
	}
	if (rc < 0)
		rc = command_fail(&e);
	else if (c == 'h' || c == '?')
		rc = c == 'h' ? policy_help() : EXIT_VRUN;
	else if (argc - optind > 1)
		rc = command_usage("policy", "why takes one FILE or ID; others of a fabric go with --with");
	else if (wrong_question(&q))
		rc = command_usage("policy", "%s", wrong_question(&q));
	else
		rc = answer(&q);
	free(q.with);
	return rc;
}

/* A file of that name comes before a run of that name. */
int policy_cmd_why(int argc, char **argv)
{
	return why(argc, argv, false);
}

int cmd_why(int argc, char **argv)
{
	static char whole[] = "vrun why"; /* what getopt's complaints begin with */

	argv[0] = whole;
	return why(argc, argv, true);
}
