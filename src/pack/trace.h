/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trial run of the program on this host, under ptrace(2), that notes which
 * paths it uses: what it opens, executes, asks about or reads links of, in all
 * its threads and children. The program runs as the caller, unconfined: it can
 * do all that the caller can. Nothing but the caller's wish starts one.
 */
#ifndef VRUN_PACK_TRACE_H
#define VRUN_PACK_TRACE_H

#include <stdint.h>

#include "pack/notes.h"
#include "pack/tree.h"

/* How a path was used, in node->mode of the result. */
#define TRACE_READ 1U  /* opened for reading, executed, or looked at */
#define TRACE_WROTE 2U /* opened for writing or made */

/*
 * Runs argv (argv[0] is an absolute path) with the caller's environment,
 * streams and directory for at most `seconds`; then its whole tree gets
 * SIGTERM, and SIGKILL two seconds later. `seen` receives absolute paths, not
 * normal ones, one node each. Interruptible: the tree is killed. How the
 * program ended is a note, not an error. Errors: it cannot be started or
 * traced.
 */
int trace_run(const char *const *argv, uint64_t seconds, struct tree *seen, struct notes *notes,
	      struct err *e);

#endif
