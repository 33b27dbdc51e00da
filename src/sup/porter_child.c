/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A porter's own process (porter.h). What may fail before the call does so
 * without an answer: then the call is denied.
 */
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/caps.h"
#include "sup/porter.h"

/* Whoever waits has hung up: SIGIO ends us, also in the middle of the call. */
static bool end_with(int answer)
{
	sigset_t none;

	(void)sigemptyset(&none);
	return signal(SIGIO, SIG_DFL) != SIG_ERR && sigprocmask(SIG_SETMASK, &none, NULL) == 0 && fcntl(answer, F_SETOWN, getpid()) == 0 &&
	       fcntl(answer, F_SETFL, O_ASYNC) == 0;
}

/* Of our own setns(2) says EINVAL. */
static bool enter(int users)
{
	return setns(users, CLONE_NEWUSER) == 0 || errno == EINVAL;
}

/* In this order: each step needs rights that a later one gives up. */
static bool become(const struct taskstatus *as, int cwd, int root)
{
	gid_t groups[TASKSTATUS_GROUPS_MAX];
	const uint64_t rights = as->effective & caps_effective(); /* without a user namespace of its own we have few */
	const struct cap_sets sets = { .effective = rights, .permitted = rights };

	for (uint32_t i = 0; i < as->n_groups; i++)
		groups[i] = as->groups[i];
	if (fchdir(root) < 0 || chroot(".") < 0 || fchdir(cwd) < 0)
		return false;
	(void)umask(as->umask & 0777);
	/* Where the namespace forbids setgroups(2), the app has none either that it did not begin with. */
	if (setgroups(as->n_groups, groups) < 0 && errno != EPERM)
		return false;
	if (caps_keep_over_setuid() < 0 || setresgid(as->gid, as->gid, as->gid) < 0 ||
	    setresuid(as->uid, as->uid, as->uid) < 0)
		return false;
	return caps_apply(&sets, NULL) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

/* Whoever asks: only what the supervisor may have itself (guard.h). */
static bool is_unix(int fd)
{
	int family = 0;
	socklen_t len = sizeof family;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && family == AF_UNIX;
}

static int do_call(const struct porter_task *task, int fd)
{
	const struct sockaddr *sa = (const struct sockaddr *)&task->address;

	switch ((enum porter_call)task->call) {
	case PORTER_BIND:
		return bind(fd, sa, task->len);
	case PORTER_CONNECT:
		return connect(fd, sa, task->len);
	case PORTER_LISTEN:
		return listen(fd, (int)task->len);
	}
	errno = EINVAL;
	return -1;
}

_Noreturn void porter_main(const struct porter_task *task, const int fds[static PORTER_FDS])
{
	int32_t result = 0;
	int rc;

	(void)prctl(PR_SET_NAME, "vrun-porter", 0, 0, 0);
	if (task->as.n_groups > TASKSTATUS_GROUPS_MAX ||
	    (task->call != PORTER_LISTEN && task->len > sizeof task->address) ||
	    !is_unix(fds[PORTER_SOCKET]) ||
	    !end_with(fds[PORTER_ANSWER]) || !enter(fds[PORTER_USERS]) ||
	    !become(&task->as, fds[PORTER_CWD], fds[PORTER_ROOT]))
		_exit(125);
	do
		rc = do_call(task, fds[PORTER_SOCKET]);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		result = errno;
	(void)send(fds[PORTER_ANSWER], &result, sizeof result, MSG_NOSIGNAL);
	_exit(0);
}
