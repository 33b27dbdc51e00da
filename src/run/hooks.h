/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lifecycle hooks (runtime-spec config.md, "POSIX-platform Hooks"): programs of
 * the caller's that are told of a container over standard input.
 *
 *   prestart, createRuntime  by the monitor, in the caller's namespaces, while
 *                            the container stands before its new root
 *   createContainer          by the container there, in its namespaces but
 *                            with the caller's files
 *   startContainer           by the container just before the exec: with the
 *                            app's identity, and under its filter
 *   poststart                by the monitor, when the app has been executed
 *   poststop                 by the monitor, or by "vrun delete"
 */
#ifndef VRUN_RUN_HOOKS_H
#define VRUN_RUN_HOOKS_H

#include <sys/types.h>

#include "run/launch.h"
#include "run/monitor.h"

/*
 * Runs the hooks of a kind one after the other, the state on each one's
 * standard input. The first that fails, or takes longer than its timeout, is
 * the error, with what it has written.
 */
int hooks_run(const struct bundle *b, enum hook_kind kind, const char *state, struct err *e);
/* As above, but all of them: failures become warnings. */
void hooks_run_all(const struct bundle *b, enum hook_kind kind, const char *state);

/* The state as text, freed by the caller; NULL: no memory. */
char *hooks_state(const struct bundle *b, const char *id, const char *status, pid_t pid);

/* --- in the container ------------------------------------------------------------- */

/* Before the new root is entered: waits for the monitor's hooks, and runs createContainer's. */
int hooks_before_root(struct launch *l, int sync, struct err *e);
/* The state for the startContainer hooks, which the monitor sends before the start. */
int hooks_receive_state(struct launch *l, int sync, struct err *e);

/* --- in the monitor ---------------------------------------------------------------- */

/* The container has come to hooks_before_root(). */
int hooks_serve(struct monitor *m, struct err *e);
/* Waits until that has happened; nothing without such hooks. What is said behind it must not come before. */
int hooks_await(struct monitor *m, struct err *e);
/* Sends the state for the startContainer hooks; nothing without such. */
int hooks_send_state(struct monitor *m, struct err *e);
int hooks_poststart(struct monitor *m, struct err *e);
/* Once the container has ended; nothing when no hook has been run. */
void hooks_poststop(struct monitor *m);

#endif
