/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a task that waits for an answer (process_vm_readv(2)). Read a
 * thing once, ask whether the call is still valid, and use the copy alone:
 * the app's other threads may change it at any time.
 */
#ifndef VRUN_KERN_GUESTMEM_H
#define VRUN_KERN_GUESTMEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define GUESTMEM_MAX 65536 /* bytes in one go */

/*
 * All of it or nothing that the caller may use. -EFAULT: not all mapped so, or
 * longer than GUESTMEM_MAX; -ESRCH: no such task; -EPERM: no rights over it.
 */
int guestmem_read(pid_t tid, uint64_t address, void *buf, size_t len);
/*
 * How many of the ranges are there, up to the first that is not; all of them
 * together have at most GUESTMEM_MAX bytes. What they hold is not told.
 */
size_t guestmem_count_readable(pid_t tid, const struct iovec *ranges, size_t n);
/* A part may have been written when it fails. */
int guestmem_write(pid_t tid, uint64_t address, const void *buf, size_t len);
/* At two places, one after the other; of the first nothing may be to be written. */
int guestmem_write_two(pid_t tid, uint64_t address, const void *buf, size_t len, uint64_t address2, const void *buf2,
		       size_t len2);

#endif
