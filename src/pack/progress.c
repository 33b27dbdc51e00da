/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define INTERVAL_NS 100000000
#define LINE_MAX_BYTES 512U

void progress_init(struct progress *p, bool quiet)
{
	const char *term = getenv("TERM");

	*p = (struct progress){ .phase = "" };
	p->on = !quiet && isatty(2) && !(term && strcmp(term, "dumb") == 0);
}

const char *progress_size(uint64_t bytes, char *buf, unsigned size)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	unsigned u = 0;

	for (; v >= 999.5 && u + 1 < sizeof units / sizeof *units; u++)
		v /= 1000;
	(void)snprintf(buf, size, u > 0 && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static size_t columns(void)
{
	struct winsize ws;

	return ioctl(2, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 20 ? ws.ws_col : 80;
}

static void show(struct progress *p, const char *what)
{
	char line[LINE_MAX_BYTES], done[16], total[16], quoted[256];
	size_t width = columns();
	int n;

	if (p->total > 0)
		n = snprintf(line, sizeof line, "%s: %s of %s, %llu files", p->phase,
			     progress_size(p->done, done, sizeof done),
			     progress_size(p->total, total, sizeof total),
			     (unsigned long long)p->items);
	else
		n = snprintf(line, sizeof line, "%s: %llu", p->phase, (unsigned long long)p->items);
	if (what && n > 0 && (size_t)n < sizeof line)
		(void)snprintf(line + n, sizeof line - (size_t)n, "  %s",
			       log_quote(quoted, sizeof quoted, what));
	if (width < sizeof line)
		line[width - 1] = '\0'; /* bytes, so a line of other scripts is cut short of the edge */
	(void)fd_write_all(2, "\r\033[K", 4);
	(void)fd_write_all(2, line, strlen(line));
	p->shown = true;
}

void progress_phase(struct progress *p, const char *phase, uint64_t total)
{
	p->phase = phase;
	p->total = total;
	p->done = p->items = 0;
	p->next_ns = 0;
	progress_step(p, 0, 0, NULL);
}

void progress_step(struct progress *p, uint64_t items, uint64_t bytes, const char *what)
{
	int64_t now;

	p->items += items;
	p->done += bytes;
	if (!p->on)
		return;
	now = now_ns();
	if (now < p->next_ns)
		return;
	p->next_ns = now + INTERVAL_NS;
	show(p, what);
}

void progress_clear(struct progress *p)
{
	if (p->shown)
		(void)fd_write_all(2, "\r\033[K", 4);
	p->shown = false;
}
