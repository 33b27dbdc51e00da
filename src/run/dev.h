/* SPDX-License-Identifier: Apache-2.0 */
/* /dev: the nodes and links that the runtime spec promises, the bundle's own devices, and the terminal
 * (config-linux.md, "Default Devices"; config.md, "process.terminal"). */
#ifndef VRUN_RUN_DEV_H
#define VRUN_RUN_DEV_H

#include "run/launch.h"

int dev_populate(struct launch *l, int root, int *ret_terminal, int *ret_tty, struct err *e);

#endif
