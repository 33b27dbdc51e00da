/* SPDX-License-Identifier: Apache-2.0 */
/* Programs under libexec that do what vrun itself should not be linked for. */
#ifndef VRUN_CLI_HELPER_H
#define VRUN_CLI_HELPER_H

#include "base/err.h"

/* Replaces the process by the helper with its verb as argv[0]'s successor. Returns only on failure. */
int helper_exec(const char *helper, char **argv, struct err *e);

/* Runs "vrun-pack verify -q DIR" and waits. -EBADMSG when the bundle differs from its manifest. */
int helper_verify(const char *dir, struct err *e);

#endif
