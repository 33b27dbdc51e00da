/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/globals.h"

static const char help[] =
	"Usage: vrun sockets [OPTIONS] [ID]\n\n"
	"Lists the virtual sockets of a sandbox, or of all that the calling user runs.\n\n"
	"      --fabric NAME      of all that share this fabric\n"
	"      --json             as a JSON array; with --watch one object a line\n"
	"      --watch            go on: the table every second, or what changes as JSON\n"
	"      --root DIR         directory of the records\n"
	"      --supervisor PATH  ask the supervisor that listens there\n"
	"  -h, --help\n";

#define CELL_MAX 320

/* --- cells ----------------------------------------------------------------------- */

static void cell_text(const json_t *o, const char *key, char *buf)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_integer(v))
		(void)snprintf(buf, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_string(v) && *json_string_value(v))
		(void)log_quote(buf, CELL_MAX, json_string_value(v));
	else
		(void)snprintf(buf, CELL_MAX, "-");
}

static void cell_proto(const json_t *o, const char *key, char *buf)
{
	const char *transport = ask_string(o, "transport");

	(void)key;
	(void)snprintf(buf, CELL_MAX, "%s%s%s", ask_string(o, "protocol"),
		       strcmp(ask_string(o, "family"), "inet6") == 0 ? "6" : "",
		       strcmp(transport, "wire") == 0 ? "/wire" :
		       strcmp(transport, "host") == 0 ? "/host" :
							"");
}

static void cell_queue(const json_t *o, const char *key, char *buf)
{
	char waiting[CELL_MAX];

	cell_text(o, key, waiting);
	if (json_is_integer(json_object_get(o, "backlog")))
		(void)snprintf(buf, CELL_MAX, "%.20s/%lld", waiting, ask_int(o, "backlog"));
	else
		(void)snprintf(buf, CELL_MAX, "-");
}

/* Those that are set, and sizes. */
static void cell_options(const json_t *o, const char *key, char *buf)
{
	json_t *options = json_object_get(o, key), *v;
	const char *name;
	size_t len = 0;

	(void)snprintf(buf, CELL_MAX, "-");
	json_object_foreach(options, name, v) {
		char quoted[64];

		if (json_is_true(v))
			len += (size_t)snprintf(buf + len, CELL_MAX - len, "%s%s", len ? "," : "", name);
		else if (json_is_integer(v))
			len += (size_t)snprintf(buf + len, CELL_MAX - len, "%s%s=%" JSON_INTEGER_FORMAT,
						len ? "," : "", name, json_integer_value(v));
		else if (json_is_string(v))
			len += (size_t)snprintf(buf + len, CELL_MAX - len, "%s%s=%s", len ? "," : "", name,
						log_quote(quoted, sizeof quoted, json_string_value(v)));
		if (len >= CELL_MAX)
			return; /* cut; the rest has no room */
	}
}

static const struct column {
	const char *title, *key;
	void (*cell)(const json_t *o, const char *key, char *buf);
	bool right;
} columns[] = {
	{ "SOCKET", "id", cell_text, true },
	{ "ID", "container", cell_text, false },
	{ "DOMAIN", "domain", cell_text, false },
	{ "PROTO", "", cell_proto, false },
	{ "STATUS", "status", cell_text, false },
	{ "RECV-Q", "receiveQueue", cell_text, true },
	{ "SEND-Q", "sendQueue", cell_text, true },
	{ "CONN-Q", "connectionQueue", cell_queue, true },
	{ "LOCAL", "local", cell_text, false },
	{ "REMOTE", "remote", cell_text, false },
	{ "IN", "bytesIn", cell_text, true },
	{ "OUT", "bytesOut", cell_text, true },
	{ "RULE", "rule", cell_text, false },
	{ "GEN", "generation", cell_text, true },
	{ "OPTIONS", "options", cell_options, false },
};
#define N_COLUMNS (sizeof columns / sizeof *columns)

static void print_table(const json_t *rows)
{
	int widths[N_COLUMNS];
	char buf[CELL_MAX];
	const json_t *o;
	size_t i;

	for (size_t c = 0; c < N_COLUMNS; c++) {
		widths[c] = (int)strlen(columns[c].title);
		json_array_foreach(rows, i, o) {
			columns[c].cell(o, columns[c].key, buf);
			if ((int)strlen(buf) > widths[c])
				widths[c] = (int)strlen(buf);
		}
	}
	widths[N_COLUMNS - 1] = 0; /* nothing follows */
	for (size_t c = 0; c < N_COLUMNS; c++)
		(void)printf("%*s%s", columns[c].right ? widths[c] : -widths[c], columns[c].title,
			     c + 1 < N_COLUMNS ? " " : "\n");
	json_array_foreach(rows, i, o)
		for (size_t c = 0; c < N_COLUMNS; c++) {
			columns[c].cell(o, columns[c].key, buf);
			(void)printf("%*s%s", columns[c].right ? widths[c] : -widths[c], buf,
				     c + 1 < N_COLUMNS ? " " : "\n");
		}
}

/* --- rows ------------------------------------------------------------------------ */

struct listing {
	json_t *rows;
	const char *fabric;
};

static int take_row(void *ctx, json_t *o)
{
	struct listing *l = ctx;

	(void)json_object_set_new(o, "fabric", l->fabric ? json_string(l->fabric) : json_null());
	return json_array_append(l->rows, o) < 0 ? -ENOMEM : 0;
}

/* The rows of all that are meant, in the order of their numbers. */
static int by_number(const void *a, const void *b)
{
	long long x = ask_int(*(json_t *const *)a, "id"), y = ask_int(*(json_t *const *)b, "id");

	return x < y ? -1 : x > y;
}

