/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>

#include "base/fd.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/oci.h"
#include "run/discard.h"

static const char help[] = "Usage: vrun delete [--force] ID\n\n"
			   "Removes what is left of a container that has stopped.\n\n"
			   "  -f, --force      kill it first; no error when there is none\n"
			   "      --root DIR   directory of the records\n"
			   "  -h, --help\n";

static int delete(const char *id, bool force, struct err *e)
{
	struct oci_target t;
	int rc = state_check_id(id, e);

	if (rc == 0)
		rc = oci_open(id, &t, e);
	if (rc == 0) {
		rc = discard_container(t.dir, &t.record, force, e);
		oci_close(&t);
	}
	return rc == -ENOENT && force ? 0 : rc;
}

int cmd_delete(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct err e = { 0 };
	bool force = false;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "fh", options, NULL)) != -1) {
		if (opt == 'h')
			return oci_help(help);
		if (opt == '?')
			return oci_unknown(argv);
		if (opt == 'f')
			force = true;
		else
			globals.root = optarg;
	}
	if (argc - optind != 1)
		return oci_usage("delete", "expected one id");
	return delete(argv[optind], force, &e) < 0 ? oci_fail(&e) : 0;
}
