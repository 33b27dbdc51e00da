/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the program that is to be packed and the chain of files that the
 * kernel will execute for it: scripts, their interpreters, and at the end an
 * ELF file. execve(2), env(1).
 */
#ifndef VRUN_PACK_PROGRAM_H
#define VRUN_PACK_PROGRAM_H

#include "base/arena.h"
#include "pack/host.h"

#define PROGRAM_STEPS_MAX 12U /* the kernel follows 5 scripts; each may go through env(1) */

/* What a process that is told nothing gets as PATH. */
#define PROGRAM_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct program_step {
	const char *path; /* absolute, as it is called */
	const char *real;
	bool script;
	bool by_name; /* env(1) looks for it in PATH */
};

struct program {
	struct arena arena;
	struct program_step step[PROGRAM_STEPS_MAX]; /* the program first, the ELF file last */
	size_t n;
};

/*
 * Finds `name`: with a slash, from the directory `cwd` (absolute); else in
 * `path`, a colon-separated list (NULL: the default). -ENOENT when it is not
 * there, -EACCES when nobody may execute it, -ENOEXEC when it is neither ELF
 * nor begins with "#!", -ELOOP for too long a chain. On success the caller
 * calls program_fini().
 */
int program_find(struct program *p, const struct host *h, const char *name, const char *cwd,
		 const char *path, struct err *e);
void program_fini(struct program *p);

/*
 * Takes a "#!" line apart as the kernel does. `line` is the start of the file,
 * terminated. Interpreter and its one argument (may be empty) into buffers of
 * PATH_MAX bytes. -ENOEXEC when there is no interpreter.
 */
int program_parse_shebang(const char *line, char *ret_interp, char *ret_arg);

/*
 * What env(1) would execute, given its arguments as one "#!" argument or after
 * -S: options and NAME=VALUE passed over. Into a buffer of PATH_MAX bytes.
 * -ENOEXEC when there is none.
 */
int program_parse_env(const char *arg, char *ret_name);

#endif
