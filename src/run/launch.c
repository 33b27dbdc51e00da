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
#include "kern/cgroup.h"
#include "kern/ids.h"
#include "kern/pidfd.h"
#include "kern/refusal.h"
#include "run/container.h"
#include "run/keeper.h"
#include "run/namespaces.h"
#include "run/sources.h"
#include "run/policy_apply.h"
#include "run/state.h"
#include "run/streams.h"
#include "run/supervisor.h"
#include "run/sync.h"
#include "run/warden.h"

#define EXIT_OWN 125
#define CGROUP_WAIT_MS 10000U

/* Everything that lives while one container runs. */
struct monitor {
	struct launch *l;
	int state_fd;
	int lock; /* of the record; -1 before it is published */
	int network_sock; /* the keeper's end */
	int pidfd, sync, sigfd;
	pid_t pid;
	struct warden warden; /* only until there is a keeper */
	struct keeper keeper;
	struct supervisor supervisor;
	bool handed_over;      /* the container is the supervisor's */
	bool supervisor_spoke; /* its last word is there, to be read at the end */
	int network; /* the app's network namespace, for the supervisor; -1 */
	int app; /* pidfd of the process that loads the filter; -1 */
	struct streams streams;
	sigset_t old_mask;
	int ns_fds[NS_KINDS];
	int exit_code; /* -1 while it runs */
};

static int block_signals(struct monitor *m, struct err *e)
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

static int clone_container(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	int pair[2], network[2] = { -1, -1 };
	struct clone_args args = { .exit_signal = SIGCHLD };
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
	args.flags = (l->joins ? 0 : l->clone_flags) | CLONE_PIDFD;
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

static int send_sources(struct monitor *m, int proc, struct err *e)
{
	struct launch *l = m->l;
	AUTO_FD int userns = -1;
	int rc;

	if (!l->sources_in_parent)
		return 0;
	userns = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return err_sys(e, "user namespace of the container");
	rc = sources_open(l, userns, e);
	if (rc == 0 && sources_send(l, m->sync) < 0)
		rc = err_set(e, EPIPE, "the container ended early");
	return rc;
}

static int serve_set_up(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	AUTO_FD int proc = -1;
	char path[32];
	int rc = 0;

	if (l->cgroup)
		rc = cgroup_enter(l->cgroup, m->pid, false, e);
	if (rc < 0)
		return rc;
	if (l->map_writer == MAP_PARENT) {
		(void)snprintf(path, sizeof path, "/proc/%d", (int)m->pid);
		proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0)
			return err_sys(e, "%s", path);
	}
	rc = write_maps(m, proc, e);
	return rc < 0 ? rc : send_sources(m, proc, e);
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
				  .created = time(NULL),
				  .pid = m->pid,
				  .monitor = getpid() };

	(void)snprintf(r.id, sizeof r.id, "%s", l->opt->id);
	return state_publish(m->state_fd, &r, &m->lock, e);
}

static int start_keeper(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	int own[STREAMS_PUMPS_MAX + 7] = { m->sync, m->sigfd, m->lock, m->supervisor.sock,
					   m->network, m->supervisor.listener, m->supervisor.lock };
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
		.n_not_kept = 7 + streams_own(&m->streams, own + 7),
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

/* Another clone goes on as the container. Who made it has ended, or is about to. */
static int adopt(struct monitor *m, int pidfd, int maker)
{
	pid_t pid = pidfd_number(pidfd);

	while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
		;
	while (maker >= 0 && waitid(P_PIDFD, (id_t)maker, &(siginfo_t){ 0 }, WEXITED | __WALL) < 0 &&
	       errno == EINTR)
		;
	fd_close(&maker);
	if (pid < 0)
		return -ESRCH;
	fd_close(&m->pidfd);
	m->pidfd = pidfd;
	m->pid = pid;
	return 0;
}

static bool ends_a_program(int sig)
{
	return sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;
}

/* A signal mask of proc_pid_status(5): 16 hex digits after the key. False where there is none. */
static bool read_mask(const char *status, const char *key, uint64_t *ret)
{
	const char *p = strstr(status, key);
	char *end;
	uint64_t mask;

	if (!p)
		return false;
	p += strlen(key);
	errno = 0;
	mask = strtoull(p, &end, 16);
	if (end == p || *end != '\n' || errno != 0)
		return false;
	*ret = mask;
	return true;
}

/*
 * pid 1 of a namespace is spared signals that it has no handler for: Ctrl-C on
 * a program without one would do nothing. What the signal would have done to
 * any other process, SIGKILL does.
 */
static bool would_be_spared(const struct monitor *m, int sig)
{
	AUTO_FREE char *text = NULL;
	char path[64];
	uint64_t caught, ignored;

	if (m->l->opt->init || !ends_a_program(sig))
		return false;
	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)m->pid);
	if (fd_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0)
		return false;
	if (!read_mask(text, "\nSigIgn:\t", &ignored) || !read_mask(text, "\nSigCgt:\t", &caught))
		return false;
	return !((ignored | caught) >> (sig - 1) & 1U);
}

