/* SPDX-License-Identifier: Apache-2.0 */
#include "run/exec.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/attributes.h"
#include "kern/cgroup.h"
#include "kern/ids.h"
#include "kern/path.h"
#include "run/monitor.h"
#include "run/process.h"
#include "run/sync.h"

/*
 * Theory of operation
 *
 *   vrun exec   plays the monitor: cgroup, listener, streams, exit status
 *   first       a clone of it that joins the container's namespaces
 *   second      the first one's clone, in the pid namespace; its parent is
 *               vrun exec. Takes on the identity, loads the filter, execs.
 *
 * In the container's namespaces others may trace whoever is dumpable in them
 * (CVE-2016-9962), so neither is, until only the sync socket is left to take.
 * vrun's own file is out of their reach: see selfexe.h.
 */

#define EXIT_EXEC 255 /* as runc ends when it could not do it */

static const struct {
	const char *name;
	int flag;
} spaces[] = {
	{ "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS },   { "pid", CLONE_NEWPID },	    { "net", CLONE_NEWNET },
	{ "ipc", CLONE_NEWIPC },   { "uts", CLONE_NEWUTS },  { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },
};

/* The first process that has `pid` for its parent; 0: none that can be seen. */
static pid_t first_child(pid_t pid)
{
	AUTO_FREE char *text = NULL;
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	return fd_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0 ? 0 : (pid_t)strtol(text, NULL, 10);
}

/*
 * Whom namespaces are taken from. vrun's init lets nobody look into it, its
 * own user neither; the app that it has started is in all the same ones. While
 * it still is the child, the pidfd that was opened before is its.
 */
static pid_t enterable(pid_t pid, int *target)
{
	char path[48];
	struct stat st;
	pid_t child;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
	if (stat(path, &st) == 0 || errno != EACCES)
		return pid;
	child = first_child(pid);
	fd = child > 0 ? sys_pidfd_open(child, 0) : -1;
	if (fd < 0 || first_child(pid) != child) {
		fd_close(&fd);
		return pid;
	}
	fd_close(target);
	*target = fd;
	return child;
}

/* Those that are not ours already: joining the own user namespace is refused. */
static int namespaces_of(pid_t pid, int *ret_flags, struct err *e)
{
	struct stat own, theirs;
	char path[48];

	*ret_flags = 0;
	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
		(void)snprintf(path, sizeof path, "/proc/self/ns/%s", spaces[i].name);
		if (stat(path, &own) < 0)
			continue; /* a kernel without it */
		(void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, spaces[i].name);
		if (stat(path, &theirs) < 0)
			return err_sys(e, "namespaces of the container");
		if (own.st_ino != theirs.st_ino || own.st_dev != theirs.st_dev)
			*ret_flags |= spaces[i].flag;
	}
	return 0;
}

/* --- inside ------------------------------------------------------------------------- */

