/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires: AF_UNIX streams of F. A place is an abstract name of eight random
 * bytes, which nobody in another network namespace can use, and in this one
 * nobody but the supervisor: connect and bind of a wire are always trapped.
 * A client has no name, so its peer sees none; an accepted connection has the
 * listener's, worth as little.
 *
 * The kernel knows neither addresses nor ports of ours. The table alone
 * decides conflicts; ports of clients are chosen here. The kernel hands out a
 * listener's connections in the order in which they were made, and all of them
 * are made here: so the row's queue says who comes next, and how many there
 * are is known without asking. The kernel's own bound is out of the way: a
 * client that would not wait is let in, as a TCP client whose connection is on
 * its way is, up to the size of that bound.
 *
 * Descriptors must not pass from one domain to another. SO_PASSRIGHTS is off on
 * the client's end and on the listener, from which the other end inherits it.
 */
#include <linux/net.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "sup/sup.h"
#include "sup/transport.h"
#include "sup/wire_options.h"

#define QUEUE_MAX 4096 /* net.core.somaxconn as the kernel sets it: no listener has more */
#define BUFFER (512 << 10) /* the kernel doubles it; more leaves the caches of the CPUs. Or net.core.wmem_max */
#define PORT_FIRST 32768 /* net.ipv4.ip_local_port_range as the kernel sets it */
#define PORT_LAST 60999
#define PORT_TRIES 4096 /* the loop has others to serve */

static int set_int(int fd, int option, int value)
{
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) < 0 ? -errno : 0;
}

static socklen_t place(uint64_t name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path + 1, &name, sizeof name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + sizeof name);
}

