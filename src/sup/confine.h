/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor gives up before it reads the first byte of an app. */
#ifndef VRUN_SUP_CONFINE_H
#define VRUN_SUP_CONFINE_H

#include "base/err.h"

/*
 * For good, for the calling thread: every capability but those over its apps
 * (SYS_PTRACE) and its own network namespace (NET_ADMIN for marks,
 * NET_BIND_SERVICE), new privileges, core dumps, and every system call that
 * serving does not need. Descriptors and the namespace stay.
 */
int confine_supervisor(struct err *e);

#endif
