/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to supervisors (sup/query.h), and which supervisor to ask. */
#ifndef VRUN_CLI_ASK_H
#define VRUN_CLI_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct ask_target {
	char *path;   /* owned; of its socket */
	char *fabric; /* owned; its name, NULL: it serves one run, or is not vrun run's */
};

struct ask_targets {
	struct ask_target *v; /* owned */
	size_t n;
};

/* Which are meant; at most one of them is not NULL, and with none of them all that the caller's runs have. */
struct ask_whom {
	const char *root;   /* --root */
	const char *id;     /* a run */
	const char *fabric; /* a name */
	const char *path;   /* of a socket */
};

/* Empty when the run has no supervisor. -ENOENT: there is no such run or fabric. ask_targets_fini() afterwards. */
int ask_whom(const struct ask_whom *w, struct ask_targets *ret, struct err *e);
void ask_targets_fini(struct ask_targets *s);

/*
 * Asks one supervisor and calls back for each object of its answer but the
 * last, which is not told: {"end"} is 0; {"lost"} and {"error"} are errors, as
 * an answer that stops is. `each` returns 0 to go on; anything else is
 * returned. One that does not answer in time is waited for with `follow` only.
 */
int ask_each(const char *path, const char *query, const char *id, bool follow,
	     int (*each)(void *ctx, json_t *o), void *ctx, struct err *e);

/* The same with a question of several members, which is taken. */
int ask_question(const char *path, json_t *question, bool follow, int (*each)(void *ctx, json_t *o), void *ctx,
		 struct err *e);

/* Connects a socket to a supervisor's path, which may be longer than an address has room for. */
int ask_connect(int fd, const char *path, struct err *e);

/* A member as a string or number; "" or 0 when it is not there. */
const char *ask_string(const json_t *o, const char *key);
long long ask_int(const json_t *o, const char *key);

#endif