static json_t *sorted(json_t *rows)
{
	size_t n = json_array_size(rows), i;
	json_t **v = calloc(n + 1, sizeof(json_t *)), *all = json_array(), *o;

	if (!v || !all) {
		free(v);
		json_decref(all);
		return rows;
	}
	json_array_foreach(rows, i, o)
		v[i] = o;
	qsort(v, n, sizeof(json_t *), by_number);
	for (i = 0; i < n; i++)
		(void)json_array_append(all, v[i]);
	free(v);
	json_decref(rows);
	return all;
}

static int get_rows(const struct ask_whom *whom, json_t **ret, struct err *e)
{
	struct ask_whom by_path = *whom;
	struct listing l = { .rows = json_array() };
	struct ask_targets s;
	int rc;

	if (whom->path || whom->fabric)
		by_path.id = NULL;
	rc = ask_whom(&by_path, &s, e);
	for (size_t i = 0; rc == 0 && i < s.n; i++) {
		l.fabric = s.v[i].fabric;
		rc = ask_each(s.v[i].path, "sockets", whom->id, false, take_row, &l, e);
		/* One that ended just now, when nobody asked for it by name, is no error. */
		if (rc < 0 && !whom->id && !whom->path && !whom->fabric)
			rc = 0;
	}
	ask_targets_fini(&s);
	if (rc < 0) {
		json_decref(l.rows);
		return e->num ? rc : err_num(e, ENOMEM, "sockets");
	}
	*ret = sorted(l.rows);
	return 0;
}

/* --- changes --------------------------------------------------------------------- */

/* Numbers are one supervisor's own; the container tells supervisors apart. */
static void key_of(const json_t *o, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld %s", ask_int(o, "id"), ask_string(o, "container"));
}

static int print_line(json_t *o)
{
	return json_dumpf(o, stdout, JSON_COMPACT) < 0 || putchar('\n') < 0 ? -EPIPE : 0;
}

/* New and changed rows, and {"id", "container", "gone": true}. `*seen` are the rows of last time by key. */
static int print_changes(const json_t *rows, json_t **seen)
{
	json_t *now = json_object(), *o, *gone;
	const char *key;
	char buf[CELL_MAX];
	size_t i;
	int rc = 0;

	json_array_foreach(rows, i, o) {
		key_of(o, buf, sizeof buf);
		(void)json_object_set(now, buf, o);
		if (rc == 0 && !json_equal(json_object_get(*seen, buf), o))
			rc = print_line(o);
	}
	json_object_foreach(*seen, key, o) {
		if (rc < 0 || json_object_get(now, key))
			continue;
		gone = json_pack("{s:I, s:s, s:b}", "id", (json_int_t)ask_int(o, "id"), "container",
				 ask_string(o, "container"), "gone", 1);
		rc = print_line(gone);
		json_decref(gone);
	}
	json_decref(*seen);
	*seen = now;
	return rc;
}

static int print_once(const json_t *rows, bool json, bool clear)
{
	if (clear)
		(void)fputs("\033[H\033[J", stdout);
	if (json && (json_dumpf(rows, stdout, JSON_INDENT(2)) < 0 || putchar('\n') < 0))
		return -EPIPE;
	if (!json)
		print_table(rows);
	return 0;
}

static int watch(const struct ask_whom *whom, bool json, struct err *e)
{
	bool clear = isatty(STDOUT_FILENO), any = false;
	json_t *seen = json_object(), *rows;
	int rc = 0;

	while (rc == 0) {
		rc = get_rows(whom, &rows, e);
		/* That it ends is how a watch of one ends. */
		if (rc < 0) {
			rc = any ? 1 : rc;
			break;
		}
		any = true;
		rc = json ? print_changes(rows, &seen) : print_once(rows, false, clear);
		if (rc == 0 && fflush(stdout) != 0)
			rc = -EPIPE;
		json_decref(rows);
		if (rc == 0)
			(void)sleep(1);
	}
	json_decref(seen);
	if (rc >= 0)
		return 0;
	return e->num ? rc : err_num(e, EPIPE, "writing the list");
}

static int list(const struct ask_whom *whom, bool json, struct err *e)
{
	json_t *rows;
	int rc = get_rows(whom, &rows, e);

	if (rc < 0)
		return rc;
	rc = print_once(rows, json, false);
	json_decref(rows);
	if (rc < 0 || fflush(stdout) != 0)
		return err_num(e, EPIPE, "writing the list");
	return 0;
}

int cmd_sockets(int argc, char **argv)
{
	static const struct option options[] = {
		{ "fabric", required_argument, NULL, 'F' },
		{ "json", no_argument, NULL, 'j' },
		{ "watch", no_argument, NULL, 'w' },
		{ "root", required_argument, NULL, 'r' },
		{ "supervisor", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct ask_whom whom = { .root = globals.root };
	bool json = false, again = false;
	struct err e = { 0 };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == 'F')
			whom.fabric = optarg;
		else if (opt == 'j')
			json = true;
		else if (opt == 'w')
			again = true;
		else if (opt == 'r')
			whom.root = optarg;
		else if (opt == 's')
			whom.path = optarg;
		else
			return command_usage("sockets", "unknown option or missing value");
	}
	if (optind < argc - 1)
		return command_usage("sockets", "expected one id");
	if (optind < argc)
		whom.id = argv[optind];
	if (whom.path && whom.fabric)
		return command_usage("sockets", "--fabric and --supervisor exclude each other");
	return (again ? watch(&whom, json, &e) : list(&whom, json, &e)) < 0 ? command_fail(&e) : 0;
}
