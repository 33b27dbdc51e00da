/* SPDX-License-Identifier: Apache-2.0 */
/* What a pidfd (pidfd_open(2)) tells of its process. */
#ifndef VRUN_KERN_PIDFD_H
#define VRUN_KERN_PIDFD_H

#include <sys/types.h>

/* The pid in the namespace that /proc shows, from /proc/self/fdinfo; -ESRCH when it has ended or is not
 * visible there. */
pid_t pidfd_number(int pidfd);

#endif
