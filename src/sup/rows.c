/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written by hand and not with jansson, since a list may have a hundred
 * thousand rows and the loop has others to serve.
 */
#include "sup/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sup/domain.h"
#include "sup/transport.h"

/* include/net/tcp_states.h */
enum state {
	STATE_ESTABLISHED = 1,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT1,
	STATE_FIN_WAIT2,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_CLOSING,
	STATE_NEW_SYN_RECV,
	STATE_BOUND_INACTIVE,
	STATES
};

static const char *const state_names[STATES] = {
	"",	      "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",	  "TIME_WAIT", "CLOSE",
	"CLOSE_WAIT", "LAST_ACK",    "LISTEN",	 "CLOSING",  "SYN_RECV",  "BOUND_INACTIVE",
};

static const char *const status_names[] = {
	[ROW_UNCONNECTED] = "unconnected", [ROW_BOUND] = "bound",
	[ROW_LISTENING] = "listening",	   [ROW_CONNECTING] = "connecting",
	[ROW_CONNECTED] = "connected",	   [ROW_SENDING] = "sending",
	[ROW_RECEIVING] = "receiving",	   [ROW_SHUTDOWN] = "shutdown",
	[ROW_DISCONNECTED] = "disconnected", [ROW_TERMINATED] = "terminated",
};
static_assert(sizeof status_names / sizeof *status_names == ROW_STATUSES, "every status has a name");

const char *rows_status_name(enum row_status s)
{
	return status_names[s];
}

/* --- status ---------------------------------------------------------------------- */

static enum row_status unlisted(const struct vsk *v)
{
	if (v->host) /* it is in no list of F's */
		return v->status == VSK_CONNECTING ? ROW_CONNECTING : ROW_CONNECTED;
	switch ((enum vsk_status)v->status) {
	case VSK_UNCONNECTED:
		return v->wire ? ROW_TERMINATED : ROW_UNCONNECTED; /* the kernel lists these nowhere */
	case VSK_BOUND: /* nor these before 6.8 */
		return v->at && transport_of(v)->in_use(v) ? ROW_BOUND : ROW_TERMINATED;
	default:
		return ROW_TERMINATED;
	}
}

static enum row_status by_queues(const struct sockdiag_entry *e)
{
	return e->send_queue ? ROW_SENDING : e->receive_queue ? ROW_RECEIVING : ROW_CONNECTED;
}

static enum row_status wire_status(const struct vsk *v, const struct sockdiag_entry *e)
{
	switch ((enum vsk_status)v->status) {
	case VSK_UNCONNECTED:
		return ROW_UNCONNECTED;
	case VSK_BOUND:
		return ROW_BOUND;
	case VSK_LISTENING:
		return ROW_LISTENING;
	case VSK_CONNECTING:
		return ROW_CONNECTING;
	default:
		return e->shut == 3 ? ROW_DISCONNECTED : e->shut ? ROW_SHUTDOWN : by_queues(e);
	}
}

enum row_status rows_status(const struct vsk *v, const struct sockdiag_entry *e)
{
	if (!e)
		return unlisted(v);
	if (e->kind == SOCKDIAG_UNIX)
		return e->orphan ? ROW_TERMINATED : wire_status(v, e);
	if (e->state == STATE_TIME_WAIT)
		return ROW_DISCONNECTED;
	if (e->orphan)
		return ROW_TERMINATED;
	switch ((enum state)e->state) {
	case STATE_ESTABLISHED:
		return by_queues(e);
	case STATE_SYN_SENT:
	case STATE_SYN_RECV:
	case STATE_NEW_SYN_RECV:
		return ROW_CONNECTING;
	case STATE_FIN_WAIT1:
	case STATE_FIN_WAIT2:
	case STATE_CLOSE_WAIT:
		return ROW_SHUTDOWN;
	case STATE_LISTEN:
		return ROW_LISTENING;
	case STATE_LAST_ACK:
	case STATE_CLOSING:
		return ROW_DISCONNECTED;
	default:
		return ROW_BOUND;
	}
}

/* --- text ------------------------------------------------------------------------ */

struct line {
	char *at, *end;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *l, const char *fmt, ...)
{
	size_t room = (size_t)(l->end - l->at);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->at, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->at += (size_t)n < room ? (size_t)n : room - 1;
}

/* A JSON string of at most `most` bytes of the text, cut between characters. */
static void put_string(struct line *l, const char *key, const char *text, size_t most)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len = strlen(text);

	if (len > most)
		for (len = most; len && (s[len] & 0xc0) == 0x80; len--)
			;
	put(l, "\"%s\":\"", key);
	for (size_t i = 0; i < len && l->end - l->at > 8; i++)
		if (s[i] == '"' || s[i] == '\\')
			put(l, "\\%c", s[i]);
		else if (s[i] < 0x20 || s[i] == 0x7f)
			put(l, "\\u%04x", s[i]);
		else
			*l->at++ = (char)s[i];
	put(l, "\",");
}

static void put_place(struct line *l, const char *key, bool v6, const struct addr *a, uint16_t port)
{
	static const struct addr none;
	char text[ADDR_TEXT_MAX];

	if (addr_equal(a, &none) && !v6)
		(void)snprintf(text, sizeof text, "0.0.0.0");
	else
		(void)addr_format(a, text, sizeof text);
	put(l, strchr(text, ':') ? "\"%s\":\"[%s]:%u\"," : "\"%s\":\"%s:%u\",", key, text, port);
}

