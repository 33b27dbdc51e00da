/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GATEWAY_FLOW: datagrams to one peer. The socket of the host's stays here, connected
 * to an address that was decided on; the supervisor gets one end of a socket
 * pair, and what goes through it goes through the socket. What finds no room is
 * lost, as datagrams are. The end of the pair is the end of the flow.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"

#define BATCH 32               /* datagrams of one direction in one turn */
#define BUFFER (1 << 20)       /* bytes that wait for us on the host's side */
#define DATAGRAM_MAX 65535

struct relay {
	LIST_ENTRY(relay) link;
	struct gate_watch outside, inside;
	int socket, pair; /* owned */
	/* What it was decided for. */
	uint8_t to;
	uint16_t port;
	struct addr addr;
	char name[NAME_TEXT_MAX];
};

/* A flow whose name is being looked up. */
struct opening {
	struct gate_job job;
	struct gate_asker asker;
	struct gateway_request r;
};

static union {
	struct gateway_datagram head;
	uint8_t bytes[sizeof(struct gateway_datagram) + DATAGRAM_MAX];
} buffer;

/* --- what passes --------------------------------------------------------------------------- */

static void relay_free(struct gate *g, struct relay *f)
{
	gate_watch_remove(g, f->socket);
	gate_watch_remove(g, f->pair);
	fd_close(&f->socket);
	fd_close(&f->pair);
	LIST_REMOVE(f, link);
	g->n_relays--;
	free(f);
}

void gate_flows_fini(struct gate *g)
{
	while (!LIST_EMPTY(&g->relays))
		relay_free(g, LIST_FIRST(&g->relays));
}

/* Of an address that a name has the supervisor does not know; and what it knows may not matter to it. */
void gate_flows_review(struct gate *g)
{
	struct relay *f = LIST_FIRST(&g->relays), *next;

	for (; f; f = next) {
		struct gateway_request r = { .to = f->to, .port = f->port };

		next = LIST_NEXT(f, link);
		memcpy(r.name, f->name, sizeof r.name);
		if (gate_decide(g, &r, POLICY_UDP, &f->addr) != GATE_ALLOWED)
			relay_free(g, f);
	}
}

