/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/oci.h"
#include "run/sweep.h"

static const char help[] = "Usage: vrun list [-q] [-f table|json]\n\n"
			   "Lists the containers of the calling user, also those that are created or stopped.\n\n"
			   "  -f, --format FORMAT   table (default) or json\n"
			   "  -q, --quiet           ids only\n"
			   "      --root DIR        directory of the records\n"
			   "  -h, --help\n";

struct listing {
	int dir;
	json_t *array;
};

static int add(const struct state_record *r, void *arg)
{
	struct listing *l = arg;
	json_t *o = oci_describe(r, kept_status(l->dir, r));

	return o && json_array_append_new(l->array, o) == 0 ? 0 : -ENOMEM;
}

static void print_table(const json_t *array, bool quiet)
{
	char bundle[512];
	const json_t *o;
	int width = 2;
	size_t i;

	json_array_foreach(array, i, o)
		if ((int)strlen(ask_string(o, "id")) > width)
			width = (int)strlen(ask_string(o, "id"));
	if (!quiet)
		(void)printf("%-*s %-8s %-9s %-20s BUNDLE\n", width, "ID", "PID", "STATUS", "CREATED");
	json_array_foreach(array, i, o) {
		if (quiet)
			(void)printf("%s\n", ask_string(o, "id"));
		else
			(void)printf("%-*s %-8lld %-9s %-20s %s\n", width, ask_string(o, "id"), ask_int(o, "pid"),
				     ask_string(o, "status"), ask_string(o, "created"),
				     log_quote(bundle, sizeof bundle, ask_string(o, "bundle")));
	}
}

static int list(bool json, bool quiet, struct err *e)
{
	AUTO_FD int dir = -1;
	struct listing l;
	int rc = oci_root(NULL, &dir, e);

	if (rc < 0)
		return rc;
	l = (struct listing){ dir, json_array() };
	sweep_sockets(dir);
	rc = state_each(dir, add, &l, e);
	if (rc == -ENOMEM)
		(void)err_num(e, ENOMEM, "the list");
	if (rc < 0 || json)
		return rc < 0 ? (json_decref(l.array), rc) : oci_print(l.array);
	print_table(l.array, quiet);
	json_decref(l.array);
	return fflush(stdout) == 0 ? 0 : err_sys(e, "writing the list");
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = {
		{ "format", required_argument, NULL, 'f' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool quiet = false, json = false;
	struct err e = { 0 };
	int opt, rc;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "f:qh", options, NULL)) != -1) {
		if (opt == 'h')
			return oci_help(help);
		if (opt == '?')
			return oci_usage("list", "unknown option or missing value");
		if (opt == 'q')
			quiet = true;
		else if (opt == 'r')
			globals.root = optarg;
		else if (strcmp(optarg, "json") == 0 || strcmp(optarg, "table") == 0)
			json = *optarg == 'j';
		else
			return oci_usage("list", "--format takes table or json");
	}
	if (optind < argc)
		return oci_usage("list", "no arguments are taken");
	rc = list(json, quiet, &e);
	return rc < 0 ? oci_fail(&e) : rc;
}
