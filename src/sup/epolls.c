/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/epolls.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/alive.h"
#include "sup/sup.h"

/* --- which there are ------------------------------------------------------------------- */

/* Puts it in front. */
static void remember(struct epolls *e, int number)
{
	unsigned i = 0;

	while (i < e->n && e->numbers[i] != number)
		i++;
	if (i == e->n && e->n < EPOLLS_MAX)
		e->n++;
	else if (i == e->n)
		i--;
	memmove(e->numbers + 1, e->numbers, i * sizeof *e->numbers);
	e->numbers[0] = number;
}

int64_t handle_epoll_create(struct call *c)
{
	int flags = c->trap == TRAP_EPOLL_CREATE1 ? (int)c->args[0] : 0, rc;
	AUTO_FD int fd = -1;

	if (c->trap == TRAP_EPOLL_CREATE ? (int)c->args[0] <= 0 : (flags & ~EPOLL_CLOEXEC) != 0)
		return -EINVAL;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	rc = notify_reply_fd(&c->listener->notify, c->id, fd, flags & EPOLL_CLOEXEC);
	if (rc >= 0)
		remember(&c->domain->epolls, rc);
	return rc >= 0 || rc == -ENOENT ? CALL_ANSWERED : rc;
}

/* --- what is registered ----------------------------------------------------------------- */

/* What an epoll has to say takes a few microseconds for each of its files, and the loop has others to serve. */
#define LOOK_US 1000 /* at all epolls of a domain */
#define WALK_US 100  /* through one that is worth reading: some thousand files */

/*
 * Some file that the caller's epoll `ep` knows under the number is the one that is there. Each question
 * is a walk through the epoll. -E2BIG: that takes too long.
 */
static int knows(const struct call *c, int ep, int number, int64_t until)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)ep, .tfd = (uint32_t)number };
	bool all;
	long rc;

	do { /* files that were at the number before, and are open elsewhere, come one after the other */
		rc = syscall(__NR_kcmp, c->tid, c->tid, KCMP_EPOLL_TFD, number, &slot);
		all = rc < 0 && errno == ENOSYS;
		if (loop_worked() > until)
			return -E2BIG;
	} while (rc > 0 && ++slot.toff < 64);
	return rc == 0 || all;
}

/* How long it is to the end of an epoll of ours, which a number leads to that no file has. */
static int64_t walk(int ep)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)ep, .tfd = INT32_MAX };
	int64_t start = loop_worked();

	(void)syscall(__NR_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, ep, &slot);
	return loop_worked() - start;
}

/* Twice where something may have come in between. */
static bool is_long(int ep)
{
	int64_t us = walk(ep);

	return us > WALK_US && (us > LOOK_US || walk(ep) > WALK_US);
}

struct search {
	struct registrations *to;
	ino_t ino;
	int ep, bell;
	int rc;
};

static void found(void *ctx, const struct alive_entry *e)
{
	struct search *s = ctx;

	if (e->ino != s->ino || s->rc < 0)
		return;
	if (s->to->n == EPOLLS_FOUND || e->fd == s->bell) {
		s->rc = e->fd == s->bell ? -EBUSY : -E2BIG;
		return;
	}
	s->to->v[s->to->n++] = (struct registration){ .ep = fcntl(s->ep, F_DUPFD_CLOEXEC, 0),
						      .fd = e->fd,
						      .events = e->events,
						      .data = e->data };
}

static int collect_from(struct call *c, int number, struct search *s)
{
	AUTO_FD int ep = procs_getfd(&c->sup->procs, c->tid, number), info = -1;
	char path[64];
	int rc;

	if (ep < 0)
		return ep == -EBADF ? 0 : ep;
	if (is_long(ep))
		return -E2BIG;
	/* Of the very one: at the app's number there may be another by now. */
	(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", ep);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -errno;
	s->ep = ep;
	rc = alive_read(info, found, s);
	return rc < 0 ? rc : s->rc;
}

int epolls_collect(struct call *c, ino_t ino, struct registrations *ret)
{
	struct epolls *e = &c->domain->epolls;
	struct search s = { .to = ret, .ino = ino, .bell = guard_bell(&c->sup->guard) };
	int64_t until = loop_worked() + LOOK_US;
	int rc = 0;

	ret->n = 0;
	for (unsigned i = 0; i < e->n && rc >= 0; i++) {
		rc = knows(c, e->numbers[i], (int)c->args[0], until);
		if (rc <= 0)
			continue;
		rc = collect_from(c, e->numbers[i], &s);
		remember(e, e->numbers[i]); /* moves only those that were looked at already */
	}
	return rc < 0 ? rc : 0;
}

void registrations_fini(struct registrations *r)
{
	for (unsigned i = 0; i < r->n; i++)
		fd_close(&r->v[i].ep);
	r->n = 0;
}

/* --- again ------------------------------------------------------------------------------ */

/*
 * An epoll takes the number from the table of whoever calls, so the file comes
 * to that number of ours for a moment. What is there, has another one meanwhile,
 * and stays open.
 */
static int register_at(const struct registration *r, int fd)
{
	struct epoll_event ev = { .events = r->events, .data.u64 = r->data };
	AUTO_FD int ep = fcntl(r->ep, F_DUPFD_CLOEXEC, r->fd + 1);
	AUTO_FD int file = fcntl(fd, F_DUPFD_CLOEXEC, r->fd + 1);
	AUTO_FD int kept = fcntl(r->fd, F_DUPFD_CLOEXEC, r->fd + 1);
	int rc;

	if (ep < 0 || file < 0 || (kept < 0 && errno != EBADF))
		return -EMFILE;
	if (dup3(file, r->fd, O_CLOEXEC) < 0)
		return -errno;
	rc = epoll_ctl(ep, EPOLL_CTL_ADD, r->fd, &ev) < 0 ? -errno : 0;
	if (kept >= 0)
		(void)dup3(kept, r->fd, O_CLOEXEC); /* over an open number it cannot fail */
	else
		(void)close(r->fd);
	return rc;
}

int epolls_carry(const struct registrations *r, int fd)
{
	int rc = 0, got;

	for (unsigned i = 0; i < r->n; i++) {
		got = register_at(&r->v[i], fd);
		rc = rc < 0 ? rc : got;
	}
	return rc;
}
