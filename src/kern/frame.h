/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames with datagrams in them, as a packet socket with
 * PACKET_VNET_HDR gives them: a struct virtio_net_hdr, 14 bytes of Ethernet,
 * IPv4 or IPv6, UDP or an ICMP error about a UDP datagram. Pure.
 */
#ifndef VRUN_KERN_FRAME_H
#define VRUN_KERN_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define FRAME_HEADS (10 + 14)
#define FRAME_MAX (FRAME_HEADS + 65535)

struct frame_ends {
	struct addr from, to;
	uint16_t from_port, to_port;
};

enum frame_kind {
	FRAME_OTHER,    /* not for us: fragments, other protocols, anything malformed */
	FRAME_DATAGRAM, /* `ends` are its own */
	FRAME_ERROR,    /* ICMP: the datagram with these `ends` did not get to where it was sent */
};

/*
 * What a frame carries. An error is one only if it comes from where the
 * datagram was sent to and goes to who sent it. *ret_payload is the number of
 * bytes that the datagram carries; 0 of an error.
 */
enum frame_kind frame_read(const uint8_t *frame, size_t len, struct frame_ends *ret, size_t *ret_payload);

/*
 * Of a frame that is FRAME_DATAGRAM: where its bytes begin, and how many each
 * datagram has: one frame may carry several, of that size but the last (UDP_SEGMENT).
 */
size_t frame_payload_at(const uint8_t *frame);
size_t frame_payload_size(const uint8_t *frame, size_t payload);

/*
 * Makes a frame of a datagram whose bytes are at frame + FRAME_PAYLOAD(v4)
 * already, or of the error that one with these ends did not find its port. Returns
 * its length; 0: too long. frame_address() follows.
 */
#define FRAME_PAYLOAD(v4) (FRAME_HEADS + ((v4) ? 20U : 40U) + 8U)
size_t frame_write(uint8_t *frame, const struct frame_ends *e, size_t payload);
size_t frame_write_error(uint8_t *frame, const struct frame_ends *e);

/* Addresses the frame to an interface. */
void frame_address(uint8_t *frame, const uint8_t mac[6]);

#endif
