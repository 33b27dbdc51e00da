/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/command.h"
#include "run/state.h"

static const char help[] = "Usage: vrun ps [--json] [--root DIR] [-q]\n\n"
			   "Lists the sandboxes that run, those of the calling user.\n\n"
			   "      --json       as a JSON array\n"
			   "  -q, --quiet      ids only\n"
			   "      --root DIR   directory of the records\n"
			   "  -h, --help\n";

enum format { FORMAT_TABLE, FORMAT_IDS, FORMAT_JSON };

struct listing {
	enum format format;
	json_t *array;
	bool any;
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

static int add_json(struct listing *l, const struct state_record *r)
{
	json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:I}", "id", r->id, "status", "running", "pid",
			      (int)r->pid, "net", r->net, "program", r->program, "bundle", r->bundle,
			      "created", (json_int_t)r->created);

	return o && json_array_append_new(l->array, o) == 0 ? 0 : -ENOMEM;
}

static int each(const struct state_record *r, void *arg)
{
	struct listing *l = arg;
	char program[80], bundle[160], age[24];

	if (l->format == FORMAT_JSON)
		return add_json(l, r);
	if (l->format == FORMAT_IDS) {
		(void)printf("%s\n", r->id);
		return 0;
	}
	if (!l->any)
		(void)printf("%-20s %-8s %-6s %-9s %-20s %s\n", "ID", "PID", "AGE", "NET", "PROGRAM", "BUNDLE");
	l->any = true;
	age_text(r->created, age, sizeof age);
	(void)printf("%-20s %-8d %-6s %-9s %-20s %s\n", r->id, (int)r->pid, age, r->net,
		     log_quote(program, sizeof program, r->program),
		     *r->bundle ? log_quote(bundle, sizeof bundle, r->bundle) : "-");
	return 0;
}

static int list(const char *root, enum format format, struct err *e)
{
	AUTO_FD int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct listing l = { .format = format };
	int rc;

	if (fd < 0)
		return err_sys(e, "state directory %s", root);
	l.array = json_array();
	rc = state_each(fd, each, &l, e);
	if (rc == 0 && format == FORMAT_JSON) {
		if (json_dumpf(l.array, stdout, JSON_INDENT(2)) < 0 || putchar('\n') < 0)
			rc = err_set(e, EIO, "writing the list");
	}
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
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum format format = FORMAT_TABLE;
	const char *override = NULL;
	AUTO_FREE char *root = NULL;
	struct err e = { 0 };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == 'j')
			format = FORMAT_JSON;
		else if (opt == 'q')
			format = FORMAT_IDS;
		else if (opt == 'r')
			override = optarg;
		else
			return command_usage("ps", "unknown option or missing value");
	}
	if (optind < argc)
		return command_usage("ps", "no arguments are taken");
	if (state_root(override, &root, &e) < 0 || list(root, format, &e) < 0)
		return command_fail(&e);
	return 0;
}
