/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/oci.h"

static const char help[] = "Usage: vrun state [--root DIR] ID\n\n"
			   "Prints the state of a container as the OCI runtime specification has it.\n\n"
			   "      --root DIR   directory of the records\n"
			   "  -h, --help\n";

int cmd_state(int argc, char **argv)
{
	struct err e = { 0 };
	struct oci_target t;
	int rc = oci_parse_plain(argc, argv, "one id", 1, 1);
	json_t *o;

	if (rc != 0)
		return rc == OCI_HELP ? oci_help(help) : rc;
	if (oci_open(argv[optind], &t, &e) < 0)
		return oci_fail(&e);
	o = oci_describe(&t.record, t.status);
	oci_close(&t);
	return oci_print(o);
}
