/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's process object (runtime-spec config.md, "Process"). */
#include <ctype.h>
#include <limits.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "model/bundle_read.h"

/* Capability names by number (linux/capability.h). */
static const struct name_value cap_names[] = {
	{ "CAP_CHOWN", 0 },
	{ "CAP_DAC_OVERRIDE", 1 },
	{ "CAP_DAC_READ_SEARCH", 2 },
	{ "CAP_FOWNER", 3 },
	{ "CAP_FSETID", 4 },
	{ "CAP_KILL", 5 },
	{ "CAP_SETGID", 6 },
	{ "CAP_SETUID", 7 },
	{ "CAP_SETPCAP", 8 },
	{ "CAP_LINUX_IMMUTABLE", 9 },
	{ "CAP_NET_BIND_SERVICE", 10 },
	{ "CAP_NET_BROADCAST", 11 },
	{ "CAP_NET_ADMIN", 12 },
	{ "CAP_NET_RAW", 13 },
	{ "CAP_IPC_LOCK", 14 },
	{ "CAP_IPC_OWNER", 15 },
	{ "CAP_SYS_MODULE", 16 },
	{ "CAP_SYS_RAWIO", 17 },
	{ "CAP_SYS_CHROOT", 18 },
	{ "CAP_SYS_PTRACE", 19 },
	{ "CAP_SYS_PACCT", 20 },
	{ "CAP_SYS_ADMIN", 21 },
	{ "CAP_SYS_BOOT", 22 },
	{ "CAP_SYS_NICE", 23 },
	{ "CAP_SYS_RESOURCE", 24 },
	{ "CAP_SYS_TIME", 25 },
	{ "CAP_SYS_TTY_CONFIG", 26 },
	{ "CAP_MKNOD", 27 },
	{ "CAP_LEASE", 28 },
	{ "CAP_AUDIT_WRITE", 29 },
	{ "CAP_AUDIT_CONTROL", 30 },
	{ "CAP_SETFCAP", 31 },
	{ "CAP_MAC_OVERRIDE", 32 },
	{ "CAP_MAC_ADMIN", 33 },
	{ "CAP_SYSLOG", 34 },
	{ "CAP_WAKE_ALARM", 35 },
	{ "CAP_BLOCK_SUSPEND", 36 },
	{ "CAP_AUDIT_READ", 37 },
	{ "CAP_PERFMON", 38 },
	{ "CAP_BPF", 39 },
	{ "CAP_CHECKPOINT_RESTORE", 40 },
	{ NULL, 0 },
};

static const struct name_value rlimit_names[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
	{ NULL, 0 },
};

static const struct name_value sched_policies[] = {
	{ "SCHED_OTHER", SCHED_NORMAL },
	{ "SCHED_FIFO", SCHED_FIFO },
	{ "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH },
	{ "SCHED_ISO", 4 }, /* a number that the kernel keeps free */
	{ "SCHED_IDLE", SCHED_IDLE },
	{ "SCHED_DEADLINE", SCHED_DEADLINE },
	{ NULL, 0 },
};

static const struct name_value sched_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
	{ NULL, 0 },
};

static const struct name_value ioprio_classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
	{ "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
	{ NULL, 0 },
};

static bool id_mapped(const struct idmap *map, uint32_t id)
{
	for (size_t i = 0; i < map->n; i++)
		if (id >= map->v[i].inside && id - map->v[i].inside < map->v[i].size)
			return true;
	return map->n == 0;
}

/* Reads an id that the container's own map, when it gives one, must have. */
static int read_id(const struct jat *at, const char *key, const struct idmap *map, uint32_t *ret,
		   struct err *e)
{
	struct jat m;
	int rc = bundle_need_u32(at, key, BUNDLE_ID_MAX, ret, e);

	if (rc < 0 || id_mapped(map, *ret))
		return rc;
	(void)json_member(at, key, &m);
	return json_error(&m, e, "%u is not in the container's id map", *ret);
}

