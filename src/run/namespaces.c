/* SPDX-License-Identifier: Apache-2.0 */
#include "run/namespaces.h"

#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "run/sync.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const int kind_flag[] = {
	[NS_USER] = CLONE_NEWUSER, [NS_PID] = CLONE_NEWPID,	  [NS_NET] = CLONE_NEWNET,
	[NS_IPC] = CLONE_NEWIPC,   [NS_UTS] = CLONE_NEWUTS,	  [NS_CGROUP] = CLONE_NEWCGROUP,
	[NS_TIME] = CLONE_NEWTIME, [NS_MNT] = CLONE_NEWNS,
};
_Static_assert(sizeof kind_flag / sizeof *kind_flag == NS_KINDS, "a flag for each kind");

static bool is_new(const struct bundle *b, enum ns_kind kind)
{
	return b->ns[kind].listed && !b->ns[kind].path;
}

uint64_t namespaces_clone_flags(const struct launch *l)
{
	const struct bundle *b = l->bundle;
	uint64_t flags = 0;

	if (l->map_writer != MAP_NONE)
		flags |= CLONE_NEWUSER;
	/* The network namespace takes longer than all the others together: the keeper makes it, while
	 * the container builds its root. The cgroup namespace is made inside the cgroup, the time namespace with
	 * its offsets. */
	if (is_new(b, NS_PID))
		flags |= CLONE_NEWPID;
	if (is_new(b, NS_IPC))
		flags |= CLONE_NEWIPC;
	if (is_new(b, NS_UTS))
		flags |= CLONE_NEWUTS;
	if (is_new(b, NS_MNT))
		flags |= CLONE_NEWNS;
	if (is_new(b, NS_CGROUP) && !l->cgroup)
		flags |= CLONE_NEWCGROUP;
	return flags;
}

/* A bundle names it and gets past every policy: only a new one, or one that somebody has made for it. */
static int refuse_hosts_network(int fd, const char *path, struct err *e)
{
	static const char *const hosts[] = { "/proc/self/ns/net", "/proc/1/ns/net" };
	struct stat ns, host;

	if (fstat(fd, &ns) < 0)
		return err_sys(e, "network namespace %s", path);
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		if (stat(hosts[i], &host) < 0 || host.st_dev != ns.st_dev || host.st_ino != ns.st_ino)
			continue;
		(void)err_set(e, EPERM, "network namespace %s: it is the %s", path, i ? "host's" : "caller's own");
		return err_hint(e, "leave \"path\" out of linux.namespaces, and say in a policy what is to be reached");
	}
	return 0;
}

int namespaces_open_one(enum ns_kind kind, const char *path, int *ret_fd, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, "%s namespace %s", bundle_ns_name(kind), path);
	if (ioctl(fd, NS_GET_NSTYPE) != kind_flag[kind])
		return err_set(e, EINVAL, "%s is not a %s namespace", path, bundle_ns_name(kind));
	*ret_fd = fd_take(&fd);
	return 0;
}

int namespaces_open(const struct bundle *b, int ret_fds[static NS_KINDS], struct err *e)
{
	for (int k = 0; k < NS_KINDS; k++)
		ret_fds[k] = -1;
	for (int k = 0; k < NS_KINDS; k++) {
		const char *path = b->ns[k].path;
		int rc = path ? namespaces_open_one((enum ns_kind)k, path, &ret_fds[k], e) : 0;

		if (rc < 0)
			return rc;
		if (!path)
			continue;
		if (k == NS_NET && refuse_hosts_network(ret_fds[k], path, e) < 0)
			return -e->num;
	}
	return 0;
}

static int enter_time(const struct bundle *b, struct err *e)
{
	char text[128];
	AUTO_FD int fd = -1;
	int rc;

	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(e, "time namespace");
	if (b->has_time_monotonic || b->has_time_boottime) {
		(void)snprintf(text, sizeof text, "monotonic %lld %u\nboottime %lld %u\n",
			       (long long)b->time_monotonic_secs, b->time_monotonic_nsecs,
			       (long long)b->time_boottime_secs, b->time_boottime_nsecs);
		rc = fd_write_file(AT_FDCWD, "/proc/self/timens_offsets", text);
		if (rc < 0)
			return err_num(e, -rc, "linux.timeOffsets");
	}
	/* unshare moves only children; this moves the caller too, and seals the offsets. */
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return err_sys(e, "time namespace");
	return 0;
}

