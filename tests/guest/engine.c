/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container engine does around an OCI runtime, in small.
 *
 *   engine reap PIDFILE CMD...    a subreaper: runs CMD, and once it has
 *                                 succeeded prints "created"; then collects
 *                                 the process in PIDFILE and prints "ended N"
 *   engine console PATH           listens at PATH, takes a terminal, and copies
 *                                 what comes from it to standard output
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int die(const char *what)
{
	(void)fprintf(stderr, "engine: %s: %s\n", what, strerror(errno));
	return 99;
}

static int reap(const char *pid_file, char **argv)
{
	int status = 0, number = 0;
	pid_t pid;
	FILE *f;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || (pid = fork()) < 0)
		return die("subreaper");
	if (pid == 0) {
		(void)execvp(argv[0], argv);
		_exit(die(argv[0]));
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return die("the command failed");
	f = fopen(pid_file, "re");
	if (!f || fscanf(f, "%d", &number) != 1)
		return die(pid_file);
	(void)fclose(f);
	(void)printf("created\n");
	(void)fflush(stdout);
	if (waitpid(number, &status, 0) != number)
		return die("waiting for the container");
	(void)printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}

static int receive(int sock)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	char name[256];
	struct iovec iov = { name, sizeof name };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof ctl.buf };
	int fd = -1;

	if (recvmsg(sock, &m, 0) <= 0 || !CMSG_FIRSTHDR(&m))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

static int console(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), sock, terminal;
	char buf[4096];
	ssize_t n;

	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	if (listener < 0 || bind(listener, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(listener, 1) < 0)
		return die(path);
	sock = accept(listener, NULL, NULL);
	terminal = sock < 0 ? -1 : receive(sock);
	if (terminal < 0)
		return die("no terminal came");
	(void)unlink(path);
	while ((n = read(terminal, buf, sizeof buf)) > 0)
		if (write(STDOUT_FILENO, buf, (size_t)n) != n)
			return die("writing");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "reap") == 0)
		return reap(argv[2], argv + 3);
	if (argc == 3 && strcmp(argv[1], "console") == 0)
		return console(argv[2]);
	(void)fprintf(stderr, "usage: engine reap PIDFILE CMD... | console PATH\n");
	return 99;
}
