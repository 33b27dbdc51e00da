/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/globals.h"

#include <fcntl.h>
#include <getopt.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "cli/oci.h"

struct globals globals;

enum { OPT_ROOT = 256, OPT_POLICY, OPT_CEILING, OPT_FABRIC, OPT_LOG, OPT_LOG_FORMAT, OPT_LOG_LEVEL, OPT_SYSTEMD, OPT_DEBUG, OPT_BEST_EFFORT, OPT_MANAGER, OPT_IGNORED };

static const struct option options[] = {
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "ceiling", required_argument, NULL, OPT_CEILING },
	{ "fabric", required_argument, NULL, OPT_FABRIC },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "log-format", required_argument, NULL, OPT_LOG_FORMAT },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "systemd-cgroup", no_argument, NULL, OPT_SYSTEMD },
	{ "cgroup-manager", required_argument, NULL, OPT_MANAGER },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "best-effort", no_argument, NULL, OPT_BEST_EFFORT },
	{ "rootless", required_argument, NULL, OPT_IGNORED },
	{ "criu", required_argument, NULL, OPT_IGNORED },
	{ NULL, 0, NULL, 0 },
};

static bool take(struct globals *g, int opt)
{
	switch (opt) {
	case OPT_ROOT:
		g->root = optarg;
		return true;
	case OPT_POLICY:
		g->policy = optarg;
		return true;
	case OPT_CEILING:
		g->ceiling = optarg;
		return true;
	case OPT_FABRIC:
		g->fabric = optarg;
		return true;
	case OPT_LOG:
		g->log = optarg;
		return true;
	case OPT_LOG_FORMAT:
		g->log_format = optarg;
		return true;
	case OPT_LOG_LEVEL:
		g->log_level = optarg;
		return true;
	case OPT_SYSTEMD:
		g->systemd_cgroup = true;
		return true;
	case OPT_DEBUG:
		g->debug = true;
		return true;
	case OPT_BEST_EFFORT:
		g->best_effort = true;
		return true;
	case OPT_MANAGER:
		g->systemd_cgroup = strcmp(optarg, "systemd") == 0;
		return strcmp(optarg, "systemd") == 0 || strcmp(optarg, "cgroupfs") == 0;
	case OPT_IGNORED: /* who the caller is we see ourselves, and nothing is checkpointed */
		return true;
	default:
		return false;
	}
}

int globals_parse(int argc, char **argv)
{
	struct globals g = { .argv = argv };
	int opt, at = 0;

	opterr = 0;
	while (at == 0 && (opt = getopt_long(argc, argv, "+", options, NULL)) != -1)
		if (!take(&g, opt))
			at = -1;
	if (at == 0) {
		at = optind;
		globals = g;
	}
	/* The command's own options are looked at anew. */
	optind = 0;
	opterr = 1;
	return at;
}

static int set_level(const char *name)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = { { "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARN }, { "debug", LOG_LEVEL_DEBUG } };

	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		if (strcmp(name, levels[i].name) != 0)
			continue;
		log_set_level(levels[i].level);
		return 0;
	}
	log_error("--log-level takes error, warning or debug");
	return EXIT_OCI;
}

int globals_start_log(void)
{
	bool json = globals.log_format && strcmp(globals.log_format, "json") == 0;
	int fd, high;

	if (globals.log_level && set_level(globals.log_level) != 0)
		return EXIT_OCI;
	if (globals.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	if (globals.log_format && !json && strcmp(globals.log_format, "text") != 0) {
		log_error("--log-format takes text or json");
		return EXIT_OCI;
	}
	/* crun takes "file:PATH", too. */
	if (globals.log && strncmp(globals.log, "file:", 5) == 0)
		globals.log += 5;
	if (!globals.log || strcmp(globals.log, "/dev/stderr") == 0 || !*globals.log) {
		log_set_json(json);
		return 0;
	}
	fd = open(globals.log, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0644);
	if (fd < 0) {
		log_error("log file %s: %s", globals.log, err_text(errno));
		return EXIT_OCI;
	}
	/* Out of the way of those that --preserve-fds hands on. */
	high = fcntl(fd, F_DUPFD_CLOEXEC, 512);
	if (high >= 0)
		fd_close(&fd);
	log_set_copy(high >= 0 ? high : fd, json);
	return 0;
}
