/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program is likely to ask for, judged by the functions that it
 * imports: a hint for whoever writes its policy, no promise. A static program
 * imports nothing and so tells nothing.
 */
#ifndef VRUN_PACK_NEEDS_H
#define VRUN_PACK_NEEDS_H

#include <stdbool.h>
#include <stdint.h>

struct needs {
	bool known; /* any import was seen */
	bool connects, listens, resolves, spawns, loads;
	uint64_t caps; /* by number; only if it runs as root and takes these branches */
};

/* Adds what one imported symbol tells. */
void needs_symbol(struct needs *n, const char *symbol);

#endif
