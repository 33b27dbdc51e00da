/* SPDX-License-Identifier: Apache-2.0 */
/* The command line and the output of `vrun verify`. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pack/manifest.h"
#include "pack/verify.h"

#define EXIT_OWN 125
#define QUIET_LINES 10U

enum { OPT_JSON = 256, OPT_DATA };

struct verify_options {
	const char *bundle;
	bool quiet, json, data;
};

static void help(FILE *out)
{
	(void)fputs("Usage: vrun verify [OPTION]... BUNDLE\n"
		    "Check a packed bundle's files against its manifest, and name each one that\n"
		    "differs, is missing or is extra. Exits with 0 when there is none, else 1.\n"
		    "\n"
		    "      --data    check the data directories too, as they were packed\n"
		    "      --json    print the result as JSON\n"
		    "  -q, --quiet   print nothing when all is well, else errors only\n"
		    "  -h, --help    this text\n",
		    out);
}

/* 0, 1 for help, -EINVAL. */
static int parse(struct verify_options *o, int argc, char **argv, struct err *e)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, OPT_JSON }, { "data", no_argument, NULL, OPT_DATA },
		{ "quiet", no_argument, NULL, 'q' },	 { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char quoted[256];
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			return 1;
		case 'q':
			o->quiet = true;
			break;
		case OPT_JSON:
			o->json = true;
			break;
		case OPT_DATA:
			o->data = true;
			break;
		default:
			(void)err_set(e, EINVAL, "unknown option %s",
				      log_quote(quoted, sizeof quoted, argv[optind - 1]));
			return err_hint(e, "vrun verify --help");
		}
	}
	if (optind + 1 != argc) {
		(void)err_set(e, EINVAL, optind == argc ? "no bundle to verify" : "more than one bundle");
		return err_hint(e, "vrun verify BUNDLE");
	}
	o->bundle = argv[optind];
	return 0;
}

static void print_json(const struct verify_options *o, const struct verify_report *r)
{
	json_t *list = json_array(), *edited = json_array(), *doc;
	char path[2 * MANIFEST_PATH_MAX], bundle[MANIFEST_PATH_MAX];

	for (const struct verify_finding *f = r->first; f; f = f->next)
		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "kind",
							    verify_kind_name(f->kind), "path",
							    log_quote(path, sizeof path, f->path), "what",
							    f->what));
	if (r->edited_config)
		(void)json_array_append_new(edited, json_string("config.json"));
	if (r->edited_policy)
		(void)json_array_append_new(edited, json_string("policy.json"));
	doc = json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "bundle",
			manifest_encode_path(o->bundle, bundle), "ok", verify_report_ok(r), "checked",
			(json_int_t)r->checked, "differs", (json_int_t)r->count[VERIFY_DIFFERS], "missing",
			(json_int_t)r->count[VERIFY_MISSING], "extra",
			(json_int_t)r->count[VERIFY_EXTRA], "findings", list, "edited", edited);
	(void)json_dumpf(doc, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(doc);
}

static void print_text(const struct verify_options *o, const struct verify_report *r)
{
	char path[2 * MANIFEST_PATH_MAX], bundle[MANIFEST_PATH_MAX];
	uint64_t all = r->count[VERIFY_DIFFERS] + r->count[VERIFY_MISSING] + r->count[VERIFY_EXTRA];
	uint64_t shown = 0;

	for (const struct verify_finding *f = r->first; f; f = f->next, shown++)
		(void)printf("%-8s %s%s%s\n", verify_kind_name(f->kind),
			     log_quote(path, sizeof path, f->path), *f->what ? ": " : "", f->what);
	if (shown < all)
		(void)printf("... and %llu more\n", (unsigned long long)(all - shown));
	(void)log_quote(bundle, sizeof bundle, o->bundle);
	if (all == 0)
		(void)printf("%s: %llu entries, all as packed\n", bundle, (unsigned long long)r->checked);
	else
		(void)printf("%s: %llu differ, %llu missing, %llu extra\n", bundle,
			     (unsigned long long)r->count[VERIFY_DIFFERS],
			     (unsigned long long)r->count[VERIFY_MISSING],
			     (unsigned long long)r->count[VERIFY_EXTRA]);
	if (r->edited_config || r->edited_policy)
		(void)printf("note: edited since it was packed:%s%s\n",
			     r->edited_config ? " config.json" : "", r->edited_policy ? " policy.json" : "");
}

/* For callers whose standard output is somebody else's. */
static void print_quiet(const struct verify_options *o, const struct verify_report *r)
{
	char path[2 * MANIFEST_PATH_MAX], bundle[MANIFEST_PATH_MAX];
	uint64_t all = r->count[VERIFY_DIFFERS] + r->count[VERIFY_MISSING] + r->count[VERIFY_EXTRA];
	uint64_t shown = 0;

	(void)log_quote(bundle, sizeof bundle, o->bundle);
	for (const struct verify_finding *f = r->first; f && shown < QUIET_LINES; f = f->next, shown++)
		log_error("%s: %s %s%s%s", bundle, verify_kind_name(f->kind),
			  log_quote(path, sizeof path, f->path), *f->what ? ": " : "", f->what);
	if (shown < all)
		log_error("%s: and %llu more", bundle, (unsigned long long)(all - shown));
}

int verify_main(int argc, char **argv)
{
	struct verify_options o = { 0 };
	struct verify_report r;
	struct progress progress;
	struct err e = { 0 };
	int rc = parse(&o, argc, argv, &e), code = 0;

	if (rc > 0) {
		help(stdout);
		return 0;
	}
	if (rc < 0) {
		log_err(&e);
		return EXIT_OWN;
	}
	progress_init(&progress, o.quiet);
	rc = verify_bundle(&r, o.bundle, o.data, &progress, &e);
	progress_clear(&progress);
	if (rc < 0) {
		log_err(&e);
		code = EXIT_OWN;
	} else {
		if (o.json)
			print_json(&o, &r);
		else if (o.quiet)
			print_quiet(&o, &r);
		else
			print_text(&o, &r);
		code = verify_report_ok(&r) ? 0 : 1;
	}
	verify_report_fini(&r);
	return code;
}
