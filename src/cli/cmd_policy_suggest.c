/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy suggest: audit records, and the rules that would allow what they say was denied, as a patch. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/ask.h"
#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "cli/policy_run.h"
#include "cli/globals.h"
#include "model/policy_edit.h"
#include "model/policy_explain.h"
#include "model/proposal.h"

#define RECORD_MAX (1U << 20) /* bytes of a line */
#define FILES_MAX 256         /* policies of a fabric */
#define OTHERS_MAX 100        /* what no rule would allow; the rest is counted */

/* What was denied by one policy. */
struct part {
	char *name; /* owned; as the records call it */
	char *path; /* owned; where it is now */
	struct proposal seen;
	uint64_t denied;
	char *patch; /* owned; or NULL */
};

struct suggestion {
	struct part v[FILES_MAX];
	size_t n;
	json_t *others; /* owned; array */
	size_t n_more;  /* not in it */
	const char *const *files; /* of -p */
	uint64_t denied;
};

/* --- taking records in -------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Of the files that -p gives the one of that name; below the current directory as patch(1) wants it. */
static char *find_path(const struct suggestion *s, const char *name)
{
	char here[PATH_MAX];
	size_t n;

	for (size_t i = 0; s->files && s->files[i]; i++)
		if (strcmp(base_name(s->files[i]), base_name(name)) == 0)
			return strdup(s->files[i]);
	if (getcwd(here, sizeof here)) {
		n = strlen(here);
		if (strncmp(name, here, n) == 0 && name[n] == '/' && name[n + 1])
			return strdup(name + n + 1);
	}
	return strdup(name);
}

static int part_of(struct suggestion *s, const char *name, struct part **ret, struct err *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].name, name) == 0) {
			*ret = &s->v[i];
			return 0;
		}
	if (s->n == FILES_MAX)
		return err_set(e, E2BIG, "records of more than %d policies", FILES_MAX);
	*ret = &s->v[s->n];
	**ret = (struct part){ .name = strdup(name), .path = find_path(s, name) };
	s->n++;
	return (*ret)->name && (*ret)->path ? 0 : err_num(e, ENOMEM, "records");
}

static void add_other(struct suggestion *s, const char *policy, const char *attempt, const char *advice)
{
	const json_t *o;
	size_t i;

	json_array_foreach(s->others, i, o)
		if (strcmp(ask_string(o, "attempt"), attempt) == 0 && strcmp(ask_string(o, "policy"), policy) == 0)
			return;
	if (i < OTHERS_MAX)
		(void)json_array_append_new(s->others, json_pack("{s:s, s:s, s:s}", "policy", policy, "attempt",
								 attempt, "advice", advice));
	else
		s->n_more++;
}

/* One side's answer. */
static int take_side(struct suggestion *s, const json_t *side, const char *attempt, struct err *e)
{
	const char *policy = ask_string(side, "policy"), *line = ask_string(side, "line");
	struct part *part = NULL;
	int rc;

	if (!*policy)
		return err_set(e, EINVAL, "a record without \"policy\"");
	rc = part_of(s, policy, &part, e);
	if (rc < 0)
		return rc;
	part->denied++;
	if (!*line) {
		add_other(s, policy, attempt, ask_string(side, "advice"));
		return 0;
	}
	return proposal_add(&part->seen, line, 1, e);
}

static int take_record(struct suggestion *s, const json_t *o, struct err *e)
{
	const json_t *also = json_object_get(o, "also");
	int rc;

	if (strcmp(ask_string(o, "decision"), "deny") != 0)
		return *ask_string(o, "decision") ? 0 : err_set(e, EINVAL, "not an audit record");
	s->denied++;
	rc = take_side(s, o, ask_string(o, "attempt"), e);
	return rc < 0 || !also ? rc : take_side(s, also, ask_string(also, "attempt"), e);
}

