/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does what it can to outlive a sandbox: switches its parent-death signal off,
 * holds off every signal, and leaves a daemon behind that is no child of its
 * own any more and has a session of its own. Says "ready" when all that is
 * done. Ends after a minute.
 *
 *   stay [SECONDS]   its own time; the daemon's is a minute always
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MINUTE 60

static void hold_on(void)
{
	sigset_t all;

	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
}

static void leave_daemon(int ready)
{
	pid_t child = fork();

	if (child == 0) {
		(void)setsid();
		if (fork() == 0) {
			hold_on();
			(void)write(ready, "x", 1);
			for (int fd = 0; fd < 16; fd++)
				(void)close(fd);
			(void)sleep(MINUTE);
		}
		_exit(0);
	}
	(void)waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
	int p[2];
	char c;

	hold_on();
	if (pipe(p) < 0)
		return 1;
	leave_daemon(p[1]);
	if (read(p[0], &c, 1) != 1 || write(1, "ready\n", 6) != 6)
		return 1;
	(void)sleep(argc > 1 ? (unsigned)atoi(argv[1]) : MINUTE);
	return 0;
}
