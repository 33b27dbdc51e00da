/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one ELF file says about itself, read as the dynamic loader reads it:
 * from program headers, never from section headers, which strip(1) and hostile
 * files may lack or forge. (Only the advisory `imports` come from sections.)
 * Over libelf; elf(5), the gABI, and the x86-64 psABI for the property notes.
 */
#ifndef VRUN_PACK_ELFFILE_H
#define VRUN_PACK_ELFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct elffile {
	unsigned char elf_class; /* ELFCLASS32, ELFCLASS64 */
	uint16_t machine;        /* EM_* */
	uint16_t type;           /* ET_* */
	bool dynamic;            /* has PT_DYNAMIC */
	bool no_default_dirs;    /* DF_1_NODEFLIB */
	bool is_go;              /* made by the Go linker */
	const char *interp;      /* PT_INTERP or NULL */
	const char *soname;      /* these are NULL when absent */
	const char *rpath;       /* NULL also when runpath is there: the loader ignores it then */
	const char *runpath;
	const char **needed;
	size_t n_needed;
	bool has_kernel;    /* NT_GNU_ABI_TAG for Linux */
	uint32_t kernel[3]; /* oldest kernel it runs on */
	uint32_t isa_needed; /* GNU_PROPERTY_X86_ISA_1_NEEDED; 0: none stated */
};

/*
 * Reads a regular file's headers. Strings live in the arena. `name` is for
 * messages only. -ENOEXEC when it is no ELF file at all (no message needed:
 * most files are none), -EINVAL when it is a broken one.
 */
int elffile_read(struct elffile *f, struct arena *arena, int fd, const char *name, struct err *e);

/* As above from memory, which is not written to. */
int elffile_parse(struct elffile *f, struct arena *arena, const void *data, size_t len,
		  const char *name, struct err *e);

/*
 * Calls `seen` with the name of each symbol that the file imports (undefined
 * entries of .dynsym). Advisory: a file without section headers has none.
 */
int elffile_imports(int fd, void (*seen)(void *ctx, const char *symbol), void *ctx);

/* "x86_64", "aarch64", "i386" ... as uname(2) calls it; "unknown" for others. */
const char *elffile_arch(uint16_t machine, unsigned char elf_class);

/* Whether a file can be loaded into a process of another: same class and machine. */
bool elffile_compatible(const struct elffile *a, const struct elffile *b);

#endif