static int read_groups(struct bundle *b, const struct jat *user, struct err *e)
{
	struct jat arr, el;
	gid_t *groups;
	size_t n = 0;
	int rc = json_get_array(user, "additionalGids", &arr, e);

	if (rc <= 0)
		return rc;
	groups = arena_array(&b->arena, json_array_size(arr.val), sizeof *groups);
	if (!groups)
		return bundle_no_memory(user, e);
	for (; json_element(&arr, n, &el); n++) {
		int64_t id = 0;

		rc = json_as_int(&el, 0, BUNDLE_ID_MAX, &id, e);
		if (rc < 0)
			return rc;
		groups[n] = (gid_t)id;
		if (!id_mapped(&b->gid_map, groups[n]))
			return json_error(&el, e, "%u is not in the container's id map", groups[n]);
	}
	b->process.user.groups = groups;
	b->process.user.n_groups = n;
	return 0;
}

static int read_user(struct bundle *b, const struct jat *proc, struct err *e)
{
	struct bundle_user *u = &b->process.user;
	uint32_t mask = 0;
	struct jat user;
	int rc = json_get_object(proc, "user", &user, e);

	if (rc <= 0)
		return rc;
	if ((rc = read_id(&user, "uid", &b->uid_map, &u->uid, e)) < 0 ||
	    (rc = read_id(&user, "gid", &b->gid_map, &u->gid, e)) < 0 ||
	    (rc = bundle_get_u32(&user, "umask", 0777, &mask, e)) < 0)
		return rc;
	u->has_umask = rc > 0;
	u->umask = (mode_t)mask;
	return read_groups(b, &user, e);
}

static int read_console_size(struct bundle *b, const struct jat *proc, struct err *e)
{
	uint32_t rows = 0, columns = 0;
	struct jat size;
	int rc;

	if (!b->process.terminal) /* the spec: ignored without a terminal */
		return 0;
	rc = json_get_object(proc, "consoleSize", &size, e);
	if (rc <= 0 || (rc = bundle_need_u32(&size, "height", USHRT_MAX, &rows, e)) < 0 ||
	    (rc = bundle_need_u32(&size, "width", USHRT_MAX, &columns, e)) < 0)
		return rc;
	b->process.rows = (unsigned short)rows;
	b->process.columns = (unsigned short)columns;
	return 0;
}

static int unknown_cap(const struct jat *at, const char *word, struct err *e)
{
	char upper[32] = "CAP_";
	size_t skip = strncasecmp(word, "CAP_", 4) == 0 ? 0 : 4;

	(void)bundle_bad_word(at, word, e, "unknown capability");
	for (size_t i = 0; word[i] && skip + i < sizeof upper - 1; i++)
		upper[skip + i] = (char)toupper((unsigned char)word[i]);
	return bundle_hint_name(upper, cap_names, e);
}

static int read_cap_set(const struct jat *caps, const char *key, uint64_t *ret, struct err *e)
{
	struct jat arr, el;
	const char *word;
	uint64_t set = 0;
	int rc = json_get_array(caps, key, &arr, e);

	if (rc <= 0)
		return rc;
	for (size_t i = 0; json_element(&arr, i, &el); i++) {
		const struct name_value *c = cap_names;

		rc = json_as_string(&el, &word, e);
		if (rc < 0)
			return rc;
		while (c->name && strcmp(c->name, word) != 0)
			c++;
		if (!c->name)
			return unknown_cap(&el, word, e);
		set |= 1ULL << c->value;
	}
	*ret = set;
	return 0;
}

/* capset(2) refuses such a pair. Ambient ones that cannot be had are only left out (bundle.h). */
static int check_effective(const struct jat *caps, const struct cap_sets *c, struct err *e)
{
	uint64_t extra = c->effective & ~c->permitted;
	struct jat m;

	if (extra == 0)
		return 0;
	(void)json_member(caps, "effective", &m);
	return json_error(&m, e, "%s is not in \"permitted\"",
			  cap_names[__builtin_ctzll(extra)].name);
}

static int read_caps(struct bundle *b, const struct jat *proc, struct err *e)
{
	struct cap_sets *c = &b->process.caps;
	struct jat caps;
	int rc = json_get_object(proc, "capabilities", &caps, e);

	if (rc <= 0)
		return rc;
	c->given = true;
	if ((rc = read_cap_set(&caps, "bounding", &c->bounding, e)) < 0 ||
	    (rc = read_cap_set(&caps, "effective", &c->effective, e)) < 0 ||
	    (rc = read_cap_set(&caps, "permitted", &c->permitted, e)) < 0 ||
	    (rc = read_cap_set(&caps, "inheritable", &c->inheritable, e)) < 0 ||
	    (rc = read_cap_set(&caps, "ambient", &c->ambient, e)) < 0)
		return rc;
	return check_effective(&caps, c, e);
}

