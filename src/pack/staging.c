/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/staging.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define DEPTH_MAX 512U /* of a tree to be removed; every level holds an fd */
#define TRIES 32U
#define TEMP_PREFIX ".%.230s.vrun-"
#define TEMP_DIGITS 8U

static int remove_at(int dirfd, const char *name, unsigned depth)
{
	struct dirent *de;
	int fd, rc = 0;
	DIR *dir;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth == DEPTH_MAX)
		return -ELOOP;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	/* A packed directory may have any mode; the copy is ours to change. */
	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		char self[64];

		(void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
		(void)chmod(self, 0700);
		fd_close(&fd);
	}
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		rc = -errno;
		fd_close(&fd);
		return rc;
	}
	while ((de = readdir(dir))) {
		int one;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		one = remove_at(fd, de->d_name, depth + 1);
		rc = rc < 0 ? rc : one;
	}
	(void)closedir(dir);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

int staging_remove_tree(int dirfd, const char *name)
{
	return remove_at(dirfd, name, 0);
}

/* Splits BUNDLE into the directory it lies in, which is opened, and its name there. */
static int open_parent(struct staging *s, const char *bundle, struct err *e)
{
	char path[PATH_MAX], *slash, quoted[PATH_MAX];
	size_t n = strlen(bundle);

	(void)log_quote(quoted, sizeof quoted, bundle);
	while (n > 1 && bundle[n - 1] == '/')
		n--;
	if (n == 0 || n >= sizeof path)
		return err_num(e, n ? ENAMETOOLONG : EINVAL, "bundle \"%s\"", quoted);
	memcpy(path, bundle, n);
	path[n] = '\0';
	slash = strrchr(path, '/');
	n = strlen(slash ? slash + 1 : path);
	if (n == 0 || strcmp(slash ? slash + 1 : path, ".") == 0 ||
	    strcmp(slash ? slash + 1 : path, "..") == 0)
		return err_set(e, EINVAL, "%s: not a name for a new bundle", quoted);
	if (n > NAME_MAX - 20) /* room for the temporary name's dots and digits */
		return err_num(e, ENAMETOOLONG, "%s", quoted);
	memcpy(s->name, slash ? slash + 1 : path, n + 1);
	if (slash == path)
		path[1] = '\0';
	else if (slash)
		*slash = '\0';
	s->parent_fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->parent_fd < 0)
		return err_sys(e, "the directory of bundle %s", quoted);
	return 0;
}

static int check_existing(struct staging *s, bool force, struct err *e)
{
	char config[NAME_MAX + 16], quoted[NAME_MAX * 4];
	struct stat st;

	if (fstatat(s->parent_fd, s->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s", s->name);
	(void)log_quote(quoted, sizeof quoted, s->name);
	if (!force) {
		(void)err_num(e, EEXIST, "%s", quoted);
		return err_hint(e, "--force replaces a bundle");
	}
	(void)snprintf(config, sizeof config, "%s/config.json", s->name);
	if (!S_ISDIR(st.st_mode) || faccessat(s->parent_fd, config, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		(void)err_set(e, EEXIST, "%s: exists and is not a bundle", quoted);
		return err_hint(e, "--force replaces only a directory that has a config.json");
	}
	s->replace = true;
	return 0;
}

/*
 * Whoever writes a bundle holds a lock on its temporary directory. One that
 * nobody holds was left by a packer that was killed; it is removed.
 */
static void remove_stale(struct staging *s)
{
	char prefix[NAME_MAX + 1];
	int fd = openat(s->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	struct stat st;
	size_t n;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	(void)snprintf(prefix, sizeof prefix, TEMP_PREFIX, s->name);
	n = strlen(prefix);
	while ((de = readdir(dir))) {
		if (strncmp(de->d_name, prefix, n) != 0 || strlen(de->d_name) != n + TEMP_DIGITS ||
		    strspn(de->d_name + n, "0123456789abcdef") != TEMP_DIGITS)
			continue;
		found = openat(s->parent_fd, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (found >= 0 && fstat(found, &st) == 0 && st.st_uid == geteuid() &&
		    flock(found, LOCK_EX | LOCK_NB) == 0)
			(void)staging_remove_tree(s->parent_fd, de->d_name);
		fd_close(&found);
	}
	(void)closedir(dir);
}

static int make_temp(struct staging *s, const char *bundle, struct err *e)
{
	remove_stale(s);
	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t r;

		if (getrandom(&r, sizeof r, 0) != sizeof r)
			return err_sys(e, "getrandom");
		(void)snprintf(s->temp, sizeof s->temp, TEMP_PREFIX "%08x", s->name, r);
		if (mkdirat(s->parent_fd, s->temp, 0700) == 0)
			break;
		if (errno != EEXIST || i + 1 == TRIES) {
			int num = errno;

			s->temp[0] = '\0';
			return err_num(e, num, "cannot make a directory beside %s", bundle);
		}
	}
	s->fd = openat(s->parent_fd, s->temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0)
		return err_sys(e, "%s", s->temp);
	(void)flock(s->fd, LOCK_EX | LOCK_NB); /* without locks nothing is ever taken for stale */
	return 0;
}

int staging_begin(struct staging *s, const char *bundle, bool force, struct err *e)
{
	struct staging v = { .parent_fd = -1, .fd = -1 };
	int rc = open_parent(&v, bundle, e);

	if (rc == 0)
		rc = check_existing(&v, force, e);
	if (rc == 0)
		rc = make_temp(&v, bundle, e);
	if (rc < 0) {
		staging_end(&v);
		return rc;
	}
	*s = v;
	return 0;
}

int staging_commit(struct staging *s, struct err *e)
{
	unsigned how = s->replace ? RENAME_EXCHANGE : RENAME_NOREPLACE;

	if (fchmod(s->fd, 0755) < 0)
		return err_sys(e, "%s", s->temp);
	if (renameat2(s->parent_fd, s->temp, s->parent_fd, s->name, how) < 0) {
		/* Some network filesystems know no flags; then the window between look and rename is theirs. */
		if (errno != EINVAL || s->replace ||
		    renameat(s->parent_fd, s->temp, s->parent_fd, s->name) < 0)
			return err_sys(e, "giving the finished bundle its name %s", s->name);
	}
	if (s->replace)
		return 0; /* the old bundle now has the temporary name: staging_end() removes it */
	s->temp[0] = '\0';
	return 0;
}

void staging_end(struct staging *s)
{
	int saved = errno;

	fd_close(&s->fd);
	if (s->temp[0] && s->parent_fd >= 0)
		(void)staging_remove_tree(s->parent_fd, s->temp);
	s->temp[0] = '\0';
	fd_close(&s->parent_fd);
	errno = saved;
}
