/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor's process, from its start to its end. */
#ifndef VRUN_SUP_SERVE_H
#define VRUN_SUP_SERVE_H

#include <signal.h>

#include "sup/agent.h"

struct serve_params {
	int listener;       /* a socket of agent_bind(), taken; with a launcher: one that it will bind */
	const char *path;   /* removed at the end; NULL: not */
	int launcher;       /* a connection of the launcher that started it, taken; -1: none */
	int resolver;       /* the program vrun-resolver (kern/helper.h), taken */
	int spaces[2];      /* its user and pid namespaces, for launchers; -1: the caller's own */
	int door;           /* a socket of door.h, taken, instead of listener and launcher; -1: none */
	bool guarded;       /* some domain may have a gateway (guard.h) */
	bool cell;          /* policies come with the containers: it needs no files but /proc */
	const char *policy; /* for every container, or NULL */
	const sigset_t *mask; /* signals blocked while it waits, or NULL: as they are */
	volatile sig_atomic_t *stop; /* ends when it is set; or NULL */
	void (*complain)(const struct err *e);
	void (*audit)(void *ctx, const struct audit_record *r);
};

/*
 * Moves into a network namespace of its own, gives up what it does not need,
 * and serves until the last container has ended and nobody is connected; when
 * nobody ever was, it waits for the first.
 */
int serve_run(const struct serve_params *p, struct err *e);

#endif
