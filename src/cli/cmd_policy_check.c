/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy check: everything that can be said about policies before they are used. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "model/expect.h"
#include "model/policy_fabric.h"

#define EXCERPT_MAX 100 /* columns of a line that are shown */

struct report {
	json_t *json; /* array, or NULL for people */
	bool strict;
	size_t errors, warnings;
};

/* --- excerpts with a caret --------------------------------------------------------- */

/* Bytes of the token at p: a string, or up to what ends a value. At least 1. */
static size_t token_length(const char *p, const char *end)
{
	size_t n = 1;

	if (p < end && *p == '"') {
		while (p + n < end && p[n] != '"')
			n += p[n] == '\\' && p + n + 1 < end ? 2 : 1;
		return p + n < end ? n + 1 : (size_t)(end - p);
	}
	while (p < end && *p != '{' && *p != '[' && p + n < end && !strchr(",]} \t\r", p[n]))
		n++;
	return p < end ? n : 1;
}

static const char *find_line(const char *text, size_t line, size_t *ret_len)
{
	for (; line > 1; line--) {
		text = strchr(text, '\n');
		if (!text)
			return NULL;
		text++;
	}
	*ret_len = strcspn(text, "\n");
	return text;
}

/* The columns that a piece of the text takes once it is safe for a terminal. */
static void quote_part(const char *p, size_t len, char *buf, size_t size)
{
	char part[EXCERPT_MAX * 4];

	if (len >= sizeof part)
		len = sizeof part - 1;
	memcpy(part, p, len);
	part[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (part[i] == '\t' || part[i] == '\r')
			part[i] = ' ';
	}
	(void)log_quote(buf, size, part);
}

static size_t columns(const char *utf8)
{
	size_t n = 0;

	for (; *utf8; utf8++)
		n += ((unsigned char)*utf8 & 0xc0) != 0x80;
	return n;
}

static void show_place(const char *path, size_t line, size_t col)
{
	AUTO_FREE char *text = NULL;
	char before[EXCERPT_MAX * 4 + 16], token[EXCERPT_MAX * 4 + 16], after[EXCERPT_MAX * 4 + 16];
	size_t len, skip = 0, n;
	const char *p;

	if (line == 0 || fd_read_file(AT_FDCWD, path, JSON_FILE_MAX, &text, NULL, NULL) < 0)
		return;
	p = find_line(text, line, &len);
	if (!p)
		return;
	if (col == 0 || col > len + 1)
		col = strspn(p, " \t") + 1;
	if (col > EXCERPT_MAX / 2)
		skip = col - EXCERPT_MAX / 2;
	while (skip > 0 && ((unsigned char)p[skip] & 0xc0) == 0x80)
		skip--; /* not in the middle of a character */
	n = token_length(p + col - 1, p + len);
	if (n > EXCERPT_MAX)
		n = EXCERPT_MAX;
	if (col - 1 + n > len)
		n = len + 1 > col ? len + 1 - col : 0;
	quote_part(p + skip, col - 1 - skip, before, sizeof before);
	quote_part(p + col - 1, n, token, sizeof token);
	len -= col - 1 + n;
	quote_part(p + col - 1 + n, len < EXCERPT_MAX / 2 ? len : EXCERPT_MAX / 2, after, sizeof after);
	(void)fprintf(stderr, "  %s%s%s%s\n", skip ? "..." : "", before, token, after);
	(void)fprintf(stderr, "  %*s^", (int)(columns(before) + (skip ? 3 : 0)), "");
	for (n = columns(token); n > 1; n--)
		(void)fputc('~', stderr);
	(void)fputc('\n', stderr);
}

/* --- reporting ------------------------------------------------------------------------ */

static json_t *complaint_json(const char *text, const char *hint, size_t line, size_t col)
{
	json_t *o = json_pack("{s:s}", "message", text);

	if (o && hint && *hint)
		(void)json_object_set_new(o, "hint", json_string(hint));
	if (o && line)
		(void)json_object_set_new(o, "line", json_integer((json_int_t)line));
	if (o && col)
		(void)json_object_set_new(o, "column", json_integer((json_int_t)col));
	return o;
}

