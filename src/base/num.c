/* SPDX-License-Identifier: Apache-2.0 */
#include "base/num.h"

#include <errno.h>
#include <string.h>

static int digits(const char **text, unsigned base, uint64_t *ret)
{
	const char *p = *text;
	uint64_t v = 0;

	if (*p < '0' || *p >= (char)('0' + base))
		return -EINVAL;
	for (; *p >= '0' && *p < (char)('0' + base); p++) {
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	}
	*text = p;
	*ret = v;
	return 0;
}

int num_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t v;
	int rc = digits(&text, 10, &v);

	if (rc < 0)
		return rc;
	if (*text)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int num_parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
	int neg = *text == '-';
	uint64_t v;
	int64_t s;
	int rc;

	text += neg;
	rc = digits(&text, 10, &v);
	if (rc < 0)
		return rc;
	if (*text)
		return -EINVAL;
	if (v > (uint64_t)INT64_MAX + (neg ? 1U : 0U))
		return -ERANGE;
	s = neg ? (int64_t)(0 - v) : (int64_t)v;
	if (s < min || s > max)
		return -ERANGE;
	*ret_value = s;
	return 0;
}

int num_parse_octal(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t v;
	int rc = digits(&text, 8, &v);

	if (rc < 0)
		return rc;
	if (*text)
		return -EINVAL;
	if (v > max)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int num_parse_size(const char *text, uint64_t max, uint64_t *ret_bytes)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "K", 1ULL << 10 },
		{ "KiB", 1ULL << 10 },
		{ "M", 1ULL << 20 },
		{ "MiB", 1ULL << 20 },
		{ "G", 1ULL << 30 },
		{ "GiB", 1ULL << 30 },
		{ "T", 1ULL << 40 },
		{ "TiB", 1ULL << 40 },
		{ "kB", 1000ULL },
		{ "KB", 1000ULL },
		{ "MB", 1000000ULL },
		{ "GB", 1000000000ULL },
		{ "TB", 1000000000000ULL },
	};
	uint64_t v;
	int rc = digits(&text, 10, &v);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (strcmp(text, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(v, units[i].factor, &v) || v > max)
			return -ERANGE;
		*ret_bytes = v;
		return 0;
	}
	return -EINVAL;
}
