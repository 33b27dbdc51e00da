/* SPDX-License-Identifier: Apache-2.0 */
#include "run/init.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kernel.h"

/*
 * The app can see this process as /proc/1. It holds no descriptor, cannot be
 * traced or opened (not dumpable: its memory belongs to the caller's user
 * namespace), and knows nothing that the app does not.
 */
static int reap(pid_t app)
{
	int code = -1, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != app)
			continue;
		code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return code;
}

void init_main(pid_t app)
{
	sigset_t all;
	int sig, code;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_SET_NAME, "vrun-init", 0, 0, 0);
	(void)sys_close_range(0, ~0U, 0);
	if (chdir("/") < 0)
		_exit(125);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	/* The app may have ended before the mask was in place. */
	while ((code = reap(app)) < 0) {
		sig = sigwaitinfo(&all, NULL);
		if (sig > 0 && sig != SIGCHLD)
			(void)kill(app, sig);
	}
	/* The kernel ends whatever else is left in the namespace. */
	_exit(code);
}
