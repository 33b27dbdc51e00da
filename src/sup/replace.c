/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/replace.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/alive.h"
#include "sup/epolls.h"
#include "sup/sup.h"

#define PLACES_MAX 16 /* numbers of one process that are the same socket */
#define LOOKS_MAX 8192 /* descriptors that are looked at for that, of all processes */
#define LONG_WORK_US INT64_C(100000) /* no honest app's takes as much; */
#define LONG_MS 1000                 /* nor as long, on a machine that is busy with others */
#define PAUSE 100                    /* times as long it has to do without */

struct replacement {
	struct call *call;
	int fd;            /* borrowed; the new one */
	uint64_t cookie;   /* of the old one */
	struct alive old;  /* knows that, and nothing else */
	int old_fd;        /* by this number */
	bool leave;        /* others have it for good */
	bool gone;         /* nobody has it any more, and `old` knows nothing */
	struct {
		int number;
		bool cloexec;
	} places[PLACES_MAX];
	unsigned n_places;
	unsigned looked;
	int64_t worked;    /* loop_worked() when it began to take time; 0: it has not */
};

/* --- flags ------------------------------------------------------------------------------- */

/*
 * SIGIO is sent with the ids of who said to whom (fcntl(2), F_SETOWN), and no capability counts (fs/fcntl.c,
 * sigio_perm()). A group's members are taken to be like the caller.
 */
static bool may_signal(const struct call *c, const struct f_owner_ex *o)
{
	AUTO_FREE char *text = NULL;
	unsigned real, saved;
	const char *line;
	char path[48];

	if (o->pid == 0)
		return true;
	(void)snprintf(path, sizeof path, "/proc/%d/status", o->type == F_OWNER_PGRP ? (int)c->tid : (int)o->pid);
	if (fd_read_file(-1, path, 65536, &text, NULL, NULL) < 0)
		return true; /* it is gone */
	line = strstr(text, "\nUid:");
	/* The kernel's own numbers. NOLINTNEXTLINE(cert-err34-c) */
	return !line || sscanf(line, " Uid: %u %*u %u", &real, &saved) != 2 || geteuid() == real || geteuid() == saved;
}

/* Of the file. -EPERM: the owner of one that is to leave F would never hear of anything. */
static int copy_flags(const struct call *c, int from, int to, bool leaves)
{
	int flags = fcntl(from, F_GETFL);
	struct f_owner_ex owner;

	if (flags < 0)
		return -errno;
	if (flags & O_ASYNC && fcntl(from, F_GETOWN_EX, &owner) == 0) {
		if (leaves && !may_signal(c, &owner))
			return -EPERM;
		(void)fcntl(to, F_SETOWN_EX, &owner);
		(void)fcntl(to, F_SETSIG, fcntl(from, F_GETSIG));
	}
	return fcntl(to, F_SETFL, flags & (O_NONBLOCK | O_ASYNC)) < 0 ? -errno : 0;
}

static int put(const struct replacement *r, int number, bool cloexec)
{
	return notify_place_fd(&r->call->listener->notify, r->call->id, r->fd, number, cloexec);
}

/* What is there is the old one: the fdinfo of something else may be long. */
static int place(struct replacement *r, int number)
{
	bool cloexec = false;
	int rc;

	if (alive_is_at(&r->old, r->old_fd, r->call->tid, number) == 0)
		return call_valid(r->call) ? -EBADF : -ENOENT;
	rc = procs_cloexec(&r->call->sup->procs, r->call->tid, number, &cloexec);
	if (rc == 0)
		rc = put(r, number, cloexec);
	if (rc < 0 || r->n_places == PLACES_MAX)
		return rc;
	r->places[r->n_places].number = number;
	r->places[r->n_places++].cloexec = cloexec;
	return 0;
}

/* --- who else has it ------------------------------------------------------------------------ */

static void is_it(void *ctx, uint64_t number)
{
	bool *there = ctx;

	(void)number;
	*there = true;
}

static bool still_there(const struct replacement *r)
{
	bool there = false;

	return alive_list(&r->old, is_it, &there) < 0 || there;
}

static bool has_cookie(int fd, uint64_t wanted)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && cookie == wanted;
}

/*
 * Not by its fdinfo, which an app can make as long as it likes (an epoll's, say), nor by a duplicate of
 * it, where that can be helped: to close the last one of a file may take as long.
 */
static bool is_old(const struct replacement *r, pid_t tid, int number)
{
	int rc = alive_is_at(&r->old, r->old_fd, tid, number);
	AUTO_FD int fd = rc < 0 ? procs_getfd(&r->call->sup->procs, tid, number) : -1;

	return rc < 0 ? has_cookie(fd, r->cookie) : rc;
}

/* Calls for the numbers at which a task has the old socket, until it returns true. */
static bool each_place(struct replacement *r, pid_t tid, bool (*each)(struct replacement *r, pid_t tid, int number, int *ret),
		       int *ret)
{
	const struct dirent *d;
	bool done = false;
	char path[48];
	DIR *dir;

	(void)snprintf(path, sizeof path, "/proc/%d/fdinfo", (int)tid);
	dir = opendir(path);
	while (dir && !done && r->looked < LOOKS_MAX && (d = readdir(dir))) {
		int number = (int)strtol(d->d_name, NULL, 10);

		r->looked++;
		if (d->d_name[0] != '.' && is_old(r, tid, number))
			done = each(r, tid, number, ret);
	}
	if (dir)
		(void)closedir(dir);
	return done;
}

