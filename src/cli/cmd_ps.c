/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/processes.h"
#include "run/kept.h"
#include "run/state.h"
#include "run/sweep.h"

static const char help[] = "Usage: vrun ps [--json] [--root DIR] [-q]\n"
			   "       vrun ps [-f table|json] ID [PS OPTIONS]\n\n"
			   "Lists the sandboxes that run, those of the calling user; or the processes of one.\n\n"
			   "      --json       as a JSON array\n"
			   "  -q, --quiet      ids only\n"
			   "  -f, --format F   table (default) or json\n"
			   "      --root DIR   directory of the records\n"
			   "  -h, --help\n";

enum format { FORMAT_TABLE, FORMAT_IDS, FORMAT_JSON };

struct listing {
	enum format format;
	const char *root;
	int dir;
	json_t *array;
};

static void age_text(int64_t created, char *buf, size_t size)
{
	int64_t s = time(NULL) - created;

	if (s < 0)
		s = 0;
	if (s < 120)
		(void)snprintf(buf, size, "%llds", (long long)s);
	else if (s < 7200)
		(void)snprintf(buf, size, "%lldm", (long long)(s / 60));
	else if (s < 172800)
		(void)snprintf(buf, size, "%lldh", (long long)(s / 3600));
	else
		(void)snprintf(buf, size, "%lldd", (long long)(s / 86400));
}

static int keep(void *ctx, json_t *o)
{
	*(json_t **)ctx = json_incref(o);
	return 1; /* the only one */
}

/* What the run's supervisor says of it: names and addresses that its policy may have left open. */
static json_t *ask_domain(const struct listing *l, const struct state_record *r)
{
	AUTO_FREE char *path = NULL;
	struct err ignored = { 0 };
	json_t *o = NULL;

	if (!r->supervisor || !*r->supervisor ||
	    asprintf(&path, "%s%s%s", *r->supervisor == '/' ? "" : l->root, *r->supervisor == '/' ? "" : "/",
		     r->supervisor) < 0)
		return NULL;
	(void)ask_each(path, "domains", r->id, false, keep, &o, &ignored);
	return o;
}

static int add(struct listing *l, const struct state_record *r)
{
	enum state_status status = kept_status(l->dir, r);
	json_t *domain;
	json_t *o;
	const json_t *addresses;
	const json_t *published;

	if (status == STATE_STOPPED)
		return 0;
	domain = l->format == FORMAT_IDS ? NULL : ask_domain(l, r);
	o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:I}", "id", r->id, "status", kept_status_name(status), "pid",
		      (int)r->pid, "net", r->net, "program", r->program, "bundle", r->bundle,
		      "created", (json_int_t)r->created);
	addresses = json_object_get(domain, "addresses");
	published = json_object_get(domain, "published");

	(void)json_object_set_new(o, "domain", domain ? json_string(ask_string(domain, "domain")) : json_null());
	(void)json_object_set_new(o, "addresses", addresses ? json_deep_copy(addresses) : json_array());
	(void)json_object_set_new(o, "published", published ? json_deep_copy(published) : json_array());
	(void)json_object_set_new(o, "fabric", r->fabric && *r->fabric ? json_string(r->fabric) : json_null());
	json_decref(domain);
	return o && json_array_append_new(l->array, o) == 0 ? 0 : -ENOMEM;
}

static int each(const struct state_record *r, void *arg)
{
	return add(arg, r);
}

/* --- the table ------------------------------------------------------------------- */

enum { COLUMNS = 10, CELL_MAX = 200 };
static const char *const titles[COLUMNS] = { "ID",	"PID",	     "AGE",    "NET",	 "DOMAIN",
					     "ADDRESSES", "PUBLISHED", "FABRIC", "PROGRAM", "BUNDLE" };

static void text_cell(const json_t *o, const char *key, char *buf)
{
	const char *s = ask_string(o, key);

	(void)log_quote(buf, CELL_MAX, *s ? s : "-");
}

static void addresses_cell(const json_t *o, char *buf)
{
	const json_t *all = json_object_get(o, "addresses"), *a;
	char quoted[64];
	size_t i, len = 0;

	(void)snprintf(buf, CELL_MAX, "-");
	json_array_foreach(all, i, a)
		if (len < CELL_MAX)
			len += (size_t)snprintf(buf + len, CELL_MAX - len, "%s%s", i ? "," : "",
						log_quote(quoted, sizeof quoted, json_string_value(a) ?: ""));
}

