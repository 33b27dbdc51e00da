/* SPDX-License-Identifier: Apache-2.0 */
#include "run/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/num.h"
#include "kern/cgroup.h"
#include "kern/ids.h"
#include "kern/refusal.h"
#include "kern/procstat.h"
#include "run/container.h"
#include "run/hooks.h"
#include "run/kept.h"
#include "run/monitor.h"
#include "run/namespaces.h"
#include "run/sources.h"
#include "run/policy_apply.h"
#include "run/state.h"
#include "run/streams.h"
#include "run/supervisor.h"
#include "run/sync.h"
#include "run/warden.h"

#define CGROUP_WAIT_MS 10000U
#define EXEC_CONFIG_MAX (1U << 20) /* bytes; records are JSON documents, which have a limit */

int monitor_block_signals(struct monitor *m, struct err *e)
{
	static const int left_alone[] = { SIGTSTP, SIGTTIN, SIGTTOU, SIGSEGV, SIGBUS,
					  SIGFPE,  SIGILL,  SIGTRAP, SIGABRT, SIGSYS };
	sigset_t set;

	(void)sigfillset(&set);
	for (size_t i = 0; i < sizeof left_alone / sizeof *left_alone; i++)
		(void)sigdelset(&set, left_alone[i]);
	if (sigprocmask(SIG_BLOCK, &set, &m->old_mask) < 0)
		return err_sys(e, "signal mask");
	m->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return m->sigfd < 0 ? err_sys(e, "signalfd") : 0;
}

static void unblock_signals(const struct monitor *m)
{
	const struct timespec now = { 0 };
	sigset_t set;

	/* A write beyond the caller's RLIMIT_FSIZE has failed, and is reported; its signal would end us first. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGXFSZ);
	(void)sigtimedwait(&set, NULL, &now);
	(void)sigprocmask(SIG_SETMASK, &m->old_mask, NULL);
}

static int clone_container(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	int pair[2], network[2] = { -1, -1 };
	/* As its sibling it has our signal for its parent, which is said by 0. */
	struct clone_args args = { .exit_signal = l->opt->create ? 0 : SIGCHLD };
	long pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket pair");
	if (l->network_from_keeper &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, network) < 0) {
		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return err_sys(e, "socket pair");
	}
	l->clone_flags = namespaces_clone_flags(l);
	args.flags = (l->joins ? 0 : l->clone_flags) | CLONE_PIDFD | (l->opt->create ? CLONE_PARENT : 0);
	args.pidfd = (uint64_t)(uintptr_t)&m->pidfd;
	pid = syscall(__NR_clone3, &args, sizeof args);
	if (pid < 0) {
		int num = errno;

		fd_close(&pair[0]);
		fd_close(&pair[1]);
		fd_close(&network[0]);
		fd_close(&network[1]);
		(void)err_num(e, num, "new namespaces");
		return refusal_explain(e, args.flags, NULL);
	}
	if (pid == 0) {
		struct err ce = { 0 };

		fd_close(&pair[0]);
		fd_close(&network[0]);
		l->network_sock = network[1];
		fd_close(&m->sigfd);
		fd_close(&m->state_fd);
		fd_close(&m->supervisor.sock);
		fd_close(&m->supervisor.pidfd);
		fd_close(&m->supervisor.listener);
		fd_close(&m->supervisor.lock);
		fd_close(&m->supervisor.gateway);
		fd_close(&m->supervisor.gateway_pidfd);
		if (streams_enter(&m->streams, &ce) < 0) {
			sync_fail(pair[1], &ce, EXIT_OWN);
			_exit(EXIT_OWN);
		}
		container_main(l, pair[1], m->ns_fds, &m->old_mask);
	}
	fd_close(&pair[1]);
	fd_close(&network[1]);
	m->sync = pair[0];
	m->network_sock = network[0];
	m->pid = (pid_t)pid;
	streams_close_child(&m->streams);
	return 0;
}

