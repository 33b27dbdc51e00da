/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle's own seccomp profile (runtime-spec config-linux.md, "Seccomp") as
 * a program, by way of libseccomp, which knows every architecture's names and
 * numbers. Where the spec is silent it does as runc does, since profiles are
 * written for runc:
 *
 *   - names that libseccomp does not know are left out;
 *   - a rule with two conditions on one argument holds when either does;
 *   - the native architecture is always in, ERRNO and TRACE without a number
 *     mean EPERM, KILL means the thread;
 *   - a refusing profile answers ENOSYS to calls newer than the newest that it
 *     names, so that libc falls back instead of failing with EPERM.
 */
#ifndef VRUN_KERN_PROFILE_OCI_H
#define VRUN_KERN_PROFILE_OCI_H

#include <stdbool.h>

#include "base/err.h"
#include "kern/bpf.h"
#include "model/bundle.h"

struct profile_oci {
	struct bpf_prog prog; /* owned: bpf_prog_fini() */
	unsigned flags;       /* SECCOMP_FILTER_FLAG_* for filter_load() */
	bool notify;          /* some call is SCMP_ACT_NOTIFY: it needs a listener */
	bool cached;          /* the program came from the cache */
	int store_error;      /* why it could not be kept in the cache: errno number; 0: it was, or cached */
};

/*
 * Translates the profile. `cache_dirfd` is profile_cache_open()'s, or -1 to do
 * without. Warm, it takes one small file's reading; cold, libseccomp's
 * milliseconds.
 * -EINVAL: two rules contradict each other, or libseccomp cannot express one;
 * -E2BIG: more than the kernel's 4096 instructions.
 */
int profile_oci_build(const struct bundle_seccomp *s, int cache_dirfd, struct profile_oci *ret,
		      struct err *e);

#endif