static bool replace_there(struct replacement *r, pid_t tid, int number, int *ret)
{
	/* Held over the exchange: the app's own would be closed when its thread runs again. */
	AUTO_FD int old = procs_getfd(&r->call->sup->procs, tid, number);

	*ret = has_cookie(old, r->cookie) ? place(r, number) : 0;
	if (*ret == -EBADF) /* another file's by now */
		*ret = 0;
	return *ret < 0 || r->n_places == PLACES_MAX;
}

/* A duplicate, when it is the old socket still. */
static bool fetch(struct replacement *r, pid_t tid, int number, int *ret)
{
	AUTO_FD int fd = procs_getfd(&r->call->sup->procs, tid, number);

	if (!has_cookie(fd, r->cookie))
		return false;
	*ret = fd_take(&fd);
	return true;
}

/* Those that have left the table of their process. */
static void fetch_from_threads(struct replacement *r, pid_t pid, int *ret)
{
	const struct dirent *d;
	char path[48];
	DIR *dir;

	(void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && *ret < 0 && r->looked < LOOKS_MAX && (d = readdir(dir))) {
		pid_t tid = (pid_t)strtol(d->d_name, NULL, 10);

		if (tid > 0 && tid != pid && !procs_share_files(pid, tid))
			(void)each_place(r, tid, fetch, ret);
	}
	if (dir)
		(void)closedir(dir);
}

static int fetch_from_others(struct replacement *r)
{
	DIR *dir = opendir("/proc");
	const struct dirent *d;
	int fd = -1;

	while (dir && fd < 0 && (d = readdir(dir))) {
		pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid())
			continue;
		if (!each_place(r, pid, fetch, &fd))
			fetch_from_threads(r, pid, &fd);
	}
	if (dir)
		(void)closedir(dir);
	return fd;
}

/* The old one back to where it was. False: its thread does not wait any more, and some are the new one. */
static bool put_back(struct replacement *r, int fd)
{
	bool all = true;

	r->fd = fd;
	for (unsigned i = 0; i < r->n_places; i++)
		all = put(r, r->places[i].number, r->places[i].cloexec) == 0 && all;
	return all;
}

/*
 * Somebody still has the old socket. Other numbers of the same process get the
 * new one. 0; 1 when it stays somewhere; or -EMLINK with a duplicate of the old
 * one, which is back.
 */
static int replace_aliases(struct replacement *r, int *ret_old)
{
	AUTO_FD int old = -1;
	int rc = 0;

	(void)each_place(r, r->call->tid, replace_there, &rc);
	if (rc < 0 || !still_there(r))
		return 0;
	if (r->leave)
		return 1;
	old = fetch_from_others(r);
	if (old < 0)
		return 1; /* under way in a message, or just a call of another thread that ends with it */
	if (!put_back(r, old))
		return 1; /* the app keeps the new one, which has to be known for a socket of the host's */
	*ret_old = fd_take(&old);
	return -EMLINK;
}

/* --- the whole of it ------------------------------------------------------------------------- */

/* What an app has put into its epolls, and how many descriptors it has, takes time that is the others', too. */
static void takes_time(struct replacement *r)
{
	if (r->worked == 0)
		r->worked = loop_worked();
}

static int collect(struct replacement *r, int fd, struct registrations *regs)
{
	struct call *c = r->call;
	struct stat st;

	if (c->domain->epolls.n == 0)
		return 0;
	takes_time(r);
	return fstat(fd, &st) < 0 ? -errno : epolls_collect(c, st.st_ino, regs);
}

static int replace(struct replacement *r, struct target *t, int *fd)
{
	AUTO_REGISTRATIONS struct registrations regs = { 0 };
	int rc = copy_flags(r->call, t->fd, *fd, t->row && !t->row->host);

	if (rc == 0)
		rc = collect(r, t->fd, &regs);
	if (rc == 0)
		rc = alive_add(&r->old, t->fd, 0);
	if (rc == 0)
		rc = place(r, (int)r->call->args[0]);
	if (rc < 0)
		return rc == -ESRCH ? -ENOENT : rc;
	/* With the app's gone, ours is the last, unless there are others. */
	fd_close(&t->fd);
	r->gone = !still_there(r);
	if (!r->gone) {
		takes_time(r);
		rc = replace_aliases(r, &t->fd);
	}
	if (rc < 0)
		return rc;
	t->fd = fd_take(fd);
	t->row = NULL;
	(void)epolls_carry(&regs, t->fd);
	return rc;
}

static void charge(const struct replacement *r, int64_t took)
{
	struct domain *d = r->call->domain;
	int64_t worked = r->worked ? loop_worked() - r->worked : 0;

	sup_charge(d, worked);
	if (worked >= LONG_WORK_US || took >= LONG_MS)
		d->no_replacing_until = loop_now() + took * PAUSE;
}

/* One that knows nothing. As a rule the last one is that again, and spares four calls. */
static int take_spare(struct sup *s, struct alive *ret)
{
	if (s->spare.ep < 0)
		return alive_init(ret);
	*ret = s->spare;
	s->spare = (struct alive){ .ep = -1, .info = -1 };
	return 0;
}

int replace_socket(struct call *c, struct target *t, int *fd, bool leave)
{
	struct replacement r = { .call = c, .fd = *fd, .cookie = t->cookie, .old_fd = t->fd, .leave = leave };
	int64_t began = loop_now();
	int rc;

	if (began < c->domain->no_replacing_until)
		return -EBUSY;
	rc = take_spare(c->sup, &r.old);
	if (rc < 0)
		return rc;
	rc = replace(&r, t, fd);
	if (r.gone)
		c->sup->spare = r.old;
	else
		alive_fini(&r.old);
	charge(&r, loop_now() - began);
	return rc;
}
