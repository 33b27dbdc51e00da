/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/globals.h"
#include "model/json.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
	{ "run", cmd_run, "run a bundle, or a command of this host, in a sandbox" },
	{ "up", cmd_up, "run several bundles as one fabric" },
	{ "ps", cmd_ps, "list running sandboxes" },
	{ "sockets", cmd_sockets, "list their virtual sockets" },
	{ "log", cmd_log, "show what a sandbox's policy decided" },
	{ "kill", cmd_kill, "send a signal to a sandbox (default TERM)" },
	{ "create", cmd_create, "make a container of a bundle, as other OCI runtimes do" },
	{ "start", cmd_start, "run the program of a created container" },
	{ "state", cmd_state, "print the state of a container" },
	{ "delete", cmd_delete, "remove what is left of a stopped container" },
	{ "exec", cmd_exec, "run one more process in a container" },
	{ "pause", cmd_pause, "stop the processes of a container for a while" },
	{ "resume", cmd_resume, "let them go on" },
	{ "update", cmd_update, "change the limits of a container" },
	{ "events", cmd_events, "what a container uses" },
	{ "features", cmd_features, "what of the OCI runtime specification is there" },
	{ "list", cmd_list, "list containers, created and stopped ones too" },
	{ "pack", cmd_pack, "make a bundle of an installed program" },
	{ "verify", cmd_verify, "compare a bundle with its manifest" },
	{ "policy", cmd_policy, "check, explain and test policies" },
	{ "learn", cmd_learn, "run an app and write a policy for what it does" },
	{ "graph", cmd_graph, "draw who may reach whom, who did, and what was denied" },
	{ "why", cmd_why, "whether a running sandbox may do something, and by which rule" },
	{ "spec", cmd_spec, "print an example config.json" },
	{ "doctor", cmd_doctor, "say what this host gives, and what to change" },
	{ "hook", cmd_hook, "give containers of other runtimes a supervisor" },
	{ "supervise", cmd_supervise, "serve the sockets of containers under their policies" },
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static int print_help(FILE *to)
{
	(void)fprintf(to, "Usage: vrun BUNDLE\n       vrun COMMAND [OPTIONS] ...\n\n"
			  "Runs programs that you do not trust with your network.\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		(void)fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].summary);
	(void)fprintf(to, "\nBefore a command:\n"
			  "      --root DIR            directory of the records\n"
			  "      --log FILE            diagnostics go there, too\n"
			  "      --log-format FORMAT   text (default) or json\n"
			  "      --log-level LEVEL     error, warning (default) or debug\n"
			  "      --systemd-cgroup      let systemd make cgroups\n"
			  "      --cgroup-manager M    systemd, or cgroupfs (default)\n"
			  "      --best-effort         leave out what this host cannot give, and list it\n"
			  "      --policy FILE         as run and create have it\n"
			  "      --ceiling FILE        as run and create have it\n"
			  "      --fabric NAME         as run and create have it\n"
			  "      --rootless BOOL       accepted; vrun sees for itself\n"
			  "      --criu PATH           accepted; vrun makes no checkpoints\n"
			  "      --debug               say more\n");
	(void)fprintf(to, "\n  -h, --help, -v, --version\n\n\"vrun COMMAND --help\" shows a command's options; vrun(1) is the manual.\n");
	return fflush(to) == 0 ? 0 : EXIT_VRUN;
}

int command_usage(const char *command, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_error("%s: %s (see \"vrun %s --help\")", command, text, command);
	return EXIT_VRUN;
}

int command_fail(const struct err *e)
{
	log_err(e);
	return EXIT_VRUN;
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_word(const char *word)
{
	const char *names[N_COMMANDS + 1];
	const char *near;
	char quoted[128];

	for (size_t i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	names[N_COMMANDS] = NULL;
	near = json_nearest(word, names);
	(void)log_quote(quoted, sizeof quoted, word);
	if (near)
		log_error("\"%s\" is neither a command nor a bundle directory (did you mean \"vrun %s\"?)",
			  quoted, near);
	else
		log_error("\"%s\" is neither a command nor a bundle directory (see \"vrun --help\")", quoted);
	return EXIT_VRUN;
}

static bool is_checkpoint(const char *word)
{
	return strcmp(word, "checkpoint") == 0 || strcmp(word, "restore") == 0;
}

static int unknown(const char *word)
{
	if (is_checkpoint(word)) {
		log_error("%s: vrun makes no checkpoints: virtual sockets are its supervisor's, and CRIU does not know those (stop the container and start it again)", word);
		return EXIT_FAILURE;
	}
	return unknown_word(word);
}

/* "vrun BUNDLE" is "vrun run BUNDLE". */
static int run_bundle(int argc, char **argv)
{
	argv[0] = (char[]){ "run" };
	return cmd_run(argc, argv);
}

/* A standard stream that the caller closed: nothing of ours may take its number. */
static bool fill_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

int main(int argc, char **argv)
{
	const struct command *c;
	struct stat st;
	int at, rc;

	if (!fill_streams()) {
		log_error("standard streams: %s", err_text(errno));
		return EXIT_VRUN;
	}
	/* Ignored, as some callers leave it, it would take our children's statuses from us, and the app's from it. */
	(void)signal(SIGCHLD, SIG_DFL);
	if (argc < 2) {
		(void)print_help(stderr);
		return EXIT_VRUN;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
		(void)printf("vrun %s\n", PACKAGE_VERSION);
		return fflush(stdout) == 0 ? 0 : EXIT_VRUN;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return print_help(stdout);
	at = globals_parse(argc, argv);
	c = at > 0 && at < argc ? find(argv[at]) : NULL;
	if (c) {
		rc = globals_start_log();
		return rc ? rc : c->run(argc - at, argv + at);
	}
	if (argv[1][0] == '-' && !(at > 0 && at < argc && is_checkpoint(argv[at])))
		return run_bundle(argc, argv);
	if (stat(argv[1], &st) == 0 && S_ISDIR(st.st_mode))
		return run_bundle(argc, argv);
	return unknown(at > 0 && at < argc ? argv[at] : argv[1]);
}
