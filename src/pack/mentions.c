/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/mentions.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* "libNAME.so" and then nothing, or versions of digits and dots. */
static bool is_library(const char *s)
{
	const char *so = strstr(s, ".so");

	if (!so || so == s + 3)
		return false;
	for (const char *p = s + 3; p < so; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_+-.", *p))
			return false;
	return so[3] == '\0' || (so[3] == '.' && strspn(so + 3, "0123456789.") == strlen(so + 3));
}

int mentions_scan(const char *data, size_t len, int (*seen)(void *ctx, const char *name), void *ctx)
{
	static const char mark[] = { '\0', 'l', 'i', 'b' };
	const char *p = data, *end = data + len;

	while (p < end && (p = memmem(p, (size_t)(end - p), mark, sizeof mark))) {
		char name[MENTIONS_NAME_MAX];
		size_t n;

		p++;
		n = strnlen(p, (size_t)(end - p));
		if (n < sizeof name && p + n < end) {
			int rc;

			memcpy(name, p, n + 1);
			rc = is_library(name) ? seen(ctx, name) : 0;
			if (rc != 0)
				return rc;
		}
		p += n;
	}
	return 0;
}
