/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "cli/oci.h"
#include "cli/supervise.h"
#include "model/bundle.h"
#include "model/endpoint.h"
#include "run/launch.h"
#include "run/policy_apply.h"
#include "run/records.h"
#include "run/selfexe.h"

static const char help[] =
	"Usage: vrun create [OPTIONS] ID\n\n"
	"Makes a container of a bundle: everything but the start of its program, which\n"
	"\"vrun start\" does. The container becomes a child of the caller's subreaper.\n\n"
	"  -b, --bundle DIR           the bundle (default: the current directory)\n"
	"  -f, --config FILE          its configuration (default: config.json of the bundle)\n"
	"  -p, --policy FILE          what the app may reach (default: the bundle's policy.json; none: nothing)\n"
	"      --ceiling FILE         a policy that bounds the other one\n"
	"      --record DIR           where \"record\" of rules writes its files, which are not there yet\n"
	"      --record-max SIZE      bytes of each of them (default: 1GiB)\n"
	"      --fabric NAME          share a network with the others that name it\n"
	"      --console-socket PATH  send the terminal's controlling side to this Unix socket\n"
	"      --pid-file FILE        write the pid of the container's first process\n"
	"      --preserve-fds N       hand N more descriptors, from 3 on, to the app\n"
	"      --init                 vrun as pid 1 that reaps and forwards signals\n"
	"      --no-new-keyring       accepted; the container has a keyring of its own all the same\n"
	"      --no-subreaper         accepted; there is none\n"
	"      --root DIR             directory of the records\n"
	"  -h, --help\n";

struct create_args {
	struct launch_options launch;
	const char *bundle, *config, *policy, *ceiling;
};

enum { OPT_CEILING = 256, OPT_RECORD, OPT_RECORD_MAX, OPT_FABRIC, OPT_CONSOLE, OPT_PID_FILE, OPT_PRESERVE, OPT_INIT, OPT_IGNORED, OPT_ROOT };

static const struct option options[] = {
	{ "bundle", required_argument, NULL, 'b' },
	{ "config", required_argument, NULL, 'f' },
	{ "policy", required_argument, NULL, 'p' },
	{ "ceiling", required_argument, NULL, OPT_CEILING },
	{ "record", required_argument, NULL, OPT_RECORD },
	{ "record-max", required_argument, NULL, OPT_RECORD_MAX },
	{ "fabric", required_argument, NULL, OPT_FABRIC },
	{ "console-socket", required_argument, NULL, OPT_CONSOLE },
	{ "pid-file", required_argument, NULL, OPT_PID_FILE },
	{ "preserve-fds", required_argument, NULL, OPT_PRESERVE },
	{ "init", no_argument, NULL, OPT_INIT },
	{ "no-new-keyring", no_argument, NULL, OPT_IGNORED },
	{ "no-subreaper", no_argument, NULL, OPT_IGNORED },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int take_option(struct create_args *a, int opt)
{
	uint64_t n;

	switch (opt) {
	case 'b':
		a->bundle = optarg;
		return 0;
	case 'f':
		a->config = optarg;
		return 0;
	case 'p':
		a->policy = optarg;
		return 0;
	case OPT_CEILING:
		a->ceiling = optarg;
		return 0;
	case OPT_RECORD:
		a->launch.record_dir = optarg;
		return 0;
	case OPT_RECORD_MAX:
		if (num_parse_size(optarg, INT64_MAX, &a->launch.record_max) < 0 || a->launch.record_max == 0)
			return oci_usage("create", "--record-max takes a size, like 100M");
		return 0;
	case OPT_FABRIC:
		a->launch.fabric = optarg;
		return 0;
	case OPT_CONSOLE:
		a->launch.console_socket = optarg;
		return 0;
	case OPT_PID_FILE:
		a->launch.pid_file = optarg;
		return 0;
	case OPT_PRESERVE:
		if (num_parse_u64(optarg, 0, 1024, &n) < 0)
			return oci_usage("create", "--preserve-fds takes a number from 0 to 1024");
		a->launch.preserve_fds = (int)n;
		return 0;
	case OPT_INIT:
		a->launch.init = true;
		return 0;
	case OPT_IGNORED:
		return 0;
	case OPT_ROOT:
		globals.root = optarg;
		return 0;
	default:
		return oci_usage("create", "unknown option or missing value");
	}
}

static int parse(struct create_args *a, int argc, char **argv)
{
	int opt, rc;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "b:f:p:h", options, NULL)) != -1) {
		if (opt == 'h')
			return OCI_HELP;
		if (opt == '?')
			return oci_unknown(argv);
		rc = take_option(a, opt);
		if (rc != 0)
			return rc;
	}
	if (argc - optind != 1)
		return oci_usage("create", "expected one id");
	a->launch.id = argv[optind];
	return 0;
}