static void forward(struct monitor *m, int sig)
{
	if (sig == SIGWINCH && m->streams.terminal >= 0) {
		streams_resize(&m->streams);
		return;
	}
	if (sig == SIGCHLD || sig == SIGPIPE || sig == SIGURG)
		return;
	/* With the socket still open it is not the app yet: the set-up ends. */
	if (m->sync >= 0 ? ends_a_program(sig) : would_be_spared(m, sig)) {
		m->exit_code = 128 + sig;
		sig = SIGKILL;
	}
	(void)sys_pidfd_send_signal(m->pidfd, sig);
}

static void forward_signals(struct monitor *m)
{
	struct signalfd_siginfo si;

	while (read(m->sigfd, &si, sizeof si) == (ssize_t)sizeof si)
		forward(m, (int)si.ssi_signo);
}

static void app_started(struct monitor *m)
{
	fd_close(&m->sync);
	if (m->l->opt->started_fd >= 0)
		(void)fd_write_all(m->l->opt->started_fd, "s", 1);
	if (m->l->opt->detached)
		streams_leave();
}

/* The filter is in place: its listener goes to the supervisor, and then the app may start. */
static int hand_over(struct monitor *m, struct err *e)
{
	AUTO_FD int listener = -1;
	int number, rc;

	if (m->supervisor.sock < 0 || m->app < 0 ||
	    recv(m->sync, &number, sizeof number, 0) != (ssize_t)sizeof number)
		return err_set(e, EPROTO, "message of the container");
	listener = sys_pidfd_getfd(m->app, number);
	fd_close(&m->app);
	if (listener < 0)
		return err_sys(e, "listener of the container's filter");
	rc = supervisor_hand_over(&m->supervisor, m->l, m->pid, listener, m->network, e);
	if (rc < 0) {
		m->exit_code = EXIT_OWN;
		return rc;
	}
	m->handed_over = true;
	return fd_send(m->sync, SYNC_GO, NULL, 0) < 0 ? err_set(e, EPIPE, "the container ended early") : 0;
}

/* One message of the container's, or the end of file that the exec makes. */
static int hear(struct monitor *m, struct err *e)
{
	int fds[2] = { -1, -1 };
	char kind;
	int n = fd_recv(m->sync, &kind, fds, 2);

	if (n == -EPIPE) {
		app_started(m);
		return 0;
	}
	if (n == 1 && kind == SYNC_TERMINAL)
		return streams_set_terminal(&m->streams, fds[0], e);
	if (n >= 1 && kind == SYNC_PID) {
		if (adopt(m, fds[0], fds[1]) == 0)
			return 0;
		fd_close(&fds[0]);
		return err_set(e, ESRCH, "the container ended early");
	}
	if (n == 1 && kind == SYNC_APP && m->app < 0) {
		m->app = fds[0];
		return 0;
	}
	if (n == 0 && kind == SYNC_LISTENER)
		return hand_over(m, e);
	if (n == 0 && kind == SYNC_FAILED) {
		return sync_read_failure(m->sync, &m->exit_code, e);
	}
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return err_num(e, n < 0 ? -n : EPROTO, "message of the container");
}

