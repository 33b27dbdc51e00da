/* SPDX-License-Identifier: Apache-2.0 */
/* Flows of datagrams to the outside: their sockets are the gateway's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sup/decide.h"
#include "sup/sup.h"

#define HELD_MAX (96 << 10) /* bytes that wait for the gateway's socket; more are lost */
#define HELD_COST 64 /* of each datagram, beside its own */
#define BATCH 32     /* that come in one turn */

struct held {
	STAILQ_ENTRY(held) link;
	size_t len;
	uint8_t bytes[]; /* a gateway_datagram and what it has */
};

struct flow_out {
	struct watch watch;
	struct flow *flow;
	struct sup *sup;
	uint32_t job; /* of the gateway, while there is no descriptor */
	int fd;       /* owned; -1: not yet, or not any more */
	STAILQ_HEAD(, held) held;
	size_t held_bytes;
	bool over;    /* the outside said no: what is sent is answered with an error */
};

static void drop_held(struct flow_out *o)
{
	struct held *h;

	while ((h = STAILQ_FIRST(&o->held))) {
		STAILQ_REMOVE_HEAD(&o->held, link);
		free(h);
	}
	o->held_bytes = 0;
}

void flow_out_end(struct flow *w)
{
	struct flow_out *o = w->out;

	if (!o)
		return;
	if (o->job)
		gateway_cancel(&w->from->gateway, o->job);
	if (o->fd >= 0)
		loop_remove(&o->sup->loop, o->fd, &o->watch);
	fd_close(&o->fd);
	drop_held(o);
	w->from->n_out--;
	w->out = NULL;
	free(o);
}

bool flow_out_is_over(const struct flow *w)
{
	return w->out && w->out->over;
}

/* --- from the outside ------------------------------------------------------------------------ */

/* The app's kernel hears that nobody is there, and tells the socket that sent. */
static void tell_refused(struct flow_out *o)
{
	size_t len = frame_write_error(o->sup->flows.buffer, &o->flow->ends);

	flow_deliver(o->sup, o->flow->from, len);
}

static void stop(struct flow_out *o)
{
	loop_remove(&o->sup->loop, o->fd, &o->watch);
	fd_close(&o->fd);
	o->over = true;
}

static void ready(struct watch *watch, uint32_t events)
{
	struct flow_out *o = (struct flow_out *)((char *)watch - offsetof(struct flow_out, watch));
	const struct frame_ends *sent = &o->flow->ends;
	const struct frame_ends back = { sent->to, sent->from, sent->to_port, sent->from_port };
	uint8_t *buffer = o->sup->flows.buffer;
	size_t at = FRAME_PAYLOAD(addr_is_v4(&back.from)) - sizeof(struct gateway_datagram);

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		struct gateway_datagram head;
		ssize_t n = recv(o->fd, buffer + at, sizeof o->sup->flows.buffer - at, MSG_DONTWAIT);
		size_t len;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < (ssize_t)sizeof head) {
			stop(o);
			return;
		}
		memcpy(&head, buffer + at, sizeof head);
		if (head.error) {
			if (head.error == ECONNREFUSED)
				tell_refused(o);
			continue;
		}
		len = frame_write(buffer, &back, (size_t)n - sizeof head);
		flow_answered(o->flow, (size_t)n - sizeof head);
		if (len)
			flow_deliver(o->sup, o->flow->from, len);
	}
}

/* --- to the outside ---------------------------------------------------------------------------- */

static void hold(struct flow_out *o, const struct gateway_datagram *head, const uint8_t *bytes, size_t len)
{
	bool room = o->held_bytes + HELD_COST + len <= HELD_MAX;
	struct held *h = room ? malloc(sizeof *h + sizeof *head + len) : NULL;

	if (!h)
		return;
	h->len = sizeof *head + len;
	memcpy(h->bytes, head, sizeof *head);
	memcpy(h->bytes + sizeof *head, bytes, len);
	STAILQ_INSERT_TAIL(&o->held, h, link);
	o->held_bytes += HELD_COST + len;
}

