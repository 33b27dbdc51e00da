/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries to reach what the host has: sockets, FIFOs, shared memory, message
 * queues, processes. Prints "NAME: ERRNO", or "NAME: REACHED".
 *
 *   reach stream|dgram|seqpacket PATH...   connect(2) to a socket in the file system ("@NAME": abstract)
 *   reach fifo PATH...                     open for writing, without waiting for a reader
 *   reach sysv KEY                         shared memory, semaphores, messages with that key
 *   reach mq NAME                          a POSIX message queue
 *   reach kill PID                         a signal that does nothing; then SIGKILL to all
 *   reach fds                              says of what kind each open descriptor is
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void result(const char *what, const char *name, bool ok)
{
	(void)printf("%s %s: %s\n", what, name, ok ? "REACHED" : strerrorname_np(errno));
}

static void try_socket(const char *what, int type, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || n >= sizeof a.sun_path) {
		result(what, path, false);
		return;
	}
	memcpy(a.sun_path, path, n);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = '\0';
	else
		n++;
	result(what, path, connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) == 0);
	/* A server hears of a connection by itself, of a datagram socket only by what it sends. */
	if (type == SOCK_DGRAM)
		(void)send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)close(fd);
}

/* ENXIO: there is a FIFO, and nobody reads from it whom we could reach. */
static void try_fifo(const char *path)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	result("fifo", path, fd >= 0);
	if (fd >= 0)
		(void)close(fd);
}

static void try_sysv(const char *text)
{
	key_t key = (key_t)strtol(text, NULL, 0);

	result("shm", text, shmget(key, 1, 0) >= 0);
	result("sem", text, semget(key, 1, 0) >= 0);
	result("msg", text, msgget(key, 0) >= 0);
}

static void try_kill(const char *text)
{
	result("kill", text, kill((pid_t)atoi(text), 0) == 0);
	result("kill", "-1", kill(-1, SIGKILL) == 0);
}

static const char *kind_of(const struct stat *st)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFSOCK:
		return "socket";
	case S_IFDIR:
		return "directory";
	case S_IFIFO:
		return "pipe";
	case S_IFCHR:
		return "device";
	case S_IFREG:
		return "file";
	default:
		return "other";
	}
}

static void list_fds(void)
{
	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0)
			(void)printf("%d: %s%s\n", fd, kind_of(&st), fcntl(fd, F_GETFL) & O_PATH ? " (O_PATH)" : "");
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(what, "fds") == 0)
		list_fds();
	for (int i = 2; i < argc; i++) {
		if (strcmp(what, "stream") == 0) {
			try_socket(what, SOCK_STREAM, argv[i]);
		} else if (strcmp(what, "dgram") == 0) {
			try_socket(what, SOCK_DGRAM, argv[i]);
		} else if (strcmp(what, "seqpacket") == 0) {
			try_socket(what, SOCK_SEQPACKET, argv[i]);
		} else if (strcmp(what, "fifo") == 0) {
			try_fifo(argv[i]);
		} else if (strcmp(what, "sysv") == 0) {
			try_sysv(argv[i]);
		} else if (strcmp(what, "mq") == 0) {
			result(what, argv[i], mq_open(argv[i], O_RDWR) != (mqd_t)-1);
		} else if (strcmp(what, "kill") == 0) {
			try_kill(argv[i]);
		} else {
			return 2;
		}
	}
	return 0;
}
