/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ELF file: refused with a reason, or read into strings that end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pack/elffile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct elffile f;
	struct err e = { 0 };
	int rc = elffile_parse(&f, &arena, data, size, "input", &e);
	size_t sum = 0;

	if (rc == 0) {
		for (size_t i = 0; i < f.n_needed; i++)
			sum += strlen(f.needed[i]);
		sum += f.interp ? strlen(f.interp) : 0;
		sum += f.soname ? strlen(f.soname) : 0;
		sum += f.rpath ? strlen(f.rpath) : 0;
		sum += f.runpath ? strlen(f.runpath) : 0;
		if (sum > size * (f.n_needed + 4) || !elffile_arch(f.machine, f.elf_class))
			abort();
	} else if (rc != -ENOEXEC && rc != -EINVAL && rc != -ENOMEM) {
		abort();
	}
	arena_fini(&arena);
	return 0;
}
