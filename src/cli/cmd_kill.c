/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/command.h"
#include "run/state.h"

static const char help[] = "Usage: vrun kill [--root DIR] ID [SIGNAL]\n\n"
			   "Sends a signal (name with or without SIG, or number; default TERM) to the first\n"
			   "process of a sandbox. KILL ends everything in it.\n\n"
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

static int send_signal(const char *root, const char *id, int sig, struct err *e)
{
	AUTO_FD int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), pidfd = -1;
	struct state_record r;
	int rc;

	if (dir < 0)
		return err_sys(e, "state directory %s", root);
	rc = state_load(dir, id, &r, e);
	if (rc < 0)
		return rc;
	pidfd = state_open_process(&r);
	state_record_fini(&r);
	if (pidfd < 0) {
		(void)err_set(e, ESRCH, "container %s does not run any more", id);
		return err_hint(e, "vrun ps lists those that do");
	}
	/* The monitor would do it too, and knows what pid 1 is spared; but it may be stopped or busy. */
	return sys_pidfd_send_signal(pidfd, sig) < 0 ? err_sys(e, "signal %d for container %s", sig, id) : 0;
}

int cmd_kill(int argc, char **argv)
{
	static const struct option options[] = {
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *override = NULL;
	AUTO_FREE char *root = NULL;
	struct err e = { 0 };
	int opt, sig = SIGTERM;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt != 'r')
			return command_usage("kill", "unknown option or missing value");
		override = optarg;
	}
	if (optind >= argc || argc - optind > 2)
		return command_usage("kill", "expected an id and at most one signal");
	if (argc - optind == 2)
		sig = signal_number(argv[optind + 1]);
	if (sig < 0)
		return command_usage("kill", "\"%s\" is no signal", argv[optind + 1]);
	if (state_root(override, &root, &e) < 0 || send_signal(root, argv[optind], sig, &e) < 0)
		return command_fail(&e);
	return 0;
}
