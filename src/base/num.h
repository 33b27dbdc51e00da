/* SPDX-License-Identifier: Apache-2.0 */
/* Strict numbers: the whole string or nothing, bounds checked, no sign or space let through. */
#ifndef VRUN_BASE_NUM_H
#define VRUN_BASE_NUM_H

#include <stdint.h>

/* Decimal digits only, min <= value <= max. -EINVAL for anything else, -ERANGE out of bounds. */
int num_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

/* As above with an optional leading '-'. */
int num_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret_value);

/* Octal digits only ("0755" or "755"). */
int num_parse_octal(const char *text, uint64_t max, uint64_t *ret_value);

/*
 * A size in bytes: digits with an optional suffix. K, M, G, T (and KiB ...) are powers of 1024;
 * kB, MB, GB, TB are powers of 1000; B is bytes. "512M", "10MB", "4096".
 */
int num_parse_size(const char *text, uint64_t max, uint64_t *ret_bytes);

#endif
