/* SPDX-License-Identifier: Apache-2.0 */
#include "run/rootfs.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "kern/ids.h"
#include "kern/mount.h"
#include "kern/path.h"
#include "run/cgroup_mount.h"
#include "run/copyup.h"
#include "run/dev.h"
#include "run/hooks.h"
#include "run/hostroot.h"
#include "run/mask.h"
#include "run/netfiles.h"
#include "run/namespaces.h"

/*
 * Theory of operation
 *
 * The namespace starts as a copy of the caller's. All sources are open as
 * detached mounts before anything is hidden (sources.c). A scratch directory,
 * /tmp of the copy, takes the new root; from then on everything goes through
 * the root's descriptor, never through a path of the copy. Each mount is made
 * detached with its attributes and attached to a target that openat2 found
 * inside the root. At the end pivot_root swaps the roots and the old one is
 * detached, so not a single mount of the host's is left.
 */

static int open_scratch(const struct launch *l, int *ret_fd, struct err *e)
{
	static const char *const places[] = { "/tmp", "/mnt", "/var", "/etc" };

	/* Hooks look for the new root where the bundle has it, and for themselves anywhere. */
	if (l->bundle->hooks.n[HOOK_CREATE_CONTAINER]) {
		*ret_fd = open(l->root_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (*ret_fd >= 0)
			return 0;
	}
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		int fd = open(places[i], O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
	}
	return err_sys(e, "a directory to build the root on");
}

static int attach(int fd, int target, const char *name, struct err *e)
{
	int rc = mount_attach(fd, target);

	return rc < 0 ? err_num(e, -rc, "attaching %s", name) : 0;
}

/* Directory `name` of the scratch filesystem, with a mount on it unless fd is -1. */
static int scratch_dir(int scratch, const char *name, int fd, struct err *e)
{
	AUTO_FD int dir = -1;

	if (mkdirat(scratch, name, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "scratch directory %s", name);
	if (fd < 0)
		return 0;
	dir = openat(scratch, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "scratch directory %s", name);
	return attach(fd, dir, name, e);
}

/* The overlay's "/" is the upper layer's: it looks like the lower one's, as long as nobody changed it. */
static int copy_owner(int from, int scratch, const char *name, struct err *e)
{
	AUTO_FD int dir = openat(scratch, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (dir < 0 || fstat(from, &st) < 0 || fchmod(dir, st.st_mode & 07777) < 0)
		return err_sys(e, "writable layer");
	/* An owner that the container has no id for (EINVAL) cannot be had; root it is then. */
	if (fchown(dir, st.st_uid, st.st_gid) < 0 && errno != EINVAL && errno != EPERM)
		return err_sys(e, "writable layer");
	return 0;
}

/* "upperdir=" and "workdir=" by descriptor: by name overlayfs would follow a link that somebody else who may
 * write in the directory has put there, and make it the place of the app's files. */
static int layer_option(int scratch, const char *place, const char *name, char *buf, size_t size,
			int *ret_fd, struct err *e)
{
	char path[PATH_FD_SIZE], link[PATH_FD_SIZE];
	int fd;

	(void)snprintf(path, sizeof path, "%s%s", place, name);
	fd = sys_openat2(scratch, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
			 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return err_sys(e, "\"%s\" of the writable layer", name);
	(void)snprintf(buf, size, "%sdir=%s", name, path_of_fd(fd, link));
	*ret_fd = fd;
	return 0;
}

/*
 * Whether a directory of the lower layer was replaced is written into an
 * attribute user.overlay.*, which tmpfs has from Linux 6.6 on. Without it the
 * kernel refuses (EIO) to remove or replace such a directory; the rest works.
 */
static void warn_without_xattrs(int scratch)
{
	AUTO_FD int dir = openat(scratch, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir >= 0 && fgetxattr(dir, "user.overlay.opaque", NULL, 0) < 0 && errno == EOPNOTSUPP)
		log_warn("on this kernel (before 6.6) directories of the bundle cannot be removed while the writable layer is in memory; the annotation org.vrun.overlay can name a directory instead");
}

/*
 * A writable layer over the root filesystem. overlayfs takes its layers by
 * path, so they are attached to a scratch tmpfs first; the working directory
 * is that tmpfs while it looks them up.
 */
static int overlay_root(struct launch *l, int target, int *ret_root, struct err *e)
{
	static const char *const tmpfs_data[] = { "mode=0755" };
	const char *place = l->root_kind == ROOT_OVERLAY_DIR ? "layer/" : "";
	char upper[PATH_FD_SIZE + 16], work[PATH_FD_SIZE + 16];
	const char *const data[] = { "lowerdir=lower", upper, work, "userxattr" };
	AUTO_FD int scratch = -1, upper_fd = -1, work_fd = -1;
	/* userxattr is for user namespaces: the initial one has the trusted.* attributes. */
	size_t n = l->own_users ? 4 : 3;
	int rc = mount_new("tmpfs", "vrun", tmpfs_data, 1, 0, &scratch, e);

	if (rc == 0)
		rc = attach(scratch, target, "scratch filesystem", e);
	if (rc == 0)
		rc = scratch_dir(scratch, "lower", l->root_fd, e);
	if (rc == 0)
		rc = l->root_kind == ROOT_OVERLAY_DIR ? scratch_dir(scratch, "layer", l->overlay_fd, e) :
							scratch_dir(scratch, "upper", -1, e);
	if (rc == 0 && l->root_kind == ROOT_OVERLAY_TMPFS)
		rc = scratch_dir(scratch, "work", -1, e);
	if (rc == 0 && l->root_kind == ROOT_OVERLAY_TMPFS)
		rc = copy_owner(l->root_fd, scratch, "upper", e);
	if (rc == 0 && l->root_kind == ROOT_OVERLAY_TMPFS && l->own_users)
		warn_without_xattrs(scratch);
	if (rc == 0)
		rc = layer_option(scratch, place, "upper", upper, sizeof upper, &upper_fd, e);
	if (rc == 0)
		rc = layer_option(scratch, place, "work", work, sizeof work, &work_fd, e);
	if (rc == 0 && fchdir(scratch) < 0)
		rc = err_sys(e, "scratch filesystem");
	if (rc == 0)
		rc = mount_new("overlay", "overlay", data, n, 0, ret_root, e);
	if (rc == -EINVAL && l->sources_in_parent)
		rc = err_hint(e, "before Linux 5.19 no layer may have its ids mapped: run it as the user who owns the bundle, or with --host-users");
	if (rc < 0)
		return err_wrap(e, "overlay over %s", l->root_dir);
	return attach(*ret_root, scratch, "overlay", e);
}

static int attach_root(struct launch *l, int *ret_root, struct err *e)
{
	AUTO_FD int scratch = -1;
	struct stat tree;
	int rc = open_scratch(l, &scratch, e);

	if (rc < 0)
		return rc;
	if (l->root_kind == ROOT_HOST)
		return hostroot_attach(l, scratch, ret_root, e);
	/* Device nodes that lie in the files are not the app's, as none that it could make would be.
	 * Private: what the host mounts later does not appear, what the app mounts does not leave. */
	rc = mount_change(l->root_fd, l->own_users ? MOUNT_ATTR_NODEV : 0, 0, MS_PRIVATE, -1,
			  true);
	if (rc < 0)
		return err_num(e, -rc, "root filesystem");
	if (fstat(l->root_fd, &tree) < 0)
		return err_sys(e, "root filesystem");
	if (l->root_kind != ROOT_DIR) {
		rc = overlay_root(l, scratch, ret_root, e);
	} else {
		rc = attach(l->root_fd, scratch, "root filesystem", e);
		if (rc == 0)
			*ret_root = fd_take(&l->root_fd);
	}
	return rc < 0 ? rc : mask_state(l, &tree, *ret_root, e);
}

/*
 * What becomes /proc or /sys, and what is mounted within /proc, lies where its
 * path says and not where a link of the root filesystem led: else the real
 * /proc would be elsewhere, uncovered, and files of the app's be taken for it
 * (CVE-2019-16884). Looked at on the descriptor that is mounted on, since the
 * root filesystem may be changed meanwhile (CVE-2021-30465).
 */
static int refuse_diverted(int root, int target, const char *destination, struct err *e)
{
	char link[PATH_FD_SIZE], top[PATH_MAX], at[PATH_MAX];
	AUTO_FREE char *want = strdup(destination);
	ssize_t n = readlink(path_of_fd(root, link), top, sizeof top - 1);
	ssize_t m = readlink(path_of_fd(target, link), at, sizeof at - 1);

	if (!want)
		return err_num(e, ENOMEM, "%s", destination);
	if (n < 0 || m < 0)
		return err_sys(e, "place in the root filesystem");
	path_clean(want);
	at[m] = '\0';
	if (m >= n && memcmp(at, top, (size_t)n) == 0 && strcmp(at + n, want) == 0)
		return 0;
	return err_set(e, ELOOP, "a symbolic link in the root filesystem leads elsewhere");
}

static bool is_in_proc(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && st.f_type == PROC_SUPER_MAGIC;
}

static bool is_dev(const struct bundle_mount *m)
{
	return strcmp(m->type, "tmpfs") == 0 && strcmp(m->destination, "/dev") == 0;
}

static bool has_mode(const struct bundle_mount *m)
{
	for (size_t i = 0; i < m->data.n; i++)
		if (strncmp(m->data.v[i], "mode=", 5) == 0)
			return true;
	return false;
}

/* The kernel's own filesystems are labelled by the policy (genfscon). */
static bool takes_label(const struct bundle_mount *m)
{
	return strcmp(m->type, "proc") != 0 && strcmp(m->type, "sysfs") != 0 && strcmp(m->type, "mqueue") != 0;
}

/* Superblock switches and options, without what this container's ids cannot express. */
static size_t collect_data(struct launch *l, const struct bundle_mount *m, const char **out)
{
	static const struct {
		unsigned flag;
		const char *option;
	} flags[] = {
		{ BUNDLE_SB_RDONLY, "ro" },
		{ BUNDLE_SB_SYNC, "sync" },
		{ BUNDLE_SB_DIRSYNC, "dirsync" },
		{ BUNDLE_SB_LAZYTIME, "lazytime" },
	};
	size_t n = 0;

	/* What is still to be filled is made read-only afterwards, by its mount (shape). */
	for (size_t i = m->tmpcopyup ? 1 : 0; i < sizeof flags / sizeof *flags; i++)
		if (m->sb_flags & flags[i].flag)
			out[n++] = flags[i].option;
	/* tmpfs is everybody's by default (1777), and in such a directory the kernel lets nobody but the
	 * owner open with O_CREAT what is there (fs.protected_regular): `>/dev/null` would fail. */
	if (is_dev(m) && !has_mode(m))
		out[n++] = "mode=0755";
	if (l->selinux && l->bundle->mount_label && takes_label(m))
		out[n++] = arena_printf(&l->bundle->arena, "context=%s", l->bundle->mount_label);
	for (size_t i = 0; i < m->data.n; i++) {
		/* gid 5 (tty) stands in every example of the spec; a map of one id does not have it. */
		if (strcmp(m->type, "devpts") == 0 && strcmp(m->data.v[i], "gid=5") == 0 &&
		    l->map_writer != MAP_NONE && ids_to_outside(&l->gids, 5) < 0)
			continue;
		out[n++] = m->data.v[i];
	}
	return n;
}

static int new_filesystem(struct launch *l, const struct bundle_mount *m, int *ret_fd, struct err *e)
{
	AUTO_FREE const char **data = calloc(m->data.n + 8, sizeof *data);
	const char *source = m->source && *m->source ? m->source : m->type;
	size_t n;
	int rc;

	if (!data)
		return err_num(e, ENOMEM, "mount");
	n = collect_data(l, m, data);
	for (size_t i = 0; i < n; i++)
		if (!data[i])
			return err_num(e, ENOMEM, "mount");
	rc = mount_new(m->type, source, data, n,
		       m->tmpcopyup ? m->attr_set & ~(uint64_t)MOUNT_ATTR_RDONLY : m->attr_set, ret_fd, e);
	/* The kernel lets a user namespace mount these only for namespaces that it owns (fs/proc/root.c,
	 * fs/sysfs/mount.c), and while nothing of them is covered on the host. */
	if (rc == -EPERM && strcmp(m->type, "proc") == 0)
		return err_hint(e, "it needs a new pid namespace, and a /proc of the caller's with nothing mounted over it");
	if (rc == -EPERM && strcmp(m->type, "sysfs") == 0)
		return err_hint(e, "it needs a new network namespace, and a /sys of the caller's with nothing mounted over it; leave the mount out otherwise");
	return rc;
}

static bool is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || S_ISDIR(st.st_mode);
}

static int shape(const struct launch *l, int fd, const struct bundle_mount *m, struct err *e)
{
	bool closed = l->own_users && !((m->attr_clear | m->rec_attr_clear) & MOUNT_ATTR_NODEV);
	uint64_t propagation = m->propagation & ~(unsigned long)MS_REC;
	bool recursive = m->propagation ? (m->propagation & MS_REC) != 0 : true;
	int rc = 0;

	if (m->bind || m->tmpcopyup)
		rc = mount_change(fd, m->attr_set, m->attr_clear, 0, -1, false);
	if (rc == 0 && m->bind && closed && is_directory(fd))
		rc = mount_change(fd, MOUNT_ATTR_NODEV, 0, 0, -1, true);
	if (rc == 0 && (m->rec_attr_set || m->rec_attr_clear))
		rc = mount_change(fd, m->rec_attr_set, m->rec_attr_clear, 0, -1, true);
	if (rc == 0 && (m->bind || propagation))
		rc = mount_change(fd, 0, 0, propagation ? propagation : MS_PRIVATE, -1, recursive);
	if (rc == 0)
		return 0;
	(void)err_num(e, -rc, "mount options of %s", m->destination);
	return rc == -EPERM ? err_hint(e, "a caller without privileges may not take back what the host's own mount has (nosuid, nodev, ro ...), nor change how it keeps access times") : rc;
}

/*
 * mountinfo(5) lists mounts in the order in which they were made (from Linux 6.8 on), and sources were opened ahead
 * of their turn. Made anew, they stand where the bundle has them: where the kernel copies what is mounted
 * nowhere (6.15), and for engines alone, whose checks look at that. For a run it would be time.
 */
static void take_turn(const struct launch *l, const struct bundle_mount *m, int *fd)
{
	struct err ignored = { 0 };
	int own;

	if (!l->opt->create || !m->bind || hostroot_is_view(m) || *fd < 0)
		return;
	if (mount_clone(*fd, "", m->rbind, &own, &ignored, m->destination) < 0)
		return;
	fd_close(fd);
	*fd = own;
}

static int mount_one(struct launch *l, int root, size_t i, struct err *e)
{
	const struct bundle_mount *m = &l->bundle->mounts[i];
	AUTO_FD int fd = fd_take(&l->mount_fds[i]), target = -1;
	bool pseudo = !m->bind && (strcmp(m->type, "proc") == 0 || strcmp(m->type, "sysfs") == 0);
	struct stat tree;
	int rc = 0;

	take_turn(l, m, &fd);
	if (m->bind && fd >= 0 && fstat(fd, &tree) < 0)
		return err_sys(e, "mount on %s", m->destination);
	/* sysfs shows the network namespace of whoever mounts it. */
	if (pseudo)
		rc = strcmp(m->type, "sysfs") == 0 ? namespaces_join_network(l, e) : 0;
	if (rc < 0)
		return rc;
	if (hostroot_is_view(m))
		rc = hostroot_view(m, &fd, e);
	else if (!m->bind && strcmp(m->type, "cgroup") == 0)
		return cgroup_mount(root, m, e);
	else if (!m->bind)
		rc = new_filesystem(l, m, &fd, e);
	if (m->optional && fd < 0)
		return 0; /* nothing there, or not for us: what is not shown cannot be reached */
	if (rc == 0)
		rc = is_directory(fd) ? path_make_dir(root, m->destination, 0755, &target, e) :
					path_make_file(root, m->destination, 0644, &target, e);
	if (rc == 0 && (pseudo || is_in_proc(target)))
		rc = refuse_diverted(root, target, m->destination, e);
	if (rc == 0 && m->tmpcopyup)
		rc = copyup_fill(target, fd, m, e);
	if (rc == 0 && !hostroot_is_view(m))
		rc = shape(l, fd, m, e);
	if (rc == 0)
		rc = attach(fd, target, m->destination, e);
	if (rc == 0 && m->bind)
		rc = mask_state(l, &tree, fd, e);
	/* mask_paths() starts from these. */
	if (rc == 0 && pseudo)
		l->mount_fds[i] = fd_take(&fd);
	return rc < 0 ? err_wrap(e, "mount on %s", m->destination) : 0;
}

static int swap_roots(int root, struct err *e)
{
	if (fchdir(root) < 0)
		return err_sys(e, "new root");
	if (sys_pivot_root(".", ".") < 0)
		return err_sys(e, "pivot_root");
	/* The old root now lies on top of the new one, at "."; private, so that nothing is told to the
	 * host when it goes. */
	if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", MNT_DETACH) < 0)
		return err_sys(e, "letting go of the host's mounts");
	if (chdir("/") < 0)
		return err_sys(e, "new root");
	return 0;
}

/* The root's own propagation comes last: from a shared mount the kernel lets nobody pivot. */
static int set_propagation(const struct launch *l, int root, struct err *e)
{
	unsigned long how = l->bundle->root_propagation;
	int rc = how ? mount_change(root, 0, 0, how & ~(unsigned long)MS_REC, -1, (how & MS_REC) != 0) : 0;

	return rc < 0 ? err_num(e, -rc, "linux.rootfsPropagation") : 0;
}

int rootfs_enter(struct launch *l, int sync, int *ret_terminal, int *ret_tty, struct err *e)
{
	const struct bundle *b = l->bundle;
	AUTO_FD int root = -1, cwd = -1;
	int rc;

	/* A less privileged namespace gets slaves by itself; with the host's users we make them. */
	if (!l->own_users && mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return err_sys(e, "mount namespace");
	rc = hostroot_open_views(l, e);
	if (rc == 0)
		rc = attach_root(l, &root, e);
	for (size_t i = 0; rc == 0 && i < b->n_mounts; i++)
		rc = mount_one(l, root, i, e);
	if (rc == 0)
		rc = netfiles_mount(l, root, e);
	if (rc == 0)
		rc = dev_populate(l, root, ret_terminal, ret_tty, e);
	if (rc == 0)
		rc = mask_paths(l, root, e);
	if (rc == 0 && strcmp(b->process.cwd, "/") != 0)
		rc = path_make_dir(root, b->process.cwd, 0755, &cwd, e);
	if (rc == 0)
		rc = hooks_before_root(l, sync, e);
	if (rc == 0 && b->root_readonly && (rc = mount_change(root, MOUNT_ATTR_RDONLY, 0, 0, -1, false)) < 0)
		(void)err_num(e, -rc, "root filesystem");
	if (rc == 0)
		rc = swap_roots(root, e);
	return rc < 0 ? rc : set_propagation(l, root, e);
}
