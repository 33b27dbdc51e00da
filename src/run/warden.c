/* SPDX-License-Identifier: Apache-2.0 */
#include "run/warden.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"

#define FAREWELL "."

struct place {
	struct place *before;
	char path[];
};

static void note(struct place **last, const char *path)
{
	struct place *p = malloc(sizeof *p + strlen(path) + 1);

	if (!p)
		return;
	memcpy(p->path, path, strlen(path) + 1);
	p->before = *last;
	*last = p;
}

static void warden_main(int sock)
{
	struct place *last = NULL;
	char path[PATH_MAX];
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_NAME, "vrun-warden", 0, 0, 0);
	for (;;) {
		ssize_t len = recv(sock, path, sizeof path - 1, 0);

		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			break;
		path[len] = '\0';
		if (strcmp(path, FAREWELL) == 0)
			_exit(0);
		note(&last, path);
	}
	/* The innermost first. What holds processes or other cgroups is not ours, and stays. */
	for (; last; last = last->before)
		(void)rmdir(last->path);
	_exit(0);
}

static int start(struct warden *w)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int num = errno;

		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return -num;
	}
	if (pid == 0) {
		(void)setpgid(0, 0);
		/* All of the caller's, so that nobody waits for the end of a pipe that we hold. */
		if (dup2(pair[1], 0) == 0)
			(void)sys_close_range(1, ~0U, 0);
		warden_main(0);
	}
	/* Before there is anything to remove: see leave_job() in keeper.c. */
	(void)setpgid(pid, pid);
	fd_close(&pair[1]);
	*w = (struct warden){ pid, pair[0] };
	return 0;
}

int warden_announce(void *warden, const char *path)
{
	struct warden *w = warden;
	size_t len = strlen(path);
	int rc = w->pid > 0 ? 0 : start(w);

	if (rc == 0 && len >= PATH_MAX)
		rc = -ENAMETOOLONG;
	if (rc == 0 && send(w->sock, path, len, MSG_NOSIGNAL) < 0)
		rc = -errno;
	return rc;
}

void warden_release(struct warden *w)
{
	if (w->pid <= 0)
		return;
	if (send(w->sock, FAREWELL, sizeof FAREWELL - 1, MSG_NOSIGNAL) < 0)
		(void)kill(w->pid, SIGKILL);
	fd_close(&w->sock);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
}
