/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/cgroup_layout.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

#define CGROUP_FILE_MAX (64U << 10)
#define MOUNTINFO_MAX (16U << 20) /* hosts with tens of thousands of mounts exist */

static const struct {
	const char *v1, *v2;
} ctl_names[CGROUP_CTLS] = {
	[CGROUP_CPU] = { "cpu", "cpu" },
	[CGROUP_CPUACCT] = { "cpuacct", NULL },
	[CGROUP_CPUSET] = { "cpuset", "cpuset" },
	[CGROUP_MEMORY] = { "memory", "memory" },
	[CGROUP_PIDS] = { "pids", "pids" },
	[CGROUP_IO] = { "blkio", "io" },
	[CGROUP_DEVICES] = { "devices", NULL },
	[CGROUP_FREEZER] = { "freezer", NULL },
	[CGROUP_HUGETLB] = { "hugetlb", "hugetlb" },
	[CGROUP_NET_CLS] = { "net_cls", NULL },
	[CGROUP_NET_PRIO] = { "net_prio", NULL },
	[CGROUP_RDMA] = { "rdma", "rdma" },
	[CGROUP_MISC] = { "misc", "misc" },
	[CGROUP_PERF_EVENT] = { "perf_event", NULL },
};

const char *cgroup_ctl_name(enum cgroup_ctl ctl, bool v2)
{
	return v2 ? ctl_names[ctl].v2 : ctl_names[ctl].v1;
}

unsigned cgroup_ctl_parse(const char *names, char separator, bool v2)
{
	const char sep[] = { separator, '\n', '\0' };
	unsigned bits = 0;

	while (*names) {
		size_t len = strcspn(names, sep);

		for (int i = 0; i < CGROUP_CTLS; i++) {
			const char *n = cgroup_ctl_name((enum cgroup_ctl)i, v2);

			if (n && strlen(n) == len && memcmp(n, names, len) == 0)
				bits |= CGROUP_BIT(i);
		}
		names += len;
		names += *names != '\0';
	}
	return bits;
}

/* Whether the comma-separated list has this word. */
static bool list_has(const char *list, const char *word, size_t len)
{
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n == len && memcmp(list, word, len) == 0)
			return true;
		list += n;
		list += *list != '\0';
	}
	return false;
}

