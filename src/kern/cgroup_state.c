/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/num.h"
#include "kern/cgroup_impl.h"

/*
 * {"dirs": [{"path": "/sys/fs/cgroup/...", "v2": true, "made": true, "above": 0,
 *            "controllers": 9, "inode": "4242"}]}
 * The inode number is text: JSON numbers of other readers lose digits above 2^53.
 */
json_t *cgroup_save(const struct cgroup *cg)
{
	json_t *dirs = json_array();

	if (!cg) {
		json_decref(dirs);
		return json_null();
	}
	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_dir *d = &cg->dirs[i];
		char inode[24];
		json_t *o;

		if (d->fd < 0)
			continue;
		(void)snprintf(inode, sizeof inode, "%" PRIu64, d->inode);
		o = json_pack("{s:s, s:b, s:b, s:i, s:i, s:s}", "path", d->path, "v2", d->v2, "made",
			      d->made, "above", (int)d->above, "controllers", (int)d->controllers,
			      "inode", inode);
		if (!o || json_array_append_new(dirs, o) < 0) {
			json_decref(dirs);
			return NULL;
		}
	}
	return json_pack("{s:o}", "dirs", dirs);
}

static bool path_ok(const char *path)
{
	return *path == '/' && !strstr(path, "/../") && !strstr(path, "//") &&
	       (strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
}

/* Opens the directory if it still is the one that was saved. */
static int reopen(const char *sysroot, const struct cgroup_dir *d)
{
	char path[8192];
	struct stat st;
	struct statfs sf;
	AUTO_FD int fd = -1;

	(void)snprintf(path, sizeof path, "%s%s", sysroot, d->path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &sf) < 0 || st.st_ino != d->inode)
		return -1;
	if (!*sysroot && sf.f_type != (d->v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
		return -1;
	return fd_take(&fd);
}

static int read_dir(struct cgroup *cg, const struct jat *at, struct err *e)
{
	struct cgroup_dir *d = &cg->dirs[cg->n];
	const char *path, *inode;
	int64_t above = 0, controllers = 0;

	*d = (struct cgroup_dir){ .fd = -1 };
	if (json_expect_object(at, e) < 0 || json_get_bool(at, "v2", &d->v2, e) < 0 ||
	    json_get_bool(at, "made", &d->made, e) < 0 ||
	    json_get_int(at, "above", 0, 64, &above, e) < 0 ||
	    json_get_int(at, "controllers", 0, INT32_MAX, &controllers, e) < 0)
		return -EINVAL;
	if (json_get_string(at, "path", &path, e) != 1 || !path_ok(path))
		return json_error(at, e, "path: expected an absolute path");
	if (json_get_string(at, "inode", &inode, e) != 1 ||
	    num_parse_u64(inode, 0, UINT64_MAX, &d->inode) < 0)
		return json_error(at, e, "inode: expected a number as text");
	d->above = (unsigned)above;
	d->controllers = (unsigned)controllers;
	d->path = arena_strdup(&cg->arena, path);
	if (!d->path)
		return err_num(e, ENOMEM, "reading the cgroup's state");
	d->fd = reopen(cg->sysroot, d);
	cg->n++;
	return 0;
}

int cgroup_restore(struct cgroup **ret, const struct jat *at, const char *sysroot, struct err *e)
{
	struct cgroup *cg;
	struct jat dirs, el;
	int rc;

	if (!at->val || json_is_null(at->val)) {
		*ret = NULL;
		return 0;
	}
	rc = json_expect_object(at, e);
	if (rc < 0)
		return rc;
	if (json_get_array(at, "dirs", &dirs, e) != 1)
		return json_error(at, e, "dirs: expected an array");
	cg = calloc(1, sizeof *cg);
	if (!cg)
		return err_num(e, ENOMEM, "reading the cgroup's state");
	cg->sysroot = arena_strdup(&cg->arena, sysroot ? sysroot : "");
	rc = cg->sysroot ? 0 : err_num(e, ENOMEM, "reading the cgroup's state");
	for (size_t i = 0; rc == 0 && json_element(&dirs, i, &el); i++)
		rc = i < CGROUP_HIER_MAX ? read_dir(cg, &el, e) :
					   json_error(&el, e, "too many directories");
	if (rc < 0) {
		cgroup_free(&cg);
		return rc;
	}
	*ret = cg;
	return 0;
}
