/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/guestmem.h"

#include <errno.h>
#include <sys/uio.h>

static int finish(ssize_t n, size_t len)
{
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

int guestmem_read(pid_t tid, uint64_t address, void *buf, size_t len)
{
	struct iovec to = { .iov_base = buf, .iov_len = len };
	struct iovec from = { .iov_base = (void *)(uintptr_t)address, .iov_len = len };

	if (len > GUESTMEM_MAX)
		return -EFAULT;
	return len ? finish(process_vm_readv(tid, &to, 1, &from, 1, 0), len) : 0;
}

size_t guestmem_count_readable(pid_t tid, const struct iovec *ranges, size_t n)
{
	char buf[GUESTMEM_MAX];
	struct iovec to = { .iov_base = buf, .iov_len = sizeof buf };
	ssize_t got = process_vm_readv(tid, &to, 1, ranges, n, 0);
	size_t i, left = got < 0 ? 0 : (size_t)got;

	for (i = 0; i < n && ranges[i].iov_len <= left; i++)
		left -= ranges[i].iov_len;
	return i;
}

int guestmem_write(pid_t tid, uint64_t address, const void *buf, size_t len)
{
	struct iovec from = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct iovec to = { .iov_base = (void *)(uintptr_t)address, .iov_len = len };

	if (len > GUESTMEM_MAX)
		return -EFAULT;
	return len ? finish(process_vm_writev(tid, &from, 1, &to, 1, 0), len) : 0;
}

int guestmem_write_two(pid_t tid, uint64_t address, const void *buf, size_t len, uint64_t address2, const void *buf2,
		       size_t len2)
{
	const struct iovec from[] = { { (void *)(uintptr_t)buf, len }, { (void *)(uintptr_t)buf2, len2 } };
	const struct iovec to[] = { { (void *)(uintptr_t)address, len }, { (void *)(uintptr_t)address2, len2 } };

	if (len > GUESTMEM_MAX || len2 > GUESTMEM_MAX)
		return -EFAULT;
	return finish(process_vm_writev(tid, from, 2, to, 2, 0), len + len2);
}
