/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What monitor and container say to each other while the container is being
 * made, over a SOCK_SEQPACKET pair that is close-on-exec: end of file at the
 * monitor means that the app has been executed.
 */
#ifndef VRUN_RUN_SYNC_H
#define VRUN_RUN_SYNC_H

#include <stddef.h>

#include "base/err.h"

enum sync_kind {
	/* monitor -> container */
	SYNC_MAPS = 'M',    /* the id maps are written */
	SYNC_SOURCES = 'S', /* one detached mount, or none for an absent optional one */
	SYNC_STATE = 'J',   /* the state for hooks follows in a message of its own */
	SYNC_GO = 'G',      /* keeper, record and cgroup are in place: execute */
	/* "vrun start" -> monitor, and back; SYNC_FAILED otherwise */
	SYNC_START = 's',
	/* keeper -> container */
	SYNC_NETWORK = 'N', /* one descriptor: the network namespace */
	/* container -> monitor */
	SYNC_PID = 'P',    /* pidfd of the process that goes on as the container; and that of who made it,
			       when that is not the first one */
	SYNC_APP = 'A',    /* one descriptor: pidfd of the process that is about to load the filter */
	SYNC_LISTENER = 'L', /* its number of the filter's listener follows in a message of its own; it waits
				for SYNC_GO with read(2): everything else may be trapped by then */
	SYNC_HOOKS = 'H',   /* the container stands before its new root: SYNC_STATE when the hooks are done */
	SYNC_CREATED = 'C', /* all that goes before the start is done: GO will start the app */
	SYNC_TERMINAL = 'T', /* one descriptor: the terminal's controlling side */
	SYNC_FAILED = 'E', /* error and exit code follow in a message of their own */
};

/* Waits for one message of the wanted kind. Returns the number of descriptors; -EPIPE when the
 * other side is gone, -EPROTO for any other message. */
int sync_expect(int sock, enum sync_kind kind, int *ret_fds, size_t max);

/* Sends descriptors. What went wrong is said: `gone`, when the other side is, or that the kernel takes none. */
int sync_pass(int sock, enum sync_kind kind, const int *fds, size_t n, const char *gone, struct err *e);

/* Reports a failure to the monitor, with the exit code that vrun is to end with. By write(2), which no
 * filter of ours traps. */
void sync_fail(int sock, const struct err *e, int exit_code);

/* Reads what stands behind SYNC_FAILED. Returns -e->num. */
int sync_read_failure(int sock, int *ret_exit_code, struct err *e);

/*
 * Whether the other side, which has ended, or is to, has said that it failed: all that it sent before is passed over.
 * Waits for nothing. -e->num of what it said; 0: nothing.
 */
int sync_last_word(int sock, int *ret_exit_code, struct err *e);

#endif
