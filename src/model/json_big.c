/* SPDX-License-Identifier: Apache-2.0 */
#include "model/json_big.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"

#define BIG_LEN_MIN 19U /* digits of 2^63 */
#define BIG_LEN_MAX 20U /* digits of 2^64 - 1 */

/* The next run of a number's characters outside of strings, or NULL. */
static char *next_number(char *p, size_t *ret_len)
{
	while (*p) {
		size_t n = strspn(p, "0123456789+-.eE");

		if (n > 1 || (n == 1 && *p >= '0' && *p <= '9')) {
			*ret_len = n;
			return p;
		}
		p += n;
		if (n > 0 || *p++ != '"')
			continue;
		while (*p && *p != '"')
			p += (*p == '\\' && p[1]) ? 2 : 1;
		p += *p == '"';
	}
	return NULL;
}

static bool is_big(const char *number, size_t len, uint64_t *ret)
{
	char digits[BIG_LEN_MAX + 1];

	if (len < BIG_LEN_MIN || len > BIG_LEN_MAX || number[0] == '0')
		return false;
	memcpy(digits, number, len);
	digits[len] = '\0';
	return num_parse_u64(digits, (uint64_t)INT64_MAX + 1, UINT64_MAX, ret) == 0;
}

/* A negative integer of the text's own that would be taken for a stand-in. */
static bool is_stand_in(const char *number, size_t len, size_t n)
{
	char digits[BIG_LEN_MIN + 1];
	int64_t v;

	if (len != BIG_LEN_MIN)
		return false;
	memcpy(digits, number, len);
	digits[len] = '\0';
	return num_parse_i64(digits, JSON_BIG_FIRST - (int64_t)n + 1, JSON_BIG_FIRST, &v) == 0;
}

int json_big_replace(char *text, uint64_t **ret_values, size_t *ret_n)
{
	AUTO_FREE uint64_t *values = NULL;
	char stand_in[BIG_LEN_MAX + 1];
	size_t n = 0, at = 0, len = 0;
	uint64_t v;

	for (char *p = text; (p = next_number(p, &len)) != NULL; p += len)
		n += is_big(p, len, &v);
	if (n == 0)
		return 0;
	values = calloc(n, sizeof *values);
	if (!values)
		return -ENOMEM;
	for (char *p = text; (p = next_number(p, &len)) != NULL; p += len) {
		if (is_stand_in(p, len, n))
			return -EINVAL;
		if (!is_big(p, len, &values[at]))
			continue;
		(void)snprintf(stand_in, sizeof stand_in, "%*lld", (int)len,
			       JSON_BIG_FIRST - (long long)at);
		memcpy(p, stand_in, len);
		at++;
	}
	*ret_values = mem_take(&values);
	*ret_n = n;
	return 1;
}