static int write_maps(struct monitor *m, int proc, struct err *e)
{
	struct launch *l = m->l;
	int rc = 0;

	if (l->outer && l->outer[0] >= 0)
		; /* the container's first process has written them, from inside */
	else if (l->map_writer == MAP_PARENT)
		rc = ids_write_maps(proc, &l->uids, &l->gids, false, e);
	else if (l->map_writer == MAP_HELPERS)
		rc = ids_run_helpers(m->pid, &l->uids, &l->gids, e);
	if (rc == 0 && (l->map_writer == MAP_PARENT || l->map_writer == MAP_HELPERS || l->cgroup))
		rc = fd_send(m->sync, SYNC_MAPS, NULL, 0) < 0 ? err_set(e, EPIPE, "the container ended early") : 0;
	return rc;
}

static int enter_maps(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	AUTO_FD int proc = -1;
	char path[32];
	int rc = l->cgroup ? cgroup_enter(l->cgroup, m->pid, false, e) : 0;

	if (rc < 0)
		return rc;
	if (l->map_writer == MAP_PARENT) {
		(void)snprintf(path, sizeof path, "/proc/%d", (int)m->pid);
		proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0)
			return err_sys(e, "%s", path);
	}
	return write_maps(m, proc, e);
}

static int send_sources(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	AUTO_FD int userns = -1;
	char path[32];
	int rc;

	if (!l->sources_in_parent)
		return 0;
	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)m->pid);
	userns = open(path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return err_sys(e, "user namespace of the container");
	rc = sources_open(l, userns, e);
	if (rc == 0)
		rc = sources_send(l, m->sync, e);
	return rc;
}

static int keep_files(struct monitor *m, struct err *e)
{
	const struct policy_applied *p = m->l->opt->policy;
	const struct kept_files files = { .config = m->l->opt->config,
					  .policy = p->has_policy ? p->text.text : "{\"version\": 1, \"net\": \"none\"}",
					  .ceiling = p->has_ceiling ? p->ceiling_text.text : NULL };

	return kept_make(m->state_fd, m->l->opt->id, &files, &m->kept, e);
}

/* For "vrun exec". One whose configuration is larger than most bundles is left without. */
static void tell_exec(const struct launch *l, json_t *no_policy, struct state_record *r)
{
	const struct policy_applied *p = l->opt->policy;

	if (l->opt->config && strlen(l->opt->config) > EXEC_CONFIG_MAX)
		return;
	r->policy = p->has_policy ? p->text.root : no_policy;
	r->ceiling = p->has_ceiling ? p->ceiling_text.root : NULL;
	r->config = l->opt->config;
	r->cwd = l->bundle->process.cwd;
	r->host_users = l->opt->host_users;
}

static int record(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	struct state_record r = { .bundle = l->bundle->dir,
				  .program = l->bundle->process.args.v[0],
				  .net = l->supervised ? "rules" :
					 l->opt->policy->net == PROFILE_NET_NONE ? "none" : "loopback",
				  .fabric = l->opt->fabric,
				  .supervisor = m->supervisor.name,
				  .gateway = m->supervisor.gateway_control,
				  .created = time(NULL),
				  .pid = m->pid,
				  .kept = l->opt->create,
				  .root = l->root_dir,
				  .annotations = l->opt->annotations,
				  .monitor = getpid() };
	json_t *cgroup = l->cgroup ? cgroup_save(l->cgroup) : NULL;
	json_t *no_policy = json_pack("{s:i, s:s}", "version", 1, "net", "none");
	struct procstat st = { 0 };
	int rc = 0;

	(void)snprintf(r.id, sizeof r.id, "%s", l->opt->id);
	r.cgroup = cgroup;
	if (r.kept && procstat_read(m->pid, &st) < 0)
		rc = err_set(e, ESRCH, "the container ended early");
	r.start_time = st.start_time;
	if (!r.kept)
		tell_exec(l, no_policy, &r);
	if (rc == 0)
		rc = state_publish(m->state_fd, &r, &m->lock, e);
	json_decref(cgroup);
	json_decref(no_policy);
	if (rc == 0 && r.kept)
		rc = keep_files(m, e);
	return rc;
}