/* From the container's own devpts; its app may have put something else there. */
static int open_terminal(const struct bundle *b, int sync, int *ret_tty, struct err *e)
{
	AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), at = -1, tty = -1;
	struct winsize size = { .ws_row = b->process.rows, .ws_col = b->process.columns };
	struct statfs fs;
	int unlock = 0, rc;

	at = root < 0 ? -errno : path_open(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
	if (at < 0)
		return err_num(e, -at, "terminal: /dev/pts/ptmx in the container");
	if (fstatfs(at, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(e, EINVAL, "terminal: /dev/pts/ptmx in the container is no terminal");
	if (ioctl(at, TIOCSPTLCK, &unlock) < 0)
		return err_sys(e, "terminal");
	tty = ioctl(at, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0 || (size.ws_row && size.ws_col && ioctl(at, TIOCSWINSZ, &size) < 0))
		return err_sys(e, "terminal");
	rc = sync_pass(sync, SYNC_TERMINAL, &at, 1, "vrun exec is gone", e);
	if (rc < 0)
		return rc;
	*ret_tty = fd_take(&tty);
	return 0;
}

/* Root of the container, or where it has none the app's user. */
static int become_root(const struct launch *l, int flags, struct err *e)
{
	const struct bundle_user *user = &l->bundle->process.user;
	gid_t gid = ids_to_outside(&l->gids, 0) >= 0 || l->gids.n == 0 ? 0 : user->gid;
	uid_t uid = ids_to_outside(&l->uids, 0) >= 0 || l->uids.n == 0 ? 0 : user->uid;

	if (!(flags & CLONE_NEWUSER))
		return 0;
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(e, "taking on the container's root");
	return 0;
}

static _Noreturn void second(struct launch *l, int flags, int sync, const sigset_t *mask)
{
	struct err e = { 0 };
	AUTO_FD int tty = -1;
	const char *path;
	int code = EXIT_EXEC, rc = become_root(l, flags, &e);

	if (rc == 0 && l->bundle->process.terminal)
		rc = open_terminal(l->bundle, sync, &tty, &e);
	if (rc == 0) {
		rc = process_find_program(l, &path, &e);
		code = rc == -ENOENT ? 127 : rc < 0 ? 126 : EXIT_EXEC;
	}
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	if (rc == 0)
		rc = process_prepare(l, &e);
	if (rc == 0)
		rc = process_become(l, tty, sync, &e);
	if (rc == 0)
		code = process_execute(l, path, &e) == -ENOENT ? 127 : 126;
	sync_fail(sync, &e, code);
	_exit(EXIT_EXEC);
}

static _Noreturn void first(struct launch *l, const struct monitor *m, int flags, int target, int sync)
{
	int pidfd = -1;
	struct clone_args args = { .flags = CLONE_PARENT | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd };
	AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct bundle_process *p = &l->bundle->process;
	struct err e = { 0 };
	long pid;
	int rc = 0;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The cgroup first: nothing is to be outside of it. */
	if (sync_expect(sync, SYNC_MAPS, NULL, 0) < 0)
		_exit(EXIT_EXEC);
	if (l->apparmor || l->selinux)
		l->proc_fd = fcntl(proc, F_DUPFD_CLOEXEC, 3);
	if (p->has_oom_score)
		rc = attributes_set_oom_score(proc, p->oom_score_adj, &e);
	if (rc == 0 && flags && setns(target, flags) < 0)
		rc = err_sys(&e, "joining the container's namespaces");
	pid = rc == 0 ? syscall(__NR_clone3, &args, sizeof args) : -1;
	if (rc == 0 && pid < 0)
		rc = err_sys(&e, "process in the container");
	if (pid == 0)
		second(l, flags, sync, &m->old_mask);
	if (rc == 0) {
		rc = sync_pass(sync, SYNC_PID, &pidfd, 1, "vrun exec is gone", &e);
		if (rc < 0)
			(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	}
	if (rc < 0)
		sync_fail(sync, &e, EXIT_EXEC);
	_exit(rc < 0 ? EXIT_EXEC : 0);
}

/* --- outside ------------------------------------------------------------------------- */

static int begin(struct monitor *m, const struct exec_target *t, pid_t whose, int target, struct err *e)
{
	struct launch *l = m->l;
	struct clone_args args = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = (uint64_t)(uintptr_t)&m->pidfd };
	int pair[2], flags, rc = namespaces_of(whose, &flags, e);
	long pid;

	/* What was looked at by its number was still the container's. */
	if (rc == 0 && sys_pidfd_send_signal(target, 0) < 0)
		rc = err_set(e, ESRCH, "container %s has ended", t->record->id);
	if (rc < 0)
		return rc;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	pid = syscall(__NR_clone3, &args, sizeof args);
	if (pid == 0) {
		struct err ce = { 0 };

		fd_close(&pair[0]);
		fd_close(&m->supervisor.sock);
		if (streams_enter(&m->streams, &ce) < 0) {
			sync_fail(pair[1], &ce, EXIT_EXEC);
			_exit(EXIT_EXEC);
		}
		first(l, m, flags, target, pair[1]);
	}
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return err_sys(e, "process of vrun exec");
	}
	m->sync = pair[0];
	m->pid = (pid_t)pid;
	streams_close_child(&m->streams);
	return 0;
}

static int enter_cgroup(const struct monitor *m, const struct exec_target *t, struct err *e)
{
	const struct jat at = { .doc = &t->record->doc, .key = "cgroup", .val = t->record->cgroup };
	struct cgroup *cg = NULL;
	int rc = t->record->cgroup ? cgroup_restore(&cg, &at, NULL, e) : 0;

	if (rc == 0 && cg)
		rc = cgroup_enter(cg, m->pid, false, e);
	cgroup_free(&cg);
	return rc;
}

static int prepare(struct monitor *m, const struct exec_target *t, pid_t whose, struct err *e)
{
	struct launch *l = m->l;
	char path[48];
	int rc;

	if (l->supervised) {
		rc = supervisor_connect(&m->supervisor, t->state_fd, t->record->supervisor, e);
		(void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)whose);
		m->network = rc == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (rc == 0 && m->network < 0)
			rc = err_sys(e, "network namespace of the container");
		if (rc < 0)
			return rc;
	}
	rc = streams_prepare(&m->streams, l->bundle->process.terminal, e);
	if (rc == 0 && t->detach && m->streams.n)
		rc = err_set(e, EINVAL, "a standard stream is a socket, which nobody would carry with --detach");
	if (rc == 0)
		rc = streams_check_preserved(l->opt->preserve_fds, e);
	if (rc == 0 && l->own_users)
		streams_give(&m->streams, (uid_t)ids_to_outside(&l->uids, t->user.uid),
			     (gid_t)ids_to_outside(&l->gids, t->user.gid));
	else if (rc == 0 && geteuid() == 0)
		streams_give(&m->streams, t->user.uid, t->user.gid);
	return rc < 0 ? rc : monitor_block_signals(m, e);
}

