/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy diff: what one policy newly allows and newly denies against another, in words. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "model/policy_diff.h"

static const char *const kind_names[] = { "allowed", "denied", "options", "setting" };
static const char *const headings[] = { "newly allowed", "newly denied", "allowed under other options",
					"settings" };

static int print_text(const struct policy_changes *c)
{
	if (c->n == 0)
		(void)printf("no difference\n");
	for (int kind = CHANGE_ALLOWED; kind <= CHANGE_SETTING; kind++) {
		bool any = false;

		for (size_t i = 0; i < c->n; i++) {
			if ((int)c->v[i].kind != kind)
				continue;
			if (!any)
				(void)printf("%s:\n", headings[kind]);
			any = true;
			(void)printf("  %c %s\n", "+-~="[kind], c->v[i].text);
		}
	}
	return fflush(stdout) == 0 ? c->n != 0 : EXIT_VRUN;
}

static int print_json(const struct policy_changes *c)
{
	json_t *array = json_array();
	bool ok = array != NULL;

	for (size_t i = 0; ok && i < c->n; i++)
		ok = json_array_append_new(array, json_pack("{s:s, s:s}", "change", kind_names[c->v[i].kind],
							    "text", c->v[i].text)) == 0;
	ok = ok && json_dumpf(array, stdout, JSON_INDENT(2)) == 0 && putchar('\n') >= 0 && fflush(stdout) == 0;
	json_decref(array);
	return ok ? c->n != 0 : EXIT_VRUN;
}

int policy_cmd_diff(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	struct policy_changes changes = { 0 };
	struct policy_files files = { 0 };
	struct err e = { 0 };
	bool json = false;
	int c, rc;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return policy_help();
		if (c == '?')
			return EXIT_VRUN;
		json = true;
	}
	if (argc - optind != 2)
		return command_usage("policy", "diff compares two FILEs");
	if (policy_files_load(&files, (const char *const *)argv + optind, &e) < 0 ||
	    policy_diff(&changes, &files.v[0], &files.v[1], &e) < 0) {
		policy_files_fini(&files);
		return command_fail(&e);
	}
	rc = json ? print_json(&changes) : print_text(&changes);
	policy_changes_fini(&changes);
	policy_files_fini(&files);
	return rc;
}
