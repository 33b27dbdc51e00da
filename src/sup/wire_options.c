/* SPDX-License-Identifier: Apache-2.0 */
#include "sup/wire_options.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "model/gateway.h"

#define WIRE_MTU 65536 /* of lo */
#define WIRE_SEGMENT 65483
#define ECN_BITS 3 /* a stream has its own of these */
#define CONGESTION_MAX 16 /* TCP_CA_NAME_MAX */

/* Options that are an int, with what the kernel takes for it. Flags become 0 or 1. */
static const struct known {
	int level, option, first, min, max;
	bool flag;
} known[] = {
	{ SOL_SOCKET, SO_REUSEPORT, 0, 0, 0, true },
	{ IPPROTO_TCP, TCP_NODELAY, 0, 0, 0, true },
	{ IPPROTO_TCP, TCP_MAXSEG, WIRE_SEGMENT, 88, SHRT_MAX, false },
	{ IPPROTO_TCP, TCP_CORK, 0, 0, 0, true },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 7200, 1, 32767, false },
	{ IPPROTO_TCP, TCP_KEEPINTVL, 75, 1, 32767, false },
	{ IPPROTO_TCP, TCP_KEEPCNT, 9, 1, 127, false },
	{ IPPROTO_TCP, TCP_SYNCNT, 6, 1, 127, false },
	{ IPPROTO_TCP, TCP_LINGER2, 60, INT_MIN, INT_MAX, false },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, INT_MIN, INT_MAX, false },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, WIRE_MTU, 0, INT_MAX, false },
	{ IPPROTO_TCP, TCP_QUICKACK, 1, 0, 0, true },
	{ IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 0, 0, 1, false },
	{ IPPROTO_TCP, TCP_THIN_DUPACK, 0, 0, 1, false },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0, INT_MAX, false },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, -1, INT_MIN, INT_MAX, false },
	{ IPPROTO_TCP, TCP_INQ, 0, 0, 1, false },
	{ IPPROTO_IP, IP_TOS, 0, 0, 255, false },
	{ IPPROTO_IP, IP_TTL, 64, 1, 255, false },
	{ IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT, 0, 5, false },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64, 0, 255, false },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT, 0, 5, false },
	{ IPPROTO_IPV6, IPV6_TCLASS, 0, 0, 255, false },
};
#define N_KNOWN (sizeof known / sizeof *known)

struct wire_options {
	int v[N_KNOWN];
};

static int find(int level, int option)
{
	for (size_t i = 0; i < N_KNOWN; i++)
		if (known[i].level == level && known[i].option == option)
			return (int)i;
	return -1;
}

static int value_of(const struct vsk *v, int i)
{
	return v->options ? v->options->v[i] : known[i].first;
}

bool wire_reuses_port(const struct vsk *v)
{
	return value_of(v, find(SOL_SOCKET, SO_REUSEPORT));
}

static bool have_options(struct vsk *v)
{
	if (v->options)
		return true;
	v->options = malloc(sizeof *v->options);
	for (size_t n = 0; v->options && n < N_KNOWN; n++)
		v->options->v[n] = known[n].first;
	return v->options;
}

void wire_give_options(const struct vsk *v, int fd)
{
	for (size_t i = 0; v->options && i < N_KNOWN; i++)
		if (v->options->v[i] != known[i].first)
			(void)setsockopt(fd, known[i].level, known[i].option, &v->options->v[i], sizeof v->options->v[i]);
}

void wire_take_options(struct vsk *v, const struct gateway_option *o, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		int i = find(o[k].level, o[k].name);

		if (i >= 0 && o[k].len == sizeof(int) && have_options(v))
			memcpy(&v->options->v[i], o[k].value, sizeof(int));
	}
}

void wire_inherit_options(struct vsk *v, const struct vsk *listener)
{
	if (!listener->options)
		return;
	v->options = malloc(sizeof *v->options);
	if (v->options)
		*v->options = *listener->options;
}

/* --- reading --------------------------------------------------------------------- */

/* Gives as much as the app has room for, and says how much that was. */
static int64_t give(struct call *c, const void *value, size_t size)
{
	int room;

	if (guestmem_read(c->tid, c->args[4], &room, sizeof room) < 0)
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if ((size_t)room > size)
		room = (int)size;
	if (!call_valid(c))
		return CALL_ANSWERED;
	if (guestmem_write(c->tid, c->args[4], &room, sizeof room) < 0 ||
	    guestmem_write(c->tid, c->args[3], value, (size_t)room) < 0)
		return -EFAULT;
	return 0;
}

/* Options of IP that fit are a byte to those who have room for less than an int (ip_getsockopt() in the kernel). */
static int64_t give_ip(struct call *c, int value)
{
	const uint8_t byte = (uint8_t)value;
	int room;

	if (guestmem_read(c->tid, c->args[4], &room, sizeof room) < 0)
		return -EFAULT;
	return room > 0 && room < (int)sizeof value && value == byte ? give(c, &byte, 1) : give(c, &value, sizeof value);
}

static int64_t give_int(struct call *c, int value)
{
	return give(c, &value, sizeof value);
}

