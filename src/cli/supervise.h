/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways in which this program becomes a supervisor. */
#ifndef VRUN_CLI_SUPERVISE_H
#define VRUN_CLI_SUPERVISE_H

#include <stdbool.h>

#include "base/err.h"

/* launch_options.supervise: the supervisor of `vrun run`. */
int supervise_for_launch(int listener, int launcher, int resolver, const int *spaces, bool outside, struct err *e);

#endif
