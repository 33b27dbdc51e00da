/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What belongs to a program, as Debian's package database knows it. (Hosts
 * without one give nothing here; then there are --add and --trace.)
 *
 * Three circles of packages:
 *
 *   whole    Those that own the program, a link to it, or its interpreters,
 *            and, from there, those that they depend on or recommend and that
 *            were built from the same source package (redis-server and
 *            redis-tools, nginx and nginx-common, python3.11-minimal and
 *            libpython3.11-stdlib). Also what --package names, and what a link
 *            in a configuration directory of theirs leads to
 *            (/etc/nginx/modules-enabled). All their files are taken, and all
 *            of such a directory.
 *   data     Those that the first circle's depend on, and the owners of the
 *            libraries, and so on from there, as long as they bring no
 *            commands: libraries, modules, data (tzdata, libmagic-mgc). Their
 *            files are taken but for what the loader finds by itself.
 *   asked    Those that the first circle's depend on, commands or not: only
 *            for the directories that they have the service manager prepare.
 *
 * Essential packages and those of section "admin" (adduser, debconf) serve
 * the system, not the program; they end the search. Documentation, translations
 * and files for the package and service managers are never taken.
 */
#include "pack/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "pack/interrupt.h"
#include "pack/services.h"

#define MARK_WHOLE 1U
#define MARK_DATA 2U
#define MARK_ASKED 4U
#define UNIT_MAX (1U << 20)

/* Nothing that a program reads when it runs. Prefixes end with a slash, or stand for one file. */
static const char *const never[] = {
	"/usr/share/doc/",	 "/usr/share/man/",	  "/usr/share/info/",
	"/usr/share/locale/",	 "/usr/share/lintian/",	  "/usr/share/bug/",
	"/usr/share/doc-base/",	 "/usr/share/bash-completion/", "/usr/share/zsh/",
	"/usr/share/fish/",	 "/usr/share/vim/",	  "/usr/share/emacs/",
	"/usr/share/apport/",	 "/usr/share/applications/", "/usr/share/pixmaps/",
	"/usr/share/menu/",	 "/usr/share/gdb/",	  "/usr/share/gcc/",
	"/usr/share/debconf/",	 "/usr/share/binfmts/",	  "/usr/share/metainfo/",
	"/usr/share/pkgconfig/", "/usr/share/aclocal/",	  "/usr/include/",
	"/usr/share/initramfs-tools/", "/usr/share/polkit-1/", "/usr/share/dbus-1/",
	"/usr/lib/debug/",	 "/usr/lib/valgrind/",	  "/usr/lib/mime/",
	"/usr/lib/systemd/",	 "/lib/systemd/",	  "/usr/lib/tmpfiles.d/",
	"/usr/lib/sysusers.d/",	 "/usr/lib/binfmt.d/",	  "/usr/lib/udev/",
	"/lib/udev/",		 "/usr/lib/modules-load.d/", "/usr/lib/sysctl.d/",
	"/etc/init.d/",		 "/etc/init/",		  "/etc/default/",
	"/etc/cron.d/",		 "/etc/cron.daily/",	  "/etc/cron.hourly/",
	"/etc/cron.weekly/",	 "/etc/cron.monthly/",	  "/etc/logrotate.d/",
	"/etc/apt/",		 "/etc/ufw/",		  "/etc/apparmor.d/",
	"/etc/bash_completion.d/", "/etc/insserv.conf.d/", "/etc/pam.d/",
	"/etc/sudoers.d/",	 "/etc/kernel/",	  "/etc/ppp/",
	"/etc/network/",	 "/etc/resolvconf/",	  "/etc/dhcp/",
	"/etc/X11/",		 "/etc/ld.so.conf.d/",	  "/boot/",		  "/var/lib/dpkg/",
};

static bool is_wanted(const char *path)
{
	for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
		size_t n = strlen(never[i]);

		if (strncmp(path, never[i], n) == 0 || (strncmp(path, never[i], n - 1) == 0 && !path[n - 1]))
			return false;
	}
	return !strstr(path, "/pkgconfig/");
}

static bool is_command(const char *path)
{
	static const char *const dirs[] = { "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/games/" };

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		if (strncmp(path, dirs[i], strlen(dirs[i])) == 0)
			return true;
	return false;
}

/* A list of packages that grows while it is walked. */
struct circle {
	struct pack *p;
	struct dpkg_package **v;
	size_t n;
	unsigned mark;
	const struct dpkg_package *from; /* whose relations are being looked at */
};

