/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What carries a stream inside F. A transport makes the sockets and knows how
 * places are named there; virtual addresses, rules, conflicts and waits are
 * the table's, and the same for all of them.
 *
 * Nothing here may wait on an app. `fd` is a duplicate of the app's socket,
 * `v` its row.
 */
#ifndef VRUN_SUP_TRANSPORT_H
#define VRUN_SUP_TRANSPORT_H

#include "base/err.h"
#include "sup/vsk.h"

struct sup;

struct transport {
	/* A new stream for an app of the domain, close-on-exec. 0 or -errno. */
	int (*create)(struct sup *s, struct domain *d, bool v6, bool nonblock, int *ret_fd);
	/* The row of a socket of ours that has none any more: fills what the socket itself can say. */
	void (*describe)(struct sup *s, int fd, struct vsk *v);
	/* IPV6_V6ONLY was set. 0 or -errno. */
	int (*set_v6only)(int fd, struct vsk *v, bool v6only);

	/* Binds to v->at and v->local_port, which is not 0. -EADDRINUSE. */
	int (*bind)(int fd, struct vsk *v);
	/* Whether the socket of a bound row is still there, in the way of another. */
	bool (*in_use)(const struct vsk *v);
	int (*listen)(int fd, struct vsk *v, unsigned backlog);

	/* Gives an unbound socket the place v->at before it connects, and any port. */
	int (*bind_source)(struct sup *s, int fd, struct vsk *v);
	/* 1: a connection more would not have to wait for the listener; 0: it would; -ESTALE: the listener's socket is
	 * closed, or does not listen any more. */
	int (*has_room)(struct sup *s, struct vsk *listener);
	/*
	 * To v->remote_port at v->to, where `listener` is; NULL: where nobody can
	 * be. Sets v->local_port. 0, -EINPROGRESS or what connect(2) says; with the
	 * first two the listener knows what the client is called. -ESTALE: the
	 * listener's socket is closed, and its row is to go.
	 */
	int (*connect)(int fd, struct vsk *v, struct vsk *listener);
	/* Once more, with v->to set: -EISCONN, -EALREADY, 0, how it went, or -EINVAL: there is no connection. */
	int (*connect_again)(int fd, struct vsk *v);
	/* Takes the connection away, as connect(2) with AF_UNSPEC. */
	int (*disconnect)(int fd, struct vsk *v);

	/*
	 * The listener's next connection: a descriptor and who is at its other
	 * end, or a token. -EAGAIN: none; what accept4(2) says. `flags` are those of
	 * accept4. -ETIME as socket_accept().
	 */
	int (*accept)(struct sup *s, int fd, struct vsk *listener, int flags, struct vsk_arrival *ret);
	/* Makes the listener readable, for a connection that is parked. False: it does not. */
	bool (*send_token)(struct sup *s, struct vsk *listener);

	/* shutdown(2), where the kernel's own will not do; else NULL. Sets `spent` when the row listens no more. */
	int (*shutdown)(int fd, struct vsk *v, int how);

	/* Ends a connection or a listener whoever has it, as a reset does; NULL where the kernel cannot.
	 * -ENOENT: it is not there. */
	int (*cut)(struct sup *s, const struct vsk *v);

	/* Sets `seen` in the rows of the sockets that there are; `again`: in other parts than before. 0 or -errno; 1: it came
	 * in parts, and may have missed some. */
	int (*look)(struct sup *s, bool again);
	/* Beyond that: whether a row that was not seen has lost its socket. */
	bool (*is_gone)(const struct vsk *v);
	/* Whether a row has its socket still, as far as the kernel tells of one alone; NULL: it does not. */
	bool (*is_there)(struct sup *s, const struct vsk *v);
};

extern const struct transport transport_tcp, transport_wire;
extern const struct transport transport_host; /* not all of it: connect_again, look, is_gone */

/*
 * How the connection of a TCP socket of that family goes, in the way of connect(2), without ever
 * waiting for it: -EALREADY, 0, -EISCONN, how it went, or -EINVAL: none was begun.
 */
int transport_progress(int fd, int family);

struct guard;
/* Connects a wire of an app's to one of the supervisor's, through which descriptors do not pass either. *ret_server is
 * the caller's, non-blocking. 0 or -errno. */
int transport_wire_meet(const struct guard *g, int client, int *ret_server);

#define TOKEN_MS 500 /* that one may be under way: over lo it takes none, or was dropped */
/* Ends tokens to the domain's listeners that have been under way since before then. */
void transport_tcp_end_tokens(struct domain *d, int64_t before);

/* 0, or why this kernel cannot have wires, and what to do. */
int transport_wire_check(struct sup *s, struct err *e);

const struct transport *transport_of(const struct vsk *v);
const struct transport *transport_of_domain(const struct domain *d);

#endif
