/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind(2). The table decides conflicts between addresses, which in F are
 * different ones and cannot conflict; the kernel decides about one and the
 * same. Nothing is asked of the policy: nobody hears a socket that is only
 * bound.
 */
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/bind.h"
#include "sup/datagram.h"
#include "sup/porter.h"
#include "sup/transport.h"
#include "sup/wire_options.h"

#define EPHEMERAL_FIRST 32768 /* net.ipv4.ip_local_port_range as the kernel sets it */
#define EPHEMERAL_LAST 60999

static bool get_flag(int fd, int option)
{
	int v = 0;
	socklen_t len = sizeof v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) == 0 && v;
}

/* A conflict that the table sees may be with a socket that is long closed. */
static bool in_the_way(struct sup *s, const struct vsk *v, bool for_listen)
{
	struct vsk *o;

	while ((o = vsk_find_conflict(&s->table, v, for_listen))) {
		if (!o->at || transport_of(o)->in_use(o))
			return true;
		vsk_free(&s->table, o);
	}
	return false;
}

static int bind_once(struct call *c, struct target *t)
{
	struct vsk *v = t->row;
	int rc;

	if (in_the_way(c->sup, v, false))
		return -EADDRINUSE;
	rc = transport_of(v)->bind(t->fd, v);
	if (rc != -EADDRINUSE)
		return rc;
	/* A wait that nobody waits in any more may hold the last duplicate of the socket in the way. */
	sup_sweep(c->sup);
	return transport_of(v)->bind(t->fd, v);
}

static int bind_any_port(struct call *c, struct target *t)
{
	const unsigned n = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;
	unsigned start = 0;
	int rc = -EADDRINUSE;

	if (getrandom(&start, sizeof start, 0) < 0)
		return -errno;
	/* Enough tries for a table that is nearly full; the loop has others to serve. */
	for (unsigned i = 0; i < 4096 && rc == -EADDRINUSE; i++) {
		t->row->local_port = (uint16_t)(EPHEMERAL_FIRST + (start + i) % n);
		if (!vsk_find_conflict(&c->sup->table, t->row, false))
			rc = transport_of(t->row)->bind(t->fd, t->row);
	}
	return rc;
}

int bind_stream(struct call *c, struct target *t, const struct addr *a, uint16_t port)
{
	struct vsk *v = t->row;
	int rc;

	v->at = fabric_addr(&c->sup->fabric, c->domain, a);
	if (!v->at)
		return -EADDRNOTAVAIL;
	v->local = *a;
	v->local_port = port;
	v->reuse_addr = get_flag(t->fd, SO_REUSEADDR);
	v->reuse_port = v->wire ? wire_reuses_port(v) : get_flag(t->fd, SO_REUSEPORT);
	rc = port ? bind_once(c, t) : bind_any_port(c, t);
	if (rc < 0) {
		v->at = NULL;
		v->local = (struct addr){ 0 };
		v->local_port = 0;
		return rc;
	}
	v->bound = true;
	v->bound_port = port != 0;
	if (v->v6 && !addr_is_v4(a) && !addr_equal(a, &(struct addr){ 0 }))
		v->v6only = true; /* as Linux has it from then on */
	vsk_set_status(&c->sup->table, v, VSK_BOUND);
	return 0;
}

bool bind_conflicts(struct call *c, const struct vsk *v)
{
	return in_the_way(c->sup, v, true);
}

/* The address as bind(2) takes it for the socket's family. */
static int local_address(const struct vsk *v, const struct sockaddr_storage *sa, size_t len,
			 struct addr *ret, uint16_t *ret_port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	struct sockaddr_storage fixed = *sa;

	if (len < (v->v6 ? 24 : sizeof *v4)) /* SIN6_LEN_RFC2133 */
		return -EINVAL;
	if (!v->v6 && sa->ss_family == AF_UNSPEC && v4->sin_addr.s_addr == INADDR_ANY)
		fixed.ss_family = AF_INET; /* very old programs do that */
	if (fixed.ss_family != (v->v6 ? AF_INET6 : AF_INET))
		return -EAFNOSUPPORT;
	if (addr_from_sockaddr((const struct sockaddr *)&fixed, sizeof fixed, ret, ret_port) < 0)
		return -EINVAL;
	return v->v6only && addr_is_v4(ret) ? -EINVAL : 0;
}

static int64_t bind_other(struct call *c, struct target *t, struct sockaddr_storage *sa, size_t len)
{
	/* As for connect: a file is made, with the app's ids and umask. */
	if (t->family == AF_UNIX)
		return c->domain->walled ? CALL_CONTINUE : porter_do(c, t, PORTER_BIND, sa, len);
	if (!call_valid(c))
		return CALL_ANSWERED;
	return bind(t->fd, (struct sockaddr *)sa, (socklen_t)len) < 0 ? -errno : 0;
}

void bind_forget_failed(struct call *c, const struct target *t)
{
	struct vsk *v = t->row;

	if ((v->status == VSK_CONNECTING || v->status == VSK_CONNECTED) && !v->bound && !v->host && !v->out &&
	    socket_over(t->fd))
		vsk_reset(&c->sup->table, v);
}

int64_t handle_bind(struct call *c)
{
	struct sockaddr_storage sa;
	AUTO_TARGET struct target t = { .fd = -1 };
	struct addr a;
	uint16_t port;
	size_t len;
	int64_t rc = call_target(c, &t);

	if (rc < 0)
		return rc;
	rc = call_read_address(c, 1, &sa, &len);
	if (rc < 0)
		return rc;
	if (t.datagram)
		return datagram_bind(c, &t, &sa, len);
	if (!t.row)
		return bind_other(c, &t, &sa, len);
	rc = local_address(t.row, &sa, len, &a, &port);
	if (rc < 0)
		return rc;
	bind_forget_failed(c, &t);
	if (t.row->status != VSK_UNCONNECTED || t.row->at)
		return -EINVAL;
	if (!domain_owns(c->domain, &a))
		return -EADDRNOTAVAIL;
	if (!call_valid(c))
		return CALL_ANSWERED;
	call_reply(c, bind_stream(c, &t, &a, port), t.cookie);
	return CALL_ANSWERED;
}
