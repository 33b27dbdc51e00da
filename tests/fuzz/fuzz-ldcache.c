/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as /etc/ld.so.cache: refused, or every entry is two strings inside them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pack/ldcache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool inside(const char *s, const uint8_t *data, size_t size)
{
	const uint8_t *p = (const uint8_t *)s;

	return p >= data && p < data + size && memchr(p, '\0', size - (size_t)(p - data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ldcache_entry entry;
	struct err e = { 0 };
	struct ldcache c;

	if (ldcache_parse(&c, data, size, &e) < 0) {
		must(e.num == EINVAL && e.text[0]);
		return 0;
	}
	for (uint32_t i = 0; i < c.n; i++) {
		if (!ldcache_entry(&c, i, &entry))
			continue;
		must(inside(entry.soname, data, size) && inside(entry.path, data, size));
		must(entry.hwcap[0] == '\0' || inside(entry.hwcap, data, size));
		must(ldcache_compare(entry.soname, entry.soname) == 0);
		must((ldcache_compare(entry.soname, entry.path) < 0) ==
		     (ldcache_compare(entry.path, entry.soname) > 0));
	}
	must(!ldcache_entry(&c, c.n, &entry));
	return 0;
}
