/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that tests/bench/bare measures: a supervisor that answers an app's calls,
 * and a gateway that connects for it. They check nothing, know nothing and serve one
 * app at a time, so that what they cost is what the traps, the wake-ups and the
 * calls that nobody can do without cost. One network for all.
 *
 *   bare fabric  SOCKETS ADDRESS PORT N   socket, connect and accept are trapped, at both ends
 *   bare handoff SOCKETS ADDRESS PORT N   socket and connect, and another process connects
 *   bare connect SOCKETS ADDRESS PORT N   connect alone, and another process connects
 *   bare alone   SOCKETS ADDRESS PORT N   connect alone, and the supervisor connects
 *
 * SOCKETS is the program of sockets.c, and prints the time of its client. Its server is
 * started here for fabric, and has to be there for the others.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define JUMP_TO_TRAP(nr, n) { BPF_JMP | BPF_JEQ | BPF_K, (n), 0, (nr) }

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* --- descriptors over a socket -------------------------------------------------------------- */

static void send_fd(int sock, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { .align = { CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS } };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };

	memcpy(CMSG_DATA(&ctl.align), &fd, sizeof fd);
	if (sendmsg(sock, &m, 0) != 1)
		die("sendmsg");
}

static int receive_fd(int sock)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };
	int fd;

	if (recvmsg(sock, &m, 0) != 1 || m.msg_controllen < sizeof ctl.align)
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(&ctl.align), sizeof fd);
	return fd;
}

/* --- the gateway ---------------------------------------------------------------------------- */

static void gateway(int sock)
{
	struct sockaddr_in to;

	while (recv(sock, &to, sizeof to, 0) == sizeof to) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
			die("gateway: connect");
		send_fd(sock, fd);
		(void)close(fd);
	}
	_exit(0);
}

/* --- the app -------------------------------------------------------------------------------- */

static int trap(const char *kind)
{
	struct sock_filter with[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
		JUMP_TO_TRAP(SYS_socket, 4),
		JUMP_TO_TRAP(SYS_connect, 3),
		JUMP_TO_TRAP(SYS_accept, 2),
		JUMP_TO_TRAP(SYS_accept4, 1),
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF },
	};
	struct sock_filter both[] = {
		with[0],
		JUMP_TO_TRAP(SYS_socket, 2),
		JUMP_TO_TRAP(SYS_connect, 1),
		with[5],
		with[6],
	};
	struct sock_filter one[] = { with[0], JUMP_TO_TRAP(SYS_connect, 1), with[5], with[6] };
	struct sock_fprog prog = { sizeof one / sizeof *one, one };
	int fd;

	if (strcmp(kind, "fabric") == 0)
		prog = (struct sock_fprog){ sizeof with / sizeof *with, with };
	else if (strcmp(kind, "handoff") == 0)
		prog = (struct sock_fprog){ sizeof both / sizeof *both, both };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	if (fd < 0)
		die("seccomp");
	return fd;
}

/* argv: KIND SOCKETS ADDRESS PORT N */
static void app(char **argv, int sock)
{
	char *serve[] = { argv[1], (char *)"serve", argv[2], argv[3], NULL };
	char *client[] = { argv[1], (char *)"connect", argv[2], argv[3], argv[4], NULL };
	int with_accept = strcmp(argv[0], "fabric") == 0, ready[2], notify = trap(argv[0]);
	char c;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	send_fd(sock, notify);
	(void)close(notify);
	if (with_accept) {
		if (pipe(ready) < 0)
			die("pipe");
		if (fork() == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (dup2(ready[1], 1) == 1)
				(void)execv(serve[0], serve);
			_exit(1);
		}
		if (read(ready[0], &c, 1) != 1)
			exit(1);
	}
	(void)execv(client[0], client);
	die(client[0]);
}

/* --- the supervisor -------------------------------------------------------------------------- */

static int listener, gate = -1;
static struct seccomp_notif waiting[2]; /* accepts of the server's two processes */
/* Their listeners; -1: none. */
static int waits_at[2] = { -1, -1 };

