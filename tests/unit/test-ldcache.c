/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "pack/ldcache.h"
#include "tap.h"

static void test_compare(void)
{
	TAP_OK(ldcache_compare("libfoo.so.9", "libfoo.so.10") < 0, "numbers as numbers");
	TAP_OK(ldcache_compare("libfoo.so.10", "libfoo.so.9") > 0, "and the other way round");
	TAP_INT(ldcache_compare("a1b", "a1b"), 0, "equal");
	TAP_OK(ldcache_compare("a", "a1") < 0, "shorter first");
	TAP_OK(ldcache_compare("a1", "ab") > 0, "a digit comes after a letter");
	TAP_INT(ldcache_compare("a01", "a1"), 0, "leading zeros do not count");
}

static void test_round_trip(void)
{
	static const struct ldcache_entry in[] = {
		{ "libb.so.1", "/opt/b/libb.so.1", LDCACHE_X86_64, "" },
		{ "liba.so.10", "/opt/a/liba.so.10", LDCACHE_X86_64, "" },
		{ "liba.so.9", "/opt/a/liba.so.9", LDCACHE_AARCH64, "" },
	};
	struct ldcache_entry got;
	AUTO_FREE void *data = NULL;
	struct err e = { 0 };
	struct ldcache c;
	size_t len = 0;

	TAP_INT(ldcache_write(in, 3, &data, &len), 0, "write");
	TAP_INT(ldcache_parse(&c, data, len, &e), 0, "read what was written");
	TAP_INT(c.n, 3, "three entries");
	TAP_OK(ldcache_entry(&c, 0, &got), "the first");
	TAP_STR(got.soname, "libb.so.1", "is the largest name");
	TAP_OK(ldcache_entry(&c, 1, &got), "the second");
	TAP_STR(got.soname, "liba.so.10", "is the larger number");
	TAP_STR(got.path, "/opt/a/liba.so.10", "with its path");
	TAP_INT(got.flags, LDCACHE_X86_64, "and its kind");
	TAP_OK(ldcache_entry(&c, 2, &got), "the third");
	TAP_INT(got.flags, LDCACHE_AARCH64, "has another kind");
	TAP_OK(!ldcache_entry(&c, 3, &got), "there is no fourth");
	for (size_t cut = 0; cut < len; cut++) {
		char *part = malloc(cut + 1);

		if (part && cut > 0)
			memcpy(part, data, cut);
		if (part && ldcache_parse(&c, part, cut, &e) == 0)
			for (uint32_t i = 0; i < c.n; i++)
				(void)ldcache_entry(&c, i, &got);
		free(part);
	}
	TAP_OK(true, "a file cut off anywhere is survived");
}

static void test_hostile(void)
{
	static const char *const not[] = { "", "glibc-ld.so.cache1.1", "ld.so-1.7.0", "ELF" };
	char huge[64] = "glibc-ld.so.cache1.1";
	struct ldcache c;
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof not / sizeof *not; i++)
		TAP_INT(ldcache_parse(&c, not[i], strlen(not[i]), &e), -EINVAL, "\"%s\" is none", not[i]);
	memset(huge + 20, 0xff, 4);
	TAP_INT(ldcache_parse(&c, huge, sizeof huge, &e), -EINVAL, "more entries than bytes");
	huge[28] = 3;
	memset(huge + 20, 0, 4);
	TAP_INT(ldcache_parse(&c, huge, sizeof huge, &e), -EINVAL, "the other byte order");
}

/* This machine's own cache: what it says is a library exists, mostly. */
static void test_own(void)
{
	AUTO_FREE char *data = NULL;
	struct ldcache_entry got;
	struct err e = { 0 };
	unsigned there = 0, all = 0;
	struct ldcache c;
	size_t len;

	if (fd_read_file(AT_FDCWD, "/etc/ld.so.cache", 64U << 20, &data, &len, &e) < 0) {
		TAP_OK(true, "this machine's cache # SKIP there is none");
		return;
	}
	TAP_INT(ldcache_parse(&c, data, len, &e), 0, "this machine's cache");
	for (uint32_t i = 0; i < c.n; i++) {
		if (!ldcache_entry(&c, i, &got))
			continue;
		all++;
		there += access(got.path, F_OK) == 0;
	}
	TAP_OK(all > 0 && there * 2 > all, "%u of its %u entries exist", there, all);
}

int main(void)
{
	TAP_INT(ldcache_kind(EM_X86_64, ELFCLASS64), LDCACHE_X86_64, "kind of x86-64");
	TAP_INT(ldcache_kind(EM_AARCH64, ELFCLASS64), LDCACHE_AARCH64, "kind of aarch64");
	test_compare();
	test_round_trip();
	test_hostile();
	test_own();
	return tap_done();
}
