/* SPDX-License-Identifier: Apache-2.0 */
#include "model/expect.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/policy_explain.h"

static const char *const top_keys[] = { "with", "tests", "comment", NULL };
static const char *const test_keys[] = { "expect", "connect", "listen", "accept",  "resolve",
					 "from",   "proto",   "rule",   "resolved", "tls",
					 "type",   "comment", NULL };
static const char *const whats[] = { "connect", "listen", "accept", "resolve" };

void expect_fini(struct expectations *x)
{
	arena_fini(&x->arena);
	*x = (struct expectations){ 0 };
}

static int copy_string(struct expectations *x, const struct jat *at, const char *key,
		       const char **ret, struct err *e)
{
	const char *text;
	int rc = json_get_string(at, key, &text, e);

	if (rc <= 0)
		return rc;
	*ret = arena_strdup(&x->arena, text);
	return *ret ? 1 : err_num(e, ENOMEM, "%s", x->file);
}

static int read_word(const struct jat *at, const char *key, const char *zero, const char *one,
		     int *ret, struct err *e)
{
	const char *text;
	struct jat m;
	int rc = json_get_string(at, key, &text, e);

	if (rc <= 0)
		return rc;
	(void)json_member(at, key, &m);
	if (strcmp(text, zero) != 0 && strcmp(text, one) != 0)
		return json_error(&m, e, "expected \"%s\" or \"%s\"", zero, one);
	*ret = strcmp(text, one) == 0;
	return 1;
}

/* Everything but the target. */
static int read_terms(struct expectations *x, const struct jat *at, struct expectation *t,
		      struct err *e)
{
	int allow = 0, udp = 0, rc;

	rc = read_word(at, "expect", "deny", "allow", &allow, e);
	if (rc == 0)
		return json_error(at, e, "\"expect\" is missing: \"allow\" or \"deny\"");
	if (rc < 0 || read_word(at, "proto", "tcp", "udp", &udp, e) < 0)
		return -EINVAL;
	t->allow = allow;
	t->proto = udp ? POLICY_UDP : POLICY_TCP;
	if (copy_string(x, at, "from", &t->from, e) < 0 || copy_string(x, at, "rule", &t->rule, e) < 0 ||
	    copy_string(x, at, "resolved", &t->resolved, e) < 0 || copy_string(x, at, "tls", &t->tls, e) < 0 ||
	    copy_string(x, at, "type", &t->type, e) < 0)
		return -EINVAL;
	if ((t->what == EXPECT_ACCEPT) != (t->from != NULL))
		return json_error(at, e, "\"accept\" and \"from\" go together");
	if (t->resolved && t->what != EXPECT_CONNECT)
		return json_error(at, e, "\"resolved\" goes with \"connect\"");
	if (t->type && t->what != EXPECT_RESOLVE)
		return json_error(at, e, "\"type\" goes with \"resolve\"");
	if (t->tls && t->what != EXPECT_CONNECT)
		return json_error(at, e, "\"tls\" goes with \"connect\"");
	return 0;
}

/* The one member that says what is tried: its cursor and how many targets it has. */
static int find_what(const struct jat *at, struct jat *ret, enum expect_what *ret_what, struct err *e)
{
	struct jat m;
	int found = 0;

	for (int i = 0; i < 4; i++) {
		if (!json_member(at, whats[i], &m))
			continue;
		found++;
		*ret = m;
		*ret_what = (enum expect_what)i;
	}
	if (found != 1)
		return json_error(at, e, "needs one of \"connect\", \"listen\", \"accept\", \"resolve\"");
	if (!json_is_array(ret->val))
		return 1;
	found = (int)json_array_size(ret->val);
	return found ? found : json_error(ret, e, "an empty list");
}

static int read_test(struct expectations *x, const struct jat *at, size_t line, struct err *e)
{
	struct expectation t = { .line = line };
	struct jat what, el;
	const char *text;
	int n, rc;

	if (json_expect_object(at, e) < 0 || json_known_keys(at, test_keys, e) < 0)
		return -EINVAL;
	n = find_what(at, &what, &t.what, e);
	if (n < 0)
		return n;
	rc = read_terms(x, at, &t, e);
	for (int i = 0; rc == 0 && i < n; i++) {
		el = what;
		if (json_is_array(what.val))
			(void)json_element(&what, (size_t)i, &el);
		rc = json_as_string(&el, &text, e);
		if (rc < 0)
			return rc;
		t.target = arena_strdup(&x->arena, text);
		if (!t.target)
			return err_num(e, ENOMEM, "%s", x->file);
		x->v[x->n++] = t;
	}
	return rc;
}

