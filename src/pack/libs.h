/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which libraries a program gets, found as its dynamic loader would find them
 * but without running anything: DT_RPATH along the chain of loaders,
 * LD_LIBRARY_PATH, DT_RUNPATH, ld.so.cache, the built-in directories, with
 * $ORIGIN, $LIB, $PLATFORM and the glibc-hwcaps subdirectories. ld.so(8).
 *
 * Besides the program itself, two kinds of file are asked about: plug-ins,
 * which the program will dlopen(3) and whose libraries may be ones that it has
 * already, and further executables, each a process of its own.
 */
#ifndef VRUN_PACK_LIBS_H
#define VRUN_PACK_LIBS_H

#include <sys/types.h>

#include "pack/elffile.h"
#include "pack/host.h"
#include "pack/loader.h"

enum lib_how {
	LIB_SELF,     /* the file that was asked about */
	LIB_INTERP,   /* PT_INTERP */
	LIB_LITERAL,  /* the name has a slash */
	LIB_RPATH,
	LIB_ENV,      /* LD_LIBRARY_PATH */
	LIB_RUNPATH,
	LIB_CACHE,    /* /etc/ld.so.cache */
	LIB_DEFAULT,  /* a built-in directory */
	LIB_HOW_MAX
};

/* A further path under which a file is opened. */
struct lib_alias {
	const char *path;
	struct lib_alias *next;
};

struct lib {
	const char *name;        /* what was asked for */
	const char *path;        /* what the loader would open */
	const char *real;        /* without symlinks */
	enum lib_how how;
	const struct lib *loader; /* which file asked first; NULL for LIB_SELF */
	struct elffile elf;
	dev_t dev;
	ino_t ino;
	struct lib_alias *aliases; /* other paths by which it was found */
};

/* What was asked for and is not there. */
struct lib_missing {
	const char *name;
	const struct lib *by;
	struct lib_missing *next;
};

struct lib_memo;

/* What one process has loaded, in the loader's order (breadth first). */
struct lib_set {
	struct lib **v;
	size_t n, cap;
};

struct libs {
	const struct host *host;
	struct arena arena;
	const char *library_path; /* LD_LIBRARY_PATH or NULL */
	struct loader loader;
	struct lib_set program; /* the program first */
	struct lib_set all;     /* each file once, the program and plug-ins among them */
	struct lib_missing *missing; /* of plug-ins and further executables */
	struct lib_memo *memo;
};

/* "rpath", "cache", ...; never NULL. */
const char *lib_how_name(enum lib_how how);

/*
 * Reads the program at a real path and everything that it links. library_path
 * (may be NULL) is what LD_LIBRARY_PATH will be for it; it must outlive *l.
 * Errors: -ENOEXEC when it is no ELF file, -ENOENT when a library is missing,
 * -EINVAL for a damaged file. On success the caller calls libs_fini().
 */
int libs_open(struct libs *l, const struct host *h, const char *real, const char *library_path,
	      struct err *e);
void libs_fini(struct libs *l);

/*
 * Adds one more file by its real path and what it links. Anything that is not
 * ELF, or for another machine, is passed over; what is missing joins
 * l->missing; -EINVAL for a damaged file.
 */
int libs_add(struct libs *l, const char *real, struct err *e);

/* Looks a library up as dlopen(3) in the program would, and adds it. 1 when found, 0 when not. */
int libs_dlopen(struct libs *l, const char *name, struct err *e);

/* Whether a library is among all that was loaded, by the start of its file name ("libssl.so."). */
bool libs_has(const struct libs *l, const char *prefix);

#endif
