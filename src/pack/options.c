/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/options.h"

#include <getopt.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>

#include "base/log.h"
#include "base/num.h"

#define TRACE_SECONDS 10U
#define TRACE_SECONDS_MAX 86400U

enum {
	OPT_DATA = 256,
	OPT_PACKAGE,
	OPT_NO_PACKAGES,
	OPT_TRACE,
	OPT_TRACE_SECONDS,
	OPT_USER,
	OPT_ENV,
	OPT_CWD,
	OPT_CAP,
	OPT_WRITABLE,
	OPT_READ_ONLY,
	OPT_NAME,
	OPT_ROOT,
	OPT_FORCE,
	OPT_ADD,
};

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "add", required_argument, NULL, OPT_ADD },
	{ "data", required_argument, NULL, OPT_DATA },
	{ "package", required_argument, NULL, OPT_PACKAGE },
	{ "no-packages", no_argument, NULL, OPT_NO_PACKAGES },
	{ "trace", no_argument, NULL, OPT_TRACE },
	{ "trace-seconds", required_argument, NULL, OPT_TRACE_SECONDS },
	{ "user", required_argument, NULL, OPT_USER },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "cwd", required_argument, NULL, OPT_CWD },
	{ "cap", required_argument, NULL, OPT_CAP },
	{ "writable", required_argument, NULL, OPT_WRITABLE },
	{ "read-only", no_argument, NULL, OPT_READ_ONLY },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

void pack_options_help(FILE *out)
{
	(void)fputs(
		"Usage: vrun pack -o BUNDLE [OPTION]... PROGRAM [ARG]...\n"
		"Make a bundle of an installed program: the program, its libraries,\n"
		"configuration and data, with a policy that lets it reach nothing.\n"
		"\n"
		"  -o, --output BUNDLE      the directory to make\n"
		"      --force              replace a bundle of that name\n"
		"      --add PATH[:DEST]    also take a file or directory\n"
		"      --data DIR[:DEST]    also take a directory that the program writes to\n"
		"      --package NAME       also take the files of an installed Debian package\n"
		"      --no-packages        do not ask dpkg what belongs to the program\n"
		"      --trace              run the program once, on this host, and take\n"
		"                           what it opens\n"
		"      --trace-seconds N    end that run after N seconds (default 10)\n"
		"      --user USER[:GROUP]  whom the program runs as, ids or names (default 0:0)\n"
		"      --env NAME=VALUE     set a variable for it\n"
		"      --cwd DIR            its working directory\n"
		"      --cap NAME           a capability that it keeps (default: none)\n"
		"      --writable PATH      an empty directory in memory for it\n"
		"      --read-only          the rest of its file system cannot be written to\n"
		"      --name NAME          its host name and domain\n"
		"      --root DIR           take everything from this root file system\n"
		"  -q, --quiet              no progress, no summary\n"
		"  -h, --help               this text\n"
		"\n"
		"vrun-pack(1) says how it decides what to take. Next: vrun BUNDLE\n",
		out);
}

static int bad(struct err *e, const char *what, const char *value)
{
	char quoted[512];

	return err_set(e, EINVAL, "%s \"%s\"", what, log_quote(quoted, sizeof quoted, value));
}

int pack_options_split(char *text, struct pack_mapping *ret)
{
	struct pack_mapping m = { .from = text };
	char *at = NULL;

	for (char *p = text; (p = strstr(p, ":/")); p++)
		at = p;
	if (at) {
		*at = '\0';
		m.to = at + 1;
	}
	if (!*m.from)
		return -EINVAL;
	*ret = m;
	return 0;
}

int pack_options_cap(const char *name)
{
	char full[64];
	cap_value_t v;
	int n = snprintf(full, sizeof full, "%s%s", strncasecmp(name, "cap_", 4) == 0 ? "" : "cap_",
			 name);

	if (n < 0 || (size_t)n >= sizeof full || cap_from_name(full, &v) < 0)
		return -1;
	return v >= 0 && v < 64 ? v : -1;
}

/* Every array may need as many places as there are words on the command line. */
static int make_arrays(struct pack_options *o, int argc, struct err *e)
{
	size_t n = (size_t)argc;

	o->adds = arena_array(&o->arena, n, sizeof *o->adds);
	o->data = arena_array(&o->arena, n, sizeof *o->data);
	o->env.v = arena_array(&o->arena, n, sizeof *o->env.v);
	o->packages.v = arena_array(&o->arena, n, sizeof *o->packages.v);
	o->writable.v = arena_array(&o->arena, n, sizeof *o->writable.v);
	o->args.v = arena_array(&o->arena, n, sizeof *o->args.v);
	if (!o->adds || !o->data || !o->env.v || !o->packages.v || !o->writable.v || !o->args.v)
		return err_num(e, ENOMEM, "reading the command line");
	return 0;
}

