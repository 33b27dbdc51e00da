/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/hash.h"
#include "pack/interrupt.h"
#include "pack/pyc.h"

#define REFLINK_MIN 4096 /* a block; less than one cannot be shared */
#define CHUNK ((size_t)16 << 20) /* between two looks for a signal */

_Static_assert(TREE_DIGEST_BYTES == HASH_BYTES, "the tree keeps SHA-256");

int copy_set_time(int fd, time_t when)
{
	struct timespec ts[2] = { { .tv_sec = when }, { .tv_sec = when } };

	return futimens(fd, ts) < 0 ? -errno : 0;
}

static int write_failed(struct err *e, int num, const char *path)
{
	char quoted[PATH_MAX];

	(void)err_num(e, num, "writing %s", log_quote(quoted, sizeof quoted, path));
	if (num == ENOSPC || num == EDQUOT)
		(void)err_hint(e, "make room, or name a bundle on another filesystem");
	return -num;
}

/* Relative to the root's fd. */
static const char *inside(const struct node *n)
{
	return n->path[1] ? n->path + 1 : ".";
}

/* The source of a compiled Python module that may have to be changed, see pack/pyc.h. */
static bool module_source(const struct copy *c, const struct node *n, struct stat *ret)
{
	char source[PATH_MAX];

	return pyc_source(n->source, source) && host_lstat(c->host, source, ret) == 0 &&
	       S_ISREG(ret->st_mode);
}

/* A small file in one go: read, hash, write. */
static int copy_small(struct copy *c, int src, int dst, struct node *n, struct err *e)
{
	struct stat py = { 0 };
	size_t len = 0;
	int rc;

	while (len < COPY_BUFFER_BYTES) {
		ssize_t got = read(src, c->buffer + len, COPY_BUFFER_BYTES - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, "%s", n->source);
		if (got == 0)
			break;
		len += (size_t)got;
	}
	if (module_source(c, n, &py))
		(void)pyc_retime(c->buffer, len, py.st_mtim.tv_sec, (uint64_t)py.st_size, c->when);
	rc = fd_write_all(dst, c->buffer, len);
	if (rc < 0)
		return write_failed(e, -rc, n->path);
	hash_data(c->buffer, len, n->digest);
	n->size = len;
	return 0;
}

