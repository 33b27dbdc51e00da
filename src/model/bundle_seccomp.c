/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json's linux.seccomp (runtime-spec config-linux.md, "Seccomp"). Only
 * the structure: words must be the spec's, and what needs an error number or a
 * listener must be able to have one. What a name of a system call means, and
 * whether this machine knows it, is for whoever builds the filter.
 */
#include <stdio.h>
#include <string.h>

#include "model/bundle_read.h"

#define ERRNO_MAX 4095      /* the kernel's MAX_ERRNO: what a filter can return */
#define TRACE_MAX UINT16_MAX /* SECCOMP_RET_DATA */

enum action_kind { ACT_PLAIN, ACT_ERRNO, ACT_TRACE, ACT_NOTIFY };

static const struct name_value actions[] = {
	{ "SCMP_ACT_ALLOW", ACT_PLAIN },
	{ "SCMP_ACT_ERRNO", ACT_ERRNO },
	{ "SCMP_ACT_NOTIFY", ACT_NOTIFY },
	{ "SCMP_ACT_KILL", ACT_PLAIN },
	{ "SCMP_ACT_KILL_PROCESS", ACT_PLAIN },
	{ "SCMP_ACT_KILL_THREAD", ACT_PLAIN },
	{ "SCMP_ACT_TRAP", ACT_PLAIN },
	{ "SCMP_ACT_TRACE", ACT_TRACE },
	{ "SCMP_ACT_LOG", ACT_PLAIN },
	{ NULL, 0 },
};

static const struct name_value operators[] = {
	{ "SCMP_CMP_NE", 0 }, { "SCMP_CMP_LT", 0 }, { "SCMP_CMP_LE", 0 },
	{ "SCMP_CMP_EQ", 0 }, { "SCMP_CMP_GE", 0 }, { "SCMP_CMP_GT", 0 },
	{ "SCMP_CMP_MASKED_EQ", 1 }, /* the one that has a second value */
	{ NULL, 0 },
};

static const struct name_value architectures[] = {
	{ "SCMP_ARCH_X86", 0 },		 { "SCMP_ARCH_X86_64", 0 },
	{ "SCMP_ARCH_X32", 0 },		 { "SCMP_ARCH_ARM", 0 },
	{ "SCMP_ARCH_AARCH64", 0 },	 { "SCMP_ARCH_LOONGARCH64", 0 },
	{ "SCMP_ARCH_M68K", 0 },	 { "SCMP_ARCH_MIPS", 0 },
	{ "SCMP_ARCH_MIPS64", 0 },	 { "SCMP_ARCH_MIPS64N32", 0 },
	{ "SCMP_ARCH_MIPSEL", 0 },	 { "SCMP_ARCH_MIPSEL64", 0 },
	{ "SCMP_ARCH_MIPSEL64N32", 0 },	 { "SCMP_ARCH_PPC", 0 },
	{ "SCMP_ARCH_PPC64", 0 },	 { "SCMP_ARCH_PPC64LE", 0 },
	{ "SCMP_ARCH_S390", 0 },	 { "SCMP_ARCH_S390X", 0 },
	{ "SCMP_ARCH_SH", 0 },		 { "SCMP_ARCH_SHEB", 0 },
	{ "SCMP_ARCH_PARISC", 0 },	 { "SCMP_ARCH_PARISC64", 0 },
	{ "SCMP_ARCH_RISCV64", 0 },	 { NULL, 0 },
};

static const struct name_value filter_flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 },
	{ "SECCOMP_FILTER_FLAG_LOG", 0 },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", 0 },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0 },
	{ NULL, 0 },
};

static enum action_kind action_kind(const char *name)
{
	for (const struct name_value *a = actions; a->name; a++)
		if (strcmp(a->name, name) == 0)
			return (enum action_kind)a->value;
	return ACT_PLAIN;
}

/* An action and the error number beside it, which not every action can have. */
static int read_action(const struct jat *at, const char *key, const char *errno_key,
		       const char **ret, bool *ret_has_errno, uint32_t *ret_errno, struct err *e)
{
	enum action_kind kind;
	struct jat m;
	int rc = bundle_get_word(at, key, actions, "action", ret, e);

	if (rc == 0)
		return bundle_missing(at, key, e);
	if (rc < 0)
		return rc;
	kind = action_kind(*ret);
	rc = bundle_get_u32(at, errno_key, kind == ACT_TRACE ? TRACE_MAX : ERRNO_MAX, ret_errno, e);
	if (rc <= 0)
		return rc;
	*ret_has_errno = true;
	(void)json_member(at, errno_key, &m);
	if (kind != ACT_ERRNO && kind != ACT_TRACE)
		return json_error(&m, e, "%s has no error number", *ret);
	return 0;
}

