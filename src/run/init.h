/* SPDX-License-Identifier: Apache-2.0 */
/* Pid 1 of a container that has one of vrun's: hands signals on, reaps, ends with the app's exit code. */
#ifndef VRUN_RUN_INIT_H
#define VRUN_RUN_INIT_H

#include <sys/types.h>

/* `app` is the child that is the app. Never returns. */
void init_main(pid_t app) __attribute__((noreturn));

#endif
