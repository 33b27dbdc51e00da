/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/handoff.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/replace.h"
#include "sup/sup.h"
#include "sup/transport.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#define SNDBUF_LOCK 1 /* SOCK_SNDBUF_LOCK, SOCK_RCVBUF_LOCK of linux/socket.h, which glibc's hides */
#define RCVBUF_LOCK 2

int handoff_init(struct sup *s)
{
	int rc;

	if (s->handed.info >= 0)
		return 0;
	rc = alive_init(&s->handed);
	if (rc == 0)
		rc = alive_init(&s->replaced);
	if (rc < 0)
		alive_fini(&s->handed);
	return rc;
}

void handoff_fini(struct sup *s)
{
	alive_fini(&s->handed);
	alive_fini(&s->replaced);
	mem_free(&s->defaults);
}

/* --- options ------------------------------------------------------------------------------ */

struct handoff_defaults {
	struct gateway_option v[GATEWAY_OPTIONS_MAX];
};

/* The value, as it would have to be set. False: it has none. */
static bool get_option(int fd, const struct gateway_option_kind *k, struct gateway_option *ret)
{
	socklen_t len = GATEWAY_OPTION_SIZE;

	*ret = (struct gateway_option){ .level = k->level, .name = k->name };
	if (getsockopt(fd, k->level, k->name, ret->value, &len) < 0)
		return false;
	ret->len = len;
	return k->len == 0 || len == k->len;
}

static bool is_buffer(const struct gateway_option_kind *k)
{
	return k->level == SOL_SOCKET && (k->name == SO_RCVBUF || k->name == SO_SNDBUF);
}

/* A buffer grows by itself until it is set; and what is read is twice what was set (socket(7)). */
static bool adjust_buffer(int fd, struct gateway_option *o)
{
	int locks = 0, size;
	socklen_t len = sizeof locks;

	if (getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &len) < 0 ||
	    !(locks & (o->name == SO_SNDBUF ? SNDBUF_LOCK : RCVBUF_LOCK)))
		return false;
	memcpy(&size, o->value, sizeof size);
	size /= 2;
	memcpy(o->value, &size, sizeof size);
	return true;
}

static const struct handoff_defaults *defaults(struct sup *s)
{
	AUTO_FD int fd = -1;

	if (s->defaults)
		return s->defaults;
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		s->defaults = calloc(1, sizeof *s->defaults);
	for (unsigned i = 0; s->defaults && i < gateway_n_option_kinds; i++)
		(void)get_option(fd, &gateway_option_kinds[i], &s->defaults->v[i]);
	return s->defaults;
}

/* Of two families one is not the socket's; and some are no matter of a connection. */
static bool is_left_out(const struct gateway_option_kind *k, bool v6)
{
	return (k->level == IPPROTO_IPV6 && (!v6 || k->name == IPV6_V6ONLY)) ||
	       (k->level == SOL_SOCKET && k->name == SO_BUF_LOCK);
}

static unsigned read_options(struct sup *s, int fd, bool v6, struct gateway_option *ret)
{
	const struct handoff_defaults *d = defaults(s);
	unsigned n = 0;

	for (unsigned i = 0; d && i < gateway_n_option_kinds && n < GATEWAY_OPTIONS_MAX; i++) {
		const struct gateway_option_kind *k = &gateway_option_kinds[i];
		struct gateway_option *o = &ret[n];

		if (is_left_out(k, v6) || !get_option(fd, k, o))
			continue;
		if (is_buffer(k) ? adjust_buffer(fd, o) : memcmp(o, &d->v[i], sizeof *o) != 0)
			n += gateway_option_allowed(o);
	}
	return n;
}

unsigned handoff_options(struct sup *s, const struct target *t, struct gateway_option *ret)
{
	return t->row->wire ? 0 : read_options(s, t->fd, t->row->v6, ret);
}

/* --- rows --------------------------------------------------------------------------------- */

/*
 * A row for what took the place of the socket of `old`, which goes: first, or the
 * new one could drive it out of a full table.
 */
static void new_row(struct call *c, struct target *t, struct vsk *old)
{
	struct vsk_table *table = &c->sup->table;
	const struct vsk was = *old;
	socklen_t len = sizeof t->cookie;
	struct vsk *v = NULL;

	vsk_free(table, old);
	if (getsockopt(t->fd, SOL_SOCKET, SO_COOKIE, &t->cookie, &len) == 0)
		v = vsk_new(table, c->domain, t->cookie, was.v6);
	if (v) {
		v->v6only = was.v6only;
		v->linger = was.linger;
		v->generation = was.generation;
		v->rule = was.rule;
		v->local = was.local;
		v->local_port = was.local_port;
		v->bound_port = was.bound_port;
		v->remote = was.remote;
		v->remote_port = was.remote_port;
		v->real = was.real;
	}
	t->row = v;
}

int handoff_place(struct call *c, struct target *t, int *fd, enum vsk_status status)
{
	struct vsk *old = t->row;
	struct sockaddr_in6 sa = { 0 }; /* the port is at the same place in an IPv4 address */
	socklen_t len = sizeof sa;
	int rc = replace_socket(c, t, fd);

	if (rc < 0) {
		t->row = old;
		return rc;
	}
	new_row(c, t, old);
	if (!t->row)
		return rc; /* without a row nothing can be done with it but to use it */
	if (getsockname(t->fd, (struct sockaddr *)&sa, &len) == 0)
		t->row->local_port = ntohs(sa.sin6_port);
	vsk_set_host(&c->sup->table, t->row);
	vsk_set_status(&c->sup->table, t->row, status);
	(void)alive_add(&c->sup->handed, t->fd, t->cookie);
	return rc;
}

int handoff_return(struct call *c, struct target *t, bool wire)
{
	const struct transport *kind = wire ? &transport_wire : &transport_tcp;
	struct gateway_option options[GATEWAY_OPTIONS_MAX];
	struct vsk *old = t->row;
	unsigned n = old->wire ? 0 : read_options(c->sup, t->fd, old->v6, options);
	AUTO_FD int fd = -1;
	int rc = kind->create(c->sup, c->domain, old->v6, false, &fd);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < n && !wire; i++)
		(void)setsockopt(fd, options[i].level, options[i].name, options[i].value, options[i].len);
	rc = replace_socket(c, t, &fd);
	if (rc < 0) {
		t->row = old;
		return rc;
	}
	new_row(c, t, old);
	if (!t->row)
		return -ENOMEM;
	vsk_reset(&c->sup->table, t->row);
	vsk_set_wire(&c->sup->table, t->row, wire);
	t->row->at_home = true;
	t->row->bound_port = false;
	t->row->local = (struct addr){ 0 };
	t->row->local_port = 0;
	vsk_set_status(&c->sup->table, t->row, VSK_UNCONNECTED);
	return t->row->v6only ? kind->set_v6only(t->fd, t->row, true) : 0;
}
