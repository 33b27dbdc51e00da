/* SPDX-License-Identifier: Apache-2.0 */
/* Options that stand before the command, as other runtimes have them. A command's own options go before these. */
#ifndef VRUN_CLI_GLOBALS_H
#define VRUN_CLI_GLOBALS_H

#include <stdbool.h>

struct globals {
	const char *root; /* NULL: not given, as all that follow */
	const char *policy, *ceiling, *fabric;
	const char *log, *log_format, *log_level;
	bool systemd_cgroup;
	bool debug;
	bool best_effort;
	char **argv; /* the whole command line */
};

extern struct globals globals;

/*
 * Takes the options before the command. Returns the index of the first other
 * word, or -1 for one that is not among them or has no value.
 */
int globals_parse(int argc, char **argv);

/* Starts logging where they say. 0, or an exit code. */
int globals_start_log(void);

#endif
