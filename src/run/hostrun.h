/* SPDX-License-Identifier: Apache-2.0 */
/* `vrun run -- CMD`: a bundle made of the host itself, for one command. */
#ifndef VRUN_RUN_HOSTRUN_H
#define VRUN_RUN_HOSTRUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/bundle.h"

enum hostrun_cwd { HOSTRUN_CWD_RW, HOSTRUN_CWD_RO, HOSTRUN_CWD_NONE };

struct hostrun_path {
	const char *path;
	bool writable;
};

struct hostrun_options {
	char *const *argv; /* command and arguments, NULL-terminated */
	enum hostrun_cwd cwd;
	const struct hostrun_path *paths; /* --ro and --rw, in the order given */
	size_t n_paths;
	const char *const *env; /* --env: "KEY=VALUE", or "KEY" to pass the caller's on */
	size_t n_env;
	bool terminal;
	const char *state_root;
};

/* Fills a bundle; bundle_fini() afterwards. Reads the caller's environment, ids, umask and directory. */
int hostrun_bundle(struct bundle *ret, const struct hostrun_options *o, struct err *e);

#endif
