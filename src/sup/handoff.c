/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/handoff.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "sup/bind.h"
#include "sup/replace.h"
#include "sup/sup.h"
#include "sup/transport.h"
#include "sup/wire_options.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#define SNDBUF_LOCK 1 /* SOCK_SNDBUF_LOCK, SOCK_RCVBUF_LOCK of linux/socket.h, which glibc's hides */
#define RCVBUF_LOCK 2

int handoff_init(struct sup *s)
{
	return s->handed.info >= 0 ? 0 : alive_init(&s->handed);
}

void handoff_fini(struct sup *s)
{
	alive_fini(&s->handed);
	alive_fini(&s->spare);
	mem_free(&s->defaults);
}

/* --- options ------------------------------------------------------------------------------ */

struct handoff_defaults {
	struct gateway_option v[GATEWAY_OPTIONS_MAX];
	uint64_t untrapped; /* bits of those that apps set without our knowing */
};
static_assert(GATEWAY_OPTIONS_MAX <= 64, "a bit for each");

void handoff_note_option(struct domain *d, int level, int name)
{
	for (unsigned i = 0; i < gateway_n_option_kinds; i++)
		if (gateway_option_kinds[i].level == level && gateway_option_kinds[i].name == name)
			d->options_set |= UINT64_C(1) << i;
}

static bool is_untrapped(const struct gateway_option_kind *k)
{
	return syscalls_option(POLICY_NEEDS_GATEWAY, true, k->level, k->name) == OPTION_NATIVE;
}

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

/* A buffer grows by itself until it is set. */
static int buffers_set(int fd)
{
	int locks = 0;
	socklen_t len = sizeof locks;

	return getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &len) < 0 ? 0 : locks;
}

/* What is read is twice what was set (socket(7)). */
static bool adjust_buffer(struct gateway_option *o)
{
	int size;

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
	for (unsigned i = 0; s->defaults && i < gateway_n_option_kinds; i++) {
		(void)get_option(fd, &gateway_option_kinds[i], &s->defaults->v[i]);
		s->defaults->untrapped |= (uint64_t)is_untrapped(&gateway_option_kinds[i]) << i;
	}
	return s->defaults;
}

/* Of two families one is not the socket's; and some are no matter of a connection. */
static bool is_left_out(const struct gateway_option_kind *k, bool v6, int locks)
{
	if (is_buffer(k))
		return !(locks & (k->name == SO_SNDBUF ? SNDBUF_LOCK : RCVBUF_LOCK));
	return (k->level == IPPROTO_IPV6 && (!v6 || k->name == IPV6_V6ONLY)) ||
	       (k->level == SOL_SOCKET && k->name == SO_BUF_LOCK);
}

/* The kinds that may not be as on a new one, by their bits. A filter that is not ours may not have told. */
static uint64_t to_read(const struct handoff_defaults *known, const struct domain *d)
{
	return d->relayed || !(d->trapped & POLICY_NEEDS_GATEWAY) ? UINT64_MAX : known->untrapped | d->options_set;
}

static unsigned read_options(struct sup *s, uint64_t kinds, int fd, bool v6, struct gateway_option *ret)
{
	const struct handoff_defaults *d = defaults(s);
	int locks = buffers_set(fd);
	unsigned n = 0;

	for (unsigned i = 0; d && i < gateway_n_option_kinds && n < GATEWAY_OPTIONS_MAX; i++) {
		const struct gateway_option_kind *k = &gateway_option_kinds[i];
		struct gateway_option *o = &ret[n];

		if (!(kinds >> i & 1) || is_left_out(k, v6, locks) || !get_option(fd, k, o))
			continue;
		if (is_buffer(k) ? adjust_buffer(o) : memcmp(o, &d->v[i], sizeof *o) != 0)
			n += gateway_option_allowed(o);
	}
	return n;
}

/* Those of a wire that its AF_UNIX socket has: what differs from a new one's. The others are in its row. */
static unsigned read_wire_options(struct sup *s, struct domain *d, int fd, struct gateway_option *ret)
{
	AUTO_FD int fresh = -1;
	int locks = buffers_set(fd);
	unsigned n = 0;

	if (transport_wire.create(s, d, false, false, &fresh) < 0)
		return 0;
	for (unsigned i = 0; i < gateway_n_option_kinds && n < GATEWAY_OPTIONS_MAX; i++) {
		const struct gateway_option_kind *k = &gateway_option_kinds[i];
		struct gateway_option *o = &ret[n], first;

		if (k->level != SOL_SOCKET || is_left_out(k, false, locks) || !get_option(fd, k, o) ||
		    !get_option(fresh, k, &first) || memcmp(o, &first, sizeof first) == 0)
			continue;
		if (!is_buffer(k) || adjust_buffer(o))
			n += gateway_option_allowed(o);
	}
	return n;
}


static void set_options(int fd, const struct gateway_option *o, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)setsockopt(fd, o[i].level, o[i].name, o[i].value, o[i].len);
}

