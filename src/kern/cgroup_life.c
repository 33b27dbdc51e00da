/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezing, killing, listing and removing.
 *
 * v2 tells of changes: cgroup.events becomes readable with POLLPRI when
 * "populated" or "frozen" changes. v1 tells nothing; there processes are waited
 * for through pidfds, and the freezer is asked again after a pause.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/num.h"
#include "kern/cgroup_impl.h"

#define FREEZE_MS 10000U
#define KILL_FREEZE_MS 200U /* one that waits for a disk is killed without being held */
#define NEST_MAX 64        /* levels of nested cgroups that are followed */
#define PIDS_MAX (1U << 22) /* the kernel's own bound on pids */
#define PAUSE_MS 2U
#define KILL_ROUNDS 64

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void pause_ms(unsigned ms)
{
	struct timespec t = { .tv_nsec = (long)ms * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* --- walking nested cgroups --- */

typedef int visit(int dirfd, void *arg);

/* Calls fn for each cgroup below dirfd, children before parents, then for dirfd. Stops at non-zero. */
static int walk(int dirfd, unsigned depth, visit *fn, void *arg)
{
	int dup_fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dup_fd < 0 ? NULL : fdopendir(dup_fd);
	struct dirent *de;
	int rc = 0;

	if (!dir) {
		rc = -errno;
		fd_close(&dup_fd);
		return rc == -ENOENT || rc == -ENODEV ? 0 : rc;
	}
	while (rc == 0 && (de = readdir(dir))) {
		AUTO_FD int child = -1;

		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		if (depth == 0) {
			rc = -ELOOP;
			break;
		}
		child = openat(dirfd, de->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			rc = walk(child, depth - 1, fn, arg);
	}
	(void)closedir(dir);
	return rc ? rc : fn(dirfd, arg);
}

static int has_processes(int dirfd, void *arg)
{
	AUTO_FREE char *text = NULL;
	int rc = cgroup_read(dirfd, "cgroup.procs", &text);

	(void)arg;
	if (rc < 0)
		return rc == -ENODEV || rc == -ENOENT ? 0 : rc;
	return text[0] != '\0';
}

int cgroup_is_populated(int dirfd, bool v2)
{
	AUTO_FREE char *text = NULL;
	int rc;

	if (!v2)
		return walk(dirfd, NEST_MAX, has_processes, NULL);
	rc = cgroup_read(dirfd, "cgroup.events", &text);
	return rc < 0 ? rc : strstr(text, "populated 1") != NULL;
}

struct pid_list {
	pid_t *v;
	size_t n, room;
};

static int add_pids(int dirfd, void *arg)
{
	struct pid_list *l = arg;
	AUTO_FREE char *text = NULL;
	char *rest;
	int rc = cgroup_read(dirfd, "cgroup.procs", &text);

	if (rc < 0) /* it went, or holds threads only, which their process's own cgroup lists */
		return rc == -ENODEV || rc == -ENOENT || rc == -EOPNOTSUPP ? 0 : rc;
	rest = text;
	while (rest) {
		char *word = strsep(&rest, "\n");
		uint64_t pid;

		/* 0 is a process outside our pid namespace. */
		if (num_parse_u64(word, 1, PIDS_MAX, &pid) < 0)
			continue;
		if (l->n == l->room) {
			size_t room = l->room ? l->room * 2 : 64;
			pid_t *v = room > PIDS_MAX ? NULL : realloc(l->v, room * sizeof *v);

			if (!v)
				return -ENOMEM;
			l->v = v;
			l->room = room;
		}
		l->v[l->n++] = (pid_t)pid;
	}
	return 0;
}

/* The directory whose list of processes counts: any one, they hold the same. */
static const struct cgroup_dir *main_dir(const struct cgroup *cg)
{
	const struct cgroup_dir *d = cgroup_dir_v2(cg);

	if (!d)
		d = cgroup_dir_of(cg, CGROUP_FREEZER);
	for (size_t i = 0; !d && i < cg->n; i++)
		if (cg->dirs[i].fd >= 0)
			d = &cg->dirs[i];
	return d;
}

int cgroup_pids(struct cgroup *cg, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	const struct cgroup_dir *d = cg ? main_dir(cg) : NULL;
	struct pid_list l = { 0 };
	int rc = d ? walk(d->fd, NEST_MAX, add_pids, &l) : 0;

	if (rc < 0) {
		free(l.v);
		return err_num(e, -rc, "listing the processes of %s", d->path);
	}
	*ret_pids = l.v;
	*ret_n = l.n;
	return 0;
}

/* --- freezing --- */

/* Waits until cgroup.events says "KEY VALUE". */
static int await_event(int dirfd, const char *line, unsigned timeout_ms)
{
	AUTO_FD int fd = openat(dirfd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	uint64_t end = now_ms() + timeout_ms;

	if (fd < 0)
		return -errno;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		char text[256];
		ssize_t n = pread(fd, text, sizeof text - 1, 0);
		uint64_t now = now_ms();

		if (n < 0)
			return -errno;
		text[n] = '\0';
		if (strstr(text, line))
			return 0;
		if (now >= end)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR)
			return -errno;
	}
}

/* v1: a group that was FREEZING stays so while processes fork into it; asking again catches them. */
static int v1_await(const struct cgroup_dir *d, const char *state, unsigned timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms;

	for (;;) {
		AUTO_FREE char *text = NULL;
		int rc = cgroup_try(d, "freezer.state", "%s", state);

		if (rc == 0)
			rc = cgroup_read(d->fd, "freezer.state", &text);
		if (rc < 0)
			return rc;
		if (text && strncmp(text, state, strlen(state)) == 0)
			return 0;
		if (now_ms() >= end)
			return -ETIMEDOUT;
		pause_ms(PAUSE_MS);
	}
}

static int set_frozen(struct cgroup *cg, bool freeze, struct err *e)
{
	const struct cgroup_dir *d = cg ? cgroup_dir_of(cg, CGROUP_FREEZER) : NULL;
	int rc;

	if (!cg)
		return 0;
	if (d) {
		rc = v1_await(d, freeze ? "FROZEN" : "THAWED", FREEZE_MS);
	} else if ((d = cgroup_dir_v2(cg))) {
		rc = cgroup_try(d, "cgroup.freeze", freeze ? "1" : "0");
		if (rc == 0)
			rc = await_event(d->fd, freeze ? "frozen 1" : "frozen 0", FREEZE_MS);
	} else {
		(void)err_set(e, ENOTSUP, "the container has no freezer cgroup");
		(void)err_hint(e, "start it with linux.cgroupsPath or a limit, as root or with a "
				  "delegated cgroup");
		return -ENOTSUP;
	}
	/* Half frozen is not a state to leave anybody in. */
	if (rc < 0 && freeze)
		(void)cgroup_try(d, d->v2 ? "cgroup.freeze" : "freezer.state",
				 d->v2 ? "0" : "THAWED");
	return rc < 0 ? err_num(e, -rc, "%s %s", freeze ? "freezing" : "thawing", d->path) : 0;
}

int cgroup_freeze(struct cgroup *cg, struct err *e)
{
	return set_frozen(cg, true, e);
}

int cgroup_thaw(struct cgroup *cg, struct err *e)
{
	return set_frozen(cg, false, e);
}

int cgroup_frozen(struct cgroup *cg, bool *ret_frozen, struct err *e)
{
	const struct cgroup_dir *d = cg ? cgroup_dir_of(cg, CGROUP_FREEZER) : NULL;
	AUTO_FREE char *text = NULL;
	int rc;

	if (!d && cg)
		d = cgroup_dir_v2(cg);
	if (!d) {
		*ret_frozen = false;
		return 0;
	}
	rc = cgroup_read(d->fd, d->v2 ? "cgroup.events" : "freezer.state", &text);
	if (rc < 0)
		return err_num(e, -rc, "reading the state of %s", d->path);
	*ret_frozen = strstr(text, d->v2 ? "frozen 1" : "FROZEN") != NULL;
	return 0;
}

/* --- killing --- */

static bool listed(const struct pid_list *l, pid_t pid)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == pid)
			return true;
	return false;
}

