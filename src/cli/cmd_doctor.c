/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/command.h"
#include "run/doctor.h"

#define EXIT_MISSING 1 /* something that vrun cannot do without */

static const char help[] =
	"Usage: vrun doctor [--json] [--user USER]\n\n"
	"Says what this host gives, what vrun does therefore, and what to change.\n"
	"Exits with 0 when vrun can run, with 1 when something that it needs is missing.\n\n"
	"      --json        as a JSON object\n"
	"      --user USER   for this user too (root only; default: who called sudo)\n"
	"  -h, --help\n";

enum { OPT_JSON = 256, OPT_USER };

/* --- as a table --- */

static bool colours(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no);
}

static void print_user(const struct probe_user *u)
{
	char name[128];

	if (!u)
		(void)printf("This host\n");
	else if (*u->name)
		(void)printf("\nFor %s (uid %u)\n", log_quote(name, sizeof name, u->name), u->uid);
	else
		(void)printf("\nFor uid %u\n", u->uid);
}

static void print_finding(const struct doctor_finding *d, bool colour)
{
	static const char *const start[] = { [DOCTOR_OK] = "\x1b[32m",
					     [DOCTOR_DEGRADED] = "\x1b[33m",
					     [DOCTOR_MISSING] = "\x1b[31m" };

	(void)printf("  %s%-8s%s  %-18s %s%s%s\n", colour ? start[d->status] : "",
		     doctor_status_name(d->status), colour ? "\x1b[0m" : "", d->title, d->found,
		     *d->effect ? "; " : "", d->effect);
}

static bool said_before(const struct doctor_report *r, size_t finding, size_t fix)
{
	const char *text = r->v[finding].fix[fix];

	for (size_t i = 0; i <= finding; i++)
		for (size_t k = 0; k < (i == finding ? fix : r->v[i].n_fix); k++)
			if (strcmp(r->v[i].fix[k], text) == 0)
				return true;
	return false;
}

static void print_fixes(const struct doctor_report *r)
{
	bool any = false;

	for (size_t i = 0; i < r->n; i++) {
		bool titled = false;

		for (size_t k = 0; k < r->v[i].n_fix; k++) {
			if (said_before(r, i, k))
				continue;
			if (!any)
				(void)printf("\nTo change that\n");
			if (!titled)
				(void)printf("  %s:\n", r->v[i].title);
			any = titled = true;
			(void)printf("    %s\n", r->v[i].fix[k]);
		}
	}
}

static void print_table(const struct doctor_report *r, const struct doctor_facts *f)
{
	static const char *const verdicts[] = {
		[DOCTOR_OK] = "vrun has all it can use.",
		[DOCTOR_DEGRADED] = "vrun can run, with less than it could have.",
		[DOCTOR_MISSING] = "vrun cannot run: see what is missing above.",
	};
	const struct probe_user *user = NULL;
	bool colour = colours();

	for (size_t i = 0; i < r->n; i++) {
		if (i == 0 || r->v[i].user != user)
			print_user(r->v[i].user);
		user = r->v[i].user;
		print_finding(&r->v[i], colour);
	}
	print_fixes(r);
	(void)printf("\n%s\n", verdicts[r->worst]);
	if (f->caller != 0)
		(void)printf("\"sudo vrun doctor\" says what root gets.\n");
}

/* --- as JSON --- */

static json_t *finding_json(const struct doctor_finding *d)
{
	json_t *fix = json_array();

	for (size_t i = 0; i < d->n_fix; i++)
		if (json_array_append_new(fix, json_string(d->fix[i])) < 0) {
			json_decref(fix);
			return NULL;
		}
	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:b}", "id", d->id, "title", d->title,
			 "uid", d->user ? json_integer(d->user->uid) : json_null(), "status",
			 doctor_status_name(d->status), "found", d->found, "effect", d->effect, "fix",
			 fix, "fixNeedsRoot", d->fix_as_root);
}

static enum doctor_status worst_of(const struct doctor_report *r, const struct probe_user *u)
{
	enum doctor_status worst = DOCTOR_OK;

	for (size_t i = 0; i < r->n; i++)
		if ((!r->v[i].user || r->v[i].user == u) && r->v[i].status > worst)
			worst = r->v[i].status;
	return worst;
}

static json_t *report_json(const struct doctor_report *r, const struct doctor_facts *f)
{
	json_t *checks = json_array(), *users = json_array();
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++)
		rc = json_array_append_new(checks, finding_json(&r->v[i]));
	for (size_t i = 0; rc == 0 && i < f->n_users; i++) {
		const struct probe_user *u = &f->users[i];

		rc = json_array_append_new(users,
					   json_pack("{s:s, s:i, s:s}", "name", u->name, "uid",
						     (int)u->uid, "verdict",
						     doctor_status_name(worst_of(r, u))));
	}
	if (rc < 0) {
		json_decref(checks);
		json_decref(users);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "version", PACKAGE_VERSION, "kernel",
			 f->host.release, "verdict", doctor_status_name(r->worst), "users", users,
			 "checks", checks);
}

static int print_json(const struct doctor_report *r, const struct doctor_facts *f, struct err *e)
{
	json_t *o = report_json(r, f);
	int rc;

	if (!o)
		return err_num(e, ENOMEM, "doctor");
	rc = json_dumpf(o, stdout, JSON_INDENT(2));
	json_decref(o);
	return rc < 0 || putchar('\n') < 0 ? err_set(e, EIO, "writing the report") : 0;
}

/* --- the command --- */

/* Whom a root caller speaks for besides itself. */
static const char *who_called_sudo(void)
{
	const char *uid = geteuid() == 0 ? getenv("SUDO_UID") : NULL;

	return uid && *uid && strcmp(uid, "0") != 0 ? uid : NULL;
}

static int examine(const char *user, bool json, struct err *e)
{
	static struct doctor_facts facts; /* large */
	struct doctor_report r = { 0 };
	int rc = doctor_examine(&facts, user, e);

	if (rc == 0)
		rc = doctor_judge(&r, &facts, e);
	if (rc < 0)
		return rc;
	if (json)
		rc = print_json(&r, &facts, e);
	else
		print_table(&r, &facts);
	if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		rc = err_sys(e, "writing the report");
	if (rc == 0 && r.worst == DOCTOR_MISSING)
		rc = EXIT_MISSING;
	doctor_report_fini(&r);
	return rc;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, OPT_JSON },
						 { "user", required_argument, NULL, OPT_USER },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	const char *user = who_called_sudo();
	struct err e = { 0 };
	bool json = false;
	int c, rc;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (c) {
		case OPT_JSON:
			json = true;
			break;
		case OPT_USER:
			user = optarg;
			break;
		case 'h':
			(void)fputs(help, stdout);
			return fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		default:
			return command_usage("doctor", "unknown option \"%s\"", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return command_usage("doctor", "takes no arguments, found \"%s\"", argv[optind]);
	rc = examine(user, json, &e);
	return rc < 0 ? command_fail(&e) : rc;
}