static void put_bool(struct line *l, const char *key, bool value, const char *after)
{
	put(l, "\"%s\":%s%s", key, value ? "true" : "false", after);
}

static void put_options(struct line *l, const struct vsk *v, const struct sockdiag_entry *e)
{
	put(l, "\"options\":{");
	put_bool(l, "reuseAddr", v->reuse_addr, ",");
	put_bool(l, "reusePort", v->reuse_port, ",");
	if (v->v6)
		put_bool(l, "v6only", v->v6only, ",");
	if (e && e->receive_buffer)
		put(l, "\"receiveBuffer\":%u,\"sendBuffer\":%u,", e->receive_buffer, e->send_buffer);
	if (e && *e->congestion)
		put_string(l, "congestion", e->congestion, sizeof e->congestion);
	put_bool(l, "keepalive", e && e->keepalive, "},");
}

/* What the kernel did not list has no queues: null, unless it never had any. */
static void put_queues(struct line *l, const struct vsk *v, const struct sockdiag_entry *e)
{
	bool listens = v->status == VSK_LISTENING;

	if (e && !listens)
		put(l, "\"sendQueue\":%u,\"receiveQueue\":%u,", e->send_queue, e->receive_queue);
	else if (e || v->status == VSK_UNCONNECTED || v->status == VSK_BOUND)
		put(l, "\"sendQueue\":0,\"receiveQueue\":0,");
	else
		put(l, "\"sendQueue\":null,\"receiveQueue\":null,");
	if (listens && e)
		put(l, "\"connectionQueue\":%u,\"backlog\":%u,", e->receive_queue, v->backlog);
	else if (listens)
		put(l, "\"connectionQueue\":null,\"backlog\":%u,", v->backlog);
	else
		put(l, "\"connectionQueue\":null,\"backlog\":null,");
	if (e && e->counted)
		put(l, "\"bytesIn\":%" PRIu64 ",\"bytesOut\":%" PRIu64 ",", e->bytes_in, e->bytes_out);
	else
		put(l, "\"bytesIn\":null,\"bytesOut\":null,");
}

static void put_head(struct line *l, uint64_t id, const struct domain *d)
{
	put(l, "{\"id\":%" PRIu64 ",", id);
	put_string(l, "domain", d->n_names ? d->names[0] : "", 255);
	put_string(l, "container", d->id, 255);
}

static void put_tail(struct line *l, const struct policy_rule *rule, uint32_t generation)
{
	if (rule)
		put_string(l, "rule", rule->id, 255);
	else
		put(l, "\"rule\":null,");
	put(l, "\"generation\":%u}\n", generation);
}

size_t rows_json(const struct vsk *v, const struct sockdiag_entry *e, char buf[static ROWS_LINE_MAX])
{
	struct line l = { buf, buf + ROWS_LINE_MAX - 1 };
	const char *transport = v->host ? "host" : v->wire ? "wire" : "tcp";

	put_head(&l, v->id, v->domain);
	put(&l, "\"type\":\"stream\",\"protocol\":\"tcp\",\"family\":\"%s\",\"transport\":\"%s\",",
	    v->v6 ? "inet6" : "inet", transport);
	put_place(&l, "local", v->v6, &v->local, v->local_port);
	if (v->remote_port)
		put_place(&l, "remote", v->v6, &v->remote, v->remote_port);
	else
		put(&l, "\"remote\":null,");
	put_string(&l, "status", rows_status_name(rows_status(v, e)), 16);
	if (e && e->kind == SOCKDIAG_TCP6 && e->state < STATES)
		put_string(&l, "state", state_names[e->state], 16);
	else
		put(&l, "\"state\":null,");
	put_options(&l, v, e);
	put_queues(&l, v, e);
	put_tail(&l, v->rule, v->generation);
	return (size_t)(l.at - buf);
}

size_t rows_flow_json(const struct flow *f, bool other_side, char buf[static ROWS_LINE_MAX])
{
	struct line l = { buf, buf + ROWS_LINE_MAX - 1 };
	const struct frame_ends *e = &f->ends;
	bool v6 = !addr_is_v4(&e->from);
	unsigned in = other_side ? 0 : 1;

	put_head(&l, f->id, other_side ? f->to : f->from);
	put(&l, "\"type\":\"datagram\",\"protocol\":\"udp\",\"family\":\"%s\",\"transport\":\"udp\",",
	    v6 ? "inet6" : "inet");
	put_place(&l, other_side ? "remote" : "local", v6, &e->from, e->from_port);
	put_place(&l, other_side ? "local" : "remote", v6, &e->to, e->to_port);
	put_string(&l, "status", rows_status_name(f->answered ? ROW_CONNECTED : ROW_CONNECTING), 16);
	put(&l, "\"state\":null,\"options\":{},\"sendQueue\":null,\"receiveQueue\":null,"
		"\"connectionQueue\":null,\"backlog\":null,\"bytesIn\":%" PRIu64 ",\"bytesOut\":%" PRIu64 ",",
	    f->bytes[in], f->bytes[!in]);
	put_tail(&l, other_side ? NULL : f->rule, f->generation);
	return (size_t)(l.at - buf);
}
