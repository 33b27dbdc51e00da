/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/oci.h"
#include "kern/cgroup.h"

static const char help[] = "Usage: vrun kill [--all] [--root DIR] ID [SIGNAL]\n\n"
			   "Sends a signal (name with or without SIG, or number; default TERM) to the first\n"
			   "process of a sandbox. KILL ends everything in it.\n\n"
			   "  -a, --all        to all its processes\n"
			   "      --root DIR   directory of the records\n"
			   "  -h, --help\n";

static int signal_number(const char *text)
{
	uint64_t n;

	if (num_parse_u64(text, 1, (uint64_t)SIGRTMAX, &n) == 0)
		return (int)n;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int s = 1; s < NSIG; s++) {
		const char *name = sigabbrev_np(s);

		if (name && strcasecmp(name, text) == 0)
			return s;
	}
	return -EINVAL;
}

/* Each process as it is found; one that is forked meanwhile is found by the next pass. */
static int send_all(const struct oci_target *t, int sig, struct err *e)
{
	struct cgroup *cg = NULL;
	AUTO_FREE pid_t *pids = NULL;
	size_t n = 0;
	int rc = oci_cgroup(t, &cg, e);

	if (rc == 0 && sig == SIGKILL)
		rc = cgroup_kill(cg, e);
	else if (rc == 0)
		rc = cgroup_pids(cg, &pids, &n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (kill(pids[i], sig) < 0 && errno != ESRCH)
			rc = err_sys(e, "signal %d for process %d", sig, (int)pids[i]);
	cgroup_free(&cg);
	return rc;
}

static int send_signal(const struct oci_target *t, int sig, bool all, struct err *e)
{
	AUTO_FD int pidfd = -1;

	if (t->status != STATE_STOPPED)
		pidfd = state_open_process(&t->record);
	/* What it has left without a pid namespace of its own may still be there. */
	if (all && t->record.cgroup)
		return send_all(t, sig, e);
	if (pidfd < 0) {
		(void)err_set(e, ESRCH, "container %s does not run any more", t->record.id);
		return err_hint(e, "vrun list shows which do");
	}
	/* The monitor would do it too, and knows what pid 1 is spared; but it may be stopped or busy. */
	return sys_pidfd_send_signal(pidfd, sig) < 0 ? err_sys(e, "signal %d for container %s", sig, t->record.id) : 0;
}

int cmd_kill(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct err e = { 0 };
	struct oci_target t;
	int opt, rc, sig = SIGTERM;
	bool all = false;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "ah", options, NULL)) != -1) {
		if (opt == 'h')
			return oci_help(help);
		if (opt == '?')
			return oci_unknown(argv);
		if (opt == 'a')
			all = true;
		else
			globals.root = optarg;
	}
	if (optind >= argc || argc - optind > 2)
		return oci_usage("kill", "expected an id and at most one signal");
	if (argc - optind == 2)
		sig = signal_number(argv[optind + 1]);
	if (sig < 0)
		return oci_usage("kill", "\"%s\" is no signal", argv[optind + 1]);
	if (oci_open(argv[optind], &t, &e) < 0)
		return oci_fail(&e);
	rc = send_signal(&t, sig, all, &e);
	oci_close(&t);
	return rc < 0 ? oci_fail(&e) : 0;
}
