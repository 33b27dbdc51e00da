/* SPDX-License-Identifier: Apache-2.0 */
#include "run/hostrun.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kern/path.h"
#include "run/hostroot.h"

#define SAFE_ATTRS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define MOUNTS_FIXED 25

struct builder {
	struct bundle *b;
	const struct hostrun_options *o;
	const char *home, *account_home; /* of $HOME and of the account, without links; NULL without */
	const char *cwd;
	size_t room;
};

static struct bundle_mount *add(struct builder *w, const char *destination, const char *type,
				const char *source, uint64_t attrs)
{
	struct bundle_mount *m = &w->b->mounts[w->b->n_mounts++];

	m->destination = destination;
	m->type = type;
	m->source = source;
	m->attr_set = attrs;
	return m;
}

static int set_data(struct builder *w, struct bundle_mount *m, const char *const *data, size_t n)
{
	m->data.v = arena_array(&w->b->arena, n + 1, sizeof *m->data.v);
	if (!m->data.v)
		return -ENOMEM;
	memcpy(m->data.v, data, n * sizeof *data);
	m->data.n = n;
	return 0;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A directory in memory in place of the host's, where the host has one: a view cannot grow new ones. */
static int private_dir(struct builder *w, const char *path, const char *mode)
{
	return exists(path) ? set_data(w, add(w, path, "tmpfs", "tmpfs", SAFE_ATTRS), &mode, 1) : 0;
}

static int add_system(struct builder *w)
{
	static const char *const pts[] = { "newinstance", "ptmxmode=0666", "mode=0620" };
	static const char *const shared[] = { "mode=1777" };
	const char *dev_mode = "mode=0755";
	uint64_t quiet = SAFE_ATTRS | MOUNT_ATTR_NOEXEC;
	int rc;

	(void)add(w, "/proc", "proc", "proc", quiet);
	add(w, "/sys", "sysfs", "sysfs", quiet | MOUNT_ATTR_RDONLY)->optional = true;
	rc = set_data(w, add(w, "/dev", "tmpfs", "tmpfs", MOUNT_ATTR_NOSUID), &dev_mode, 1);
	if (rc == 0)
		rc = set_data(w, add(w, "/dev/pts", "devpts", "devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC),
			      pts, 3);
	if (rc == 0)
		rc = set_data(w, add(w, "/dev/shm", "tmpfs", "shm", quiet), shared, 1);
	add(w, "/dev/mqueue", "mqueue", "mqueue", quiet)->optional = true;
	return rc;
}

static bool home_is_covered(const char *home)
{
	return path_is_below(home, "/home") || path_is_below(home, "/root") ||
	       path_is_below(home, "/tmp") || path_is_below(home, "/var/tmp");
}

static bool holds(const char *dir, const char *home)
{
	return home && strcmp(home, "/") != 0 && path_is_below(home, dir);
}

/* Where the sockets, files and secrets of others lie, whoever calls. */
static bool is_common(const char *path)
{
	static const char *const trees[] = { "/boot", "/dev", "/proc", "/run", "/sys" };
	static const char *const places[] = { "/home", "/media", "/mnt", "/tmp", "/var", "/var/tmp" };

	for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
		if (path_is_below(path, trees[i]))
			return true;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (strcmp(path, places[i]) == 0)
			return true;
	return false;
}

static bool is_system(const char *path)
{
	static const char *const trees[] = { "/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr" };
	static const char *const places[] = { "/opt",	   "/srv",     "/var/backups", "/var/cache",
					      "/var/lib", "/var/log", "/var/mail",    "/var/spool" };

	for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
		if (path_is_below(path, trees[i]))
			return true;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (strcmp(path, places[i]) == 0)
			return true;
	return false;
}

static int private_home(struct builder *w, const char *home)
{
	const char *mode = "mode=0755";

	/* Accounts of the system have homes such as /bin: those hold no secrets, but programs. */
	if (!home || strcmp(home, "/") == 0 || strcmp(home, "/root") == 0 || is_system(home) ||
	    (!exists(home) && !home_is_covered(home)))
		return 0;
	return set_data(w, add(w, home, "tmpfs", "tmpfs", SAFE_ATTRS), &mode, 1);
}

static int add_private(struct builder *w)
{
	static const struct {
		const char *path, *mode;
	} dirs[] = {
		{ "/tmp", "mode=1777" },     { "/var/tmp", "mode=1777" }, { "/run", "mode=0755" },
		{ "/var/run", "mode=0755" }, { "/home", "mode=0755" },	  { "/root", "mode=0755" },
		{ "/mnt", "mode=0755" },     { "/media", "mode=0755" },
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof dirs / sizeof *dirs; i++)
		rc = private_dir(w, dirs[i].path, dirs[i].mode);
	if (rc == 0)
		rc = private_home(w, w->home);
	if (rc == 0 && w->account_home && (!w->home || strcmp(w->home, w->account_home) != 0))
		rc = private_home(w, w->account_home);
	return rc;
}

static int depth(const char *path)
{
	int n = 0;

	for (; *path; path++)
		n += *path == '/' && path[1] != '\0';
	return n;
}

struct shown {
	const char *path;
	bool writable;
	int depth;
	size_t rank; /* explicit ones come after the current directory, and so win */
};

static int by_depth(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int show(struct builder *w, const struct shown *s)
{
	struct bundle_mount *m = add(w, s->path, s->writable ? "bind" : HOSTROOT_VIEW, s->path, SAFE_ATTRS);

	m->bind = true;
	m->own_files = s->writable;
	return 0;
}

static int resolve(struct builder *w, const char *path, const char **ret, struct err *e)
{
	char *real = realpath(path, NULL);
	char quoted[256];

	if (!real)
		return err_sys(e, "%s", log_quote(quoted, sizeof quoted, path));
	*ret = arena_strdup(&w->b->arena, real);
	free(real);
	if (*ret && strcmp(*ret, "/") == 0)
		return err_set(e, EINVAL, "--rw and --ro take a part of the host, not all of it");
	return *ret ? 0 : err_num(e, ENOMEM, "paths");
}

/*
 * The current directory is shown because somebody stands there, not because he
 * named it. That must not be enough to hand out keys and tokens (home), the
 * system's own files, or sockets of others: a directory that is shown writable
 * is shown as it is, with its sockets.
 */
static int check_cwd(const struct builder *w, struct err *e)
{
	const char *why = NULL;

	if (w->o->cwd == HOSTRUN_CWD_NONE || strcmp(w->cwd, "/") == 0)
		return 0;
	if (holds(w->cwd, w->home) || holds(w->cwd, w->account_home))
		why = "holds your home directory, which would be shown whole";
	else if (w->o->cwd == HOSTRUN_CWD_RW && is_common(w->cwd))
		why = "holds sockets and files of others, which would be shown";
	else if (w->o->cwd == HOSTRUN_CWD_RW && is_system(w->cwd) && access(w->cwd, W_OK) == 0)
		why = "belongs to the system, and would be shown writable";
	if (!why)
		return 0;
	(void)err_set(e, EPERM, "the current directory %s %s", w->cwd, why);
	return err_hint(e, "change to a project's directory, use --cwd none, or say --cwd none --rw %s",
			w->cwd);
}

static int add_shown(struct builder *w, struct err *e)
{
	const struct hostrun_options *o = w->o;
	struct shown *list = arena_array(&w->b->arena, o->n_paths + 1, sizeof *list);
	size_t n = 0;
	int rc = 0;

	if (!list)
		return err_num(e, ENOMEM, "paths");
	if (o->cwd != HOSTRUN_CWD_NONE && strcmp(w->cwd, "/") != 0)
		list[n++] = (struct shown){ w->cwd, o->cwd == HOSTRUN_CWD_RW, 0, 0 };
	for (size_t i = 0; rc == 0 && i < o->n_paths; i++, n++) {
		list[n] = (struct shown){ NULL, o->paths[i].writable, 0, i + 1 };
		rc = resolve(w, o->paths[i].path, &list[n].path, e);
	}
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		list[i].depth = depth(list[i].path);
	qsort(list, n, sizeof *list, by_depth);
	for (size_t i = 0; i < n; i++)
		(void)show(w, &list[i]);
	return 0;
}

static int add_mounts(struct builder *w, struct err *e)
{
	w->room = MOUNTS_FIXED + w->o->n_paths + 1;
	w->b->mounts = arena_array(&w->b->arena, w->room, sizeof *w->b->mounts);
	if (!w->b->mounts || add_system(w) < 0 || add_private(w) < 0)
		return err_num(e, ENOMEM, "mounts");
	return add_shown(w, e);
}

/* Of the caller's environment only what programs need to find their way: no tokens, no sockets. */
static bool is_passed_on(const char *entry)
{
	static const char *const keys[] = { "PATH", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM",
					    "COLORTERM", "NO_COLOR", "TZ", "COLUMNS", "LINES" };

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		size_t n = strlen(keys[i]);

		if (strncmp(entry, keys[i], n) == 0 && entry[n] == '=')
			return true;
	}
	return strncmp(entry, "LC_", 3) == 0;
}

static bool same_key(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n) == 0 && b[n] == '=';
}

static void put_env(struct strlist *env, const char *entry)
{
	for (size_t i = 0; i < env->n; i++) {
		if (same_key(entry, env->v[i])) {
			env->v[i] = entry;
			return;
		}
	}
	env->v[env->n++] = entry;
}

static int add_env(struct builder *w, struct err *e)
{
	struct strlist *env = &w->b->process.env;
	size_t room = w->o->n_env + 4;
	struct arena *a = &w->b->arena;
	const char *home;

	for (char **p = environ; *p; p++)
		room++;
	env->v = arena_array(a, room, sizeof *env->v);
	home = arena_printf(a, "HOME=%s", w->home ? w->home : "/");
	if (!env->v || !home)
		return err_num(e, ENOMEM, "environment");
	for (char **p = environ; *p; p++)
		if (is_passed_on(*p))
			put_env(env, *p);
	put_env(env, home);
	for (size_t i = 0; i < w->o->n_env; i++) {
		const char *entry = w->o->env[i];
		char *value = strchr(entry, '=') ? NULL : getenv(entry);

		if (entry[0] == '=' || entry[0] == '\0')
			return err_set(e, EINVAL, "--env \"%s\": no name", entry);
		if (!strchr(entry, '=') && !value)
			continue;
		entry = value ? arena_printf(a, "%s=%s", entry, value) : entry;
		if (!entry)
			return err_num(e, ENOMEM, "environment");
		put_env(env, entry);
	}
	return 0;
}

static int add_process(struct builder *w, struct err *e)
{
	struct bundle_process *p = &w->b->process;
	mode_t mask = umask(0);
	size_t n = 0;

	(void)umask(mask);
	while (w->o->argv[n])
		n++;
	p->given = true;
	p->terminal = w->o->terminal;
	p->no_new_privs = true;
	p->cwd = w->cwd;
	p->user = (struct bundle_user){ .uid = geteuid(), .gid = getegid(), .has_umask = true, .umask = mask };
	p->args.v = arena_array(&w->b->arena, n + 1, sizeof *p->args.v);
	if (!p->args.v)
		return err_num(e, ENOMEM, "arguments");
	for (size_t i = 0; i < n; i++)
		p->args.v[i] = w->o->argv[i];
	p->args.n = n;
	return add_env(w, e);
}

static void add_namespaces(struct bundle *b)
{
	static const enum ns_kind kinds[] = { NS_USER, NS_PID, NS_NET, NS_IPC, NS_UTS, NS_CGROUP, NS_MNT };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		b->ns[kinds[i]].listed = true;
}

static void add_masks(struct bundle *b)
{
	static const char *masked[] = { "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
					"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
					"/proc/sched_debug", "/proc/scsi", "/sys/firmware",
					"/sys/devices/virtual/powercap", "/sys/fs/cgroup" };
	static const char *readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
					  "/proc/sysrq-trigger" };

	b->masked_paths = (struct strlist){ masked, sizeof masked / sizeof *masked };
	b->readonly_paths = (struct strlist){ readonly, sizeof readonly / sizeof *readonly };
}

