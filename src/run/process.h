/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps before the app: identity, limits, capabilities, walls, exec. */
#ifndef VRUN_RUN_PROCESS_H
#define VRUN_RUN_PROCESS_H

#include "run/launch.h"

/* Finds process.args[0] as the app will see it, in PATH of process.env when it has no slash. Inside the
 * root. *ret_path belongs to the bundle's arena. -ENOENT, -EACCES with the places that were tried. */
int process_find_program(struct launch *l, const char **ret_path, struct err *e);

/* What needs neither the root nor the network, before they are waited for: keyring, bounding set, and
 * vrun's own filter. For the init too, where there is one. */
int process_prepare(struct launch *l, struct err *e);

/*
 * Takes on everything of the app but its program: terminal, limits, identity,
 * walls. tty: the app's side of a terminal or -1; sync: the socket to the monitor.
 */
int process_become(struct launch *l, int tty, int sync, struct err *e);

/* Executes it. Returns only on failure, with the cause in words. */
int process_execute(const struct launch *l, const char *path, struct err *e);

#endif