static void report_error(struct report *r, json_t *entry, const char *path, const struct err *e)
{
	r->errors++;
	if (entry) {
		(void)json_array_append_new(json_object_get(entry, "errors"),
					    complaint_json(e->text, e->hint, e->line, e->col));
		return;
	}
	log_err(e);
	show_place(path, e->line, e->col);
}

static void report_warnings(struct report *r, json_t *entry, const char *path,
			    const struct policy_warnings *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct policy_warning *v = &w->v[i];

		r->warnings++;
		if (entry) {
			(void)json_array_append_new(json_object_get(entry, "warnings"),
						    complaint_json(v->text, v->hint, v->line, v->col));
			continue;
		}
		if (v->hint)
			log_warn("%s (%s)", v->text, v->hint);
		else
			log_warn("%s", v->text);
		show_place(path, v->line, v->col);
	}
}

/* --- what a run cannot do -------------------------------------------------------------- */

static void host_warning(struct policy_warnings *w, const struct policy *p, size_t line,
			 const char *what, const char *hint)
{
	struct policy_warning *v = realloc(w->v, (w->n + 1) * sizeof *v);
	int n;

	if (!v)
		return;
	w->v = v;
	v[w->n] = (struct policy_warning){ .line = line, .hint = strdup(hint) };
	n = line ? asprintf(&v[w->n].text, "%s:%zu: %s", p->file, line, what) :
		   asprintf(&v[w->n].text, "%s: %s", p->file, what);
	if (n < 0)
		free(v[w->n].hint);
	else
		w->n++;
}

static bool can_close_rights(void)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int off = 0;

	return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) == 0;
}

/* The first port that needs no privilege (ip(7), ip_unprivileged_port_start). */
static uint64_t first_free_port(void)
{
	AUTO_FREE char *text = NULL;
	uint64_t port = 1024;

	if (geteuid() == 0)
		return 0;
	if (fd_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &text, NULL, NULL) == 0) {
		text[strcspn(text, "\n")] = '\0';
		(void)num_parse_u64(text, 0, 65536, &port);
	}
	return port;
}

/* What no host changes. */
static void check_run(struct report *r, json_t *entry, const char *path, const struct policy *p)
{
	struct err e = { 0 };

	if (p->net != POLICY_NET_RULES && p->on_deny != POLICY_DENY_EACCES) {
		(void)err_set(&e, EINVAL, "%s: a run is refused: \"onDeny\" goes with rules, without them the kernel itself answers EACCES",
			      p->file);
		(void)err_hint(&e, "take it out, or make \"net\" an object");
		report_error(r, entry, path, &e);
	}
	for (size_t i = 0; i < p->n_rules; i++) {
		const char *hint, *what = policy_rule_unserved(&p->rules[i], &hint);

		if (!what)
			continue;
		(void)err_set(&e, EINVAL, "%s:%zu: a run is refused: %s", p->file, p->rules[i].line, what);
		(void)err_hint(&e, "%s", hint);
		e.line = p->rules[i].line;
		report_error(r, entry, path, &e);
	}
}

static void check_host(const struct policy *p, struct policy_warnings *w)
{
	uint64_t free_port = first_free_port();

	if ((policy_needs(p) & POLICY_NEEDS_WIRE) && !can_close_rights())
		host_warning(w, p, 0, "this host: \"transport\": \"wire\" needs Linux 6.16", "use \"tcp\" here");
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->publish && r->publish_port && r->publish_port < free_port)
			host_warning(w, p, r->line, "this host: publishing below port 1024 needs root",
				     "publish at a higher port, or lower net.ipv4.ip_unprivileged_port_start");
	}
}

/* --- the verb ---------------------------------------------------------------------------------- */

