/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/procs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"

void procs_init(struct procs *p)
{
	memset(p, 0, sizeof *p);
	for (size_t i = 0; i < PROCS_SLOTS; i++)
		p->v[i].pidfd = -1;
	for (size_t i = 0; i < PROCS_INFOS; i++)
		p->infos[i].fd = -1;
}

void procs_fini(struct procs *p)
{
	for (size_t i = 0; i < PROCS_SLOTS; i++)
		fd_close(&p->v[i].pidfd);
	for (size_t i = 0; i < PROCS_INFOS; i++)
		fd_close(&p->infos[i].fd);
}

static pid_t group_of(pid_t tid)
{
	AUTO_FREE char *text = NULL;
	char path[48];
	const char *line;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	if (fd_read_file(-1, path, 65536, &text, NULL, NULL) < 0)
		return -1;
	line = strstr(text, "\nTgid:\t");
	return line ? (pid_t)strtol(line + 7, NULL, 10) : -1;
}

bool procs_share_files(pid_t pid, pid_t tid)
{
	return syscall(__NR_kcmp, pid, tid, KCMP_FILES, 0, 0) == 0;
}

static int open_task(struct procs *p, pid_t tid)
{
	pid_t group;

	if (p->threads || !p->threads_known) {
		int fd = sys_pidfd_open(tid, PIDFD_THREAD);

		if (fd >= 0)
			p->threads = p->threads_known = true;
		if (fd >= 0 || errno != EINVAL)
			return fd < 0 ? -errno : fd;
		p->threads_known = true;
	}
	group = group_of(tid);
	if (group < 0)
		return -ESRCH;
	/* A thread may have left the table that the group shares; its numbers would mean other files. */
	if (group != tid && !procs_share_files(group, tid))
		return -EOPNOTSUPP;
	group = sys_pidfd_open(group, 0);
	return group < 0 ? -errno : group;
}

static int duplicate(int pidfd, int fd)
{
	int got = (int)syscall(__NR_pidfd_getfd, pidfd, fd, 0);

	return got < 0 ? -errno : got;
}

int procs_getfd(struct procs *p, pid_t tid, int fd)
{
	struct procs_entry *e = &p->v[(unsigned)tid % PROCS_SLOTS];
	int got;

	/* Without pidfds of threads the table of a thread may change from call to call. */
	if (e->pidfd >= 0 && e->tid == tid && p->threads) {
		got = duplicate(e->pidfd, fd);
		if (got != -ESRCH)
			return got;
	}
	fd_close(&e->pidfd);
	got = open_task(p, tid);
	if (got < 0)
		return got;
	e->tid = tid;
	e->pidfd = got;
	return duplicate(got, fd);
}

static int open_info(pid_t tid, int fd)
{
	char path[48];
	int got;

	(void)snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)tid, fd);
	got = open(path, O_RDONLY | O_CLOEXEC);
	return got < 0 ? -errno : got;
}

static int read_cloexec(int info, bool *ret)
{
	char text[256]; /* it begins with them */
	ssize_t n = pread(info, text, sizeof text - 1, 0);
	const char *at;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	at = strstr(text, "flags:");
	if (!at)
		return -EPROTO;
	*ret = strtoul(at + 6, NULL, 8) & O_CLOEXEC;
	return 0;
}

int procs_cloexec(struct procs *p, pid_t tid, int fd, bool *ret)
{
	struct procs_info *known = &p->infos[(unsigned)tid % PROCS_INFOS];
	AUTO_FD int info = -1;
	int rc;

	/* Of a task or a descriptor that is gone it says that there is none, whoever has their numbers by now. */
	if (known->fd >= 0 && known->tid == tid && known->number == fd && read_cloexec(known->fd, ret) == 0)
		return 0;
	info = open_info(tid, fd);
	rc = info < 0 ? info : read_cloexec(info, ret);
	if (rc == 0) {
		fd_close(&known->fd);
		*known = (struct procs_info){ .tid = tid, .number = fd, .fd = fd_take(&info) };
	}
	return rc;
}

void procs_signal(const struct procs *p, pid_t tid, int sig)
{
	const struct procs_entry *e = &p->v[(unsigned)tid % PROCS_SLOTS];

	if (e->pidfd >= 0 && e->tid == tid)
		(void)sys_pidfd_send_signal(e->pidfd, sig);
}
