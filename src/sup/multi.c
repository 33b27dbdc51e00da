/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun_send_multi(3): the same bytes to many sockets, in one trap. Three quarters
 * of what a socket costs here beyond the send is fetching the descriptor; see
 * ARCHITECTURE.md for what follows from that.
 *
 * Served are the domain's streams, and no others: on a socket of AF_UNIX the
 * supervisor's own credentials would travel along. What it does not serve, the
 * caller sends itself (base/vrun.h does).
 *
 * The call is done at once, so it is small: list, data and results are copied
 * once each, and all sockets together get MULTI_BYTES at most. A socket that
 * takes less than all of it is nothing new to a caller who does not wait. Of a
 * file only what the kernel has in memory is taken, since the loop cannot wait
 * for a disk, and still less for a file system that an app may be behind.
 */
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/vrun.h"
#include "kern/guestmem.h"
#include "sup/sup.h"

#define MULTI_BYTES (2U << 20)
#define FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR)

static_assert(sizeof(struct vrun_send) == 24 && sizeof(struct vrun_data) == 32, "this is an ABI");
static_assert(VRUN_SEND_CHUNK <= GUESTMEM_MAX, "data is read in one go");
static_assert(VRUN_SEND_MULTI_MAX * sizeof(struct sockaddr_storage) <= GUESTMEM_MAX, "so are addresses");

struct multi {
	struct vrun_send list[VRUN_SEND_MULTI_MAX];
	int64_t results[VRUN_SEND_MULTI_MAX];
	size_t n, length;
	char data[VRUN_SEND_CHUNK];
};

/*
 * tmpfs and memfd_create(2) do not know RWF_NOWAIT, and need it no more than any memory. They alone know
 * seals; statfs(2) and fstat(2) would ask a file system's server, which may be an app.
 */
static bool is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

static bool is_file(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0 && S_ISREG(st.stx_mode);
}

/* 0 or what the call gets. -EAGAIN: the caller has to read it. */
static int64_t read_handle(struct call *c, const struct vrun_data *from, struct multi *m)
{
	AUTO_FD int fd = procs_getfd(&c->sup->procs, c->tid, from->handle);
	struct iovec iov = { m->data, m->length };
	ssize_t n;

	if (fd < 0)
		return fd == -ESRCH ? CALL_ANSWERED : fd == -EBADF ? -EBADF : -EPERM;
	if (from->offset < 0)
		return -EINVAL;
	if (!is_file(fd))
		return -EAGAIN;
	n = preadv2(fd, &iov, 1, from->offset, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP && is_memory(fd))
		n = preadv2(fd, &iov, 1, from->offset, 0);
	if (n < 0)
		return errno == EBADF ? -EBADF : -EAGAIN;
	m->length = (size_t)n;
	return 0;
}

static int64_t read_arguments(struct call *c, struct multi *m)
{
	struct vrun_data from;
	size_t most;

	if (c->args[1] > VRUN_SEND_MULTI_MAX)
		return -EINVAL;
	m->n = (size_t)c->args[1];
	if (guestmem_read(c->tid, c->args[2], &from, sizeof from) < 0 ||
	    guestmem_read(c->tid, c->args[0], m->list, m->n * sizeof *m->list) < 0)
		return -EFAULT;
	if (from.reserved)
		return -EINVAL;
	most = MULTI_BYTES / m->n;
	if (most > VRUN_SEND_CHUNK)
		most = VRUN_SEND_CHUNK;
	m->length = from.length < most ? (size_t)from.length : most;
	if (!from.memory)
		return read_handle(c, &from, m);
	return guestmem_read(c->tid, (uintptr_t)from.memory, m->data, m->length) < 0 ? -EFAULT : 0;
}

static int64_t check_entry(const struct vrun_send *s)
{
	if (s->reserved || (s->address && s->address_len > sizeof(struct sockaddr_storage)))
		return -EINVAL;
	return (s->flags & ~FLAGS) ? -EOPNOTSUPP : 0; /* MSG_FASTOPEN above all */
}

/* An address means nothing to a stream, but has to be there, as for the kernel. */
static void check_addresses(const struct call *c, struct multi *m)
{
	struct iovec ranges[VRUN_SEND_MULTI_MAX];
	size_t of[VRUN_SEND_MULTI_MAX], n = 0, i;

	for (i = 0; i < m->n; i++)
		if (m->results[i] == 0 && m->list[i].address && m->list[i].address_len) {
			uintptr_t at = (uintptr_t)m->list[i].address;

			ranges[n] = (struct iovec){ (void *)at, m->list[i].address_len };
			of[n++] = i;
		}
	for (i = 0; i < n; i++) {
		i += guestmem_count_readable(c->tid, &ranges[i], n - i);
		if (i < n)
			m->results[of[i]] = -EFAULT;
	}
}

/* Duplicates that are closed at one go, in half the time; the numbers follow each other, as a rule. */
struct duplicates {
	int first, n; /* n: 0: none */
};

static void close_all(struct duplicates *d)
{
	if (d->n)
		(void)sys_close_range((unsigned)d->first, (unsigned)(d->first + d->n - 1), 0);
	d->n = 0;
}

static void close_later(struct duplicates *d, int fd)
{
	if (d->n && fd != d->first + d->n)
		close_all(d);
	if (d->n == 0)
		d->first = fd;
	d->n++;
}

static int64_t send_one(struct call *c, const struct multi *m, const struct vrun_send *s,
			struct duplicates *done)
{
	int fd = procs_getfd(&c->sup->procs, c->tid, s->fd);
	uint64_t cookie;
	socklen_t len = sizeof cookie;
	const struct vsk *v;
	ssize_t n;

	if (fd == -EMFILE) {
		close_all(done);
		fd = procs_getfd(&c->sup->procs, c->tid, s->fd);
	}
	if (fd < 0)
		return fd == -EBADF ? -EBADF : -EPERM;
	close_later(done, fd);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return errno == EBADF ? -EBADF : -ENOTSOCK;
	v = vsk_find(&c->sup->table, cookie);
	if (!v)
		return VRUN_SEND_NATIVE;
	if (v->domain != c->domain)
		return -EPERM;
	n = send(fd, m->data, m->length, (s->flags & FLAGS) | MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

int64_t handle_send_multi(struct call *c)
{
	static struct multi m; /* too large for a stack, and there is one thread */
	struct duplicates done = { 0 };
	int64_t rc, sent = 0;

	if (c->args[1] == 0)
		return VRUN_SENDTO_TRAPPED;
	rc = read_arguments(c, &m);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < m.n; i++)
		m.results[i] = check_entry(&m.list[i]);
	check_addresses(c, &m);
	if (!call_valid(c))
		return CALL_ANSWERED;
	for (size_t i = 0; i < m.n; i++) {
		if (m.results[i] == 0)
			m.results[i] = send_one(c, &m, &m.list[i], &done);
		sent += m.results[i] >= 0;
	}
	close_all(&done);
	call_reply_data(c, sent, c->args[3], m.results, m.n * sizeof *m.results);
	return CALL_ANSWERED;
}