int monitor_start_keeper(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	int own[STREAMS_PUMPS_MAX + 12] = { m->sync, m->sigfd, m->lock, m->supervisor.sock,
					    m->network, m->supervisor.listener, m->supervisor.lock,
					    m->supervisor.gateway, m->supervisor.gateway_pidfd,
					    m->kept, m->listener, m->starter };
	struct keeper_params p = {
		.pid = m->pid,
		.pidfd = m->pidfd,
		.state_fd = m->state_fd,
		.id = l->opt->id,
		.cgroup = l->cgroup,
		.make_network = m->network_sock >= 0,
		.give_network = l->supervised,
		.own_users = l->own_users,
		.users_fd = m->ns_fds[NS_USER],
		.network_sock = m->network_sock,
		.not_kept = own,
		.n_not_kept = 12 + streams_own(&m->streams, own + 12),
		.record_stays = l->opt->create,
		.supervisor = m->supervisor.shared ? -1 : m->supervisor.pidfd,
		.supervisor_name = m->supervisor.name,
		.tty = l->bundle->process.terminal && isatty(0) ? 0 : -1,
		.tty_modes = m->streams.raw ? &m->streams.saved : NULL,
	};
	int rc = keeper_start(&m->keeper, &p, e);

	fd_close(&m->network_sock);
	/* Whatever becomes of it, it is in charge of the cgroup. */
	if (rc == 0)
		warden_release(&m->warden);
	return rc;
}

int monitor_write_pid_file(const struct monitor *m, struct err *e)
{
	const char *path = m->l->opt->pid_file;
	char text[16];
	int n = snprintf(text, sizeof text, "%d", (int)m->pid), rc;
	AUTO_FD int fd = -1;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "pid file %s", path);
	rc = fd_write_all(fd, text, (size_t)n);
	if (rc == 0)
		return 0;
	(void)unlink(path);
	return err_num(e, -rc, "pid file %s", path);
}

/* A second clone changes who the container is. */
static int await_second_clone(struct monitor *m, struct err *e)
{
	pid_t before = m->pid;
	int rc = 0;

	while (rc == 0 && m->pid == before)
		rc = m->sync < 0 ? err_set(e, EPIPE, "the container ended early") : monitor_hear(m, e);
	return rc;
}

static int start(struct monitor *m, struct err *e)
{
	int rc = m->l->joins ? await_second_clone(m, e) : 0;
	bool late = m->l->map_writer == MAP_HELPERS || m->l->cgroup;
	bool run = !m->l->opt->create;

	/* The keeper, whose work takes longest, as soon as there are ids for the network's files to belong to;
	 * before that if ids are other programs' work, or would leave a process in a cgroup that only a keeper
	 * cleans up. The record is written while the network is being made. */
	if (rc == 0 && late)
		rc = monitor_start_keeper(m, e);
	if (rc == 0)
		rc = enter_maps(m, e);
	if (rc == 0 && !late)
		rc = monitor_start_keeper(m, e);
	if (rc == 0)
		rc = send_sources(m, e);
	if (rc == 0)
		rc = supervisor_publish(&m->supervisor, m->state_fd, e);
	if (rc == 0)
		rc = record(m, e);
	if (rc == 0)
		rc = keeper_await(&m->keeper, &m->network, e);
	if (rc == 0)
		rc = monitor_write_pid_file(m, e);
	if (rc == 0 && run)
		rc = hooks_await(m, e);
	if (rc == 0 && run)
		rc = hooks_send_state(m, e);
	if (rc == 0 && run && fd_send(m->sync, SYNC_GO, NULL, 0) < 0)
		rc = err_set(e, EPIPE, "the container ended early");
	return rc;
}

/*
 * A set-up that broke off: what the container said of it is better than that it is gone, which may be what the keeper
 * says, too. Only that others are gone is nothing of its own.
 */
