/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy show: the policy in force for a sandbox that runs, and what its rules have decided. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "cli/policy_run.h"
#include "model/policy_write.h"

struct show {
	struct policy_run run; /* its flag: only the text */
	bool found;
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

	if (strcmp(ask_string(o, "container"), s->run.whom.id) != 0)
		return 0;
	s->found = true;
	if (s->run.json)
		rc = json_dumpf(o, stdout, JSON_INDENT(2)) < 0 || putchar('\n') < 0 ? -EPIPE : 0;
	else
		rc = s->run.flag ? print_policy(s, o) : print_table(s, o);
	return rc == 0 && fflush(stdout) != 0 ? -EPIPE : rc;
}

static int show(struct show *s)
{
	json_t *question = json_pack("{s:s, s:s}", "query", "policies", "id", s->run.whom.id);
	int rc = policy_run_ask(&s->run.whom, question, each, s, "vrun ps tells of it", s->e);

	if (rc == -EPIPE && !s->e->num)
		return err_set(s->e, EPIPE, "writing the policy");
	if (rc == 0 && !s->found)
		return err_set(s->e, ENOENT, "no container with the id %s is served there", s->run.whom.id);
	return rc;
}

int policy_cmd_show(int argc, char **argv)
{
	struct err e = { 0 };
	struct show s = { .e = &e };
	int over = policy_run_options(&s.run, argc, argv, "text");

	if (over >= 0)
		return over;
	if (argc - optind != 1)
		return command_usage("policy", "show wants one ID");
	s.run.whom.id = argv[optind];
	return show(&s) < 0 ? command_fail(&e) : 0;
}
