/* SPDX-License-Identifier: Apache-2.0 */
#include "run/container.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/attributes.h"
#include "kern/ids.h"
#include "run/init.h"
#include "run/join.h"
#include "run/namespaces.h"
#include "run/process.h"
#include "run/rootfs.h"
#include "run/sources.h"
#include "run/sync.h"

/*
 * Theory of operation
 *
 *  1. With namespaces to join, by path or the supervisor's: a second clone,
 *     whose parent is the monitor too.
 *  2. Ids: written here when they are the caller's own one, else awaited.
 *     From now on files can be made.
 *  3. Sources received or opened; host name, sysctls; the root; the network that
 *     the keeper makes joined, earlier where something depends on it.
 *  4. With an init: a fork, in which the child goes on.
 *  5. process.c: identity, walls; the monitor's word that keeper, record and
 *     cgroup are in place; filter, exec.
 *
 * Whatever fails is reported over the sync socket. The monitor's death closes
 * that socket, which ends every wait here.
 */

#define EXIT_OWN 125 /* vrun's own failures */

/* As a shell has them: 127 for a program that is not there, 126 for one that cannot be executed. */
static int exec_code(int rc)
{
	if (rc == -ECANCELED) /* a hook said no */
		return EXIT_OWN;
	return rc == -ENOENT ? 127 : 126;
}

static bool monitor_is_gone(int sync)
{
	struct pollfd p = { .fd = sync, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static int await(int sync, enum sync_kind kind, struct err *e)
{
	int rc = sync_expect(sync, kind, NULL, 0);

	return rc < 0 ? err_num(e, -rc, "waiting for the monitor") : 0;
}

/* The mounts and files are made by the container's root, or by the app's user where there is none. */
static int become_builder(const struct launch *l, struct err *e)
{
	gid_t gid = ids_to_outside(&l->gids, 0) >= 0 ? 0 : l->bundle->process.user.gid;
	uid_t uid = ids_to_outside(&l->uids, 0) >= 0 ? 0 : l->bundle->process.user.uid;

	if (l->bundle->ns[NS_USER].path)
		uid = 0, gid = 0;
	else if (l->map_writer != MAP_PARENT || l->own_id_mapped)
		return 0; /* the caller's own id is mapped */
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(e, "taking on the container's root");
	/* The change made /proc/self the host root's. Nobody else is in a new namespace yet. */
	if (!l->joins_by_path)
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

static int get_ids(struct launch *l, int sync, struct err *e)
{
	AUTO_FD int proc = -1;
	int rc = 0;

	if (l->map_writer == MAP_SELF) {
		proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0)
			return err_sys(e, "/proc/self");
		rc = ids_write_maps(proc, &l->uids, &l->gids, l->deny_setgroups, e);
	}
	if (rc == 0 && (l->map_writer == MAP_PARENT || l->map_writer == MAP_HELPERS || l->cgroup))
		rc = await(sync, SYNC_MAPS, e);
	return rc < 0 ? rc : become_builder(l, e);
}

static int build(struct launch *l, int sync, int *ret_tty, struct err *e)
{
	AUTO_FD int terminal = -1;
	int rc;

	if (l->sources_in_parent) {
		rc = sources_receive(l, sync);
		if (rc < 0)
			return err_num(e, -rc, "receiving the mounts");
	} else {
		rc = sources_open(l, -1, e);
	}
	if (rc == 0)
		rc = namespaces_set_up(l, e);
	if (rc == 0)
		rc = rootfs_enter(l, sync, &terminal, ret_tty, e);
	if (rc == 0)
		rc = namespaces_join_network(l, e);
	if (rc == 0 && terminal >= 0)
		rc = sync_pass(sync, SYNC_TERMINAL, &terminal, 1, "the monitor is gone", e);
	return rc;
}

static int set_up(struct launch *l, int sync, const int *ns_fds, int *ret_tty, struct err *e)
{
	AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct bundle_process *p = &l->bundle->process;
	int rc = 0;

	if (l->apparmor || l->selinux)
		l->proc_fd = fcntl(proc, F_DUPFD_CLOEXEC, 3);
	if (p->has_oom_score)
		rc = attributes_set_oom_score(proc, p->oom_score_adj, e);
	if (rc == 0)
		rc = join_namespaces(l, sync, ns_fds, e);
	if (rc == 0)
		rc = get_ids(l, sync, e);
	if (rc == 0)
		rc = namespaces_enter_cgroup(l, e);
	if (rc == 0)
		rc = process_prepare(l, e);
	if (rc == 0)
		rc = build(l, sync, ret_tty, e);
	return rc;
}

/* With an init the caller becomes it; the child returns. */
static int split_off_init(const struct launch *l, struct err *e)
{
	pid_t app;

	if (!l->opt->init)
		return 0;
	/* Before the app can exist, so that it never finds an init that can be opened or traced. The app's
	 * own program changes this for itself when it is executed. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	app = fork();
	if (app < 0)
		return err_sys(e, "process of the app");
	if (app > 0) {
		if (!l->opt->outlives && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
			_exit(EXIT_OWN);
		init_main(app);
	}
	return 0;
}

void container_main(struct launch *l, int sync, const int *ns_fds, const sigset_t *mask)
{
	struct err e = { 0 };
	AUTO_FD int tty = -1;
	const char *path;
	int rc, code = EXIT_OWN;

	/* The parent of a created one is to end; its keeper ends it with the monitor. */
	if (!l->opt->outlives)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (monitor_is_gone(sync))
		_exit(EXIT_OWN);
	rc = set_up(l, sync, ns_fds, &tty, &e);
	if (rc == 0) {
		rc = process_find_program(l, &path, &e);
		code = rc < 0 ? exec_code(rc) : EXIT_OWN;
	}
	if (rc == 0)
		rc = split_off_init(l, &e);
	if (rc == 0) {
		(void)sigprocmask(SIG_SETMASK, mask, NULL);
		rc = process_become(l, tty, sync, &e);
		if (rc < 0)
			code = EXIT_OWN;
		else
			code = exec_code(process_execute(l, path, &e));
	}
	sync_fail(sync, &e, code);
	_exit(EXIT_OWN);
}
