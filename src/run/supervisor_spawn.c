/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's process and its user namespace U. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "kern/caps.h"
#include "kern/helper.h"
#include "kern/ids.h"
#include "kern/refusal.h"
#include "run/plan.h"
#include "run/policy_apply.h"
#include "run/supervisor.h"
#include "run/sync.h"

#define CAP_BIT(c) (UINT64_C(1) << (c))
#define CAP_NR_KILL 5
#define CAP_NR_SETPCAP 8
#define CAP_NR_NET_BIND_SERVICE 10
#define CAP_NR_NET_ADMIN 12
#define CAP_NR_NET_RAW 13
#define CAP_NR_SYS_CHROOT 18
#define CAP_NR_SYS_PTRACE 19
#define CAP_NR_SYS_ADMIN 21
#define SUPERVISOR_CAPS \
	(CAP_BIT(CAP_NR_KILL) | CAP_BIT(CAP_NR_SETPCAP) | CAP_BIT(CAP_NR_NET_BIND_SERVICE) | CAP_BIT(CAP_NR_NET_ADMIN) | \
	 CAP_BIT(CAP_NR_NET_RAW) | CAP_BIT(CAP_NR_SYS_CHROOT) | CAP_BIT(CAP_NR_SYS_PTRACE) | CAP_BIT(CAP_NR_SYS_ADMIN))

/* What the child keeps of its descriptors; -1: none. */
struct child_fds {
	int sync, listener, launcher, resolver;
};

static int keep_only(struct child_fds *f, bool quiet, struct err *e)
{
	int *const all[] = { &f->sync, &f->listener, &f->launcher, &f->resolver };
	const int n = sizeof all / sizeof *all;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    (quiet && dup2(null, STDERR_FILENO) < 0))
		return err_sys(e, "/dev/null");
	/* First out of the way, so that none is overwritten. */
	for (int i = 0; i < n; i++) {
		*all[i] = fcntl(*all[i], F_DUPFD_CLOEXEC, 3 + n);
		if (*all[i] < 0)
			return err_sys(e, "descriptors of the supervisor");
	}
	for (int i = 0; i < n; i++) {
		if (dup3(*all[i], 3 + i, O_CLOEXEC) < 0)
			return err_sys(e, "descriptors of the supervisor");
		*all[i] = 3 + i;
	}
	return sys_close_range(3U + (unsigned)n, ~0U, 0) < 0 ? err_sys(e, "closing descriptors") : 0;
}

/* Host root's id is taken off: what it owns is not for a process that reads what apps write. */
static int become_nobody(const struct outer_ids *o, struct err *e)
{
	const struct cap_sets sets = { .bounding = SUPERVISOR_CAPS,
				       .effective = SUPERVISOR_CAPS,
				       .permitted = SUPERVISOR_CAPS };

	if (!o->change_id)
		return 0;
	if (caps_keep_over_setuid() < 0 || setresgid(o->id, o->id, o->id) < 0 ||
	    setresuid(o->id, o->id, o->id) < 0)
		return err_sys(e, "the supervisor's own user id");
	return caps_apply(&sets, e);
}

static int take_ids(const struct outer_ids *o, int sync, struct err *e)
{
	AUTO_FD int proc = -1;
	int rc = 0;

	if (o->writer == MAP_NONE)
		return 0;
	if (o->writer == MAP_SELF) {
		proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0)
			return err_sys(e, "/proc/self");
		rc = ids_write_maps(proc, &o->uids, &o->gids, o->deny_setgroups, e);
	} else {
		rc = sync_expect(sync, SYNC_MAPS, NULL, 0);
		if (rc < 0)
			return err_num(e, -rc, "waiting for the launcher");
	}
	return rc < 0 ? rc : become_nobody(o, e);
}

static int send_spaces(int sync, const int *spaces, struct err *e)
{
	size_t first = spaces[0] < 0 ? 1 : 0;

	return sync_pass(sync, SYNC_GO, spaces + first, 2 - first, "the launcher is gone", e);
}