static void join(struct circle *c, struct dpkg_package *pkg)
{
	if (pkg->mark & c->mark)
		return;
	pkg->mark |= c->mark;
	c->v[c->n++] = pkg; /* room for every package there is */
}

static bool serves_system(const struct dpkg_package *pkg)
{
	return pkg->essential || strcmp(pkg->section, "admin") == 0;
}

static int join_same_source(void *ctx, struct dpkg_package *pkg)
{
	struct circle *c = ctx;

	if (strcmp(pkg->source, c->from->source) == 0 && !pkg->essential)
		join(c, pkg);
	return 0;
}

static int see_command(void *ctx, const char *path)
{
	(void)ctx;
	return is_command(path);
}

static int join_data(void *ctx, struct dpkg_package *pkg)
{
	struct circle *c = ctx;

	if (!(pkg->mark & MARK_WHOLE) && !serves_system(pkg) && dpkg_files(pkg, see_command, NULL) == 0)
		join(c, pkg);
	return 0;
}

static int join_any(void *ctx, struct dpkg_package *pkg)
{
	if (!serves_system(pkg))
		join(ctx, pkg);
	return 0;
}

static void grow(struct circle *c, size_t first, bool recommends,
		 int (*each)(void *ctx, struct dpkg_package *pkg))
{
	for (size_t i = first; i < c->n; i++) {
		c->from = c->v[i];
		(void)dpkg_relations(&c->p->dpkg, c->from->depends, each, c);
		(void)dpkg_relations(&c->p->dpkg, c->from->pre_depends, each, c);
		if (recommends)
			(void)dpkg_relations(&c->p->dpkg, c->from->recommends, each, c);
	}
}

/* --- taking files -------------------------------------------------------- */

struct taking {
	struct pack *p;
	bool data;   /* of the second circle: without shared libraries */
	size_t taken; /* paths that were added or were there */
	struct err *e;
};

/* A shared library in a directory that the loader searches: it is taken when something needs it. */
static bool loader_finds(const struct pack *p, const char *path)
{
	size_t n = strlen(path) - strlen(path_base(path));

	if (!strstr(path_base(path), ".so"))
		return false;
	for (size_t i = 0; i < p->libs.loader.n_dirs; i++) {
		const char *dir = p->libs.loader.dirs[i];

		if (strlen(dir) + 1 == n && strncmp(dir, path, n - 1) == 0)
			return true;
	}
	return false;
}

static bool data_wanted(const struct pack *p, const char *path)
{
	size_t n = strlen(path);

	return !loader_finds(p, path) && !strstr(path, "/gconv/") && !strstr(path, "/gconv") &&
	       !(n > 2 && strcmp(path + n - 2, ".a") == 0);
}

/* Adds one path of a package. What is gone, unreadable or special is passed over. */
static int take_file(void *ctx, const char *path)
{
	struct taking *t = ctx;
	int rc = interrupt_check(t->e);
	struct stat st;

	if (rc < 0 || !is_wanted(path) || (t->data && !data_wanted(t->p, path)))
		return rc;
	/* Of data, what matters are files; their directories come by themselves. */
	if (t->data && (host_lstat(&t->p->host, path, &st) < 0 || S_ISDIR(st.st_mode)))
		return 0;
	rc = place_path(&t->p->place, path, WHY_PACKAGE, NULL, t->e);
	t->taken += rc == 0;
	return rc == -ENOMEM || rc == -EINTR ? rc : 0;
}

/* --- configuration directories ------------------------------------------- */

static bool not_whole(void *ctx, struct dpkg_package *pkg)
{
	bool *shared = ctx;

	*shared = *shared || !(pkg->mark & MARK_WHOLE);
	return !*shared;
}

/*
 * A directory below /etc that only the program's packages have: what an
 * administrator put there is the program's configuration too.
 */
static bool is_own_config(const struct pack *p, const char *path)
{
	bool shared = false;

	if (strncmp(path, "/etc/", 5) != 0 || !is_wanted(path))
		return false;
	dpkg_owners(&p->dpkg, path, not_whole, &shared);
	return !shared;
}

static bool filter_wanted(void *ctx, const char *path)
{
	(void)ctx;
	return is_wanted(path);
}

/*
 * A link in such a directory switches on what it leads to: that file comes too, and the package
 * that it belongs to becomes one of the program's.
 */
