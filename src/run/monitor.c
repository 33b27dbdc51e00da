/* SPDX-License-Identifier: Apache-2.0 */
/* While the container runs: messages, signals, streams, and the ends of those who matter. */
#include "run/monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "kern/pidfd.h"
#include "run/hooks.h"
#include "run/kept.h"
#include "run/state.h"
#include "run/sync.h"

#define FIXED 6 /* descriptors that are always waited for */

static void await_end(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	while (pidfd >= 0 && poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

/* Another clone goes on as the container. Who made it has ended, or is about to. */
static int adopt(struct monitor *m, int pidfd, int maker)
{
	pid_t pid = pidfd_number(pidfd);

	if (m->l->opt->create) {
		/* They are our caller's children, who collects them. */
		await_end(m->pidfd);
		await_end(maker);
	}
	while (!m->l->opt->create && waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
		;
	while (!m->l->opt->create && maker >= 0 && waitid(P_PIDFD, (id_t)maker, &(siginfo_t){ 0 }, WEXITED | __WALL) < 0 &&
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
		if (si.ssi_signo != SIGXFSZ || si.ssi_pid != (uint32_t)getpid()) /* our own write's */
			forward(m, (int)si.ssi_signo);
}

static int tell_start(struct monitor *m)
{
	if (m->l->opt->create)
		monitor_answer(m, NULL);
	else if (m->l->opt->started_fd >= 0)
		(void)fd_write_all(m->l->opt->started_fd, "s", 1);
	if (m->l->opt->detached)
		streams_leave(&m->streams);
	return 0;
}

static int app_started(struct monitor *m, struct err *e)
{
	int rc = m->l->opt->create ? kept_set_running(m->kept, e) : 0;

	if (m->lock >= 0 && !m->l->opt->create)
		state_set_started(m->lock);
	fd_close(&m->sync);
	if (rc == 0)
		rc = hooks_poststart(m, e);
	if (rc == 0)
		return tell_start(m);
	m->exit_code = EXIT_OWN;
	(void)sys_pidfd_send_signal(m->pidfd, SIGKILL);
	return rc;
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
		m->refused = true;
		return rc;
	}
	m->handed_over = true;
	return fd_send(m->sync, SYNC_GO, NULL, 0) < 0 ? err_set(e, EPIPE, "the container ended early") : 0;
}

int monitor_hear(struct monitor *m, struct err *e)
{
	int fds[2] = { -1, -1 };
	char kind;
	int n = fd_recv(m->sync, &kind, fds, 2);

	if (n == -EPIPE)
		return app_started(m, e);
	if (n == 0 && kind == SYNC_HOOKS) {
		int rc = hooks_serve(m, e);

		m->exit_code = rc < 0 ? EXIT_OWN : m->exit_code;
		return rc;
	}
	if (n == 0 && kind == SYNC_CREATED && m->l->opt->create && !m->created)
		return monitor_created(m, e);
	if (n == 1 && kind == SYNC_TERMINAL && m->l->opt->console_socket)
		return monitor_give_terminal(m, fds[0], e);
	if (n == 1 && kind == SYNC_TERMINAL)
		return streams_set_terminal(&m->streams, fds[0], e);
	if (n >= 1 && kind == SYNC_PID) {
		int rc = adopt(m, fds[0], fds[1]);

		if (rc == 0)
			return 0;
		fd_close(&fds[0]);
		rc = sync_last_word(m->sync, &m->exit_code, e); /* whoever reaps it may have been faster than we */
		return rc < 0 ? rc : err_set(e, ESRCH, "the container ended early");
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

static void supervisor_gone(struct monitor *m)
{
	if (!m->supervisor_gone)
		log_error("the supervisor has ended: so does the sandbox");
	m->supervisor_gone = true;
	m->exit_code = EXIT_OWN;
}

/* The record goes before the process: while it is there its pid is not given to anybody else. The keeper
 * goes last, since until then we may be killed; with nothing else to clean up its end, which takes
 * longest, runs beside ours. */
void monitor_reap(struct monitor *m)
{
	siginfo_t si = { 0 };

	if (m->l->opt->create) {
		/* Its parent reaps it. Whoever collects its status may look at its end at once. */
		await_end(m->pidfd);
		keeper_release(&m->keeper);
		m->exit_code = m->exit_code < 0 ? 0 : m->exit_code;
		return;
	}
	if (m->lock >= 0)
		(void)state_remove(m->state_fd, m->l->opt->id);
	if (!m->l->cgroup && m->streams.terminal < 0 && !m->supervisor.name[0])
		keeper_release(&m->keeper);
	while (waitid(P_PIDFD, (id_t)m->pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	if (m->exit_code < 0)
		m->exit_code = status_code(&si);
	/* Its end reaches the app before it reaches us: calls fail, and the app may have ended of that. */
	if (m->handed_over && supervisor_farewell(&m->supervisor, m->l) == -EPIPE)
		supervisor_gone(m);
}

/* Somebody killed the keeper: without one the app might outlive us. */
static void replace_keeper(struct monitor *m)
{
	struct err e = { 0 };

	keeper_join(&m->keeper);
	if (monitor_start_keeper(m, &e) == 0 && keeper_await(&m->keeper, &m->network, &e) == 0)
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
	m->exit_code = EXIT_OWN;
	if (!m->handed_over && supervisor_complaint(&m->supervisor, &e) < 0)
		log_err(&e);
	else if (!m->refused) /* that is its reason */
		supervisor_gone(m);
	(void)sys_pidfd_send_signal(m->pidfd, SIGKILL);
}

/* A supervisor that is killed takes the app's processes along, and both may show at once. */
static bool was_killed(const struct monitor *m)
{
	siginfo_t si = { 0 };

	return waitid(P_PIDFD, (id_t)m->pidfd, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_code == CLD_KILLED &&
	       si.si_status == SIGKILL;
}

/* Until the app has ended. A failure report is awaited to the end too: the container exits behind it. */
int monitor_watch(struct monitor *m, struct err *e)
{
	int rc = 0;

	for (;;) {
		struct pollfd p[FIXED + STREAMS_PUMPS_MAX] = {
			{ .fd = m->pidfd, .events = POLLIN },
			{ .fd = m->sigfd, .events = POLLIN },
			{ .fd = m->sync, .events = POLLIN },
			{ .fd = m->keeper.sock },
			{ .fd = m->supervisor_spoke ? -1 : m->supervisor.sock, .events = POLLIN },
			{ .fd = m->starter >= 0 ? m->starter : m->listener, .events = POLLIN },
		};
		size_t n = streams_poll(&m->streams, p + FIXED);

		if (poll(p, FIXED + (nfds_t)n, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, "poll");
		}
		if (m->sync >= 0 && p[2].revents && rc == 0) {
			rc = monitor_hear(m, e);
			if (rc < 0)
				monitor_answer(m, e);
			if (rc < 0)
				fd_close(&m->sync);
			continue; /* the pidfd may be another one now */
		}
		streams_work(&m->streams, p + FIXED, n);
		if (p[1].revents)
			forward_signals(m);
		if (p[0].revents && p[4].revents && was_killed(m))
			hear_supervisor(m);
		if (p[0].revents)
			break;
		if (p[3].revents)
			replace_keeper(m);
		if (p[4].revents)
			hear_supervisor(m);
		if (p[5].revents)
			monitor_accept(m);
	}
	monitor_reap(m);
	return rc;
}
