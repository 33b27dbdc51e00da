/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/cgroup.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "kern/cgroup_impl.h"

#define VALUE_MAX 4096 /* one line that a bundle may set; the kernel takes a page */

/* What an app may nest in a directory that it was given. */
#define NEST_DEPTH "32"
#define NEST_COUNT "1024"

const char cgroup_hint_rights[] =
	"limits need root or a delegated cgroup: run it in `systemd-run --user --scope -p "
	"Delegate=yes`, or pass --best-effort to go without";

int cgroup_note(struct cgroup *cg, const char *text)
{
	const char **v = arena_array(&cg->arena, cg->left_out.n + 2, sizeof *v);
	char *copy = arena_strdup(&cg->arena, text);

	if (!v || !copy)
		return -ENOMEM;
	if (cg->left_out.n)
		memcpy(v, cg->left_out.v, cg->left_out.n * sizeof *v);
	v[cg->left_out.n++] = copy;
	cg->left_out.v = v;
	return 0;
}

int cgroup_refuse(struct cgroup_apply *a, int num, const char *hint, const char *fmt, ...)
{
	char text[sizeof a->e->text];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (a->best_effort)
		return cgroup_note(a->cg, text);
	(void)err_set(a->e, num, "%s", text);
	if (hint)
		(void)err_hint(a->e, "%s", hint);
	return -num;
}

__attribute__((format(printf, 3, 0))) static int write_value(const struct cgroup_dir *d, const char *file, const char *fmt, va_list ap)
{
	char value[VALUE_MAX];
	int n = vsnprintf(value, sizeof value, fmt, ap);

	if (n < 0 || (size_t)n >= sizeof value)
		return -E2BIG;
	return fd_write_file(d->fd, file, value);
}

int cgroup_try(const struct cgroup_dir *d, const char *file, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = write_value(d, file, fmt, ap);
	va_end(ap);
	return rc;
}

int cgroup_failed(struct cgroup_apply *a, int rc, const struct cgroup_dir *d, const char *key,
		  const char *file)
{
	char quoted[256];

	(void)log_quote(quoted, sizeof quoted, file);
	switch (-rc) {
	case ENOENT:
	case EOPNOTSUPP:
		return cgroup_refuse(a, ENOTSUP, NULL,
				     "linux.resources.%s: this kernel offers no %s in %s", key,
				     quoted, d->path);
	case EACCES:
	case EPERM:
	case EROFS:
		return cgroup_refuse(a, EACCES, cgroup_hint_rights,
				     "linux.resources.%s: writing %s/%s: %s", key, d->path, quoted,
				     err_text(-rc));
	case EBUSY:
		return cgroup_refuse(a, EBUSY, NULL,
				     "linux.resources.%s: writing %s/%s: what is in use does not "
				     "fit into the new value",
				     key, d->path, quoted);
	default:
		return cgroup_refuse(a, -rc, NULL,
				     "linux.resources.%s: the kernel refuses the value for %s/%s: "
				     "%s",
				     key, d->path, quoted, err_text(-rc));
	}
}

int cgroup_set(struct cgroup_apply *a, const struct cgroup_dir *d, const char *key,
	       const char *file, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = write_value(d, file, fmt, ap);
	va_end(ap);
	return rc < 0 ? cgroup_failed(a, rc, d, key, file) : 0;
}

int cgroup_read(int dirfd, const char *file, char **ret_text)
{
	return fd_read_file(dirfd, file, CGROUP_TEXT_MAX, ret_text, NULL, NULL);
}

int cgroup_read_u64(int dirfd, const char *file, uint64_t *ret)
{
	AUTO_FREE char *text = NULL;
	int rc = cgroup_read(dirfd, file, &text);

	if (rc < 0)
		return rc;
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "max") == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	return num_parse_u64(text, 0, UINT64_MAX, ret);
}

bool cgroup_list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n = strcspn(list, " \n");

		if (n == len && memcmp(list, word, len) == 0)
			return true;
		list += n;
		list += *list != '\0';
	}
	return false;
}

const struct cgroup_dir *cgroup_dir_of(const struct cgroup *cg, enum cgroup_ctl ctl)
{
	for (size_t i = 0; i < cg->n; i++)
		if (cg->dirs[i].fd >= 0 && (cg->dirs[i].controllers & CGROUP_BIT(ctl)))
			return &cg->dirs[i];
	return NULL;
}

const struct cgroup_dir *cgroup_dir_v2(const struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++)
		if (cg->dirs[i].fd >= 0 && cg->dirs[i].v2)
			return &cg->dirs[i];
	return NULL;
}

/* --- what is asked for --- */

