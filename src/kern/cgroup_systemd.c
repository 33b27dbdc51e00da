/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A delegated scope from systemd (org.freedesktop.systemd1(5), StartTransientUnit;
 * systemd's CGROUP_DELEGATION document).
 *
 * A cgroup tree has one owner. Under systemd that is systemd, and whoever wants
 * a part of it asks for a unit with Delegate=yes. For an unprivileged user it
 * is also the only way from the login session's cgroup, which root owns, into
 * the user manager's: nobody but the system's manager may move a process across.
 *
 * So vrun itself is moved, and makes the app's cgroup below the scope. systemd
 * removes the scope when the last process in it has ended.
 *
 * busctl(1) speaks D-Bus for us: it comes with systemd, and a launcher that
 * seldom needs this does not carry a bus library.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kern/cgroup_impl.h"
#include "kern/ids.h"

#define SCOPE_WAIT_MS 5000
#define UNIT_MAX 255 /* systemd's UNIT_NAME_MAX, without the terminator */

static void runtime_dir(const char *sysroot, char *buf, size_t size)
{
	const char *env = getenv("XDG_RUNTIME_DIR");

	if (env && *env == '/')
		(void)snprintf(buf, size, "%s%s", sysroot ? sysroot : "", env);
	else
		(void)snprintf(buf, size, "%s/run/user/%u", sysroot ? sysroot : "", geteuid());
}

/* Root of a user namespace, rootless podman's for instance, is a user to systemd. */
static bool is_user(void)
{
	return geteuid() != 0 || ids_is_nested();
}

bool cgroup_systemd_runs(const char *sysroot)
{
	char path[4096], dir[4000];

	(void)snprintf(path, sizeof path, "%s/run/systemd/system", sysroot ? sysroot : "");
	if (access(path, F_OK) < 0)
		return false;
	if (!is_user())
		return true;
	runtime_dir(sysroot, dir, sizeof dir);
	(void)snprintf(path, sizeof path, "%s/bus", dir);
	return access(path, F_OK) == 0;
}

/* Characters that a unit's name cannot have become \xNN (systemd.unit(5)). */
static int escape(char *dst, size_t size, const char *src, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)src[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || (c != '\0' && strchr("_.-:", c));
		int w = plain ? snprintf(dst + n, size - n, "%c", c) :
				snprintf(dst + n, size - n, "\\x%02x", c);

		if (w < 0 || (size_t)w >= size - n)
			return -ENAMETOOLONG;
		n += (size_t)w;
	}
	dst[n] = '\0';
	return 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t t = strlen(text), n = strlen(end);

	return t >= n && strcmp(text + t - n, end) == 0;
}

int cgroup_systemd_names(const struct cgroup_params *p, char *unit, size_t unit_size,
			 char *slice, size_t slice_size, struct err *e)
{
	const char *first = p->path ? p->path : "", *prefix, *name;
	char a[UNIT_MAX + 1] = "vrun", b[UNIT_MAX + 1], s[UNIT_MAX + 1] = "", quoted[256];
	int rc, n;

	prefix = strchr(first, ':');
	name = prefix ? strchr(prefix + 1, ':') : NULL;
	if (p->path && (!name || !name[1] || strchr(name + 1, ':') || strchr(p->path, '/') ||
			ends_with(name, ".slice")))
		return err_set(e, EINVAL,
			       "linux.cgroupsPath '%s': with --systemd-cgroup it has the form "
			       "SLICE:PREFIX:NAME",
			       log_quote(quoted, sizeof quoted, p->path));
	if (p->path) {
		rc = escape(s, sizeof s, first, (size_t)(prefix - first));
		if (rc == 0)
			rc = escape(a, sizeof a, prefix + 1, (size_t)(name - prefix - 1));
		if (rc == 0)
			rc = escape(b, sizeof b, name + 1, strlen(name + 1));
	} else {
		rc = escape(b, sizeof b, p->id, strlen(p->id));
	}
	if (rc == 0 && *s && !ends_with(s, ".slice"))
		return err_set(e, EINVAL, "linux.cgroupsPath: '%s' is no slice's name", s);
	n = rc < 0 ? 0 : snprintf(unit, unit_size, "%s%s%s.scope", a, *a ? "-" : "", b);
	if (rc < 0 || n < 0 || n > UNIT_MAX || (size_t)n >= unit_size || strlen(s) >= slice_size)
		return err_set(e, ENAMETOOLONG, "a scope's name has at most %d bytes", UNIT_MAX);
	(void)snprintf(slice, slice_size, "%s", s);
	return 0;
}

