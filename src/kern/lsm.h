/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other security modules make of the app: its AppArmor profile
 * (apparmor(7)) and its SELinux context (selinux(8)). Both take effect with the
 * next execve(2).
 */
#ifndef VRUN_KERN_LSM_H
#define VRUN_KERN_LSM_H

#include <stdbool.h>

#include "base/err.h"

enum lsm { LSM_APPARMOR, LSM_SELINUX };

/* Whether the running kernel has it switched on; to be asked where /sys is the host's. */
bool lsm_is_enabled(enum lsm which);
const char *lsm_name(enum lsm which);

/* proc_fd: a directory that has to be a procfs in which /self is the caller. Anything else could be a file of the
 * container's, which would take the name and change nothing (CVE-2019-16884). */
int lsm_set_exec(int proc_fd, enum lsm which, const char *name, struct err *e);

#endif
