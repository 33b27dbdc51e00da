/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/replace.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/epolls.h"
#include "sup/sup.h"

#define PLACES_MAX 16 /* numbers of one process that are the same socket */
#define LOOKS_MAX 8192 /* descriptors that are looked at for that, of all processes */
#define LOOK_US 8      /* that one takes */

struct replacement {
	struct call *call;
	int fd;          /* borrowed; the new one */
	uint64_t cookie; /* of the old one */
	ino_t ino;
	bool leave;      /* others have it for good */
	uint64_t number; /* among those that are watched for their end */
	int places[PLACES_MAX];
	unsigned n_places;
	unsigned looked;
};

/* --- flags ------------------------------------------------------------------------------- */

/* Of a descriptor, which a duplicate does not share: from fdinfo. */
static int is_cloexec(const struct call *c, int number, bool *ret)
{
	char path[64], text[256]; /* it begins with them */
	const char *at;
	AUTO_FD int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)c->tid, number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	at = strstr(text, "flags:");
	if (!at)
		return -EPROTO;
	*ret = strtoul(at + 6, NULL, 8) & O_CLOEXEC;
	return 0;
}

/* Of the file. */
static int copy_flags(int from, int to)
{
	int flags = fcntl(from, F_GETFL);
	struct f_owner_ex owner;

	if (flags < 0)
		return -errno;
	if (flags & O_ASYNC && fcntl(from, F_GETOWN_EX, &owner) == 0) {
		(void)fcntl(to, F_SETOWN_EX, &owner);
		(void)fcntl(to, F_SETSIG, fcntl(from, F_GETSIG));
	}
	return fcntl(to, F_SETFL, flags & (O_NONBLOCK | O_ASYNC)) < 0 ? -errno : 0;
}

static int place(struct replacement *r, int number)
{
	bool cloexec = false;
	int rc = is_cloexec(r->call, number, &cloexec);

	if (rc == 0)
		rc = notify_place_fd(&r->call->listener->notify, r->call->id, r->fd, number, cloexec);
	if (rc == 0 && r->n_places < PLACES_MAX)
		r->places[r->n_places++] = number;
	return rc;
}

/* --- who else has it ------------------------------------------------------------------------ */

struct question {
	uint64_t number;
	bool there;
};

static void is_it(void *ctx, uint64_t number)
{
	struct question *q = ctx;

	q->there = q->there || number == q->number;
}

static bool still_there(const struct replacement *r)
{
	struct question q = { .number = r->number };

	return alive_list(&r->call->sup->replaced, is_it, &q) < 0 || q.there;
}

/* The inode of a descriptor, by its fdinfo; 0: not known. The links of /proc/PID/fd are its owner's alone. */
static ino_t inode_of(int dir, const char *number)
{
	AUTO_FREE char *text = NULL;
	const char *at;

	if (fd_read_file(dir, number, 65536, &text, NULL, NULL) < 0)
		return 0; /* with more text than that it is no socket either */
	at = strstr(text, "\nino:");
	return at ? (ino_t)strtoumax(at + 5, NULL, 10) : 0;
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
		r->looked++;
		if (d->d_name[0] != '.' && inode_of(dirfd(dir), d->d_name) == r->ino)
			done = each(r, tid, (int)strtol(d->d_name, NULL, 10), ret);
	}
	if (dir)
		(void)closedir(dir);
	return done;
}

/* Not another file whose inode has the same number: those of sockets and of file systems are counted apart. */
static bool is_old(const struct replacement *r, int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && cookie == r->cookie;
}

static bool replace_there(struct replacement *r, pid_t tid, int number, int *ret)
{
	/* Held over the exchange: the app's own would be closed when its thread runs again. */
	AUTO_FD int old = procs_getfd(&r->call->sup->procs, tid, number);

	*ret = is_old(r, old) ? place(r, number) : 0;
	return *ret < 0 || r->n_places == PLACES_MAX;
}

/* A duplicate. */
static bool fetch(struct replacement *r, pid_t tid, int number, int *ret)
{
	AUTO_FD int fd = procs_getfd(&r->call->sup->procs, tid, number);

	if (!is_old(r, fd))
		return false;
	*ret = fd_take(&fd);
	return true;
}

static int fetch_from_others(struct replacement *r)
{
	DIR *dir = opendir("/proc");
	const struct dirent *d;
	int fd = -1;

	while (dir && fd < 0 && (d = readdir(dir))) {
		pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

		if (pid > 0 && pid != getpid())
			(void)each_place(r, pid, fetch, &fd);
	}
	if (dir)
		(void)closedir(dir);
	return fd;
}

/* The old one back to where it was. */
static void put_back(struct replacement *r, int fd)
{
	r->fd = fd;
	for (unsigned i = 0, n = r->n_places; i < n; i++)
		(void)place(r, r->places[i]);
}

/*
 * Somebody still has the old socket. Other numbers of the same process get the
 * new one. 0; 1 when it stays somewhere; or -EMLINK with a duplicate of the old
 * one, which is back.
 */
static int replace_aliases(struct replacement *r, int *ret_old)
{
	int rc = 0, old;

	(void)each_place(r, r->call->tid, replace_there, &rc);
	if (rc < 0 || !still_there(r))
		return 0;
	if (r->leave)
		return 1;
	old = fetch_from_others(r);
	if (old < 0)
		return 1; /* under way in a message, or just a call of another thread that ends with it */
	put_back(r, old);
	*ret_old = old;
	return -EMLINK;
}

/* It may be known from before, when it was left somewhere and our number for it is the same. */
static int watch_old(const struct replacement *r, int fd)
{
	const struct alive *a = &r->call->sup->replaced;
	int rc = alive_add(a, fd, r->number);

	if (rc != -EEXIST)
		return rc;
	alive_remove(a, fd);
	return alive_add(a, fd, r->number);
}

/* --- the whole of it ------------------------------------------------------------------------- */

int replace_socket(struct call *c, struct target *t, int *fd, bool leave)
{
	struct replacement r = { .call = c, .fd = *fd, .cookie = t->cookie, .number = ++c->sup->n_replaced,
				 .leave = leave };
	AUTO_REGISTRATIONS struct registrations regs = { 0 };
	struct stat st;
	int rc;

	if (fstat(t->fd, &st) < 0)
		return -errno;
	r.ino = st.st_ino;
	rc = copy_flags(t->fd, *fd);
	if (rc == 0)
		rc = epolls_collect(c, st.st_ino, &regs);
	if (rc == 0)
		rc = watch_old(&r, t->fd);
	if (rc < 0)
		return rc;
	rc = place(&r, (int)c->args[0]);
	if (rc < 0) {
		alive_remove(&c->sup->replaced, t->fd);
		return rc == -ESRCH ? -ENOENT : rc;
	}
	/* With the app's gone, ours is the last, unless there are others. */
	fd_close(&t->fd);
	rc = still_there(&r) ? replace_aliases(&r, &t->fd) : 0;
	sup_charge(c->domain, (int64_t)r.looked * LOOK_US);
	if (rc < 0)
		return rc;
	t->fd = fd_take(fd);
	t->row = NULL;
	(void)epolls_carry(&regs, t->fd);
	return rc;
}
