/* SPDX-License-Identifier: Apache-2.0 */
/* Where a duplicate key is: jansson stops at it and tells the offset, not the path. */
#ifndef VRUN_MODEL_JSON_DUPLICATE_H
#define VRUN_MODEL_JSON_DUPLICATE_H

#include <stddef.h>

/*
 * Path of the object member whose key ends at or before text[pos], like
 * "net.rules[2].to", quoted for a terminal, and the line and
 * column (from 1) of that key.
 * Everything before pos must be well-formed JSON. Levels below 64 are left out.
 */
void json_duplicate_place(const char *text, size_t pos, char *buf, size_t size, size_t *ret_line,
			  size_t *ret_col);

#endif
