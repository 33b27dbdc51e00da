/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/frame.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define VNET 10
#define UDP_HEAD 8
#define ICMP_HEAD 8 /* of both */

struct view {
	const uint8_t *p;
	size_t len;
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* An IP packet: protocol, addresses, what it carries. A quoted one may be cut. */
struct packet {
	struct frame_ends ends;
	uint8_t protocol;
	struct view data;
};

static bool read_ip4(struct view v, bool quoted, struct packet *ret)
{
	size_t head, total;

	if (v.len < 20 || v.p[0] >> 4 != 4)
		return false;
	head = (size_t)(v.p[0] & 15) * 4;
	total = get16(v.p + 2);
	if (head < 20 || total < head || v.len < head || (!quoted && v.len < total))
		return false;
	if (get16(v.p + 6) & 0x3fff) /* a fragment */
		return false;
	ret->ends.from = addr_v4(v.p[12], v.p[13], v.p[14], v.p[15]);
	ret->ends.to = addr_v4(v.p[16], v.p[17], v.p[18], v.p[19]);
	ret->protocol = v.p[9];
	ret->data = (struct view){ v.p + head, (v.len < total ? v.len : total) - head };
	return true;
}

/* Without extension headers: the kernel adds none by itself. */
static bool read_ip6(struct view v, bool quoted, struct packet *ret)
{
	size_t total;

	if (v.len < 40 || v.p[0] >> 4 != 6)
		return false;
	total = 40 + get16(v.p + 4);
	if (!quoted && v.len < total)
		return false;
	memcpy(ret->ends.from.b, v.p + 8, 16);
	memcpy(ret->ends.to.b, v.p + 24, 16);
	/* What looks like IPv4 on the wire of IPv6 is nobody's. */
	if (addr_is_v4(&ret->ends.from) || addr_is_v4(&ret->ends.to))
		return false;
	ret->protocol = v.p[6];
	ret->data = (struct view){ v.p + 40, (v.len < total ? v.len : total) - 40 };
	return true;
}

static bool read_ip(struct view v, bool v4, bool quoted, struct packet *ret)
{
	return v4 ? read_ip4(v, quoted, ret) : read_ip6(v, quoted, ret);
}

static bool read_ports(const struct packet *p, struct frame_ends *ret)
{
	if (p->protocol != IPPROTO_UDP || p->data.len < UDP_HEAD)
		return false;
	*ret = p->ends;
	ret->from_port = (uint16_t)get16(p->data.p);
	ret->to_port = (uint16_t)get16(p->data.p + 2);
	return ret->from_port && ret->to_port;
}

static bool read_error(const struct packet *p, bool v4, struct frame_ends *ret)
{
	struct packet quoted;
	unsigned wanted = v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;

	if (p->protocol != (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6) || p->data.len < ICMP_HEAD || p->data.p[0] != wanted)
		return false;
	return read_ip((struct view){ p->data.p + ICMP_HEAD, p->data.len - ICMP_HEAD }, v4, true, &quoted) &&
	       read_ports(&quoted, ret) && addr_equal(&ret->from, &p->ends.to) &&
	       addr_equal(&ret->to, &p->ends.from);
}

enum frame_kind frame_read(const uint8_t *frame, size_t len, struct frame_ends *ret, size_t *ret_payload)
{
	struct packet p;
	unsigned type;
	bool v4;

	if (len < FRAME_HEADS)
		return FRAME_OTHER;
	type = get16(frame + VNET + 12);
	v4 = type == ETHERTYPE_IP;
	if ((!v4 && type != ETHERTYPE_IPV6) ||
	    !read_ip((struct view){ frame + FRAME_HEADS, len - FRAME_HEADS }, v4, false, &p))
		return FRAME_OTHER;
	*ret_payload = 0;
	if (read_ports(&p, ret)) {
		*ret_payload = p.data.len - UDP_HEAD;
		return FRAME_DATAGRAM;
	}
	return read_error(&p, v4, ret) ? FRAME_ERROR : FRAME_OTHER;
}

void frame_address(uint8_t *frame, const uint8_t mac[6])
{
	memcpy(frame + VNET, mac, 6);
}
