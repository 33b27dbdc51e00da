/* SPDX-License-Identifier: Apache-2.0 */
#include "run/netfiles.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/mount.h"
#include "kern/path.h"
#include "run/policy_apply.h"

#define ATTRS (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* The resolver's address is the same in every domain: each has a loopback of its own. */
static const char resolv_conf[] = "nameserver 127.0.0.53\noptions timeout:2 attempts:2\n";
static const char localhost[] = "127.0.0.1 localhost\n"
				"::1 localhost ip6-localhost ip6-loopback\n";

static bool is_mounted(const struct bundle *b, const char *path)
{
	for (size_t i = 0; i < b->n_mounts; i++)
		if (strcmp(b->mounts[i].destination, path) == 0)
			return true;
	return false;
}

/* Its own names, when it has chosen its addresses; the resolver knows them in any case. */
static int make_hosts(const struct policy *p, int dir)
{
	AUTO_FD int fd = openat(dir, "hosts", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	char text[ADDR_TEXT_MAX];
	int rc;

	if (fd < 0)
		return -errno;
	rc = fd_write_all(fd, localhost, sizeof localhost - 1);
	for (size_t i = 0; i < p->n_addresses && p->n_names && rc == 0; i++) {
		if (dprintf(fd, "%s", addr_format(&p->addresses[i], text, sizeof text)) < 0)
			rc = -EIO;
		for (size_t k = 0; k < p->n_names && rc == 0; k++)
			if (dprintf(fd, " %s", p->names[k]) < 0)
				rc = -EIO;
		if (rc == 0)
			rc = fd_write_all(fd, "\n", 1);
	}
	return rc;
}

static int make_resolv_conf(const struct policy *p, int dir)
{
	AUTO_FD int fd = openat(dir, "resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	(void)p;
	return fd < 0 ? -errno : fd_write_all(fd, resolv_conf, sizeof resolv_conf - 1);
}

static int clone_file(int dir, const char *name, int *ret_fd, struct err *e)
{
	AUTO_FD int fd = -1;
	int rc = mount_clone(dir, name, false, &fd, e, name);

	if (rc == 0)
		rc = mount_change(fd, ATTRS, 0, MS_PRIVATE, -1, false);
	if (rc == 0)
		*ret_fd = fd_take(&fd);
	return rc;
}

/* A file of a mount that is attached nowhere can be cloned from Linux 6.15 on. */
static int clone_attached(int root, int dir, const char *name, int *ret_fd, struct err *e)
{
	AUTO_FD int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = here < 0 ? -errno : mount_attach(dir, root);

	if (rc < 0)
		return err_num(e, -rc, "attaching the files of the network");
	rc = clone_file(dir, name, ret_fd, e);
	/* It covers the root: nothing goes on with it. */
	if (fchdir(dir) < 0 || umount2(".", MNT_DETACH) < 0 || fchdir(here) < 0)
		return err_sys(e, "detaching the files of the network");
	return rc;
}

static int cover(int root, int dir, const char *name, const char *path, struct err *e)
{
	AUTO_FD int target = -1, fd = -1;
	struct err ignored;
	int rc = path_make_file(root, path, 0644, &target, &ignored);

	if (rc < 0)
		return 0; /* read-only, or not a file: the app asks nobody then */
	rc = clone_file(dir, name, &fd, e);
	if (rc == -EINVAL)
		rc = clone_attached(root, dir, name, &fd, e);
	if (rc == 0)
		rc = mount_attach(fd, target);
	return rc < 0 ? err_num(e, -rc, "mount on %s", path) : 0;
}

/* In a mount of its own: one that was attached once and detached is nobody's any more. */
static int mount_file(const struct launch *l, int root, const char *name, const char *path,
		      int (*make)(const struct policy *p, int dir), struct err *e)
{
	static const char *const data[] = { "mode=0755", "size=1m" };
	AUTO_FD int dir = -1;
	int rc;

	if (is_mounted(l->bundle, path) && (!l->outside || strcmp(path, NETFILES_RESOLV_CONF) != 0))
		return 0;
	rc = mount_new("tmpfs", "vrun", data, 2, 0, &dir, e);
	if (rc < 0)
		return rc;
	rc = make(&l->opt->policy->policy, dir);
	return rc < 0 ? err_num(e, -rc, "%s", path) : cover(root, dir, name, path, e);
}

int netfiles_mount(const struct launch *l, int root, struct err *e)
{
	int rc;

	if (!l->supervised)
		return 0;
	rc = mount_file(l, root, "hosts", "/etc/hosts", make_hosts, e);
	return rc < 0 ? rc : mount_file(l, root, "resolv.conf", NETFILES_RESOLV_CONF, make_resolv_conf, e);
}