/* One message; an end of file is no exec yet. */
static int hear(struct monitor *m, struct err *e)
{
	ssize_t n;
	char c;

	do
		n = recv(m->sync, &c, 1, MSG_PEEK);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	return n <= 0 ? err_set(e, EPIPE, "the process ended early") : monitor_hear(m, e);
}

/* Until there is the process that will be the program; then it may go on. */
static int set_up(struct monitor *m, const struct exec_target *t, struct err *e)
{
	pid_t before = m->pid;
	int rc = enter_cgroup(m, t, e);

	if (rc == 0 && fd_send(m->sync, SYNC_MAPS, NULL, 0) < 0)
		rc = err_set(e, EPIPE, "the process ended early");
	while (rc == 0 && m->pid == before)
		rc = hear(m, e);
	if (rc == 0)
		rc = monitor_write_pid_file(m, e);
	/* It has gone: perhaps it has said why. */
	while (rc == 0 && fd_send(m->sync, SYNC_GO, NULL, 0) < 0)
		rc = hear(m, e);
	return rc;
}

static int await_start(struct monitor *m, struct err *e)
{
	int rc = 0;

	while (rc == 0 && m->sync >= 0)
		rc = monitor_hear(m, e);
	return rc;
}

static void give_up(struct monitor *m)
{
	if (m->pidfd < 0)
		return;
	(void)sys_pidfd_send_signal(m->pidfd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)m->pidfd, &(siginfo_t){ 0 }, WEXITED | __WALL) < 0 && errno == EINTR)
		;
}

int exec_run(struct launch *l, const struct exec_target *t, int *ret_exit_code, struct err *e)
{
	AUTO_FD int target = state_open_process(t->record);
	struct monitor m;
	pid_t whose;
	int rc;

	monitor_init(&m, l);
	*ret_exit_code = EXIT_EXEC;
	if (target < 0)
		return err_set(e, ESRCH, "container %s does not run", t->record->id);
	whose = enterable(t->record->pid, &target);
	rc = prepare(&m, t, whose, e);
	l->bundle->process.user = t->user;
	if (rc == 0)
		rc = begin(&m, t, whose, target, e);
	if (rc == 0) {
		rc = set_up(&m, t, e);
		if (rc == 0)
			rc = await_start(&m, e);
		/* It has the listener, and needs nothing more. */
		supervisor_disconnect(&m.supervisor);
		if (rc < 0)
			give_up(&m);
		else if (t->detach)
			m.exit_code = 0;
		else
			rc = monitor_watch(&m, e);
	}
	streams_fini(&m.streams);
	fd_close(&m.app);
	fd_close(&m.network);
	fd_close(&m.pidfd);
	fd_close(&m.sync);
	fd_close(&m.sigfd);
	supervisor_disconnect(&m.supervisor);
	(void)sigprocmask(SIG_SETMASK, &m.old_mask, NULL);
	if (m.exit_code >= 0)
		*ret_exit_code = m.exit_code;
	return rc;
}
