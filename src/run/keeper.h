/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: a fork of the monitor with two tasks.
 *
 * It makes the container's network namespace, which takes as long as all the
 * rest of a launch, while the container builds its root.
 *
 * Then it sleeps until the monitor has gone. If that happened without a
 * farewell (SIGKILL, a crash) it kills the container, whose parent-death signal
 * an app may have switched off, removes record and cgroup, and takes the
 * caller's terminal out of raw mode. The monitor in turn replaces a keeper that
 * has died.
 */
#ifndef VRUN_RUN_KEEPER_H
#define VRUN_RUN_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

#include "base/err.h"

struct cgroup;

struct keeper {
	pid_t pid; /* 0: none */
	int sock;  /* the monitor's end */
	bool released;
};

/* All of it is borrowed; the keeper keeps copies. */
struct keeper_params {
	pid_t monitor; /* filled in by keeper_start() */
	pid_t pid;
	int pidfd; /* of the container */
	int state_fd;
	const char *id;
	struct cgroup *cgroup;
	bool make_network;
	bool give_network; /* the monitor gets it, too */
	bool own_users;   /* the container's user namespace is not the caller's; it is to own the network's */
	int users_fd;     /* that namespace when it was joined by path; -1: a new one */
	int network_sock; /* where SYNC_NETWORK goes */
	/* The monitor's ends of the app's streams and of the container's socket: in the keeper they
	 * would keep end of file from being seen. */
	const int *not_kept;
	size_t n_not_kept;
	bool record_stays; /* of a container that is kept: its record and its cgroup are "vrun delete"'s */
	int supervisor;              /* pidfd of a private one, or -1 */
	const char *supervisor_name; /* of a supervisor's socket in the state directory; "" without */
	int tty;                         /* the caller's terminal, which may be in raw mode later; -1 */
	const struct termios *tty_modes; /* what to restore; NULL: the modes of now */
};

int keeper_start(struct keeper *k, const struct keeper_params *p, struct err *e);

/* Waits until the keeper is in place and the network is up. With give_network *ret_network is that
 * namespace, else it stays as it is. */
int keeper_await(struct keeper *k, int *ret_network, struct err *e);

/* The container has ended and nothing is left to clean up: the keeper ends, in its own time. */
void keeper_release(struct keeper *k);
/* Waits for that. */
void keeper_join(struct keeper *k);

#endif
