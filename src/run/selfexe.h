/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun's own program file, out of the app's reach.
 *
 * Until it executes the app, the container's process is vrun, and the app may
 * arrange to be executed as "/proc/self/exe" (as a program, an interpreter or a
 * loader): then /proc/PID/exe inside leads to vrun's file on the host, and an
 * app that may write that file owns the next user of vrun (CVE-2019-5736).
 * Where the file's permissions do not already forbid it to every id in the
 * container, vrun executes itself once more from a sealed copy in memory.
 */
#ifndef VRUN_RUN_SELFEXE_H
#define VRUN_RUN_SELFEXE_H

#include <stdbool.h>

#include "base/err.h"
#include "run/launch.h"

/* Whether the running program is a sealed copy already. */
bool selfexe_is_sealed(void);

/* Executes a sealed copy with argv where that is needed, and then does not return. 0 when it is not. */
int selfexe_protect(const struct launch *l, char **argv, struct err *e);

#endif