/* Waits for a child with its standard error at hand. Its exit status, or -errno. */
static int finish(pid_t pid, int err_fd, char *text, size_t size)
{
	size_t n = 0;
	int status;

	for (;;) {
		char rest[256];
		bool room = n + 1 < size;
		ssize_t got = room ? read(err_fd, text + n, size - 1 - n) :
				     read(err_fd, rest, sizeof rest);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += room ? (size_t)got : 0;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The environment, with XDG_RUNTIME_DIR where `su` and the like left it out. The caller frees. */
static char **bus_environment(char *runtime, size_t size)
{
	size_t n = 0;
	char **v;

	while (environ && environ[n])
		n++;
	v = calloc(n + 2, sizeof *v);
	if (!v)
		return NULL;
	if (n)
		memcpy(v, environ, n * sizeof *v);
	if (!getenv("XDG_RUNTIME_DIR")) {
		(void)snprintf(runtime, size, "XDG_RUNTIME_DIR=/run/user/%u", geteuid());
		v[n] = runtime;
	}
	return v;
}

/* Runs a program with nothing on stdin and stdout; its first line of complaint comes back. */
static int run(const char *const *argv, char *text, size_t size)
{
	posix_spawn_file_actions_t act;
	posix_spawnattr_t attr;
	sigset_t none;
	AUTO_FD int rd = -1;
	AUTO_FREE char **env = NULL;
	char runtime[64];
	int p[2], rc;
	pid_t pid;

	env = bus_environment(runtime, sizeof runtime);
	if (!env)
		return -ENOMEM;
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	rd = p[0];
	(void)sigemptyset(&none);
	if (posix_spawn_file_actions_init(&act) != 0 || posix_spawnattr_init(&attr) != 0) {
		fd_close(&p[1]);
		return -ENOMEM;
	}
	rc = posix_spawn_file_actions_addopen(&act, 0, "/dev/null", O_RDONLY, 0);
	rc = rc ? rc : posix_spawn_file_actions_addopen(&act, 1, "/dev/null", O_WRONLY, 0);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&act, p[1], 2);
	rc = rc ? rc : posix_spawnattr_setsigmask(&attr, &none);
	rc = rc ? rc : posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	rc = rc ? rc : posix_spawn(&pid, argv[0], &act, &attr, (char *const *)(uintptr_t)argv, env);
	(void)posix_spawn_file_actions_destroy(&act);
	(void)posix_spawnattr_destroy(&attr);
	fd_close(&p[1]);
	return rc ? -rc : finish(pid, rd, text, size);
}

/* 1 when we are in the scope, 0 when not. */
static int is_inside(const char *sysroot, const char *unit)
{
	char path[4096], end[UNIT_MAX + 4];
	AUTO_FREE char *text = NULL;
	int rc;

	(void)snprintf(path, sizeof path, "%s/proc/self/cgroup", sysroot ? sysroot : "");
	(void)snprintf(end, sizeof end, "/%s\n", unit);
	rc = fd_read_file(AT_FDCWD, path, CGROUP_TEXT_MAX, &text, NULL, NULL);
	return rc < 0 ? rc : strstr(text, end) != NULL;
}

/*
 * The call returns when the job is queued. Done is when we find ourselves in
 * the scope; /proc tells nobody of a change, so it is read until then.
 */
static int await_move(const char *sysroot, const char *unit)
{
	const struct timespec tick = { .tv_nsec = 1000000 };

	for (int i = 0; i < SCOPE_WAIT_MS; i++) {
		int rc = is_inside(sysroot, unit);

		if (rc != 0)
			return rc < 0 ? rc : 0;
		(void)nanosleep(&tick, NULL);
	}
	return -ETIMEDOUT;
}

static int call(const struct cgroup_params *p, bool user, const char *unit, const char *slice,
		struct err *e)
{
	char program[4096], pid[16], text[400] = "", quoted[512];
	const char *argv[48];
	size_t n = 0;
	int rc;

	(void)snprintf(program, sizeof program, "%s/usr/bin/busctl", p->sysroot ? p->sysroot : "");
	(void)snprintf(pid, sizeof pid, "%d", getpid());
	argv[n++] = program;
	argv[n++] = user ? "--user" : "--system";
	argv[n++] = "--timeout=5";
	argv[n++] = "call";
	argv[n++] = "org.freedesktop.systemd1";
	argv[n++] = "/org/freedesktop/systemd1";
	argv[n++] = "org.freedesktop.systemd1.Manager";
	argv[n++] = "StartTransientUnit";
	argv[n++] = "ssa(sv)a(sa(sv))";
	argv[n++] = unit;
	argv[n++] = "fail";
	argv[n++] = *slice ? "5" : "4";
	argv[n++] = "Description", argv[n++] = "s", argv[n++] = "vrun container";
	argv[n++] = "Delegate", argv[n++] = "b", argv[n++] = "true";
	argv[n++] = "CollectMode", argv[n++] = "s", argv[n++] = "inactive-or-failed";
	argv[n++] = "PIDs", argv[n++] = "au", argv[n++] = "1", argv[n++] = pid;
	if (*slice)
		argv[n++] = "Slice", argv[n++] = "s", argv[n++] = slice;
	argv[n++] = "0";
	argv[n] = NULL;
	rc = run(argv, text, sizeof text);
	if (rc == 0)
		return 0;
	if (rc < 0)
		return err_set(e, ENOTSUP, "asking systemd for a cgroup: %s: %s", program,
			       err_text(-rc));
	return err_set(e, strstr(text, "already") ? EEXIST : ENOTSUP,
		       "asking systemd for the scope %s: %s", unit,
		       log_quote(quoted, sizeof quoted, *text ? text : "busctl failed"));
}

int cgroup_systemd_scope(const struct cgroup_params *p, struct err *e)
{
	char unit[UNIT_MAX + 1] = "", slice[UNIT_MAX + 1] = "";
	bool user = is_user();
	int rc = cgroup_systemd_names(p, unit, sizeof unit, slice, sizeof slice, e);

	if (rc < 0)
		return rc;
	if (!cgroup_systemd_runs(p->sysroot)) {
		(void)err_set(e, ENOTSUP, "asking systemd for a cgroup: %s",
			      user ? "no user manager runs" : "it does not run");
		return err_hint(e, user ? "log in through PAM or `loginctl enable-linger`, or pass "
					  "--best-effort" :
					  "leave --systemd-cgroup out");
	}
	/* Its first try may have asked for more than the scope has, and this is the second. */
	if (is_inside(p->sysroot, unit) > 0)
		return 0;
	rc = call(p, user, unit, slice, e);
	if (rc < 0)
		return err_hint(e, "%s",
				rc == -EEXIST ? "a container of this id runs: choose another --id" :
						"is systemd well? (`systemctl status`); --best-effort "
						"goes without limits");
	rc = await_move(p->sysroot, unit);
	return rc < 0 ? err_num(e, -rc, "waiting for systemd to start %s", unit) : 0;
}