/* systemd's way to hand descriptors on (sd_listen_fds(3)); a number that is meant for another process is not ours. */
static unsigned inherited_fds(void)
{
	const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint64_t n = 0, whose = (uint64_t)getpid();

	if (!count || num_parse_u64(count, 1, 1024, &n) < 0)
		return 0;
	if (pid && num_parse_u64(pid, 1, INT32_MAX, &whose) < 0)
		return 0;
	return whose == (uint64_t)getpid() ? (unsigned)n : 0;
}

static int add_env(struct bundle *b, const char *entry)
{
	struct strlist *env = &b->process.env;
	const char **v = arena_array(&b->arena, env->n + 2, sizeof *v);

	if (!v || !entry)
		return -ENOMEM;
	if (env->n)
		memcpy(v, env->v, env->n * sizeof *v);
	v[env->n++] = entry;
	env->v = v;
	return 0;
}

static int hand_on_listeners(struct create_args *a, struct bundle *b, struct err *e)
{
	unsigned n = inherited_fds();

	if (n == 0)
		return 0;
	a->launch.preserve_fds += (int)n;
	/* Its own pid as it sees it. */
	if (add_env(b, arena_printf(&b->arena, "LISTEN_FDS=%u", n)) < 0 || add_env(b, "LISTEN_PID=1") < 0)
		return err_num(e, ENOMEM, "environment");
	return 0;
}

static int load_bundle(struct create_args *a, struct json_doc *doc, struct bundle *b, struct err *e)
{
	AUTO_FREE char *dir = realpath(a->bundle, NULL), *path = NULL;
	const char *fabric;
	int rc;

	if (!dir)
		return err_sys(e, "bundle %s", a->bundle);
	if (!a->config && asprintf(&path, "%s/config.json", dir) < 0)
		return err_num(e, ENOMEM, "bundle %s", dir);
	rc = json_doc_load(doc, AT_FDCWD, a->config ? a->config : path, NULL, e);
	if (rc < 0)
		return rc;
	rc = bundle_read(b, dir, doc, e);
	if (rc < 0) {
		json_doc_fini(doc);
		return rc;
	}
	a->launch.config = doc->text;
	a->launch.annotations = json_object_get(doc->root, "annotations");
	if (bundle_annotation(b, "org.vrun.init") && strcmp(bundle_annotation(b, "org.vrun.init"), "true") == 0)
		a->launch.init = true;
	fabric = bundle_annotation(b, "org.vrun.fabric");
	if (fabric && !a->launch.fabric)
		a->launch.fabric = fabric;
	/* The specification's word: a namespace that is not listed is the caller's. */
	a->launch.host_users = !b->ns[NS_USER].listed;
	return hand_on_listeners(a, b, e);
}

static int check(const struct create_args *a, const struct bundle *b, struct err *e)
{
	char name[NAME_TEXT_MAX];

	if (a->launch.fabric && (strlen(a->launch.fabric) > 63 || name_parse_domain(a->launch.fabric, name, NULL) < 0))
		return err_set(e, EINVAL, "the name of a fabric has letters, digits and '-', at most 63");
	if (b->process.terminal && !a->launch.console_socket) {
		(void)err_set(e, EINVAL, "process.terminal, and no --console-socket to send the terminal to");
		return err_hint(e, "vrun run carries a terminal itself");
	}
	if (!b->process.terminal && a->launch.console_socket)
		return err_set(e, EINVAL, "--console-socket, but process.terminal is not set");
	return 0;
}

/* Somebody may be waiting for the end of a pipe that we only inherited. */
static void drop_descriptors(unsigned first, int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

	if ((int)low < 0)
		low = high;
	if (low > first)
		(void)sys_close_range(first, low - 1, 0);
	if (high > low + 1)
		(void)sys_close_range(low + 1 > first ? low + 1 : first, high - 1, 0);
	(void)sys_close_range(high >= first ? high + 1 : first, ~0U, 0);
}

