/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces and mounts, tried the way a launch makes them: a child in a user
 * namespace, whose ids its parent maps, makes the other kinds and mounts in
 * them, while the parent tries what a supervisor needs of it.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/ids.h"
#include "kern/mount.h"
#include "kern/netlink.h"
#include "kern/probe.h"

#define SECONDS 4
#define ROOT_RANGE_FIRST 0x40000000U /* ids that no distribution hands out */
#define ROOT_RANGE_SIZE 65536U
#define SECRET 0x76727570U

static volatile unsigned secret = SECRET;

static int result_of(int rc)
{
	return rc < 0 ? errno : 0;
}

/* --- in the child --- */

static void make_kinds(struct probe_user *u)
{
	static const struct {
		enum ns_kind kind;
		int flag;
	} kinds[] = {
		{ NS_MNT, CLONE_NEWNS },	{ NS_NET, CLONE_NEWNET },
		{ NS_IPC, CLONE_NEWIPC },	{ NS_UTS, CLONE_NEWUTS },
		{ NS_CGROUP, CLONE_NEWCGROUP }, { NS_TIME, CLONE_NEWTIME },
		{ NS_PID, CLONE_NEWPID },
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		u->ns[kinds[i].kind] = result_of(unshare(kinds[i].flag));
}

/* A tmpfs over /tmp, then an overlay whose layers lie in it. All of it in our own mount namespace. */
static void make_mounts(struct probe_user *u)
{
	static const char *const layers[] = { "lowerdir=/tmp/l", "upperdir=/tmp/u", "workdir=/tmp/w",
					      "userxattr" };
	AUTO_FD int tmpfs = -1, target = -1, overlay = -1;
	int rc;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		u->mount_tmpfs = errno;
		return;
	}
	rc = mount_new("tmpfs", "vrun-doctor", NULL, 0, MOUNT_ATTR_NODEV, &tmpfs, NULL);
	target = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rc == 0 && target < 0)
		rc = -errno;
	if (rc == 0)
		rc = mount_attach(tmpfs, target);
	u->mount_tmpfs = -rc;
	if (rc < 0)
		return;
	if (mkdirat(tmpfs, "l", 0755) < 0 || mkdirat(tmpfs, "u", 0755) < 0 ||
	    mkdirat(tmpfs, "w", 0755) < 0) {
		u->mount_overlay = errno;
		return;
	}
	u->mount_overlay = -mount_new("overlay", "vrun-doctor", layers,
				      sizeof layers / sizeof *layers, 0, &overlay, NULL);
}

/* proc shows the pid namespace of who mounts it, so a process of the new one does. */
static void make_proc(struct probe_user *u)
{
	pid_t pid = fork();

	if (pid == 0) {
		AUTO_FD int fd = -1;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)alarm(SECONDS);
		u->mount_proc = -mount_new("proc", "proc", NULL, 0, 0, &fd, NULL);
		_exit(0);
	}
	if (pid < 0)
		u->mount_proc = errno;
	else
		(void)waitpid(pid, NULL, 0);
}

/* Both ends in our own new network namespace: it goes with us. */
static void make_veth(struct probe_user *u)
{
	const struct netlink_veth here = { "vrun0", 100, { 2, 'v', 'r', 'n', 0, 1 } };
	struct netlink_veth there = { "vrun1", 101, { 2, 'v', 'r', 'n', 0, 2 } };
	AUTO_FD int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	u->veth = ns < 0 ? errno : -netlink_veth_make(&here, &there, ns, NULL);
}

__attribute__((noreturn)) static void inside(struct probe_user *u, int sock)
{
	char b = 'U';

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)alarm(SECONDS);
	u->user_ns = result_of(unshare(CLONE_NEWUSER));
	if (write(sock, &b, 1) != 1 || read(sock, &b, 1) != 1 || u->user_ns || u->map)
		_exit(0);
	/* Root's own id is not in the range that it mapped: without one of these no file can be made. */
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
		u->map = errno;
		_exit(0);
	}
	make_kinds(u);
	if (u->ns[NS_NET] == 0)
		make_veth(u);
	if (u->ns[NS_MNT] == 0)
		make_mounts(u);
	if (u->ns[NS_PID] == 0 && u->ns[NS_MNT] == 0)
		make_proc(u);
	_exit(0);
}

/* --- in its parent --- */

static int map_ids(const struct probe_user *u, pid_t pid)
{
	bool root = u->uid == 0;
	uint32_t size = root ? ROOT_RANGE_SIZE : 1;
	struct idmap_entry uid = { 0, root ? ROOT_RANGE_FIRST : u->uid, size };
	struct idmap_entry gid = { 0, root ? ROOT_RANGE_FIRST : u->gid, size };
	struct idmap uids = { &uid, 1 }, gids = { &gid, 1 };
	AUTO_FD int proc = -1;
	char path[32];

	(void)snprintf(path, sizeof path, "/proc/%d", pid);
	proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return errno;
	return -ids_write_maps(proc, &uids, &gids, u->uid != 0, NULL);
}

/* What a supervisor does with a process of a namespace below its own. */
static void supervise(struct probe_user *u, pid_t pid, int sock)
{
	AUTO_FD int pidfd = sys_pidfd_open(pid, 0);
	unsigned copy = 0;
	struct iovec here = { .iov_base = &copy, .iov_len = sizeof copy };
	struct iovec there = { .iov_base = (void *)(uintptr_t)&secret, .iov_len = sizeof copy };

	if (pidfd < 0) {
		u->steal_fd = errno;
	} else {
		AUTO_FD int got = (int)syscall(__NR_pidfd_getfd, pidfd, sock, 0);

		u->steal_fd = got < 0 ? errno : 0;
	}
	if (process_vm_readv(pid, &here, 1, &there, 1, 0) < 0)
		u->read_memory = errno;
	else
		u->read_memory = copy == SECRET ? 0 : EIO;
}

static void outside(struct probe_user *u, pid_t pid, int sock, int child_sock)
{
	char path[48], b = 'M';

	if (read(sock, &b, 1) != 1 || u->user_ns)
		return;
	u->map = map_ids(u, pid);
	if (u->map == 0)
		supervise(u, pid, child_sock);
	if (u->map == 0 && u->uid == 0) {
		AUTO_FD int userns = -1;

		(void)snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
		userns = open(path, O_RDONLY | O_CLOEXEC);
		if (userns >= 0)
			probe_idmaps(u, userns);
	}
	(void)!write(sock, &b, 1);
}

void probe_namespaces(struct probe_user *u)
{
	int sp[2], status = 0, child_sock;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sp) < 0) {
		u->user_ns = errno;
		return;
	}
	pid = fork();
	if (pid == 0) {
		(void)close(sp[0]);
		inside(u, sp[1]);
	}
	child_sock = sp[1];
	fd_close(&sp[1]);
	if (pid < 0)
		u->user_ns = errno;
	else
		outside(u, pid, sp[0], child_sock);
	fd_close(&sp[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	    u->user_ns == PROBE_UNTRIED)
		u->user_ns = PROBE_KILLED(WTERMSIG(status));
}
