/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that carry datagrams, and those that do not. */
#include <string.h>

#include "kern/frame.h"
#include "tap.h"

static uint8_t v4[128] = {
	[22] = 0x08, 0x00, 0x45, 0, 0, 33, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 88, 0, 10, 10, 88, 0, 11, /* IPv4 */
	0x13, 0x88, 0x14, 0xe9, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o', /* UDP 5000 -> 5353 */
};
#define V4_LEN (24 + 33)
static uint8_t v6[128] = {
	[22] = 0x86, 0xdd, 0x60, 0, 0, 0, 0, 13, 17, 64, /* IPv6 */
	0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11,
	0x13, 0x88, 0x14, 0xe9, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o',
};
#define V6_LEN (24 + 53)

static struct frame_ends ends;
static size_t payload;

/* With one byte changed. */
static int with(const uint8_t *frame, size_t len, size_t at, uint8_t value)
{
	uint8_t copy[128];

	memcpy(copy, frame, sizeof copy);
	copy[at] = value;
	return (int)frame_read(copy, len, &ends, &payload);
}

static void test_datagrams(void)
{
	char text[ADDR_TEXT_MAX];

	TAP_INT(frame_read(v4, V4_LEN, &ends, &payload), FRAME_DATAGRAM, "IPv4");
	TAP_OK(ends.from_port == 5000 && ends.to_port == 5353 && payload == 5, "ports and payload");
	TAP_STR(addr_format(&ends.from, text, sizeof text), "10.88.0.10", "from");
	TAP_STR(addr_format(&ends.to, text, sizeof text), "10.88.0.11", "to");
	TAP_INT(frame_read(v6, V6_LEN, &ends, &payload), FRAME_DATAGRAM, "IPv6");
	TAP_OK(ends.from_port == 5000 && ends.to_port == 5353 && payload == 5, "ports and payload");
	TAP_STR(addr_format(&ends.to, text, sizeof text), "fd00::11", "to");
	for (size_t len = 0; len < V6_LEN; len++)
		if (frame_read(v6, len, &ends, &payload) != FRAME_OTHER ||
		    (len < V4_LEN && frame_read(v4, len, &ends, &payload) != FRAME_OTHER))
			TAP_OK(false, "cut to %zu bytes", len);
	TAP_INT(with(v4, V4_LEN, 24, 0x44), FRAME_OTHER, "a head of 16 bytes");
	TAP_INT(with(v4, V4_LEN, 24, 0x65), FRAME_OTHER, "IPv6 in a frame for IPv4");
	TAP_INT(with(v4, V4_LEN, 30, 0x20), FRAME_OTHER, "a fragment");
	TAP_INT(with(v4, V4_LEN, 31, 1), FRAME_OTHER, "a later fragment");
	TAP_INT(with(v4, V4_LEN, 33, 6), FRAME_OTHER, "TCP");
	TAP_INT(with(v4, V4_LEN, 27, 34), FRAME_OTHER, "longer than it came");
	TAP_INT(with(v4, V4_LEN, 27, 27), FRAME_OTHER, "no room for UDP");
	TAP_INT(with(v4, V4_LEN, 23, 6), FRAME_OTHER, "ARP");
	TAP_INT(with(v6, V6_LEN, 30, 44), FRAME_OTHER, "a fragment of IPv6");
	TAP_INT(with(v6, V6_LEN, 30, 0), FRAME_OTHER, "an extension header");
	memset(v6 + 32, 0, 10);
	memset(v6 + 42, 0xff, 2);
	TAP_INT(frame_read(v6, V6_LEN, &ends, &payload), FRAME_OTHER, "an address of IPv4 in IPv6");
}