static bool wants_memory(const struct bundle_resources *r)
{
	return r->has_mem_limit || r->has_mem_reservation || r->has_mem_swap || r->has_mem_kernel ||
	       r->has_mem_kernel_tcp || r->has_swappiness || r->has_disable_oom ||
	       r->has_use_hierarchy;
}

static bool wants_cpu(const struct bundle_resources *r)
{
	return r->has_cpu_shares || r->has_cpu_quota || r->has_cpu_period || r->has_cpu_burst ||
	       r->has_rt_runtime || r->has_rt_period || r->has_cpu_idle;
}

static bool wants_blkio(const struct bundle_resources *r)
{
	size_t n = r->n_blkio_weights;

	for (int k = 0; k < THROTTLE_KINDS; k++)
		n += r->n_throttle[k];
	return r->has_blkio_weight || r->has_blkio_leaf || n > 0;
}

/* Controllers (and, as one of them, device rules) that the resources need. */
static unsigned needs(const struct bundle_resources *r, bool devices_closed)
{
	unsigned bits = 0;

	if (!r)
		return 0;
	if (wants_memory(r))
		bits |= CGROUP_BIT(CGROUP_MEMORY);
	if (wants_cpu(r))
		bits |= CGROUP_BIT(CGROUP_CPU);
	if (r->cpus || r->mems)
		bits |= CGROUP_BIT(CGROUP_CPUSET);
	if (r->has_pids)
		bits |= CGROUP_BIT(CGROUP_PIDS);
	if (wants_blkio(r))
		bits |= CGROUP_BIT(CGROUP_IO);
	if (r->n_hugepages)
		bits |= CGROUP_BIT(CGROUP_HUGETLB);
	if (r->has_net_class)
		bits |= CGROUP_BIT(CGROUP_NET_CLS);
	if (r->n_net_prios)
		bits |= CGROUP_BIT(CGROUP_NET_PRIO);
	if (r->n_rdma)
		bits |= CGROUP_BIT(CGROUP_RDMA);
	if (r->n_devices && !(devices_closed && cgroup_devices_only_default(r)))
		bits |= CGROUP_BIT(CGROUP_DEVICES);
	return bits;
}

/* --- setting it --- */

/* The groups in the order in which they are set; devices last, when nothing else can fail. */
static const struct {
	enum cgroup_ctl ctl;
	const char *key;
	cgroup_setter *v1, *v2;
} groups[] = {
	{ CGROUP_MEMORY, "memory", cgroup_v1_memory, cgroup_v2_memory },
	{ CGROUP_PIDS, "pids", cgroup_set_pids, cgroup_set_pids },
	{ CGROUP_CPU, "cpu", cgroup_v1_cpu, cgroup_v2_cpu },
	{ CGROUP_CPUSET, "cpu.cpus", cgroup_v1_cpuset, cgroup_v2_cpuset },
	{ CGROUP_IO, "blockIO", cgroup_v1_blkio, cgroup_v2_blkio },
	{ CGROUP_HUGETLB, "hugepageLimits", cgroup_v1_hugetlb, cgroup_v2_hugetlb },
	{ CGROUP_NET_CLS, "network.classID", cgroup_v1_net_cls, NULL },
	{ CGROUP_NET_PRIO, "network.priorities", cgroup_v1_net_prio, NULL },
	{ CGROUP_RDMA, "rdma", cgroup_set_rdma, cgroup_set_rdma },
	{ CGROUP_DEVICES, "devices", cgroup_v1_devices, cgroup_v2_devices },
};

/* Sets every group in `need`, and "unified". */
static int set_all(struct cgroup_apply *a, unsigned need)
{
	const struct cgroup_dir *v2 = cgroup_dir_v2(a->cg);
	int rc;

	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		const struct cgroup_dir *d = cgroup_dir_of(a->cg, groups[i].ctl);

		if (!(need & ~a->failed & CGROUP_BIT(groups[i].ctl)))
			continue;
		/* Device rules need no controller on v2, only a directory. */
		if (!d && groups[i].ctl == CGROUP_DEVICES)
			d = v2;
		if (d && (d->v2 ? groups[i].v2 : groups[i].v1))
			rc = (d->v2 ? groups[i].v2 : groups[i].v1)(a, d);
		else
			rc = cgroup_refuse(a, ENOTSUP, NULL,
					   "linux.resources.%s: %s", groups[i].key,
					   a->update ? "the container was started without a cgroup "
						       "controller for it" :
						       "this host has no cgroup controller for it");
		if (rc < 0)
			return rc;
	}
	if (a->r && a->r->n_unified && v2)
		return cgroup_v2_unified(a, v2);
	if (a->r && a->r->n_unified && !(a->failed & CGROUP_BIT(CGROUP_CTLS)))
		return cgroup_refuse(a, ENOTSUP, "use the v1 keys of linux.resources",
				     "linux.resources.unified: this host has no cgroup v2 hierarchy");
	return 0;
}

