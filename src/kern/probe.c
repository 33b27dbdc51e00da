/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/probe.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/num.h"
#include "kern/landlock.h"

#define TRY_SECONDS 1   /* one try */
#define USER_SECONDS 10 /* all tries for one user */

struct shared {
	int result;
	_Alignas(max_align_t) unsigned char arg[];
};

__attribute__((noreturn)) static void child(int (*fn)(void *), struct shared *s, unsigned seconds)
{
	struct rlimit none = { 0 };
	sigset_t all;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGALRM, SIG_DFL);
	(void)sigemptyset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)alarm(seconds);
	s->result = fn(s->arg);
	_exit(0);
}

/*
 * The child's own alarm ends it in time, unless it is stopped. Where there are
 * pidfds the parent looks at the clock, too. False: it had to be killed.
 */
static bool await_end(pid_t pid, unsigned seconds)
{
	AUTO_FD int fd = sys_pidfd_open(pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || poll(&p, 1, (int)(seconds + 1) * 1000) != 0)
		return true;
	(void)kill(pid, SIGKILL);
	return false;
}

static int run_for(unsigned seconds, int (*fn)(void *), void *arg, size_t size)
{
	size_t total = sizeof(struct shared) + size;
	struct shared *s = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				0);
	int status = 0, result;
	pid_t pid, got;
	bool late;

	if (s == MAP_FAILED)
		return errno;
	s->result = PROBE_UNTRIED;
	if (size)
		memcpy(s->arg, arg, size);
	pid = fork();
	if (pid == 0)
		child(fn, s, seconds);
	if (pid < 0) {
		result = errno;
		(void)munmap(s, total);
		return result;
	}
	late = !await_end(pid, seconds);
	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	result = s->result;
	if (got == pid && WIFSIGNALED(status))
		result = late || WTERMSIG(status) == SIGALRM ? PROBE_TIMEOUT :
							       PROBE_KILLED(WTERMSIG(status));
	/* Also after a death: what was tried before it is known. */
	if (size)
		memcpy(arg, s->arg, size);
	(void)munmap(s, total);
	return result;
}

int probe_run(int (*fn)(void *arg), void *arg, size_t size)
{
	return run_for(TRY_SECONDS, fn, arg, size);
}

/* --- the host --- */

static char *read_line(const char *sysroot, const char *path)
{
	char full[4096], *text = NULL;

	(void)snprintf(full, sizeof full, "%s%s", sysroot ? sysroot : "", path);
	if (fd_read_file(AT_FDCWD, full, 65536, &text, NULL, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* The first number of a file; booleans of SELinux have two. */
static int64_t read_switch(const char *sysroot, const char *path)
{
	AUTO_FREE char *text = read_line(sysroot, path);
	int64_t v;

	if (!text)
		return PROBE_ABSENT;
	text[strcspn(text, " \t")] = '\0';
	return num_parse_i64(text, INT64_MIN + 1, INT64_MAX, &v) == 0 ? v : PROBE_ABSENT;
}

const char *probe_max_ns_name(enum ns_kind kind)
{
	static const char *const names[NS_KINDS] = {
		[NS_USER] = "user", [NS_PID] = "pid", [NS_NET] = "net", [NS_IPC] = "ipc",
		[NS_UTS] = "uts",   [NS_CGROUP] = "cgroup", [NS_TIME] = "time", [NS_MNT] = "mnt",
	};

	return names[kind];
}

static int try_openat2(void *arg)
{
	(void)arg;
	return sys_openat2(AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS) < 0 ? errno : 0;
}

static int try_close_range(void *arg)
{
	(void)arg;
	return sys_close_range(~0U - 1, ~0U, 0) < 0 ? errno : 0;
}

/* Without rights the calls refuse with EPERM before they look at their arguments; ENOSYS is the news. */
static int try_mount_api(void *arg)
{
	static const long numbers[] = { __NR_fsopen, __NR_fsmount, __NR_open_tree, __NR_move_mount,
					__NR_mount_setattr };

	(void)arg;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (syscall(numbers[i], -1, NULL, ~0U, NULL, 0) < 0 && errno == ENOSYS)
			return ENOSYS;
	return 0;
}

static int try_pidfd_thread(void *arg)
{
	(void)arg;
	return sys_pidfd_open(getpid(), PIDFD_THREAD) < 0 ? errno : 0;
}

static int try_passrights(void *arg)
{
	int off = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)arg;
	return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) < 0 ? errno : 0;
}

static int try_landlock(void *arg)
{
	*(int *)arg = landlock_abi();
	return 0;
}

static void kernel_version(struct probe_host *h)
{
	struct utsname u;

	if (uname(&u) < 0)
		return;
	(void)snprintf(h->release, sizeof h->release, "%s", u.release);
	if (sscanf(u.release, "%u.%u", &h->major, &h->minor) != 2) /* NOLINT(cert-err34-c) */
		h->major = h->minor = 0;
}

int probe_host(struct probe_host *ret, const char *sysroot, struct err *e)
{
	struct probe_host h = { 0 };
	AUTO_FREE char *pattern = read_line(sysroot, "/proc/sys/kernel/core_pattern");
	AUTO_FREE char *comm = read_line(sysroot, "/proc/1/comm");
	char path[128];

	kernel_version(&h);
	h.filtered = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
	if (!*h.release)
		return err_set(e, EIO, "the kernel does not say its version");
	h.userns_clone = read_switch(sysroot, "/proc/sys/kernel/unprivileged_userns_clone");
	h.apparmor_userns =
		read_switch(sysroot, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
	for (int k = 0; k < NS_KINDS; k++) {
		(void)snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces",
			       probe_max_ns_name((enum ns_kind)k));
		h.max_ns[k] = read_switch(sysroot, path);
	}
	h.yama_ptrace = read_switch(sysroot, "/proc/sys/kernel/yama/ptrace_scope");
	h.legacy_tiocsti = read_switch(sysroot, "/proc/sys/dev/tty/legacy_tiocsti");
	h.io_uring_disabled = read_switch(sysroot, "/proc/sys/kernel/io_uring_disabled");
	h.selinux_enforcing = read_switch(sysroot, "/sys/fs/selinux/enforce");
	h.selinux_deny_ptrace = read_switch(sysroot, "/sys/fs/selinux/booleans/deny_ptrace");
	(void)snprintf(h.core_pattern, sizeof h.core_pattern, "%s", pattern ? pattern : "");
	h.systemd = comm && strcmp(comm, "systemd") == 0;
	h.openat2 = probe_run(try_openat2, NULL, 0);
	h.close_range = probe_run(try_close_range, NULL, 0);
	h.mount_api = probe_run(try_mount_api, NULL, 0);
	h.pidfd_thread = probe_run(try_pidfd_thread, NULL, 0);
	h.passrights = probe_run(try_passrights, NULL, 0);
	if (probe_run(try_landlock, &h.landlock_abi, sizeof h.landlock_abi) != 0)
		h.landlock_abi = 0;
	*ret = h;
	return 0;
}

/* --- one user --- */

/* A listener's ioctl for a call that nobody made: ENOENT says that its flags are known. */
static int try_addfd(void *arg)
{
	struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
	struct sock_fprog prog = { .len = 1, .filter = &allow };
	struct seccomp_notif_addfd add = { .id = ~0ULL, .flags = *(unsigned *)arg, .srcfd = 0 };
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errno;
	fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			  &prog);
	if (fd < 0)
		return errno;
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno != ENOENT)
		return errno;
	return 0;
}