static int need_limit(const struct jat *at, const char *key, uint64_t *ret, struct err *e)
{
	int rc = json_get_uint(at, key, UINT64_MAX, ret, e);

	return rc == 0 ? bundle_missing(at, key, e) : rc;
}

static int read_rlimit(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct rlimit_entry *r = item;
	uint64_t resource = 0;
	int rc = bundle_get_name(at, "type", rlimit_names, "limit", &resource, e);

	(void)b;
	if (rc == 0)
		return bundle_missing(at, "type", e);
	if (rc < 0 || (rc = need_limit(at, "soft", &r->soft, e)) < 0 ||
	    (rc = need_limit(at, "hard", &r->hard, e)) < 0)
		return rc;
	r->resource = (int)resource;
	if (r->soft > r->hard)
		return json_error(at, e, "the soft limit, %llu, is above the hard one, %llu",
				  (unsigned long long)r->soft, (unsigned long long)r->hard);
	return 0;
}

static int read_rlimits(struct bundle *b, const struct jat *proc, struct err *e)
{
	struct bundle_items items = { 0 };
	struct rlimit_entry *v;
	struct jat arr, el;
	int rc = bundle_get_items(b, proc, "rlimits", sizeof *v, read_rlimit, &items, e);

	if (rc <= 0)
		return rc;
	v = items.v;
	for (size_t i = 1; i < items.n; i++)
		for (size_t j = 0; j < i; j++) {
			if (v[i].resource != v[j].resource)
				continue;
			(void)json_member(proc, "rlimits", &arr);
			(void)json_element(&arr, i, &el);
			return json_error(&el, e, "the same limit as element %zu", j);
		}
	b->process.rlimits = v;
	b->process.n_rlimits = items.n;
	return 0;
}

static int read_sched_flags(const struct jat *at, uint64_t *ret, struct err *e)
{
	struct jat arr, el;
	uint64_t flags = 0, one = 0;
	int rc = json_get_array(at, "flags", &arr, e);

	for (size_t i = 0; rc > 0 && json_element(&arr, i, &el); i++) {
		int r = bundle_as_name(&el, sched_flags, "scheduler flag", &one, e);

		if (r < 0)
			return r;
		flags |= one;
	}
	*ret = flags;
	return rc < 0 ? rc : 0;
}

/* What sched_setattr(2) would refuse, or ignore although it was asked for. */
static int check_scheduler(const struct jat *at, const struct bundle_scheduler *s, struct err *e)
{
	bool rt = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

	if (s->policy == 4)
		return json_error(at, e, "Linux has no SCHED_ISO");
	if (rt && (s->priority < 1 || s->priority > 99))
		return json_error(at, e, "a real-time policy needs a priority from 1 to 99");
	if (!rt && s->priority != 0)
		return json_error(at, e, "priority is for SCHED_FIFO and SCHED_RR only");
	if (s->policy != SCHED_NORMAL && s->policy != SCHED_BATCH && s->nice != 0)
		return json_error(at, e, "nice is for SCHED_OTHER and SCHED_BATCH only");
	if (s->policy != SCHED_DEADLINE) {
		if (s->runtime || s->deadline || s->period)
			return json_error(at, e, "runtime, deadline and period are for"
						 " SCHED_DEADLINE only");
		return 0;
	}
	if (s->runtime < 1024 || s->deadline < s->runtime ||
	    (s->period && s->period < s->deadline))
		return json_error(at, e, "expected 1024 <= runtime <= deadline <= period");
	return 0;
}

