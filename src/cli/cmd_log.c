/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/globals.h"

static const char help[] = "Usage: vrun log [OPTIONS] ID\n\n"
			   "Shows what the policy of a sandbox decided: what was tried, by whom, which rule\n"
			   "decided, and the line that would have allowed it.\n\n"
			   "  -f, --follow           go on with what comes, until the sandbox ends\n"
			   "      --json             one JSON object a line\n"
			   "      --root DIR         directory of the records\n"
			   "      --supervisor PATH  ask the supervisor that listens there\n"
			   "  -h, --help\n";

static const char *quoted(const json_t *o, const char *key, char *buf, size_t size)
{
	return log_quote(buf, size, ask_string(o, key));
}

/* What was told last, and how often it came again since: the same thing is told once. */
struct telling {
	char *last;   /* owned; what makes a record the same */
	long long again;
	char time[48]; /* of the last one */
};

static int print_again(struct telling *t)
{
	if (t->again)
		(void)printf("    and %lld %s, until %s\n", t->again, t->again == 1 ? "time more" : "times more", t->time);
	t->again = 0;
	return fflush(stdout) == 0 ? 0 : -EPIPE;
}

/* The record is that of the one before but for its time. */
static bool is_again(struct telling *t, const json_t *o)
{
	static const char *const keys[] = { "decision", "domain", "program", "call", "attempt", "rule", "why" };
	char *key = NULL;
	size_t len;
	FILE *f = open_memstream(&key, &len);
	bool same;

	if (!f)
		return false;
	(void)fprintf(f, "%lld", ask_int(o, "pid"));
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		(void)fprintf(f, "\n%s", ask_string(o, keys[i]));
	if (fclose(f) != 0) {
		free(key);
		return false;
	}
	same = t->last && strcmp(t->last, key) == 0;
	free(t->last);
	t->last = key;
	return same;
}

/* Texts of the supervisor's own are safe for a terminal already, and quoted once more do no harm. */
static int print_record(const json_t *o)
{
	char time[48], id[160], program[96], call[40], attempt[800], rule[300], line[600], why[800], message[1700];
	long long pid = ask_int(o, "ownPid") ? ask_int(o, "ownPid") : ask_int(o, "pid");
	bool denied = strcmp(ask_string(o, "decision"), "deny") == 0;

	(void)printf("%s %s[%lld] %s: %s %s: %s", quoted(o, "time", time, sizeof time),
		     quoted(o, "domain", id, sizeof id), pid,
		     quoted(o, "program", program, sizeof program), quoted(o, "call", call, sizeof call),
		     denied ? "denied" : "allowed", quoted(o, "attempt", attempt, sizeof attempt));
	if (*ask_string(o, "rule"))
		(void)printf(" (rule %s)", quoted(o, "rule", rule, sizeof rule));
	if (*ask_string(o, "message"))
		(void)printf(": %s", quoted(o, "message", message, sizeof message));
	(void)putchar('\n');
	if (denied && *ask_string(o, "line"))
		(void)printf("    allowed by: %s\n", quoted(o, "line", line, sizeof line));
	else if (denied)
		(void)printf("    %s\n", quoted(o, "advice", why, sizeof why));
	return fflush(stdout) == 0 ? 0 : -EPIPE;
}

static int print_text(void *ctx, json_t *o)
{
	struct telling *t = ctx;
	int rc;

	if (is_again(t, o)) {
		t->again++;
		(void)quoted(o, "time", t->time, sizeof t->time);
		return 0;
	}
	rc = print_again(t);
	return rc < 0 ? rc : print_record(o);
}

static int print_json(void *ctx, json_t *o)
{
	(void)ctx;
	if (json_dumpf(o, stdout, JSON_COMPACT) < 0 || putchar('\n') < 0)
		return -EPIPE;
	return fflush(stdout) == 0 ? 0 : -EPIPE;
}

static int show(const struct ask_whom *whom, bool follow, bool json, struct err *e)
{
	struct ask_targets s;
	struct ask_whom by_path = *whom;
	struct telling t = { .last = NULL };
	int rc;

	by_path.id = whom->path ? NULL : whom->id;
	rc = ask_whom(&by_path, &s, e);
	if (rc < 0)
		return rc;
	/* Without one there is nothing that could have decided. */
	if (s.n)
		rc = ask_each(s.v[0].path, "log", whom->id, follow, json ? print_json : print_text, &t, e);
	ask_targets_fini(&s);
	if (print_again(&t) < 0 && rc == 0)
		rc = -EPIPE;
	free(t.last);
	if (rc == -EPIPE && !e->num)
		(void)err_set(e, EPIPE, "writing the records");
	return rc;
}

int cmd_log(int argc, char **argv)
{
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "root", required_argument, NULL, 'r' },
		{ "supervisor", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct ask_whom whom = { .root = globals.root };
	bool follow = false, json = false;
	struct err e = { 0 };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "fh", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == 'f')
			follow = true;
		else if (opt == 'j')
			json = true;
		else if (opt == 'r')
			whom.root = optarg;
		else if (opt == 's')
			whom.path = optarg;
		else
			return command_usage("log", "unknown option or missing value");
	}
	if (optind != argc - 1)
		return command_usage("log", "expected one id");
	whom.id = argv[optind];
	return show(&whom, follow, json, &e) < 0 ? command_fail(&e) : 0;
}
