/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's side of the supervisor: starting one or joining a fabric's,
 * handing a container's listener over, hearing how it went.
 *
 * The supervisor is made in a new user namespace U, and the container in a
 * user namespace inside U. So it has every right over its containers
 * (user_namespaces(7)) and none over anything else. A root caller's has a uid
 * of its own there, which owns no file. With --host-users there is no U. It has
 * a pid namespace of its own, too, above those of its containers: by their
 * numbers it can reach no other process.
 *
 * It ends by itself when the last container has ended and the last launcher
 * has gone, also when those were killed.
 */
#ifndef VRUN_RUN_SUPERVISOR_H
#define VRUN_RUN_SUPERVISOR_H

#include "kern/control.h"
#include "run/launch.h"

struct supervisor {
	int sock;   /* connection to it; -1: none */
	int spaces[2]; /* U, and the pid namespace that it is the first process of; -1: the caller's own */
	int pidfd;  /* of its process, or -1 */
	int listener; /* of one that we have started, until it has its name; -1 */
	int lock;     /* on the state directory, so long; -1 */
	int gateway;       /* the domain's gateway (gateway_spawn.c), until it is handed over; -1 */
	int gateway_pidfd; /* -1: there is none */
	pid_t gateway_pid;
	char gateway_control[CONTROL_NAME_SIZE]; /* kern/control.h; "" without a gateway */
	pid_t pid;  /* when it is our child, else 0 */
	bool shared;
	bool published; /* we have given it its name */
	char name[96]; /* of its socket in the state directory */
};

/* No supervisor: everything below may be called with it. */
void supervisor_init(struct supervisor *s);

/*
 * Starts a private one, or joins that of launch_options.fabric, which its
 * first run starts. A fabric's socket is in the state directory.
 */
int supervisor_start(struct supervisor *s, const struct launch *l, int state_fd, struct err *e);

/* Gives a supervisor that we have started its name, now that somebody removes it should we be killed. */
int supervisor_publish(struct supervisor *s, int state_fd, struct err *e);

/* Hands a container over: its filter's listener, its network namespace, its gateway. Waits until it is taken; its refusal is the error. */
int supervisor_hand_over(struct supervisor *s, const struct launch *l, pid_t pid, int listener,
			 int network, struct err *e);

/* For a process that is put into a container which it serves: a connection for supervisor_hand_over(). */
int supervisor_connect(struct supervisor *s, int state_fd, const char *name, struct err *e);
void supervisor_disconnect(struct supervisor *s);

/* Before that: why a supervisor has given up, or 0 when it has not said anything. */
int supervisor_complaint(const struct supervisor *s, struct err *e);

/* The container has ended, all its processes with it: waits a moment for what there is to tell of
 * its denials, and hands that to launch_options.denials. -EPIPE: the supervisor went without a word. */
int supervisor_farewell(const struct supervisor *s, const struct launch *l);

/* Ends the connection, waits for the end of a supervisor that nobody else uses, removes its socket. */
void supervisor_fini(struct supervisor *s, int state_fd);

/*
 * For whoever cleans up behind a launcher that was killed: waits a moment for the end of a
 * supervisor that nobody else uses, and removes its socket.
 */
void supervisor_outlive(int state_fd, const char *name);

/* Removes a socket at which nobody listens any more; whether that was so. */
bool supervisor_remove_socket(int state_fd, const char *name);

/* Nobody listens at that socket. Does not wait, and removes nothing. */
bool supervisor_is_dead(int state_fd, const char *name);

/* --- supervisor_spawn.c ------------------------------------------------------------ */

/* A new process that serves at the socket, which stays ours too. Fills sock, spaces, pidfd and pid. */
int supervisor_spawn(struct supervisor *s, const struct launch *l, int listener, struct err *e);

/* --- gateway_spawn.c --------------------------------------------------------------- */

/* Starts the gateway where the policy leads outside. Fills gateway, gateway_pidfd and gateway_pid. */
int gateway_spawn(struct supervisor *s, const struct launch *l, struct err *e);
/* Waits for the end of a gateway whose supervisor serves the container no more. */
void gateway_reap(struct supervisor *s);

#endif
