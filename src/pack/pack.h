/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of `vrun pack`: what is known so far. pack_run() goes through the
 * phases; collect_*.c decide what goes in, describe.c says what was decided.
 */
#ifndef VRUN_PACK_PACK_H
#define VRUN_PACK_PACK_H

#include <time.h>

#include "pack/accounts.h"
#include "pack/copy.h"
#include "pack/dpkg.h"
#include "pack/host.h"
#include "pack/libs.h"
#include "pack/needs.h"
#include "pack/notes.h"
#include "pack/options.h"
#include "pack/place.h"
#include "pack/program.h"
#include "pack/progress.h"
#include "pack/staging.h"
#include "pack/tree.h"

/* One --data directory. */
struct pack_data {
	const char *from; /* real path on the host */
	const char *dest; /* real path in the bundle */
	struct tree tree; /* its content, "/" being the directory itself */
	struct node **sorted;
};

/* One --add, resolved, for the manifest. */
struct pack_move {
	const char *from, *to;
};

/* A package whose files were taken. */
struct pack_package {
	const struct dpkg_package *pkg;
	bool whole; /* all of them; otherwise modules and data only */
};

struct pack {
	const struct pack_options *o;
	struct arena arena;
	struct host host;
	struct notes notes;
	struct progress progress;
	struct staging staging;
	struct tree tree;
	struct place place;
	struct program program;
	struct libs libs;
	bool has_libs;
	struct accounts accounts;
	struct dpkg dpkg; /* empty when the host has no such database */
	struct pack_package *packages;
	size_t n_packages;
	struct pack_strings service_dirs; /* real paths that a service manager would have prepared */
	const char *service_user;         /* whom its unit runs it as, or NULL */
	struct pack_data *data;
	size_t n_data;
	struct pack_move *moves;
	size_t n_moves;
	/* the process to be */
	uid_t uid;
	gid_t gid;
	const char *cwd, *name;
	struct pack_strings args, env, tmpfs;
	bool own_tmp; /* something was packed below /tmp */
	struct needs needs;
	time_t when;
	struct node **sorted;
	struct copy copied;
};

/*
 * Makes the bundle. Notes for the caller are in p->notes, also on failure. The
 * caller calls pack_fini() in any case. Errors: as the phases say; nothing is
 * left of the bundle then.
 */
int pack_run(struct pack *p, const struct pack_options *o, struct err *e);
void pack_fini(struct pack *p);

/* collect.c: each adds to p->tree. */
int collect_adds(struct pack *p, struct err *e);
int collect_data(struct pack *p, struct err *e);
int collect_program(struct pack *p, struct err *e);
/* Every ELF file that is in the tree, for whatever reason, brings its libraries; may be called again. */
int collect_closure(struct pack *p, struct err *e);
int collect_libraries(struct pack *p, struct err *e);
int collect_skeleton(struct pack *p, struct err *e);

/* collect_system.c: what any program may ask the system for. */
int collect_system(struct pack *p, struct err *e);

/* collect_packages.c: what Debian's package database says belongs to the program. */
int collect_packages(struct pack *p, struct err *e);

/* Notes a directory that the service manager would prepare: memory is mounted there with --read-only. */
int service_dirs_add(struct pack *p, const char *path, struct err *e);

/* collect_runtime.c: the modules of an interpreter. */
int collect_runtime(struct pack *p, struct err *e);

/* Whether a file is one of the interpreters that the table knows, by its path. */
bool runtime_known(const char *real);

/* collect_trace.c: with --trace, what a trial run used. */
int collect_trace(struct pack *p, struct err *e);

/* process.c: arguments, environment, working directory, user. */
int process_decide(struct pack *p, struct err *e);

/* describe.c: writes config.json, policy.json and manifest.json into the staging directory. */
int describe_write(struct pack *p, struct err *e);

#endif
