/* SPDX-License-Identifier: Apache-2.0 */
#include "run/join.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/ids.h"
#include "kern/pidfd.h"
#include "kern/refusal.h"
#include "run/namespaces.h"
#include "run/sync.h"

static int live_with_monitor(const struct launch *l, int sync, struct err *e)
{
	struct pollfd p = { .fd = sync, .events = POLLIN };

	if (!l->opt->outlives)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) ?
		       err_set(e, EPIPE, "the monitor is gone") :
		       0;
}

/*
 * A pid namespace can be made only by a process that is in the one above it
 * (kernel/pid_namespace.c, copy_pid_ns), not by one that has joined it for its
 * children. So one of those goes on.
 */
static int enter_pid_namespace(const struct launch *l, int ns, int sync, int *ret_self, struct err *e)
{
	struct clone_args args = { .flags = CLONE_PARENT };
	long pid;

	if (setns(ns, CLONE_NEWPID) < 0)
		return err_sys(e, "joining the supervisor's pid namespace");
	pid = syscall(__NR_clone3, &args, sizeof args);
	if (pid < 0)
		return err_sys(e, "process of the container");
	if (pid > 0)
		_exit(0);
	/* So that the monitor can wait for this one, too. */
	*ret_self = sys_pidfd_open(getpid(), 0);
	return *ret_self < 0 ? err_sys(e, "process of the container") : live_with_monitor(l, sync, e);
}

/* U first: it owns the pid namespace. */
static int join_supervisor(const struct launch *l, int sync, int *ret_self, struct err *e)
{
	if (!l->outer)
		return 0;
	if (l->outer[0] >= 0 && setns(l->outer[0], CLONE_NEWUSER) < 0)
		return err_sys(e, "joining the supervisor's user namespace");
	if (l->outer[1] < 0)
		return 0; /* "vrun supervise" is in its caller's */
	return enter_pid_namespace(l, l->outer[1], sync, ret_self, e);
}

/* Inside the supervisor's user namespace maps can be written only from there. */
static int write_inner_maps(const struct launch *l, int pidfd, struct err *e)
{
	AUTO_FD int proc = -1;
	char path[32];
	int rc;

	if (!l->outer || l->outer[0] < 0 || (l->map_writer != MAP_PARENT && l->map_writer != MAP_HELPERS))
		return 0;
	(void)snprintf(path, sizeof path, "/proc/%d", (int)pidfd_number(pidfd));
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return err_sys(e, "%s", path);
	rc = ids_write_maps(proc, &l->uids, &l->gids, false, e);
	if (rc == -EPERM && l->opt->fabric)
		(void)err_hint(e, "the fabric was started with fewer ids: end its runs, and start this one first");
	return rc;
}

/* The last thing that the process does which has made the container. */
static int hand_on(const struct launch *l, int sync, int pidfd, int self, struct err *e)
{
	const int fds[] = { pidfd, self };
	int rc = write_inner_maps(l, pidfd, e);

	if (rc == 0)
		rc = sync_pass(sync, SYNC_PID, fds, self < 0 ? 1 : 2, "the monitor is gone", e);
	if (rc < 0)
		(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	if (rc < 0)
		return rc;
	_exit(0);
}

int join_namespaces(const struct launch *l, int sync, const int *ns_fds, struct err *e)
{
	int pidfd = -1, self = -1, rc;
	struct clone_args args = { .flags = l->clone_flags | CLONE_PARENT | CLONE_PIDFD,
				   .pidfd = (uint64_t)(uintptr_t)&pidfd };
	long pid;

	if (!l->joins)
		return 0;
	/* Others live in a user namespace that is joined, perhaps with every capability in it. While we
	 * hold descriptors and mounts of the host's they must not trace us or open what /proc shows of us
	 * (CVE-2016-9962): not dumpable, our memory belongs to the caller's user namespace. */
	if (l->joins_by_path)
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	rc = namespaces_join(l->bundle, ns_fds, e);
	if (rc == 0)
		rc = join_supervisor(l, sync, &self, e);
	if (rc < 0)
		return rc;
	pid = syscall(__NR_clone3, &args, sizeof args);
	if (pid < 0) {
		(void)err_sys(e, "new namespaces");
		return refusal_explain(e, args.flags, NULL);
	}
	if (pid > 0)
		return hand_on(l, sync, pidfd, self, e);
	fd_close(&self);
	return live_with_monitor(l, sync, e);
}