/* Controller part of a unified key; NULL for the core's "cgroup.". */
static int unified_controller(struct cgroup *cg, const char *key, const char **ret)
{
	size_t n = strcspn(key, ".");
	char *name = arena_strndup(&cg->arena, key, n);

	if (!name)
		return -ENOMEM;
	*ret = strcmp(name, "cgroup") == 0 ? NULL : name;
	return 0;
}

/* Decides which hierarchies to join and which controllers v2 has to hand down. */
static int plan(struct cgroup_apply *a, const struct cgroup_params *p,
		const struct cgroup_layout *l, unsigned need, struct cgroup_want *w)
{
	static const unsigned v2_less = CGROUP_BIT(CGROUP_DEVICES) | CGROUP_BIT(CGROUP_FREEZER) |
					CGROUP_BIT(CGROUP_NET_CLS) | CGROUP_BIT(CGROUP_NET_PRIO);
	unsigned v1 = cgroup_layout_v1_controllers(l);
	size_t n = a->r ? a->r->n_unified : 0;

	*w = (struct cgroup_want){ 0 };
	w->v1 = v1 & (p->every_controller ? ~0U : need | CGROUP_BIT(CGROUP_FREEZER));
	w->ctl = need & ~v1 & ~v2_less;
	w->extra = arena_array(&a->cg->arena, n + 1, sizeof *w->extra);
	if (!w->extra)
		return err_num(a->e, ENOMEM, "linux.resources.unified");
	for (size_t i = 0; i < n; i++) {
		if (unified_controller(a->cg, a->r->unified[i].key, &w->extra[w->n_extra]) < 0)
			return err_num(a->e, ENOMEM, "linux.resources.unified");
		if (w->extra[w->n_extra])
			w->n_extra++;
	}
	/* Beside v1 controllers v2 is joined only for what nothing else can do. */
	w->v2 = v1 == 0 || w->ctl || n || !(w->v1 & CGROUP_BIT(CGROUP_FREEZER));
	return 0;
}

static int place_all(struct cgroup_apply *a, const struct cgroup_params *p,
		     const struct cgroup_layout *l, const struct cgroup_want *w)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct cgroup_hier *h = &l->v[i];
		int rc;

		if (!h->mount || !(h->v2 ? w->v2 : (h->controllers & w->v1) != 0))
			continue;
		rc = cgroup_place(a, p, h, w);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Everything that may fail once the struct is there. */
static int build(struct cgroup_apply *a, const struct cgroup_params *p, unsigned need)
{
	struct cgroup_layout l;
	struct cgroup_want w;
	const struct cgroup_hier *v2;
	int rc = cgroup_layout_read(&l, p->sysroot, a->e);

	if (rc < 0)
		return rc;
	rc = plan(a, p, &l, need, &w);
	v2 = cgroup_layout_v2(&l);
	if (rc == 0 && !v2 && !cgroup_layout_v1_controllers(&l)) {
		a->failed = ~0U;
		rc = cgroup_refuse(a, ENOTSUP,
				   "mount one: `mount -t cgroup2 cgroup2 /sys/fs/cgroup`, or pass "
				   "--best-effort to go without",
				   "linux.resources: no cgroup file system is mounted");
	}
	if (rc == 0 && (p->systemd || (v2 && w.v2 && cgroup_needs_scope(p, v2, &w)))) {
		struct err why = { 0 };

		rc = cgroup_systemd_scope(p, &why);
		if (rc == 0) {
			cgroup_layout_fini(&l);
			rc = cgroup_layout_read(&l, p->sysroot, a->e);
			if (rc < 0)
				return rc;
		} else {
			a->failed = ~0U;
			rc = cgroup_refuse(a, why.num, why.hint, "%s", why.text);
		}
	}
	if (rc == 0 && a->failed != ~0U)
		rc = place_all(a, p, &l, &w);
	if (rc == 0)
		rc = set_all(a, need);
	cgroup_layout_fini(&l);
	return rc;
}

/* Ids become directory names, unified keys file names. */
static int check_names(const struct cgroup_params *p, struct err *e)
{
	char quoted[256];

	if (!p->id || !*p->id || strpbrk(p->id, "/\n") || strlen(p->id) > 200)
		return err_set(e, EINVAL, "cannot name a cgroup after the id '%s'",
			       p->id ? log_quote(quoted, sizeof quoted, p->id) : "");
	if (p->path && strlen(p->path) >= 2048)
		return err_set(e, EINVAL, "linux.cgroupsPath: longer than 2047 bytes");
	return p->resources ? cgroup_check_unified(p->resources, e) : 0;
}