static int follow_config_links(struct circle *c, const char *dir, struct err *e)
{
	struct pack *p = c->p;
	AUTO_FREE struct node **v = tree_sorted(&p->tree);
	size_t n = p->tree.n;
	char real[PATH_MAX];

	if (!v)
		return err_num(e, ENOMEM, "packing");
	for (size_t i = 0; i < n; i++) {
		struct dpkg_package *owner;
		int rc;

		if (v[i]->kind != NODE_LINK || !path_below(v[i]->path, dir))
			continue;
		rc = place_path(&p->place, v[i]->path, WHY_PACKAGE, real, e);
		if (rc == -ENOMEM || rc == -EINTR)
			return rc;
		owner = rc == 0 ? dpkg_owner(&p->dpkg, real) : NULL;
		if (owner && !owner->essential)
			join(c, owner);
	}
	return 0;
}

struct config_search {
	struct circle *c;
	struct err *e;
};

static int take_config(void *ctx, const char *path)
{
	struct config_search *s = ctx;
	struct pack *p = s->c->p;
	char real[PATH_MAX];
	struct stat st;
	int rc;

	if (!is_own_config(p, path) || host_realpath(&p->host, path, real, NULL) < 0 ||
	    host_lstat(&p->host, real, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	rc = place_tree(&p->place, path, WHY_PACKAGE, filter_wanted, NULL, s->e);
	if (rc == -ENOMEM || rc == -EINTR)
		return rc;
	return follow_config_links(s->c, real, s->e);
}

/* --- directories for the service ----------------------------------------- */

int service_dirs_add(struct pack *p, const char *path, struct err *e)
{
	const char **v;

	for (size_t i = 0; i < p->service_dirs.n; i++)
		if (strcmp(p->service_dirs.v[i], path) == 0)
			return 0;
	v = arena_array(&p->arena, p->service_dirs.n + 1, sizeof *v);
	if (!v)
		return err_num(e, ENOMEM, "packing");
	for (size_t i = 0; i < p->service_dirs.n; i++)
		v[i] = p->service_dirs.v[i];
	v[p->service_dirs.n] = arena_strdup(&p->arena, path);
	if (!v[p->service_dirs.n])
		return err_num(e, ENOMEM, "packing");
	p->service_dirs.v = v;
	p->service_dirs.n++;
	return 0;
}

struct asking {
	struct pack *p;
	struct err *e;
};

static int want_dir(void *ctx, const char *path, mode_t mode, const char *user, const char *group)
{
	struct asking *a = ctx;
	struct pack *p = a->p;
	char real[PATH_MAX];
	int rc;

	/* /run and such are there anyway; a directory of the system's is not a service's. */
	if (strchr(path + 1, '/') == NULL)
		return 0;
	rc = place_mkdir(&p->place, path, mode & (S_ISVTX | 0777), WHY_PACKAGE, real, a->e);
	if (rc < 0)
		return rc == -ENOMEM || rc == -EINTR ? rc : 0;
	accounts_want_name(&p->accounts, user, group);
	return service_dirs_add(p, real, a->e);
}

static int want_user(void *ctx, const char *user, const char *group)
{
	struct asking *a = ctx;

	accounts_want_name(&a->p->accounts, user, group);
	if (!a->p->service_user)
		a->p->service_user = arena_strdup(&a->p->arena, user);
	return 0;
}

static int read_wishes(void *ctx, const char *path)
{
	struct asking *a = ctx;
	const struct services_wish wish = { .dir = want_dir, .user = want_user, .ctx = a };
	size_t n = strlen(path);
	bool unit = n > 8 && strcmp(path + n - 8, ".service") == 0 && strstr(path, "/systemd/system/");
	bool tmpfiles = strncmp(path, "/usr/lib/tmpfiles.d/", 20) == 0;
	AUTO_FREE char *text = NULL;

	if ((!unit && !tmpfiles) || host_read(&a->p->host, path, UNIT_MAX, &text, NULL, NULL) < 0)
		return 0;
	return unit ? services_read_unit(text, &wish) : services_read_tmpfiles(text, &wish);
}

/* --- all together -------------------------------------------------------- */

/* The first circle's seeds. */
static int find_seeds(struct circle *c, struct err *e)
{
	struct pack *p = c->p;
	struct dpkg_package *pkg;
	char quoted[256];

	for (size_t i = 0; i < p->program.n; i++) {
		const char *paths[] = { p->program.step[i].path, p->program.step[i].real };

		for (size_t k = 0; k < 2; k++) {
			pkg = dpkg_owner(&p->dpkg, paths[k]);
			if (pkg && !pkg->essential)
				join(c, pkg);
		}
	}
	for (size_t i = 0; i < p->o->packages.n; i++) {
		pkg = dpkg_find(&p->dpkg, p->o->packages.v[i]);
		if (!pkg)
			return err_set(e, ENOENT, "--package %s: no such package is installed",
				       log_quote(quoted, sizeof quoted, p->o->packages.v[i]));
		join(c, pkg);
	}
	return 0;
}

/* Takes the first circle, which its own configuration may widen. */
static int take_whole(struct circle *c, struct err *e)
{
	struct taking t = { .p = c->p, .e = e };
	struct config_search s = { .c = c, .e = e };
	int rc = 0;

	for (size_t done = 0; rc == 0 && done < c->n;) {
		size_t n;

		grow(c, done, true, join_same_source);
		n = c->n;
		for (size_t i = done; rc == 0 && i < n; i++)
			rc = dpkg_files(c->v[i], take_file, &t);
		/* Only now: whether a directory is shared depends on all of them. */
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = dpkg_files(c->v[i], take_config, &s);
		done = n;
	}
	return rc;
}

static int take_data(struct circle *whole, struct circle *data, struct err *e)
{
	struct pack *p = data->p;
	struct taking t = { .p = p, .data = true, .e = e };
	int rc = 0;

	for (size_t i = 0; i < whole->n; i++) {
		data->from = whole->v[i];
		(void)dpkg_relations(&p->dpkg, data->from->depends, join_data, data);
		(void)dpkg_relations(&p->dpkg, data->from->pre_depends, join_data, data);
	}
	for (size_t i = 0; i < p->libs.all.n; i++) {
		struct dpkg_package *pkg = dpkg_owner(&p->dpkg, p->libs.all.v[i]->real);

		if (pkg)
			(void)join_data(data, pkg);
	}
	grow(data, 0, false, join_data);
	for (size_t i = 0; rc == 0 && i < data->n; i++) {
		t.taken = 0;
		rc = dpkg_files(data->v[i], take_file, &t);
		/* Most are plain libraries that had nothing to add. */
		if (t.taken == 0)
			data->v[i]->mark &= ~MARK_DATA;
	}
	return rc;
}

/* Remembers what was taken, for the manifest. */
static int remember(struct pack *p, const struct circle *whole, const struct circle *data, struct err *e)
{
	struct pack_package *v = arena_array(&p->arena, whole->n + data->n, sizeof *v);

	if (!v)
		return err_num(e, ENOMEM, "packing");
	for (size_t i = 0; i < whole->n; i++)
		v[p->n_packages++] = (struct pack_package){ .pkg = whole->v[i], .whole = true };
	for (size_t i = 0; i < data->n; i++)
		if (data->v[i]->mark & MARK_DATA)
			v[p->n_packages++] = (struct pack_package){ .pkg = data->v[i] };
	p->packages = v;
	return 0;
}

static int take_all(struct pack *p, struct circle *whole, struct circle *data, struct circle *asked,
		    struct err *e)
{
	struct asking asking = { .p = p, .e = e };
	int rc = find_seeds(whole, e);

	if (rc == 0)
		rc = take_whole(whole, e);
	if (rc == 0)
		rc = take_data(whole, data, e);
	for (size_t i = 0; i < whole->n; i++) {
		join(asked, whole->v[i]);
		asked->from = whole->v[i];
		(void)dpkg_relations(&p->dpkg, whole->v[i]->depends, join_any, asked);
	}
	for (size_t i = 0; rc == 0 && i < asked->n; i++)
		rc = dpkg_files(asked->v[i], read_wishes, &asking);
	return rc == 0 ? remember(p, whole, data, e) : rc;
}

int collect_packages(struct pack *p, struct err *e)
{
	struct circle whole = { .p = p, .mark = MARK_WHOLE }, data = { .p = p, .mark = MARK_DATA },
		      asked = { .p = p, .mark = MARK_ASKED };
	int rc;

	if (p->o->no_packages)
		return 0;
	rc = dpkg_open(&p->dpkg, &p->host, e);
	if (rc == -ENOENT && p->o->packages.n == 0)
		return 0;
	if (rc < 0)
		return rc;
	progress_phase(&p->progress, "packages", 0);
	whole.v = calloc(p->dpkg.n + 1, sizeof(struct dpkg_package *));
	data.v = calloc(p->dpkg.n + 1, sizeof(struct dpkg_package *));
	asked.v = calloc(p->dpkg.n + 1, sizeof(struct dpkg_package *));
	rc = whole.v && data.v && asked.v ? take_all(p, &whole, &data, &asked, e) :
					    err_num(e, ENOMEM, "packing");
	free(whole.v);
	free(data.v);
	free(asked.v);
	return rc;
}