/* "check *.json --with *.json" is no conflict of each file with itself. */
static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void check_fabric(struct report *r, json_t *entry, const char *path, const struct policy *p,
			 const struct policy_files *with)
{
	const struct policy **others = calloc(with->n + 1, sizeof(void *));
	struct fabric f = { .self = p, .others = others };
	struct policy_warnings w = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; others && i < with->n; i++) {
		if (same_file(path, with->list[i]->file))
			continue;
		others[f.n_others++] = with->list[i];
		if (policy_fabric_conflict(with->list[i], p, &e) < 0)
			report_error(r, entry, path, &e);
	}
	if (!others)
		(void)err_num(&e, ENOMEM, "%s", path);
	if (!others || (f.n_others && policy_fabric_check(&f, &w, &e) < 0))
		report_error(r, entry, path, &e);
	free(others);
	check_run(r, entry, path, p);
	check_host(p, &w);
	report_warnings(r, entry, path, &w);
	policy_warnings_fini(&w);
}

/* "check *.json" meets the expectations beside the policies, too. */
static bool is_expectations(const char *path)
{
	size_t n = strlen(path), tail = strlen(EXPECT_SUFFIX);

	return n > tail && strcmp(path + n - tail, EXPECT_SUFFIX) == 0;
}

static void check_expectations(struct report *r, json_t *entry, const char *path)
{
	struct expectations x;
	struct err e = { 0 };

	if (expect_load(&x, AT_FDCWD, path, &e) < 0)
		report_error(r, entry, path, &e);
	else
		expect_fini(&x);
}

static void check_file(struct report *r, const char *path, const struct policy_files *with)
{
	json_t *entry = r->json ? json_pack("{s:s, s:[], s:[]}", "file", path, "errors", "warnings") : NULL;
	struct policy_warnings w = { 0 };
	struct err e = { 0 };
	struct policy p;

	if (is_expectations(path)) {
		check_expectations(r, entry, path);
	} else if (policy_load(&p, AT_FDCWD, path, &w, &e) < 0) {
		report_error(r, entry, path, &e);
	} else {
		report_warnings(r, entry, path, &w);
		check_fabric(r, entry, path, &p, with);
		policy_fini(&p);
	}
	policy_warnings_fini(&w);
	if (entry)
		(void)json_array_append_new(r->json, entry);
}

static int check_all(struct report *r, char **paths, int n, const struct policy_files *with)
{
	for (int i = 0; i < n; i++)
		check_file(r, paths[i], with);
	if (r->json) {
		if (json_dumpf(r->json, stdout, JSON_INDENT(2)) < 0 || putchar('\n') < 0 || fflush(stdout) != 0)
			return EXIT_VRUN;
	}
	return r->errors || (r->strict && r->warnings) ? 1 : 0;
}

int policy_cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "with", required_argument, NULL, 'w' }, { "json", no_argument, NULL, 'j' },
		{ "strict", no_argument, NULL, 's' },     { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct policy_files with = { 0 };
	const char **paths = NULL;
	struct report r = { 0 };
	struct err e = { 0 };
	int c, rc = 0;

	while (rc == 0 && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'w')
			rc = policy_list_add(&paths, optarg, &e);
		else if (c == 'j' && !r.json)
			r.json = json_array();
		else if (c == 's')
			r.strict = true;
		else if (c == 'h' || c == '?')
			break;
	}
	if (rc == 0 && (c == 'h' || c == '?'))
		rc = c == 'h' ? policy_help() : EXIT_VRUN;
	else if (rc == 0 && optind == argc)
		rc = command_usage("policy", "check needs a FILE");
	else if (rc < 0 || policy_files_load(&with, paths, &e) < 0)
		rc = command_fail(&e);
	else
		rc = check_all(&r, argv + optind, argc - optind, &with);
	policy_files_fini(&with);
	json_decref(r.json);
	free(paths);
	return rc;
}
