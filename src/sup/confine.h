/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor and its factory give up before the first byte of an app is read. */
#ifndef VRUN_SUP_CONFINE_H
#define VRUN_SUP_CONFINE_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Leaves the calling process nothing of the file system but a /proc that shows
 * its own pid namespace (where the kernel lets it mount one; else nothing at
 * all). Needs CAP_SYS_ADMIN and CAP_SYS_CHROOT, which have to go afterwards.
 * Descriptors stay.
 */
int confine_files(struct err *e);

/*
 * For good, for the calling thread: every capability but those over its apps
 * (SYS_PTRACE) and its own network namespace (NET_ADMIN for marks,
 * NET_BIND_SERVICE), new privileges, core dumps, and every system call that
 * serving does not need. Descriptors and the namespace stay.
 */
int confine_supervisor(struct err *e);

/*
 * The same for the factory, which keeps its rights over network namespaces
 * (SYS_ADMIN, NET_ADMIN, NET_RAW, NET_BIND_SERVICE) and may start a program.
 */
int confine_factory(bool foreign, struct err *e);

/*
 * For a supervisor that is confined already: no listen(2), and no connect(2) with
 * an address of CONFINE_ADDRESS_MIN bytes, the least that TCP takes. Shorter ones
 * dissolve (AF_UNSPEC), or are the names of wires and of netlink. What is at the number
 * `bell` (-1: none) may be connected, and stays there.
 */
#define CONFINE_ADDRESS_MIN 16
int confine_guarded(int bell, struct err *e);

/* The same for a scribe, which has a socket and a file, and no rights. */
int confine_scribe(struct err *e);

/* The same as confine_supervisor() for the guard, which connects sockets and has no rights at all. */
int confine_guard(struct err *e);

#endif
