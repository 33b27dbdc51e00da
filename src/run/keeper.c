/* SPDX-License-Identifier: Apache-2.0 */
#include "run/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/cgroup.h"
#include "kern/netlink.h"
#include "kern/refusal.h"
#include "run/state.h"
#include "run/supervisor.h"
#include "run/sync.h"

#define REFUSED "new namespaces are refused" /* the monitor says why */
#define CGROUP_WAIT_MS 10000U

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

/* In the container's user namespace, so that the app's root owns its network. The keeper is the
 * creator of that namespace by its uid and so has every capability in it, and none outside any more. */
static int make_network(const struct keeper_params *p, int *ret_network, struct err *e)
{
	AUTO_FD int users = -1, network = -1;
	char path[48];
	int rc;

	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)p->pid);
	if (p->own_users) {
		/* A container that joins namespaces is not dumpable: /proc shows its own to nobody. */
		users = p->users_fd >= 0 ? fcntl(p->users_fd, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
		if (users < 0 || setns(users, CLONE_NEWUSER) < 0)
			return err_sys(e, "user namespace of the container");
	}
	if (unshare(CLONE_NEWNET) < 0) {
		(void)err_sys(e, "network namespace");
		return err_hint(e, REFUSED);
	}
	network = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (network < 0)
		return err_sys(e, "network namespace");
	rc = sync_pass(p->network_sock, SYNC_NETWORK, &network, 1, "the container ended early", e);
	if (rc < 0)
		return rc;
	*ret_network = fd_take(&network);
	return netlink_loopback_up(NULL, 0, e);
}

/* Its end of the socket closes before its lock on the record is gone. */
static void await_end(pid_t monitor)
{
	AUTO_FD int fd = sys_pidfd_open(monitor, 0);

	/* The number is still its own while we are its child. */
	if (fd >= 0 && getppid() == monitor)
		wait_readable(fd);
}

/* A record of this very container stays for "vrun delete". */
static bool has_record(const struct keeper_params *p)
{
	struct state_record r;
	bool ours;

	if (!p->record_stays || state_load(p->state_fd, p->id, &r, NULL) < 0)
		return false;
	ours = r.kept && r.monitor == p->monitor && r.pid == p->pid;
	state_record_fini(&r);
	return ours;
}

static void clean_up(const struct keeper_params *p)
{
	(void)sys_pidfd_send_signal(p->pidfd, SIGKILL);
	wait_readable(p->pidfd);
	if (p->cgroup)
		(void)cgroup_kill(p->cgroup, NULL);
	if (p->cgroup && !has_record(p))
		(void)cgroup_destroy(p->cgroup, CGROUP_WAIT_MS, NULL);
	if (p->tty >= 0)
		(void)tcsetattr(p->tty, TCSANOW, p->tty_modes);
	await_end(p->monitor);
	/* It ends by itself, now that nobody is left. */
	if (p->supervisor >= 0)
		wait_readable(p->supervisor);
	supervisor_outlive(p->state_fd, p->supervisor_name);
	/* Only a dead record: a launch that was refused since its id is in use has the other's name. */
	state_remove_dead(p->state_fd, p->id);
}

/* Makes the network if it is asked to, and tells the monitor how that went. */
static void answer(const struct keeper_params *p, int sock)
{
	AUTO_FD int network = -1;
	struct err e = { 0 };
	int rc = p->make_network ? make_network(p, &network, &e) : 0;

	if (rc == 0)
		rc = sync_pass(sock, SYNC_GO, &network, p->give_network && network >= 0, "the monitor is gone", &e);
	if (rc < 0)
		sync_fail(sock, &e, 125);
}

/* In a child: it takes root's capabilities to remove a cgroup at the top of a hierarchy, and whoever
 * has joined the container's user namespace has none outside any more. */
static void answer_apart(const struct keeper_params *p, int sock)
{
	pid_t pid = fork();

	if (pid == 0) {
		answer(p, sock);
		_exit(0);
	}
	if (pid < 0)
		answer(p, sock);
	else
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
}

static void keeper_main(const struct keeper_params *p, int sock)
{
	sigset_t all;
	char farewell;

	/* It joins the container's user namespace and keeps the host's files: without a pid namespace an
	 * app with CAP_SYS_PTRACE could trace it. Its memory stays with the caller's user namespace. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The network first: the whole launch waits for it. The monitor's signal mask holds so long. */
	if (p->cgroup && p->make_network && p->own_users)
		answer_apart(p, sock);
	else
		answer(p, sock);
	/* Out of reach of every signal that can be held off. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_NAME, "vrun-keeper", 0, 0, 0);
	if (p->network_sock >= 0)
		(void)close(p->network_sock);
	/* Not read(2): a monitor that has not read our answer leaves ECONNRESET before its farewell, and
	 * waits for our end. */
	if (fd_recv(sock, &farewell, NULL, 0) != 0)
		clean_up(p);
	_exit(0);
}

/*
 * Out of the caller's process group, to which terminals and timeout(1) send
 * signals: one that kills the monitor must not kill whoever cleans up after it.
 * Monitor and keeper both do it, as shells do, so that it is done before
 * either goes on: there is no record yet.
 */
static void leave_job(pid_t pid)
{
	(void)setpgid(pid, pid);
}

int keeper_start(struct keeper *k, const struct keeper_params *p, struct err *e)
{
	struct keeper_params own = *p;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "keeper");
	own.monitor = getpid();
	pid = fork();
	if (pid < 0) {
		int num = errno;

		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return err_num(e, num, "keeper");
	}
	if (pid == 0) {
		struct termios modes;

		leave_job(0);
		own.tty = p->tty < 0 ? -1 : fcntl(p->tty, F_DUPFD_CLOEXEC, 3);
		if (!p->tty_modes && own.tty >= 0 && tcgetattr(own.tty, &modes) < 0)
			own.tty = -1;
		if (!p->tty_modes)
			own.tty_modes = &modes;
		/* The standard streams are the caller's: a pipeline must not wait for the keeper. */
		(void)sys_close_range(0, 2, 0);
		fd_close(&pair[0]);
		for (size_t i = 0; i < p->n_not_kept; i++)
			(void)close(p->not_kept[i]);
		keeper_main(&own, pair[1]);
	}
	leave_job(pid);
	fd_close(&pair[1]);
	*k = (struct keeper){ .pid = pid, .sock = pair[0] };
	return 0;
}

int keeper_await(struct keeper *k, int *ret_network, struct err *e)
{
	int code, network = -1;
	char kind;
	int n = fd_recv(k->sock, &kind, &network, 1);

	if (n == 1)
		*ret_network = network;
	if (n >= 0 && kind == SYNC_GO)
		return 0;
	if (n == 0 && kind == SYNC_FAILED) {
		int rc = sync_read_failure(k->sock, &code, e);

		/* The keeper has left the user namespace whose switches count. */
		return strcmp(e->hint, REFUSED) == 0 ? refusal_explain(e, CLONE_NEWNET, NULL) : rc;
	}
	return err_set(e, EPROTO, "the keeper ended early");
}

void keeper_release(struct keeper *k)
{
	if (k->pid <= 0 || k->released)
		return;
	k->released = true;
	if (fd_send(k->sock, SYNC_GO, NULL, 0) < 0)
		(void)kill(k->pid, SIGKILL);
}

void keeper_join(struct keeper *k)
{
	if (k->pid <= 0)
		return;
	fd_close(&k->sock);
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
	k->pid = 0;
}