static size_t count_targets(const struct jat *list)
{
	struct jat el, m;
	size_t n = 0;

	for (size_t i = 0; json_element(list, i, &el); i++) {
		for (int k = 0; k < 4; k++) {
			if (json_is_object(el.val) && json_member(&el, whats[k], &m))
				n += json_is_array(m.val) ? json_array_size(m.val) : 1;
		}
	}
	return n;
}

static int read_with(struct expectations *x, const struct jat *root, struct err *e)
{
	struct jat list, el;
	char quoted[1024];
	const char *text;
	int rc = json_get_array(root, "with", &list, e);

	if (rc <= 0)
		return rc;
	x->with = arena_array(&x->arena, json_array_size(list.val) + 1, sizeof *x->with);
	if (!x->with)
		return err_num(e, ENOMEM, "%s", x->file);
	for (size_t i = 0; json_element(&list, i, &el); i++) {
		if (json_as_string(&el, &text, e) < 0)
			return -EINVAL;
		if (strcmp(log_quote(quoted, sizeof quoted, text), text) != 0)
			return json_error(&el, e, "not a path that could be shown: %s", quoted);
		x->with[x->n_with] = arena_strdup(&x->arena, text);
		if (!x->with[x->n_with++])
			return err_num(e, ENOMEM, "%s", x->file);
	}
	return 0;
}

