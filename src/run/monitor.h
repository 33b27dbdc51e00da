/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor of one container: what launch.c and monitor.c share. Nobody else includes this. */
#ifndef VRUN_RUN_MONITOR_H
#define VRUN_RUN_MONITOR_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "run/keeper.h"
#include "run/launch.h"
#include "run/namespaces.h"
#include "run/streams.h"
#include "run/supervisor.h"
#include "run/warden.h"

#define EXIT_OWN 125

/* Everything that lives while one container runs. */
struct monitor {
	struct launch *l;
	int state_fd;
	int lock; /* of the record; -1 before it is published */
	int network_sock; /* the keeper's end */
	int pidfd, sync, sigfd;
	pid_t pid;
	struct warden warden; /* only until there is a keeper */
	struct keeper keeper;
	struct supervisor supervisor;
	bool handed_over;      /* the container is the supervisor's */
	bool refused;          /* ... is not, and has been told why */
	bool supervisor_gone;  /* that has been said */
	bool supervisor_spoke; /* its last word is there, to be read at the end */
	int network; /* the app's network namespace, for the supervisor; -1 */
	int app; /* pidfd of the process that loads the filter; -1 */
	struct streams streams;
	sigset_t old_mask;
	int ns_fds[NS_KINDS];
	bool hooked;   /* hooks may have been run: poststop's are due */
	int exit_code; /* -1 while it runs */
	/* Of a kept container: */
	int kept;      /* its directory; -1 */
	int listener;  /* where "vrun start" comes; -1 before it is created and after it was started */
	int starter;   /* one that waits for the answer; -1 */
	bool created;  /* our caller has been told: what is left is for "vrun delete" */
};

/* Nothing yet: no descriptors, no processes. */
void monitor_init(struct monitor *m, struct launch *l);
int monitor_block_signals(struct monitor *m, struct err *e);
int monitor_write_pid_file(const struct monitor *m, struct err *e);

/* Starts the keeper, or another when that one was killed (launch.c). */
int monitor_start_keeper(struct monitor *m, struct err *e);

/* One message of the container's, or the end of file that the exec makes. */
int monitor_hear(struct monitor *m, struct err *e);

/* Forwards, carries and listens until the app has ended. 0, or how its set-up failed. */
int monitor_watch(struct monitor *m, struct err *e);

/* The container waits for its start: our caller is told, and may end (release.c). */
int monitor_created(struct monitor *m, struct err *e);
/* Somebody has connected, or has asked. */
void monitor_accept(struct monitor *m);
/* The app has been executed, or with `e` how that failed: whoever asked is told. */
void monitor_answer(struct monitor *m, const struct err *e);
/* The console socket gets the terminal. Takes the descriptor. */
int monitor_give_terminal(const struct monitor *m, int terminal, struct err *e);

/* The container has ended, or is about to: record, keeper, its process. */
void monitor_reap(struct monitor *m);

#endif
