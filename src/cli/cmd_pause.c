/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "cli/command.h"
#include "cli/oci.h"
#include "kern/cgroup.h"

static const char pause_help[] = "Usage: vrun pause [--root DIR] ID\n\n"
				 "Stops all processes of a container until \"vrun resume\".\n\n"
				 "      --root DIR   directory of the records\n"
				 "  -h, --help\n";

static const char resume_help[] = "Usage: vrun resume [--root DIR] ID\n\n"
				  "Lets the processes of a paused container go on.\n\n"
				  "      --root DIR   directory of the records\n"
				  "  -h, --help\n";

static int change(const struct oci_target *t, bool freeze, struct err *e)
{
	struct cgroup *cg = NULL;
	int rc;

	if (freeze ? t->status != STATE_RUNNING && t->status != STATE_CREATED : t->status != STATE_PAUSED)
		return err_set(e, EINVAL, "container %s cannot be %s: it is %s", t->record.id,
			       freeze ? "paused" : "resumed", kept_status_name(t->status));
	rc = oci_cgroup(t, &cg, e);
	if (rc == 0)
		rc = freeze ? cgroup_freeze(cg, e) : cgroup_thaw(cg, e);
	cgroup_free(&cg);
	return rc;
}

static int pause_or_resume(int argc, char **argv, bool freeze)
{
	struct err e = { 0 };
	struct oci_target t;
	int rc = oci_parse_plain(argc, argv, "one id", 1, 1);

	if (rc != 0)
		return rc == OCI_HELP ? oci_help(freeze ? pause_help : resume_help) : rc;
	if (oci_open(argv[optind], &t, &e) < 0)
		return oci_fail(&e);
	rc = change(&t, freeze, &e);
	oci_close(&t);
	return rc < 0 ? oci_fail(&e) : 0;
}

int cmd_pause(int argc, char **argv)
{
	return pause_or_resume(argc, argv, true);
}

int cmd_resume(int argc, char **argv)
{
	return pause_or_resume(argc, argv, false);
}
