/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock as a second wall (landlock(7), Documentation/userspace-api/landlock.rst). */
#ifndef VRUN_KERN_LANDLOCK_H
#define VRUN_KERN_LANDLOCK_H

#include <stdbool.h>

#include "base/err.h"

/* The ABI that the kernel offers, 0 when there is none or it is switched off. */
int landlock_abi(void);

struct landlock_wall {
	bool deny_tcp;   /* TCP bind and connect, ABI >= 4 */
	bool scope;      /* abstract sockets outside, ABI >= 6 */
	bool signals;    /* signals to processes outside, likewise */
	bool root_only;  /* files only below root_fd: nothing reachable by a stray descriptor */
	const char *const *files; /* with root_only: these may be read as well, and what is in those that are
				     directories, where they are there; ends with NULL; or NULL */
	int root_fd;     /* O_PATH of the app's root, after it has become "/"; -1: no files at all */
	int streams;     /* with root_only: descriptors 0 to streams-1 may be opened anew by their
			    /proc/self/fd names, in the directions in which they are open */
};

/*
 * Puts the calling thread and its children under a ruleset with what the ABI
 * has of the wishes. Needs no_new_privs or CAP_SYS_ADMIN in the user
 * namespace. 0 also when the kernel has no Landlock: vrun holds without it.
 */
int landlock_enter(const struct landlock_wall *wall, struct err *e);

#endif