static int take_mapping(char *text, struct pack_mapping *v, size_t *n, struct err *e)
{
	if (pack_options_split(text, &v[*n]) < 0)
		return bad(e, "no path before the colon in", text);
	(*n)++;
	return 0;
}

/* An absolute path, as several options want one. */
static int take_path(const char *name, const char *value, struct err *e)
{
	char what[64];

	if (value[0] == '/')
		return 0;
	(void)snprintf(what, sizeof what, "%s wants an absolute path, not", name);
	return bad(e, what, value);
}

static int take_env(struct pack_options *o, const char *value, struct err *e)
{
	const char *eq = strchr(value, '=');

	if (!eq || eq == value)
		return bad(e, "--env wants NAME=VALUE, not", value);
	for (size_t i = 0; i < o->env.n; i++) {
		if (strncmp(o->env.v[i], value, (size_t)(eq - value) + 1) == 0) {
			o->env.v[i] = value; /* the last one counts */
			return 0;
		}
	}
	o->env.v[o->env.n++] = value;
	return 0;
}

static int take_cap(struct pack_options *o, const char *value, struct err *e)
{
	int cap = pack_options_cap(value);

	if (cap < 0)
		return bad(e, "--cap: no such capability:", value);
	o->caps |= 1ULL << cap;
	return 0;
}

static int take_switch(struct pack_options *o, int opt)
{
	switch (opt) {
	case OPT_NO_PACKAGES:
		o->no_packages = true;
		return 0;
	case OPT_TRACE:
		o->trace = true;
		return 0;
	case OPT_READ_ONLY:
		o->read_only = true;
		return 0;
	case OPT_FORCE:
		o->force = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	default:
		return -ENOENT;
	}
}

static int take_option(struct pack_options *o, int opt, char *value, struct err *e)
{
	switch (opt) {
	case 'o':
		o->bundle = value;
		return 0;
	case OPT_ADD:
		return take_mapping(value, o->adds, &o->n_adds, e);
	case OPT_DATA:
		return take_mapping(value, o->data, &o->n_data, e);
	case OPT_PACKAGE:
		o->packages.v[o->packages.n++] = value;
		return 0;
	case OPT_TRACE_SECONDS:
		o->trace = true;
		if (num_parse_u64(value, 1, TRACE_SECONDS_MAX, &o->trace_seconds) < 0)
			return bad(e, "--trace-seconds wants a number from 1 to 86400, not", value);
		return 0;
	case OPT_USER:
		o->user = value;
		return 0;
	case OPT_ENV:
		return take_env(o, value, e);
	case OPT_CWD:
		o->cwd = value;
		return take_path("--cwd", value, e);
	case OPT_CAP:
		return take_cap(o, value, e);
	case OPT_WRITABLE:
		o->writable.v[o->writable.n++] = value;
		return take_path("--writable", value, e);
	case OPT_NAME:
		o->name = value;
		return 0;
	case OPT_ROOT:
		o->root = value;
		return 0;
	default:
		return take_switch(o, opt);
	}
}

static int check(struct pack_options *o, struct err *e)
{
	if (!o->bundle) {
		(void)err_set(e, EINVAL, "where the bundle is to be written is not said");
		return err_hint(e, "-o BUNDLE");
	}
	if (!o->program) {
		(void)err_set(e, EINVAL, "no program to pack");
		return err_hint(e, "vrun pack -o BUNDLE PROGRAM [ARG]...");
	}
	if (o->trace && strcmp(o->root, "/") != 0)
		return err_set(e, EINVAL, "--trace runs the program on this host and cannot be used with --root");
	return 0;
}

static int usage(struct err *e, int c, char **argv)
{
	char quoted[512];

	(void)err_set(e, EINVAL, c == ':' ? "option %s wants a value" : "unknown option %s",
		      log_quote(quoted, sizeof quoted, argv[optind - 1]));
	return err_hint(e, "vrun pack --help");
}

int pack_options_parse(struct pack_options *o, int argc, char **argv, struct err *e)
{
	struct pack_options v = { .root = "/", .trace_seconds = TRACE_SECONDS };
	int c, rc = make_arrays(&v, argc, e);

	opterr = 0;
	optind = 1;
	while (rc == 0 && (c = getopt_long(argc, argv, "+:o:qh", options, NULL)) != -1) {
		if (c == 'h')
			rc = 1;
		else
			rc = c == '?' || c == ':' ? usage(e, c, argv) : take_option(&v, c, optarg, e);
	}
	if (rc == 0) {
		v.program = argv[optind];
		for (int i = optind + 1; v.program && i < argc; i++)
			v.args.v[v.args.n++] = argv[i];
		rc = check(&v, e);
	}
	if (rc != 0) {
		pack_options_fini(&v);
		return rc;
	}
	*o = v;
	return 0;
}

void pack_options_fini(struct pack_options *o)
{
	arena_fini(&o->arena);
	*o = (struct pack_options){ 0 };
}
