/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled seccomp programs kept between runs, since libseccomp takes
 * milliseconds for a large profile. A program is found by the whole text that
 * it was made from: the file holds that text and it is compared in full, so no
 * two profiles can be taken for each other.
 *
 * Who can write here decides what the next sandbox may do: an app that could
 * leave a program behind would choose the filter of the next run. So the cache
 * lies in vrun's state directory, which no app ever sees (a home directory may
 * be shown, and so written), and the directory and the files must be the
 * effective user's own and closed to everybody else.
 */
#ifndef VRUN_KERN_PROFILE_CACHE_H
#define VRUN_KERN_PROFILE_CACHE_H

#include <stddef.h>

#include "base/err.h"
#include "kern/bpf.h"

#define PROFILE_CACHE_FILES 32          /* more are not kept: the oldest go */
#define PROFILE_CACHE_KEY_MAX (1U << 20) /* bytes; longer texts are not kept */

/*
 * Opens the directory "filters" in the state directory, and makes it when it
 * is not there. The caller owns *ret_dirfd. -EPERM: it is a symbolic link,
 * somebody else's, or open to others.
 */
int profile_cache_open(const char *state_root, int *ret_dirfd, struct err *e);

/*
 * 1: found, and the caller calls bpf_prog_fini(); 0: not there, damaged, or not
 * to be trusted. Never an error: the caller compiles then.
 */
int profile_cache_find(int dirfd, const void *key, size_t key_len, struct bpf_prog *ret);

/* Keeps a program: written aside, then renamed, so that nobody reads half of it. 0 or -errno. */
int profile_cache_store(int dirfd, const void *key, size_t key_len, const struct bpf_prog *p);

/* A file's content, taken apart and checked; as profile_cache_find(). Exposed for tests. */
int profile_cache_decode(const void *data, size_t len, const void *key, size_t key_len,
			 struct bpf_prog *ret);

#endif
