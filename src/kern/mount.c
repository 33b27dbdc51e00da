/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/mount.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"

/* The context's log holds lines "e message"; the last error is the reason. */
static int context_error(int fsfd, int num, const char *type, const char *what, struct err *e)
{
	char line[256], last[256] = "", quoted[256];
	ssize_t n;

	while ((n = read(fsfd, line, sizeof line - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == 'e' && line[1] == ' ')
			memcpy(last, line + 2, strlen(line + 2) + 1);
	}
	if (!last[0])
		return err_num(e, num, "%s filesystem: %s", type, what);
	return err_num(e, num, "%s filesystem: %s: %s", type, what,
		       log_quote(quoted, sizeof quoted, last));
}

static int configure(int fsfd, const char *option)
{
	char key[64];
	const char *eq = strchr(option, '=');

	if (!eq)
		return fsconfig(fsfd, FSCONFIG_SET_FLAG, option, NULL, 0);
	if ((size_t)(eq - option) >= sizeof key) {
		errno = EINVAL;
		return -1;
	}
	memcpy(key, option, (size_t)(eq - option));
	key[eq - option] = '\0';
	return fsconfig(fsfd, FSCONFIG_SET_STRING, key, eq + 1, 0);
}

int mount_new(const char *type, const char *source, const char *const *data, size_t n,
	      uint64_t attrs, int *ret_fd, struct err *e)
{
	AUTO_FD int fsfd = fsopen(type, FSOPEN_CLOEXEC);
	char what[160];
	int fd;

	if (fsfd < 0 && errno == ENODEV) {
		(void)err_sys(e, "%s filesystem", type);
		return err_hint(e, "the kernel does not have it, or not yet: modprobe %s", type);
	}
	if (fsfd < 0)
		return err_sys(e, "%s filesystem", type);
	if (source && fsconfig(fsfd, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return context_error(fsfd, errno, type, "source", e);
	for (size_t i = 0; i < n; i++) {
		if (configure(fsfd, data[i]) == 0)
			continue;
		(void)snprintf(what, sizeof what, "option %.*s", (int)strcspn(data[i], "="), data[i]);
		return context_error(fsfd, errno, type, what, e);
	}
	if (fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return context_error(fsfd, errno, type, "mount", e);
	fd = fsmount(fsfd, FSMOUNT_CLOEXEC, (unsigned)attrs);
	if (fd < 0)
		return context_error(fsfd, errno, type, "mount", e);
	*ret_fd = fd;
	return 0;
}

int mount_clone(int dirfd, const char *path, bool recursive, int *ret_fd, struct err *e,
		const char *name)
{
	int fd = open_tree(dirfd, path,
			   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
				   (recursive ? (unsigned)AT_RECURSIVE : 0));

	if (fd < 0)
		return err_sys(e, "%s", name);
	*ret_fd = fd;
	return 0;
}

int mount_change(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int userns_fd,
		 bool recursive)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

	if (set & MOUNT_ATTR_IDMAP)
		attr.userns_fd = (uint64_t)(unsigned)userns_fd;
	/* The access-time mode is a field of three values: changing it means clearing all of it. */
	if ((set | clear) & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? (unsigned)AT_RECURSIVE : 0), &attr,
			  sizeof attr) < 0)
		return -errno;
	return 0;
}

int mount_attach(int fd, int target)
{
	if (move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}
