/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy show: the policy in force for a sandbox that runs, and what its rules have decided. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/ask.h"
#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "model/policy_write.h"

struct show {
	struct ask_whom whom;
	bool json, text, found;
	struct err *e;
};

static int read_policy(const json_t *o, struct policy *ret, struct err *e)
{
	struct json_doc doc;
	const char *text = ask_string(o, "text");
	int rc = json_doc_parse(&doc, ask_string(o, "name"), text, strlen(text), e);

	if (rc == 0) {
		rc = policy_read(ret, &doc, NULL, e);
		json_doc_fini(&doc);
	}
	return rc;
}

static int print_rules(const struct policy *p, const json_t *hits, struct err *e)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		AUTO_FREE char *text = NULL;
		int rc = policy_rule_format(&p->rules[i], &text, e);

		if (rc < 0)
			return rc;
		(void)printf("%8lld  %-10s  %s\n", ask_int(hits, p->rules[i].id), p->rules[i].id, text);
	}
	if (p->n_rules == 0)
		(void)printf("no rules: it reaches only itself\n");
	return 0;
}

static int print_table(struct show *s, const json_t *o)
{
	const json_t *own = json_object_get(o, "policy"), *ceiling = json_object_get(o, "ceiling");
	char domain[300], id[300], file[600];
	struct policy p = { 0 };
	int rc;

	if (json_object_get(own, "long"))
		return err_set(s->e, E2BIG, "the policy is too long to be told (%lld bytes)", ask_int(own, "long"));
	rc = read_policy(own, &p, s->e);
	if (rc < 0)
		return rc;
	(void)printf("domain %s (container %s), generation %lld, policy %s", log_quote(domain, sizeof domain, ask_string(o, "domain")),
		     log_quote(id, sizeof id, ask_string(o, "container")), ask_int(o, "generation"),
		     log_quote(file, sizeof file, ask_string(own, "name")));
	if (ceiling)
		(void)printf(" under %s", log_quote(file, sizeof file, ask_string(ceiling, "name")));
	(void)printf("\n%8s  %-10s\n", "HITS", "RULE");
	rc = print_rules(&p, json_object_get(o, "hits"), s->e);
	policy_fini(&p);
	return rc;
}

static int print_policy(struct show *s, const json_t *o)
{
	AUTO_FREE char *text = NULL;
	struct policy p = { 0 };
	int rc = read_policy(json_object_get(o, "policy"), &p, s->e);

	if (rc < 0)
		return rc;
	rc = policy_format(&p, &text, s->e);
	policy_fini(&p);
	return rc < 0 ? rc : fputs(text, stdout) < 0 ? -EPIPE : 0;
}

static int each(void *ctx, json_t *o)
{
	struct show *s = ctx;
	int rc;

	if (strcmp(ask_string(o, "container"), s->whom.id) != 0)
		return 0;
	s->found = true;
	if (s->json)
		rc = json_dumpf(o, stdout, JSON_INDENT(2)) < 0 || putchar('\n') < 0 ? -EPIPE : 0;
	else
		rc = s->text ? print_policy(s, o) : print_table(s, o);
	return rc == 0 && fflush(stdout) != 0 ? -EPIPE : rc;
}

static int show(struct show *s)
{
	struct ask_whom by = s->whom;
	struct ask_targets t;
	int rc;

	by.id = s->whom.path ? NULL : s->whom.id;
	rc = ask_whom(&by, &t, s->e);
	if (rc < 0)
		return rc;
	if (t.n == 0) {
		(void)err_set(s->e, ENOTSUP, "%s runs without a supervisor, since its policy has no rules", s->whom.id);
		rc = err_hint(s->e, "vrun ps tells of it");
	} else {
		rc = ask_each(t.v[0].path, "policies", s->whom.id, false, each, s, s->e);
	}
	ask_targets_fini(&t);
	if (rc == -EPIPE && !s->e->num)
		return err_set(s->e, EPIPE, "writing the policy");
	if (rc == 0 && !s->found)
		return err_set(s->e, ENOENT, "no container with the id %s is served there", s->whom.id);
	return rc;
}

int policy_cmd_show(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },	  { "text", no_argument, NULL, 't' },
		{ "root", required_argument, NULL, 'r' }, { "supervisor", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },	  { NULL, 0, NULL, 0 },
	};
	struct err e = { 0 };
	struct show s = { .e = &e };
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return policy_help();
		if (opt == '?')
			return EXIT_VRUN;
		if (opt == 'j')
			s.json = true;
		else if (opt == 't')
			s.text = true;
		else if (opt == 'r')
			s.whom.root = optarg;
		else
			s.whom.path = optarg;
	}
	if (argc - optind != 1)
		return command_usage("policy", "show wants one ID");
	s.whom.id = argv[optind];
	return show(&s) < 0 ? command_fail(&e) : 0;
}
