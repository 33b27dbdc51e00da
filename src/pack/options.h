/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `vrun pack`. */
#ifndef VRUN_PACK_OPTIONS_H
#define VRUN_PACK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"

/* PATH[:DEST] as given; to is NULL when there is no DEST. */
struct pack_mapping {
	const char *from, *to;
};

struct pack_strings {
	const char **v;
	size_t n;
};

struct pack_options {
	struct arena arena; /* owns the arrays; strings are the command line's */
	const char *bundle;
	const char *program;
	struct pack_strings args; /* after the program */
	struct pack_mapping *adds, *data;
	size_t n_adds, n_data;
	struct pack_strings env, packages, writable;
	uint64_t caps;      /* --cap, as a mask by number */
	const char *user;   /* --user, NULL: 0:0 */
	const char *cwd;    /* --cwd or NULL */
	const char *name;   /* --name or NULL */
	const char *root;   /* --root or "/" */
	bool no_packages, read_only, force, quiet, trace;
	uint64_t trace_seconds;
};

/*
 * Parses argv (argv[0] is the verb). 0, -EINVAL with a message, or 1 when
 * --help was asked for. On 0 the caller calls pack_options_fini().
 */
int pack_options_parse(struct pack_options *o, int argc, char **argv, struct err *e);
void pack_options_fini(struct pack_options *o);
void pack_options_help(FILE *out);

/*
 * Splits PATH[:DEST] in place at the last ":/", so that a path may have colons
 * of its own. -EINVAL when a part is empty.
 */
int pack_options_split(char *text, struct pack_mapping *ret);

/* A capability by name, with or without "CAP_", in any case. Its number, or -1. */
int pack_options_cap(const char *name);

#endif