/* All of it, or why not: a disk that is nearly full takes a part. */
static int write_at(int fd, const unsigned char *data, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* [from, to) of one file into another, in the kernel where it can. */
static int copy_range(struct copy *c, int src, int dst, off_t from, off_t to, struct node *n,
		      struct err *e)
{
	bool by_hand = false;
	off_t out = from;

	while (from < to) {
		size_t want = (size_t)(to - from) < CHUNK ? (size_t)(to - from) : CHUNK;
		ssize_t done;
		int rc = interrupt_check(e);

		if (rc < 0)
			return rc;
		if (!by_hand) {
			done = copy_file_range(src, &from, dst, &out, want, 0);
			if (done < 0 && errno != EINTR && errno != ENOSPC && errno != EDQUOT &&
			    errno != EFBIG && errno != EIO) {
				by_hand = true; /* another filesystem, or one that cannot */
				continue;
			}
			if (done < 0 && errno != EINTR)
				return write_failed(e, errno, n->path);
		} else {
			want = want < COPY_BUFFER_BYTES ? want : COPY_BUFFER_BYTES;
			done = pread(src, c->buffer, want, from);
			if (done < 0 && errno != EINTR)
				return err_sys(e, "%s", n->source);
			if (done > 0) {
				rc = write_at(dst, c->buffer, (size_t)done, out);
				if (rc < 0)
					return write_failed(e, -rc, n->path);
				from += done;
				out += done;
			}
		}
		if (done == 0)
			break; /* it has shrunk; the check at the end will say so */
	}
	return 0;
}

/* Data only; holes stay holes. */
static int copy_large(struct copy *c, int src, int dst, off_t size, struct node *n, struct err *e)
{
	off_t at = 0;

	if (ftruncate(dst, size) < 0)
		return write_failed(e, errno, n->path);
	while (at < size) {
		off_t data = lseek(src, at, SEEK_DATA), hole;
		int rc;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			data = at;
		hole = lseek(src, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		rc = copy_range(c, src, dst, data, hole, n, e);
		if (rc < 0)
			return rc;
		at = hole;
	}
	return 0;
}

static int copy_content(struct copy *c, int src, int dst, const struct stat *st, struct node *n,
			struct err *e)
{
	bool small = (uint64_t)st->st_size < COPY_BUFFER_BYTES;
	struct stat py = { 0 };
	int rc;

	if (small && (st->st_size < REFLINK_MIN || module_source(c, n, &py)))
		return copy_small(c, src, dst, n, e);
	if (!c->no_reflink || c->no_reflink_dev != st->st_dev) {
		if (ioctl(dst, FICLONE, src) == 0) {
			c->n_reflinks++;
			return hash_fd(dst, c->buffer, COPY_BUFFER_BYTES, n->digest, &n->size,
				       n->path, e);
		}
		c->no_reflink = errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY;
		c->no_reflink_dev = st->st_dev;
	}
	if (small)
		return copy_small(c, src, dst, n, e);
	rc = copy_large(c, src, dst, st->st_size, n, e);
	if (rc < 0)
		return rc;
	return hash_fd(dst, c->buffer, COPY_BUFFER_BYTES, n->digest, &n->size, n->path, e);
}

static int open_source(struct copy *c, const struct node *n, struct stat *st, struct err *e)
{
	char quoted[PATH_MAX];
	int fd = host_openat(c->host, n->source, O_RDONLY);

	(void)log_quote(quoted, sizeof quoted, n->source);
	if (fd < 0)
		return err_num(e, -fd, "%s", quoted);
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_dev != n->dev ||
	    st->st_ino != n->ino) {
		fd_close(&fd);
		return err_set(e, ESTALE, "%s: replaced while it was packed", quoted);
	}
	return fd;
}

static bool same_state(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int fill_file(struct copy *c, int dst, struct node *n, struct err *e)
{
	char quoted[PATH_MAX];
	struct stat before = { 0 }, after = { 0 };
	AUTO_FD int src = -1;
	int rc;

	if (!n->source) {
		rc = fd_write_all(dst, n->text, n->size);
		hash_data(n->text, n->size, n->digest);
		return rc < 0 ? write_failed(e, -rc, n->path) : 0;
	}
	src = open_source(c, n, &before, e);
	if (src < 0)
		return src;
	rc = copy_content(c, src, dst, &before, n, e);
	if (rc < 0)
		return rc;
	if (fstat(src, &after) < 0 || !same_state(&before, &after)) {
		(void)err_set(e, EAGAIN, "%s: changed while it was copied",
			      log_quote(quoted, sizeof quoted, n->source));
		return err_hint(e, "stop what writes to it, or leave it out");
	}
	return 0;
}

static int copy_file(struct copy *c, int root_fd, struct node *n, struct err *e)
{
	AUTO_FD int dst = -1;
	int rc;

	if (n->same_as) {
		if (linkat(root_fd, inside(n->same_as), root_fd, inside(n), 0) == 0) {
			memcpy(n->digest, n->same_as->digest, sizeof n->digest);
			n->size = n->same_as->size;
			return 0;
		}
		if (errno != EMLINK && errno != EPERM && errno != EOPNOTSUPP)
			return write_failed(e, errno, n->path);
		n->same_as = NULL; /* a filesystem without hard links gets a copy */
	}
	dst = openat(root_fd, inside(n), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (dst < 0)
		return write_failed(e, errno, n->path);
	rc = fill_file(c, dst, n, e);
	if (rc < 0)
		return rc;
	if (fchmod(dst, n->mode) < 0 || copy_set_time(dst, c->when) < 0)
		return write_failed(e, errno, n->path);
	c->bytes += n->size;
	/* Quotas and network filesystems may report a full disk only here. */
	if (close(fd_take(&dst)) < 0 && errno != EINTR)
		return write_failed(e, errno, n->path);
	return 0;
}

static int make_one(struct copy *c, int root_fd, struct node *n, struct err *e)
{
	struct timespec ts[2] = { { .tv_sec = c->when }, { .tv_sec = c->when } };

	switch (n->kind) {
	case NODE_DIR:
		c->n_dirs++;
		if (n->path[1] && mkdirat(root_fd, inside(n), 0700) < 0)
			return write_failed(e, errno, n->path);
		return 0;
	case NODE_LINK:
		c->n_links++;
		if (symlinkat(n->text, root_fd, inside(n)) < 0 ||
		    utimensat(root_fd, inside(n), ts, AT_SYMLINK_NOFOLLOW) < 0)
			return write_failed(e, errno, n->path);
		return 0;
	case NODE_FILE:
		c->n_files++;
		return copy_file(c, root_fd, n, e);
	}
	return err_set(e, EINVAL, "%s: unknown kind of entry", n->path);
}

/*
 * Directories get their modes and times last, deepest first: writing into them
 * needs the one and changes the other.
 */
static int finish_dirs(struct copy *c, int root_fd, struct node **sorted, size_t n, struct err *e)
{
	while (n-- > 0) {
		struct node *d = sorted[n];
		AUTO_FD int fd = -1;

		if (d->kind != NODE_DIR)
			continue;
		fd = openat(root_fd, inside(d), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fchmod(fd, d->mode) < 0 || copy_set_time(fd, c->when) < 0)
			return write_failed(e, errno, d->path);
	}
	return 0;
}

static int by_identity(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* Names of one file become names of one file again. */
static int find_hard_links(struct node **sorted, size_t n, struct err *e)
{
	AUTO_FREE struct node **v = calloc(n + 1, sizeof(struct node *));
	struct node *first = NULL;
	size_t k = 0;

	if (!v)
		return err_num(e, ENOMEM, "copying");
	for (size_t i = 0; i < n; i++)
		if (sorted[i]->kind == NODE_FILE && sorted[i]->source && sorted[i]->nlink > 1)
			v[k++] = sorted[i];
	qsort(v, k, sizeof(struct node *), by_identity);
	for (size_t i = 0; i < k; i++) {
		if (first && first->dev == v[i]->dev && first->ino == v[i]->ino)
			v[i]->same_as = first;
		else
			first = v[i];
	}
	return 0;
}

int copy_tree(struct copy *c, int root_fd, struct node **sorted, size_t n, struct err *e)
{
	AUTO_FREE unsigned char *buffer = malloc(COPY_BUFFER_BYTES);
	int rc;

	if (!buffer)
		return err_num(e, ENOMEM, "copying");
	c->buffer = buffer;
	rc = find_hard_links(sorted, n, e);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = interrupt_check(e);
		if (rc == 0)
			rc = make_one(c, root_fd, sorted[i], e);
		if (rc == 0)
			progress_step(c->progress, 1, sorted[i]->size, path_base(sorted[i]->path));
	}
	if (rc == 0)
		rc = finish_dirs(c, root_fd, sorted, n, e);
	c->buffer = NULL;
	return rc;
}

int copy_text(int dir_fd, const char *name, const void *data, size_t len, time_t when, struct err *e)
{
	AUTO_FD int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				0644);
	int rc;

	if (fd < 0)
		return write_failed(e, errno, name);
	rc = fd_write_all(fd, data, len);
	if (rc < 0)
		return write_failed(e, -rc, name);
	if (fchmod(fd, 0644) < 0 || copy_set_time(fd, when) < 0)
		return write_failed(e, errno, name);
	if (close(fd_take(&fd)) < 0 && errno != EINTR)
		return write_failed(e, errno, name);
	return 0;
}
