/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_policy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/command.h"

static const char help[] =
	"Usage: vrun policy VERB [OPTIONS] ...\n"
	"\n"
	"  check FILE...     what is wrong or suspicious in policies\n"
	"  why FILE|ID ...   whether a policy allows something, by which rule, what would change it\n"
	"  test DIR|FILE...  hold policies to the expectations beside them (NAME.test.json)\n"
	"  diff A B          what policy B newly allows and newly denies against A\n"
	"  suggest ID|LOG    the rules that would allow what was denied, as a patch\n"
	"  apply ID FILE     put FILE in force for a sandbox that runs, and cut what it forbids\n"
	"  show ID           the policy in force, and how often its rules have decided\n"
	"  seccomp FILE      the \"linux.seccomp\" that gives containers of other runtimes this policy\n"
	"  schema            the JSON Schema of the format\n"
	"\n"
	"check, why:\n"
	"      --with FILE         another policy of the same fabric (may be repeated)\n"
	"      --json              for programs (diff, suggest, apply and show, too)\n"
	"check:\n"
	"      --strict            warnings count as errors\n"
	"why, one of:\n"
	"      --connect HOST:PORT   may it connect?\n"
	"      --listen [ADDR]:PORT  may it listen?\n"
	"      --accept-from WHO     may WHO come in? With --listen [ADDR]:PORT, or as WHO:PORT\n"
	"      --resolve NAME        may it look the name up?\n"
	"why, with them:\n"
	"      --proto tcp|udp     default tcp\n"
	"      --resolved ADDR     what the name is taken to resolve to\n"
	"      --type TYPE         DNS query type of --resolve, like MX; default: addresses\n"
	"      --tls NAME          server name of the TLS that --connect begins with; '': none\n"
	"      --as DOMAIN         take FILE's policy for the one of DOMAIN\n"
	"      --ceiling FILE      a policy that bounds FILE's\n"
	"why ID (\"vrun why ID\" is the same), suggest ID, apply, show:\n"
	"      --root DIR          directory of the records\n"
	"      --supervisor PATH   ask the supervisor that listens there\n"
	"suggest:\n"
	"  -p, --policy FILE       where the policy of that name is now (may be repeated)\n"
	"show:\n"
	"      --text              only the policy itself\n"
	"seccomp:\n"
	"      --listen PATH       where \"vrun supervise\" listens, or a hook of vrun's will start one\n"
	"apply:\n"
	"      --dry-run           only say whether it could be done\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0 for yes, 1 for no, 125 when the question could not be answered.\n";

static int put(const char *text)
{
	return fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
}

int policy_help(void)
{
	return put(help);
}

static int policy_cmd_schema(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return policy_help();
	if (argc > 1)
		return command_usage("policy", "schema takes no arguments");
	return put(policy_schema);
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "apply", policy_cmd_apply },	   { "check", policy_cmd_check }, { "diff", policy_cmd_diff },
	{ "schema", policy_cmd_schema }, { "seccomp", policy_cmd_seccomp }, { "show", policy_cmd_show }, { "suggest", policy_cmd_suggest }, { "test", policy_cmd_test },
	{ "why", policy_cmd_why },
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

int cmd_policy(int argc, char **argv)
{
	static char whole[] = "vrun policy"; /* what getopt's complaints begin with */
	const char *names[N_VERBS + 1] = { NULL };
	const char *near;
	char quoted[128];

	if (argc < 2)
		return command_usage("policy", "which verb?");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return policy_help();
	for (size_t i = 0; i < N_VERBS; i++) {
		if (strcmp(verbs[i].name, argv[1]) == 0) {
			argv[1] = whole;
			return verbs[i].run(argc - 1, argv + 1);
		}
		names[i] = verbs[i].name;
	}
	near = json_nearest(argv[1], names);
	(void)log_quote(quoted, sizeof quoted, argv[1]);
	if (near)
		return command_usage("policy", "there is no \"%s\"; did you mean \"%s\"?", quoted, near);
	return command_usage("policy", "there is no \"%s\"", quoted);
}

/* --- for the verbs ------------------------------------------------------------- */

int policy_list_add(const char ***list, const char *item, struct err *e)
{
	const char **v;
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	v = realloc(*list, (n + 2) * sizeof(char *));
	if (!v)
		return err_num(e, ENOMEM, "arguments");
	v[n] = item;
	v[n + 1] = NULL;
	*list = v;
	return 0;
}

void policy_files_fini(struct policy_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		policy_fini(&f->v[i]);
	free(f->v);
	free(f->list);
	*f = (struct policy_files){ 0 };
}

int policy_files_load(struct policy_files *f, const char *const *paths, struct err *e)
{
	size_t n = 0;

	while (paths && paths[n])
		n++;
	*f = (struct policy_files){ 0 };
	f->v = calloc(n + 1, sizeof *f->v);
	f->list = calloc(n + 1, sizeof(void *));
	if (!f->v || !f->list) {
		policy_files_fini(f);
		return err_num(e, ENOMEM, "policies");
	}
	for (size_t i = 0; i < n; i++) {
		int rc = policy_load(&f->v[i], AT_FDCWD, paths[i], NULL, e);

		if (rc < 0) {
			policy_files_fini(f);
			return rc;
		}
		f->list[f->n++] = &f->v[i];
	}
	return 0;
}
