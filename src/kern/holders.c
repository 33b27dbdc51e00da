/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"

#define ROUNDS 64 /* of killing: who forks against it without a pid namespace is met again */

/* A number that is a whole file name, or -1. */
static int number_of(const char *name)
{
	char *end;
	long n = strtol(name, &end, 10);

	return end == name || *end || n < 0 || n > INT32_MAX ? -1 : (int)n;
}

static bool is_inside(const struct holders *h, int proc, int pid)
{
	char path[48];
	struct stat st;

	(void)snprintf(path, sizeof path, "%d/ns/net", pid);
	return fstatat(proc, path, &st, 0) == 0 && st.st_ino == h->ino && st.st_dev == h->dev;
}

/* Calls back for each process inside, with a pidfd that was opened before the look at its namespace. */
static int each_process(const struct holders *h, void (*each)(void *ctx, int proc, int pid, int pidfd), void *ctx)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;

	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		int pid = number_of(d->d_name);
		AUTO_FD int pidfd = pid > 0 ? sys_pidfd_open(pid, 0) : -1;

		if (pidfd >= 0 && is_inside(h, dirfd(dir), pid))
			each(ctx, dirfd(dir), pid, pidfd);
	}
	(void)closedir(dir);
	return 0;
}

/* --- sockets ----------------------------------------------------------------------- */

struct visit {
	void (*each)(void *ctx, int fd);
	void *ctx;
};

/* A number in /proc/PID/status, or -1. */
static long status_number(int proc, int pid, const char *key)
{
	AUTO_FREE char *text = NULL;
	const char *line;
	char path[32];

	(void)snprintf(path, sizeof path, "%d/status", pid);
	if (fd_read_file(proc, path, 65536, &text, NULL, NULL) < 0)
		return -1;
	line = strstr(text, key);
	return line ? strtol(line + strlen(key), NULL, 10) : -1;
}

/*
 * By their numbers: the directory /proc/PID/fd is its owner's alone, and the right to read everybody's
 * directories is none that a process should have that reads what apps write.
 */
static void visit_table(const struct visit *v, int pidfd, long size)
{
	for (int n = 0; n < size; n++) {
		AUTO_FD int fd = sys_pidfd_getfd(pidfd, n);
		int type;
		socklen_t len = sizeof type;

		if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
			v->each(v->ctx, fd);
		else if (fd < 0 && errno != EBADF)
			return;
	}
}

/* A thread may have left the table of its process (CLONE_FILES). */
static void visit_thread(const struct visit *v, int proc, int pid, int tid)
{
	AUTO_FD int pidfd = -1;

	if (syscall(__NR_kcmp, pid, tid, KCMP_FILES, 0, 0) == 0)
		return;
	pidfd = sys_pidfd_open(tid, PIDFD_THREAD);
	if (pidfd >= 0)
		visit_table(v, pidfd, status_number(proc, tid, "\nFDSize:"));
}

static void visit_process(void *ctx, int proc, int pid, int pidfd)
{
	const struct visit *v = ctx;
	struct dirent *d;
	char path[32];
	DIR *dir;
	int fd;

	visit_table(v, pidfd, status_number(proc, pid, "\nFDSize:"));
	(void)snprintf(path, sizeof path, "%d/task", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((d = readdir(dir))) {
		int tid = number_of(d->d_name);

		if (tid > 0 && tid != pid)
			visit_thread(v, proc, pid, tid);
	}
	(void)closedir(dir);
}

int holders_each_socket(const struct holders *h, void (*each)(void *ctx, int fd), void *ctx)
{
	struct visit v = { each, ctx };

	return each_process(h, visit_process, &v);
}

/* --- ending them -------------------------------------------------------------------- */

struct hunt {
	bool first; /* only those that are process 1 of their pid namespace */
	unsigned n;
};

/* Its last number in NSpid is the one in its own pid namespace (proc_pid_status(5)). */
static bool is_first(int proc, int pid)
{
	AUTO_FREE char *text = NULL;
	char path[32], *line, *end;

	(void)snprintf(path, sizeof path, "%d/status", pid);
	if (fd_read_file(proc, path, 65536, &text, NULL, NULL) < 0)
		return false;
	line = strstr(text, "\nNSpid:");
	end = line ? strchr(line + 1, '\n') : NULL;
	if (!end)
		return false;
	*end = '\0';
	line = strrchr(line + 1, '\t');
	return line && strcmp(line, "\t1") == 0;
}

static void kill_process(void *ctx, int proc, int pid, int pidfd)
{
	struct hunt *h = ctx;

	if (h->first && !is_first(proc, pid))
		return;
	if (sys_pidfd_send_signal(pidfd, SIGKILL) == 0)
		h->n++;
}

int holders_kill(const struct holders *h)
{
	struct hunt hunt = { .first = true };
	int rc = each_process(h, kill_process, &hunt);

	hunt = (struct hunt){ .n = 1 };
	for (int i = 0; rc == 0 && hunt.n && i < ROUNDS; i++) {
		hunt.n = 0;
		rc = each_process(h, kill_process, &hunt);
	}
	return rc;
}
