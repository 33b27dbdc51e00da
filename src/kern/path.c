/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/kernel.h"

#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

int path_open(int rootfd, const char *path, int flags)
{
	int fd;

	/* EAGAIN: a rename somewhere raced with "..": the kernel asks us to try again. */
	do
		fd = sys_openat2(rootfd, path, (uint64_t)(unsigned)flags | O_CLOEXEC, 0, IN_ROOT);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : fd;
}

/*
 * Splits off what has to be made: opens the longest existing prefix of the
 * path as a directory and leaves the rest in *rest. A link is resolved as a
 * part of the prefix, so "made" components never pass through one.
 */
static int open_prefix(int rootfd, char *path, char **rest)
{
	char *end = path + strlen(path);
	int fd;

	for (;;) {
		char saved = *end;
		char *slash;

		*end = '\0';
		fd = path_open(rootfd, *path ? path : ".", O_PATH | O_DIRECTORY);
		*end = saved;
		if (fd != -ENOENT)
			break;
		*end = '\0';
		slash = strrchr(path, '/');
		*end = saved;
		end = slash ? slash : path;
		while (end > path && end[-1] == '/')
			end--;
	}
	*rest = end + strspn(end, "/");
	return fd;
}

static int make_dirs(int dirfd, char *rest, mode_t mode)
{
	int fd = dirfd;
	char *save = NULL;

	for (char *part = strtok_r(rest, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		int next;

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			fd_close(&fd);
			return -EINVAL;
		}
		if (mkdirat(fd, part, mode) < 0 && errno != EEXIST) {
			int num = errno;

			fd_close(&fd);
			return -num;
		}
		/* Not through a link: the name did not exist when the prefix was opened. */
		next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0) {
			int num = errno;

			fd_close(&fd);
			return -num;
		}
		fd_close(&fd);
		fd = next;
	}
	return fd;
}

int path_make_dir(int rootfd, const char *path, mode_t mode, int *ret_fd, struct err *e)
{
	AUTO_FREE char *copy = NULL;
	char *rest;
	int fd = path_open(rootfd, path, O_PATH | O_DIRECTORY);

	if (fd == -ENOENT) {
		copy = strdup(path);
		if (!copy)
			return err_num(e, ENOMEM, "%s", path);
		fd = open_prefix(rootfd, copy, &rest);
		if (fd >= 0)
			fd = make_dirs(fd, rest, mode);
	}
	if (fd < 0)
		return err_num(e, -fd, "directory %s in the root filesystem", path);
	*ret_fd = fd;
	return 0;
}

int path_make_file(int rootfd, const char *path, mode_t mode, int *ret_fd, struct err *e)
{
	AUTO_FREE char *copy = NULL;
	AUTO_FD int dir = -1, file = -1;
	struct stat st;
	char *slash;
	int rc, fd = path_open(rootfd, path, O_PATH);

	if (fd >= 0) {
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
			fd_close(&fd);
			return err_num(e, EISDIR, "file %s in the root filesystem", path);
		}
		*ret_fd = fd;
		return 0;
	}
	if (fd != -ENOENT)
		return err_num(e, -fd, "file %s in the root filesystem", path);
	copy = strdup(path);
	if (!copy)
		return err_num(e, ENOMEM, "%s", path);
	slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	rc = path_make_dir(rootfd, slash && *copy ? copy : "/", 0755, &dir, e);
	if (rc < 0)
		return rc;
	/* O_EXCL: a dangling link stays a link, and is refused. */
	file = openat(dir, slash ? slash + 1 : copy,
		      O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDONLY, mode);
	if (file < 0)
		return err_sys(e, "file %s in the root filesystem", path);
	fd = path_open(dir, slash ? slash + 1 : copy, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return err_num(e, -fd, "file %s in the root filesystem", path);
	*ret_fd = fd;
	return 0;
}

const char *path_of_fd(int fd, char buf[static PATH_FD_SIZE])
{
	(void)snprintf(buf, PATH_FD_SIZE, "/proc/self/fd/%d", fd);
	return buf;
}

void path_clean(char *path)
{
	char *out = path, *in = path;

	while (*in) {
		size_t n;

		in += strspn(in, "/");
		n = strcspn(in, "/");
		if (n == 0)
			break;
		if (n == 2 && in[0] == '.' && in[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (n != 1 || in[0] != '.') {
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

bool path_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}
