/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is freed all at once: what is read from one configuration file
 * lives and dies together. Allocations are zeroed and aligned for any type.
 * Every function returns NULL when memory runs out.
 */
#ifndef VRUN_BASE_ARENA_H
#define VRUN_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *head; /* a zeroed struct arena is empty and ready */
};

void *arena_alloc(struct arena *a, size_t size);
/* n elements of the given size; NULL also when the product overflows. n may be 0. */
void *arena_array(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_fini(struct arena *a);

#endif