static _Noreturn void monitor(struct create_args *a, struct launch *l, int started)
{
	struct err e = { 0 };
	int code = EXIT_OCI;

	a->launch.started_fd = started;
	drop_descriptors(3U + (unsigned)a->launch.preserve_fds, started, log_copy());
	(void)setsid();
	if (launch_run(l, &code, &e) < 0) {
		log_err(&e);
		code = EXIT_OCI;
	}
	_exit(code);
}

static void on_child(int sig)
{
	(void)sig;
}

/*
 * Collects what ends, since a supervisor cannot end before all who have lived
 * in its pid namespace are collected. True with the monitor's byte; false
 * after its end, with its status.
 */
static bool await_monitor(pid_t pid, int from, const sigset_t *mask, int *ret_status)
{
	for (;;) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		int status;
		pid_t ended;
		char c;

		while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
			if (ended == pid) {
				*ret_status = status;
				/* Its last word may be in the pipe. */
				return read(from, &c, 1) == 1;
			}
		}
		if (ppoll(&p, from >= 0 ? 1 : 0, NULL, mask) <= 0)
			continue;
		if (read(from, &c, 1) == 1)
			return true;
		from = -1;
	}
}

/*
 * The child is the monitor, and makes the container as our child, not its own.
 * We leave when that is created; then both belong to the subreaper above us.
 */
static int create(struct create_args *a, struct launch *l)
{
	const struct sigaction collect = { .sa_handler = on_child, .sa_flags = SA_NOCLDSTOP };
	sigset_t child, mask;
	int p[2], status = 0;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		log_error("monitor: %s", err_text(errno));
		return EXIT_OCI;
	}
	if (pid == 0) {
		fd_close(&p[0]);
		monitor(a, l, p[1]);
	}
	fd_close(&p[1]);
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &child, &mask);
	(void)sigdelset(&mask, SIGCHLD);
	(void)sigaction(SIGCHLD, &collect, NULL);
	if (await_monitor(pid, p[0], &mask, &status))
		return 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 0)
		log_error("the container ended while it was made");
	return EXIT_OCI;
}

static int create_from(struct create_args *a, struct bundle *b, struct err *e)
{
	struct policy_applied policy;
	struct launch l;
	int rc = check(a, b, e);

	if (rc == 0)
		rc = policy_apply(b, a->policy, a->ceiling, NULL, &policy, e);
	if (rc < 0)
		return rc;
	a->launch.policy = &policy;
	rc = launch_plan(&l, b, &a->launch, e);
	if (rc == 0)
		rc = records_check(&l, e);
	if (rc == 0)
		rc = selfexe_protect(&l, globals.argv, e);
	if (rc == 0)
		rc = create(a, &l);
	launch_fini(&l);
	policy_applied_fini(&policy);
	return rc;
}

int cmd_create(int argc, char **argv)
{
	struct create_args a = { .bundle = ".", .policy = globals.policy, .ceiling = globals.ceiling };
	AUTO_FREE char *root = NULL;
	struct err e = { 0 };
	struct json_doc doc;
	struct bundle b;
	int rc;

	a.launch = (struct launch_options){ .create = true,
					    .engine = true,
					    .outlives = true,
					    .hooks = true,
					    .started_fd = -1,
					    .fabric = globals.fabric,
					    .best_effort = globals.best_effort,
					    .systemd_cgroup = globals.systemd_cgroup,
					    .subordinate = true,
					    .supervise = supervise_for_launch };
	rc = parse(&a, argc, argv);
	if (rc != 0)
		return rc == OCI_HELP ? oci_help(help) : rc;
	state_make_parents(globals.root);
	if (state_check_id(a.launch.id, &e) < 0 || state_root(globals.root, &root, &e) < 0 ||
	    load_bundle(&a, &doc, &b, &e) < 0)
		return oci_fail(&e);
	a.launch.state_root = root;
	rc = create_from(&a, &b, &e);
	if (rc < 0)
		rc = oci_fail(&e);
	bundle_fini(&b);
	json_doc_fini(&doc);
	return rc;
}