/* The state, and else what a connection that never lost anything has. */
static int64_t give_info(struct call *c, const struct target *t)
{
	struct tcp_info i = { .tcpi_state = TCP_CLOSE,
			      .tcpi_snd_mss = WIRE_SEGMENT,
			      .tcpi_rcv_mss = WIRE_SEGMENT,
			      .tcpi_advmss = WIRE_SEGMENT,
			      .tcpi_pmtu = WIRE_MTU,
			      .tcpi_snd_cwnd = 10,
			      .tcpi_rto = 200000,
			      .tcpi_snd_ssthresh = INT_MAX };

	if (t->row->status == VSK_LISTENING) {
		i.tcpi_state = TCP_LISTEN;
		i.tcpi_unacked = t->row->n_arrivals;
		i.tcpi_sacked = t->row->backlog;
	} else if (t->row->status == VSK_CONNECTED) {
		i.tcpi_state = socket_ended(t->fd) ? TCP_CLOSE_WAIT : TCP_ESTABLISHED;
	}
	return give(c, &i, sizeof i);
}

static int64_t get_socket(struct call *c, const struct target *t, int option)
{
	static const struct ucred nobody = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };

	switch (option) {
	case SO_PROTOCOL:
		return give_int(c, IPPROTO_TCP);
	case SO_PEERCRED: /* the supervisor's, that is */
		return give(c, &nobody, sizeof nobody);
	case SO_PEERGROUPS:
		return -ENODATA;
	default:
		return give_int(c, value_of(t->row, find(SOL_SOCKET, option)));
	}
}

int64_t wire_getsockopt(struct call *c, struct target *t)
{
	int level = (int)c->args[1], option = (int)c->args[2];
	int i = find(level, option);

	if (level == SOL_SOCKET)
		return get_socket(c, t, option);
	if (level == IPPROTO_IPV6 && !t->row->v6)
		return -EOPNOTSUPP;
	if (i >= 0 && level == IPPROTO_IP)
		return give_ip(c, value_of(t->row, i));
	if (i >= 0)
		return give_int(c, value_of(t->row, i));
	if (level == IPPROTO_TCP && option == TCP_INFO)
		return give_info(c, t);
	if (level == IPPROTO_TCP && option == TCP_CONGESTION)
		return give(c, "cubic\0\0\0\0\0\0\0\0\0\0", CONGESTION_MAX);
	if (level == IPPROTO_TCP && option == TCP_CC_INFO)
		return give(c, "", 0);
	if ((level == IPPROTO_IP && option == IP_MTU) || (level == IPPROTO_IPV6 && option == IPV6_MTU))
		return t->row->status == VSK_CONNECTED ? give_int(c, WIRE_MTU) : -ENOTCONN;
	return -ENOPROTOOPT;
}

/* --- setting ---------------------------------------------------------------------- */

/* A value that stands for what it was at first. */
static bool is_default(const struct known *k, int value)
{
	switch (k->level) {
	case IPPROTO_TCP:
		return k->option == TCP_MAXSEG && value == 0;
	case IPPROTO_IP:
		return k->option == IP_TTL && value == -1;
	default:
		return k->level == IPPROTO_IPV6 && k->option != IPV6_MTU_DISCOVER && value == -1;
	}
}

static int64_t set_value(struct call *c, struct vsk *v, int i, int value)
{
	const struct known *k = &known[i];

	if (k->flag)
		value = value != 0;
	else if (is_default(k, value))
		value = k->first;
	else if (value < k->min || value > k->max)
		return -EINVAL;
	if (!call_valid(c))
		return CALL_ANSWERED;
	if (!have_options(v))
		return -ENOMEM;
	if ((k->level == IPPROTO_IP && k->option == IP_TOS) || (k->level == IPPROTO_IPV6 && k->option == IPV6_TCLASS))
		value = (value & ~ECN_BITS) | (v->options->v[i] & ECN_BITS);
	v->options->v[i] = value;
	return 0;
}

static int64_t set_congestion(struct call *c)
{
	char name[CONGESTION_MAX] = "";
	size_t len = (int)c->args[4] < CONGESTION_MAX ? (size_t)(int)c->args[4] : CONGESTION_MAX - 1;

	if ((int)c->args[4] < 1)
		return -EINVAL;
	if (guestmem_read(c->tid, c->args[3], name, len) < 0)
		return -EFAULT;
	return strcmp(name, "cubic") == 0 || strcmp(name, "reno") == 0 ? 0 : -ENOENT;
}

int64_t wire_setsockopt(struct call *c, struct target *t)
{
	int level = (int)c->args[1], i = find(level, (int)c->args[2]), value = 0, len = (int)c->args[4];

	if (level == IPPROTO_IPV6 && !t->row->v6)
		return -ENOPROTOOPT;
	if (level == IPPROTO_TCP && (int)c->args[2] == TCP_CONGESTION)
		return set_congestion(c);
	if (i < 0)
		return -ENOPROTOOPT;
	if (level == IPPROTO_IP && len >= 0 && len < (int)sizeof value)
		len = len > 0; /* the kernel takes a byte there, and nothing for 0 */
	else if (len < (int)sizeof value)
		return -EINVAL;
	else
		len = sizeof value;
	if (guestmem_read(c->tid, c->args[3], &value, (size_t)len) < 0)
		return -EFAULT;
	return set_value(c, t->row, i, value);
}