static int break_off(struct monitor *m, int rc, struct err *e)
{
	struct err theirs = { 0 };
	int code = m->exit_code;

	if (m->sync >= 0 && sync_last_word(m->sync, &code, &theirs) < 0 && theirs.text[0] &&
	    (rc == -EPIPE || theirs.num != EPIPE)) {
		*e = theirs;
		rc = -theirs.num;
		m->exit_code = code;
	}
	/* Its end is also that of the container, whatever that has said. */
	if (!m->handed_over && supervisor_complaint(&m->supervisor, &theirs) < 0) {
		*e = theirs;
		rc = -theirs.num;
		m->exit_code = EXIT_OWN;
	}
	/* What we break off ourselves ends by our signal: that is no exit status of the app's. */
	if (m->exit_code < 0 && rc != -EPIPE && rc != -ESRCH)
		m->exit_code = EXIT_OWN;
	if (m->pidfd >= 0) {
		/* The end that we make is not the app's. */
		if (m->exit_code < 0)
			m->exit_code = EXIT_OWN;
		(void)sys_pidfd_send_signal(m->pidfd, SIGKILL);
		monitor_reap(m);
	}
	return rc;
}

static void clean_up(struct monitor *m)
{
	struct err e;

	streams_fini(&m->streams);
	if (!m->created)
		hooks_poststop(m);
	/* What was created is for "vrun delete" to remove. */
	if (m->l->cgroup && m->created)
		(void)cgroup_kill(m->l->cgroup, NULL);
	if (m->l->cgroup && !m->created) {
		(void)cgroup_kill(m->l->cgroup, NULL);
		if (cgroup_destroy(m->l->cgroup, CGROUP_WAIT_MS, &e) < 0)
			log_err(&e);
	}
	/* Its socket, too, is somebody's to remove should we be killed here. */
	supervisor_fini(&m->supervisor, m->state_fd);
	warden_release(&m->warden);
	keeper_release(&m->keeper);
	if (m->kept >= 0 && !m->created && kept_remove(m->state_fd, m->l->opt->id, &e) < 0)
		log_err(&e);
	if (m->l->opt->create && !m->created && m->lock >= 0)
		(void)state_remove(m->state_fd, m->l->opt->id);
	fd_close(&m->kept);
	fd_close(&m->listener);
	fd_close(&m->starter);
	fd_close(&m->lock);
	keeper_join(&m->keeper);
	for (int k = 0; k < NS_KINDS; k++)
		fd_close(&m->ns_fds[k]);
	fd_close(&m->app);
	fd_close(&m->network);
	fd_close(&m->pidfd);
	fd_close(&m->sync);
	fd_close(&m->sigfd);
	fd_close(&m->state_fd);
	unblock_signals(m);
}

/* In a user namespace no mount shows devices but those that the bundle opens itself. */
static bool devices_are_closed(const struct launch *l)
{
	const struct bundle *b = l->bundle;

	for (size_t i = 0; i < b->n_mounts; i++)
		if ((b->mounts[i].attr_clear | b->mounts[i].rec_attr_clear) & MOUNT_ATTR_NODEV)
			return false;
	return l->own_users;
}

static int prepare_cgroup(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	const struct bundle *b = l->bundle;
	struct cgroup_params p = {
		.resources = b->resources.given ? &b->resources : NULL,
		.path = b->cgroups_path,
		.id = l->opt->id,
		.systemd = l->opt->systemd_cgroup,
		.best_effort = l->opt->best_effort,
		.devices_closed = devices_are_closed(l),
		/* For what "vrun update" and "vrun events" may ask later. */
		.every_controller = l->opt->create && (b->resources.given || b->cgroups_path),
		.announce = warden_announce,
		.announce_arg = &m->warden,
	};
	int rc = cgroup_prepare(&l->cgroup, &p, e);
	const struct strlist *left_out;

	/* Without a right to any it has only those that are asked for. */
	if (rc < 0 && p.every_controller) {
		p.every_controller = false;
		rc = cgroup_prepare(&l->cgroup, &p, e);
	}
	if (rc < 0 || !l->cgroup)
		return rc;
	left_out = cgroup_left_out(l->cgroup);
	for (size_t i = 0; i < left_out->n; i++)
		log_warn("left out: %s", left_out->v[i]);
	return 0;
}

