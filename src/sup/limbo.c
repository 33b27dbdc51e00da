/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/limbo.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"

#define LIMBO_PORT 1

void limbo_init(struct limbo *l, const struct guard *g)
{
	*l = (struct limbo){ .guard = g, .fd = -1 };
}

void limbo_fini(struct limbo *l)
{
	fd_close(&l->fd);
}

static struct sockaddr_in6 place(const struct in6_addr *addr, uint16_t port)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = *addr, .sin6_port = htons(port) };
}

static int set_on(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof on) < 0 ? -errno : 0;
}

/* Packets to it are dropped before anything looks at them, so nobody is refused either. */
static int open_listener(struct limbo *l)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = { .len = 1, .filter = &nothing };
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0)
		return -errno;
	rc = set_on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (rc == 0)
		rc = fabric_serve(fd, LIMBO_PORT, &l->at);
	if (rc == 0)
		rc = guard_listen(l->guard, fd, 1);
	if (rc == 0)
		l->fd = fd_take(&fd);
	return rc;
}

int limbo_enter(struct limbo *l, int fd)
{
	int rc = l->fd < 0 ? open_listener(l) : 0;
	struct sockaddr_in6 sa;

	if (rc < 0)
		return rc;
	sa = place(&l->at.addr, LIMBO_PORT);
	rc = guard_begin(l->guard, fd, &sa, sizeof sa);
	return rc == -EINPROGRESS ? 0 : rc == 0 ? -EISCONN : rc;
}

void limbo_leave(int fd)
{
	const struct sockaddr sa = { .sa_family = AF_UNSPEC };
	int error;
	socklen_t len = sizeof error;

	(void)connect(fd, &sa, sizeof sa.sa_family);
	(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len); /* that of the connection taken away */
}

int limbo_join(const struct limbo *l, const struct in6_addr *addr, uint16_t port)
{
	const struct sockaddr_in6 from = place(&l->at.addr, LIMBO_PORT), to = place(addr, port);
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = set_on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (rc == 0)
		rc = set_on(fd, IPPROTO_IPV6, IPV6_FREEBIND);
	if (rc < 0)
		return rc;
	if (bind(fd, (const struct sockaddr *)&from, sizeof from) < 0)
		return -errno;
	rc = guard_connect(l->guard, fd, &to, sizeof to);
	if (rc < 0 && rc != -EINPROGRESS)
		return rc;
	return fd_take(&fd);
}

void limbo_fail(const struct limbo *l, struct sockdiag *diag, const struct in6_addr *addr, uint16_t port,
		uint64_t cookie)
{
	const struct sockaddr_in6 local = place(addr, port), remote = place(&l->at.addr, LIMBO_PORT);
	const struct linger reset = { .l_onoff = 1 };
	AUTO_FD int fd = -1;

	if (sockdiag_destroy_tcp6(diag, &local, &remote, cookie) != -EOPNOTSUPP)
		return;
	fd = limbo_join(l, addr, port);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}
