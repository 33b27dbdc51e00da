/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of libraries that a file mentions without needing them: what it may
 * hand to dlopen(3). Found as strings, so it is a guess, and one that costs
 * little when it is wrong.
 */
#ifndef VRUN_PACK_MENTIONS_H
#define VRUN_PACK_MENTIONS_H

#include <stddef.h>

#define MENTIONS_NAME_MAX 64U /* longer ones are no names of libraries */

/*
 * Calls `seen` for every string of the form "libNAME.so" or "libNAME.so.1.2"
 * that stands by itself between NUL bytes. Stops and passes on what is not 0.
 */
int mentions_scan(const char *data, size_t len, int (*seen)(void *ctx, const char *name), void *ctx);

#endif