/* Processes are named by their numbers in /proc: another namespace's would name other processes. */
static int check_proc(struct err *e)
{
	char self[16] = "";
	uint64_t pid;

	if (readlink("/proc/self", self, sizeof self - 1) < 0)
		return err_sys(e, "/proc");
	if (num_parse_u64(self, 1, INT32_MAX, &pid) == 0 && pid == (uint64_t)getpid())
		return 0;
	(void)err_set(e, ENOTSUP, "/proc shows the processes of another pid namespace");
	return err_hint(e, "mount one of this namespace: mount -t proc proc /proc, or unshare --mount-proc");
}

static int prepare(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	int rc = check_proc(e);

	if (rc < 0)
		return rc;
	m->state_fd = open(l->opt->state_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->state_fd < 0)
		return err_sys(e, "state directory %s", l->opt->state_root);
	rc = namespaces_open(l->bundle, m->ns_fds, e);
	if (rc == 0)
		rc = l->opt->detached ? streams_prepare_detached(&m->streams, l->opt->output, e) :
					streams_prepare(&m->streams, l->bundle->process.terminal, e);
	/* A root caller's app has other ids than the caller. */
	if (rc == 0 && l->map_writer == MAP_PARENT)
		streams_give(&m->streams, (uid_t)ids_to_outside(&l->uids, l->bundle->process.user.uid),
			     (gid_t)ids_to_outside(&l->gids, l->bundle->process.user.gid));
	else if (rc == 0 && !l->own_users && geteuid() == 0)
		streams_give(&m->streams, l->bundle->process.user.uid, l->bundle->process.user.gid);
	if (rc == 0)
		rc = streams_check_preserved(l->opt->preserve_fds, e);
	if (rc == 0)
		rc = monitor_block_signals(m, e);
	return rc < 0 ? rc : prepare_cgroup(m, e);
}

void monitor_init(struct monitor *m, struct launch *l)
{
	*m = (struct monitor){ .l = l,
			       .state_fd = -1,
			       .pidfd = -1,
			       .sync = -1,
			       .sigfd = -1,
			       .lock = -1,
			       .network_sock = -1,
			       .network = -1,
			       .app = -1,
			       .exit_code = -1,
			       .kept = -1,
			       .listener = -1,
			       .starter = -1,
			       .keeper = { .sock = -1 },
			       .streams = { .child = { -1, -1, -1 }, .terminal = -1 } };
	for (int k = 0; k < NS_KINDS; k++)
		m->ns_fds[k] = -1;
	(void)sigprocmask(SIG_SETMASK, NULL, &m->old_mask);
	supervisor_init(&m->supervisor);
}

int launch_run(struct launch *l, int *ret_exit_code, struct err *e)
{
	struct monitor m;
	int rc;

	monitor_init(&m, l);
	rc = prepare(&m, e);
	if (rc == 0 && l->supervised)
		rc = supervisor_start(&m.supervisor, l, m.state_fd, e);
	if (rc == 0 && l->supervised)
		rc = gateway_spawn(&m.supervisor, l, e);
	l->outer = l->supervised ? m.supervisor.spaces : NULL;
	if (rc == 0)
		rc = clone_container(&m, e);
	if (rc == 0) {
		rc = start(&m, e);
		rc = rc < 0 ? break_off(&m, rc, e) : monitor_watch(&m, e);
	}
	clean_up(&m);
	if (rc < 0)
		(void)refusal_old_kernel(e, NULL);
	*ret_exit_code = m.exit_code < 0 ? EXIT_OWN : m.exit_code;
	return rc;
}
