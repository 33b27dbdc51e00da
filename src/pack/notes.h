/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What packing has to tell its caller without failing: files left out,
 * libraries that were not found, links that lead nowhere. Collected below, and
 * printed by the entry point, so that a progress line is not torn apart.
 */
#ifndef VRUN_PACK_NOTES_H
#define VRUN_PACK_NOTES_H

#include <stddef.h>

#include "base/arena.h"

struct note {
	const char *text;
	struct note *next;
};

struct notes {
	struct arena arena;
	struct note *first, **last; /* in the order they came */
	size_t n;
};

void notes_init(struct notes *n);
void notes_fini(struct notes *n);

/* Adds a line unless the same line is there. Strings in it from files must be quoted. */
void notes_add(struct notes *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
