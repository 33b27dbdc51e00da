/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/fd.h"
#include "cli/command.h"
#include "cli/oci.h"
#include "run/sync.h"

static const char help[] = "Usage: vrun start [--root DIR] ID\n\n"
			   "Runs the program of a container that \"vrun create\" has made.\n\n"
			   "      --root DIR   directory of the records\n"
			   "  -h, --help\n";

static int not_created(const struct oci_target *t, struct err *e)
{
	return err_set(e, EINVAL, "container %s cannot be started: it is %s, not created", t->record.id,
		       kept_status_name(kept_status(t->dir, &t->record)));
}

static int start(const struct oci_target *t, struct err *e)
{
	AUTO_FD int sock = -1;
	int code, rc;
	char kind = 0;

	if (t->status != STATE_CREATED)
		return not_created(t, e);
	sock = kept_connect(t->dir, t->record.id);
	if (sock == -ENOENT || sock == -ECONNREFUSED)
		return not_created(t, e); /* another was quicker, or it has ended */
	if (sock < 0)
		return err_num(e, -sock, "monitor of container %s", t->record.id);
	rc = fd_send(sock, SYNC_START, NULL, 0);
	if (rc == 0)
		rc = fd_recv(sock, &kind, NULL, 0);
	if (rc < 0)
		return rc == -EPIPE || rc == -ECONNRESET ? not_created(t, e) :
							   err_num(e, -rc, "monitor of container %s", t->record.id);
	return kind == SYNC_START ? 0 : sync_read_failure(sock, &code, e);
}

int cmd_start(int argc, char **argv)
{
	struct err e = { 0 };
	struct oci_target t;
	int rc = oci_parse_plain(argc, argv, "one id", 1, 1);

	if (rc != 0)
		return rc == OCI_HELP ? oci_help(help) : rc;
	if (oci_open(argv[optind], &t, &e) < 0)
		return oci_fail(&e);
	rc = start(&t, &e);
	oci_close(&t);
	return rc < 0 ? oci_fail(&e) : 0;
}