/* "127.0.0.1:8080>80", "127.0.0.1:5353>53/udp": the machine's, and the domain's port; in brackets while nobody listens. */
static void published_cell(const json_t *o, char *buf)
{
	const json_t *all = json_object_get(o, "published"), *p;
	size_t i, len = 0;

	(void)snprintf(buf, CELL_MAX, "-");
	json_array_foreach(all, i, p) {
		bool open = json_is_true(json_object_get(p, "open"));

		if (len < CELL_MAX)
			len += (size_t)snprintf(buf + len, CELL_MAX - len, "%s%s%s>%lld%s%s", i ? "," : "",
						open ? "" : "(", ask_string(p, "at"), ask_int(p, "port"),
						strcmp(ask_string(p, "proto"), "udp") == 0 ? "/udp" : "",
						open ? "" : ")");
	}
}

static void cells(const json_t *o, char ret[COLUMNS][CELL_MAX])
{
	text_cell(o, "id", ret[0]);
	(void)snprintf(ret[1], CELL_MAX, "%lld", ask_int(o, "pid"));
	age_text(ask_int(o, "created"), ret[2], CELL_MAX);
	text_cell(o, "net", ret[3]);
	text_cell(o, "domain", ret[4]);
	addresses_cell(o, ret[5]);
	published_cell(o, ret[6]);
	text_cell(o, "fabric", ret[7]);
	text_cell(o, "program", ret[8]);
	text_cell(o, "bundle", ret[9]);
}

static void print_table(const json_t *array)
{
	char row[COLUMNS][CELL_MAX];
	int widths[COLUMNS];
	const json_t *o;
	size_t i;

	if (json_array_size(array) == 0)
		return;
	for (int c = 0; c < COLUMNS; c++)
		widths[c] = (int)strlen(titles[c]);
	json_array_foreach(array, i, o) {
		cells(o, row);
		for (int c = 0; c < COLUMNS; c++)
			if ((int)strlen(row[c]) > widths[c])
				widths[c] = (int)strlen(row[c]);
	}
	for (int c = 0; c < COLUMNS; c++)
		(void)printf("%-*s%s", c == COLUMNS - 1 ? 0 : widths[c], titles[c], c == COLUMNS - 1 ? "\n" : " ");
	json_array_foreach(array, i, o) {
		cells(o, row);
		for (int c = 0; c < COLUMNS; c++)
			(void)printf("%-*s%s", c == COLUMNS - 1 ? 0 : widths[c], row[c],
				     c == COLUMNS - 1 ? "\n" : " ");
	}
}

static int print(const struct listing *l)
{
	const json_t *o;
	size_t i;

	if (l->format == FORMAT_JSON)
		return json_dumpf(l->array, stdout, JSON_INDENT(2)) < 0 || putchar('\n') < 0 ? -EIO : 0;
	if (l->format == FORMAT_TABLE)
		print_table(l->array);
	else
		json_array_foreach(l->array, i, o)
			(void)printf("%s\n", ask_string(o, "id"));
	return 0;
}

static int list(const char *root, enum format format, struct err *e)
{
	AUTO_FD int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct listing l = { .format = format, .root = root, .dir = fd };
	int rc;

	if (fd < 0)
		return err_sys(e, "state directory %s", root);
	l.array = json_array();
	sweep_sockets(fd);
	rc = state_each(fd, each, &l, e);
	if (rc == -ENOMEM)
		(void)err_num(e, ENOMEM, "the list");
	if (rc == 0 && print(&l) < 0)
		rc = err_set(e, EIO, "writing the list");
	json_decref(l.array);
	if (rc == 0 && fflush(stdout) != 0)
		rc = err_sys(e, "writing the list");
	return rc;
}

int cmd_ps(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "format", required_argument, NULL, 'f' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum format format = FORMAT_TABLE;
	const char *override = globals.root;
	AUTO_FREE char *root = NULL;
	struct err e = { 0 };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+qf:h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == 'j')
			format = FORMAT_JSON;
		else if (opt == 'q')
			format = FORMAT_IDS;
		else if (opt == 'r')
			globals.root = override = optarg;
		else if (opt == 'f' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "table") == 0))
			format = *optarg == 'j' ? FORMAT_JSON : FORMAT_TABLE;
		else
			return command_usage("ps", "unknown option or missing value");
	}
	if (optind < argc)
		return processes_print(argv[optind], format == FORMAT_JSON, argv + optind + 1);
	if (state_root(override, &root, &e) < 0 || list(root, format, &e) < 0)
		return command_fail(&e);
	return 0;
}
