/* SPDX-License-Identifier: Apache-2.0 */
/* The outputs of several programs as one: whole lines, each with its program's name in front. */
#ifndef VRUN_CLI_UP_OUTPUT_H
#define VRUN_CLI_UP_OUTPUT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/upfile.h"

#define UP_OUTPUT_MAX ((size_t)2 * UPFILE_BUNDLES_MAX)
#define UP_LINE_MAX 4096 /* longer lines are cut into several */

struct up_stream {
	const char *name; /* borrowed */
	int from;         /* -1: at its end */
	int to;           /* 1 or 2 */
	size_t len;
	char buf[UP_LINE_MAX];
};

struct up_output {
	struct up_stream *v[UP_OUTPUT_MAX]; /* owned */
	size_t n;
	int width; /* of the longest name so far */
};

/* Pipes for a program: ret_ends are its standard output and error, the caller's to close. */
int up_output_open(struct up_output *o, const char *name, int ret_ends[2], struct err *e);
/* Fills poll entries; their number. Then up_output_work() with the same. */
size_t up_output_poll(const struct up_output *o, struct pollfd *p);
void up_output_work(struct up_output *o, const struct pollfd *p, size_t n);
/* What is still there. */
void up_output_finish(struct up_output *o);

#endif
