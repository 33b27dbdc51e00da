/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/porter.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"

static int open_of(pid_t tid, const char *what, int flags)
{
	char path[48];
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)tid, what);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* What belongs to the thread; the caller asks afterwards whether it still is that thread. */
static int gather(pid_t tid, struct porter_task *task, int fds[static PORTER_FDS])
{
	int rc = taskstatus_read(tid, &task->as);

	if (rc < 0)
		return rc;
	fds[PORTER_USERS] = open_of(tid, "ns/user", O_RDONLY);
	if (fds[PORTER_USERS] < 0)
		return fds[PORTER_USERS];
	fds[PORTER_CWD] = open_of(tid, "cwd", O_PATH | O_DIRECTORY);
	fds[PORTER_ROOT] = open_of(tid, "root", O_PATH | O_DIRECTORY);
	return fds[PORTER_CWD] < 0 ? fds[PORTER_CWD] : fds[PORTER_ROOT] < 0 ? fds[PORTER_ROOT] : 0;
}

/* One number: 0 or an errno. Without it the porter was ended, or could not become what it had to. */
static int64_t retry(struct wait *w)
{
	int32_t result = 0;
	ssize_t n = recv(w->fd, &result, sizeof result, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n != sizeof result || result < 0)
		return -EACCES;
	if (result != EAGAIN)
		return -(int64_t)result;
	call_reply(&w->call, -EAGAIN, w->cookie); /* from here it would mean to wait on */
	return CALL_ANSWERED;
}

static void tell(const struct call *c, int rc)
{
	struct err e = { 0 };

	(void)err_num(&e, -rc, "container %s: an AF_UNIX call in its name", c->domain->id);
	if (c->sup->complain && domain_may_record(c->domain))
		c->sup->complain(&e);
}

static int64_t begin(struct call *c, struct target *t, struct porter_task *task, int fds[static PORTER_FDS],
		     int *answer)
{
	struct err e = { 0 };
	int rc = gather(c->tid, task, fds);

	if (rc < 0 && call_valid(c))
		tell(c, rc);
	if (rc < 0 || !call_valid(c))
		return rc < 0 ? -EACCES : CALL_ANSWERED;
	fds[PORTER_SOCKET] = t->fd;
	if (factory_port(&c->sup->factory, task, fds, &e) < 0) {
		tell(c, -e.num);
		return -EACCES;
	}
	return call_wait(c, answer, t->cookie, EPOLLIN, -1, 0, retry) == 0 ? CALL_ANSWERED : -EAGAIN;
}

int64_t porter_do(struct call *c, struct target *t, enum porter_call what, const struct sockaddr_storage *sa,
		  size_t len)
{
	struct porter_task task = { .call = what, .len = (uint32_t)len, .address = *sa };
	int fds[PORTER_FDS] = { -1, -1, -1, -1, -1 }, pair[2];
	AUTO_FD int ours = -1;
	unsigned n = 0;
	const struct wait *w;
	int64_t rc;

	/* Only a connect can wait for others: those that do leave room for bind. */
	TAILQ_FOREACH(w, &c->sup->waits, link)
		n += w->call.domain == c->domain && w->call.trap == c->trap && w->retry == retry;
	if (n >= PORTERS_MAX)
		return -EAGAIN;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -EACCES;
	ours = pair[0];
	fds[PORTER_ANSWER] = pair[1];
	rc = begin(c, t, &task, fds, &ours);
	for (int i = 0; i < PORTER_FDS; i++)
		if (i != PORTER_SOCKET)
			fd_close(&fds[i]);
	return rc;
}