static int read_log(struct suggestion *s, FILE *f, const char *name, struct err *e)
{
	AUTO_FREE char *line = NULL;
	size_t room = 0, number = 0;
	int rc = 0;
	ssize_t n;

	while (rc == 0 && (n = getline(&line, &room, f)) > 0) {
		json_t *o = n <= (ssize_t)RECORD_MAX ? json_loads(line, 0, NULL) : NULL;

		number++;
		if (strspn(line, " \t\r\n") == (size_t)n)
			continue;
		if (!json_is_object(o))
			rc = err_set(e, EINVAL, "not an audit record");
		else
			rc = take_record(s, o, e);
		json_decref(o);
	}
	if (rc < 0) {
		(void)err_wrap(e, "%s:%zu", name, number);
		if (!*e->hint)
			(void)err_hint(e, "a log is what \"vrun log --json ID\" writes");
	} else if (ferror(f)) {
		rc = err_sys(e, "%s", name);
	}
	return rc;
}

struct asking {
	struct suggestion *s;
	struct err *e;
};

static int each_record(void *ctx, json_t *o)
{
	const struct asking *a = ctx;

	return take_record(a->s, o, a->e);
}

static int ask_run(struct suggestion *s, const struct ask_whom *whom, struct err *e)
{
	struct asking a = { s, e };
	struct ask_whom by = *whom;
	struct ask_targets t;
	int rc;

	by.id = whom->path ? NULL : whom->id;
	rc = ask_whom(&by, &t, e);
	if (rc == 0 && t.n)
		rc = ask_each(t.v[0].path, "log", whom->id, false, each_record, &a, e);
	if (rc == 0 || t.n)
		ask_targets_fini(&t);
	return rc;
}

/* A file of that name comes before a run of that name. */
static int gather(struct suggestion *s, const struct ask_whom *whom, struct err *e)
{
	FILE *f;
	int rc;

	if (strcmp(whom->id, "-") == 0)
		return read_log(s, stdin, "standard input", e);
	f = whom->path ? NULL : fopen(whom->id, "re");
	if (!f)
		return strchr(whom->id, '/') ? err_sys(e, "%s", whom->id) : ask_run(s, whom, e);
	rc = read_log(s, f, whom->id, e);
	(void)fclose(f);
	return rc;
}

/* --- rules for it ----------------------------------------------------------------------------- */

/* The text with the rules must still be a policy: that is found out here and not by patch(1)'s user. */
static int check_text(const char *name, const char *text, struct err *e)
{
	struct json_doc doc;
	struct policy p;
	int rc = json_doc_parse(&doc, name, text, strlen(text), e);

	if (rc < 0)
		return rc;
	rc = policy_read(&p, &doc, NULL, e);
	json_doc_fini(&doc);
	if (rc == 0)
		policy_fini(&p);
	return rc < 0 ? err_wrap(e, "with what was denied") : 0;
}

static int make_patch(struct part *part, const struct json_doc *doc, struct err *e)
{
	AUTO_FREE char **lines = calloc(part->seen.n + 1, sizeof *lines);
	AUTO_FREE char *text = NULL;
	int rc;

	if (!lines)
		return err_num(e, ENOMEM, "%s", part->path);
	for (size_t i = 0; i < part->seen.n; i++)
		lines[i] = part->seen.v[i].line;
	rc = policy_edit_add(doc, lines, part->seen.n, &text, e);
	if (rc == 0)
		rc = check_text(part->path, text, e);
	return rc < 0 ? rc : policy_edit_patch(part->path, doc->text, text, &part->patch, e);
}

static int propose(struct part *part, struct err *e)
{
	struct json_doc doc;
	struct policy p;
	int rc;

	if (part->seen.n == 0)
		return 0;
	if (strpbrk(part->path, "\n\r\t"))
		return err_set(e, EINVAL, "a policy's name has a control character");
	rc = json_doc_load(&doc, AT_FDCWD, part->path, NULL, e);
	if (rc < 0)
		return *e->hint ? rc : err_hint(e, "-p FILE says where the policy of that name is now");
	rc = policy_read(&p, &doc, NULL, e);
	if (rc == 0) {
		(void)proposal_drop_allowed(&part->seen, &p, NULL, NULL);
		policy_fini(&p);
		rc = proposal_merge(&part->seen, e);
	}
	if (rc == 0 && part->seen.n)
		rc = make_patch(part, &doc, e);
	json_doc_fini(&doc);
	return rc;
}

