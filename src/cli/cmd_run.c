/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <getopt.h>
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
#include "cli/denials.h"
#include "cli/globals.h"
#include "cli/helper.h"
#include "cli/oci.h"
#include "cli/supervise.h"
#include "model/bundle.h"
#include "model/endpoint.h"
#include "run/hostrun.h"
#include "run/launch.h"
#include "run/policy_apply.h"
#include "run/records.h"
#include "run/selfexe.h"
#include "run/state.h"

static const char help[] =
	"Usage: vrun run [OPTIONS] BUNDLE\n"
	"       vrun run [OPTIONS] -- CMD [ARGS]\n\n"
	"Runs the OCI bundle in the directory BUNDLE, or the command CMD of this host\n"
	"with the host's files read-only, in a sandbox that reaches what its policy allows.\n\n"
	"  -p, --policy FILE      what the app may reach (default: the bundle's policy.json; none: nothing)\n"
	"      --ceiling FILE     a policy that bounds the other one\n"
	"      --ask              wait with what no rule allows until it is answered: vrun learn does that\n"
	"      --attempts FILE    write all that was tried to FILE at the end, each thing once, as JSON\n"
	"      --publish ADDRESS:PORT:PORT[/udp]  a port of this machine that leads to one of the app's\n"
	"      --record DIR       where \"record\" of rules writes its files, which are not there yet\n"
	"      --record-max SIZE  bytes of each of them (default: 1GiB)\n"
	"      --fabric NAME      share a network with the other runs that name it\n"
	"  -d, --detach           go to the background once the app has started; print the id\n"
	"      --output FILE      with -d: append the app's output to FILE (default: none is kept)\n"
	"      --id ID            name of the sandbox (default: made up)\n"
	"  -b, --bundle DIR       as other runtimes have it: the bundle; what follows the options is the id then\n"
	"  -f, --config FILE      with -b: its configuration (default: config.json of the bundle)\n"
	"      --console-socket PATH  send the terminal's controlling side to this Unix socket\n"
	"      --no-new-keyring   accepted; the app has a keyring of its own all the same\n"
	"      --no-subreaper     accepted; there is none\n"
	"      --init             vrun as pid 1 that reaps and forwards signals (always with CMD)\n"
	"      --root DIR         directory of the records (default: $XDG_RUNTIME_DIR/vrun or /run/vrun)\n"
	"      --pid-file FILE    write the pid of the sandbox's first process\n"
	"      --preserve-fds N   hand N more descriptors, from 3 on, to the app\n"
	"      --host-users       as root: ids inside are the host's own\n"
	"      --best-effort      leave out what this host cannot give, and list it\n"
	"      --systemd-cgroup   let systemd make the cgroup\n"
	"      --verify           refuse a bundle that differs from its manifest\n"
	"      --hooks            run the bundle's hooks, which are programs outside the sandbox\n"
	"  -t, --tty              give the app a terminal of its own (default for CMD on a terminal)\n"
	"  -T, --no-tty           do not\n"
	"  -q, --quiet            errors only\n"
	"With CMD:\n"
	"      --cwd rw|ro|none   show the current directory writable (default), read-only, or not\n"
	"      --rw PATH          show PATH writable\n"
	"      --ro PATH          show PATH read-only\n"
	"      --env KEY[=VALUE]  set a variable, or pass the caller's on\n"
	"  -h, --help\n";

#define PUBLISH_MAX 64

struct run_args {
	struct launch_options launch;
	struct hostrun_options host;
	char id[STATE_ID_MAX + 1];
	const char *state_root, *pid_file, *policy, *ceiling, *fabric, *attempts;
	const char *publish[PUBLISH_MAX + 1];
	size_t n_publish;
	bool detach, verify, quiet;
	int tty; /* -1: not said */
	const char *bundle; /* NULL with CMD */
	const char *config_file; /* NULL: its config.json */
	char *config;       /* owned; the text of that */
	bool engine;        /* it and the id were given as other runtimes have them */
};