int namespaces_join(const struct bundle *b, const int fds[static NS_KINDS], struct err *e)
{
	for (int k = 0; k < NS_KINDS; k++) {
		if (fds[k] < 0 || setns(fds[k], kind_flag[k]) == 0)
			continue;
		return err_sys(e, "joining the %s namespace %s", bundle_ns_name((enum ns_kind)k), b->ns[k].path);
	}
	return 0;
}

int namespaces_enter_cgroup(const struct launch *l, struct err *e)
{
	const struct bundle *b = l->bundle;

	if (is_new(b, NS_CGROUP) && !(l->clone_flags & CLONE_NEWCGROUP) &&
	    unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(e, "cgroup namespace");
	if (is_new(b, NS_TIME))
		return enter_time(b, e);
	return 0;
}

int namespaces_join_network(struct launch *l, struct err *e)
{
	AUTO_FD int sock = fd_take(&l->network_sock), fd = -1;

	if (sock < 0)
		return 0;
	if (sync_expect(sock, SYNC_NETWORK, &fd, 1) != 1)
		return err_set(e, EPIPE, "the keeper is gone");
	return setns(fd, CLONE_NEWNET) < 0 ? err_sys(e, "joining the network namespace") : 0;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* kernel/sysctl of namespaces: ipc/ipc_sysctl.c, ipc/mq_sysctl.c, net/ */
static const char *sysctl_namespace(const char *key, enum ns_kind *ret)
{
	static const char *const ipc[] = { "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
					   "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
					   "kernel/shm_rmid_forced" };

	for (size_t i = 0; i < sizeof ipc / sizeof *ipc; i++) {
		if (strcmp(key, ipc[i]) == 0) {
			*ret = NS_IPC;
			return "ipc";
		}
	}
	*ret = starts_with(key, "fs/mqueue/") ? NS_IPC : NS_NET;
	if (starts_with(key, "fs/mqueue/"))
		return "ipc";
	return starts_with(key, "net/") ? "network" : NULL;
}

int namespaces_check_sysctl(const struct bundle *b, struct err *e)
{
	for (size_t i = 0; i < b->n_sysctl; i++) {
		const char *key = b->sysctl[i].key;
		enum ns_kind kind;
		const char *name = sysctl_namespace(key, &kind);
		char quoted[128];

		(void)log_quote(quoted, sizeof quoted, key);
		if (!name || strstr(key, ".."))
			return err_set(e, EINVAL, "sysctl %s does not belong to a namespace: it would change the host",
				       quoted);
		if (!is_new(b, kind))
			return err_set(e, EINVAL, "sysctl %s needs a new %s namespace", quoted, name);
	}
	return 0;
}

static int set_sysctls(const struct bundle *b, struct err *e)
{
	for (size_t i = 0; i < b->n_sysctl; i++) {
		char path[256];
		size_t n = (size_t)snprintf(path, sizeof path, "/proc/sys/%s", b->sysctl[i].key);
		int rc;

		if (n >= sizeof path)
			return err_num(e, ENAMETOOLONG, "sysctl %s", b->sysctl[i].key);
		rc = fd_write_file(AT_FDCWD, path, b->sysctl[i].value);
		if (rc < 0)
			return err_num(e, -rc, "sysctl %s", b->sysctl[i].key);
	}
	return 0;
}

int namespaces_set_up(struct launch *l, struct err *e)
{
	const struct bundle *b = l->bundle;
	int rc;

	if (b->hostname && sethostname(b->hostname, strlen(b->hostname)) < 0)
		return err_sys(e, "hostname %s", b->hostname);
	if (b->domainname && setdomainname(b->domainname, strlen(b->domainname)) < 0)
		return err_sys(e, "domainname %s", b->domainname);
	if (b->n_sysctl == 0)
		return 0;
	rc = namespaces_join_network(l, e);
	return rc < 0 ? rc : set_sysctls(b, e);
}