/* A directory as it is without links, or cleaned when there is none. NULL in, or no memory: NULL out. */
static const char *settled(struct arena *a, const char *path)
{
	AUTO_FREE char *real = NULL;
	char *copy;

	if (!path || path[0] != '/')
		return NULL;
	real = realpath(path, NULL);
	copy = arena_strdup(a, real ? real : path);
	if (copy && !real)
		path_clean(copy);
	return copy;
}

/* $HOME may be another's (sudo) or missing. Without NSS, which a static program does not have. */
static const char *home_of_account(struct arena *a)
{
	FILE *f = fopen("/etc/passwd", "re");
	const char *home = NULL;
	uid_t uid = geteuid();
	struct passwd *pw;

	while (f && !home && (pw = fgetpwent(f)) != NULL)
		if (pw->pw_uid == uid)
			home = settled(a, pw->pw_dir);
	if (f)
		(void)fclose(f);
	return home;
}

static int find_places(struct builder *w, struct err *e)
{
	AUTO_FREE char *cwd = getcwd(NULL, 0);
	struct arena *a = &w->b->arena;

	if (!cwd)
		return err_sys(e, "current directory");
	w->cwd = arena_strdup(a, cwd);
	w->home = settled(a, getenv("HOME"));
	w->account_home = home_of_account(a);
	return w->cwd ? check_cwd(w, e) : err_num(e, ENOMEM, "current directory");
}

int hostrun_bundle(struct bundle *ret, const struct hostrun_options *o, struct err *e)
{
	struct builder w = { .b = ret, .o = o };
	int rc;

	*ret = (struct bundle){ .dir = "", .root_readonly = true, .oci_version = "1.2.0", .hostname = "vrun", .host_root = true };
	rc = find_places(&w, e);
	if (rc == 0)
		rc = add_mounts(&w, e);
	if (rc == 0)
		rc = add_process(&w, e);
	if (rc < 0) {
		bundle_fini(ret);
		return rc;
	}
	add_namespaces(ret);
	add_masks(ret);
	return 0;
}
