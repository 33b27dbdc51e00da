/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups and resource limits. The user's own cgroup is only looked at, and a
 * directory is made in it and removed: making room in it by moving processes,
 * or asking systemd for a scope, is left to a launch.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kern/cgroup_impl.h"
#include "kern/probe.h"

static void add_word(char *list, size_t size, const char *word)
{
	size_t n = strlen(list);

	(void)snprintf(list + n, size - n, "%s%s", n ? " " : "", word);
}

/* Makes a directory below the hierarchy's own cgroup and removes it. */
static int try_make(const struct cgroup_hier *h)
{
	char path[4096];

	if (!h->own)
		return ENOENT;
	(void)snprintf(path, sizeof path, "%s%s/vrun-doctor-%d", h->mount,
		       strcmp(h->own, "/") == 0 ? "" : h->own, getpid());
	if (mkdir(path, 0700) < 0)
		return errno;
	(void)rmdir(path);
	return 0;
}

static void read_controllers(const char *path, char *buf, size_t size)
{
	AUTO_FREE char *text = NULL;

	if (fd_read_file(AT_FDCWD, path, CGROUP_TEXT_MAX, &text, NULL, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(buf, size, "%s", text);
}

static void look_at_v2(struct probe_cgroup *c, const struct cgroup_hier *h)
{
	char path[4096];
	AUTO_FD int fd = -1;

	c->make = try_make(h);
	if (!h->own)
		return;
	(void)snprintf(c->path, sizeof c->path, "%s", h->own);
	(void)snprintf(path, sizeof path, "%s%s/cgroup.controllers", h->mount, h->own);
	read_controllers(path, c->controllers, sizeof c->controllers);
	(void)snprintf(path, sizeof path, "%s%s", h->mount, h->own);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	c->arrangeable = fd >= 0 && cgroup_own_usable(fd, NULL);
}

static void look_at_v1(struct probe_cgroup *c, const struct cgroup_layout *l)
{
	c->make = ENOENT;
	for (int k = 0; k < CGROUP_CTLS; k++) {
		const struct cgroup_hier *h = cgroup_layout_v1(l, (enum cgroup_ctl)k);
		int result = h ? try_make(h) : ENOENT;

		if (h && result == 0)
			add_word(c->controllers, sizeof c->controllers,
				 cgroup_ctl_name((enum cgroup_ctl)k, false));
		if (h && c->make != 0)
			c->make = result;
	}
	c->arrangeable = true; /* v1 does not mind processes in inner cgroups */
}

/* What a scope gets: all that the manager's own cgroup has. */
static void look_at_manager(struct probe_user *u, const struct cgroup_hier *v2)
{
	char path[4096];

	u->cgroup.manager = cgroup_systemd_runs(NULL);
	if (!u->cgroup.manager || !v2)
		return;
	if (u->uid == 0)
		(void)snprintf(path, sizeof path, "%s/cgroup.controllers", v2->mount);
	else
		(void)snprintf(path, sizeof path,
			       "%s/user.slice/user-%u.slice/user@%u.service/cgroup.controllers",
			       v2->mount, u->uid, u->uid);
	read_controllers(path, u->cgroup.manager_controllers,
			 sizeof u->cgroup.manager_controllers);
}

void probe_limits(struct probe_user *u)
{
	struct cgroup_layout l;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		u->nofile_soft = files.rlim_cur;
		u->nofile_hard = files.rlim_max;
	}
	(void)snprintf(u->cgroup.layout, sizeof u->cgroup.layout, "none");
	if (cgroup_layout_read(&l, NULL, NULL) < 0)
		return;
	if (cgroup_layout_v1_controllers(&l)) {
		(void)snprintf(u->cgroup.layout, sizeof u->cgroup.layout,
			       cgroup_layout_v2(&l) ? "v1 and v2" : "v1");
		look_at_v1(&u->cgroup, &l);
	} else if (cgroup_layout_v2(&l)) {
		(void)snprintf(u->cgroup.layout, sizeof u->cgroup.layout, "v2");
		look_at_v2(&u->cgroup, cgroup_layout_v2(&l));
		look_at_manager(u, cgroup_layout_v2(&l));
	}
	cgroup_layout_fini(&l);
}
