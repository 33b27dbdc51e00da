/* SPDX-License-Identifier: Apache-2.0 */
#include "model/policy_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 3 /* lines around a change, as diff -u has them */

/* --- rules --------------------------------------------------------------------------- */

/* One edit: `text` stands in place of what was there from `at` on. */
struct edit {
	size_t at, end;
	FILE *text;
};

/* The blanks before a place, when nothing else stands before it in its line; else -1. */
static int indent_of(const char *text, size_t at)
{
	size_t n = 0;

	while (n < at && (text[at - n - 1] == ' ' || text[at - n - 1] == '\t'))
		n++;
	return n == at || text[at - n - 1] == '\n' ? (int)n : -1;
}

/* The blanks that the line of a place begins with. */
static int line_indent(const char *text, size_t at, const char **ret)
{
	size_t start = at;

	while (start > 0 && text[start - 1] != '\n')
		start--;
	*ret = text + start;
	return (int)strspn(text + start, " \t");
}

/* "[", the rules, "]", with the rules two blanks further in. */
static void put_array(FILE *f, const char *blanks, int n_blanks, char *const *lines, size_t n)
{
	(void)fputc('[', f);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(f, "%s\n%.*s  %s", i ? "," : "", n_blanks, blanks, lines[i]);
	(void)fprintf(f, "\n%.*s]", n_blanks, blanks);
}

/* Behind the last of the rules that are there, in a line of its own where that one has one. */
static void append(struct edit *d, const struct jat *rules, char *const *lines, size_t n)
{
	const char *text = rules->doc->text, *blanks;
	struct jat last;
	size_t start;
	int indent;

	if (!json_element(rules, json_array_size(rules->val) - 1, &last)) {
		json_span(rules, &d->at, &d->end);
		indent = line_indent(text, d->at, &blanks);
		put_array(d->text, blanks, indent, lines, n);
		return;
	}
	json_span(&last, &start, &d->at);
	d->end = d->at;
	indent = indent_of(text, start);
	for (size_t i = 0; i < n; i++)
		if (indent >= 0)
			(void)fprintf(d->text, ",\n%.*s%s", indent, text + start - (size_t)indent, lines[i]);
		else
			(void)fprintf(d->text, ", %s", lines[i]);
}

/* A member more for an object: its text up to the value. Returns the blanks that the value's lines begin with. */
static int begin_member(struct edit *d, const struct jat *object, const char *key, const char **ret_blanks)
{
	const char *text = object->doc->text;
	size_t start;
	int indent, line;

	json_span(object, &start, &d->end);
	d->end--; /* before the brace */
	d->at = d->end;
	while (d->at > start + 1 && strchr(" \t\r\n", text[d->at - 1]))
		d->at--;
	line = line_indent(text, start, ret_blanks);
	if (d->at == start + 1) { /* empty */
		(void)fprintf(d->text, "\n%.*s  \"%s\": ", line, *ret_blanks, key);
		return line;
	}
	indent = line_indent(text, d->end, ret_blanks);
	if (indent_of(text, d->end) < 0) { /* in one line with its end */
		(void)fprintf(d->text, ", \"%s\": ", key);
		return indent;
	}
	(void)fprintf(d->text, ",\n%.*s  \"%s\": ", indent, *ret_blanks, key);
	return indent;
}

/* As begin_member() left the object: its brace in the line where it was, or in one of its own. */
static void end_member(struct edit *d, const struct jat *object, int indent, const char *blanks)
{
	const char *text = object->doc->text;
	size_t start, end;

	json_span(object, &start, &end);
	if (d->at == start + 1 || indent_of(text, end - 1) >= 0)
		(void)fprintf(d->text, "\n%.*s", indent, blanks);
	else
		(void)fputc(' ', d->text);
}

static void add_rules(struct edit *d, const struct jat *net, char *const *lines, size_t n)
{
	const char *blanks;
	char deeper[256];
	int indent = begin_member(d, net, "rules", &blanks);

	(void)snprintf(deeper, sizeof deeper, "%.*s  ", indent > 200 ? 200 : indent, blanks);
	put_array(d->text, deeper, (int)strlen(deeper), lines, n);
	end_member(d, net, indent, blanks);
}

/* "net" as an object with these rules. */
static void put_net(FILE *f, const char *blanks, int indent, char *const *lines, size_t n)
{
	char deeper[256];

	(void)snprintf(deeper, sizeof deeper, "%.*s  ", indent > 200 ? 200 : indent, blanks);
	(void)fprintf(f, "{\n%s\"rules\": ", deeper);
	put_array(f, deeper, (int)strlen(deeper), lines, n);
	(void)fprintf(f, "\n%.*s}", indent, blanks);
}

static void make_edit(struct edit *d, const struct json_doc *doc, char *const *lines, size_t n)
{
	struct jat root = json_root(doc), net, rules;
	char deeper[256];
	const char *blanks;
	int indent;

	if (!json_member(&root, "net", &net)) {
		indent = begin_member(d, &root, "net", &blanks);
		(void)snprintf(deeper, sizeof deeper, "%.*s  ", indent > 200 ? 200 : indent, blanks);
		put_net(d->text, deeper, (int)strlen(deeper), lines, n);
		end_member(d, &root, indent, blanks);
	} else if (!json_is_object(net.val)) {
		json_span(&net, &d->at, &d->end);
		indent = line_indent(doc->text, d->at, &blanks);
		put_net(d->text, blanks, indent, lines, n);
	} else if (json_member(&net, "rules", &rules)) {
		append(d, &rules, lines, n);
	} else {
		add_rules(d, &net, lines, n);
	}
}

