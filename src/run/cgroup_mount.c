/* SPDX-License-Identifier: Apache-2.0 */
#include "run/cgroup_mount.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "kern/cgroup_layout.h"
#include "kern/mount.h"
#include "kern/path.h"

#define OPTIONS_MAX 16

static int attach_v2(const struct bundle_mount *m, int target, struct err *e)
{
	AUTO_FD int fd = -1;
	int rc = mount_new("cgroup2", "cgroup", NULL, 0, m->attr_set, &fd, e);

	if (rc == 0)
		rc = mount_attach(fd, target);
	return rc < 0 && e->num == 0 ? err_num(e, -rc, "cgroup mount") : rc;
}

/* "cpu,cpuacct" or "name=systemd" as mount options. */
static size_t split_names(char *names, const char **options)
{
	char *save = NULL;
	size_t n = 0;

	for (char *p = strtok_r(names, ",", &save); p && n < OPTIONS_MAX; p = strtok_r(NULL, ",", &save))
		options[n++] = p;
	return n;
}

static int attach_v1(const struct cgroup_hier *h, const struct bundle_mount *m, int target,
		     struct err *e)
{
	AUTO_FREE char *names = strdup(h->names);
	const char *options[OPTIONS_MAX];
	AUTO_FD int fd = -1;
	int rc;

	if (!names)
		return err_num(e, ENOMEM, "cgroup mount");
	/* A hierarchy with no controller and no name can be selected with "none" only when it has a name. */
	rc = mount_new("cgroup", "cgroup", options, split_names(names, options), m->attr_set, &fd, e);
	if (rc == 0)
		rc = mount_attach(fd, target);
	return rc < 0 && e->num == 0 ? err_num(e, -rc, "cgroup mount") : rc;
}

static int attach_hierarchy(const struct cgroup_hier *h, const struct bundle_mount *m, int top,
			    struct err *e)
{
	const char *slash = h->mount ? strrchr(h->mount, '/') : NULL;
	AUTO_FD int target = -1;

	if (!slash || !slash[1])
		return 0;
	if (mkdirat(top, slash + 1, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "cgroup mount %s", slash + 1);
	target = openat(top, slash + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return err_sys(e, "cgroup mount %s", slash + 1);
	return h->v2 ? attach_v2(m, target, e) : attach_v1(h, m, target, e);
}

static int attach_all(const struct cgroup_layout *layout, const struct bundle_mount *m, int target,
		      struct err *e)
{
	static const char *const data[] = { "mode=0755" };
	AUTO_FD int top = -1;
	int rc = mount_new("tmpfs", "cgroup", data, 1,
			   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &top, e);

	if (rc < 0)
		return rc;
	rc = mount_attach(top, target);
	if (rc < 0)
		return err_num(e, -rc, "cgroup mount");
	for (size_t i = 0; rc == 0 && i < layout->n; i++)
		rc = attach_hierarchy(&layout->v[i], m, top, e);
	if (rc == 0 && (m->attr_set & MOUNT_ATTR_RDONLY))
		rc = mount_change(top, MOUNT_ATTR_RDONLY, 0, 0, -1, false);
	return rc;
}

int cgroup_mount(int root, const struct bundle_mount *m, struct err *e)
{
	struct cgroup_layout layout;
	AUTO_FD int target = -1;
	int rc;

	rc = cgroup_layout_read(&layout, NULL, e);
	if (rc < 0)
		return rc;
	rc = path_make_dir(root, m->destination, 0755, &target, e);
	if (rc == 0)
		rc = cgroup_layout_v1_controllers(&layout) == 0 ? attach_v2(m, target, e) :
								  attach_all(&layout, m, target, e);
	cgroup_layout_fini(&layout);
	return rc < 0 ? err_wrap(e, "mount on %s", m->destination) : 0;
}
