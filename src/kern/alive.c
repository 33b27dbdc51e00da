/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/alive.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"

int alive_init(struct alive *a)
{
	AUTO_FD int ep = epoll_create1(EPOLL_CLOEXEC), info = -1;
	char path[48];

	if (ep < 0)
		return -errno;
	(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", ep);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -errno;
	a->ep = fd_take(&ep);
	a->info = fd_take(&info);
	a->pid = getpid();
	return 0;
}

void alive_fini(struct alive *a)
{
	fd_close(&a->ep);
	fd_close(&a->info);
}

int alive_add(const struct alive *a, int fd, uint64_t number)
{
	/* No events but those that cannot be left out, and those once: its sockets are to be woken for nobody. */
	struct epoll_event e = { .events = EPOLLONESHOT, .data.u64 = number };

	return epoll_ctl(a->ep, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void alive_remove(const struct alive *a, int fd)
{
	(void)epoll_ctl(a->ep, EPOLL_CTL_DEL, fd, NULL);
}

/* It takes no longer for a task's sake: what an fdinfo has to say of a file may take seconds. */
int alive_is_at(const struct alive *a, int fd, pid_t tid, int number)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)a->ep, .tfd = (uint32_t)fd };
	long rc = syscall(__NR_kcmp, tid, a->pid, KCMP_EPOLL_TFD, number, &slot);

	return rc < 0 && (errno == ENOSYS || errno == EOPNOTSUPP) ? -errno : rc == 0;
}

#define LINE 256 /* none is as long */

/* One line without its end; those that are none of ours are passed over. */
static bool parse(const char *line, struct alive_entry *ret)
{
	if (strncmp(line, "tfd:", 4) != 0)
		return false; /* sscanf() takes its time to find out */
	/* The kernel's own numbers. NOLINTNEXTLINE(cert-err34-c) */
	return sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64 " pos:%*d ino:%" SCNx64, &ret->fd,
		      &ret->events, &ret->data, &ret->ino) == 4;
}

int alive_read(int info, void (*each)(void *ctx, const struct alive_entry *e), void *ctx)
{
	char buf[16384];
	size_t len = 0, room = sizeof buf - 1;
	off_t pos = 0;
	ssize_t n;

	while ((n = pread(info, buf + len, room, pos)) > 0) {
		char *line = buf, *end;

		pos += n;
		len += (size_t)n;
		buf[len] = '\0';
		for (; (end = strchr(line, '\n')); line = end + 1) {
			struct alive_entry e;

			*end = '\0';
			if (parse(line, &e))
				each(ctx, &e);
		}
		len -= (size_t)(line - buf);
		memmove(buf, line, len);
		if (len == sizeof buf - 1)
			return -EPROTO;
		if ((size_t)n + LINE < room)
			return 0; /* seq_file(5) fills what it is given as far as whole lines go */
		room = sizeof buf - 1 - len;
	}
	return n < 0 ? -errno : 0;
}

struct listing {
	void (*each)(void *ctx, uint64_t number);
	void *ctx;
};

static void tell(void *ctx, const struct alive_entry *e)
{
	const struct listing *l = ctx;

	l->each(l->ctx, e->data);
}

int alive_list(const struct alive *a, void (*each)(void *ctx, uint64_t number), void *ctx)
{
	struct listing l = { each, ctx };

	return alive_read(a->info, tell, &l);
}
