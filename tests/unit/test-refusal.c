/* SPDX-License-Identifier: Apache-2.0 */
/* The hint of a refused clone: each switch of a host by its name, read from a made-up /proc/sys. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/refusal.h"

#include "rmtree.h"
#include "tap.h"

#define ALL (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET)

static char root[] = "/tmp/vrun-refusal-XXXXXX";

static void put(const char *name, const char *value)
{
	static const char *const dirs[] = { "/proc", "/proc/sys", "/proc/sys/user", "/proc/sys/kernel" };
	char path[256];

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		(void)snprintf(path, sizeof path, "%s%s", root, dirs[i]);
		(void)mkdir(path, 0755);
	}
	(void)snprintf(path, sizeof path, "%s/proc/sys/%s", root, name);
	if (!value) {
		(void)unlink(path);
		return;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		abort();
	(void)close(fd);
}

static const char *hint(int num, uint64_t flags)
{
	static struct err e;

	(void)err_num(&e, num, "new namespaces");
	TAP_INT(refusal_explain(&e, flags, root), -num, "the number stays %d", num);
	TAP_HAS(e.text, "new namespaces: ", "and the text");
	return e.hint;
}

static const char *old(int num, const char *release)
{
	static struct err e;

	(void)err_num(&e, num, "mount_setattr");
	TAP_INT(refusal_old_kernel(&e, release), -num, "the number stays %d", num);
	return e.hint;
}

int main(void)
{
	/* In somebody's container that is the next suspect. */
	const char *unknown = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2 ? "system-call filter" : "vrun doctor";

	if (!mkdtemp(root))
		return 1;
	/* The switches of users bind no root. */
	if (geteuid() == 0 && (setegid(65534) < 0 || chown(root, 65534, 65534) < 0 || seteuid(65534) < 0))
		return 1;
	TAP_HAS(hint(EPERM, ALL), unknown, "without a switch another cause is named");
	put("kernel/unprivileged_userns_clone", "1\n");
	put("kernel/apparmor_restrict_unprivileged_userns", "0\n");
	TAP_HAS(hint(EPERM, ALL), unknown, "and with those that allow it");
	put("kernel/unprivileged_userns_clone", "0\n");
	TAP_HAS(hint(EPERM, ALL), "sysctl -w kernel.unprivileged_userns_clone=1", "Debian's switch");
	TAP_HAS(hint(EPERM, CLONE_NEWNET), unknown, "which is for user namespaces only");
	put("kernel/unprivileged_userns_clone", NULL);
	put("kernel/apparmor_restrict_unprivileged_userns", "1\n");
	TAP_HAS(hint(EPERM, ALL), "kernel.apparmor_restrict_unprivileged_userns is 1", "Ubuntu's switch");
	TAP_HAS(hint(EACCES, CLONE_NEWNET), "AppArmor profile", "which binds what comes after it too");
	put("user/max_user_namespaces", "0\n");
	TAP_HAS(hint(ENOSPC, ALL), "sysctl -w user.max_user_namespaces=", "no user namespaces at all");
	TAP_HAS(hint(ENOSPC, CLONE_NEWNET), "as many namespaces as", "another kind has another limit");
	put("user/max_user_namespaces", "5\n");
	put("user/max_net_namespaces", "0\n");
	TAP_HAS(hint(ENOSPC, ALL), "user.max_net_namespaces is 0", "the one of several that is shut");
	TAP_HAS(hint(EUSERS, ALL), "32 levels", "too deep");
	TAP_INT(rmtree(root), 0, "nothing is left");
	/* A sanitizer looks at this process when it ends, which the change of user has shut. */
	if (getuid() == 0 && (seteuid(0) < 0 || setegid(0) < 0))
		return 1;
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	TAP_STR(old(ENOSYS, "5.10.0-32-cloud-amd64"), "this is Linux 5.10.0-32-cloud-amd64: vrun needs 5.15 or later",
		"a kernel that is too old");
	TAP_STR(old(EINVAL, "4.18.0"), "this is Linux 4.18.0: vrun needs 5.15 or later", "an older one");
	TAP_STR(old(ENODEV, "5.10.0"), "this is Linux 5.10.0: vrun needs 5.15 or later", "a file system that is not there");
	TAP_STR(old(EPIPE, "5.10.0"), "this is Linux 5.10.0: vrun needs 5.15 or later", "a process that ended without a word");
	TAP_STR(old(EPERM, "5.10.0"), "", "what a kernel that has it may say, too");
	TAP_STR(old(ENOSYS, "5.15.0"), "", "one that is new enough");
	TAP_STR(old(ENOSYS, "6.1.0"), "", "a newer one");
	TAP_STR(old(ENOSYS, "odd"), "", "one without numbers");
	return tap_done();
}