/* As a TCP socket would have them that was told the same. */
static unsigned options_of_wire(struct sup *s, const struct target *t, struct gateway_option *ret)
{
	const struct vsk *v = t->row;
	AUTO_FD int fd = -1;
	unsigned n;

	if (transport_tcp.create(s, v->domain, v->v6, false, &fd) < 0)
		return 0;
	n = read_wire_options(s, v->domain, t->fd, ret);
	wire_give_options(v, fd);
	set_options(fd, ret, n); /* IP_TOS sets SO_PRIORITY, too */
	return read_options(s, UINT64_MAX, fd, v->v6, ret);
}

unsigned handoff_options(struct sup *s, const struct target *t, struct gateway_option *ret)
{
	const struct handoff_defaults *known = defaults(s);

	if (t->row->wire)
		return options_of_wire(s, t, ret);
	return known ? read_options(s, to_read(known, t->row->domain), t->fd, t->row->v6, ret) : 0;
}

/* 0: it has none, which no socket has. */
static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof cookie;

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

/* --- rows --------------------------------------------------------------------------------- */

/*
 * A row for what took the place of the socket of `old`, which goes where nobody has that any more: first, or the
 * new one could drive it out of a full table.
 */
static void new_row(struct call *c, struct target *t, uint64_t cookie, struct vsk *old, bool left)
{
	struct vsk_table *table = &c->sup->table;
	const struct vsk was = *old;
	struct vsk *v = NULL;

	if (left)
		old->dissolved = true;
	else
		vsk_free(table, old);
	t->cookie = cookie;
	if (cookie)
		v = vsk_new(table, c->domain, t->cookie, was.v6);
	if (v) {
		v->v6only = was.v6only;
		v->linger = was.linger;
		v->generation = was.generation;
		v->rule = was.rule;
		v->ceiling_rule = was.ceiling_rule;
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
	uint64_t cookie = cookie_of(*fd);
	int rc = -ENOMEM;

	/* First: one that is not known to be open is none that a new policy could cut. */
	if (cookie)
		rc = alive_add(&c->sup->handed, *fd, cookie);
	if (rc < 0)
		return rc;
	rc = replace_socket(c, t, fd, false);
	if (rc < 0) {
		alive_remove(&c->sup->handed, *fd);
		t->row = old;
		return rc;
	}
	new_row(c, t, cookie, old, false);
	if (!t->row)
		return rc; /* without a row nothing can be done with it but to use it */
	/* What the app is bound to is its own; the machine may have had none of that number (gate/socket.c). */
	if (!t->row->bound_port && getsockname(t->fd, (struct sockaddr *)&sa, &len) == 0)
		t->row->local_port = ntohs(sa.sin6_port);
	vsk_set_host(&c->sup->table, t->row);
	vsk_set_status(&c->sup->table, t->row, status);
	return rc;
}

/* For the buffers of a wire others sizes are good. */
static unsigned without_buffers(struct gateway_option *o, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (o[i].level == SOL_SOCKET && o[i].name != SO_RCVBUF && o[i].name != SO_SNDBUF)
			o[kept++] = o[i];
	return kept;
}

/* The new row of a socket that nobody has bound or connected. */
static void begin_anew(struct call *c, struct vsk *v, bool wire)
{
	vsk_reset(&c->sup->table, v);
	vsk_set_wire(&c->sup->table, v, wire);
	v->at_home = true;
	v->bound = v->bound_port = false;
	v->local = (struct addr){ 0 };
	v->local_port = 0;
	vsk_set_status(&c->sup->table, v, VSK_UNCONNECTED);
}

static int return_to_f(struct call *c, struct target *t, bool wire, bool leave)
{
	const struct transport *kind = wire ? &transport_wire : &transport_tcp;
	struct gateway_option options[GATEWAY_OPTIONS_MAX];
	struct vsk *old = t->row;
	const struct addr local = old->local;
	/* Bound by the app, and to go out from there. */
	uint16_t port = old->wire && old->bound_port ? old->local_port : 0;
	unsigned n = old->wire ? read_wire_options(c->sup, c->domain, t->fd, options) : handoff_options(c->sup, t, options);
	AUTO_FD int fd = -1;
	int rc = handoff_init(c->sup); /* a wire may be the first that goes out */

	if (rc == 0)
		rc = kind->create(c->sup, c->domain, old->v6, false, &fd);
	if (rc < 0)
		return rc;
	if (old->wire)
		wire_give_options(old, fd);
	if (!wire)
		set_options(fd, options, n);
	rc = replace_socket(c, t, &fd, leave);
	if (rc < 0) {
		t->row = old;
		return rc;
	}
	new_row(c, t, cookie_of(t->fd), old, rc > 0 && leave);
	if (!t->row)
		return -ENOMEM;
	begin_anew(c, t->row, wire);
	if (wire) {
		wire_take_options(t->row, options, n);
		set_options(t->fd, options, without_buffers(options, n));
	}
	rc = t->row->v6only ? kind->set_v6only(t->fd, t->row, true) : 0;
	return rc == 0 && port ? bind_stream(c, t, &local, port) : rc;
}

int handoff_return(struct call *c, struct target *t, bool wire)
{
	return return_to_f(c, t, wire, false);
}

int handoff_discard(struct call *c, struct target *t, bool wire)
{
	(void)shutdown(t->fd, SHUT_RDWR);
	return return_to_f(c, t, wire, true);
}