enum { OPT_ID = 256, OPT_CONSOLE, OPT_IGNORED, OPT_OUTPUT, OPT_ASK, OPT_ATTEMPTS, OPT_CEILING, OPT_FABRIC, OPT_PUBLISH, OPT_RECORD, OPT_RECORD_MAX, OPT_INIT, OPT_ROOT, OPT_PID_FILE, OPT_PRESERVE, OPT_HOST_USERS, OPT_BEST_EFFORT, OPT_SYSTEMD, OPT_VERIFY, OPT_HOOKS, OPT_CWD, OPT_RW, OPT_RO, OPT_ENV };

static const struct option options[] = {
	{ "policy", required_argument, NULL, 'p' },
	{ "ask", no_argument, NULL, OPT_ASK },
	{ "attempts", required_argument, NULL, OPT_ATTEMPTS },
	{ "ceiling", required_argument, NULL, OPT_CEILING },
	{ "fabric", required_argument, NULL, OPT_FABRIC },
	{ "publish", required_argument, NULL, OPT_PUBLISH },
	{ "record", required_argument, NULL, OPT_RECORD },
	{ "record-max", required_argument, NULL, OPT_RECORD_MAX },
	{ "detach", no_argument, NULL, 'd' },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "id", required_argument, NULL, OPT_ID },
	{ "bundle", required_argument, NULL, 'b' },
	{ "config", required_argument, NULL, 'f' },
	{ "console-socket", required_argument, NULL, OPT_CONSOLE },
	{ "no-new-keyring", no_argument, NULL, OPT_IGNORED },
	{ "no-subreaper", no_argument, NULL, OPT_IGNORED },
	{ "init", no_argument, NULL, OPT_INIT },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "pid-file", required_argument, NULL, OPT_PID_FILE },
	{ "preserve-fds", required_argument, NULL, OPT_PRESERVE },
	{ "host-users", no_argument, NULL, OPT_HOST_USERS },
	{ "best-effort", no_argument, NULL, OPT_BEST_EFFORT },
	{ "systemd-cgroup", no_argument, NULL, OPT_SYSTEMD },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "hooks", no_argument, NULL, OPT_HOOKS },
	{ "tty", no_argument, NULL, 't' },
	{ "no-tty", no_argument, NULL, 'T' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "cwd", required_argument, NULL, OPT_CWD },
	{ "rw", required_argument, NULL, OPT_RW },
	{ "ro", required_argument, NULL, OPT_RO },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse_cwd(struct run_args *a, const char *text)
{
	static const char *const names[] = { [HOSTRUN_CWD_RW] = "rw", [HOSTRUN_CWD_RO] = "ro", [HOSTRUN_CWD_NONE] = "none" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		a->host.cwd = (enum hostrun_cwd)i;
		return 0;
	}
	return command_usage("run", "--cwd takes rw, ro or none");
}

static int parse_preserve(struct run_args *a, const char *text)
{
	uint64_t n;

	if (num_parse_u64(text, 0, 1024, &n) < 0)
		return command_usage("run", "--preserve-fds takes a number from 0 to 1024");
	a->launch.preserve_fds = (int)n;
	return 0;
}

static int parse_fabric(struct run_args *a, const char *text)
{
	char name[NAME_TEXT_MAX];

	if (strlen(text) > 63 || name_parse_domain(text, name, NULL) < 0)
		return command_usage("run", "--fabric takes a name: letters, digits and '-', at most 63");
	a->fabric = text;
	return 0;
}

static int parse_record_max(struct run_args *a, const char *text)
{
	if (num_parse_size(text, INT64_MAX, &a->launch.record_max) < 0 || a->launch.record_max == 0)
		return command_usage("run", "--record-max takes a size, like 100M");
	return 0;
}

static int add_publish(struct run_args *a, const char *text)
{
	if (a->n_publish == PUBLISH_MAX)
		return command_usage("run", "--publish can be given %d times", PUBLISH_MAX);
	a->publish[a->n_publish++] = text;
	return 0;
}

static void add_path(struct run_args *a, const char *path, bool writable)
{
	struct hostrun_path *list = (struct hostrun_path *)(uintptr_t)a->host.paths;

	list[a->host.n_paths++] = (struct hostrun_path){ path, writable };
}

