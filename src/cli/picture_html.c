/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page that needs nothing else: no script, no picture, no style from
 * anywhere, and a policy for the browser that says so. Every text that is not
 * ours is escaped and kept apart from the direction of its neighbours.
 */
#include <string.h>
#include <time.h>

#include "cli/picture.h"

static const char head[] =
	"<meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<style>\n"
	"body { font: 14px/1.4 sans-serif; margin: 1.5em; color: #222; background: #fff }\n"
	"h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em }\n"
	"figure { margin: 0; overflow: auto; border: 1px solid #ddd; padding: 1em }\n"
	"figure svg { max-width: 100%; height: auto }\n"
	"table { border-collapse: collapse; font-size: 12px }\n"
	"th, td { text-align: left; vertical-align: top; padding: .2em .6em; border-bottom: 1px solid #eee }\n"
	"td { overflow-wrap: anywhere } td.n { text-align: right } tr.deny td { background: #fdecea }\n"
	".key b { padding: 0 .4em } .may { color: #2b5f91 } .did { color: #2e7d32 } .no { color: #c62828 } .half { color: #777 }\n"
	"</style>\n";

static const char key[] = "<p class=\"key\">"
			  "<b class=\"may\">\xe2\x86\x92 may</b> by the policies of both sides "
			  "<b class=\"half\">\xe2\x87\xa2 not let in</b> by the other side "
			  "<b class=\"did\">\xe2\x86\x92 did</b> "
			  "<b class=\"no\">\xe2\x9c\x95 was denied</b></p>\n";

/* A character of three bytes that changes the direction of text: U+202A to U+202E, U+2066 to U+2069. */
static bool turns_text(const unsigned char *p)
{
	return p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
				(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

/*
 * Control characters have no place in HTML, nor have those that turn the
 * direction of text around, by which one name can look like another. U+FFFD
 * stands for them.
 */
static void put(FILE *f, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool turns = turns_text(p);

		if (turns || *p < 0x20 || *p == 0x7f) {
			(void)fputs("\xef\xbf\xbd", f);
			p += turns ? 2 : 0;
		} else if (*p == '&')
			(void)fputs("&amp;", f);
		else if (*p == '<')
			(void)fputs("&lt;", f);
		else if (*p == '>')
			(void)fputs("&gt;", f);
		else if (*p == '"')
			(void)fputs("&quot;", f);
		else if (*p == '\'')
			(void)fputs("&#39;", f);
		else
			(void)fputc(*p, f);
	}
}

static void put_cell(FILE *f, const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	if (json_is_integer(v)) {
		(void)fprintf(f, "<td class=\"n\">%lld</td>", (long long)json_integer_value(v));
		return;
	}
	(void)fputs("<td><bdi>", f);
	put(f, ask_string(o, name));
	(void)fputs("</bdi></td>", f);
}

/* Of objects in an array these members; `mark` is that of a record. */
static void put_table(FILE *f, const json_t *list, const char *const *names, const char *const *titles)
{
	const json_t *o;
	size_t i;

	(void)fputs("<table>\n<thead><tr>", f);
	for (size_t k = 0; names[k]; k++)
		(void)fprintf(f, "<th>%s</th>", titles[k]);
	(void)fputs("</tr></thead>\n<tbody>\n", f);
	json_array_foreach(list, i, o) {
		(void)fputs(strcmp(ask_string(o, "decision"), "deny") == 0 ? "<tr class=\"deny\">" : "<tr>", f);
		for (size_t k = 0; names[k]; k++)
			put_cell(f, o, names[k]);
		(void)fputs("</tr>\n", f);
	}
	(void)fputs("</tbody>\n</table>\n", f);
}

static void put_count(FILE *f, const char *what, size_t n)
{
	(void)fprintf(f, "<h2>%s (%zu)</h2>\n", what, n);
	if (n == PICTURE_ROWS_MAX)
		(void)fputs("<p>Only the last ones are here.</p>\n", f);
}

static void put_policies(FILE *f, const struct picture *p)
{
	(void)fputs("<h2>Policies</h2>\n<ul>\n", f);
	for (size_t i = 0; i <= p->fabric.n_others; i++) {
		const struct policy *x = i < p->fabric.n_others ? p->fabric.others[i] : p->fabric.self;

		if (!x)
			continue;
		(void)fputs("<li><details><summary><bdi>", f);
		put(f, x->n_names ? x->names[0] : x->file);
		(void)fputs("</bdi>: <bdi>", f);
		put(f, x->file);
		(void)fputs("</bdi></summary><pre>", f);
		for (const char *t = x->text ?: ""; *t; t += strcspn(t, "\n"), t += *t == '\n') {
			char line[512];

			(void)snprintf(line, sizeof line, "%.*s", (int)strcspn(t, "\n"), t);
			line[strcspn(line, "\r")] = '\0';
			for (char *tab = line; (tab = strchr(tab, '\t'));)
				*tab = ' ';
			put(f, line);
			(void)fputc('\n', f);
		}
		(void)fputs("</pre></details></li>\n", f);
	}
	(void)fputs("</ul>\n", f);
}

void picture_write_html(const struct picture *p, const char *svg, FILE *f)
{
	static const char *const socket_names[] = { "domain", "protocol", "local", "remote", "status", "sendQueue",
						    "receiveQueue", "bytesIn", "bytesOut", "rule", NULL };
	static const char *const socket_titles[] = { "domain", "protocol", "local", "remote", "status", "send queue",
						     "receive queue", "bytes in", "bytes out", "rule" };
	static const char *const record_names[] = { "time", "domain", "pid", "program", "call", "attempt",
						    "decision", "why", "line", NULL };
	static const char *const record_titles[] = { "time", "domain", "pid", "program", "call", "attempt",
						     "decision", "why", "rule that allows it" };
	time_t now = time(NULL);
	char when[48] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
	(void)fprintf(f, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n%s<title>", head);
	put(f, p->title);
	(void)fputs("</title>\n</head>\n<body>\n<h1>Who may reach whom: <bdi>", f);
	put(f, p->title);
	(void)fprintf(f, "</bdi></h1>\n<p>%s</p>\n%s<figure>\n%s</figure>\n", when, key, svg);
	put_policies(f, p);
	put_count(f, "Sockets", json_array_size(p->sockets));
	put_table(f, p->sockets, socket_names, socket_titles);
	put_count(f, "Audit log", json_array_size(p->records));
	put_table(f, p->records, record_names, record_titles);
	(void)fputs("</body>\n</html>\n", f);
}