/* What finds no room is lost, as datagrams are. False: the gateway has ended, which we have not heard yet. */
static bool send_one(struct flow_out *o, const uint8_t *bytes, size_t len)
{
	struct gateway_datagram head = { 0 };
	struct iovec iov[] = { { &head, sizeof head }, { (void *)(uintptr_t)bytes, len } };
	const struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	if (o->fd >= 0)
		return sendmsg(o->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || (errno != EPIPE && errno != ECONNRESET);
	if (!o->over)
		hold(o, &head, bytes, len);
	return true;
}

void flow_out_send(struct sup *s, struct flow *w, size_t payload)
{
	const uint8_t *bytes = s->flows.buffer + frame_payload_at(s->flows.buffer);
	size_t size = frame_payload_size(s->flows.buffer, payload), left = payload;

	if (w->out->over) {
		tell_refused(w->out);
		return;
	}
	do {
		size_t n = left < size ? left : size;

		if (!send_one(w->out, bytes, n)) {
			stop(w->out);
			tell_refused(w->out); /* over the bytes */
			return;
		}
		bytes += n;
		left -= n;
	} while (left);
}

/* The gateway knows the address that a name has, and that the policy keeps it from it. */
static void record(const struct flow *w, const struct gateway_answer *a)
{
	struct decision d;
	struct audit_record r = { .domain = w->from, .call = "send", .attempt = &d.attempt, .verdict = &d.verdict };

	decide_connect(w->from->sup, w->from, POLICY_UDP, &w->ends.from, &w->ends.to, w->ends.to_port, &d);
	if (a->n && d.name) {
		d.target = a->addresses[0];
		d.attempt.peer.addr = &d.target;
		policy_decide_bounded(&w->from->policy, domain_ceiling(w->from), &d.attempt, &d.verdict);
	}
	if (!d.verdict.allow && domain_may_record(w->from))
		sup_audit(w->from, &r);
}

/* Who sends hears no more than that nobody is there. */
static void complain(const struct flow *w, const struct gateway_answer *a)
{
	struct sup *s = w->from->sup;
	struct err e;

	if (!s->complain || !domain_may_record(w->from))
		return;
	(void)err_num(&e, a->error ? a->error : ENFILE, "container %s: a flow of datagrams to the outside", w->from->id);
	(void)err_hint(&e, "each takes two open files of the gateway's and one of the supervisor's: raise the hard limit "
			   "(ulimit -Hn), or have fewer at a time");
	s->complain(&e);
}

static void answered(void *ctx, const struct gateway_answer *a, int fd)
{
	struct flow_out *o = ctx;
	struct held *h;

	o->job = 0;
	if (a->kind == GATEWAY_CONNECTED && fd >= 0 && loop_add(&o->sup->loop, fd, EPOLLIN, &o->watch) == 0) {
		o->fd = fd;
		STAILQ_FOREACH(h, &o->held, link)
			(void)send(o->fd, h->bytes, h->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		drop_held(o);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
	if (a->kind == GATEWAY_DENIED)
		record(o->flow, a);
	else if (a->kind == GATEWAY_CONNECTED || a->error == EMFILE || a->error == ENFILE || a->error == ENOBUFS)
		complain(o->flow, a);
	o->over = true;
	drop_held(o);
	tell_refused(o);
}

/* The one that was silent longest makes room. */
static void make_room(struct domain *d)
{
	struct flow *w;

	TAILQ_FOREACH(w, &d->flows, in_domain)
		if (w->out)
			break;
	if (!w)
		return;
	flow_out_end(w);
	w->denied = true;
	w->last = 0; /* it is over: the next datagram opens it again */
}

bool flow_out_begin(struct sup *s, struct flow *w, const struct decision *d)
{
	struct domain *from = w->from;
	bool v4 = addr_is_v4(&w->ends.to);
	struct gateway_request r = { .kind = GATEWAY_FLOW, .port = w->ends.to_port, .addr = w->ends.to,
				     .want_v4 = v4, .want_v6 = !v4,
				     .to = d->host ? GATEWAY_TO_HOST : d->name ? GATEWAY_TO_NAME : GATEWAY_TO_ADDRESS };
	struct flow_out *o;

	if (from->gateway.fd < 0)
		return false;
	if (from->n_out >= FLOW_OUT_MAX)
		make_room(from);
	o = calloc(1, sizeof *o);
	if (!o)
		return false;
	if (d->name)
		(void)snprintf(r.name, sizeof r.name, "%s", d->name);
	*o = (struct flow_out){ .watch = { ready }, .flow = w, .sup = s, .fd = -1 };
	STAILQ_INIT(&o->held);
	o->job = gateway_ask(&from->gateway, &r, answered, o);
	if (!o->job) {
		free(o);
		return false;
	}
	w->out = o;
	from->n_out++;
	return true;
}