static void add_env(struct run_args *a, const char *entry)
{
	const char **list = (const char **)(uintptr_t)a->host.env;

	list[a->host.n_env++] = entry;
}

static int parse_id(struct run_args *a, const char *text)
{
	if (!*text || strlen(text) > STATE_ID_MAX)
		return command_usage("run", "--id takes 1 to %d characters", STATE_ID_MAX);
	(void)snprintf(a->id, sizeof a->id, "%s", text);
	return 0;
}

/* The options that are said or not said, and have no letter. */
static int take_flag(struct run_args *a, int opt)
{
	switch (opt) {
	case OPT_ASK:
		a->launch.ask = true;
		return 0;
	case OPT_INIT:
		a->launch.init = true;
		return 0;
	case OPT_HOST_USERS:
		a->launch.host_users = true;
		return 0;
	case OPT_BEST_EFFORT:
		a->launch.best_effort = true;
		return 0;
	case OPT_SYSTEMD:
		a->launch.systemd_cgroup = true;
		return 0;
	case OPT_HOOKS:
		a->launch.hooks = true;
		return 0;
	case OPT_VERIFY:
		a->verify = true;
		return 0;
	default:
		return command_usage("run", "unknown option or missing value");
	}
}

/* The options that are kept as they were given; else NULL. */
static const char **place_of(struct run_args *a, int opt)
{
	switch (opt) {
	case 'p':
		return &a->policy;
	case OPT_ATTEMPTS:
		return &a->attempts;
	case OPT_CEILING:
		return &a->ceiling;
	case OPT_RECORD:
		return &a->launch.record_dir;
	case OPT_OUTPUT:
		return &a->launch.output;
	case 'f':
		return &a->config_file;
	case OPT_CONSOLE:
		return &a->launch.console_socket;
	case OPT_ROOT:
		return &a->state_root;
	case OPT_PID_FILE:
		return &a->pid_file;
	default:
		return NULL;
	}
}

static int take_option(struct run_args *a, int opt)
{
	const char **place = place_of(a, opt);

	if (place) {
		*place = optarg;
		return 0;
	}
	switch (opt) {
	case 'd':
		a->detach = a->launch.detached = true;
		break;
	case OPT_FABRIC:
		return parse_fabric(a, optarg);
	case OPT_PUBLISH:
		return add_publish(a, optarg);
	case OPT_RECORD_MAX:
		return parse_record_max(a, optarg);
	case OPT_ID:
		return parse_id(a, optarg);
	case 'b':
		a->bundle = optarg;
		a->engine = true;
		break;
	case OPT_IGNORED:
		break;
	case OPT_PRESERVE:
		return parse_preserve(a, optarg);
	case 't':
	case 'T':
		a->tty = opt == 't';
		break;
	case 'q':
		a->quiet = true;
		log_set_level(LOG_LEVEL_ERROR);
		break;
	case OPT_CWD:
		return parse_cwd(a, optarg);
	case OPT_RW:
	case OPT_RO:
		add_path(a, optarg, opt == OPT_RW);
		break;
	case OPT_ENV:
		add_env(a, optarg);
		break;
	default:
		return take_flag(a, opt);
	}
	return 0;
}

/* "run --bundle DIR ID", as engines call it: the specification's word on ids and hooks, as for create. */
static int take_container(struct run_args *a, int n, char **args, bool command)
{
	if (n != 1 || command || a->id[0])
		return command_usage("run", "with --bundle, expected one id and nothing else");
	if (a->host.n_paths || a->host.n_env)
		return command_usage("run", "--rw, --ro and --env go with a command, not with a bundle");
	if (a->config_file && a->verify)
		return command_usage("run", "--verify holds for the bundle's own config.json, not for --config");
	a->launch.hooks = true;
	return parse_id(a, args[0]);
}