/* A list of words that must be in the table. */
static int read_words(struct bundle *b, const struct jat *at, const char *key,
		      const struct name_value *table, const char *what, struct strlist *ret,
		      struct err *e)
{
	struct jat arr, el;
	uint64_t unused;
	int rc = bundle_get_list(&b->arena, at, key, ret, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, key, &arr);
	for (size_t i = 0; json_element(&arr, i, &el); i++) {
		rc = bundle_as_name(&el, table, what, &unused, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_arg(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct bundle_seccomp_arg *a = item;
	uint32_t index = 0;
	uint64_t masked = 0;
	struct jat m;
	int rc = bundle_need_u32(at, "index", 5, &index, e);

	(void)b;
	if (rc < 0)
		return rc;
	a->index = index;
	rc = bundle_get_word(at, "op", operators, "operator", &a->op, e);
	if (rc == 0)
		return bundle_missing(at, "op", e);
	if (rc < 0)
		return rc;
	rc = json_get_uint(at, "value", UINT64_MAX, &a->value, e);
	if (rc == 0)
		return bundle_missing(at, "value", e);
	if (rc < 0 || (rc = json_get_uint(at, "valueTwo", UINT64_MAX, &a->value_two, e)) <= 0)
		return rc;
	(void)bundle_get_name(at, "op", operators, "operator", &masked, e);
	(void)json_member(at, "valueTwo", &m);
	if (a->value_two != 0 && !masked)
		return json_error(&m, e, "%s compares with one value only", a->op);
	return 0;
}

static int read_rule(struct bundle *b, const struct jat *at, void *item, struct err *e)
{
	struct bundle_seccomp_rule *r = item;
	struct bundle_items args = { 0 };
	struct jat names, el;
	int rc = bundle_get_list(&b->arena, at, "names", &r->names, e);

	if (rc == 0)
		return bundle_missing(at, "names", e);
	if (rc < 0)
		return rc;
	(void)json_member(at, "names", &names);
	if (r->names.n == 0)
		return json_error(&names, e, "names no system call");
	for (size_t i = 0; i < r->names.n; i++) {
		if (*r->names.v[i])
			continue;
		(void)json_element(&names, i, &el);
		return json_error(&el, e, "is empty");
	}
	if ((rc = read_action(at, "action", "errnoRet", &r->action, &r->has_errno, &r->errno_ret,
			      e)) < 0 ||
	    (rc = bundle_get_items(b, at, "args", sizeof(struct bundle_seccomp_arg), read_arg,
				   &args, e)) < 0)
		return rc;
	r->args = args.v;
	r->n_args = args.n;
	return 0;
}

static int read_listener(struct bundle *b, const struct jat *at, struct err *e)
{
	struct bundle_seccomp *s = &b->seccomp;
	struct jat m;
	int rc = bundle_get_text(&b->arena, at, "listenerPath", &s->listener_path, e);

	if (rc < 0)
		return rc;
	(void)json_member(at, "listenerPath", &m);
	if (rc > 0 && *s->listener_path != '/')
		return bundle_bad_word(&m, s->listener_path, e, "the path must be absolute");
	rc = bundle_get_text(&b->arena, at, "listenerMetadata", &s->listener_metadata, e);
	if (rc > 0 && !s->listener_path) {
		(void)json_member(at, "listenerMetadata", &m);
		return json_error(&m, e, "metadata without a listenerPath to send it to");
	}
	return rc;
}

/* Every call that notifies would fail with ENOSYS when nobody holds the listener. */
static int check_notify(const struct bundle_seccomp *s, const struct jat *at, struct err *e)
{
	struct jat rules, el;

	if (s->listener_path)
		return 0;
	if (action_kind(s->default_action) == ACT_NOTIFY)
		return json_error(at, e, "SCMP_ACT_NOTIFY without a listenerPath");
	(void)json_member(at, "syscalls", &rules);
	for (size_t i = 0; i < s->n_rules; i++) {
		if (action_kind(s->rules[i].action) != ACT_NOTIFY)
			continue;
		(void)json_element(&rules, i, &el);
		return json_error(&el, e, "SCMP_ACT_NOTIFY without a listenerPath");
	}
	return 0;
}

int bundle_read_seccomp(struct bundle *b, const struct jat *linux_at, struct err *e)
{
	struct bundle_seccomp *s = &b->seccomp;
	struct bundle_items rules = { 0 };
	struct jat at;
	int rc = json_get_object(linux_at, "seccomp", &at, e);

	if (rc <= 0)
		return rc;
	s->given = true;
	if ((rc = read_action(&at, "defaultAction", "defaultErrnoRet", &s->default_action,
			      &s->has_default_errno, &s->default_errno, e)) < 0 ||
	    (rc = read_words(b, &at, "architectures", architectures, "architecture",
			     &s->architectures, e)) < 0 ||
	    (rc = read_words(b, &at, "flags", filter_flags, "filter flag", &s->flags, e)) < 0 ||
	    (rc = read_listener(b, &at, e)) < 0 ||
	    (rc = bundle_get_items(b, &at, "syscalls", sizeof(struct bundle_seccomp_rule),
				   read_rule, &rules, e)) < 0)
		return rc;
	s->rules = rules.v;
	s->n_rules = rules.n;
	return check_notify(s, &at, e);
}

const char *bundle_seccomp_word(enum bundle_words kind, size_t i)
{
	static const struct {
		const struct name_value *v;
		size_t n;
	} tables[] = {
		[WORDS_ACTIONS] = { actions, sizeof actions / sizeof *actions },
		[WORDS_OPERATORS] = { operators, sizeof operators / sizeof *operators },
		[WORDS_ARCHS] = { architectures, sizeof architectures / sizeof *architectures },
		[WORDS_FILTER_FLAGS] = { filter_flags, sizeof filter_flags / sizeof *filter_flags },
	};

	return i < tables[kind].n ? tables[kind].v[i].name : NULL;
}
