/* SPDX-License-Identifier: Apache-2.0 */
#include "run/records.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "run/policy_apply.h"

static int files_of(const struct launch *l, struct policy_record_file *files, const struct policy_rule **ret_at)
{
	const struct policy_applied *p = l->opt->policy;

	return p->supervised ? policy_record_files(&p->policy, p->has_ceiling ? &p->ceiling : NULL, files, ret_at) : 0;
}

bool records_wanted(const struct launch *l)
{
	struct policy_record_file files[POLICY_RECORDS_MAX];

	return files_of(l, files, NULL) != 0;
}

static bool is_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool is_writable(const struct bundle_mount *m)
{
	return m->bind && m->source && !(m->attr_set & MOUNT_ATTR_RDONLY) && !(m->rec_attr_set & MOUNT_ATTR_RDONLY);
}

/* What the app can write to it could also write its record in. By the real paths of both. */
static int check_place(const struct launch *l, const char *dir, struct err *e)
{
	char path[PATH_MAX], source[PATH_MAX];
	const struct bundle *b = l->bundle;
	const char *in = NULL;

	if (!realpath(dir, path))
		return err_sys(e, "%s", dir);
	for (size_t i = 0; !in && i < b->n_mounts; i++)
		if (is_writable(&b->mounts[i]) && realpath(b->mounts[i].source, source) && is_within(path, source))
			in = b->mounts[i].source;
	if (!in && l->root_kind == ROOT_DIR && !b->root_readonly && realpath(l->root_dir, source) && is_within(path, source))
		in = l->root_dir;
	if (!in)
		return 0;
	(void)err_set(e, EPERM, "%s lies in %s, where the app may write: it could change its record", dir, in);
	return err_hint(e, "give --record a directory elsewhere");
}

static int is_there_already(const char *dir, const char *name, struct err *e)
{
	(void)err_set(e, EEXIST, "record %s/%s is there already", dir, name);
	return err_hint(e, "a record is never written over: move it away, or give another directory");
}

int records_check(const struct launch *l, struct err *e)
{
	struct policy_record_file files[POLICY_RECORDS_MAX];
	const char *dir = l->opt->record_dir;
	const struct policy_rule *r = NULL;
	int n = files_of(l, files, &r), rc;

	if (n == -E2BIG)
		return err_set(e, E2BIG, "policy and ceiling record to more than %d files", POLICY_RECORDS_MAX);
	if (n < 0)
		return err_set(e, EINVAL, "policy and ceiling have the record %s in two formats", r->options.record_file);
	if (n == 0)
		return 0;
	if (!dir) {
		(void)err_set(e, ENOTSUP, "rule %s records to the file %s, and there is no directory for it", r->id,
			      r->options.record_file);
		return err_hint(e, "give one: --record DIR");
	}
	rc = check_place(l, dir, e);
	for (int i = 0; rc == 0 && i < n; i++) {
		char path[PATH_MAX];
		struct stat st;

		if (snprintf(path, sizeof path, "%s/%s", dir, files[i].name) >= (int)sizeof path)
			return err_set(e, ENAMETOOLONG, "%s", dir);
		if (lstat(path, &st) == 0)
			rc = is_there_already(dir, files[i].name, e);
	}
	return rc;
}

static int make_file(const struct records *r, const char *dir, const char *name, int *ret, struct err *e)
{
	int fd = openat(r->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return is_there_already(dir, name, e);
	if (fd < 0)
		return err_sys(e, "record %s/%s", dir, name);
	*ret = fd;
	return 0;
}

int records_open(struct records *r, const struct launch *l, struct err *e)
{
	const char *dir = l->opt->record_dir;
	struct policy_record_file files[POLICY_RECORDS_MAX];
	int n = files_of(l, files, NULL), rc;

	*r = (struct records){ .dir = -1 };
	rc = records_check(l, e);
	if (rc < 0 || n <= 0)
		return rc;
	r->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir < 0)
		return err_sys(e, "%s", dir);
	for (int i = 0; rc == 0 && i < n; i++) {
		rc = make_file(r, dir, files[i].name, &r->fds[i], e);
		if (rc == 0)
			r->files[r->n++] = files[i];
	}
	if (rc < 0)
		records_remove(r);
	return rc;
}

void records_remove(struct records *r)
{
	for (int i = 0; i < r->n; i++)
		(void)unlinkat(r->dir, r->files[i].name, 0);
}

void records_fini(struct records *r)
{
	for (int i = 0; i < r->n; i++)
		fd_close(&r->fds[i]);
	r->n = 0;
	fd_close(&r->dir);
}
