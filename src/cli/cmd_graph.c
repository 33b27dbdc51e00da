/* SPDX-License-Identifier: Apache-2.0 */
/* vrun graph: a picture of domains, who may reach whom, who did, and what was denied. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/picture.h"

static const char help[] =
	"Usage: vrun graph [OPTIONS] ID\n"
	"       vrun graph [OPTIONS] FILE...\n\n"
	"Draws the domains of a running sandbox's fabric, or of policies: who may reach whom, and\n"
	"of what runs also who did, and what was denied.\n\n"
	"  -o, --output FILE      NAME.dot (Graphviz' language), NAME.svg (a picture) or NAME.html (a page\n"
	"                         with the picture, the sockets and the audit log); default: dot to standard output\n"
	"      --log FILE         records of \"vrun log --json\" beside it (\"-\": standard input)\n"
	"      --root DIR         directory of the records\n"
	"      --fabric NAME      the fabric of that name, in place of an ID\n"
	"      --supervisor PATH  ask the supervisor that listens there, in place of an ID\n"
	"  -h, --help\n";

struct graph_args {
	struct ask_whom whom;
	const char *output, *log;
	char **what;
	size_t n;
};

enum format { FORMAT_DOT, FORMAT_SVG, FORMAT_HTML, FORMATS };

static int format_of(const char *output, struct err *e)
{
	static const char *const ends[FORMATS] = { ".dot", ".svg", ".html" };
	size_t n = output ? strlen(output) : 0;

	if (!output)
		return FORMAT_DOT;
	for (int i = 0; i < FORMATS; i++)
		if (n > strlen(ends[i]) && strcmp(output + n - strlen(ends[i]), ends[i]) == 0)
			return i;
	return err_set(e, EINVAL, "%s: a graph is written to a file that ends in .dot, .svg or .html", output);
}

/* The whole text, so that a file is there whole or not at all. */
static int make_text(const struct picture *p, enum format format, char **ret, size_t *ret_len, struct err *e)
{
	AUTO_FREE char *svg = NULL;
	FILE *f;
	int rc = format == FORMAT_DOT ? 0 : picture_svg(p, &svg, e);

	if (rc < 0)
		return rc;
	f = open_memstream(ret, ret_len);
	if (!f)
		return err_num(e, ENOMEM, "graph");
	if (format == FORMAT_DOT)
		graph_write_dot(&p->graph, f);
	else if (format == FORMAT_HTML)
		picture_write_html(p, svg, f);
	else
		(void)fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n%s", svg);
	return fclose(f) == 0 ? 0 : err_num(e, ENOMEM, "graph");
}

static int write_file(const char *path, const char *text, size_t len, struct err *e)
{
	AUTO_FD int fd = -1;
	int rc;

	if (!path) {
		rc = fd_write_all(STDOUT_FILENO, text, len);
		return rc < 0 ? err_num(e, -rc, "standard output") : 0;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "%s", path);
	rc = fd_write_all(fd, text, len);
	return rc < 0 ? err_num(e, -rc, "%s", path) : 0;
}

static bool is_run(const struct graph_args *a)
{
	struct stat st;

	return a->whom.fabric || a->whom.path ||
	       (a->n == 1 && !strchr(a->what[0], '/') && stat(a->what[0], &st) < 0);
}

static int load(struct picture *p, const struct graph_args *a, struct err *e)
{
	struct ask_whom whom = a->whom;
	int rc;

	if (is_run(a)) {
		whom.id = a->n ? a->what[0] : NULL;
		rc = picture_of_run(p, &whom, e);
	} else {
		rc = picture_of_files(p, a->what, a->n, e);
	}
	p->title = a->n ? a->what[0] : a->whom.fabric ? a->whom.fabric : a->whom.path;
	if (rc == 0 && a->log)
		rc = picture_add_log(p, a->log, e);
	return rc < 0 ? rc : picture_draw(p, e);
}

static int draw(const struct graph_args *a)
{
	AUTO_FREE char *text = NULL;
	struct picture p = { 0 };
	struct err e = { 0 };
	size_t len = 0;
	int format = format_of(a->output, &e), rc = format;

	if (rc >= 0)
		rc = load(&p, a, &e);
	if (rc == 0)
		rc = make_text(&p, (enum format)format, &text, &len, &e);
	if (rc == 0)
		rc = write_file(a->output, text, len, &e);
	picture_fini(&p);
	return rc < 0 ? command_fail(&e) : 0;
}

int cmd_graph(int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' }, { "log", required_argument, NULL, 'l' },
		{ "root", required_argument, NULL, 'r' },   { "fabric", required_argument, NULL, 'f' },
		{ "supervisor", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	struct graph_args a = { .whom = { .root = globals.root } };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == 'o')
			a.output = optarg;
		else if (opt == 'l')
			a.log = optarg;
		else if (opt == 'r')
			a.whom.root = optarg;
		else if (opt == 'f')
			a.whom.fabric = optarg;
		else if (opt == 's')
			a.whom.path = optarg;
		else
			return command_usage("graph", "unknown option or missing value");
	}
	a.what = argv + optind;
	a.n = (size_t)(argc - optind);
	if ((a.whom.fabric || a.whom.path) ? a.n > 0 : a.n == 0)
		return command_usage("graph", "expected an ID, or policies, or one of --fabric and --supervisor");
	return draw(&a);
}
