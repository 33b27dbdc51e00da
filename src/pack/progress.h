/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line on the terminal that says how far packing is. Nothing is written
 * when standard error is no terminal, and at most ten times a second otherwise.
 */
#ifndef VRUN_PACK_PROGRESS_H
#define VRUN_PACK_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;
	bool shown;          /* a line stands on the terminal */
	const char *phase;   /* literal */
	uint64_t done, total; /* bytes; total 0: unknown */
	uint64_t items;
	int64_t next_ns; /* monotonic; not before this */
};

void progress_init(struct progress *p, bool quiet);
/* Starts a phase ("libraries", "copying", ...). */
void progress_phase(struct progress *p, const char *phase, uint64_t total);
/* Counts on. what: name of the thing under way, may be NULL; quoted here. */
void progress_step(struct progress *p, uint64_t items, uint64_t bytes, const char *what);
/* Takes the line away, before anything else is printed. */
void progress_clear(struct progress *p);

/* "1.5 MB" into a buffer of at least 16 bytes. Returns buf. */
const char *progress_size(uint64_t bytes, char *buf, unsigned size);

#endif
