/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container of "vrun create" has beside its record, until it is
 * deleted: the directory ROOT/ID.d with
 *
 *   config.json   the configuration it was made with
 *   policy.json   and ceiling.json, when there is one: what it may reach
 *   start         the socket at which its monitor waits for "vrun start"
 *   running       that socket, renamed when the app has been executed
 *
 * The monitor makes the directory after the record, which decides between two
 * containers of one name; who deletes removes it before the record.
 */
#ifndef VRUN_RUN_KEPT_H
#define VRUN_RUN_KEPT_H

#include "base/err.h"
#include "run/state.h"

struct kept_files {
	const char *config, *policy;
	const char *ceiling; /* NULL: none */
};

/* Makes the directory with these files. *ret_dir is its descriptor. */
int kept_make(int root_fd, const char *id, const struct kept_files *files, int *ret_dir, struct err *e);
/* The path of the policy's file, or of the ceiling's, if there is such; the caller frees it. */
char *kept_policy(const char *root, const char *id, bool ceiling);

/* The monitor's socket, at which one byte asks for the start. */
int kept_listen(int dir, int *ret_listener, struct err *e);
/* The app has been executed. */
int kept_set_running(int dir, struct err *e);

/* A connection to the monitor of a created container; -ECONNREFUSED or -ENOENT: nobody waits any more. */
int kept_connect(int root_fd, const char *id);

/* The configuration a kept container was made with. json_doc_fini() afterwards. */
int kept_config(int root_fd, const char *id, struct json_doc *ret, struct err *e);

/* Removes the directory; one that is not there is no error. */
int kept_remove(int root_fd, const char *id, struct err *e);

/* What the runtime spec calls the container's status, also for one that is not kept. */
enum state_status kept_status(int root_fd, const struct state_record *r);
const char *kept_status_name(enum state_status s);

#endif
