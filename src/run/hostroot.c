/* SPDX-License-Identifier: Apache-2.0 */
#include "run/hostroot.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/mount.h"
#include "kern/path.h"
#include "run/mask.h"

#define MOUNTINFO_MAX (8U << 20)
#define VIEW_ATTRS (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

bool hostroot_is_view(const struct bundle_mount *m)
{
	return m->type && strcmp(m->type, HOSTROOT_VIEW) == 0;
}

/* "lowerdir=" with the characters escaped that separate layers. overlayfs wants two lower layers
 * where there is no upper one; the second is an empty directory of the scratch filesystem. */
static int view(const char *dir, const char *name, int *ret_fd, struct err *e)
{
	char data[PATH_MAX * 2 + 64];
	const char *list[] = { data, "userxattr" };
	size_t at = (size_t)snprintf(data, sizeof data, "lowerdir=");
	int rc;

	for (const char *p = dir; *p; p++) {
		if (at + 16 > sizeof data)
			return err_num(e, ENAMETOOLONG, "%s", name);
		if (*p == ':' || *p == '\\' || *p == ',')
			data[at++] = '\\';
		data[at++] = *p;
	}
	(void)snprintf(data + at, sizeof data - at, ":empty");
	rc = mount_new("overlay", "vrun", list, 2, VIEW_ATTRS, ret_fd, e);
	if (rc == 0)
		return 0;
	(void)err_wrap(e, "showing %s without its sockets", name);
	return rc == -ENODEV ? rc : err_hint(e, "the kernel must allow overlay mounts in user namespaces; vrun needs Linux 5.15 or later");
}

/* Places of the running system, of people and of removable media. They are made, and stay empty. */
static bool is_hidden(const char *path)
{
	static const char *const hidden[] = { "/home", "/root", "/tmp", "/var/tmp", "/run",   "/var/run",
					      "/dev",  "/proc", "/sys", "/mnt",	    "/media", "/boot",
					      "/lost+found" };

	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (strcmp(path, hidden[i]) == 0)
			return true;
	return false;
}

/* The running system once more, in somebody's chroot: overlayfs takes no proc, and sysfs is the machine's. */
static bool is_of_kernel(int fd)
{
	static const unsigned long magics[] = { PROC_SUPER_MAGIC,   SYSFS_MAGIC,   CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
						DEBUGFS_MAGIC,	    TRACEFS_MAGIC, SECURITYFS_MAGIC,   BPF_FS_MAGIC,
						DEVPTS_SUPER_MAGIC, AUTOFS_SUPER_MAGIC };
	struct statfs s;

	for (size_t i = 0; fstatfs(fd, &s) == 0 && i < sizeof magics / sizeof *magics; i++)
		if ((unsigned long)s.f_type == magics[i])
			return true;
	return false;
}

/* The places where something is mounted; cleaned strings in the arena. */
struct places {
	const struct launch *l;
	const char **v;
	size_t n;
};

/* Octal escapes of mountinfo (proc_pid_mountinfo(5)) undone, in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static int read_places(struct arena *a, struct places *ret, struct err *e)
{
	AUTO_FREE char *text = NULL;
	char *save = NULL;
	size_t room = 1;
	int rc = fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, e);

	if (rc < 0)
		return rc;
	for (char *p = text; *p; p++)
		room += *p == '\n';
	ret->v = arena_array(a, room, sizeof *ret->v);
	for (char *line = strtok_r(text, "\n", &save); line && ret->v; line = strtok_r(NULL, "\n", &save)) {
		char *p = line;

		for (int field = 1; p && field < 5; field++) {
			p = strchr(p, ' ');
			p = p ? p + 1 : NULL;
		}
		if (!p)
			continue;
		p[strcspn(p, " ")] = '\0';
		unescape(p);
		ret->v[ret->n] = arena_strdup(a, p);
		if (!ret->v[ret->n++])
			ret->v = NULL;
	}
	return ret->v ? 0 : err_num(e, ENOMEM, "mounts of the host");
}

static bool has_mounts_below(const struct places *m, const char *dir)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->v[i], dir) != 0 && path_is_below(m->v[i], dir))
			return true;
	return false;
}

static int show_dir(const struct places *m, const char *path, const struct stat *st, int parent,
		    const char *name, struct err *e);

static int show_file(const char *path, int parent, const char *name, struct err *e)
{
	AUTO_FD int fd = -1, target = -1;
	struct err ignored;
	struct stat st;
	int rc;

	/* Looked at again: a socket or a link may have taken its place. */
	if (mount_clone(AT_FDCWD, path, false, &fd, &ignored, path) < 0 || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	target = openat(parent, name, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (target < 0)
		return err_sys(e, "showing %s", path);
	rc = mount_change(fd, VIEW_ATTRS, 0, MS_PRIVATE, -1, false);
	if (rc == 0)
		rc = mount_attach(fd, target);
	return rc < 0 ? err_num(e, -rc, "showing %s", path) : 0;
}

static int show_link(int dir, int parent, const char *name, struct err *e)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(dir, name, text, sizeof text - 1);

	if (n < 0)
		return 0;
	text[n] = '\0';
	return symlinkat(text, parent, name) < 0 ? err_sys(e, "showing the link %s", name) : 0;
}