static int connect_to(int fd, uint64_t name)
{
	struct sockaddr_un sa;
	socklen_t len = place(name, &sa);

	return connect(fd, (const struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

static int bind_to(int fd, uint64_t name)
{
	struct sockaddr_un sa;
	socklen_t len = place(name, &sa);

	return bind(fd, (const struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

/* --- sockets ------------------------------------------------------------------- */

static int make(int flags, int *ret_fd)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = set_int(fd, SO_PASSRIGHTS, 0);
	if (rc < 0)
		return rc;
	(void)set_int(fd, SO_SNDBUF, BUFFER);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int create(struct sup *s, struct domain *d, bool v6, bool nonblock, int *ret_fd)
{
	(void)s;
	(void)d;
	(void)v6;
	return make(nonblock ? SOCK_NONBLOCK : 0, ret_fd);
}

/* A wire never loses its row while it is there. */
static void describe(struct sup *s, int fd, struct vsk *v)
{
	(void)s;
	(void)fd;
	(void)v;
}

static int set_v6only(int fd, struct vsk *v, bool v6only)
{
	(void)fd;
	(void)v;
	(void)v6only;
	return 0;
}

static int bind_row(int fd, struct vsk *v)
{
	uint64_t name = 0;
	int rc;

	if (getrandom(&name, sizeof name, 0) != sizeof name)
		return -errno;
	rc = bind_to(fd, name);
	if (rc < 0) /* EINVAL: bound by a bind whose answer did not arrive */
		return rc;
	v->name = name;
	return 0;
}

static bool in_use(const struct vsk *v)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || bind_to(fd, v->name) == -EADDRINUSE; /* where nothing can be tried, too */
}

/* What TCP's connections have from their listener, and wires have not. */
static const struct inherited {
	int option;
	socklen_t size;
} inherited[] = {
	{ SO_RCVTIMEO, sizeof(struct timeval) }, { SO_SNDTIMEO, sizeof(struct timeval) },
	{ SO_LINGER, sizeof(struct linger) },	 { SO_KEEPALIVE, sizeof(int) },
	{ SO_OOBINLINE, sizeof(int) },		 { SO_PRIORITY, sizeof(int) },
};

static bool has_options(int fd)
{
	static const char zero[sizeof(struct timeval)];

	for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) {
		char v[sizeof zero];
		socklen_t len = inherited[i].size;

		if (getsockopt(fd, SOL_SOCKET, inherited[i].option, v, &len) == 0 && memcmp(v, zero, len) != 0)
			return true;
	}
	return false;
}

static void give_options(int from, int to)
{
	for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) {
		char v[sizeof(struct timeval)];
		socklen_t len = inherited[i].size;

		if (getsockopt(from, SOL_SOCKET, inherited[i].option, v, &len) == 0)
			(void)setsockopt(to, SOL_SOCKET, inherited[i].option, v, len);
	}
}

static int listen_row(int fd, struct vsk *v, unsigned backlog)
{
	(void)backlog; /* kept in the row */
	if (v->spent)
		return -EINVAL;
	v->inherits = has_options(fd);
	return guard_listen(&v->domain->sup->guard, fd, QUEUE_MAX);
}

/* --- connections ----------------------------------------------------------------- */

static int bind_source(struct sup *s, int fd, struct vsk *v)
{
	const unsigned n = PORT_LAST - PORT_FIRST + 1;

	(void)fd;
	if (s->wire_port == 0 && getrandom(&s->wire_port, sizeof s->wire_port, 0) < 0)
		return -errno;
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		v->local_port = (uint16_t)(PORT_FIRST + s->wire_port++ % n);
		if (!vsk_client_taken(&s->table, v))
			return 0;
	}
	v->local_port = 0;
	return -EADDRNOTAVAIL;
}

static int has_room(struct sup *s, struct vsk *listener)
{
	(void)s;
	if (listener->n_arrivals <= listener->backlog)
		return 1;
	return in_use(listener) ? 0 : -ESTALE;
}

/* A listener on which one client of ours arrives at once. */
int transport_wire_meet(const struct guard *g, int client, int *ret_server)
{
	struct vsk v = { 0 };
	AUTO_FD int listener = -1;
	int rc = make(0, &listener);

	if (rc == 0)
		rc = bind_row(listener, &v);
	if (rc == 0)
		rc = guard_listen(g, listener, 1);
	if (rc == 0)
		rc = connect_to(client, v.name);
	if (rc < 0)
		return rc;
	*ret_server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return *ret_server < 0 ? -errno : 0;
}

/* The resolver asks at no wire; it is given the other end. */
static int connect_resolver(struct sup *s, int fd, struct vsk *v)
{
	AUTO_FD int server = -1;
	int rc = transport_wire_meet(&s->guard, fd, &server);

	if (rc < 0)
		return rc;
	resolver_take(s, v->domain, &server);
	v->client = true;
	return 0;
}

static int connect_row(int fd, struct vsk *v, struct vsk *listener)
{
	struct sup *s = v->domain->sup;
	int rc;

	if (!listener)
		return v->to == &s->resolver.at ? connect_resolver(s, fd, v) : -ECONNREFUSED;
	if (listener->n_arrivals > QUEUE_MAX)
		return -EAGAIN;
	rc = vsk_arrive(listener, v);
	if (rc < 0)
		return rc;
	rc = connect_to(fd, listener->name);
	if (rc < 0) {
		vsk_take_last_arrival(listener);
		return rc == -ECONNREFUSED ? -ESTALE : rc;
	}
	v->client = true;
	return 0;
}

static int connect_again(int fd, struct vsk *v)
{
	(void)fd;
	(void)v;
	return -EISCONN;
}

/* What was connected cannot be so again; what was not needs nothing. */
static int disconnect(int fd, struct vsk *v)
{
	(void)fd;
	return v->status == VSK_UNCONNECTED || v->status == VSK_BOUND ? 0 : -EAFNOSUPPORT;
}

/* One connection out of the kernel's queue, and its place in ours. */
static int accept_any(int fd, struct vsk *listener, int flags, struct vsk_arrival *ret)
{
	int got;

	if (listener->n_arrivals == 0)
		return -EAGAIN;
	got = socket_accept(fd, NULL, NULL, flags);
	if (got < 0)
		return got;
	if (!vsk_take_first_arrival(listener, ret)) { /* somebody connected who is not of ours */
		(void)close(got);
		return -ECONNABORTED;
	}
	return got;
}

static int accept_next(struct sup *s, int fd, struct vsk *listener, int flags, struct vsk_arrival *ret)
{
	AUTO_FD int got = accept_any(fd, listener, flags, ret);

	(void)s;
	if (got < 0)
		return got;
	if (ret->token)
		return fd_take(&got);
	(void)set_int(got, SO_SNDBUF, BUFFER);
	if (listener->inherits)
		give_options(fd, got);
	return fd_take(&got);
}

static bool send_token(struct sup *s, struct vsk *listener)
{
	AUTO_FD int fd = -1;

	(void)s;
	if (listener->n_arrivals > QUEUE_MAX || make(SOCK_NONBLOCK, &fd) < 0 || vsk_arrive(listener, NULL) < 0)
		return false;
	if (connect_to(fd, listener->name) == 0)
		return true;
	vsk_take_last_arrival(listener);
	return false;
}

static int shut_down(int fd, struct vsk *v, int how)
{
	struct vsk_arrival a;

	if (v->status != VSK_LISTENING) {
		int rc = shutdown(fd, how) < 0 ? -errno : 0;

		/* TCP says so too, and remembers it all the same. */
		return v->status == VSK_CONNECTED ? rc : -ENOTCONN;
	}
	if (how == SHUT_WR)
		return 0;
	/* Those that wait to be accepted never will be. */
	for (int got = 0; got >= 0 || got == -ECONNABORTED;) {
		got = accept_any(fd, v, 0, &a);
		if (got >= 0)
			(void)close(got);
	}
	v->spent = true;
	return shutdown(fd, SHUT_RDWR) < 0 ? -errno : 0;
}

/* --- collecting ------------------------------------------------------------------ */

static void saw(void *ctx, const struct sockdiag_entry *entry)
{
	struct vsk *v = vsk_find(ctx, entry->cookie);

	if (v)
		v->seen = true;
}

static int look(struct sup *s, bool again)
{
	int rc = again ? sockdiag_list_again(&s->diag, SOCKDIAG_UNIX, saw, &s->table) :
			 sockdiag_list(&s->diag, SOCKDIAG_UNIX, saw, &s->table);

	return rc < 0 ? rc : s->diag.parts > 1;
}

static bool is_gone(const struct vsk *v)
{
	(void)v;
	return true; /* the kernel lists every one */
}

/* --- what the kernel has to have --------------------------------------------------- */

/* Both ends of a connection made as those of apps are. */
static int try_pair(const struct guard *g, bool *ret_closed)
{
	AUTO_FD int client = -1, server = -1;
	int on = 1, rc = make(0, &client);
	socklen_t len = sizeof on;

	if (rc == 0)
		rc = transport_wire_meet(g, client, &server);
	if (rc < 0)
		return rc;
	if (getsockopt(server, SOL_SOCKET, SO_PASSRIGHTS, &on, &len) < 0)
		return -errno;
	*ret_closed = !on;
	return 0;
}

static void ignore(void *ctx, const struct sockdiag_entry *entry)
{
	(void)ctx;
	(void)entry;
}

int transport_wire_check(struct sup *s, struct err *e)
{
	bool closed = false;
	int rc = try_pair(&s->guard, &closed);

	if (rc == -ENOPROTOOPT || rc == -EOPNOTSUPP || (rc == 0 && !closed)) {
		(void)err_set(e, ENOTSUP, "\"transport\": \"wire\": this kernel cannot keep descriptors from passing "
					  "between domains (SO_PASSRIGHTS)");
		return err_hint(e, "it takes Linux 6.16; \"transport\": \"tcp\" works on every kernel");
	}
	if (rc < 0)
		return err_num(e, -rc, "\"transport\": \"wire\"");
	rc = sockdiag_list(&s->diag, SOCKDIAG_UNIX, ignore, NULL);
	if (rc < 0) {
		(void)err_num(e, -rc, "\"transport\": \"wire\": asking the kernel for its AF_UNIX sockets");
		return err_hint(e, "load the kernel's module unix_diag, or use \"transport\": \"tcp\"");
	}
	return 0;
}

const struct transport transport_wire = {
	.create = create,
	.describe = describe,
	.set_v6only = set_v6only,
	.bind = bind_row,
	.in_use = in_use,
	.listen = listen_row,
	.bind_source = bind_source,
	.has_room = has_room,
	.connect = connect_row,
	.connect_again = connect_again,
	.disconnect = disconnect,
	.accept = accept_next,
	.send_token = send_token,
	.shutdown = shut_down,
	.look = look,
	.is_gone = is_gone,
};