/* One "ID:CONTROLLERS:PATH" line of /proc/self/cgroup, cut in place. */
static int add_hierarchy(struct cgroup_layout *l, char *line, struct err *e)
{
	struct cgroup_hier *h;
	char *names = strchr(line, ':');
	char *path = names ? strchr(names + 1, ':') : NULL;

	if (!path || path[1] != '/')
		return err_set(e, EINVAL, "/proc/self/cgroup: a line is not ID:CONTROLLERS:PATH");
	if (l->n == CGROUP_HIER_MAX)
		return err_set(e, E2BIG, "/proc/self/cgroup: more than %d hierarchies",
			       CGROUP_HIER_MAX);
	*path++ = '\0';
	h = &l->v[l->n];
	*h = (struct cgroup_hier){ .v2 = names[1] == '\0' };
	h->names = arena_strdup(&l->arena, names + 1);
	h->own = arena_strdup(&l->arena, path);
	if (!h->names || !h->own)
		return err_num(e, ENOMEM, "/proc/self/cgroup");
	if (!h->v2)
		h->controllers = cgroup_ctl_parse(h->names, ',', false);
	l->n++;
	return 0;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. Decodes in place. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* Path of `own` as seen below a mount whose root is `root`; NULL when it is not below it. */
static const char *below(const char *own, const char *root)
{
	size_t len = strlen(root);

	/* A cgroup namespace shows what lies outside of it as /.. or /../x. */
	if (strncmp(own, "/..", 3) == 0 && (own[3] == '/' || own[3] == '\0'))
		return NULL;
	if (strcmp(root, "/") == 0)
		return own;
	if (strncmp(own, root, len) != 0 || (own[len] != '/' && own[len] != '\0'))
		return NULL;
	return own[len] ? own + len : "/";
}

static struct cgroup_hier *hier_of_mount(struct cgroup_layout *l, const char *fstype,
					 const char *options)
{
	bool v2 = strcmp(fstype, "cgroup2") == 0;

	if (!v2 && strcmp(fstype, "cgroup") != 0)
		return NULL;
	for (size_t i = 0; i < l->n; i++) {
		struct cgroup_hier *h = &l->v[i];

		if (h->v2 != v2)
			continue;
		if (v2 || list_has(options, h->names, strcspn(h->names, ",")))
			return h;
	}
	return NULL;
}

/*
 * One mountinfo line: "id parent maj:min ROOT POINT options [tags...] - FSTYPE
 * source SUPEROPTIONS". A hierarchy may be mounted several times: the first
 * mount that shows the caller's own cgroup wins, then the first of all.
 */
static int add_mount(struct cgroup_layout *l, char **roots, char *line, struct err *e)
{
	char *field[5], *rest = line, *fstype, *options;
	struct cgroup_hier *h;
	size_t i;

	for (i = 0; i < 5; i++) {
		field[i] = strsep(&rest, " ");
		if (!rest)
			return 0;
	}
	rest = strstr(rest, " - ");
	if (!rest)
		return 0;
	rest += 3;
	fstype = strsep(&rest, " ");
	if (!rest || !strsep(&rest, " ") || !rest)
		return 0;
	options = rest;
	h = hier_of_mount(l, fstype, options);
	if (!h)
		return 0;
	i = (size_t)(h - l->v);
	unescape(field[3]);
	unescape(field[4]);
	if (h->mount && (below(h->own, roots[i]) || !below(h->own, field[3])))
		return 0;
	h->mount = arena_strdup(&l->arena, field[4]);
	roots[i] = arena_strdup(&l->arena, field[3]);
	if (!h->mount || !roots[i])
		return err_num(e, ENOMEM, "/proc/self/mountinfo");
	return 0;
}

/* Calls one of the above for each line of a copy of the text. */
static int each_line(struct cgroup_layout *l, const char *text, char **roots, struct err *e)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy;
	int rc;

	if (!copy)
		return err_num(e, ENOMEM, "reading the cgroup layout");
	while (rest) {
		char *line = strsep(&rest, "\n");

		if (!*line)
			continue;
		rc = roots ? add_mount(l, roots, line, e) : add_hierarchy(l, line, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int cgroup_layout_parse(struct cgroup_layout *l, const char *self_cgroup, const char *mountinfo,
			struct err *e)
{
	struct cgroup_layout new = { 0 };
	char *roots[CGROUP_HIER_MAX] = { 0 };
	int rc = each_line(&new, self_cgroup, NULL, e);

	if (rc == 0)
		rc = each_line(&new, mountinfo, roots, e);
	if (rc < 0) {
		cgroup_layout_fini(&new);
		return rc;
	}
	for (size_t i = 0; i < new.n; i++)
		new.v[i].own = roots[i] ? below(new.v[i].own, roots[i]) : NULL;
	*l = new;
	return 0;
}

int cgroup_layout_read(struct cgroup_layout *l, const char *sysroot, struct err *e)
{
	AUTO_FREE char *self = NULL, *mounts = NULL;
	char path[4096];
	int rc;

	(void)snprintf(path, sizeof path, "%s/proc/self/cgroup", sysroot ? sysroot : "");
	rc = fd_read_file(AT_FDCWD, path, CGROUP_FILE_MAX, &self, NULL, e);
	if (rc < 0)
		return rc;
	(void)snprintf(path, sizeof path, "%s/proc/self/mountinfo", sysroot ? sysroot : "");
	rc = fd_read_file(AT_FDCWD, path, MOUNTINFO_MAX, &mounts, NULL, e);
	if (rc < 0)
		return rc;
	return cgroup_layout_parse(l, self, mounts, e);
}

void cgroup_layout_fini(struct cgroup_layout *l)
{
	arena_fini(&l->arena);
	*l = (struct cgroup_layout){ 0 };
}

const struct cgroup_hier *cgroup_layout_v2(const struct cgroup_layout *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].v2 && l->v[i].mount)
			return &l->v[i];
	return NULL;
}

const struct cgroup_hier *cgroup_layout_v1(const struct cgroup_layout *l, enum cgroup_ctl ctl)
{
	for (size_t i = 0; i < l->n; i++)
		if ((l->v[i].controllers & CGROUP_BIT(ctl)) && l->v[i].mount)
			return &l->v[i];
	return NULL;
}

unsigned cgroup_layout_v1_controllers(const struct cgroup_layout *l)
{
	unsigned bits = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].mount)
			bits |= l->v[i].controllers;
	return bits;
}
