/* SPDX-License-Identifier: Apache-2.0 */
#include "run/sources.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/ids.h"
#include "kern/mount.h"
#include "kern/path.h"
#include "run/hostroot.h"
#include "run/sync.h"

int sources_userns(const struct idmap *uids, const struct idmap *gids, int *ret_fd, struct err *e)
{
	char path[64];
	int status, rc;
	AUTO_FD int proc = -1, fd = -1;
	pid_t self = getpid();
	/* The child only holds the namespace until it is open here, and dies with us. */
	pid_t pid = (pid_t)syscall(__NR_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid < 0)
		return err_sys(e, "user namespace for an idmapped mount");
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != self)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)snprintf(path, sizeof path, "/proc/%d", (int)pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	rc = proc < 0 ? err_sys(e, "%s", path) : ids_write_maps(proc, uids, gids, false, e);
	if (rc == 0) {
		fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			rc = err_sys(e, "user namespace for an idmapped mount");
	}
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc == 0)
		*ret_fd = fd_take(&fd);
	return rc;
}

static size_t put_entry(struct idmap *ret, size_t n, const struct idmap_entry *m, uint64_t from,
			uint64_t end)
{
	if (from < end)
		ret->v[n++] = (struct idmap_entry){ (uint32_t)from,
						    m->outside + (uint32_t)(from - m->inside),
						    (uint32_t)(end - from) };
	return n;
}

/*
 * Files of the bundle's owner are to belong to the app: on-disk owner and
 * app's id change places in the container's map. `disk` is the owner's id.
 */
static int swapped_map(struct arena *a, const struct idmap *map, uint32_t disk, uint32_t app,
		       struct idmap *ret)
{
	int64_t at_disk = ids_to_outside(map, disk), at_app = ids_to_outside(map, app);
	size_t n = 0;

	ret->v = arena_array(a, map->n * 3 + 2, sizeof *ret->v);
	if (!ret->v)
		return -ENOMEM;
	if (at_app < 0)
		return -EINVAL;
	ret->v[n++] = (struct idmap_entry){ disk, (uint32_t)at_app, 1 };
	if (at_disk >= 0 && disk != app)
		ret->v[n++] = (struct idmap_entry){ app, (uint32_t)at_disk, 1 };
	/* The rest as it is, with the two ids cut out. */
	for (size_t i = 0; i < map->n; i++) {
		const struct idmap_entry *m = &map->v[i];
		const uint32_t cuts[2] = { disk < app ? disk : app, disk < app ? app : disk };
		uint64_t from = m->inside, end = from + m->size;

		for (size_t k = 0; k < 2; k++) {
			if (cuts[k] < from || cuts[k] >= end)
				continue;
			n = put_entry(ret, n, m, from, cuts[k]);
			from = (uint64_t)cuts[k] + 1;
		}
		n = put_entry(ret, n, m, from, end);
	}
	ret->n = n;
	return 0;
}

static int owner_userns(struct launch *l, const char *path, int *ret_fd, struct err *e)
{
	const struct bundle_user *user = &l->bundle->process.user;
	struct idmap uids, gids;
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, "%s", path);
	if (swapped_map(&l->bundle->arena, &l->uids, st.st_uid, user->uid, &uids) < 0 ||
	    swapped_map(&l->bundle->arena, &l->gids, st.st_gid, user->gid, &gids) < 0)
		return err_set(e, EINVAL, "the owner of %s cannot be mapped onto the app's user", path);
	return sources_userns(&uids, &gids, ret_fd, e);
}

static int map_owner(int fd, int userns_fd, const char *name, bool recursive, struct err *e)
{
	int rc = mount_change(fd, MOUNT_ATTR_IDMAP, 0, 0, userns_fd, recursive);

	if (rc == 0)
		return 0;
	(void)err_num(e, -rc, "idmapped mount of %s", name);
	return err_hint(e, "its filesystem cannot show other owners: move the bundle to ext4, xfs or btrfs (or tmpfs, from Linux 6.3 on), or use --host-users");
}

static int open_source(const char *path, bool recursive, int *ret_fd, struct err *e)
{
	int rc = mount_clone(AT_FDCWD, path, recursive, ret_fd, e, path);

	/* A tree with locked mounts below it can only be copied whole (user_namespaces(7)). */
	if (rc == -EINVAL && !recursive)
		rc = mount_clone(AT_FDCWD, path, true, ret_fd, e, path);
	return rc;
}

