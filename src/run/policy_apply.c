/* SPDX-License-Identifier: Apache-2.0 */
#include "run/policy_apply.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/policy.h"

#define CEILING_FILE VRUN_SYSCONFDIR "/vrun/ceiling.json"

static void tell_warnings(struct policy_warnings *w)
{
	for (size_t i = 0; i < w->n; i++)
		log_warn("%s", w->v[i].text);
	policy_warnings_fini(w);
}

static int find(struct policy *p, const struct bundle *b, const char *file, struct err *e)
{
	bool has_dir = b->dir && *b->dir;
	AUTO_FD int dir = has_dir ? open(b->dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct policy_sources sources = { .option = file,
					  .bundle_fd = dir,
					  .bundle_dir = b->dir,
					  .annotation = has_dir ? bundle_annotation(b, POLICY_ANNOTATION) : NULL };
	struct policy_warnings warnings = { 0 };
	int rc = policy_find(p, &sources, NULL, &warnings, e);

	tell_warnings(&warnings);
	return rc;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

/* Allowed is what both allow. */
static int bound(struct policy *p, const char *ceiling, struct err *e)
{
	const char *path = ceiling ? ceiling : CEILING_FILE;
	struct policy top;
	int rc;

	if (!ceiling && access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	rc = policy_load(&top, AT_FDCWD, path, NULL, e);
	if (rc < 0)
		return err_wrap(e, "ceiling");
	if (top.net < p->net)
		p->net = top.net;
	p->limits.memory = lower(p->limits.memory, top.limits.memory);
	p->limits.pids = lower(p->limits.pids, top.limits.pids);
	p->limits.files = lower(p->limits.files, top.limits.files);
	policy_fini(&top);
	return 0;
}

static int limit_files(struct bundle *b, uint64_t files, struct err *e)
{
	struct bundle_process *pr = &b->process;
	struct rlimit_entry *v = arena_array(&b->arena, pr->n_rlimits + 1, sizeof *v);
	size_t n = 0;

	if (!v)
		return err_num(e, ENOMEM, "limits");
	for (size_t i = 0; i < pr->n_rlimits; i++) {
		if (pr->rlimits[i].resource == RLIMIT_NOFILE)
			files = lower(files, pr->rlimits[i].hard);
		else
			v[n++] = pr->rlimits[i];
	}
	v[n++] = (struct rlimit_entry){ RLIMIT_NOFILE, files, files };
	pr->rlimits = v;
	pr->n_rlimits = n;
	return 0;
}

static int apply_limits(struct bundle *b, const struct policy_limits *l, struct err *e)
{
	struct bundle_resources *r = &b->resources;

	if (l->memory) {
		uint64_t own = r->has_mem_limit && r->mem_limit > 0 ? (uint64_t)r->mem_limit : 0;

		r->given = r->has_mem_limit = true;
		r->mem_limit = (int64_t)lower(l->memory, own);
	}
	if (l->pids) {
		uint64_t own = r->has_pids && r->pids_limit > 0 ? (uint64_t)r->pids_limit : 0;

		r->given = r->has_pids = true;
		r->pids_limit = (int64_t)lower(l->pids, own);
	}
	return l->files ? limit_files(b, l->files, e) : 0;
}

static int check_enforceable(const struct policy *p, struct err *e)
{
	if (p->net == POLICY_NET_RULES) {
		(void)err_set(e, ENOTSUP, "%s: rules for connections need the supervisor, which this version of vrun does not have",
			      p->file);
		return err_hint(e, "\"net\" can be \"none\" or \"loopback\" here");
	}
	if (p->on_deny != POLICY_DENY_EACCES)
		return err_set(e, ENOTSUP, "%s: onDeny \"%s\" needs the supervisor, which this version of vrun does not have",
			       p->file, policy_on_deny_name(p->on_deny));
	return 0;
}

int policy_apply(struct bundle *b, const char *file, const char *ceiling, enum profile_net *ret_net,
		 struct err *e)
{
	struct policy p;
	int rc = find(&p, b, file, e);

	if (rc < 0)
		return rc;
	rc = bound(&p, ceiling, e);
	if (rc == 0)
		rc = check_enforceable(&p, e);
	if (rc == 0)
		rc = apply_limits(b, &p.limits, e);
	if (rc == 0)
		*ret_net = p.net == POLICY_NET_LOOPBACK ? PROFILE_NET_LOOPBACK : PROFILE_NET_NONE;
	policy_fini(&p);
	return rc;
}