/* 0, an exit code, or -1 for help. */
static int parse(struct run_args *a, int argc, char **argv)
{
	bool command = false;
	const char *why;
	int opt, rc;

	for (int i = 1; i < argc && !command; i++)
		command = strcmp(argv[i], "--") == 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+p:b:f:dtTqh", options, NULL)) != -1) {
		if (opt == 'h')
			return -1;
		if (opt == '?' && (why = oci_refusal(argv[optind - 1])) != NULL)
			return command_usage("run", "%s is not taken: %s", argv[optind - 1], why);
		rc = take_option(a, opt);
		if (rc != 0)
			return rc;
	}
	/* getopt takes the "--"; it was ours when it stands right before what is left. */
	command = command && optind > 0 && strcmp(argv[optind - 1], "--") == 0;
	if (a->attempts && a->detach)
		return command_usage("run", "--attempts does not go with --detach");
	if (a->launch.output && !a->detach)
		return command_usage("run", "--output goes with --detach");
	if (a->engine)
		return take_container(a, argc - optind, argv + optind, command);
	if (a->config_file)
		return command_usage("run", "--config goes with --bundle and an id, as other runtimes have them");
	if (optind >= argc)
		return command_usage("run", "no bundle and no command given");
	if (command) {
		a->host.argv = argv + optind;
		a->launch.init = true;
		return 0;
	}
	if (argc - optind > 1)
		return command_usage("run", "\"%s\" after the bundle: the bundle says what to run; for a command of this host write \"vrun run -- %s ...\"",
				     argv[optind + 1], argv[optind]);
	if (a->host.n_paths || a->host.n_env)
		return command_usage("run", "--rw, --ro and --env go with a command, not with a bundle");
	a->bundle = argv[optind];
	return 0;
}

static int load_config(struct run_args *a, struct bundle *b, struct err *e)
{
	AUTO_FREE char *dir = realpath(a->bundle, NULL);
	struct json_doc doc;
	int rc;

	if (!dir)
		return err_sys(e, "bundle %s", a->bundle);
	rc = json_doc_load(&doc, AT_FDCWD, a->config_file, NULL, e);
	if (rc < 0)
		return rc;
	rc = bundle_read(b, dir, &doc, e);
	if (rc == 0)
		a->config = mem_take(&doc.text);
	json_doc_fini(&doc);
	return rc;
}

static int load_bundle(struct run_args *a, struct bundle *b, struct err *e)
{
	int rc;

	if (!a->bundle) {
		a->host.terminal = a->tty >= 0 ? a->tty == 1 : !a->detach && isatty(0) && isatty(1);
		a->host.state_root = a->state_root;
		return hostrun_bundle(b, &a->host, e);
	}
	if (a->verify && !selfexe_is_sealed()) {
		rc = helper_verify(a->bundle, e);
		if (rc < 0)
			return rc;
	}
	rc = a->config_file ? load_config(a, b, e) : bundle_load_text(b, a->bundle, &a->config, e);
	a->launch.config = a->config;
	if (rc == 0 && a->tty >= 0)
		b->process.terminal = a->tty == 1;
	if (rc == 0 && a->engine)
		a->launch.host_users = a->launch.host_users || !b->ns[NS_USER].listed;
	if (rc == 0 && bundle_annotation(b, "org.vrun.init") &&
	    strcmp(bundle_annotation(b, "org.vrun.init"), "true") == 0)
		a->launch.init = true;
	return rc;
}

static int run_here(struct launch *l)
{
	struct err e = { 0 };
	int code = EXIT_VRUN;

	if (launch_run(l, &code, &e) < 0)
		log_err(&e);
	return code;
}

/* Somebody may be waiting for the end of a pipe that we only inherited. */
static void drop_descriptors(unsigned first, unsigned keep)
{
	if (keep > first)
		(void)sys_close_range(first, keep - 1, 0);
	(void)sys_close_range(keep >= first ? keep + 1 : first, ~0U, 0);
}