static void answer(const struct seccomp_notif *n)
{
	struct seccomp_notif_resp r = { .id = n->id };

	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

/* As the call's result, or (at >= 0) in the place of what the app has there. Closes it. */
static void hand_over(const struct seccomp_notif *n, int fd, int at)
{
	struct seccomp_notif_addfd a = { .id = n->id, .srcfd = (uint32_t)fd,
					 .flags = at < 0 ? SECCOMP_ADDFD_FLAG_SEND : SECCOMP_ADDFD_FLAG_SETFD,
					 .newfd = at < 0 ? 0 : (uint32_t)at };

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a) < 0)
		die("ADDFD");
	(void)close(fd);
	if (at >= 0)
		answer(n);
}

static int app_fd(const struct seccomp_notif *n)
{
	static int pidfd[4];
	static pid_t whose[4];
	unsigned i = 0;

	while (i < 3 && whose[i] && whose[i] != (pid_t)n->pid)
		i++;
	if (whose[i] != (pid_t)n->pid) {
		pidfd[i] = (int)syscall(SYS_pidfd_open, n->pid, 0);
		whose[i] = (pid_t)n->pid;
	}
	return (int)syscall(SYS_pidfd_getfd, pidfd[i], (int)n->data.args[0], 0);
}

static void serve_connect(const struct seccomp_notif *n)
{
	struct sockaddr_in to;
	struct iovec here = { &to, sizeof to }, there = { (void *)(uintptr_t)n->data.args[1], sizeof to };
	int fd;

	if (process_vm_readv((pid_t)n->pid, &here, 1, &there, 1, 0) != sizeof to)
		die("process_vm_readv");
	if (gate >= 0) {
		if (send(gate, &to, sizeof to, 0) != sizeof to)
			die("send");
		hand_over(n, receive_fd(gate), (int)n->data.args[0]);
		return;
	}
	fd = app_fd(n);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		die("connect");
	(void)close(fd);
	answer(n);
}

static void serve_one(void)
{
	struct seccomp_notif n = { 0 };
	int i, fd;

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0)
		return; /* it has ended */
	switch (n.data.nr) {
	case SYS_socket:
		fd = socket((int)n.data.args[0], (int)n.data.args[1] | SOCK_CLOEXEC, (int)n.data.args[2]);
		if (fd < 0)
			die("socket");
		hand_over(&n, fd, -1);
		break;
	case SYS_connect:
		serve_connect(&n);
		break;
	default:
		i = waits_at[0] < 0 ? 0 : 1;
		waiting[i] = n;
		waits_at[i] = app_fd(&n);
		if (waits_at[i] < 0)
			die("pidfd_getfd");
	}
}

static void serve_accept(int i)
{
	int fd = accept4(waits_at[i], NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		die("accept4");
	hand_over(&waiting[i], fd, -1);
	(void)close(waits_at[i]);
	waits_at[i] = -1;
}

/* Until the client ends. */
static void supervise(int client)
{
	for (;;) {
		struct pollfd p[4] = { { .fd = listener, .events = POLLIN },
				       { .fd = waits_at[0], .events = POLLIN },
				       { .fd = waits_at[1], .events = POLLIN },
				       { .fd = client, .events = POLLIN } };

		if (poll(p, 4, -1) < 0)
			continue;
		if (p[3].revents)
			return;
		if (p[0].revents & POLLIN)
			serve_one();
		for (int i = 0; i < 2; i++)
			if (p[i + 1].revents && waits_at[i] == p[i + 1].fd)
				serve_accept(i);
	}
}

int main(int argc, char **argv)
{
	int sock[2], status;
	pid_t pid;

	if (argc != 6)
		return 2;
	if (strcmp(argv[1], "handoff") == 0 || strcmp(argv[1], "connect") == 0) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
			die("socketpair");
		if (fork() == 0) {
			(void)close(sock[0]);
			gateway(sock[1]);
		}
		(void)close(sock[1]);
		gate = sock[0];
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		die("socketpair");
	pid = fork();
	if (pid == 0)
		app(argv + 1, sock[1]);
	(void)close(sock[1]);
	listener = receive_fd(sock[0]);
#ifdef SECCOMP_IOCTL_NOTIF_SET_FLAGS
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
#else
	(void)ioctl(listener, _IOW('!', 4, uint64_t), 1); /* newer than Debian's headers */
#endif
	supervise((int)syscall(SYS_pidfd_open, pid, 0));
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
