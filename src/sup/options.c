/* SPDX-License-Identifier: Apache-2.0 */
/* getsockopt(2) and setsockopt(2) for the few options that the row answers. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/bind.h"
#include "sup/datagram.h"
#include "sup/handoff.h"
#include "sup/transport.h"
#include "sup/wire_options.h"

/* Level and option are what the filter traps; a bundle's own filter may trap more. */
static bool trapped(const struct call *c, bool set)
{
	return syscalls_option(c->domain->trapped, set, (int)c->args[1], (int)c->args[2]) == OPTION_TRAPPED;
}

/* Trapped for every domain with rules. */
static bool always(const struct call *c, bool set)
{
	return syscalls_option(0, set, (int)c->args[1], (int)c->args[2]) == OPTION_TRAPPED;
}

/* A wire has it from its row. */
static bool of_wires(const struct call *c, bool set)
{
	return syscalls_option(POLICY_NEEDS_WIRE, set, (int)c->args[1], (int)c->args[2]) == OPTION_TRAPPED;
}

/* Answered from the row whatever the transport is; the others are those of wires. */
static bool of_row(const struct call *c)
{
	int level = (int)c->args[1], option = (int)c->args[2];

	return (level == SOL_SOCKET && option == SO_DOMAIN) ||
	       (level == IPPROTO_IPV6 && option == IPV6_V6ONLY);
}

/* Trapped without wires, and not for the row: only datagram sockets may have it. */
static bool of_datagrams(const struct call *c)
{
	return !of_row(c) && always(c, true);
}

static int64_t write_value(struct call *c, const void *value, size_t size)
{
	int room;

	if (guestmem_read(c->tid, c->args[4], &room, sizeof room) < 0)
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (room > (int)size)
		room = (int)size;
	if (!call_valid(c))
		return CALL_ANSWERED;
	if (guestmem_write(c->tid, c->args[3], value, (size_t)room) < 0 ||
	    guestmem_write(c->tid, c->args[4], &room, sizeof room) < 0)
		return -EFAULT;
	return 0;
}

static int64_t write_int(struct call *c, int value)
{
	return write_value(c, &value, sizeof value);
}

/* --- SO_LINGER --------------------------------------------------------------------- */

/*
 * The last one who closes a TCP socket waits as long for what is still to be sent, and that
 * may be the supervisor, whose duplicate outlives the app's descriptor. So the
 * kernel is told to reset a connection or not to, and never to wait.
 */
static bool is_linger(const struct call *c)
{
	return (int)c->args[1] == SOL_SOCKET && (int)c->args[2] == SO_LINGER;
}

static int64_t set_linger(struct call *c, struct target *t)
{
	struct linger l;
	bool tcp = t->row && !t->row->wire;

	if ((int)c->args[4] < (int)sizeof l)
		return -EINVAL;
	if (guestmem_read(c->tid, c->args[3], &l, sizeof l) < 0)
		return -EFAULT;
	if (!call_valid(c))
		return CALL_ANSWERED;
	if (tcp) {
		t->row->linger = l.l_onoff ? l.l_linger : 0;
		l.l_onoff = l.l_onoff && l.l_linger == 0;
	}
	return setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l) < 0 ? -errno : 0;
}

static int64_t get_linger(struct call *c, const struct target *t)
{
	const struct linger l = { .l_onoff = 1, .l_linger = t->row && !t->row->wire ? t->row->linger : 0 };

	return l.l_linger ? write_value(c, &l, sizeof l) : CALL_CONTINUE;
}

/* --- TCP_DEFER_ACCEPT -------------------------------------------------------------- */

/*
 * The kernel would keep back what tells the listener that somebody has come from outside (a token), which
 * sends no bytes. So where somebody may, it does nothing, as with wires.
 */
static bool is_defer(const struct call *c)
{
	return (int)c->args[1] == IPPROTO_TCP && (int)c->args[2] == TCP_DEFER_ACCEPT;
}

static int64_t set_defer(const struct call *c)
{
	int seconds;

	if ((int)c->args[4] < (int)sizeof seconds)
		return -EINVAL;
	return guestmem_read(c->tid, c->args[3], &seconds, sizeof seconds) < 0 ? -EFAULT : 0;
}

/* --- the calls --------------------------------------------------------------------- */

int64_t handle_getsockopt(struct call *c)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);

	if (rc < 0)
		return rc;
	if (!trapped(c, false))
		return -ENOPROTOOPT;
	if (t.datagram)
		return datagram_getsockopt(c, &t);
	if (is_linger(c))
		return get_linger(c, &t);
	if ((int)c->args[1] == SOL_SOCKET && (int)c->args[2] == SO_ERROR && t.row) {
		int error = outgoing_error(&t);

		return error ? write_int(c, error) : CALL_CONTINUE;
	}
	if (!of_row(c)) /* harmless on any socket: without wires it is not even trapped */
		return t.row && t.row->wire ? wire_getsockopt(c, &t) : CALL_CONTINUE;
	if ((int)c->args[1] == SOL_SOCKET)
		return write_int(c, !t.row ? t.family : t.row->v6 ? AF_INET6 : AF_INET);
	if (!t.row || !t.row->v6)
		return -EOPNOTSUPP;
	return write_int(c, t.row->v6only);
}

int64_t handle_setsockopt(struct call *c)
{
	AUTO_TARGET struct target t = { .fd = -1 };
	int64_t rc = call_target(c, &t);
	int value;

	if (rc < 0)
		return rc;
	if (!trapped(c, true))
		return -ENOPROTOOPT;
	/* Before it is set: the connect() that copies it may be on its way in another thread. */
	handoff_note_option(c->domain, (int)c->args[1], (int)c->args[2]);
	if (t.datagram)
		return always(c, true) || of_wires(c, true) ? datagram_setsockopt(c, &t) : CALL_CONTINUE;
	if (is_linger(c))
		return set_linger(c, &t);
	if (is_defer(c) && t.row && !t.row->wire)
		return set_defer(c);
	if (of_datagrams(c))
		return t.row ? -ENOPROTOOPT : -EOPNOTSUPP;
	if (!of_row(c)) /* harmless on any socket: without a way out, or wires, it is not even trapped */
		return t.row && t.row->wire && of_wires(c, true) ? wire_setsockopt(c, &t) : CALL_CONTINUE;
	if (!t.row || !t.row->v6)
		return t.row ? -ENOPROTOOPT : -EOPNOTSUPP;
	if ((int)c->args[4] < (int)sizeof value)
		return -EINVAL;
	if (guestmem_read(c->tid, c->args[3], &value, sizeof value) < 0)
		return -EFAULT;
	bind_forget_failed(c, &t);
	if (t.row->status != VSK_UNCONNECTED || t.row->at)
		return -EINVAL;
	if (!call_valid(c))
		return CALL_ANSWERED;
	rc = transport_of(t.row)->set_v6only(t.fd, t.row, value != 0);
	if (rc == 0)
		t.row->v6only = value != 0;
	return rc;
}