static int child_main(const struct launch *l, const struct outer_ids *o, struct child_fds *f,
		      struct err *e)
{
	static const char *const paths[] = { "/proc/self/ns/user", "/proc/self/ns/pid" };
	bool outside = l->opt->fabric || (policy_needs(&l->opt->policy->policy) & POLICY_NEEDS_GATEWAY);
	int spaces[2] = { -1, -1 };
	/* A private one's log is its caller's; a shared one outlives whoever waits for the end of that. */
	int rc = keep_only(f, l->opt->fabric || l->opt->create, e);

	log_set_copy(-1, false);
	/* Of no terminal: that one's signals are for the app. */
	(void)setsid();
	(void)prctl(PR_SET_NAME, "vrun-supervisor", 0, 0, 0);
	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	if (rc == 0 && chdir("/") < 0)
		rc = err_sys(e, "/");
	if (rc == 0)
		rc = take_ids(o, f->sync, e);
	if (rc < 0)
		return rc;
	for (size_t i = o->writer == MAP_NONE ? 1 : 0; i < 2; i++) {
		spaces[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (spaces[i] < 0)
			return err_sys(e, "namespaces of the supervisor");
	}
	rc = send_spaces(f->sync, spaces, e);
	if (rc < 0)
		return rc;
	return l->opt->supervise(fd_take(&f->listener), fd_take(&f->launcher), fd_take(&f->resolver), spaces, outside, e);
}

static int write_outer_maps(const struct outer_ids *o, pid_t pid, int sync, struct err *e)
{
	AUTO_FD int proc = -1;
	char path[32];
	int rc = 0;

	if (o->writer != MAP_PARENT && o->writer != MAP_HELPERS)
		return 0;
	if (o->writer == MAP_HELPERS) {
		rc = ids_run_helpers(pid, &o->uids, &o->gids, e);
	} else {
		(void)snprintf(path, sizeof path, "/proc/%d", (int)pid);
		proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0)
			return err_sys(e, "%s", path);
		rc = ids_write_maps(proc, &o->uids, &o->gids, false, e);
	}
	if (rc == 0 && fd_send(sync, SYNC_MAPS, NULL, 0) < 0)
		rc = err_set(e, EPIPE, "the supervisor ended early");
	return rc;
}

/* Until its maps are written and U can be joined. It sends U itself: /proc is closed to us once it has
 * confined itself. */
static int await(struct supervisor *s, const struct outer_ids *o, int sync, struct err *e)
{
	int n, first, code, rc = write_outer_maps(o, s->pid, sync, e);
	char kind;

	if (rc < 0)
		return rc;
	first = o->writer == MAP_NONE ? 1 : 0;
	n = fd_recv(sync, &kind, s->spaces + first, (size_t)(2 - first));
	if (n == 0 && kind == SYNC_FAILED)
		return sync_read_failure(sync, &code, e);
	if (n != 2 - first || kind != SYNC_GO)
		return err_set(e, EPROTO, "the supervisor ended early");
	return 0;
}

int supervisor_spawn(struct supervisor *s, const struct launch *l, int listener, struct err *e)
{
	AUTO_FD int sync = -1, theirs = -1, sock = -1, launcher = -1, resolver = -1;
	struct outer_ids o;
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .pidfd = (uint64_t)(uintptr_t)&s->pidfd };
	int pair[2], rc = plan_outer_ids(l, &o, e);
	long pid;

	if (rc == 0)
		rc = resolver = helper_open("vrun-resolver", o.change_id, e);
	if (rc < 0)
		return rc;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	sync = pair[0];
	theirs = pair[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	sock = pair[0];
	launcher = pair[1];
	args.flags = CLONE_PIDFD | CLONE_NEWPID | (o.writer == MAP_NONE ? 0 : CLONE_NEWUSER);
	pid = syscall(__NR_clone3, &args, sizeof args);
	if (pid < 0) {
		(void)err_sys(e, "the supervisor's user namespace");
		return refusal_explain(e, args.flags, NULL);
	}
	if (pid == 0) {
		struct child_fds f = { theirs, listener, launcher, resolver };
		struct err ce = { 0 };

		rc = child_main(l, &o, &f, &ce);
		if (rc < 0)
			sync_fail(f.sync, &ce, 125);
		_exit(rc < 0 ? 125 : 0);
	}
	s->pid = (pid_t)pid;
	fd_close(&theirs);
	rc = await(s, &o, sync, e);
	if (rc == 0)
		s->sock = fd_take(&sock);
	return rc;
}
