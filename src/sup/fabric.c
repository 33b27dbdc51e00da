/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/fabric.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/netlink.h"
#include "sup/domain.h"

#define MARK_OURS 0x5600U
#define MARK_V6 1U
#define MARK_V6ONLY 2U

/* fd00::/8 and 120 random bits. A clash needs no thought: it would be noticed by nobody in 2^60 tries. */
static int make_random(struct in6_addr *ret)
{
	if (getrandom(ret, sizeof *ret, 0) != sizeof *ret)
		return -errno;
	ret->s6_addr[0] = 0xfd;
	return 0;
}

static struct faddr_list *bucket_of(struct fabric *f, const struct in6_addr *a)
{
	return &f->buckets[a->s6_addr[15] % FABRIC_BUCKETS];
}

int fabric_init(struct fabric *f, struct err *e)
{
	AUTO_FD int fd = -1;
	socklen_t len = sizeof f->cookie;
	int rc;

	memset(f, 0, sizeof *f);
	f->netlink = -1;
	if (unshare(CLONE_NEWNET) < 0) {
		(void)err_sys(e, "making a network namespace");
		return err_hint(e, "a supervisor needs root, or a user namespace that is the parent of its "
				   "containers'");
	}
	rc = netlink_everything_local(&f->netlink, e);
	if (rc < 0)
		return rc;
	/* The namespace's own; one call less for each socket. Where /proc/sys is read-only it is not. */
	f->free_bind = fd_write_file(AT_FDCWD, "/proc/sys/net/ipv6/ip_nonlocal_bind", "1\n") == 0;
	/* A client that closes first may have its port again after a second, as over loopback, and not after
	 * a minute: the kernel does not see that nothing here goes further than lo. */
	(void)fd_write_file(AT_FDCWD, "/proc/sys/net/ipv4/tcp_tw_reuse", "1\n");
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &f->cookie, &len) < 0) {
		(void)err_sys(e, "sockets in the supervisor's network namespace");
		return err_hint(e, "the kernel has to have IPv6 (not switched off by ipv6.disable=1)");
	}
	rc = make_random(&f->own.addr);
	if (rc == 0)
		rc = make_random(&f->limbo.addr);
	if (rc < 0)
		return err_num(e, -rc, "random numbers");
	LIST_INSERT_HEAD(bucket_of(f, &f->own.addr), &f->own, by_addr);
	return 0;
}

void fabric_fini(struct fabric *f)
{
	fd_close(&f->netlink);
}

struct faddr *fabric_addr(struct fabric *f, struct domain *d, const struct addr *virtual)
{
	struct faddr *a;

	LIST_FOREACH(a, &d->addrs, in_domain)
		if (addr_equal(&a->virtual, virtual))
			return a;
	if (d->n_addrs >= FABRIC_ADDRS_MAX)
		return NULL;
	a = calloc(1, sizeof *a);
	if (!a || make_random(&a->addr) < 0) {
		free(a);
		return NULL;
	}
	a->domain = d;
	a->virtual = *virtual;
	LIST_INSERT_HEAD(bucket_of(f, &a->addr), a, by_addr);
	LIST_INSERT_HEAD(&d->addrs, a, in_domain);
	d->n_addrs++;
	return a;
}

struct faddr *fabric_find(struct fabric *f, const struct in6_addr *addr)
{
	struct faddr *a;

	LIST_FOREACH(a, bucket_of(f, addr), by_addr)
		if (memcmp(&a->addr, addr, sizeof *addr) == 0)
			return a;
	return NULL;
}

void fabric_forget(struct domain *d)
{
	while (!LIST_EMPTY(&d->addrs)) {
		struct faddr *a = LIST_FIRST(&d->addrs);

		LIST_REMOVE(a, by_addr);
		LIST_REMOVE(a, in_domain);
		free(a);
	}
	d->n_addrs = 0;
}

int fabric_serve(int fd, uint16_t port, struct faddr *ret)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int on = 1, rc = make_random(&sa.sin6_addr);

	if (rc < 0)
		return rc;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on) < 0 ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
		return -errno;
	*ret = (struct faddr){ .addr = sa.sin6_addr };
	return 0;
}

int fabric_set_mark(int fd, const struct fabric_mark *m)
{
	unsigned v = (unsigned)m->domain << 16 | MARK_OURS | (m->v6 ? MARK_V6 : 0) |
		     (m->v6only ? MARK_V6ONLY : 0);

	return setsockopt(fd, SOL_SOCKET, SO_MARK, &v, sizeof v) < 0 ? -errno : 0;
}

bool fabric_has(const struct fabric *f, int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 && cookie == f->cookie;
}

bool fabric_get_mark(const struct fabric *f, int fd, struct fabric_mark *ret)
{
	unsigned v = 0;
	socklen_t len = sizeof v;

	if (!fabric_has(f, fd) || getsockopt(fd, SOL_SOCKET, SO_MARK, &v, &len) < 0 ||
	    (v & 0xff00) != MARK_OURS)
		return false;
	*ret = (struct fabric_mark){ .domain = (uint16_t)(v >> 16),
				     .v6 = v & MARK_V6,
				     .v6only = v & MARK_V6ONLY };
	return true;
}
