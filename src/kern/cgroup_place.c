/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a container's directories go, and making them.
 *
 * Theory of operation. A place is a hierarchy's mount point, a base below it
 * that is there already (the mount's root or the caller's own cgroup), and the
 * components below the base, which are made one by one, each opened through
 * its parent's descriptor without following links. On the way down
 *
 *   v2: each directory above the last has to hand the wanted controllers to
 *       its children (cgroup.subtree_control). Only a directory without
 *       processes may do so. The base is usually full of processes, the
 *       caller first; when it is delegated they are moved to a child,
 *       "vrun.launcher". That child stays as long as somebody lives in it, and
 *       a later vrun in it takes its parent for the base.
 *   v1: a new cpuset has no cpus and no memory nodes, and no process can enter
 *       it before it has, so they are copied down from the parent.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/num.h"
#include "kern/cgroup_impl.h"
#include "kern/ids.h"

#define LAUNCHER_LEAF "vrun.launcher"
#define EMPTY_ROUNDS 32   /* processes that fork while they are moved */
#define COMPONENTS_MAX 64

struct place {
	const struct cgroup_hier *h;
	const struct cgroup_want *want;
	const struct cgroup_params *p;
	const char *base; /* below the mount point, "/" or "/a" */
	const char *rel;  /* below the base, no slash at the ends */
	bool ours;        /* vrun chose the name: nobody else may be in it */
};

static int open_below(int dirfd, const char *path, uint64_t flags)
{
	return sys_openat2(dirfd, path, flags | O_DIRECTORY | O_CLOEXEC, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV |
				   RESOLVE_NO_MAGICLINKS);
}

/* Opens `base` of a hierarchy, sure that it is the hierarchy and not something mounted over it. */
static int open_base(const char *sysroot, const struct cgroup_hier *h, const char *base)
{
	char path[4096];
	struct statfs sf;
	AUTO_FD int mount = -1;

	(void)snprintf(path, sizeof path, "%s%s", sysroot ? sysroot : "", h->mount);
	mount = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount < 0)
		return -errno;
	if (!sysroot || !*sysroot) {
		if (fstatfs(mount, &sf) < 0)
			return -errno;
		if (sf.f_type != (h->v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
			return -ENODEV;
	}
	while (*base == '/')
		base++;
	mount = open_below(mount, *base ? base : ".", O_RDONLY);
	return mount < 0 ? -errno : fd_take(&mount);
}

/* The caller's own cgroup, or that one's parent when the caller lives in a launcher leaf. */
static const char *own_base(struct arena *arena, const struct cgroup_hier *h)
{
	const char *slash = strrchr(h->own, '/');

	if (!h->v2 || !slash || strcmp(slash + 1, LAUNCHER_LEAF) != 0)
		return h->own;
	return slash == h->own ? "/" : arena_strndup(arena, h->own, (size_t)(slash - h->own));
}

/* Splits off components; refuses what would leave the tree or confuse readers of /proc. */
static int check_relative(const char *rel, struct err *e)
{
	char quoted[256];
	size_t n = 0;

	for (const char *p = rel; *p; n++) {
		size_t len = strcspn(p, "/");

		if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.') ||
		    memchr(p, '\n', len) || len > 255 || n == COMPONENTS_MAX)
			return err_set(e, EINVAL, "linux.cgroupsPath '%s': not a usable path",
				       log_quote(quoted, sizeof quoted, rel));
		p += len;
		p += strspn(p, "/");
	}
	if (n == 0)
		return err_set(e, EINVAL, "linux.cgroupsPath: names no directory");
	return 0;
}

static int choose(struct cgroup_apply *a, const struct cgroup_params *p, struct place *pl)
{
	const char *path = p->systemd ? NULL : p->path;
	struct arena *arena = &a->cg->arena;

	if (path && *path == '/') {
		pl->base = "/";
		pl->rel = path + strspn(path, "/");
		return check_relative(pl->rel, a->e);
	}
	if (!pl->h->own)
		return cgroup_refuse(a, ENOTSUP,
				     "give an absolute linux.cgroupsPath, or mount the hierarchy in "
				     "this cgroup namespace",
				     "the caller's own cgroup (%s) is not visible below %s",
				     *pl->h->names ? pl->h->names : "v2", pl->h->mount);
	pl->base = own_base(arena, pl->h);
	pl->ours = !path;
	pl->rel = path ? path : arena_printf(arena, "vrun-%s", p->id);
	if (!pl->base || !pl->rel)
		return err_num(a->e, ENOMEM, "preparing the cgroup");
	return check_relative(pl->rel, a->e);
}

/* --- v2: handing controllers down --- */

