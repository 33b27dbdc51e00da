/* SPDX-License-Identifier: Apache-2.0 */
#include "run/policy_apply.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/policy.h"
#include "run/outside.h"

#define CEILING_FILE VRUN_SYSCONFDIR "/vrun/ceiling.json"

static void tell_warnings(struct policy_warnings *w)
{
	for (size_t i = 0; i < w->n; i++)
		log_warn("%s", w->v[i].text);
	policy_warnings_fini(w);
}

static int find(struct policy_applied *ret, const struct bundle *b, const char *file,
		const char *const *publish, struct err *e)
{
	bool has_dir = b->dir && *b->dir;
	AUTO_FD int dir = has_dir ? open(b->dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct policy_sources sources = { .option = file,
					  .bundle_fd = dir,
					  .bundle_dir = b->dir,
					  .annotation = has_dir && !outside_is_sandbox(b) ?
								bundle_annotation(b, POLICY_ANNOTATION) :
								NULL };
	struct policy_warnings warnings = { 0 };
	enum policy_source source;
	int rc = policy_find_text(&ret->text, &sources, &source, e);

	if (rc < 0)
		return rc;
	ret->has_policy = source != POLICY_FROM_NOWHERE;
	if (publish && *publish) {
		rc = policy_publish(&ret->text, ret->has_policy, publish, e);
		if (rc < 0)
			return rc;
		ret->has_policy = true;
	}
	if (!ret->has_policy)
		return 0;
	rc = policy_read(&ret->policy, &ret->text, &warnings, e);
	if (rc < 0 && source == POLICY_FROM_ANNOTATION)
		(void)err_wrap(e, "annotation %s", POLICY_ANNOTATION);
	tell_warnings(&warnings);
	return rc;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

static int read_ceiling(struct policy_applied *a, const char *ceiling, struct err *e)
{
	const char *path = ceiling ? ceiling : CEILING_FILE;
	int rc;

	if (!ceiling && access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	rc = json_doc_load(&a->ceiling_text, AT_FDCWD, path, NULL, e);
	if (rc == 0) {
		a->has_ceiling = true;
		rc = policy_read(&a->ceiling, &a->ceiling_text, NULL, e);
	}
	return rc < 0 ? err_wrap(e, "ceiling") : 0;
}

static bool denies(const struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (!p->rules[i].allow)
			return true;
	return false;
}

/*
 * Allowed is what both allow. Where both have rules the supervisor asks both.
 * The loopback form needs nobody, unless the other side has denies: those may
 * be for loopback too.
 */
static void combine(struct policy_applied *a)
{
	enum policy_net own = a->policy.net, top = a->has_ceiling ? a->ceiling.net : own;
	const struct policy *rules = own == POLICY_NET_RULES ? &a->policy : &a->ceiling;

	if (own == POLICY_NET_NONE || top == POLICY_NET_NONE)
		a->net = PROFILE_NET_NONE;
	else if (own == top ? own == POLICY_NET_RULES : denies(rules))
		a->supervised = true;
	else
		a->net = PROFILE_NET_LOOPBACK;
	if (a->has_ceiling) {
		const struct policy_limits *l = &a->ceiling.limits;

		a->policy.limits.memory = lower(a->policy.limits.memory, l->memory);
		a->policy.limits.pids = lower(a->policy.limits.pids, l->pids);
		a->policy.limits.files = lower(a->policy.limits.files, l->files);
	}
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

static int check_enforceable(const struct policy_applied *a, struct err *e)
{
	const struct policy *p = &a->policy;

	if (!a->supervised && p->on_deny != POLICY_DENY_EACCES) {
		(void)err_set(e, ENOTSUP, "%s: onDeny \"%s\" goes with rules for connections", p->file,
			      policy_on_deny_name(p->on_deny));
		return err_hint(e, "without them the kernel itself answers EACCES");
	}
	return 0;
}

int policy_apply(struct bundle *b, const char *file, const char *ceiling, const char *const *publish,
		 struct policy_applied *ret, struct err *e)
{
	struct policy_applied a = { .supervised = false };
	int rc;

	policy_init_none(&a.policy);
	policy_init_none(&a.ceiling);
	rc = find(&a, b, file, publish, e);
	if (rc == 0)
		rc = read_ceiling(&a, ceiling, e);
	if (rc == 0) {
		combine(&a);
		rc = check_enforceable(&a, e);
	}
	if (rc == 0)
		rc = apply_limits(b, &a.policy.limits, e);
	if (rc < 0)
		policy_applied_fini(&a);
	else
		*ret = a;
	return rc;
}

/* Where there is none nothing is allowed, which has to be said in words. */
static int find_foreign(const struct policy_sources *from, const char *text, struct policy_applied *ret, struct err *e)
{
	static const char none[] = "{\"version\": 1}";
	enum policy_source source = POLICY_FROM_NOWHERE;
	int rc = text ? json_doc_parse(&ret->text, "linux.seccomp.listenerMetadata", text, strlen(text), e) :
			policy_find_text(&ret->text, from, &source, e);

	if (rc == 0 && !text && source == POLICY_FROM_NOWHERE)
		rc = json_doc_parse(&ret->text, "no policy", none, strlen(none), e);
	if (rc < 0)
		return rc;
	ret->has_policy = true;
	return policy_read(&ret->policy, &ret->text, NULL, e);
}

int policy_apply_foreign(const struct policy_sources *from, const char *text, const char *ceiling,
			 struct policy_applied *ret, struct err *e)
{
	struct policy_applied a = { .supervised = true };
	int rc;

	policy_init_none(&a.policy);
	policy_init_none(&a.ceiling);
	rc = find_foreign(from, text, &a, e);
	if (rc == 0)
		rc = read_ceiling(&a, ceiling, e);
	if (rc < 0)
		policy_applied_fini(&a);
	else
		*ret = a;
	return rc;
}

void policy_applied_fini(struct policy_applied *a)
{
	policy_fini(&a->policy);
	policy_fini(&a->ceiling);
	if (a->has_policy)
		json_doc_fini(&a->text);
	if (a->has_ceiling)
		json_doc_fini(&a->ceiling_text);
}
