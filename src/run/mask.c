/* SPDX-License-Identifier: Apache-2.0 */
#include "run/mask.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/mount.h"
#include "kern/path.h"

#define CAP_NR_SYS_ADMIN 21
#define MASK_ATTRS (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static bool is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || S_ISDIR(st.st_mode);
}

static int cover(int fd, int target, struct err *e)
{
	int rc = mount_attach(fd, target);

	return rc < 0 ? err_num(e, -rc, "attaching the mask") : 0;
}

static int mask_directory(int target, int *first, struct err *e)
{
	AUTO_FD int fd = -1;
	int rc;

	/* The first one is a new filesystem, the others copies of it. */
	if (*first >= 0)
		rc = mount_clone(*first, "", false, &fd, e, "masking directory");
	else
		rc = mount_new("tmpfs", "vrun-masked", NULL, 0, MASK_ATTRS, &fd, e);
	if (rc == 0)
		rc = cover(fd, target, e);
	if (rc == 0 && *first < 0)
		*first = fd_take(&fd);
	return rc;
}

/* The host's /dev/null: the one inside could be anything (CVE-2025-31133). */
static int mask_file(int target, struct err *e)
{
	AUTO_FD int fd = -1;
	int rc = mount_clone(AT_FDCWD, "/dev/null", false, &fd, e, "/dev/null");

	return rc < 0 ? rc : cover(fd, target, e);
}

/* Tells whether a path as the bundle wrote it lies at or below another; *ret_rest is what is left of it. */
static bool lies_below(const char *path, const char *dir, const char **ret_rest)
{
	size_t n = strlen(dir);

	while (n > 0 && dir[n - 1] == '/')
		n--;
	if (strncmp(path, dir, n) != 0 || (path[n] != '\0' && path[n] != '/'))
		return false;
	*ret_rest = path + n + strspn(path + n, "/");
	return true;
}

/*
 * Finds what is to be covered. Below a /proc or /sys that we mounted ourselves
 * the look-up starts at that mount, not at the root: somebody who writes in
 * the root filesystem meanwhile (another container that shares it) could have
 * renamed the mount point and put a directory of his own there, which would be
 * covered in its place.
 */
static int find(const struct launch *l, int root, const char *path)
{
	const struct bundle *b = l->bundle;
	const char *rest;

	for (size_t i = b->n_mounts; i > 0; i--) {
		if (!lies_below(path, b->mounts[i - 1].destination, &rest))
			continue;
		if (l->mount_fds[i - 1] < 0)
			break;
		return path_open(l->mount_fds[i - 1], *rest ? rest : ".", O_PATH);
	}
	return path_open(root, path, O_PATH);
}

/* Nothing there to cover, or the app cannot get there either. */
static bool is_absent(int rc)
{
	return rc == -ENOENT || rc == -ENOTDIR || rc == -EACCES;
}

static int hide(const struct launch *l, int root, struct err *e)
{
	const struct strlist *paths = &l->bundle->masked_paths;
	AUTO_FD int first = -1;

	for (size_t i = 0; i < paths->n; i++) {
		AUTO_FD int target = find(l, root, paths->v[i]);
		int rc;

		if (is_absent(target))
			continue;
		if (target < 0)
			return err_num(e, -target, "masked path %s", paths->v[i]);
		rc = is_directory(target) ? mask_directory(target, &first, e) : mask_file(target, e);
		if (rc < 0)
			return err_wrap(e, "masked path %s", paths->v[i]);
	}
	return 0;
}

static int make_readonly(const struct launch *l, int root, const struct strlist *paths, struct err *e)
{
	for (size_t i = 0; i < paths->n; i++) {
		AUTO_FD int target = find(l, root, paths->v[i]), fd = -1;
		int rc;

		if (is_absent(target))
			continue;
		if (target < 0)
			return err_num(e, -target, "read-only path %s", paths->v[i]);
		rc = mount_clone(target, "", true, &fd, e, paths->v[i]);
		if (rc == 0)
			rc = mount_change(fd, MOUNT_ATTR_RDONLY, 0, 0, -1, true);
		if (rc == 0)
			rc = mount_attach(fd, target);
		if (rc < 0)
			return err_num(e, -rc, "read-only path %s", paths->v[i]);
	}
	return 0;
}

