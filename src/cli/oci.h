/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of an OCI runtime share. */
#ifndef VRUN_CLI_OCI_H
#define VRUN_CLI_OCI_H

#include <getopt.h>
#include <stdbool.h>

#include "base/err.h"
#include "run/kept.h"
#include "run/state.h"

#define EXIT_OCI 1 /* as other runtimes end when they fail */
#define OCI_HELP (-1)

struct cgroup;

/* A container by its id. */
struct oci_target {
	char *root; /* owned; the state directory */
	int dir;    /* its descriptor */
	struct state_record record;
	enum state_status status;
};

/* Finds a container. -ENOENT: there is none. oci_close() afterwards. */
int oci_open(const char *id, struct oci_target *t, struct err *e);
void oci_close(struct oci_target *t);

/* Its cgroup; -ENOTSUP when it has none. cgroup_free() afterwards. */
int oci_cgroup(const struct oci_target *t, struct cgroup **ret, struct err *e);

/* As above without a container: the state directory. */
int oci_root(char **ret_root, int *ret_dir, struct err *e);

/*
 * Options of a command that takes none but --help and --root: 0 with the
 * number of the first argument in optind, OCI_HELP, or an exit code. The
 * number of arguments has to lie within the bounds.
 */
int oci_parse_plain(int argc, char **argv, const char *what, int min, int max);

/* The state as the runtime spec has it, with what other runtimes add. A new reference; NULL: no memory. */
json_t *oci_describe(const struct state_record *r, enum state_status status);

/* Prints a help text; the exit code. */
int oci_help(const char *text);
/* Logs; returns EXIT_OCI. */
int oci_fail(const struct err *e);
/* What getopt_long(3) did not take: an option that another runtime has is refused with the reason. */
int oci_unknown(char **argv);
/* The reason, or NULL. */
const char *oci_refusal(const char *option);
int oci_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints a JSON value with indentation and a newline, and drops it; the exit code. */
int oci_print(json_t *o);

#endif