static int read_document(struct expectations *x, const struct jat *root, struct err *e)
{
	size_t *lines;
	struct jat list, el;
	int rc;

	if (json_expect_object(root, e) < 0 || json_known_keys(root, top_keys, e) < 0 ||
	    read_with(x, root, e) < 0)
		return -EINVAL;
	rc = json_get_array(root, "tests", &list, e);
	if (rc <= 0)
		return rc < 0 ? rc : json_error(root, e, "\"tests\" is missing");
	if (json_array_size(list.val) == 0)
		return json_error(&list, e, "no tests");
	x->v = arena_array(&x->arena, count_targets(&list), sizeof *x->v);
	lines = arena_array(&x->arena, json_array_size(list.val), sizeof *lines);
	if (!x->v || !lines)
		return err_num(e, ENOMEM, "%s", x->file);
	json_element_lines(&list, json_array_size(list.val), lines);
	for (size_t i = 0; json_element(&list, i, &el); i++) {
		rc = read_test(x, &el, lines[i], e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int expect_read(struct expectations *ret_x, const struct json_doc *doc, struct err *e)
{
	struct expectations x = { 0 };
	struct jat root = json_root(doc);
	int rc;

	x.file = arena_strdup(&x.arena, doc->name);
	rc = x.file ? read_document(&x, &root, e) : err_num(e, ENOMEM, "%s", doc->name);
	if (rc < 0)
		expect_fini(&x);
	else
		*ret_x = x;
	return rc < 0 ? rc : 0;
}

int expect_load(struct expectations *x, int dirfd, const char *path, struct err *e)
{
	struct json_doc doc;
	int rc = json_doc_load(&doc, dirfd, path, NULL, e);

	if (rc < 0)
		return rc;
	rc = expect_read(x, &doc, e);
	json_doc_fini(&doc);
	return rc;
}

const char *expect_text(const struct expectation *t, char *buf, size_t size)
{
	char target[300], from[300] = "", tls[300] = "";

	(void)log_quote(target, sizeof target, t->target);
	if (t->from)
		(void)log_quote(from, sizeof from, t->from);
	if (t->tls)
		(void)log_quote(tls, sizeof tls, *t->tls ? t->tls : "no name");
	if (t->type)
		(void)log_quote(tls, sizeof tls, t->type);
	(void)snprintf(buf, size, "%s %s %s%s%s%s%s%s%s%s", t->allow ? "allow" : "deny", whats[t->what], target,
		       t->what == EXPECT_RESOLVE ? "" : "/",
		       t->what == EXPECT_RESOLVE ? "" : policy_proto_name(t->proto), t->from ? " from " : "",
		       from, t->resolved ? " (resolved)" : "", t->tls ? ", TLS to " : t->type ? " " : "", tls);
	return buf;
}

static int make_attempt(struct attempt *at, const struct expectation *t, const struct fabric *f,
			struct err *e)
{
	int rc;

	switch (t->what) {
	case EXPECT_CONNECT:
		rc = attempt_connect(at, f, t->target, t->resolved, t->proto, e);
		return rc == 0 && t->tls ? attempt_tls(at, t->tls, e) : rc;
	case EXPECT_LISTEN:
		return attempt_listen(at, f, t->target, t->proto, e);
	case EXPECT_ACCEPT:
		return attempt_accept(at, f, t->from, t->target, t->proto, e);
	case EXPECT_RESOLVE:
		rc = attempt_resolve(at, f, t->target, e);
		return rc == 0 && t->type ? attempt_query(at, t->type, e) : rc;
	}
	return -EINVAL;
}

int expect_decide(const struct expectation *t, const struct fabric *f, char ret_why[EXPECT_WHY_MAX],
		  struct err *e)
{
	char mine[EXPLAIN_TEXT_MAX], theirs[EXPLAIN_TEXT_MAX];
	struct policy_pair_verdict v;
	const struct policy_verdict *own;
	struct attempt at;
	bool both, ok;
	int rc = make_attempt(&at, t, f, e);

	if (rc < 0)
		return rc;
	attempt_decide(&at, f, &v, &both);
	own = t->what == EXPECT_ACCEPT ? &v.server : &v.client;
	(void)policy_verdict_text(own, &at.a, mine, sizeof mine);
	(void)snprintf(ret_why, EXPECT_WHY_MAX, "%s", mine);
	if (both) {
		(void)policy_verdict_text(own == &v.client ? &v.server : &v.client, &at.a, theirs,
					  sizeof theirs);
		(void)snprintf(ret_why, EXPECT_WHY_MAX, "%s; other side: %s", mine, theirs);
	}
	ok = v.allow == t->allow;
	if (ok && t->rule && (!own->rule || strcmp(own->rule->id, t->rule) != 0)) {
		char quoted[128];

		(void)snprintf(ret_why, EXPECT_WHY_MAX, "%s, not by rule %s", mine,
			       log_quote(quoted, sizeof quoted, t->rule));
		ok = false;
	}
	return ok;
}

/* --- the policies around a file -------------------------------------------------- */

void expect_set_fini(struct expect_set *s)
{
	for (size_t i = 0; i < s->n_others; i++)
		policy_fini(&s->others[i]);
	free(s->others);
	free(s->list);
	policy_fini(&s->self);
	expect_fini(&s->x);
	*s = (struct expect_set){ 0 };
}

/* NAME.json for NAME.test.json. The caller frees. */
static int policy_beside(const char *test_path, char **ret, struct err *e)
{
	size_t len = strlen(test_path), tail = strlen(EXPECT_SUFFIX);
	char quoted[256];

	if (len <= tail || strcmp(test_path + len - tail, EXPECT_SUFFIX) != 0) {
		(void)err_set(e, EINVAL, "%s: not a file of expectations",
			      log_quote(quoted, sizeof quoted, test_path));
		return err_hint(e, "NAME" EXPECT_SUFFIX " beside NAME.json");
	}
	if (asprintf(ret, "%.*s.json", (int)(len - tail), test_path) < 0) {
		*ret = NULL;
		return err_num(e, ENOMEM, "%s", test_path);
	}
	return 0;
}

static int load_others(struct expect_set *s, const char *test_path, struct err *e)
{
	const char *slash = strrchr(test_path, '/');
	int dir = slash ? (int)(slash - test_path) + 1 : 0;

	s->others = calloc(s->x.n_with + 1, sizeof *s->others);
	s->list = calloc(s->x.n_with + 1, sizeof(void *));
	if (!s->others || !s->list)
		return err_num(e, ENOMEM, "%s", test_path);
	for (size_t i = 0; i < s->x.n_with; i++) {
		AUTO_FREE char *path = NULL;
		int rc;

		if (asprintf(&path, "%.*s%s", s->x.with[i][0] == '/' ? 0 : dir, test_path, s->x.with[i]) < 0) {
			path = NULL;
			return err_num(e, ENOMEM, "%s", test_path);
		}
		rc = policy_load(&s->others[i], AT_FDCWD, path, NULL, e);
		if (rc < 0)
			return rc;
		s->list[s->n_others++] = &s->others[i];
	}
	return 0;
}

int expect_set_load(struct expect_set *s, const char *test_path, const char *policy_path,
		    struct err *e)
{
	AUTO_FREE char *beside = NULL;
	int rc = 0;

	*s = (struct expect_set){ 0 };
	policy_init_none(&s->self);
	if (!policy_path) {
		rc = policy_beside(test_path, &beside, e);
		policy_path = beside;
	}
	if (rc == 0)
		rc = expect_load(&s->x, AT_FDCWD, test_path, e);
	if (rc == 0)
		rc = policy_load(&s->self, AT_FDCWD, policy_path, NULL, e);
	if (rc == 0)
		rc = load_others(s, test_path, e);
	if (rc < 0) {
		expect_set_fini(s);
		return rc;
	}
	s->fabric = (struct fabric){ .self = &s->self, .others = s->list, .n_others = s->n_others };
	return 0;
}
