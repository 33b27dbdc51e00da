/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers above INT64_MAX, which jansson refuses; private to json.c.
 *
 * RLIM_INFINITY and seccomp's masks are such numbers. Each is written over, in
 * a copy of the text, with a negative number that is never longer: the n-th
 * becomes JSON_BIG_FIRST - n, and its value the n-th of a table. So neither
 * reading a number nor refusing one has to look at the text again.
 */
#ifndef VRUN_MODEL_JSON_BIG_H
#define VRUN_MODEL_JSON_BIG_H

#include <stddef.h>
#include <stdint.h>

#define JSON_BIG_FIRST (-900000000000000000LL) /* 19 characters, as the shortest of those numbers */

/*
 * Replaces them in a terminated text. *ret_values is the caller's to free. 1
 * when there was any, 0 when not, -EINVAL when the text has a number of its own
 * among the stand-ins, -ENOMEM.
 */
int json_big_replace(char *text, uint64_t **ret_values, size_t *ret_n);

#endif