static int by_place(const void *a, const void *b)
{
	const struct policy_swap *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* The text with each of them in its place; they do not overlap. NULL without memory. */
static char *apply(const struct json_doc *doc, struct policy_swap *v, size_t n)
{
	char *text = NULL;
	size_t len, at = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	qsort(v, n, sizeof *v, by_place);
	for (size_t i = 0; i < n; i++) {
		(void)fprintf(f, "%.*s%s", (int)(v[i].start - at), doc->text + at, v[i].text);
		at = v[i].end;
	}
	(void)fputs(doc->text + at, f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

int policy_edit_change(const struct json_doc *doc, const struct policy_swap *swaps, size_t n_swaps,
		       char *const *lines, size_t n, char **ret_text, struct err *e)
{
	struct policy_swap *all = calloc(n_swaps + 1, sizeof *all);
	char *inserted = NULL, *text = NULL;
	struct edit d = { 0 };
	size_t len;

	d.text = all ? open_memstream(&inserted, &len) : NULL;
	if (!d.text) {
		free(all);
		return err_num(e, ENOMEM, "%s", doc->name);
	}
	if (n_swaps)
		memcpy(all, swaps, n_swaps * sizeof *all);
	if (n)
		make_edit(&d, doc, lines, n);
	if (fclose(d.text) == 0) {
		all[n_swaps] = (struct policy_swap){ d.at, d.end, inserted };
		text = apply(doc, all, n_swaps + 1);
	}
	free(inserted);
	free(all);
	if (!text)
		return err_num(e, ENOMEM, "%s", doc->name);
	*ret_text = text;
	return 0;
}

int policy_edit_add(const struct json_doc *doc, char *const *lines, size_t n, char **ret_text,
		    struct err *e)
{
	return policy_edit_change(doc, NULL, 0, lines, n, ret_text, e);
}

/* --- patches --------------------------------------------------------------------------- */

struct lines {
	const char **v; /* owned; where each begins */
	size_t n;
};

/* The end of the last one is v[n]. */
static bool split(const char *text, struct lines *ret)
{
	size_t n = 1;

	for (const char *p = text; *p; p++)
		n += *p == '\n';
	ret->v = calloc(n + 1, sizeof *ret->v);
	ret->n = 0;
	if (!ret->v)
		return false;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		ret->v[ret->n++] = p;
	ret->v[ret->n] = text + strlen(text);
	return true;
}

static bool same_line(const struct lines *a, size_t i, const struct lines *b, size_t j)
{
	size_t len = (size_t)(a->v[i + 1] - a->v[i]);

	return len == (size_t)(b->v[j + 1] - b->v[j]) && memcmp(a->v[i], b->v[j], len) == 0;
}

static void put_lines(FILE *f, char mark, const struct lines *l, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		size_t len = (size_t)(l->v[i + 1] - l->v[i]);

		(void)fprintf(f, "%c%.*s", mark, (int)len, l->v[i]);
		if (len == 0 || l->v[i][len - 1] != '\n')
			(void)fputs("\n\\ No newline at end of file\n", f);
	}
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void put_hunk(FILE *f, const struct lines *a, const struct lines *b)
{
	size_t head = 0, tail = 0, before, after, n_a, n_b;

	while (head < a->n && head < b->n && same_line(a, head, b, head))
		head++;
	if (head == a->n && head == b->n)
		return;
	while (tail < a->n - head && tail < b->n - head && same_line(a, a->n - tail - 1, b, b->n - tail - 1))
		tail++;
	before = head - least(head, CONTEXT);
	after = least(tail, CONTEXT);
	n_a = a->n - tail + after - before;
	n_b = b->n - tail + after - before;
	(void)fprintf(f, "@@ -%zu,%zu +%zu,%zu @@\n", before + (n_a > 0), n_a, before + (n_b > 0), n_b);
	put_lines(f, ' ', a, before, head);
	put_lines(f, '-', a, head, a->n - tail);
	put_lines(f, '+', b, head, b->n - tail);
	put_lines(f, ' ', a, a->n - tail, a->n - tail + after);
}

int policy_edit_patch(const char *name, const char *from, const char *to, char **ret_patch,
		      struct err *e)
{
	struct lines a = { 0 }, b = { 0 };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool ok = f && split(from, &a) && split(to, &b);

	if (ok && strcmp(from, to) != 0) {
		(void)fprintf(f, "--- %s\n+++ %s\n", name, name);
		put_hunk(f, &a, &b);
	}
	if (f)
		ok = fclose(f) == 0 && ok;
	free(a.v);
	free(b.v);
	if (!ok) {
		free(text);
		return err_num(e, ENOMEM, "%s", name);
	}
	*ret_patch = text;
	return 0;
}