static void tell_error(const struct relay *f, int error)
{
	const struct gateway_datagram head = { .error = error };

	(void)send(f->pair, &head, sizeof head, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void from_outside(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct relay *f = (struct relay *)((char *)w - offsetof(struct relay, outside));

	(void)g;
	(void)events;
	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(f->socket, buffer.bytes + sizeof buffer.head, DATAGRAM_MAX, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			tell_error(f, errno);
			continue;
		}
		buffer.head.error = 0;
		(void)send(f->pair, buffer.bytes, sizeof buffer.head + (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

/* An error of an earlier datagram is told, and does not keep this one. */
static void send_out(const struct relay *f, size_t len)
{
	for (int i = 0; i < 2; i++) {
		if (send(f->socket, buffer.bytes + sizeof buffer.head, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
		    errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE)
			return;
		tell_error(f, errno);
	}
}

static void from_inside(struct gate *g, struct gate_watch *w, uint32_t events)
{
	struct relay *f = (struct relay *)((char *)w - offsetof(struct relay, inside));

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(f->pair, buffer.bytes, sizeof buffer.bytes, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < (ssize_t)sizeof buffer.head) {
			relay_free(g, f);
			return;
		}
		send_out(f, (size_t)n - sizeof buffer.head);
	}
}

/* --- opening one ------------------------------------------------------------------------------ */

static int connect_out(const struct addr *a, uint16_t port)
{
	int family = addr_is_v4(a) ? AF_INET : AF_INET6, size = BUFFER;
	AUTO_FD int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	rc = gate_socket_connect(fd, family == AF_INET6, a, port);
	return rc < 0 ? rc : fd_take(&fd);
}

/* Takes the socket. The supervisor's end, or -errno. */
static int relay_new(struct gate *g, int fd, const struct gateway_request *r, const struct addr *addr)
{
	struct relay *f = g->n_relays < GATE_FLOWS_MAX ? calloc(1, sizeof *f) : NULL;
	int pair[2];

	if (!f || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		free(f);
		(void)close(fd);
		return -ENOBUFS;
	}
	*f = (struct relay){ .outside = { from_outside }, .inside = { from_inside }, .socket = fd, .pair = pair[0],
			     .to = r->to, .port = r->port, .addr = *addr };
	memcpy(f->name, r->name, sizeof f->name);
	LIST_INSERT_HEAD(&g->relays, f, link);
	g->n_relays++;
	if (gate_watch_add(g, f->socket, EPOLLIN, &f->outside) == 0 &&
	    gate_watch_add(g, f->pair, EPOLLIN, &f->inside) == 0)
		return pair[1];
	(void)close(pair[1]);
	relay_free(g, f);
	return -ENOBUFS;
}

/* To the first of the addresses that the policy lets through and that there is a way to. */
static void open_to(struct gate *g, const struct gateway_request *r, const struct addr *v, unsigned n)
{
	struct gateway_answer a = { .kind = GATEWAY_FAILED, .id = r->id, .port = r->port, .error = ENETUNREACH };
	int fd = -1;

	for (unsigned i = 0; i < n && fd < 0; i++) {
		enum gate_decision d = gate_decide(g, r, POLICY_UDP, &v[i]);

		a.n = 1;
		a.addresses[0] = v[i];
		if (d == GATE_DENIED)
			a.kind = GATEWAY_DENIED;
		if (d != GATE_ALLOWED)
			continue;
		fd = connect_out(&v[i], r->port);
		a.kind = GATEWAY_FAILED;
		a.error = fd < 0 ? -fd : 0;
	}
	if (fd >= 0) {
		fd = relay_new(g, fd, r, &a.addresses[0]);
		a.kind = fd >= 0 ? GATEWAY_CONNECTED : GATEWAY_FAILED;
		a.error = fd >= 0 ? 0 : -fd;
	}
	gate_tell(g, &a, fd);
}

static void end(struct gate *g, struct gate_job *job)
{
	struct opening *o = (struct opening *)((char *)job - offsetof(struct opening, job));

	gate_job_remove(g, job);
	gate_names_cancel(&o->asker);
	free(o);
}

static void answer(struct gate *g, const struct gateway_request *r, const struct gate_found *f)
{
	if (f->error)
		gate_tell_failed(g, r->id, EHOSTUNREACH);
	else
		open_to(g, r, f->addresses, f->n);
}

static void found(struct gate *g, struct gate_asker *asker, const struct gate_found *f)
{
	struct opening *o = (struct opening *)((char *)asker - offsetof(struct opening, asker));

	answer(g, &o->r, f);
	end(g, &o->job);
}

static void look_up(struct gate *g, const struct gateway_request *r)
{
	struct gateway_answer denied = { .kind = GATEWAY_DENIED, .id = r->id };
	struct opening *o;
	struct gate_found f;

	if (!gate_may_connect(g, r, POLICY_UDP)) {
		gate_tell(g, &denied, -1);
		return;
	}
	o = calloc(1, sizeof *o);
	if (!o || !gate_job_add(g, &o->job, r->id)) {
		free(o);
		gate_tell_failed(g, r->id, ENOBUFS);
		return;
	}
	o->job.end = end;
	o->asker.found = found;
	o->r = *r;
	if (gate_names_ask(g, r->name, r->want_v6, &o->asker, &f)) {
		answer(g, r, &f);
		end(g, &o->job);
	}
}

void gate_flow(struct gate *g, const struct gateway_request *r)
{
	const struct addr loopback4 = addr_v4(127, 0, 0, 1), loopback6 = { { [15] = 1 } };
	const struct addr loopback = r->want_v6 ? loopback6 : loopback4;

	if (r->to == GATEWAY_TO_NAME)
		look_up(g, r);
	else
		open_to(g, r, r->to == GATEWAY_TO_HOST ? &loopback : &r->addr, 1);
}