static int open_root(struct launch *l, int userns_fd, struct err *e)
{
	int rc;

	if (l->root_kind == ROOT_HOST)
		return 0;
	rc = open_source(l->root_dir, true, &l->root_fd, e);
	if (rc < 0)
		return err_wrap(e, "root filesystem");
	if (userns_fd >= 0) {
		rc = map_owner(l->root_fd, userns_fd, l->root_dir, true, e);
		if (rc < 0)
			return rc;
	}
	if (l->root_kind != ROOT_OVERLAY_DIR)
		return 0;
	rc = open_source(l->overlay_dir, false, &l->overlay_fd, e);
	if (rc < 0)
		return err_wrap(e, "overlay directory");
	return userns_fd >= 0 ? map_owner(l->overlay_fd, userns_fd, l->overlay_dir, false, e) : 0;
}

static bool source_is_the_bundles(const struct launch *l, const struct bundle_mount *m)
{
	return m->source && *l->bundle->dir && path_is_below(m->source, l->bundle->dir);
}

static int open_mount(struct launch *l, size_t i, int userns_fd, struct err *e)
{
	const struct bundle_mount *m = &l->bundle->mounts[i];
	AUTO_FD int own = -1;
	int rc = open_source(m->source, m->rbind, &l->mount_fds[i], e);

	if (rc < 0 && m->optional && (rc == -ENOENT || rc == -EACCES))
		return 0;
	if (rc < 0)
		return err_wrap(e, "mount of %s", m->destination);
	if (m->own_files) {
		if (userns_fd < 0)
			return 0;
		rc = owner_userns(l, m->source, &own, e);
		return rc < 0 ? rc : map_owner(l->mount_fds[i], own, m->source, false, e);
	}
	if (m->idmap != MOUNT_IDMAP_NONE && m->uid_map.n) {
		rc = sources_userns(&m->uid_map, &m->gid_map, &own, e);
		return rc < 0 ? rc : map_owner(l->mount_fds[i], own, m->source,
					       m->idmap == MOUNT_IDMAP_RECURSIVE, e);
	}
	if (m->idmap != MOUNT_IDMAP_NONE && userns_fd < 0)
		return err_set(e, ENOTSUP, "idmapped mount of %s: there is no user namespace to map into, or no privilege for it",
			       m->source);
	if (m->idmap != MOUNT_IDMAP_NONE || (userns_fd >= 0 && source_is_the_bundles(l, m)))
		return map_owner(l->mount_fds[i], userns_fd, m->source,
				 m->idmap == MOUNT_IDMAP_RECURSIVE || m->rbind, e);
	return 0;
}

int sources_open(struct launch *l, int userns_fd, struct err *e)
{
	const struct bundle *b = l->bundle;
	AUTO_FD int swapped = -1;
	int rc;

	if (userns_fd >= 0 && l->owner_is_app) {
		rc = owner_userns(l, l->root_dir, &swapped, e);
		if (rc < 0)
			return rc;
		userns_fd = swapped;
	}
	rc = open_root(l, l->idmap_sources ? userns_fd : -1, e);
	for (size_t i = 0; rc == 0 && i < b->n_mounts; i++) {
		if (b->mounts[i].bind && !hostroot_is_view(&b->mounts[i]))
			rc = open_mount(l, i, l->idmap_sources ? userns_fd : -1, e);
	}
	return rc;
}

/* Order on the wire: root, overlay, then the mounts; absent ones are left out on both sides. */
static size_t slots(const struct launch *l, int **slot)
{
	size_t n = 0;

	if (l->root_kind != ROOT_HOST)
		slot[n++] = (int *)(uintptr_t)&l->root_fd;
	if (l->root_kind == ROOT_OVERLAY_DIR)
		slot[n++] = (int *)(uintptr_t)&l->overlay_fd;
	for (size_t i = 0; i < l->bundle->n_mounts; i++)
		if (l->bundle->mounts[i].bind && !hostroot_is_view(&l->bundle->mounts[i]))
			slot[n++] = &l->mount_fds[i];
	return n;
}

static int **make_slots(const struct launch *l, size_t *ret_n)
{
	int **slot = calloc(l->bundle->n_mounts + 2, sizeof *slot);

	if (slot)
		*ret_n = slots(l, slot);
	return slot;
}

/* One message for each source: 'S' with its descriptor, or with none when an optional one is absent. */
int sources_send(const struct launch *l, int sock, struct err *e)
{
	size_t n;
	AUTO_FREE int **slot = make_slots(l, &n);
	int rc = slot ? 0 : err_num(e, ENOMEM, "mounts of the container");

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = sync_pass(sock, SYNC_SOURCES, slot[i], *slot[i] >= 0 ? 1 : 0, "the container ended early", e);
	return rc;
}

int sources_receive(struct launch *l, int sock)
{
	size_t n;
	AUTO_FREE int **slot = make_slots(l, &n);
	int rc = slot ? 0 : -ENOMEM;

	for (size_t i = 0; rc >= 0 && i < n; i++)
		rc = sync_expect(sock, SYNC_SOURCES, slot[i], 1);
	return rc < 0 ? rc : 0;
}
