/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a bundle's config.json (OCI runtime spec 1.2) and its first policy.json. */
#ifndef VRUN_PACK_OCICONFIG_H
#define VRUN_PACK_OCICONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct ociconfig {
	const char **args, **env;
	size_t n_args, n_env;
	const char *cwd;
	uid_t uid;
	gid_t gid;
	uint64_t caps; /* kept, by number */
	const char *name;      /* host name and domain */
	bool read_only;        /* no overlay: the root cannot be written to */
	bool own_tmp;          /* the bundle's /tmp holds something: nothing is mounted there */
	const char **data_dest; /* data/I of the bundle lies at data_dest[I] */
	size_t n_data;
	const char **tmpfs; /* further empty directories in memory */
	size_t n_tmpfs;
};

/* The documents as text, ending in a newline; the caller frees. -ENOMEM, or -EINVAL for text that is not UTF-8. */
int ociconfig_write(const struct ociconfig *c, char **ret_text, struct err *e);
int ociconfig_write_policy(const struct ociconfig *c, char **ret_text, struct err *e);

/*
 * Turns a file name into a name that a host and a domain may have: lower-case
 * letters, digits and hyphens, at most 63. Into buf of 64 bytes; "app" when
 * nothing is left. Returns buf.
 */
const char *ociconfig_name(const char *file, char *buf);

/* "CAP_KILL" for a capability's number, as a new JSON string; NULL for a number without a name. */
json_t *ociconfig_cap(int cap);

/* Whether text is such a name. */
bool ociconfig_name_ok(const char *text);

/* Directories that the launcher will mount something on. NULL-terminated. */
extern const char *const ociconfig_mount_points[];

#endif