/* The child is the monitor; we leave once it says that the app runs, or with its exit code. */
static int run_detached(struct run_args *a, struct launch *l)
{
	int p[2], status;
	pid_t pid;
	char c;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		log_error("going to the background: %s", err_text(errno));
		return EXIT_VRUN;
	}
	if (pid == 0) {
		fd_close(&p[0]);
		a->launch.started_fd = p[1];
		drop_descriptors(3U + (unsigned)a->launch.preserve_fds, (unsigned)p[1]);
		(void)setsid();
		_exit(run_here(l));
	}
	fd_close(&p[1]);
	if (read(p[0], &c, 1) == 1) {
		(void)printf("%s\n", a->id);
		return fflush(stdout) == 0 ? 0 : EXIT_VRUN;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_VRUN;
}

static void tell_denials(const struct json_doc *summary)
{
	summary_print(stderr, summary);
}

static int attempts_fd = -1;

static void write_attempts(const json_t *list)
{
	if (json_dumpfd(list, attempts_fd, JSON_COMPACT) < 0 || fd_write_all(attempts_fd, "\n", 1) < 0)
		log_error("writing the attempts: %s", err_text(errno));
}

static int open_attempts(struct run_args *a, struct err *e)
{
	if (!a->attempts)
		return 0;
	attempts_fd = open(a->attempts, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (attempts_fd < 0)
		return err_sys(e, "%s", a->attempts);
	a->launch.attempts = write_attempts;
	return 0;
}

static int prepare(struct run_args *a, char **ret_root, struct err *e)
{
	int rc;

	if (!a->id[0])
		state_make_id(a->id);
	rc = state_check_id(a->id, e);
	if (rc == 0)
		rc = open_attempts(a, e);
	if (rc == 0)
		rc = state_root(a->state_root, ret_root, e);
	if (rc < 0)
		return rc;
	a->launch.id = a->id;
	a->launch.state_root = a->state_root = *ret_root;
	a->launch.pid_file = a->pid_file;
	a->launch.fabric = a->fabric;
	a->launch.supervise = supervise_for_launch;
	a->launch.denials = a->detach || a->quiet || a->attempts ? NULL : tell_denials;
	a->launch.started_fd = -1;
	a->launch.subordinate = a->bundle != NULL;
	return 0;
}

int cmd_run(int argc, char **argv)
{
	struct run_args a = { .tty = -1,
			      .policy = globals.policy,
			      .ceiling = globals.ceiling,
			      .fabric = globals.fabric,
			      .state_root = globals.root,
			      .launch = { .best_effort = globals.best_effort,
					  .systemd_cgroup = globals.systemd_cgroup } };
	AUTO_FREE struct hostrun_path *paths = calloc((size_t)argc + 1, sizeof *paths);
	AUTO_FREE const char **env = calloc((size_t)argc + 1, sizeof *env);
	AUTO_FREE char *root = NULL;
	struct err e = { 0 };
	struct policy_applied policy;
	struct launch l;
	struct bundle b;
	int rc, code;

	if (!paths || !env)
		return EXIT_VRUN;
	a.host.paths = paths;
	a.host.env = env;
	rc = parse(&a, argc, argv);
	if (rc < 0)
		return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
	if (rc > 0)
		return rc;
	if (prepare(&a, &root, &e) < 0 || load_bundle(&a, &b, &e) < 0)
		return command_fail(&e);
	rc = policy_apply(&b, a.policy, a.ceiling, a.publish, &policy, &e);
	if (rc < 0) {
		bundle_fini(&b);
		return command_fail(&e);
	}
	a.launch.policy = &policy;
	rc = launch_plan(&l, &b, &a.launch, &e);
	if (rc == 0)
		rc = records_check(&l, &e);
	if (rc == 0)
		rc = selfexe_protect(&l, globals.argv, &e);
	if (rc < 0)
		code = command_fail(&e);
	else if (a.detach && b.process.terminal && !a.launch.console_socket)
		code = command_usage("run", "a terminal cannot be had in the background without --console-socket");
	else if (a.launch.console_socket && !b.process.terminal)
		code = command_usage("run", "--console-socket, but process.terminal is not set");
	else
		code = a.detach ? run_detached(&a, &l) : run_here(&l);
	launch_fini(&l);
	policy_applied_fini(&policy);
	bundle_fini(&b);
	free(a.config);
	return code;
}