/*
 * Kills all that is listed. A number read from a list may belong to somebody
 * else by the time a signal is sent. So each is pinned by a pidfd, and only
 * what the list still shows afterwards is signalled.
 */
static int kill_listed(struct cgroup *cg, size_t *ret_n)
{
	struct pid_list before = { 0 }, after = { 0 };
	AUTO_FREE int *fds = NULL;
	int rc = cgroup_pids(cg, &before.v, &before.n, NULL);

	fds = calloc(before.n + 1, sizeof *fds);
	if (rc == 0 && !fds)
		rc = -ENOMEM;
	for (size_t i = 0; rc == 0 && i < before.n; i++)
		fds[i] = sys_pidfd_open(before.v[i], 0);
	if (rc == 0)
		rc = cgroup_pids(cg, &after.v, &after.n, NULL);
	for (size_t i = 0; fds && i < before.n; i++) {
		if (rc == 0 && fds[i] >= 0 && listed(&after, before.v[i]))
			(void)sys_pidfd_send_signal(fds[i], SIGKILL);
		fd_close(&fds[i]);
	}
	*ret_n = after.n;
	free(before.v);
	free(after.v);
	return rc;
}

/* v1: stopped, nobody forks away; thawed, they die. What the freezer cannot hold is chased in rounds. */
static int v1_kill(struct cgroup *cg)
{
	const struct cgroup_dir *freezer = cgroup_dir_of(cg, CGROUP_FREEZER);
	int rc = 0;

	for (int i = 0; i < KILL_ROUNDS; i++) {
		size_t n = 0;
		bool held = freezer && v1_await(freezer, "FROZEN", KILL_FREEZE_MS) == 0;

		rc = kill_listed(cg, &n);
		if (freezer)
			(void)cgroup_try(freezer, "freezer.state", "THAWED");
		if (rc < 0 || n == 0 || held)
			break;
		pause_ms(PAUSE_MS);
	}
	return rc;
}

