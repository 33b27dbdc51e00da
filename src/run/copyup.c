/* SPDX-License-Identifier: Apache-2.0 */
#include "run/copyup.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"

/*
 * Theory of operation
 *
 * The tree is the root filesystem's: hostile, and perhaps changed by somebody
 * else meanwhile. So each entry is opened by its one name below its
 * directory's descriptor, with O_PATH, which follows no link, starts no
 * device and waits for no FIFO; RESOLVE_NO_XDEV keeps it on the directory's
 * mount. What it is, is asked of that descriptor; a file's data is read from
 * one that was opened anew and is checked to be the same file.
 *
 * What bounds the copy is the tmpfs: its bytes, and its inodes. Holes stay
 * holes, or a file of no size on disk would fill the memory.
 */

#define DEPTH_MAX 100 /* directories inside each other; each costs two descriptors */
#define ID_NOBODY 65534 /* stands for an owner that has no id here, /proc/sys/kernel/overflowuid */

static int entry_error(struct err *e, int num, const char *name)
{
	char quoted[128];
	int rc = err_num(e, num, "tmpcopyup: copying %s", log_quote(quoted, sizeof quoted, name));

	if (num == ENOSPC)
		return err_hint(e, "the tmpfs is full: give it a larger size= or nr_inodes=");
	return rc;
}

/* Owner or group of dir/name, or of `dir` itself with "". 1: kept; 0: there is no such id here. */
static int put_owner(int dir, const char *name, uid_t uid, gid_t gid)
{
	if (fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0)
		return 1;
	return errno == EINVAL || errno == EPERM ? 0 : -errno;
}

/* Owner, mode, time. A file that does not keep its owner must not become set-user-id to another. */
static int put_attributes(int fd, const struct stat *st)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	mode_t mode = st->st_mode & 07777;
	int uid = put_owner(fd, "", st->st_uid, (gid_t)-1), gid = put_owner(fd, "", (uid_t)-1, st->st_gid);

	if (uid < 0 || gid < 0)
		return uid < 0 ? uid : gid;
	if (uid == 0 || st->st_uid == ID_NOBODY)
		mode &= ~(mode_t)S_ISUID;
	if (gid == 0 || st->st_gid == ID_NOBODY)
		mode &= ~(mode_t)S_ISGID;
	if (fchmod(fd, mode) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

/* Up to the size that the file had when it was looked at; less when it became shorter. */
static int copy_data(int from, int to, off_t size)
{
	off_t at = 0;

	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA), end = size;

		if (data < 0 && errno == ENXIO)
			break; /* nothing but a hole is left */
		if (data >= 0)
			end = lseek(from, data, SEEK_HOLE);
		if (data < 0 || end < 0)
			return -errno;
		end = end < size ? end : size;
		if (lseek(to, data, SEEK_SET) < 0)
			return -errno;
		for (at = data; at < end;) {
			ssize_t n = sendfile(to, from, &at, (size_t)(end - at));

			if (n < 0 && errno != EINTR)
				return -errno;
			if (n == 0)
				return 0;
		}
	}
	return ftruncate(to, size) < 0 ? -errno : 0;
}

static int copy_file(int dir, const char *name, int to_dir, const struct stat *st)
{
	AUTO_FD int from = -1, to = -1;
	struct stat now;
	int rc;

	from = sys_openat2(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	if (from < 0 || fstat(from, &now) < 0)
		return -errno;
	if (now.st_dev != st->st_dev || now.st_ino != st->st_ino)
		return -ESTALE;
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	rc = copy_data(from, to, st->st_size);
	return rc < 0 ? rc : put_attributes(to, st);
}

static int copy_link(int link, int to_dir, const char *name, const struct stat *st)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	char text[PATH_MAX];
	ssize_t n = readlinkat(link, "", text, sizeof text - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (symlinkat(text, to_dir, name) < 0)
		return -errno;
	if (put_owner(to_dir, name, st->st_uid, (gid_t)-1) < 0 ||
	    put_owner(to_dir, name, (uid_t)-1, st->st_gid) < 0)
		return -errno;
	return utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_entries(int from, int to, int depth, struct err *e);

static int copy_dir(int from, int to_dir, const char *name, const struct stat *st, int depth,
		    struct err *e)
{
	AUTO_FD int to = -1;
	int rc;

	if (depth >= DEPTH_MAX)
		return err_set(e, ELOOP, "tmpcopyup: more than %d directories inside each other", DEPTH_MAX);
	if (mkdirat(to_dir, name, 0700) < 0)
		return entry_error(e, errno, name);
	to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return entry_error(e, errno, name);
	rc = copy_entries(from, to, depth + 1, e);
	if (rc < 0)
		return rc;
	/* Last, for what is made inside changes the time, and the mode may forbid making it. */
	rc = put_attributes(to, st);
	return rc < 0 ? entry_error(e, -rc, name) : 0;
}

/* Something is mounted on this name. The mount is not copied; a directory keeps its place. */
static int skip_mount(int dir, const char *name, int to_dir)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	return mkdirat(to_dir, name, 0755) < 0 ? -errno : 0;
}

static int copy_entry(int dir, const char *name, int to, int depth, struct err *e)
{
	struct stat st;
	int rc = 0;
	AUTO_FD int fd = sys_openat2(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0,
				     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

	if (fd < 0 && errno == ENOENT)
		return 0; /* removed since the directory was read */
	if (fd < 0 && errno == EXDEV)
		rc = skip_mount(dir, name, to);
	else if (fd < 0 || fstat(fd, &st) < 0)
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		return copy_dir(fd, to, name, &st, depth, e);
	else if (S_ISREG(st.st_mode))
		rc = copy_file(dir, name, to, &st);
	else if (S_ISLNK(st.st_mode))
		rc = copy_link(fd, to, name, &st);
	/* FIFOs, sockets and device nodes belong to whoever made them, and are left out. */
	return rc < 0 ? entry_error(e, -rc, name) : 0;
}

static void dir_close(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static int copy_entries(int from, int to, int depth, struct err *e)
{
	__attribute__((cleanup(dir_close))) DIR *dir = NULL;
	AUTO_FD int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !(dir = fdopendir(fd)))
		return err_sys(e, "tmpcopyup: reading a directory");
	(void)fd_take(&fd);
	for (;;) {
		struct dirent *d = (errno = 0, readdir(dir));
		int rc;

		if (!d && errno)
			return err_sys(e, "tmpcopyup: reading a directory");
		if (!d)
			return 0;
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		rc = copy_entry(dirfd(dir), d->d_name, to, depth, e);
		if (rc < 0)
			return rc;
	}
}

static bool has_option(const struct bundle_mount *m, const char *prefix)
{
	for (size_t i = 0; i < m->data.n; i++)
		if (strncmp(m->data.v[i], prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

int copyup_fill(int from, int to, const struct bundle_mount *m, struct err *e)
{
	AUTO_FD int root = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st, own;
	int rc;

	if (root < 0 || fstat(from, &st) < 0 || fstat(root, &own) < 0)
		return err_sys(e, "tmpcopyup");
	rc = copy_entries(from, root, 0, e);
	if (rc < 0)
		return rc;
	if (has_option(m, "mode="))
		st.st_mode = own.st_mode;
	if (has_option(m, "uid="))
		st.st_uid = own.st_uid;
	if (has_option(m, "gid="))
		st.st_gid = own.st_gid;
	rc = put_attributes(root, &st);
	return rc < 0 ? err_num(e, -rc, "tmpcopyup") : 0;
}
