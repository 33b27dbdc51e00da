/* SPDX-License-Identifier: Apache-2.0 */
/* socket(2). */
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/sup.h"
#include "sup/transport.h"

#define TYPE_BITS 0xf

int64_t handle_socket(struct call *c)
{
	int family = (int)c->args[0], type = (int)c->args[1], protocol = (int)c->args[2];
	uint64_t cookie;
	socklen_t len = sizeof cookie;
	AUTO_FD int fd = -1;
	struct vsk *v;
	int rc;

	if (type & ~(TYPE_BITS | SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	/* The filter traps no other; a bundle's own filter may. */
	if ((family != AF_INET && family != AF_INET6) || (type & TYPE_BITS) != SOCK_STREAM)
		return -EACCES;
	if (protocol != 0 && protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	if (!sup_make_room(c->sup, c->domain, domain_sockets_max(c->domain)))
		return -ENFILE;
	rc = transport_of_domain(c->domain)->create(c->sup, c->domain, family == AF_INET6, type & SOCK_NONBLOCK, &fd);
	if (rc < 0)
		return rc == -EMFILE ? -ENFILE : rc;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return -errno;
	v = vsk_new(&c->sup->table, c->domain, cookie, family == AF_INET6);
	if (!v)
		return -ENOMEM;
	v->generation = c->domain->generation;
	v->at_home = true;
	rc = notify_reply_fd(&c->listener->notify, c->id, fd, type & SOCK_CLOEXEC);
	if (rc >= 0)
		return CALL_ANSWERED;
	vsk_free(&c->sup->table, v);
	return rc == -EMFILE ? -EMFILE : CALL_ANSWERED;
}