int cgroup_kill(struct cgroup *cg, struct err *e)
{
	const struct cgroup_dir *d = cg ? cgroup_dir_v2(cg) : NULL;
	int rc;

	if (!cg)
		return 0;
	rc = d ? cgroup_try(d, "cgroup.kill", "1") : v1_kill(cg);
	/* A v2 kill reaches frozen processes; those of v1's freezer have to be let go. */
	if (d && cgroup_dir_of(cg, CGROUP_FREEZER))
		(void)cgroup_thaw(cg, NULL);
	return rc < 0 ? err_num(e, -rc, "killing the processes of the container") : 0;
}

/* --- removing --- */

static int remove_children(int dirfd, unsigned depth);

static int remove_child(int dirfd, const char *name, unsigned depth)
{
	AUTO_FD int child = -1;
	int rc = 0;

	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (depth == 0)
		return -ELOOP;
	child = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (child < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = remove_children(child, depth - 1);
	if (rc == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}

static int remove_children(int dirfd, unsigned depth)
{
	int dup_fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dup_fd < 0 ? NULL : fdopendir(dup_fd);
	struct dirent *de;
	int rc = 0;

	if (!dir) {
		rc = -errno;
		fd_close(&dup_fd);
		return rc;
	}
	while (rc == 0 && (de = readdir(dir)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.')
			rc = remove_child(dirfd, de->d_name, depth);
	(void)closedir(dir);
	return rc;
}

/* Waits for something to change that may make the directory removable, no longer than `ms`. */
static void await_empty(const struct cgroup_dir *d, unsigned ms)
{
	struct pollfd p[32];
	struct pid_list l = { 0 };
	size_t n = 0;

	if (d->v2) {
		(void)await_event(d->fd, "populated 0", ms);
		return;
	}
	(void)walk(d->fd, NEST_MAX, add_pids, &l);
	for (size_t i = 0; i < l.n && n < sizeof p / sizeof *p; i++) {
		int fd = sys_pidfd_open(l.v[i], 0);

		if (fd >= 0)
			p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	free(l.v);
	/* With nobody listed a last thread is on its way out of the kernel, for a moment. */
	if (n > 0)
		(void)poll(p, n, (int)ms);
	else
		pause_ms(PAUSE_MS);
	for (size_t i = 0; i < n; i++)
		(void)close(p[i].fd);
}

static int full_path(const struct cgroup *cg, const struct cgroup_dir *d, char *buf, size_t size)
{
	return snprintf(buf, size, "%s%s", cg->sysroot, d->path) < (int)size ? 0 : -ENAMETOOLONG;
}

/* 0 when the directory is gone, also when another of its name took its place. */
static int remove_dir(const struct cgroup *cg, const struct cgroup_dir *d, uint64_t end)
{
	char path[8192];
	struct stat st;
	int rc = full_path(cg, d, path, sizeof path);

	while (rc == 0) {
		uint64_t now;

		if (lstat(path, &st) < 0)
			return errno == ENOENT ? 0 : -errno;
		if (st.st_ino != d->inode || rmdir(path) == 0)
			return 0;
		rc = -errno;
		if (rc == -ENOENT)
			return 0;
		if (rc != -EBUSY && rc != -ENOTEMPTY)
			return rc;
		(void)remove_children(d->fd, NEST_MAX);
		if (rmdir(path) == 0)
			return 0;
		now = now_ms();
		if (now >= end)
			return rc;
		await_empty(d, (unsigned)(end - now));
		rc = 0;
	}
	return rc;
}

/* The directories that were made above it, as far as they are empty. */
static void remove_above(const struct cgroup *cg, const struct cgroup_dir *d)
{
	char path[8192];

	if (full_path(cg, d, path, sizeof path) < 0)
		return;
	for (unsigned i = 0; i < d->above; i++) {
		char *slash = strrchr(path, '/');

		if (!slash)
			return;
		*slash = '\0';
		if (rmdir(path) < 0)
			return;
	}
}

int cgroup_destroy(struct cgroup *cg, unsigned timeout_ms, struct err *e)
{
	uint64_t end = now_ms() + timeout_ms;
	int failed = 0;

	for (size_t i = cg ? cg->n : 0; i-- > 0;) {
		struct cgroup_dir *d = &cg->dirs[i];
		int rc = 0;

		if (d->made && d->fd >= 0)
			rc = remove_dir(cg, d, end);
		if (rc < 0) {
			(void)err_num(e, -rc, "removing the cgroup %s", d->path);
			if (rc == -EBUSY)
				(void)err_hint(e, "processes live in it: `vrun kill` ends them");
			failed = rc;
			continue;
		}
		fd_close(&d->fd);
		if (d->made)
			remove_above(cg, d);
		d->made = false;
	}
	return failed;
}