static int read_scheduler(struct bundle *b, const struct jat *proc, struct err *e)
{
	struct bundle_scheduler *s = &b->process.scheduler;
	int64_t nice = 0, priority = 0;
	uint64_t policy = 0;
	struct jat at;
	int rc = json_get_object(proc, "scheduler", &at, e);

	if (rc <= 0)
		return rc;
	rc = bundle_get_name(&at, "policy", sched_policies, "scheduling policy", &policy, e);
	if (rc == 0)
		return bundle_missing(&at, "policy", e);
	if (rc < 0 || (rc = json_get_int(&at, "nice", -20, 19, &nice, e)) < 0 ||
	    (rc = json_get_int(&at, "priority", 0, 99, &priority, e)) < 0 ||
	    (rc = json_get_uint(&at, "runtime", INT64_MAX, &s->runtime, e)) < 0 ||
	    (rc = json_get_uint(&at, "deadline", INT64_MAX, &s->deadline, e)) < 0 ||
	    (rc = json_get_uint(&at, "period", INT64_MAX, &s->period, e)) < 0 ||
	    (rc = read_sched_flags(&at, &s->flags, e)) < 0)
		return rc;
	s->given = true;
	s->policy = (uint32_t)policy;
	s->nice = (int32_t)nice;
	s->priority = (int32_t)priority;
	return check_scheduler(&at, s, e);
}

static int read_ioprio(struct bundle *b, const struct jat *proc, struct err *e)
{
	uint64_t class = 0;
	uint32_t level = 0;
	struct jat at;
	int rc = json_get_object(proc, "ioPriority", &at, e);

	if (rc <= 0)
		return rc;
	rc = bundle_get_name(&at, "class", ioprio_classes, "class", &class, e);
	if (rc == 0)
		return bundle_missing(&at, "class", e);
	if (rc < 0 || (rc = bundle_need_u32(&at, "priority", 7, &level, e)) < 0)
		return rc;
	b->process.has_ioprio = true;
	b->process.ioprio = (int)IOPRIO_PRIO_VALUE(class, level);
	return 0;
}

static int read_command(struct bundle *b, const struct jat *proc, struct err *e)
{
	struct bundle_process *p = &b->process;
	struct jat m;
	int rc = bundle_get_list(&b->arena, proc, "args", &p->args, e);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return bundle_missing(proc, "args", e);
	(void)json_member(proc, "args", &m);
	if (p->args.n == 0 || !*p->args.v[0])
		return json_error(&m, e, "names no program");
	rc = bundle_get_env(&b->arena, proc, "env", &p->env, e);
	return rc < 0 ? rc : bundle_need_path(&b->arena, proc, "cwd", &p->cwd, e);
}

static int read_switches(struct bundle *b, const struct jat *proc, struct err *e)
{
	struct bundle_process *p = &b->process;
	int64_t score = 0;
	struct jat at;
	int rc = json_get_bool(proc, "terminal", &p->terminal, e);

	if (rc < 0 || (rc = json_get_bool(proc, "noNewPrivileges", &p->no_new_privs, e)) < 0 ||
	    (rc = bundle_get_text(&b->arena, proc, "apparmorProfile", &p->apparmor, e)) < 0 ||
	    (rc = bundle_get_text(&b->arena, proc, "selinuxLabel", &p->selinux, e)) < 0 ||
	    (rc = json_get_int(proc, "oomScoreAdj", -1000, 1000, &score, e)) < 0)
		return rc;
	p->has_oom_score = rc > 0;
	p->oom_score_adj = (int)score;
	rc = json_get_object(proc, "execCPUAffinity", &at, e);
	if (rc <= 0)
		return rc;
	p->has_exec_affinity = true;
	rc = bundle_get_cpulist(&b->arena, &at, "initial", &p->affinity_initial, e);
	return rc < 0 ? rc : bundle_get_cpulist(&b->arena, &at, "final", &p->affinity_final, e);
}

int bundle_read_process(struct bundle *b, const struct jat *root, struct err *e)
{
	struct jat proc;
	int rc = json_get_object(root, "process", &proc, e);

	if (rc <= 0)
		return rc;
	b->process.given = true;
	if ((rc = read_switches(b, &proc, e)) < 0 || (rc = read_command(b, &proc, e)) < 0 ||
	    (rc = read_console_size(b, &proc, e)) < 0 || (rc = read_user(b, &proc, e)) < 0 ||
	    (rc = read_caps(b, &proc, e)) < 0 || (rc = read_rlimits(b, &proc, e)) < 0 ||
	    (rc = read_scheduler(b, &proc, e)) < 0)
		return rc;
	rc = read_ioprio(b, &proc, e);
	return rc < 0 ? rc : 0;
}

const char *bundle_cap_word(size_t i)
{
	return i < sizeof cap_names / sizeof *cap_names ? cap_names[i].name : NULL;
}
