/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/up_output.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static struct up_stream *add(struct up_output *o, const char *name, int to, int *ret_end)
{
	struct up_stream *s = calloc(1, sizeof *s);
	int p[2];

	if (!s || o->n == UP_OUTPUT_MAX || pipe2(p, O_CLOEXEC) < 0) {
		free(s);
		return NULL;
	}
	s->name = name;
	s->from = p[0];
	s->to = to;
	(void)fcntl(p[0], F_SETFL, O_NONBLOCK);
	*ret_end = p[1];
	o->v[o->n++] = s;
	return s;
}

int up_output_open(struct up_output *o, const char *name, int ret_ends[2], struct err *e)
{
	int len = (int)strlen(name);

	if (!add(o, name, 1, &ret_ends[0]) || !add(o, name, 2, &ret_ends[1]))
		return err_sys(e, "output of %s", name);
	o->width = len > o->width ? len : o->width;
	return 0;
}

/* What a program writes is not to move the cursor, nor to rename the window. Tabs may stay. */
static void print_line(const struct up_output *o, const struct up_stream *s, const char *line, size_t len)
{
	char text[UP_LINE_MAX + 1], quoted[(size_t)UP_LINE_MAX * 4 + 8], out[sizeof quoted + 80];
	int n = snprintf(out, sizeof out, "%-*s | ", o->width, s->name);

	memcpy(text, line, len);
	text[len] = '\0';
	for (char *p = text, *tab; p; p = tab ? tab + 1 : NULL) {
		tab = strchr(p, '\t');
		if (tab)
			*tab = '\0';
		(void)log_quote(quoted, sizeof quoted, p);
		n += snprintf(out + n, sizeof out - (size_t)n, "%s%s", quoted, tab ? "\t" : "");
		if ((size_t)n >= sizeof out - 1) {
			n = (int)sizeof out - 2;
			break;
		}
	}
	out[n++] = '\n';
	(void)fd_write_all(s->to, out, (size_t)n);
}

/* A byte of 0 would end the line for log_quote(). */
static void without_zeros(char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] == '\0')
			p[i] = ' ';
}

static void print_lines(const struct up_output *o, struct up_stream *s, bool all)
{
	size_t at = 0;
	char *end;

	while ((end = memchr(s->buf + at, '\n', s->len - at)) != NULL) {
		print_line(o, s, s->buf + at, (size_t)(end - s->buf) - at);
		at = (size_t)(end - s->buf) + 1;
	}
	if ((all || (at == 0 && s->len == sizeof s->buf)) && s->len > at) {
		print_line(o, s, s->buf + at, s->len - at);
		at = s->len;
	}
	memmove(s->buf, s->buf + at, s->len - at);
	s->len -= at;
}

/* False when there is nothing now. */
static bool work(const struct up_output *o, struct up_stream *s)
{
	ssize_t n = read(s->from, s->buf + s->len, sizeof s->buf - s->len);

	if (n < 0)
		return false;
	if (n == 0) {
		fd_close(&s->from);
		print_lines(o, s, true);
		return false;
	}
	without_zeros(s->buf + s->len, (size_t)n);
	s->len += (size_t)n;
	print_lines(o, s, false);
	return true;
}

size_t up_output_poll(const struct up_output *o, struct pollfd *p)
{
	for (size_t i = 0; i < o->n; i++)
		p[i] = (struct pollfd){ .fd = o->v[i]->from, .events = POLLIN };
	return o->n;
}

void up_output_work(struct up_output *o, const struct pollfd *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].fd >= 0 && p[i].revents)
			(void)work(o, o->v[i]);
}

void up_output_finish(struct up_output *o)
{
	for (size_t i = 0; i < o->n; i++) {
		while (o->v[i]->from >= 0 && work(o, o->v[i]))
			;
		print_lines(o, o->v[i], true);
		fd_close(&o->v[i]->from);
		free(o->v[i]);
	}
	o->n = 0;
}