static int status_code(const siginfo_t *si)
{
	return si->si_code == CLD_EXITED ? si->si_status : 128 + si->si_status;
}

/* The record goes before the process: while it is there its pid is not given to anybody else. The keeper
 * goes last, since until then we may be killed; with nothing else to clean up its end, which takes
 * longest, runs beside ours. */
static void reap(struct monitor *m)
{
	siginfo_t si = { 0 };

	if (m->lock >= 0)
		(void)state_remove(m->state_fd, m->l->opt->id);
	if (!m->l->cgroup && m->streams.terminal < 0)
		keeper_release(&m->keeper);
	while (waitid(P_PIDFD, (id_t)m->pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	if (m->exit_code < 0)
		m->exit_code = status_code(&si);
	supervisor_farewell(&m->supervisor, m->l);
}

/* Somebody killed the keeper: without one the app might outlive us. */
static void replace_keeper(struct monitor *m)
{
	struct err e = { 0 };

	keeper_join(&m->keeper);
	if (start_keeper(m, &e) == 0 && keeper_await(&m->keeper, &m->network, &e) == 0)
		return;
	log_err(&e);
	m->exit_code = EXIT_OWN;
	(void)sys_pidfd_send_signal(m->pidfd, SIGKILL);
	keeper_join(&m->keeper);
}

/* Its last word; or it has gone, and then nothing answers the app any more. */
static void hear_supervisor(struct monitor *m)
{
	struct err e = { 0 };
	char c;

	m->supervisor_spoke = true;
	if (recv(m->supervisor.sock, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0 && m->handed_over)
		return;
	if (!m->handed_over && supervisor_complaint(&m->supervisor, &e) < 0)
		log_err(&e);
	else
		log_error("the supervisor has ended: so does the sandbox");
	m->exit_code = EXIT_OWN;
	(void)sys_pidfd_send_signal(m->pidfd, SIGKILL);
}

/* Until the app has ended. A failure report is awaited to the end too: the container exits behind it. */
static int supervise(struct monitor *m, struct err *e)
{
	int rc = 0;

	for (;;) {
		struct pollfd p[5 + STREAMS_PUMPS_MAX] = {
			{ .fd = m->pidfd, .events = POLLIN },
			{ .fd = m->sigfd, .events = POLLIN },
			{ .fd = m->sync, .events = POLLIN },
			{ .fd = m->keeper.sock },
			{ .fd = m->supervisor_spoke ? -1 : m->supervisor.sock, .events = POLLIN },
		};
		size_t n = streams_poll(&m->streams, p + 5);

		if (poll(p, 5 + (nfds_t)n, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, "poll");
		}
		if (m->sync >= 0 && p[2].revents && rc == 0) {
			rc = hear(m, e);
			if (rc < 0)
				fd_close(&m->sync);
			continue; /* the pidfd may be another one now */
		}
		streams_work(&m->streams, p + 5, n);
		if (p[1].revents)
			forward_signals(m);
		if (p[0].revents)
			break;
		if (p[3].revents)
			replace_keeper(m);
		if (p[4].revents)
			hear_supervisor(m);
	}
	reap(m);
	return rc;
}

static int write_pid_file(const struct monitor *m, struct err *e)
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
	return rc < 0 ? err_num(e, -rc, "pid file %s", path) : 0;
}

/* A second clone changes who the container is. */
static int await_second_clone(struct monitor *m, struct err *e)
{
	pid_t before = m->pid;
	int rc = 0;

	while (rc == 0 && m->pid == before)
		rc = m->sync < 0 ? err_set(e, EPIPE, "the container ended early") : hear(m, e);
	return rc;
}

static int start(struct monitor *m, struct err *e)
{
	int rc = m->l->joins ? await_second_clone(m, e) : 0;

	/* The keeper first: its work takes longest. */
	if (rc == 0)
		rc = start_keeper(m, e);
	if (rc == 0)
		rc = supervisor_publish(&m->supervisor, m->state_fd, e);
	if (rc == 0)
		rc = serve_set_up(m, e);
	if (rc == 0)
		rc = record(m, e);
	if (rc == 0)
		rc = write_pid_file(m, e);
	if (rc == 0)
		rc = keeper_await(&m->keeper, &m->network, e);
	if (rc == 0 && fd_send(m->sync, SYNC_GO, NULL, 0) < 0)
		rc = err_set(e, EPIPE, "the container ended early");
	return rc;
}

/* A set-up that broke off: what the container said of it is better than that it is gone. */
static int break_off(struct monitor *m, int rc, struct err *e)
{
	struct pollfd p = { .fd = m->sync, .events = POLLIN };
	struct err theirs = { 0 };
	char kind;

	if (m->sync >= 0 && rc == -EPIPE && poll(&p, 1, 0) > 0 && fd_recv(m->sync, &kind, NULL, 0) == 0 &&
	    kind == SYNC_FAILED && sync_read_failure(m->sync, &m->exit_code, &theirs) < 0 && theirs.text[0]) {
		*e = theirs;
		rc = -theirs.num;
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
		reap(m);
	}
	return rc;
}

static void clean_up(struct monitor *m)
{
	struct err e;

	streams_fini(&m->streams);
	if (m->l->cgroup) {
		(void)cgroup_kill(m->l->cgroup, NULL);
		if (cgroup_destroy(m->l->cgroup, CGROUP_WAIT_MS, &e) < 0)
			log_err(&e);
	}
	warden_release(&m->warden);
	keeper_release(&m->keeper);
	fd_close(&m->lock);
	keeper_join(&m->keeper);
	supervisor_fini(&m->supervisor, m->state_fd);
	for (int k = 0; k < NS_KINDS; k++)
		fd_close(&m->ns_fds[k]);
	fd_close(&m->app);
	fd_close(&m->network);
	fd_close(&m->pidfd);
	fd_close(&m->sync);
	fd_close(&m->sigfd);
	fd_close(&m->state_fd);
	(void)sigprocmask(SIG_SETMASK, &m->old_mask, NULL);
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
		.announce = warden_announce,
		.announce_arg = &m->warden,
	};
	int rc = cgroup_prepare(&l->cgroup, &p, e);
	const struct strlist *left_out;

	if (rc < 0 || !l->cgroup)
		return rc;
	left_out = cgroup_left_out(l->cgroup);
	for (size_t i = 0; i < left_out->n; i++)
		log_warn("left out: %s", left_out->v[i]);
	return 0;
}

static int prepare(struct monitor *m, struct err *e)
{
	struct launch *l = m->l;
	int rc;

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
	if (rc == 0)
		rc = streams_check_preserved(l->opt->preserve_fds, e);
	if (rc == 0)
		rc = block_signals(m, e);
	return rc < 0 ? rc : prepare_cgroup(m, e);
}

int launch_run(struct launch *l, int *ret_exit_code, struct err *e)
{
	struct monitor m = { .l = l, .state_fd = -1, .pidfd = -1, .sync = -1, .sigfd = -1, .lock = -1, .network_sock = -1, .network = -1, .app = -1, .exit_code = -1 };
	int rc;

	for (int k = 0; k < NS_KINDS; k++)
		m.ns_fds[k] = -1;
	m.streams = (struct streams){ .child = { -1, -1, -1 }, .terminal = -1 };
	(void)sigprocmask(SIG_SETMASK, NULL, &m.old_mask);
	supervisor_init(&m.supervisor);
	rc = prepare(&m, e);
	if (rc == 0 && l->supervised)
		rc = supervisor_start(&m.supervisor, l, m.state_fd, e);
	l->outer = l->supervised ? m.supervisor.spaces : NULL;
	if (rc == 0)
		rc = clone_container(&m, e);
	if (rc == 0) {
		rc = start(&m, e);
		rc = rc < 0 ? break_off(&m, rc, e) : supervise(&m, e);
	}
	clean_up(&m);
	*ret_exit_code = m.exit_code < 0 ? EXIT_OWN : m.exit_code;
	return rc;
}
