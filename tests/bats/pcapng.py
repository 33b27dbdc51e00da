#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a record of vrun's and holds it to the formats: pcapng, IP, TCP, checksums, sequence numbers.

usage: pcapng.py FILE

A line for each connection: CLIENT SERVER, bytes and a hash of either direction, how it ended, comment.
What is wrong ends it with an exception.
"""
import hashlib
import ipaddress
import struct
import sys


def blocks(data):
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("=II", data, at)
        assert size % 4 == 0 and size >= 12 and at + size <= len(data), f"block of {size} at {at}"
        assert struct.unpack_from("=I", data, at + size - 4)[0] == size, f"second length at {at}"
        yield kind, data[at + 8:at + size - 4]
        at += size


def checksum(data):
    data += b"\0" * (len(data) % 2)
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s ^ 0xffff


def packet(p):
    """Its ends, sequence and acknowledgement numbers, flags, data."""
    if p[0] >> 4 == 4:
        assert p[0] == 0x45 and struct.unpack_from("!H", p, 2)[0] == len(p) and p[9] == 6
        assert checksum(p[:20]) == 0, "IP checksum"
        ip, ends = 20, (p[12:16], p[16:20])
    else:
        assert p[0] == 0x60 and struct.unpack_from("!H", p, 4)[0] == len(p) - 40 and p[6] == 6
        ip, ends = 40, (p[8:24], p[24:40])
    tcp = p[ip:]
    assert checksum(ends[0] + ends[1] + struct.pack("!II", len(tcp), 6) + tcp) == 0, "TCP checksum"
    sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", tcp)
    assert offset == 0x50
    return (ends[0], sport), (ends[1], dport), seq, ack, flags, tcp[20:]


def text(end):
    a = ipaddress.ip_address(end[0])
    return f"[{a}]:{end[1]}" if a.version == 6 else f"{a}:{end[1]}"


class Connection:
    def __init__(self, client, server, comment):
        self.ends, self.comment = (client, server), comment
        self.next, self.data, self.end = [None, None], [hashlib.sha256(), hashlib.sha256()], "open"
        self.bytes, self.fins = [0, 0], 0

    def add(self, source, seq, ack, flags, data):
        i = self.ends.index(source)
        if flags & 2:  # SYN
            assert self.next[i] is None and not data
            self.next[i] = seq + 1
        else:
            assert seq == self.next[i], f"sequence number {seq}, not {self.next[i]}"
            self.next[i] = (seq + len(data) + (flags & 1)) % 2**32
        if flags & 16:
            assert ack == self.next[1 - i], f"acknowledgement of {ack}, not {self.next[1 - i]}"
        self.data[i].update(data)
        self.bytes[i] += len(data)
        if flags & 4:
            self.end = "reset"
        elif flags & 1:
            self.fins += 1
            self.end = "ended" if self.fins == 2 else "half"


def main():
    with open(sys.argv[1], "rb") as f:
        all_of_it = list(blocks(f.read()))
    assert all_of_it[0][0] == 0x0a0d0d0a and struct.unpack_from("=IHHq", all_of_it[0][1]) == (0x1a2b3c4d, 1, 0, -1)
    assert all_of_it[1][0] == 1 and struct.unpack_from("=HHI", all_of_it[1][1]) == (101, 0, 0)
    connections, last = [], 0
    for kind, body in all_of_it[2:]:
        assert kind == 6
        interface, high, low, captured, original = struct.unpack_from("=IIIII", body)
        assert interface == 0 and captured == original
        assert (high << 32 | low) >= last, "time goes back"
        last = high << 32 | low
        source, dest, seq, ack, flags, data = packet(body[20:20 + captured])
        options = body[20 + (captured + 3) // 4 * 4:]
        comment = ""
        if options:
            code, size = struct.unpack_from("=HH", options)
            assert code == 1 and options[4 + (size + 3) // 4 * 4:] == b"\0\0\0\0"
            comment = options[4:4 + size].decode()
        if flags & 18 == 2:
            connections.append(Connection(source, dest, comment))
        found = [c for c in connections if set(c.ends) == {source, dest}][-1]
        found.add(source, seq, ack, flags, data)
    for c in connections:
        print(text(c.ends[0]), text(c.ends[1]),
              *(f"{n}:{h.hexdigest()[:16]}" for n, h in zip(c.bytes, c.data)), c.end, c.comment)


main()