int cgroup_prepare(struct cgroup **ret, const struct cgroup_params *p, struct err *e)
{
	unsigned need = needs(p->resources, p->devices_closed);
	struct cgroup_apply a = { .r = p->resources, .best_effort = p->best_effort, .e = e };
	struct cgroup *cg;
	struct err ignored;
	int rc;

	if (!need && !p->path && !p->every_controller && !p->systemd &&
	    !(p->resources && p->resources->n_unified)) {
		*ret = NULL;
		return 0;
	}
	rc = check_names(p, e);
	if (rc < 0)
		return rc;
	cg = calloc(1, sizeof *cg);
	if (!cg)
		return err_num(e, ENOMEM, "preparing the cgroup");
	a.cg = cg;
	cg->sysroot = arena_strdup(&cg->arena, p->sysroot ? p->sysroot : "");
	rc = cg->sysroot ? build(&a, p, need) : err_num(e, ENOMEM, "preparing the cgroup");
	if (rc < 0) {
		(void)cgroup_destroy(cg, 0, &ignored);
		cgroup_free(&cg);
		return rc;
	}
	*ret = cg;
	return 0;
}

int cgroup_update(struct cgroup *cg, const struct bundle_resources *r, struct err *e)
{
	struct cgroup_apply a = { .cg = cg, .r = r, .update = true, .e = e };

	int rc = cg ? cgroup_check_unified(r, e) : 0;

	return cg && rc == 0 ? set_all(&a, needs(r, false)) : rc;
}

const struct strlist *cgroup_left_out(const struct cgroup *cg)
{
	static const struct strlist none;

	return cg ? &cg->left_out : &none;
}

int cgroup_clone_fd(const struct cgroup *cg)
{
	const struct cgroup_dir *d = cg ? cgroup_dir_v2(cg) : NULL;

	return d ? d->fd : -1;
}

int cgroup_enter(struct cgroup *cg, pid_t pid, bool cloned, struct err *e)
{
	for (size_t i = 0; cg && i < cg->n; i++) {
		const struct cgroup_dir *d = &cg->dirs[i];
		int rc;

		if (d->v2 && cloned)
			continue;
		if (d->fd < 0)
			return err_set(e, ENOENT, "entering the cgroup %s: it is gone", d->path);
		rc = cgroup_try(d, "cgroup.procs", "%d", pid);
		if (rc < 0) {
			(void)err_num(e, -rc, "entering the cgroup %s", d->path);
			if (rc == -EACCES || rc == -EPERM)
				(void)err_hint(e, "%s", cgroup_hint_rights);
			return rc;
		}
	}
	return 0;
}

/* Files that a delegatee owns: one name a line; the spec has a list for kernels without the file. */
static int delegate_files(const struct cgroup *cg, const struct cgroup_dir *d, uid_t uid, gid_t gid)
{
	AUTO_FREE char *text = NULL;
	char path[4096], *rest;
	int rc;

	(void)snprintf(path, sizeof path, "%s/sys/kernel/cgroup/delegate", cg->sysroot);
	rc = fd_read_file(AT_FDCWD, path, CGROUP_TEXT_MAX, &text, NULL, NULL);
	if (rc < 0)
		text = strdup("cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
	rest = text;
	while (rest) {
		char *name = strsep(&rest, "\n");

		if (!*name || strchr(name, '/'))
			continue;
		if (fchownat(d->fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
			return -errno;
	}
	return text ? 0 : -ENOMEM;
}

int cgroup_delegate(struct cgroup *cg, uid_t uid, gid_t gid, struct err *e)
{
	const struct cgroup_dir *d = cg ? cgroup_dir_v2(cg) : NULL;
	char *text;
	int rc;

	if (!d)
		return 0;
	/* Only where the bundle's "unified" has not set them: a bound that was lowered stays. */
	if (cgroup_read(d->fd, "cgroup.max.depth", &text) == 0) {
		if (strcmp(text, "max\n") == 0)
			(void)cgroup_try(d, "cgroup.max.depth", NEST_DEPTH);
		free(text);
	}
	if (cgroup_read(d->fd, "cgroup.max.descendants", &text) == 0) {
		if (strcmp(text, "max\n") == 0)
			(void)cgroup_try(d, "cgroup.max.descendants", NEST_COUNT);
		free(text);
	}
	rc = delegate_files(cg, d, uid, gid);
	if (rc == 0 && fchown(d->fd, uid, gid) < 0)
		rc = -errno;
	return rc < 0 ? err_num(e, -rc, "handing the cgroup %s to uid %u", d->path, uid) : 0;
}

void cgroup_free(struct cgroup **cg)
{
	struct cgroup *c = *cg;

	*cg = NULL;
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		fd_close(&c->dirs[i].fd);
	arena_fini(&c->arena);
	free(c);
}
