/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/notify.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"

int notify_init(struct notify *n, int fd, struct err *e)
{
	struct seccomp_notif_sizes sizes;
	uint64_t none = 0;

	/* Every listener answers this question, and nothing else does: ENOENT, for no call has id 0. */
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &none) == 0 || errno != ENOENT)
		return err_set(e, EINVAL, "descriptor %d is no listener of a seccomp filter", fd);
	if (syscall(__NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return err_sys(e, "sizes of seccomp's notifications");
	n->size = sizes.seccomp_notif > sizeof(struct seccomp_notif) ? sizes.seccomp_notif :
								       sizeof(struct seccomp_notif);
	n->buf = malloc(n->size);
	if (!n->buf)
		return err_num(e, ENOMEM, "seccomp listener");
	n->sync_wake_up = ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
				SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	n->fd = fd;
	return 0;
}

void notify_fini(struct notify *n)
{
	fd_close(&n->fd);
	mem_free(&n->buf);
}

int notify_receive(struct notify *n, struct seccomp_notif *ret)
{
	memset(n->buf, 0, n->size); /* the kernel refuses anything else */
	if (ioctl(n->fd, SECCOMP_IOCTL_NOTIF_RECV, n->buf) < 0)
		return -errno;
	memcpy(ret, n->buf, sizeof *ret);
	return 0;
}

int notify_reply(const struct notify *n, uint64_t id, int64_t value, int error)
{
	struct seccomp_notif_resp r = { .id = id, .val = error ? 0 : value, .error = -error };

	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, &r) < 0 ? -errno : 0;
}

int notify_continue(const struct notify *n, uint64_t id)
{
	struct seccomp_notif_resp r = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, &r) < 0 ? -errno : 0;
}

int notify_reply_fd(const struct notify *n, uint64_t id, int fd, bool cloexec)
{
	struct seccomp_notif_addfd a = { .id = id,
					 .flags = SECCOMP_ADDFD_FLAG_SEND,
					 .srcfd = (uint32_t)fd,
					 .newfd_flags = cloexec ? O_CLOEXEC : 0 };
	int number = ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a);

	return number < 0 ? -errno : number;
}

int notify_place_fd(const struct notify *n, uint64_t id, int fd, int at, bool cloexec)
{
	struct seccomp_notif_addfd a = { .id = id,
					 .flags = SECCOMP_ADDFD_FLAG_SETFD,
					 .srcfd = (uint32_t)fd,
					 .newfd = (uint32_t)at,
					 .newfd_flags = cloexec ? O_CLOEXEC : 0 };

	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a) < 0 ? -errno : 0;
}

bool notify_valid(const struct notify *n, uint64_t id)
{
	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}