/* --- saying so ------------------------------------------------------------------------------- */

/* What patch(1) passes over stands before the first patch. */
static int print_text(const struct suggestion *s)
{
	char policy[400], attempt[EXPLAIN_TEXT_MAX], advice[2 * EXPLAIN_TEXT_MAX];
	const json_t *o;
	size_t i;

	if (s->denied == 0)
		(void)printf("# nothing was denied\n");
	json_array_foreach(s->others, i, o)
		(void)printf("# %s: no rule allows \"%s\": %s\n", log_quote(policy, sizeof policy, ask_string(o, "policy")),
			     log_quote(attempt, sizeof attempt, ask_string(o, "attempt")),
			     log_quote(advice, sizeof advice, ask_string(o, "advice")));
	if (s->n_more)
		(void)printf("# and %zu more\n", s->n_more);
	for (i = 0; i < s->n; i++) {
		const struct part *p = &s->v[i];

		if (p->patch)
			(void)printf("# %s: %zu %s for what was denied\n", log_quote(policy, sizeof policy, p->path),
				     p->seen.n, p->seen.n == 1 ? "rule" : "rules");
		else
			(void)printf("# %s: nothing to add\n", log_quote(policy, sizeof policy, p->path));
	}
	for (i = 0; i < s->n; i++)
		if (s->v[i].patch)
			(void)fputs(s->v[i].patch, stdout);
	return fflush(stdout) == 0 ? 0 : EXIT_VRUN;
}

static json_t *part_json(const struct part *p)
{
	json_t *rules = json_array();
	json_t *o = json_pack("{s:s, s:I, s:o, s:s*}", "policy", p->path, "denied", (json_int_t)p->denied, "rules",
			      rules, "patch", p->patch);

	for (size_t i = 0; o && i < p->seen.n; i++)
		(void)json_array_append_new(rules, json_pack("{s:o, s:I}", "rule", json_loads(p->seen.v[i].line, 0, NULL),
							     "seen", (json_int_t)p->seen.v[i].seen));
	return o;
}

static int print_json(const struct suggestion *s)
{
	json_t *files = json_array(), *o;
	bool ok;

	for (size_t i = 0; i < s->n; i++)
		(void)json_array_append_new(files, part_json(&s->v[i]));
	o = json_pack("{s:I, s:o, s:O, s:I}", "denied", (json_int_t)s->denied, "files", files, "others", s->others,
		      "more", (json_int_t)s->n_more);
	ok = o && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && putchar('\n') >= 0 && fflush(stdout) == 0;
	json_decref(o);
	return ok ? 0 : EXIT_VRUN;
}

static void suggestion_fini(struct suggestion *s)
{
	for (size_t i = 0; i < s->n; i++) {
		proposal_fini(&s->v[i].seen);
		free(s->v[i].name);
		free(s->v[i].path);
		free(s->v[i].patch);
	}
	json_decref(s->others);
}

static int suggest(const struct ask_whom *whom, const char *const *files, bool json)
{
	struct suggestion s = { .others = json_array(), .files = files };
	struct err e = { 0 };
	int rc = s.others ? gather(&s, whom, &e) : err_num(&e, ENOMEM, "records");

	for (size_t i = 0; rc == 0 && i < s.n; i++)
		rc = propose(&s.v[i], &e);
	if (rc < 0)
		rc = command_fail(&e);
	else
		rc = json ? print_json(&s) : print_text(&s);
	if (rc == 0 && json_array_size(s.others))
		rc = 1;
	suggestion_fini(&s);
	return rc;
}

int policy_cmd_suggest(int argc, char **argv)
{
	struct policy_run r;
	int rc = policy_run_options(&r, argc, argv, "p:policy");

	if (rc < 0 && argc - optind != 1) {
		rc = command_usage("policy", "suggest takes an ID, or a LOG (\"-\": standard input)");
	} else if (rc < 0) {
		r.whom.id = argv[optind];
		rc = suggest(&r.whom, r.list, r.json);
	}
	policy_run_fini(&r);
	return rc;
}
