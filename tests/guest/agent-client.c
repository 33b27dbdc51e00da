/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent-client SOCKET ID BUNDLE PROGRAM [ARGS]: what an OCI runtime does with
 * a container whose seccomp filter has a listenerPath, and no more: runs the
 * program in its own user and network namespace under the filter of trapped
 * calls that the bundle's policy needs, and hands the listener with the container's state to the agent.
 * AGENT_CLIENT_NET is the path of a network namespace to use instead.
 * Exits as the program does (128+signal), 125 when it fails itself.
 */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/filter.h"
#include "kern/netlink.h"
#include "kern/profile.h"
#include "kern/traps.h"
#include "model/policy.h"

static void die(const char *what)
{
	(void)fprintf(stderr, "agent-client: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void write_map(const char *file, unsigned outside)
{
	char text[64];

	(void)snprintf(text, sizeof text, "0 %u 1\n", outside);
	if (fd_write_file(AT_FDCWD, file, text) < 0)
		die(file);
}

/* What the bundle's own policy needs; without one, no more than any. */
static unsigned needs_of(const char *bundle)
{
	char path[4096];
	struct policy p;
	unsigned needs = 0;

	(void)snprintf(path, sizeof path, "%s/policy.json", bundle);
	if (policy_load(&p, AT_FDCWD, path, NULL, NULL) == 0) {
		needs = policy_needs(&p);
		policy_fini(&p);
	}
	return needs;
}

static void become_app(int sock, const char *bundle, char **argv)
{
	static struct traps traps;
	struct profile_params params = { .net = PROFILE_NET_NONE };
	struct bpf_prog prog;
	const char *net = getenv("AGENT_CLIENT_NET");
	unsigned uid = geteuid(), gid = getegid();
	struct err e = { 0 };
	int listener;
	char kind;

	if (net) {
		int fd = open(net, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
			die(net);
		(void)close(fd);
	}
	if (unshare(CLONE_NEWUSER | (net ? 0 : CLONE_NEWNET)) < 0)
		die("unshare");
	(void)fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
	write_map("/proc/self/uid_map", uid);
	write_map("/proc/self/gid_map", gid);
	traps_rules(needs_of(bundle), &traps);
	params.extra = traps.rules;
	params.n_extra = traps.n;
	if ((!net && netlink_loopback_up(NULL, 0, &e) < 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    profile_default_build(&params, &prog, &e) < 0 || filter_load(&prog, 0, &listener, &e) < 0) {
		(void)fprintf(stderr, "agent-client: %s\n", e.text);
		_exit(125);
	}
	if (fd_send(sock, 'l', &listener, 1) < 0 || fd_recv(sock, &kind, NULL, 0) < 0)
		die("launcher");
	(void)close(listener);
	(void)execv(argv[0], argv);
	die(argv[0]);
}

/* Sends the state, and waits until the agent has read it and hung up. */
static void hand_over(const char *path, const char *id, const char *bundle, pid_t pid, int listener)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	char text[4096], c;
	struct iovec iov = { text, 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf,
			    .msg_controllen = sizeof ctl.buf };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	iov.iov_len = (size_t)snprintf(
		text, sizeof text,
		"{\"ociVersion\":\"1.0.2\",\"fds\":[\"seccompFd\"],\"pid\":%d,\"metadata\":\"\","
		"\"state\":{\"ociVersion\":\"1.0.2\",\"id\":\"%s\",\"status\":\"creating\",\"pid\":%d,"
		"\"bundle\":\"%s\"}}",
		(int)pid, id, (int)pid, bundle);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof listener);
	memcpy(CMSG_DATA(h), &listener, sizeof listener);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0 ||
	    sendmsg(fd, &m, MSG_NOSIGNAL) < 0)
		die(path);
	while (read(fd, &c, 1) > 0)
		;
	(void)close(fd);
	(void)close(listener);
}

int main(int argc, char **argv)
{
	int sock[2], listener = -1, status;
	char kind;
	pid_t pid;

	if (argc < 5 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		return 125;
	pid = fork();
	if (pid == 0)
		become_app(sock[1], argv[3], argv + 4);
	(void)close(sock[1]);
	if (fd_recv(sock[0], &kind, &listener, 1) != 1)
		return 125;
	hand_over(argv[1], argv[2], argv[3], pid, listener);
	if (fd_send(sock[0], 'g', NULL, 0) < 0 || waitpid(pid, &status, 0) < 0)
		return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
