/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/lsm.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"

#ifndef SELINUX_MAGIC
#define SELINUX_MAGIC 0xf97cff8c
#endif

const char *lsm_name(enum lsm which)
{
	return which == LSM_APPARMOR ? "AppArmor" : "SELinux";
}

bool lsm_is_enabled(enum lsm which)
{
	AUTO_FD int fd = -1;
	struct statfs fs;
	char c = 'N';

	if (which == LSM_SELINUX)
		return statfs("/sys/fs/selinux", &fs) == 0 && (unsigned long)fs.f_type == SELINUX_MAGIC;
	fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &c, 1) == 1 && c == 'Y';
}

static int open_attribute(int proc_fd, enum lsm which)
{
	/* Since Linux 5.8 AppArmor has a directory of its own; the other name is that of whatever module is first. */
	static const char *const names[] = { "self/attr/apparmor/exec", "self/attr/exec" };
	struct statfs fs;
	int fd = -1;

	if (fstatfs(proc_fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return -EINVAL;
	for (size_t i = which == LSM_APPARMOR ? 0 : 1; fd < 0 && i < sizeof names / sizeof *names; i++)
		fd = sys_openat2(proc_fd, names[i], O_WRONLY | O_CLOEXEC, 0,
				 RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
	return fd < 0 ? -errno : fd;
}

int lsm_set_exec(int proc_fd, enum lsm which, const char *name, struct err *e)
{
	AUTO_FD int fd = open_attribute(proc_fd, which);
	AUTO_FREE char *text = NULL;
	char quoted[256];
	size_t len;
	int rc;

	if (fd < 0)
		return err_num(e, -fd, "/proc/self/attr, for %s", lsm_name(which));
	if (asprintf(&text, "%s%s", which == LSM_APPARMOR ? "exec " : "", name) < 0)
		return err_num(e, ENOMEM, "%s", lsm_name(which));
	/* In one write: each is a request of its own. */
	len = strlen(text);
	if (write(fd, text, len) == (ssize_t)len)
		return 0;
	rc = err_sys(e, "%s %s", which == LSM_APPARMOR ? "AppArmor profile" : "SELinux label",
		     log_quote(quoted, sizeof quoted, name));
	if (which == LSM_APPARMOR && rc == -ENOENT)
		return err_hint(e, "load it: apparmor_parser -r FILE");
	return which == LSM_SELINUX && rc == -EINVAL ? err_hint(e, "the loaded policy has no such context") : rc;
}
