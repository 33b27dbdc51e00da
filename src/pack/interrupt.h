/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ctrl-C without leftovers: SIGINT, SIGTERM and SIGHUP only set a flag; every
 * loop that may run long asks interrupt_check() and returns its error, so the
 * way out is the ordinary one and removes what was begun.
 */
#ifndef VRUN_PACK_INTERRUPT_H
#define VRUN_PACK_INTERRUPT_H

#include "base/err.h"

/* Installs the handlers (without SA_RESTART) and ignores SIGPIPE. A signal that was ignored stays so. */
void interrupt_install(void);

/* 0, or -EINTR once a signal has come. */
int interrupt_check(struct err *e);

/* The signal that came, or 0. */
int interrupt_signal(void);

/* Ends this process by the signal that came, as the shell expects. Returns only when none came. */
void interrupt_raise(void);

#endif
