/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of running containers: one file ROOT/ID.json each, whose members are
 * those of the runtime spec's state plus what vrun needs to find the processes
 * again. ROOT is $XDG_RUNTIME_DIR/vrun, /run/vrun for root, else
 * /run/user/UID/vrun or /tmp/vrun-UID; always 0700 and the caller's own.
 *
 * The monitor writes the file without a name, locks it (flock(2)) and then
 * links it: it appears whole and locked. It removes it before it reaps the
 * container. So while a record is there and locked its pid cannot have passed
 * to another process; without the lock its monitor is dead, and whoever sees
 * it may remove it.
 *
 * A container of "vrun create" is kept: its record stays until "vrun delete",
 * so the lock says nothing about its pid. The start time tells that pid from a
 * later one. What else it has lies in ROOT/ID.d (kept.h).
 */
#ifndef VRUN_RUN_STATE_H
#define VRUN_RUN_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "model/json.h"

#define STATE_ID_MAX 128

/* As the runtime spec names them, and "paused" as runc does. */
enum state_status { STATE_CREATING, STATE_CREATED, STATE_RUNNING, STATE_PAUSED, STATE_STOPPED };

struct state_record {
	char id[STATE_ID_MAX + 1];
	pid_t pid, monitor;  /* of the container's first process; of the monitor */
	const char *bundle;  /* borrowed, or in doc for a loaded record */
	const char *program; /* args[0] */
	const char *net;     /* "none", "loopback", "rules" */
	const char *fabric;  /* or NULL */
	const char *supervisor; /* its socket in the state directory; "" or NULL: there is none */
	const char *gateway;    /* the name of its gateway's control socket (kern/control.h); "" or NULL */
	int64_t created;     /* seconds since the epoch */
	bool kept;           /* until it is deleted */
	uint64_t start_time; /* of the first process, as /proc/PID/stat has it; kept ones only */
	const char *root;    /* its root file system; kept ones only */
	const json_t *annotations; /* an object, or NULL */
	const json_t *cgroup; /* as cgroup_save() wrote it; NULL: none */
	/* What "vrun exec" has to know of one that is not kept, which has no files. Policy NULL: not told. */
	const json_t *policy, *ceiling;
	const char *config; /* text of its config.json; NULL: a command of this host */
	const char *cwd;    /* of such a command */
	bool host_users;
	/* Of a loaded record: */
	bool running;   /* its first process lives */
	bool monitored; /* its monitor lives */
	bool started;   /* its program has been executed; not said of kept ones */
	int fd;
	struct json_doc doc;
};

/* -EINVAL unless 1 to STATE_ID_MAX of [A-Za-z0-9_.+-], not starting with '.' or '-'. */
int state_check_id(const char *id, struct err *e);
/* A fresh id "vrun-" and 10 hexadecimal digits. */
void state_make_id(char id[static STATE_ID_MAX + 1]);

/* Path of the root directory when --root names none, not made or checked. Caller frees; NULL: no memory. */
char *state_default_root(void);

/* Path of the root directory, made and checked. Caller frees. `override` is --root or NULL. */
int state_root(const char *override, char **ret_path, struct err *e);

/* Makes the directories above --root, for an engine: containerd names one below a directory that it leaves
 * to the runtime. */
void state_make_parents(const char *override);

/*
 * Publishes a record. *ret_lock keeps it alive: close it, or end, after
 * state_remove(). -EEXIST when a container of that name runs; what a dead
 * monitor left is replaced.
 */
int state_publish(int root_fd, const struct state_record *r, int *ret_lock, struct err *e);
/* Marks it: the program has been executed. */
void state_set_started(int lock);
/* Removes a record. One that is not there is no error. */
int state_remove(int root_fd, const char *id);
/* Removes a record whose monitor is dead; one of a living container stays. */
void state_remove_dead(int root_fd, const char *id);

/* Reads one record; state_record_fini() afterwards. -ENOENT when there is none. */
int state_load(int root_fd, const char *id, struct state_record *ret, struct err *e);
void state_record_fini(struct state_record *r);
/* Whether the record that was loaded is still the one of that name. */
bool state_is_current(int root_fd, const struct state_record *r);
/*
 * The lock of a kept record whose monitor has ended, for whoever removes it.
 * Waits at most `timeout_ms` for its monitor or another who removes it; -EAGAIN then.
 */
int state_lock(const struct state_record *r, unsigned timeout_ms);
/* A pidfd of a loaded record's container, or -ESRCH when it has ended. */
int state_open_process(const struct state_record *r);

/* Calls each for every container that runs or is kept, in order of id; stops at its first non-zero
 * result, which is returned. Other records of dead monitors are removed. */
int state_each(int root_fd, int (*each)(const struct state_record *r, void *arg), void *arg,
	       struct err *e);

#endif