/* Port unreachable, about the datagram of v4. */
static void test_errors(void)
{
	uint8_t f[128] = {
			   [22] = 0x08, 0x00, 0x45, 0, 0, 56, 0, 1, 0, 0, 64, 1, 0, 0, 10, 88, 0, 11, 10, 88, 0, 10,
			   3, 3, 0, 0, 0, 0, 0, 0 };
	const size_t len = 24 + 56;

	memcpy(f + 52, v4 + 24, 28);
	TAP_INT(frame_read(f, len, &ends, &payload), FRAME_ERROR, "port unreachable");
	TAP_OK(ends.from_port == 5000 && ends.to_port == 5353 && payload == 0, "of that datagram");
	TAP_INT(with(f, len, 44, 8), FRAME_OTHER, "a ping");
	TAP_INT(with(f, len, 44, 5), FRAME_OTHER, "a redirect");
	TAP_INT(with(f, len, 39, 99), FRAME_OTHER, "from somebody else");
	TAP_INT(with(f, len, 43, 99), FRAME_OTHER, "to somebody else");
	TAP_INT(with(f, len, 61, 6), FRAME_OTHER, "about TCP");
}

/* The sum of RFC 1071 over what lies between, with the addresses before it: 0xffff when it is right. */
static unsigned sum_of(const uint8_t *frame, size_t addresses, size_t n, size_t at, size_t len, long pseudo)
{
	unsigned long s = (unsigned long)(pseudo + (long)len);

	for (size_t i = 0; i < n; i += 2)
		s += (unsigned)frame[addresses + i] << 8 | frame[addresses + i + 1];
	for (size_t i = 0; i < len; i++)
		s += i % 2 ? frame[at + i] : (unsigned)frame[at + i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (unsigned)s;
}

static void test_writing(void)
{
	static const char *const addresses[][2] = { { "10.88.0.10", "192.0.2.1" }, { "fd00::10", "2001:db8::1" } };
	static uint8_t f[FRAME_MAX];

	for (size_t i = 0; i < 2; i++) {
		bool is4 = i == 0;
		struct frame_ends e = { .from_port = 5000, .to_port = 53 };
		size_t head = FRAME_HEADS + (is4 ? 20 : 40), at = FRAME_PAYLOAD(is4), len;

		(void)addr_parse(addresses[i][0], &e.from, NULL);
		(void)addr_parse(addresses[i][1], &e.to, NULL);
		memset(f, 0xee, sizeof f);
		memcpy(f + at, "hello", 5);
		len = frame_write(f, &e, 5);
		TAP_INT(frame_read(f, len, &ends, &payload), FRAME_DATAGRAM, "%s: what is written is a datagram", addresses[i][0]);
		TAP_OK(payload == 5 && memcmp(&ends, &e, sizeof e) == 0, "with these ends");
		TAP_OK(frame_payload_at(f) == at && frame_payload_size(f, 5) == 5 && memcmp(f + at, "hello", 5) == 0, "and bytes");
		TAP_INT(sum_of(f, FRAME_HEADS + (is4 ? 12 : 8), is4 ? 8 : 32, head, 13, 17), 0xffff, "its checksum is right");
		if (is4)
			TAP_INT(sum_of(f, 0, 0, FRAME_HEADS, 20, -20), 0xffff, "that of the head, too");
		TAP_INT(frame_write(f, &e, 65000), at + 65000, "a long one");
		TAP_INT(frame_write(f, &e, is4 ? 65507 : 65487), FRAME_MAX, "the longest");
		TAP_INT(frame_write(f, &e, is4 ? 65508 : 65488), 0, "one that is too long");
		len = frame_write_error(f, &e);
		TAP_INT(frame_read(f, len, &ends, &payload), FRAME_ERROR, "an error");
		TAP_OK(memcmp(&ends, &e, sizeof e) == 0, "about it");
		TAP_INT(is4 ? sum_of(f, 0, 0, head, len - head, -(long)(len - head)) :
			      sum_of(f, FRAME_HEADS + 8, 32, head, len - head, 58), 0xffff, "its checksum is right");
	}
	f[1] = 5; /* VIRTIO_NET_HDR_GSO_UDP_L4 */
	f[4] = 2;
	f[5] = 0;
	TAP_OK(frame_payload_size(f, 5) == 2 && frame_payload_size(f, 2) == 2 && frame_payload_size(f, 1) == 1,
	       "several datagrams in one frame");
}

int main(void)
{
	const uint8_t mac[6] = { 2, 'v', 'r', 'n', 0, 7 };

	test_datagrams();
	test_errors();
	test_writing();
	frame_address(v4, mac);
	TAP_OK(memcmp(v4 + 10, mac, 6) == 0 && v4[9] == 0 && v4[16] == 0, "addressed to an interface");
	return tap_done();
}