static int become(const struct probe_user *u)
{
	if (u->uid == geteuid() && u->uid == getuid())
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0)
		return errno;
	/* The caller's places are not this user's. A change of ids makes /proc/self root's; undone. */
	(void)unsetenv("XDG_RUNTIME_DIR");
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? errno : 0;
}

static int as_user(void *arg)
{
	struct probe_user *u = arg;
	unsigned plain = 0, send = SECCOMP_ADDFD_FLAG_SEND;
	int null;

	u->become = become(u);
	if (u->become)
		return u->become;
	/* Helpers explain themselves on standard error; the results say it better. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		(void)dup2(null, STDERR_FILENO);
	probe_namespaces(u);
	probe_subids(u);
	probe_limits(u);
	if (filter_probe(&u->filter, NULL) < 0)
		u->filter = (struct filter_features){ .load_error = ENOSYS, .listener_error = ENOSYS };
	u->filter_addfd = probe_run(try_addfd, &plain, sizeof plain);
	u->filter_addfd_send = probe_run(try_addfd, &send, sizeof send);
	return 0;
}

int probe_user(struct probe_user *u, struct err *e)
{
	int rc;

	u->user_ns = u->map = u->become = PROBE_UNTRIED;
	u->mount_tmpfs = u->mount_proc = u->mount_overlay = u->veth = PROBE_UNTRIED;
	u->steal_fd = u->read_memory = u->helper_map = PROBE_UNTRIED;
	u->helper_uid = u->helper_gid = PROBE_UNTRIED;
	u->filter_addfd = u->filter_addfd_send = u->cgroup.make = PROBE_UNTRIED;
	for (int k = 0; k < NS_KINDS; k++)
		u->ns[k] = PROBE_UNTRIED;
	for (int p = 0; p < PROBE_PATHS; p++)
		u->idmap[p] = PROBE_UNTRIED;
	rc = run_for(USER_SECONDS, as_user, u, sizeof *u);
	if (u->become > 0)
		return err_num(e, u->become, "taking on the ids of uid %u", u->uid);
	if (rc == PROBE_TIMEOUT)
		return err_set(e, ETIMEDOUT, "trying out the host took longer than %d s", USER_SECONDS);
	return rc > 0 ? err_num(e, rc, "trying out the host") : 0;
}
