/* SPDX-License-Identifier: Apache-2.0 */
#include "run/process.h"

#include <elf.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "kern/attributes.h"
#include "kern/caps.h"
#include "kern/filter.h"
#include "kern/landlock.h"
#include "kern/lsm.h"
#include "kern/profile.h"
#include "run/hooks.h"
#include "run/policy_apply.h"
#include "run/sync.h"

#define CAP_NR_SYS_ADMIN 21
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#if defined __x86_64__
#define OWN_MACHINE EM_X86_64
#else
#define OWN_MACHINE EM_AARCH64
#endif

static const char *env_value(const struct strlist *env, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], key, n) == 0 && env->v[i][n] == '=')
			return env->v[i] + n + 1;
	return NULL;
}

/* 0, or why not. */
static int executable(int cwd, const char *path)
{
	struct stat st;

	if (fstatat(cwd, path, &st, 0) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return st.st_mode & 0111 ? 0 : -EACCES;
}

int process_find_program(struct launch *l, const char **ret_path, struct err *e)
{
	struct bundle *b = l->bundle;
	const char *name = b->process.args.v[0], *path = env_value(&b->process.env, "PATH"), *p;
	/* Where the app will start. Should it not be there, entering it says so. */
	AUTO_FD int dir = sys_openat2(AT_FDCWD, b->process.cwd, O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
				      RESOLVE_NO_MAGICLINKS);
	int rc, denied = 0, cwd = dir < 0 ? AT_FDCWD : dir;
	char quoted[256];

	(void)log_quote(quoted, sizeof quoted, name);
	if (strchr(name, '/')) {
		rc = executable(cwd, name);
		if (rc < 0)
			return err_num(e, -rc, "program %s in the root filesystem", quoted);
		*ret_path = name;
		return 0;
	}
	path = path && *path ? path : DEFAULT_PATH;
	for (p = path; *name && p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
		size_t n = strcspn(p, ":");
		char *full = n ? arena_printf(&b->arena, "%.*s/%s", (int)n, p, name) :
				 arena_printf(&b->arena, "./%s", name);

		if (!full)
			return err_num(e, ENOMEM, "program %s", quoted);
		rc = executable(cwd, full);
		if (rc == 0) {
			*ret_path = full;
			return 0;
		}
		if (rc == -EACCES)
			denied = rc;
	}
	if (denied)
		return err_num(e, EACCES, "program %s, found in PATH but not executable", quoted);
	(void)err_set(e, ENOENT, "program %s: not found in the root filesystem", quoted);
	return err_hint(e, "PATH is %s", path);
}

/* Why execve said no, in words that lead to the cause. */
static int explain_exec(const char *path, int num, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	union {
		char text[256];
		Elf64_Ehdr elf;
	} head = { .text = "" };
	ssize_t n = fd < 0 ? 0 : read(fd, head.text, sizeof head.text - 1);
	bool elf = n >= (ssize_t)offsetof(Elf64_Ehdr, e_version) &&
		   memcmp(head.elf.e_ident, ELFMAG, SELFMAG) == 0;
	char quoted[256], program[256];

	(void)log_quote(program, sizeof program, path);
	if (elf && head.elf.e_machine != OWN_MACHINE) {
		(void)err_set(e, num, "program %s: made for another machine (ELF machine %u, class %u)",
			      program, head.elf.e_machine, head.elf.e_ident[EI_CLASS]);
		return err_hint(e, "use a root filesystem for this architecture");
	}
	if (elf && num == ENOENT) {
		(void)err_set(e, ENOENT, "program %s: its dynamic loader is missing in the root filesystem", program);
		return err_hint(e, "add the loader and the libraries: vrun pack does");
	}
	if (n > 2 && head.text[0] == '#' && head.text[1] == '!') {
		head.text[strcspn(head.text, "\n")] = '\0';
		(void)err_num(e, num, "program %s: its interpreter %s", program,
			      log_quote(quoted, sizeof quoted, head.text + 2));
		return err_hint(e, "the interpreter that the first line names must be in the root filesystem");
	}
	return err_num(e, num, "program %s", program);
}

static int take_terminal(int tty, uid_t uid, struct err *e)
{
	/* As a log-in does it, so that the app can open it by name. With one id it is the app's already. */
	(void)!fchown(tty, uid, (gid_t)-1);
	if (ioctl(tty, TIOCSCTTY, 0) < 0)
		return err_sys(e, "controlling terminal");
	for (int i = 0; i < 3; i++)
		if (dup2(tty, i) < 0)
			return err_sys(e, "terminal");
	return 0;
}

static int set_identity(const struct launch *l, struct err *e)
{
	const struct bundle_user *u = &l->bundle->process.user;

	/* A user namespace that is joined may have setgroups switched off. */
	if (!l->deny_setgroups && setgroups(u->n_groups, u->groups) < 0 &&
	    !(errno == EPERM && u->n_groups == 0 && l->bundle->ns[NS_USER].path))
		return err_sys(e, "additional groups");
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return err_sys(e, "group %u", u->gid);
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return err_sys(e, "user %u", u->uid);
	(void)umask(u->has_umask ? u->umask : 022);
	return 0;
}

static int set_attributes(const struct bundle *b, struct err *e)
{
	const struct bundle_process *p = &b->process;
	int rc = b->has_personality ? attributes_set_personality(b->personality, e) : 0;

	if (rc == 0 && p->scheduler.given)
		rc = attributes_set_scheduler(&p->scheduler, e);
	if (rc == 0 && p->has_ioprio)
		rc = attributes_set_ioprio(p->ioprio, e);
	if (rc == 0)
		rc = attributes_set_rlimits(p->rlimits, p->n_rlimits, e);
	return rc;
}

/* The second wall. An app that keeps CAP_SYS_ADMIN may want to mount, which a ruleset on files
 * forbids. */
static int enter_landlock(const struct launch *l, struct err *e)
{
	AUTO_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_wall wall = {
		.deny_tcp = l->supervised || l->opt->policy->net == PROFILE_NET_NONE,
		.scope = true,
		/* A pid namespace of its own holds them already; and what vrun exec puts in is in a ruleset of
		 * its own, and may signal its neighbours. */
		.signals = !l->bundle->ns[NS_PID].listed || l->bundle->ns[NS_PID].path,
		.root_only = !(l->caps >> CAP_NR_SYS_ADMIN & 1U),
		.root_fd = root,
		.streams = 3 + l->opt->preserve_fds,
	};

	if (root < 0)
		return err_sys(e, "root directory");
	return landlock_enter(&wall, e);
}

/* The kernel forgets the death signal when ids change, so it is set after that; a monitor that died in
 * between has closed its end. */
static int die_with_monitor(const struct launch *l, int sync, struct err *e)
{
	struct pollfd p = { .fd = sync, .events = POLLIN };

	if (!l->opt->outlives && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_sys(e, "parent-death signal");
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
		return err_set(e, EPIPE, "the monitor is gone");
	return 0;
}

/* Keeper, record and cgroup are in place, and the network is up. The last thing to wait for: what comes
 * before it runs beside the making of the network. By read(2), which no filter of ours refuses. */
static int await_go(int sync, struct err *e)
{
	char kind = 0;
	ssize_t n;

	do
		n = read(sync, &kind, 1);
	while (n < 0 && errno == EINTR);
	return n == 1 && kind == SYNC_GO ? 0 : err_set(e, EPIPE, "the monitor is gone");
}

/* Of a created container all the rest is done now, and the word is its start. */
static int await_start(struct launch *l, int sync, struct err *e)
{
	const char kind = SYNC_CREATED;
	int rc;

	if (l->opt->create && write(sync, &kind, 1) != 1)
		return err_set(e, EPIPE, "the monitor is gone");
	rc = hooks_receive_state(l, sync, e);
	return rc < 0 ? rc : await_go(sync, e);
}

/* With the app's rights, which may not reach into the root filesystem at all. The directory was found
 * inside the root before, but a link may have taken its place since: no magic link is followed, which
 * could lead out of the root. */
static int enter_cwd(const struct launch *l, struct err *e)
{
	const char *cwd = l->bundle->process.cwd;
	AUTO_FD int fd = sys_openat2(AT_FDCWD, cwd, O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
				     RESOLVE_NO_MAGICLINKS);
	char quoted[256];

	if (fd >= 0 && fchdir(fd) == 0)
		return 0;
	(void)err_sys(e, "working directory %s", log_quote(quoted, sizeof quoted, cwd));
	if (e->num != EACCES || faccessat(AT_FDCWD, "/", X_OK, AT_EACCESS) == 0)
		return -e->num;
	(void)err_num(e, EACCES, "root filesystem %s", l->root_dir);
	return err_hint(e, "the app's user %u may not enter it: chmod a+rx", l->bundle->process.user.uid);
}

/* From here on calls wait for a supervisor that does not have the listener yet: read and write are all
 * that may be used until the monitor says that it has. */
static int hand_over_listener(int sync, int listener, struct err *e)
{
	const char kind = SYNC_LISTENER;
	int rc;

	if (write(sync, &kind, 1) != 1 || write(sync, &listener, sizeof listener) != sizeof listener)
		return err_set(e, EPIPE, "the monitor is gone");
	rc = await_go(sync, e);
	(void)close(listener);
	return rc;
}

/*
 * The one with the listener first. The monitor fetches the listener with
 * pidfd_getfd(2), for which this process has to be dumpable: the change of ids
 * made it not so. All it holds by now is the sync socket, and what can reach it
 * are processes of its own container.
 */
static int load_filters(const struct launch *l, int sync, struct err *e)
{
	AUTO_FD int self = -1;
	int listener, rc;

	if (!l->supervised) {
		rc = l->has_traps ? filter_load(&l->traps, 0, NULL, e) : 0;
		return rc < 0 ? rc : filter_load(&l->filter, l->filter_flags, NULL, e);
	}
	self = sys_pidfd_open(getpid(), 0);
	if (self < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return err_sys(e, "handing over the listener");
	rc = sync_pass(sync, SYNC_APP, &self, 1, "the monitor is gone", e);
	if (rc < 0)
		return rc;
	rc = filter_load(l->has_traps ? &l->traps : &l->filter, l->has_traps ? 0 : l->filter_flags,
			 &listener, e);
	if (rc == 0)
		rc = hand_over_listener(sync, listener, e);
	if (rc == 0 && l->has_traps)
		rc = filter_load(&l->filter, l->filter_flags, NULL, e);
	return rc;
}

/* vrun's own filter, whose loading takes as long as all the rest here, lets us wait behind it; a
 * supervisor has nothing to serve before the word is given, and a bundle's profile may refuse read(2). */
static int await_go_filtered(struct launch *l, int sync, struct err *e)
{
	bool early = l->has_filter && !l->supervised && !l->bundle->seccomp.given;
	int rc = early ? load_filters(l, sync, e) : 0;

	if (rc == 0)
		rc = await_start(l, sync, e);
	return rc == 0 && l->has_filter && !early ? load_filters(l, sync, e) : rc;
}

/*
 * No keyring of the caller's (keyrings(7)). A user may have no room for another (EDQUOT): vrun's own filter
 * keeps the app away from all keys then; a bundle's own filter may not. What
 * an outer filter shuts for us (EPERM, in a container) is shut for the app.
 */
static int leave_keyring(const struct launch *l, struct err *e)
{
	if (syscall(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS ||
	    errno == EPERM)
		return 0;
	if (errno == EDQUOT && !l->bundle->seccomp.given)
		return 0;
	return err_sys(e, "session keyring");
}

int process_prepare(struct launch *l, struct err *e)
{
	int rc = leave_keyring(l, e);

	if (rc == 0)
		rc = caps_limit_bounding(l->bundle->process.caps.bounding, e);
	return rc == 0 && l->has_filter && !l->filter.v ? profile_default_build(&l->profile, &l->filter, e) : rc;
}

/*
 * Without no_new_privs both walls need CAP_SYS_ADMIN. They come last all the
 * same, since a bundle's profile may refuse what taking on an identity needs
 * (openat2, setresuid, capset). So one that the app is not to have is kept
 * besides: permitted alone, while the directory is entered with the app's own
 * rights. The exec drops it, as it is neither inheritable nor ambient nor in
 * the bounding set (capabilities(7)), and until then no process of the
 * container can trace one that has more than itself.
 */
static int take_rights(const struct launch *l, struct err *e)
{
	const struct bundle_process *p = &l->bundle->process;
	struct cap_sets sets = p->caps;
	int rc = caps_keep_over_setuid() < 0 ? err_sys(e, "keeping capabilities") : set_identity(l, e);

	if (!p->no_new_privs)
		sets.permitted |= caps_permitted() & 1ULL << CAP_NR_SYS_ADMIN;
	if (rc == 0)
		rc = caps_apply(&sets, e);
	if (rc == 0)
		rc = enter_cwd(l, e);
	if (rc < 0 || p->no_new_privs)
		return rc;
	sets.effective |= sets.permitted & 1ULL << CAP_NR_SYS_ADMIN;
	return caps_apply(&sets, e);
}

static int become_unprivileged(struct launch *l, int sync, struct err *e)
{
	int rc = take_rights(l, e);

	if (rc == 0)
		rc = die_with_monitor(l, sync, e);
	if (rc == 0 && l->bundle->process.no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = err_sys(e, "no_new_privs");
	if (rc == 0)
		rc = enter_landlock(l, e);
	return rc == 0 ? await_go_filtered(l, sync, e) : rc;
}

/*
 * Nothing of vrun's or of the caller's reaches the app, and nothing of it is
 * open while paths of the bundle are followed: /proc/self/fd/N as working
 * directory or program would lead out through it (CVE-2024-21626). So these
 * are closed now, not at the exec. Among the descriptors that the caller
 * wanted kept lie vrun's own, where the caller had none: those are the ones
 * that are close-on-exec.
 */
static int close_descriptors(int preserve, int sync, struct err *e)
{
	int first = 3 + preserve;

	for (int fd = 3; fd < first; fd++)
		if (fd != sync && fcntl(fd, F_GETFD) == FD_CLOEXEC)
			(void)close(fd);
	if (sync < first)
		return sys_close_range((unsigned)first, ~0U, 0) < 0 ? err_sys(e, "closing descriptors") : 0;
	if ((sync > first && sys_close_range((unsigned)first, (unsigned)sync - 1, 0) < 0) ||
	    sys_close_range((unsigned)sync + 1, ~0U, 0) < 0)
		return err_sys(e, "closing descriptors");
	return 0;
}

/* While the caller's /proc can be reached, and no filter or ruleset is in the way. */
static int set_labels(struct launch *l, struct err *e)
{
	const struct bundle_process *p = &l->bundle->process;
	int rc = l->apparmor ? lsm_set_exec(l->proc_fd, LSM_APPARMOR, p->apparmor, e) : 0;

	if (rc == 0 && l->selinux && p->selinux)
		rc = lsm_set_exec(l->proc_fd, LSM_SELINUX, p->selinux, e);
	fd_close(&l->proc_fd);
	return rc;
}

int process_become(struct launch *l, int tty, int sync, struct err *e)
{
	int rc = 0;

	/* A session of its own: no controlling terminal. */
	if (setsid() < 0 && errno != EPERM)
		return err_sys(e, "session");
	if (tty >= 0)
		rc = take_terminal(tty, l->bundle->process.user.uid, e);
	if (rc == 0)
		rc = set_attributes(l->bundle, e);
	if (rc == 0)
		rc = set_labels(l, e);
	if (rc == 0)
		rc = close_descriptors(l->opt->preserve_fds, sync, e);
	return rc < 0 ? rc : become_unprivileged(l, sync, e);
}

int process_execute(const struct launch *l, const char *path, struct err *e)
{
	const struct bundle_process *p = &l->bundle->process;

	if (l->start_state && hooks_run(l->bundle, HOOK_START_CONTAINER, l->start_state, e) < 0)
		return -ECANCELED;

	(void)execve(path, (char *const *)(uintptr_t)p->args.v, (char *const *)(uintptr_t)p->env.v);
	return explain_exec(path, errno, e);
}
