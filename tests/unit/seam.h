/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A supervisor and its containers, for tests of what it serves:
 * tests/guest/agent-client hands containers over as a runtime would. Without
 * root everything runs in a user namespace of its own.
 */
#ifndef VRUN_TESTS_SEAM_H
#define VRUN_TESTS_SEAM_H

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "rmtree.h"
#include "tap.h"

static char seam_build[PATH_MAX / 2], seam_dir[] = "/tmp/vrun-seam-XXXXXX", seam_sock[64];

/* Makes the directory and, without root, the user namespace; ends the test where there are none. */
static inline void seam_init(void)
{
	unsigned uid = geteuid(), gid = getegid();
	ssize_t n = readlink("/proc/self/exe", seam_build, sizeof seam_build - 1);
	char map[64];

	if (n <= 0)
		exit(1);
	seam_build[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(seam_build, '/') = '\0';
	if (uid && unshare(CLONE_NEWUSER) < 0) {
		printf("1..0 # SKIP no user namespaces for this user\n");
		exit(getenv("VRUN_MUST_WORK") ? 1 : 0);
	}
	if (uid) {
		(void)fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
		(void)snprintf(map, sizeof map, "0 %u 1\n", uid);
		(void)fd_write_file(AT_FDCWD, "/proc/self/uid_map", map);
		(void)snprintf(map, sizeof map, "0 %u 1\n", gid);
		(void)fd_write_file(AT_FDCWD, "/proc/self/gid_map", map);
	}
	if (!mkdtemp(seam_dir))
		exit(1);
	(void)snprintf(seam_sock, sizeof seam_sock, "%s/agent", seam_dir);
}

/* A connection to the agent, or -1. */
static inline int seam_connect(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", seam_sock);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

/* Runs a program; its input and output are the other ends of the pipes that are asked for. */
static inline pid_t seam_start(char *const *argv, int *ret_in, int *ret_out)
{
	int in[2], out[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		exit(1);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if ((ret_in && dup2(in[0], STDIN_FILENO) < 0) || (ret_out && dup2(out[1], STDOUT_FILENO) < 0))
			_exit(1);
		(void)execv(argv[0], argv);
		_exit(1);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	if (ret_in)
		*ret_in = in[1];
	else
		(void)close(in[1]);
	if (ret_out)
		*ret_out = out[0];
	else
		(void)close(out[0]);
	return pid;
}

static inline int seam_wait(pid_t pid)
{
	int status = -1;

	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The supervisor, once it listens. */
static inline pid_t seam_supervise(void)
{
	char vrun[PATH_MAX], buf[512];
	char command[] = "supervise", option[] = "--listen";
	char *argv[] = { vrun, command, option, seam_sock, NULL };
	int notes = inotify_init1(IN_CLOEXEC), fd = -1, null;
	struct pollfd p = { .fd = notes, .events = POLLIN };
	pid_t pid;

	(void)snprintf(vrun, sizeof vrun, "%s/vrun", seam_build);
	(void)inotify_add_watch(notes, seam_dir, IN_CREATE | IN_MOVED_TO);
	pid = seam_start(argv, NULL, &null);
	while (access(seam_sock, F_OK) < 0 && poll(&p, 1, 10000) == 1)
		(void)!read(notes, buf, sizeof buf);
	/* Between bind and listen, which on a busy machine takes as long as it likes. */
	for (int i = 0; i < 20000 && (fd = seam_connect()) < 0; i++)
		(void)poll(NULL, 0, 1);
	(void)close(fd);
	(void)close(notes);
	/* Its audit stream: nobody reads, and a pipe would fill. */
	if (fork() == 0) {
		while (read(null, buf, sizeof buf) > 0)
			;
		_exit(0);
	}
	(void)close(null);
	return pid;
}

/* The bundle of a container with that policy. */
static inline void seam_bundle(const char *name, const char *policy)
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", seam_dir, name);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/%s/policy.json", seam_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	(void)fd_write_all(fd, policy, strlen(policy));
	(void)close(fd);
}

/* A container of that bundle. The guest is one of tests/guest and its arguments: up to five words. */
static inline pid_t seam_run(const char *name, int *ret_in, int *ret_out, const char *guest)
{
	char client[PATH_MAX], bundle[PATH_MAX], program[PATH_MAX], *words = strdup(guest), *rest = words;
	char *id = strdup(name), *argv[] = { client, seam_sock, id, bundle, program, NULL, NULL, NULL, NULL, NULL };
	pid_t pid;

	(void)snprintf(client, sizeof client, "%s/tests/guest/agent-client", seam_build);
	(void)snprintf(program, sizeof program, "%s/tests/guest/%s", seam_build, strsep(&rest, " "));
	(void)snprintf(bundle, sizeof bundle, "%s/%s", seam_dir, name);
	for (int i = 5; i < 9 && rest; i++)
		argv[i] = strsep(&rest, " ");
	pid = seam_start(argv, ret_in, ret_out);
	free(words);
	free(id);
	return pid;
}

/* Reads to the end; the text is static. */
static inline char *seam_read_all(int fd)
{
	static char text[8 << 20];
	size_t len = 0;
	ssize_t n;

	while (len + 1 < sizeof text && (n = read(fd, text + len, sizeof text - len - 1)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	(void)close(fd);
	return text;
}

static inline bool seam_ready(int out)
{
	char line[6];
	size_t n = 0;

	while (n < sizeof line && read(out, line + n, 1) == 1)
		n++;
	return TAP_OK(n == sizeof line && memcmp(line, "ready\n", 6) == 0, "the guest is ready");
}

/* A message to the agent; the connection, to read the answer from. */
static inline int seam_say(const char *text)
{
	int fd = seam_connect();

	(void)fd_write_all(fd, text, strlen(text));
	return fd;
}

#endif
