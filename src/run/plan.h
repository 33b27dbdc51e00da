/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of launch_plan(), each in a file of its own. */
#ifndef VRUN_RUN_PLAN_H
#define VRUN_RUN_PLAN_H

#include "run/launch.h"

/* Maps of the new user namespace and who writes them (ids_plan.c). */
int plan_ids(struct launch *l, struct err *e);

#endif
