/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a root that somebody else filled.
 *
 * A hostile root filesystem aims symbolic links, "..", and /proc magic links
 * at the host. Every look-up here is done by openat2(2) with RESOLVE_IN_ROOT
 * and RESOLVE_NO_MAGICLINKS from a descriptor of the root, so a link is
 * followed as the app would follow it, and what is created is created inside.
 * Callers keep the descriptor they checked and never go back to the string.
 */
#ifndef VRUN_KERN_PATH_H
#define VRUN_KERN_PATH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* openat2() below rootfd; the usual open flags, O_CLOEXEC is added. fd or -errno. */
int path_open(int rootfd, const char *path, int flags);

/*
 * Opens (O_PATH) a directory inside the root, making what is missing with
 * `mode`. 0755 is usual. An existing component that is not a directory is
 * -ENOTDIR. A dangling link on the way is -ENOENT: nothing is made through it.
 */
int path_make_dir(int rootfd, const char *path, mode_t mode, int *ret_fd, struct err *e);

/* Opens (O_PATH) a file, making an empty one and the directories above it when missing. A directory
 * at that place is -EISDIR. */
int path_make_file(int rootfd, const char *path, mode_t mode, int *ret_fd, struct err *e);

/* "/proc/self/fd/N" into a static-size buffer. Returns buf. */
#define PATH_FD_SIZE 32
const char *path_of_fd(int fd, char buf[static PATH_FD_SIZE]);

/* Lexical clean-up of an absolute path: no ".", "..", "//", no trailing '/'. In place. */
void path_clean(char *path);

/* True when `path` is `dir` or lies below it; both cleaned and absolute. */
bool path_is_below(const char *path, const char *dir);

#endif
