/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/frame.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define VNET 10
#define GSO_UDP 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 (linux/virtio_net.h) */
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

size_t frame_payload_at(const uint8_t *frame)
{
	const uint8_t *ip = frame + FRAME_HEADS;

	return FRAME_HEADS + (ip[0] >> 4 == 4 ? (size_t)(ip[0] & 15) * 4 : 40) + UDP_HEAD;
}

size_t frame_payload_size(const uint8_t *frame, size_t payload)
{
	uint16_t size; /* in the machine's order */

	memcpy(&size, frame + 4, sizeof size);
	return frame[1] == GSO_UDP && size && size < payload ? size : payload;
}

/* --- frames of our own ---------------------------------------------------------------- */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* RFC 1071, in words of 16 bits. */
static uint32_t sum(uint32_t start, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		start += get16(p);
	return len ? start + ((uint32_t)p[0] << 8) : start;
}

static unsigned fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}

/* An IP header at p; returns its length. */
static size_t put_ip(uint8_t *p, const struct addr *from, const struct addr *to, uint8_t protocol, size_t data)
{
	if (!addr_is_v4(from)) {
		memset(p, 0, 8);
		p[0] = 0x60;
		put16(p + 4, (unsigned)data);
		p[6] = protocol;
		p[7] = 64;
		memcpy(p + 8, from->b, 16);
		memcpy(p + 24, to->b, 16);
		return 40;
	}
	memset(p, 0, 20);
	p[0] = 0x45;
	put16(p + 2, (unsigned)(20 + data));
	p[6] = 0x40; /* not to be fragmented */
	p[8] = 64;
	p[9] = protocol;
	memcpy(p + 12, from->b + 12, 4);
	memcpy(p + 16, to->b + 12, 4);
	put16(p + 10, fold(sum(0, p, 20)));
	return 20;
}

/* Of what is sent between the two: with the pseudo header of RFC 768 and 8200. */
static unsigned checksum(const struct addr *from, const struct addr *to, uint8_t protocol, const uint8_t *p, size_t len)
{
	size_t skip = addr_is_v4(from) ? 12 : 0;
	uint32_t s = sum(0, from->b + skip, 16 - skip);

	s = sum(s, to->b + skip, 16 - skip) + protocol + (uint32_t)len;
	/* The words of a long datagram do not overflow 32 bits. */
	return fold(sum(s, p, len));
}

static void put_udp(uint8_t *p, const struct frame_ends *e, size_t payload)
{
	put16(p, e->from_port);
	put16(p + 2, e->to_port);
	put16(p + 4, (unsigned)(UDP_HEAD + payload));
	put16(p + 6, 0);
}

static void put_heads(uint8_t *frame, bool v4)
{
	memset(frame, 0, FRAME_HEADS);
	put16(frame + VNET + 12, v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
}

size_t frame_write(uint8_t *frame, const struct frame_ends *e, size_t payload)
{
	bool v4 = addr_is_v4(&e->from);
	uint8_t *ip = frame + FRAME_HEADS, *udp = ip + (v4 ? 20 : 40);
	unsigned check;

	if (payload > 65535 - (v4 ? 20U : 40U) - UDP_HEAD)
		return 0;
	put_heads(frame, v4);
	(void)put_ip(ip, &e->from, &e->to, IPPROTO_UDP, UDP_HEAD + payload);
	put_udp(udp, e, payload);
	check = checksum(&e->from, &e->to, IPPROTO_UDP, udp, UDP_HEAD + payload);
	put16(udp + 6, check ? check : 0xffff);
	return (size_t)(udp - frame) + UDP_HEAD + payload;
}

size_t frame_write_error(uint8_t *frame, const struct frame_ends *e)
{
	bool v4 = addr_is_v4(&e->from);
	size_t head = v4 ? 20 : 40, data = ICMP_HEAD + head + UDP_HEAD;
	uint8_t *ip = frame + FRAME_HEADS, *icmp = ip + head;

	put_heads(frame, v4);
	(void)put_ip(ip, &e->to, &e->from, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, data);
	memset(icmp, 0, ICMP_HEAD);
	icmp[0] = v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
	icmp[1] = v4 ? ICMP_PORT_UNREACH : ICMP6_DST_UNREACH_NOPORT;
	(void)put_ip(icmp + ICMP_HEAD, &e->from, &e->to, IPPROTO_UDP, UDP_HEAD);
	put_udp(icmp + ICMP_HEAD + head, e, 0);
	put16(icmp + 2, v4 ? fold(sum(0, icmp, data)) : checksum(&e->to, &e->from, IPPROTO_ICMPV6, icmp, data));
	return FRAME_HEADS + head + data;
}
