/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of rules as the "linux.seccomp" object of the OCI runtime
 * specification, for other runtimes.
 *
 * In a table the first rule that fits decides. libseccomp, which other runtimes
 * use, knows no order, and one comparison for each argument. So what is left of
 * each rule behind those before it is cut into pieces that do not overlap, each
 * a masked comparison of some arguments.
 */
#ifndef VRUN_KERN_PROFILE_EXPORT_H
#define VRUN_KERN_PROFILE_EXPORT_H

#include <jansson.h>

#include "kern/bpf.h"

/* A new reference. What a catch-all refuses with an error of its own gets the default one where it would
 * take too many pieces. */
int profile_export(const struct bpf_table *t, json_t **ret, struct err *e);

#endif
