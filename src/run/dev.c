/* SPDX-License-Identifier: Apache-2.0 */
#include "run/dev.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/mount.h"
#include "kern/path.h"

/* A node of the host's, shown inside: device nodes cannot be made in a user namespace. */
static int show_node(int root, const char *path, struct err *e)
{
	AUTO_FD int fd = -1, target = -1;
	int rc = mount_clone(AT_FDCWD, path, false, &fd, e, path);

	if (rc == 0)
		rc = path_make_file(root, path, 0666, &target, e);
	if (rc == 0)
		rc = mount_attach(fd, target);
	return rc < 0 && e->num == 0 ? err_num(e, -rc, "device %s", path) : rc;
}

/* The same in a /dev that has just been mounted, where there is nothing to find: with half the calls. False
 * when there is something. */
static bool show_in_new(int dev, const char *path)
{
	AUTO_FD int fd = -1, target = openat(dev, path + strlen("/dev/"),
					     O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDONLY, 0666);
	struct err ignored;

	return target >= 0 && mount_clone(AT_FDCWD, path, false, &fd, &ignored, path) == 0 &&
	       mount_attach(fd, target) == 0;
}

static int default_nodes(int root, int dev, struct err *e)
{
	static const char *const nodes[] = { "/dev/null", "/dev/zero",	  "/dev/full",
					     "/dev/random", "/dev/urandom", "/dev/tty" };

	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		int rc = show_in_new(dev, nodes[i]) ? 0 : show_node(root, nodes[i], e);

		if (rc < 0)
			return err_wrap(e, "device %s", nodes[i]);
	}
	return 0;
}

static int links(int dev, struct err *e)
{
	static const char *const list[][2] = {
		{ "/proc/self/fd", "fd" },	    { "/proc/self/fd/0", "stdin" },
		{ "/proc/self/fd/1", "stdout" }, { "/proc/self/fd/2", "stderr" },
		{ "pts/ptmx", "ptmx" },
	};

	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (symlinkat(list[i][0], dev, list[i][1]) < 0 && errno != EEXIST)
			return err_sys(e, "/dev/%s", list[i][1]);
	return 0;
}

static bool host_has_same(const struct bundle_device *d)
{
	mode_t type = d->type == 'c' ? S_IFCHR : d->type == 'b' ? S_IFBLK : S_IFIFO;
	struct stat st;

	return d->type != 'p' && stat(d->path, &st) == 0 && (st.st_mode & S_IFMT) == type &&
	       major(st.st_rdev) == d->major && minor(st.st_rdev) == d->minor;
}

static int make_node(int root, const struct bundle_device *d, struct err *e)
{
	AUTO_FREE char *copy = strdup(d->path);
	AUTO_FD int dir = -1, node = -1;
	struct stat st;
	bool made;
	char *slash = copy ? strrchr(copy, '/') : NULL;
	mode_t type = d->type == 'c' ? S_IFCHR : d->type == 'b' ? S_IFBLK : S_IFIFO;
	int rc;

	if (!slash)
		return err_num(e, copy ? EINVAL : ENOMEM, "device %s", d->path);
	*slash = '\0';
	rc = path_make_dir(root, *copy ? copy : "/", 0755, &dir, e);
	if (rc < 0)
		return rc;
	/* Under an umask of 0, so the mode is right; chmod(2) by name would follow a link put there since. */
	made = mknodat(dir, slash + 1, type | d->mode, makedev(d->major, d->minor)) == 0;
	if (!made && errno != EEXIST)
		return err_sys(e, "device %s", d->path);
	node = openat(dir, slash + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (node < 0 || fstat(node, &st) < 0)
		return err_sys(e, "device %s", d->path);
	if ((st.st_mode & S_IFMT) != type || (d->type != 'p' && st.st_rdev != makedev(d->major, d->minor)))
		return err_set(e, EEXIST, "device %s: the root filesystem has something else there", d->path);
	if (made && fchownat(node, "", d->uid, d->gid, AT_EMPTY_PATH) < 0)
		return err_sys(e, "device %s", d->path);
	return 0;
}

static int bundle_devices(const struct launch *l, int root, struct err *e)
{
	const struct bundle *b = l->bundle;

	for (size_t i = 0; i < b->n_devices; i++) {
		const struct bundle_device *d = &b->devices[i];
		bool pipe = d->type == 'p';
		int rc;

		/* The container's own is a link by now; engines list the host's. */
		if (strcmp(d->path, "/dev/ptmx") == 0)
			continue;
		if (!l->own_users || pipe) {
			rc = make_node(root, d, e);
		} else if (host_has_same(d)) {
			rc = show_node(root, d->path, e);
		} else {
			(void)err_set(e, EPERM, "device %s (%c %u:%u) cannot be made in a user namespace",
				      d->path, d->type, d->major, d->minor);
			rc = err_hint(e, "only a node that the host has at the same path can be shown");
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool dev_is_bound(const struct bundle *b)
{
	for (size_t i = 0; i < b->n_mounts; i++)
		if (b->mounts[i].bind && strcmp(b->mounts[i].destination, "/dev") == 0)
			return true;
	return false;
}

/* The terminal comes from the container's own devpts, so that its name means something inside. */
static int open_terminal(const struct bundle *b, int root, int *ret_terminal, int *ret_tty,
			 struct err *e)
{
	AUTO_FD int at = path_open(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY), tty = -1, console = -1,
		    tree = -1;
	struct winsize size = { .ws_row = b->process.rows, .ws_col = b->process.columns };
	int unlock = 0, rc;
	char path[PATH_FD_SIZE];

	if (at < 0) {
		(void)err_num(e, -at, "terminal: /dev/pts/ptmx in the root filesystem");
		return err_hint(e, "process.terminal needs a devpts mount on /dev/pts");
	}
	if (ioctl(at, TIOCSPTLCK, &unlock) < 0)
		return err_sys(e, "terminal");
	tty = ioctl(at, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return err_sys(e, "terminal");
	if (size.ws_row && size.ws_col && ioctl(at, TIOCSWINSZ, &size) < 0)
		return err_sys(e, "terminal size");
	rc = mount_clone(AT_FDCWD, path_of_fd(tty, path), false, &tree, e, "terminal");
	if (rc == 0)
		rc = path_make_file(root, "/dev/console", 0620, &console, e);
	if (rc == 0)
		rc = mount_attach(tree, console);
	if (rc < 0)
		return err_set(e, -rc, "terminal: /dev/console: %s", err_text(-rc));
	*ret_terminal = fd_take(&at);
	*ret_tty = fd_take(&tty);
	return 0;
}

int dev_populate(struct launch *l, int root, int *ret_terminal, int *ret_tty, struct err *e)
{
	const struct bundle *b = l->bundle;
	AUTO_FD int dev = -1;
	mode_t old = umask(0);
	int rc = 0;

	if (!dev_is_bound(b)) {
		rc = path_make_dir(root, "/dev", 0755, &dev, e);
		if (rc == 0)
			rc = default_nodes(root, dev, e);
		if (rc == 0)
			rc = links(dev, e);
		if (rc == 0)
			rc = bundle_devices(l, root, e);
	}
	if (rc == 0 && b->process.terminal)
		rc = open_terminal(b, root, ret_terminal, ret_tty, e);
	(void)umask(old);
	return rc;
}
