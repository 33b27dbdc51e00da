/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

void mem_free(void *ptr)
{
	void **p = ptr;
	int saved = errno;

	free(*p);
	*p = NULL;
	errno = saved;
}

int fd_read_all(int fd, const char *name, size_t max, char **ret_data, size_t *ret_len,
		struct err *e)
{
	AUTO_FREE char *buf = NULL;
	size_t len = 0, cap;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s", name);
	if (S_ISDIR(st.st_mode))
		return err_num(e, EISDIR, "%s", name);
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return err_set(e, EINVAL, "%s: not a regular file", name);
	cap = S_ISREG(st.st_mode) && st.st_size > 0 && (size_t)st.st_size <= max ?
		      (size_t)st.st_size + 1 :
		      4096;
	for (;;) {
		ssize_t n;

		if (!buf || len == cap) {
			size_t want = buf ? cap * 2 : cap;
			char *grown = realloc(buf, want + 1);

			if (!grown)
				return err_num(e, ENOMEM, "%s", name);
			buf = grown;
			cap = want;
		}
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "%s", name);
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return err_set(e, EFBIG, "%s: larger than %zu bytes", name, max);
	}
	buf[len] = '\0';
	if (ret_len)
		*ret_len = len;
	*ret_data = mem_take(&buf);
	return 0;
}

/* A pipe without a name is the caller's own, like a shell's <(...): what comes is waited for. */
static void wait_for_writers(int fd)
{
	struct statfs s;

	if (fstatfs(fd, &s) == 0 && s.f_type == PIPEFS_MAGIC)
		(void)fcntl(fd, F_SETFL, 0);
}

int fd_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len,
		 struct err *e)
{
	/* Non-blocking, or a FIFO put in place of the file would hold us for ever. */
	AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return err_sys(e, "%s", path);
	wait_for_writers(fd);
	return fd_read_all(fd, path, max, ret_data, ret_len, e);
}

int fd_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_write_file(int dirfd, const char *path, const char *text)
{
	AUTO_FD int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int fd_send(int sock, char kind, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { .iov_base = &kind, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (n > FD_PASS_MAX)
		return -EINVAL;
	if (n > 0) {
		struct cmsghdr *c;

		msg.msg_control = ctl.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int fd_send_refused(struct err *e)
{
	(void)err_num(e, ETOOMANYREFS, "passing a descriptor between vrun's processes");
	return err_hint(e, "a program of this user keeps more descriptors in messages on Unix sockets than may be open: "
			   "end it");
}

int fd_recv(int sock, char *ret_kind, int *ret_fds, size_t max)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} ctl;
	char kind;
	struct iovec iov = { .iov_base = &kind, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = ctl.buf,
			      .msg_controllen = sizeof ctl.buf };
	size_t got = 0;
	int fds[FD_PASS_MAX];
	ssize_t len;
	int resets = 0;

	/* A peer that closes with something unread leaves ECONNRESET, once, before what it has sent. */
	do
		len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (len < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
	if (len < 0)
		return -errno;
	if (len == 0)
		return -EPIPE;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), got * sizeof(int));
	}
	if (got > max || (msg.msg_flags & MSG_CTRUNC)) {
		for (size_t i = 0; i < got; i++)
			(void)close(fds[i]);
		return -EPROTO;
	}
	if (got > 0)
		memcpy(ret_fds, fds, got * sizeof(int));
	*ret_kind = kind;
	return (int)got;
}
