/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of one container: "vrun ps ID". */
#ifndef VRUN_CLI_PROCESSES_H
#define VRUN_CLI_PROCESSES_H

#include <stdbool.h>

/* As a JSON array of pids, or what ps(1) says of them with the given arguments ("-ef" when there are none). The exit code. */
int processes_print(const char *id, bool json, char **ps_args);

#endif
