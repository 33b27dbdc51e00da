/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules that keep an app from making set-user-id and set-group-id files.
 *
 * Inside a sandbox such a bit is worth nothing: no_new_privs and nosuid. But
 * in a directory of the host's that is shown writable, the file is real on the
 * host: with the owner that the app's user stands for, which is root when root
 * called. Any user of the host who can reach it would be that owner.
 */
#ifndef VRUN_KERN_PROFILE_SETID_H
#define VRUN_KERN_PROFILE_SETID_H

#include "kern/bpf.h"

/* For profile_params.extra. They answer EPERM; openat2, whose mode lies in memory, is not there. */
const struct bpf_rule *profile_setid_rules(size_t *ret_n);

#endif