static int show_entry(const struct places *m, const char *dir, int dirfd_, int parent, const char *name,
		      struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	if ((size_t)snprintf(path, sizeof path, "%s/%s", strcmp(dir, "/") ? dir : "", name) >= sizeof path ||
	    fstatat(dirfd_, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return show_dir(m, path, &st, parent, name, e);
	if (S_ISLNK(st.st_mode))
		return show_link(dirfd_, parent, name, e);
	/* Sockets, FIFOs and devices are what must not be seen. */
	return S_ISREG(st.st_mode) ? show_file(path, parent, name, e) : 0;
}

static int show_entries(const struct places *m, const char *path, int target, struct err *e)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	int rc = 0;

	while (d && rc == 0 && (entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = show_entry(m, path, dirfd(d), target, entry->d_name, e);
	if (d)
		(void)closedir(d);
	return rc;
}

static int show_dir(const struct places *m, const char *path, const struct stat *st, int parent,
		    const char *name, struct err *e)
{
	AUTO_FD int target = -1, fd = -1, source = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (mkdirat(parent, name, 0755) < 0)
		return err_sys(e, "showing %s", path);
	/* What the caller cannot list stays empty, as it would look to the app anyway. */
	if (is_hidden(path) || access(path, R_OK | X_OK) < 0 || is_of_kernel(source))
		return 0;
	target = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return err_sys(e, "showing %s", path);
	if (has_mounts_below(m, path))
		return show_entries(m, path, target, e);
	rc = view(path, path, &fd, e);
	if (rc < 0)
		return rc;
	rc = mount_attach(fd, target);
	return rc < 0 ? err_num(e, -rc, "showing %s", path) : mask_state(m->l, st, fd, e);
}

int hostroot_attach(struct launch *l, int scratch, int *ret_root, struct err *e)
{
	static const char *const data[] = { "mode=0755" };
	AUTO_FD int root = -1, tmp = -1;
	struct places m = { .l = l };
	int rc = read_places(&l->bundle->arena, &m, e);

	if (rc == 0)
		rc = mount_new("tmpfs", "vrun", data, 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &tmp, e);
	if (rc == 0)
		rc = mount_new("tmpfs", "vrun", data, 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &root, e);
	if (rc < 0)
		return rc;
	/* overlayfs looks "empty" up from the working directory. */
	if (mkdirat(tmp, "empty", 0555) < 0)
		return err_sys(e, "scratch directory");
	rc = mount_attach(tmp, scratch);
	if (rc < 0)
		return err_num(e, -rc, "scratch filesystem");
	if (fchdir(tmp) < 0)
		return err_sys(e, "scratch filesystem");
	rc = mount_attach(root, tmp);
	if (rc < 0)
		return err_num(e, -rc, "attaching the root");
	rc = show_entries(&m, "/", root, e);
	if (rc == 0)
		*ret_root = fd_take(&root);
	return rc;
}

int hostroot_open_views(struct launch *l, struct err *e)
{
	for (size_t i = 0; i < l->bundle->n_mounts; i++) {
		const struct bundle_mount *m = &l->bundle->mounts[i];

		if (!hostroot_is_view(m))
			continue;
		l->mount_fds[i] = open(m->source, O_PATH | O_CLOEXEC);
		if (l->mount_fds[i] < 0)
			return err_sys(e, "%s", m->source);
	}
	return 0;
}

int hostroot_view(const struct bundle_mount *m, int *fd, struct err *e)
{
	AUTO_FD int source = fd_take(fd);
	char path[PATH_FD_SIZE];
	struct stat st;
	int rc;

	if (fstat(source, &st) < 0)
		return err_sys(e, "%s", m->source);
	if (S_ISDIR(st.st_mode))
		return view(path_of_fd(source, path), m->source, fd, e);
	if (!S_ISREG(st.st_mode)) {
		(void)err_set(e, EINVAL, "%s is neither a file nor a directory", m->source);
		return err_hint(e, "--rw hands it to the app, to talk to whatever is behind it");
	}
	rc = mount_clone(source, "", false, fd, e, m->source);
	if (rc < 0)
		return rc;
	rc = mount_change(*fd, VIEW_ATTRS, 0, MS_PRIVATE, -1, false);
	return rc < 0 ? err_num(e, -rc, "showing %s", m->source) : 0;
}