/* Moves every process of the directory into its launcher leaf. 0 when none is left. */
static int move_down(int dirfd)
{
	AUTO_FREE char *procs = NULL;
	AUTO_FD int leaf = -1;
	char *rest;
	int rc;

	if (mkdirat(dirfd, LAUNCHER_LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	leaf = open_below(dirfd, LAUNCHER_LEAF, O_RDONLY);
	if (leaf < 0)
		return -errno;
	rc = cgroup_read(dirfd, "cgroup.procs", &procs);
	if (rc < 0)
		return rc;
	rest = procs;
	while (rest) {
		char *pid = strsep(&rest, "\n");

		if (!*pid)
			continue;
		/* 0 stands for a process outside our pid namespace; nobody here can move it. */
		if (strcmp(pid, "0") == 0)
			return -EBUSY;
		rc = fd_write_file(leaf, "cgroup.procs", pid);
		if (rc < 0 && rc != -ESRCH)
			return rc;
	}
	return 0;
}

/* systemd marks what it delegates (systemd.resource-control(5), Delegate=). */
static bool marked_delegated(int dirfd)
{
	char c;

	return fgetxattr(dirfd, "user.delegate", &c, 1) == 1 ||
	       fgetxattr(dirfd, "trusted.delegate", &c, 1) == 1;
}

/*
 * Whether the processes of a caller's own cgroup are vrun's to arrange. What an
 * unprivileged user, or the root of a user namespace, may write to was delegated to it; root may write to
 * everything, so under systemd the mark decides.
 */
static bool arrangeable(int dirfd, const char *sysroot)
{
	return geteuid() != 0 || ids_is_nested() || !cgroup_systemd_runs(sysroot) || marked_delegated(dirfd);
}

static bool may_move(struct cgroup_apply *a, const struct place *pl, int dirfd)
{
	const char *own = pl->h->own ? own_base(&a->cg->arena, pl->h) : NULL;

	return own && strcmp(own, pl->base) == 0 && arrangeable(dirfd, a->cg->sysroot);
}

static int write_subtree(int dirfd, const char *text, bool may_move)
{
	int rc = fd_write_file(dirfd, "cgroup.subtree_control", text);

	for (int i = 0; rc == -EBUSY && may_move && i < EMPTY_ROUNDS; i++) {
		rc = move_down(dirfd);
		if (rc < 0)
			return rc;
		rc = fd_write_file(dirfd, "cgroup.subtree_control", text);
	}
	return rc;
}

/* Says why a directory does not hand a controller down. */
static int refuse_controllers(struct cgroup_apply *a, int rc, const char *what, const char *where)
{
	const char *hint = cgroup_hint_rights;

	if (rc == -ENOENT)
		hint = "as root: `systemctl edit user@.service`, add \"[Service]\" and "
		       "\"Delegate=cpu cpuset io memory pids\", log in again; in a container: "
		       "start it with a delegated cgroup";
	else if (rc == -EBUSY)
		hint = "name another linux.cgroupsPath: a cgroup with processes of its own cannot "
		       "hand controllers to its children";
	return cgroup_refuse(a, rc == -ENOENT ? ENOTSUP : -rc, hint,
			     "the cgroup %s does not hand down%s: %s", where, what,
			     rc == -ENOENT ? "not available there" : err_text(-rc));
}

/* Enables in `dirfd` what is wanted of it. */
static int hand_down(struct cgroup_apply *a, const struct place *pl, int dirfd, const char *where,
		     bool is_base)
{
	AUTO_FREE char *have = NULL, *offered = NULL;
	char plus[512] = "", lacking[256] = "", quoted[80];
	const struct cgroup_want *w = pl->want;
	int rc = cgroup_read(dirfd, "cgroup.subtree_control", &have);

	if (rc == 0)
		rc = cgroup_read(dirfd, "cgroup.controllers", &offered);
	if (rc < 0)
		return refuse_controllers(a, rc == -ENOENT ? -ENODEV : rc, " controllers", where);
	for (size_t i = 0; i < CGROUP_CTLS + w->n_extra; i++) {
		const char *name = i < CGROUP_CTLS ? cgroup_ctl_name((enum cgroup_ctl)i, true) :
						     w->extra[i - CGROUP_CTLS];
		bool listed = name && cgroup_list_has(offered, name);
		char *to = listed ? plus : lacking;
		size_t size = listed ? sizeof plus : sizeof lacking;

		if (i < CGROUP_CTLS && !(w->ctl & CGROUP_BIT(i)))
			continue;
		if (cgroup_list_has(have, name))
			continue;
		(void)snprintf(to + strlen(to), size - strlen(to), listed ? "+%s " : " %s",
			       log_quote(quoted, sizeof quoted, name));
	}
	if (*lacking) {
		rc = refuse_controllers(a, -ENOENT, lacking, where);
		if (rc < 0)
			return rc;
	}
	if (!*plus)
		return 0;
	rc = write_subtree(dirfd, plus, is_base && may_move(a, pl, dirfd));
	return rc < 0 ? refuse_controllers(a, rc, " controllers", where) : 0;
}

/* Hands down whatever else is offered, for later updates; what does not go is no loss now. */
static void offer_rest(int dirfd)
{
	static const enum cgroup_ctl all[] = { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_IO,
					       CGROUP_CPUSET };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char plus[32];

		(void)snprintf(plus, sizeof plus, "+%s", cgroup_ctl_name(all[i], true));
		(void)fd_write_file(dirfd, "cgroup.subtree_control", plus);
	}
}

/* --- v1 --- */

static int copy_down(int from, int to, const char *file)
{
	AUTO_FREE char *has = NULL, *value = NULL;
	int rc = cgroup_read(to, file, &has);

	if (rc < 0 || has[strspn(has, " \n")])
		return rc;
	rc = cgroup_read(from, file, &value);
	return rc < 0 ? rc : fd_write_file(to, file, value);
}

static int fill_cpuset(int from, int to)
{
	int rc = copy_down(from, to, "cpuset.cpus");

	return rc < 0 ? rc : copy_down(from, to, "cpuset.mems");
}

/* --- making --- */

/*
 * A directory that was there before: may this container use it? Not with
 * processes in it or below it: they would be limited with the container, and
 * killed at its end. A bundle names any cgroup, those of the host's services
 * too.
 */
static int check_existing(struct cgroup_apply *a, const struct place *pl, struct cgroup_dir *d)
{
	bool frozen = false;
	AUTO_FREE char *state = NULL;
	int rc = cgroup_is_populated(d->fd, pl->h->v2);

	if (rc < 0)
		return err_num(a->e, -rc, "reading the cgroup %s", d->path);
	if (rc > 0) {
		(void)err_set(a->e, EEXIST, "the cgroup %s has processes", d->path);
		return err_hint(a->e, pl->ours ? "a container of this id is running: choose another --id" :
						 "name one in linux.cgroupsPath that is empty, or not there yet");
	}
	if (pl->ours) {
		d->made = true; /* left by one that was killed: ours to clean up */
		return 0;
	}
	if (cgroup_read(d->fd, pl->h->v2 ? "cgroup.freeze" : "freezer.state", &state) == 0)
		frozen = state[0] == '1' || strncmp(state, "FR", 2) == 0;
	if (frozen)
		return err_set(a->e, EBUSY, "the cgroup %s is frozen: nothing could start in it",
			       d->path);
	return 0;
}

struct walk {
	int fd;           /* where we are */
	char where[4096]; /* its path, for messages and for keeping */
	unsigned made;    /* directories made just above and including this one */
};

static int announce(const struct place *pl, const struct walk *w, const char *name)
{
	char path[8192];

	if (!pl->p->announce || faccessat(w->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	(void)snprintf(path, sizeof path, "%s%s/%s", pl->p->sysroot ? pl->p->sysroot : "", w->where, name);
	return pl->p->announce(pl->p->announce_arg, path);
}

/* One component down. 0 or -errno. */
static int step(const struct place *pl, struct walk *w, const char *name)
{
	AUTO_FD int next = -1;
	size_t len = strlen(w->where);
	int rc = announce(pl, w, name);
	bool made = rc == 0 && mkdirat(w->fd, name, 0755) == 0;

	if (rc == 0 && !made && errno != EEXIST)
		rc = -errno;
	else if (rc == 0)
		rc = (next = open_below(w->fd, name, O_RDONLY)) < 0 ? -errno : 0;
	if (rc == 0 && (pl->h->controllers & CGROUP_BIT(CGROUP_CPUSET)))
		rc = fill_cpuset(w->fd, next);
	if (made && rc < 0)
		(void)unlinkat(w->fd, name, AT_REMOVEDIR);
	if (rc < 0)
		return rc;
	(void)snprintf(w->where + len, sizeof w->where - len, "%s%s",
		       len && w->where[len - 1] == '/' ? "" : "/", name);
	w->made = made ? w->made + 1 : 0;
	fd_close(&w->fd);
	w->fd = fd_take(&next);
	return 0;
}

/* Removes what a failed walk made: as many directories as were made last, from the innermost. */
static void unmake(const char *sysroot, struct walk *w)
{
	char path[8192];

	for (; w->made > 0; w->made--) {
		(void)snprintf(path, sizeof path, "%s%s", sysroot, w->where);
		if (rmdir(path) < 0)
			return;
		*strrchr(w->where, '/') = '\0';
	}
}

/* From the base to the last directory. */
static int descend(struct cgroup_apply *a, const struct place *pl, bool offer, struct walk *w)
{
	AUTO_FREE char *names = strdup(pl->rel);
	char *rest = names;
	bool first = true;

	if (!names)
		return err_num(a->e, ENOMEM, "preparing the cgroup");
	while (rest) {
		char *name = strsep(&rest, "/");
		int rc = 0;

		if (!*name)
			continue;
		if (pl->h->v2 && (pl->want->ctl || pl->want->n_extra))
			rc = hand_down(a, pl, w->fd, w->where, first);
		if (rc < 0)
			return rc;
		if (pl->h->v2 && offer)
			offer_rest(w->fd);
		rc = step(pl, w, name);
		if (rc < 0) {
			char quoted[512];

			return cgroup_refuse(a, -rc,
					     rc == -EACCES || rc == -EPERM || rc == -EROFS ?
						     cgroup_hint_rights :
						     NULL,
					     "making the cgroup %s/%s: %s", w->where,
					     log_quote(quoted, sizeof quoted, name), err_text(-rc));
		}
		first = false;
	}
	return 1;
}

static int keep(struct cgroup_apply *a, const struct place *pl, struct walk *w)
{
	struct cgroup *cg = a->cg;
	struct cgroup_dir *d = &cg->dirs[cg->n];
	AUTO_FREE char *enabled = NULL;
	struct stat st;
	int rc = 0;

	if (fstat(w->fd, &st) < 0)
		return err_sys(a->e, "%s", w->where);
	*d = (struct cgroup_dir){ .fd = -1,
				  .v2 = pl->h->v2,
				  .made = w->made > 0,
				  .above = w->made > 0 ? w->made - 1 : 0,
				  .controllers = pl->h->controllers,
				  .inode = st.st_ino,
				  .path = arena_strdup(&cg->arena, w->where) };
	if (!d->path)
		return err_num(a->e, ENOMEM, "preparing the cgroup");
	d->fd = fd_take(&w->fd);
	cg->n++;
	if (d->v2 && cgroup_read(d->fd, "cgroup.controllers", &enabled) == 0)
		d->controllers = cgroup_ctl_parse(enabled, ' ', true);
	if (!d->made)
		rc = check_existing(a, pl, d);
	return rc;
}

int cgroup_place(struct cgroup_apply *a, const struct cgroup_params *p,
		 const struct cgroup_hier *h, const struct cgroup_want *want)
{
	struct place pl = { .h = h, .want = want, .p = p };
	struct walk w = { .fd = -1 };
	int rc = choose(a, p, &pl);

	if (rc < 0 || !pl.base)
		return rc;
	(void)snprintf(w.where, sizeof w.where, "%s%s", h->mount,
		       strcmp(pl.base, "/") == 0 ? "" : pl.base);
	w.fd = open_base(p->sysroot, h, pl.base);
	if (w.fd < 0)
		return cgroup_refuse(a, -w.fd, NULL, "opening the cgroup %s: %s", w.where,
				     err_text(-w.fd));
	rc = descend(a, &pl, p->every_controller, &w);
	if (rc > 0)
		rc = keep(a, &pl, &w);
	if (w.fd >= 0) /* not kept */
		unmake(a->cg->sysroot, &w);
	fd_close(&w.fd);
	return rc;
}

/* --- is the caller's own cgroup good enough? --- */

static bool enabled_already(int dirfd, const struct cgroup_want *w)
{
	AUTO_FREE char *have = NULL;

	if (cgroup_read(dirfd, "cgroup.subtree_control", &have) < 0)
		return false;
	if (w->ctl & ~cgroup_ctl_parse(have, ' ', true))
		return false;
	for (size_t i = 0; i < w->n_extra; i++)
		if (!cgroup_list_has(have, w->extra[i]))
			return false;
	return true;
}

bool cgroup_own_usable(int dirfd, const char *sysroot)
{
	if (faccessat(dirfd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
		return false;
	/* The kernel's root cgroup has no cgroup.type and may hand down while it has processes. */
	return faccessat(dirfd, "cgroup.type", F_OK, 0) < 0 || arrangeable(dirfd, sysroot);
}

bool cgroup_needs_scope(const struct cgroup_params *p, const struct cgroup_hier *v2,
			const struct cgroup_want *w)
{
	struct arena arena = { 0 };
	AUTO_FD int fd = -1;
	const char *base;

	if (p->path || !v2->own || !cgroup_systemd_runs(p->sysroot))
		return false;
	base = own_base(&arena, v2);
	fd = base ? open_base(p->sysroot, v2, base) : -ENOMEM;
	arena_fini(&arena);
	if (fd < 0 || faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
		return true;
	if ((!w->ctl && !w->n_extra) || enabled_already(fd, w))
		return false;
	return !cgroup_own_usable(fd, p->sysroot);
}
