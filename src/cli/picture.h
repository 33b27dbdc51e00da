/* SPDX-License-Identifier: Apache-2.0 */
/* What "vrun graph" draws: its data, gathered from policies, sockets and audit records, and its formats. */
#ifndef VRUN_CLI_PICTURE_H
#define VRUN_CLI_PICTURE_H

#include <jansson.h>
#include <stdio.h>

#include "cli/running.h"
#include "model/graph.h"

struct picture {
	const char *title;
	struct running running;  /* of a sandbox that runs */
	struct policy *policies; /* owned; of files */
	const struct policy **list; /* owned */
	size_t n_policies;
	struct fabric fabric;
	json_t *sockets, *records; /* owned; arrays */
	struct graph graph;
};

#define PICTURE_ROWS_MAX 5000 /* sockets and records that are shown; the last ones */

/* Each leaves picture_fini() to the caller, also after a failure. */
int picture_of_run(struct picture *p, const struct ask_whom *whom, struct err *e);
int picture_of_files(struct picture *p, char *const *paths, size_t n, struct err *e);
/* More records from a file of "vrun log --json". "-": standard input. */
int picture_add_log(struct picture *p, const char *path, struct err *e);
/* When all is there. */
int picture_draw(struct picture *p, struct err *e);
void picture_fini(struct picture *p);

/* The graph by Graphviz as SVG, from "<svg" on. The caller frees. -ENOENT: dot is not installed. */
int picture_svg(const struct picture *p, char **ret_svg, struct err *e);
/* One page with everything. */
void picture_write_html(const struct picture *p, const char *svg, FILE *f);

#endif
