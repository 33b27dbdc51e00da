/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system that is packed from: a directory, usually "/". Everything that
 * packing reads of it goes through here, by absolute paths inside it, so that
 * a system other than the running one can be packed (and tested) as well.
 */
#ifndef VRUN_PACK_HOST_H
#define VRUN_PACK_HOST_H

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"
#include "pack/path.h"

struct host {
	int root_fd;
};

int host_open(struct host *h, const char *root, struct err *e);
void host_close(struct host *h);

/* fstatat(2) without following the last component. `real`'s parents must be real. 0 or -errno. */
int host_lstat(const struct host *h, const char *real, struct stat *ret);

/* A symlink's target into a buffer of PATH_MAX bytes. 0 or -errno. */
int host_readlink(const struct host *h, const char *real, char *ret_target);

/*
 * Opens with O_CLOEXEC | O_NOCTTY | O_NONBLOCK and follows no symlink anywhere
 * in the path, so what was looked at is what is opened or nothing is. The fd or
 * -errno.
 */
int host_openat(const struct host *h, const char *real, int flags);

/* Whether the caller may read a file or list a directory. */
bool host_readable(const struct host *h, const char *real);

/* As realpath(3) inside the host. ret_real has PATH_MAX bytes. */
int host_realpath(const struct host *h, const char *path, char *ret_real, struct err *e);

/* A whole regular file, symlinks followed; the caller frees. Bounded by max, as fd_read_all(). */
int host_read(const struct host *h, const char *path, size_t max, char **ret_data, size_t *ret_len,
	      struct err *e);

/* path_lookup on the host; ctx is a const struct host *. */
int host_lookup(void *ctx, const char *path, struct path_found *ret, struct err *e);

#endif
