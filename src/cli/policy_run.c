/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy_run.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "cli/globals.h"

#define OWN 256

int policy_run_options(struct policy_run *r, int argc, char **argv, const char *own)
{
	bool values = own[1] == ':';
	char letters[] = "h\0:"; /* "h", or "h", its own one and a colon */
	const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "root", required_argument, NULL, 'r' },
		{ "supervisor", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ values ? own + 2 : own, values ? required_argument : no_argument, NULL, OWN },
		{ NULL, 0, NULL, 0 },
	};
	struct err e = { 0 };
	int opt, rc = 0;

	if (values)
		letters[1] = own[0];
	*r = (struct policy_run){ .whom = { .root = globals.root } };
	while (rc == 0 && (opt = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (opt == 'h')
			return policy_help();
		if (opt == '?')
			return EXIT_VRUN;
		if (opt == 'j')
			r->json = true;
		else if (opt == 'r')
			r->whom.root = optarg;
		else if (opt == 's')
			r->whom.path = optarg;
		else if (values)
			rc = policy_list_add(&r->list, optarg, &e);
		else
			r->flag = true;
	}
	return rc < 0 ? command_fail(&e) : -1;
}

void policy_run_fini(struct policy_run *r)
{
	free(r->list);
	*r = (struct policy_run){ .list = NULL };
}

int policy_run_ask(const struct ask_whom *whom, json_t *question, int (*each)(void *ctx, json_t *o), void *ctx,
		   const char *hint, struct err *e)
{
	struct ask_whom by = *whom;
	struct ask_targets t;
	int rc;

	by.id = whom->path ? NULL : whom->id;
	rc = ask_whom(&by, &t, e);
	if (rc < 0) {
		json_decref(question);
		return rc;
	}
	if (t.n) {
		rc = ask_question(t.v[0].path, question, false, each, ctx, e);
	} else {
		json_decref(question);
		(void)err_set(e, ENOTSUP, "%s runs without a supervisor, since its policy has no rules", whom->id);
		rc = err_hint(e, "%s", hint);
	}
	ask_targets_fini(&t);
	return rc;
}
