/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/host.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"

int host_open(struct host *h, const char *root, struct err *e)
{
	h->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->root_fd < 0)
		return err_sys(e, "%s", root);
	return 0;
}

void host_close(struct host *h)
{
	fd_close(&h->root_fd);
}

/* Relative to root_fd. */
static const char *inside(const char *real)
{
	return real[1] ? real + 1 : ".";
}

int host_lstat(const struct host *h, const char *real, struct stat *ret)
{
	return fstatat(h->root_fd, inside(real), ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

bool host_readable(const struct host *h, const char *real)
{
	return faccessat(h->root_fd, inside(real), R_OK, AT_EACCESS) == 0;
}

int host_readlink(const struct host *h, const char *real, char *ret_target)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(h->root_fd, inside(real), target, sizeof target);

	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof target)
		return -ENAMETOOLONG;
	memcpy(ret_target, target, (size_t)n);
	ret_target[n] = '\0';
	return 0;
}

int host_openat(const struct host *h, const char *real, int flags)
{
	int fd = sys_openat2(h->root_fd, inside(real),
			     (uint64_t)flags | O_CLOEXEC | ((flags & O_PATH) ? 0 : O_NOCTTY | O_NONBLOCK),
			     0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH);

	return fd < 0 ? -errno : fd;
}

int host_lookup(void *ctx, const char *path, struct path_found *ret, struct err *e)
{
	const struct host *h = ctx;
	struct stat st;
	int rc = host_lstat(h, path, &st);

	if (rc == -ENOENT) {
		ret->kind = PATH_ABSENT;
		return 0;
	}
	if (rc == 0 && S_ISLNK(st.st_mode))
		rc = host_readlink(h, path, ret->target);
	if (rc < 0)
		return err_num(e, -rc, "%s", path);
	ret->kind = S_ISLNK(st.st_mode) ? PATH_LINK : S_ISDIR(st.st_mode) ? PATH_DIR : PATH_OTHER;
	return 0;
}

int host_realpath(const struct host *h, const char *path, char *ret_real, struct err *e)
{
	struct host copy = *h;

	return path_walk(path, 0, host_lookup, &copy, ret_real, NULL, e);
}

int host_read(const struct host *h, const char *path, size_t max, char **ret_data, size_t *ret_len,
	      struct err *e)
{
	char real[PATH_MAX];
	AUTO_FD int fd = -1;
	int rc = host_realpath(h, path, real, e);

	if (rc < 0)
		return rc;
	fd = host_openat(h, real, O_RDONLY);
	if (fd < 0)
		return err_num(e, -fd, "%s", path);
	return fd_read_all(fd, path, max, ret_data, ret_len, e);
}
