/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/pyc.h"

#include <stdio.h>
#include <string.h>

#define HEADER 16U /* magic, flags, time, size; little-endian words */

bool pyc_source(const char *path, char *ret_source)
{
	static const char cache[] = "/__pycache__/";
	const char *base = strrchr(path, '/'), *dot;
	size_t n = strlen(path), dir;
	int len;

	if (!base || n < 4 || strcmp(path + n - 4, ".pyc") != 0)
		return false;
	dir = (size_t)(base - path) + 1;
	if (dir < sizeof cache - 1 || strncmp(path + dir - (sizeof cache - 1), cache, sizeof cache - 1) != 0)
		return false;
	base++;
	dot = strchr(base, '.');
	if (!dot || dot == base || strcmp(dot, ".pyc") == 0)
		return false;
	/* A module's name has no dot: the rest is the tag. */
	len = snprintf(ret_source, PATH_MAX, "%.*s/%.*s.py", (int)(dir - (sizeof cache - 1)), path,
		       (int)(dot - base), base);
	return len > 0 && len < PATH_MAX;
}

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool pyc_retime(unsigned char *data, size_t len, time_t source_mtime, uint64_t source_size, time_t when)
{
	/* Flags 0: checked by time. Others are checked by hash or not at all. */
	if (len < HEADER || get32(data + 4) != 0 || get32(data + 8) != (uint32_t)source_mtime ||
	    get32(data + 12) != (uint32_t)source_size)
		return false;
	for (unsigned i = 0; i < 4; i++)
		data[8 + i] = (unsigned char)((uint64_t)when >> 8 * i);
	return true;
}
