/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/refusal.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/probe.h"

#define OLDEST_MAJOR 5
#define OLDEST_MINOR 15
#define DOCTOR "vrun doctor says what this host allows"

static const struct {
	enum ns_kind kind;
	uint64_t flag;
} kinds[] = {
	{ NS_USER, CLONE_NEWUSER }, { NS_PID, CLONE_NEWPID }, { NS_MNT, CLONE_NEWNS },
	{ NS_NET, CLONE_NEWNET },   { NS_IPC, CLONE_NEWIPC }, { NS_UTS, CLONE_NEWUTS },
	{ NS_CGROUP, CLONE_NEWCGROUP },
};

/* -1 when there is no such switch. */
static long switch_value(const char *sysroot, const char *name)
{
	AUTO_FREE char *text = NULL;
	char path[256];

	(void)snprintf(path, sizeof path, "%s/proc/sys/%s", sysroot ? sysroot : "", name);
	if (fd_read_file(AT_FDCWD, path, 64, &text, NULL, NULL) < 0)
		return -1;
	return strtol(text, NULL, 10);
}

/* ENOSPC: as many namespaces of a kind as user.max_*_namespaces allows this user, or none at all. */
static int explain_limit(struct err *e, uint64_t flags, const char *sysroot)
{
	char name[64];

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const char *kind = probe_max_ns_name(kinds[i].kind);

		(void)snprintf(name, sizeof name, "user/max_%s_namespaces", kind);
		if ((flags & kinds[i].flag) && switch_value(sysroot, name) == 0)
			return err_hint(e, "user.max_%s_namespaces is 0 on this host; as root: sysctl -w user.max_%s_namespaces=10000",
					kind, kind);
	}
	return err_hint(e, "this user has as many namespaces as user.max_*_namespaces allows; end some sandboxes, or as root raise it: sysctl user | grep _namespaces");
}

int refusal_explain(struct err *e, uint64_t flags, const char *sysroot)
{
	bool users = flags & CLONE_NEWUSER;

	if (e->num == ENOSPC)
		return explain_limit(e, flags, sysroot);
	if (e->num == EUSERS)
		return err_hint(e, "user namespaces lie too deep in each other here: the kernel allows 32 levels");
	if (e->num == EPERM && users && geteuid() != 0 && switch_value(sysroot, "kernel/unprivileged_userns_clone") == 0)
		return err_hint(e, "kernel.unprivileged_userns_clone is 0 on this host; as root: sysctl -w kernel.unprivileged_userns_clone=1");
	if ((e->num == EPERM || e->num == EACCES) && geteuid() != 0 &&
	    switch_value(sysroot, "kernel/apparmor_restrict_unprivileged_userns") == 1)
		return err_hint(e, "kernel.apparmor_restrict_unprivileged_userns is 1 on this host: vrun needs an AppArmor profile that allows userns, which vrun doctor writes down");
	if (e->num == EPERM && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER)
		return err_hint(e, "a system-call filter is in force here, as in a container: it has to allow new namespaces (docker: --security-opt seccomp=unconfined)");
	return err_hint(e, DOCTOR);
}

/* What a call says that a kernel has not, or not in this form; or that a process of ours has ended, of whatever. */
static bool is_lack(int num)
{
	return num == ENOSYS || num == EINVAL || num == EOPNOTSUPP || num == ENOPROTOOPT || num == E2BIG || num == ENOENT ||
	       num == ENODEV || num == EPIPE || num == ESRCH;
}

int refusal_old_kernel(struct err *e, const char *release)
{
	unsigned major, minor;
	struct utsname u;

	if (!release && uname(&u) == 0)
		release = u.release;
	if (!release || !is_lack(e->num) || sscanf(release, "%u.%u", &major, &minor) != 2 || /* NOLINT(cert-err34-c) */
	    major > OLDEST_MAJOR || (major == OLDEST_MAJOR && minor >= OLDEST_MINOR))
		return -e->num;
	return err_hint(e, "this is Linux %s: vrun needs %d.%d or later", release, OLDEST_MAJOR, OLDEST_MINOR);
}