/*
 * Files of /proc and /sys that belong to the host's root by their mode alone:
 * who has that id writes them without any capability, and core_pattern or
 * uevent_helper make the host run a program.
 */
static int protect_host(const struct launch *l, int root, struct err *e)
{
	static const char *paths[] = { "/proc/irq",	   "/proc/sys/dev", "/proc/sys/fs", "/proc/sys/kernel",
				       "/proc/sys/vm",	   "/proc/sysrq-trigger", "/sys/block", "/sys/bus",
				       "/sys/class",	   "/sys/dev",	    "/sys/devices", "/sys/firmware",
				       "/sys/kernel",	   "/sys/module",   "/sys/power" };
	struct strlist list = { paths, sizeof paths / sizeof *paths };
	bool host_root = l->map_writer == MAP_NONE;

	for (size_t i = 0; i < l->uids.n; i++)
		host_root = host_root || l->uids.v[i].outside == 0;
	/* With CAP_SYS_ADMIN the app could make them writable again: it is the host's administrator. */
	if (!host_root || (l->bundle->process.caps.bounding >> CAP_NR_SYS_ADMIN & 1U))
		return 0;
	return make_readonly(l, root, &list, e);
}

int mask_paths(const struct launch *l, int root, struct err *e)
{
	int rc = hide(l, root, e);

	if (rc == 0)
		rc = make_readonly(l, root, &l->bundle->readonly_paths, e);
	return rc < 0 ? rc : protect_host(l, root, e);
}

/* --- vrun's own state --------------------------------------------------------- */

/* A part of it is never shown by its own name either. */
static int refuse_parts(const struct launch *l, const char *state, struct err *e)
{
	const struct bundle *b = l->bundle;

	for (size_t i = 0; i < b->n_mounts; i++) {
		AUTO_FREE char *real = b->mounts[i].bind ? realpath(b->mounts[i].source, NULL) : NULL;

		if (real && strcmp(real, state) != 0 && path_is_below(real, state))
			return err_set(e, EPERM, "mount on %s: %s is a part of vrun's state",
				       b->mounts[i].destination, real);
	}
	return 0;
}

int mask_plan_state(struct launch *l, struct err *e)
{
	AUTO_FREE char *real = realpath(l->opt->state_root, NULL);
	struct arena *a = &l->bundle->arena;
	char *copy = real ? arena_strdup(a, real) : NULL;
	size_t n = 1;

	if (!real)
		return err_sys(e, "state directory %s", l->opt->state_root);
	for (const char *p = real; *p; p++)
		n += *p == '/';
	l->state_above = arena_array(a, n, sizeof *l->state_above);
	if (!copy || !l->state_above)
		return err_num(e, ENOMEM, "state directory");
	/* The directory itself and all above it, each with the way that leads down from there. */
	for (char *end = real + strlen(real);; *end = '\0') {
		struct stat st;
		const char *below = copy + (end - real);

		if (stat(*real ? real : "/", &st) < 0)
			return err_sys(e, "state directory %s", copy);
		l->state_above[l->n_state_above++] =
			(struct launch_place){ st.st_dev, st.st_ino, below + strspn(below, "/") };
		if (end == real)
			break;
		end = strrchr(real, '/');
	}
	return refuse_parts(l, copy, e);
}

int mask_state(const struct launch *l, const struct stat *tree, int fd, struct err *e)
{
	AUTO_FD int first = -1;
	int rc = 0;

	/* By the directories' identity: the host may have more than one name for them. */
	for (size_t i = 0; rc == 0 && i < l->n_state_above; i++) {
		const struct launch_place *p = &l->state_above[i];
		AUTO_FD int target = -1;

		if (p->dev != tree->st_dev || p->ino != tree->st_ino)
			continue;
		target = path_open(fd, *p->below ? p->below : ".", O_PATH | O_DIRECTORY);
		if (target >= 0)
			rc = mask_directory(target, &first, e);
		else if (!is_absent(target))
			rc = err_num(e, -target, "%s", p->below);
	}
	return rc < 0 ? err_wrap(e, "hiding vrun's state") : 0;
}
