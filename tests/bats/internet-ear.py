#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What arrives at a device, each thing once: "tcp 192.0.2.10 443", "icmp 192.0.2.10".

usage: internet-ear.py DEVICE LOG

Says "ready" when it hears. Neighbour discovery and what the kernel's own multicast says are left out.
"""
import os
import socket
import struct
import sys

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}


def what(data):
    if data[0] >> 4 == 4:
        to, proto, rest = socket.inet_ntop(socket.AF_INET, data[16:20]), data[9], data[(data[0] & 15) * 4:]
        if data[0] & 15 > 5:
            return f"options {to}"
    elif data[0] >> 4 == 6:
        to, proto, rest = socket.inet_ntop(socket.AF_INET6, data[24:40]), data[6], data[40:]
        if proto == 0 or proto == 58 and rest[0] in range(130, 144):
            return None
    else:
        return "no ip"
    name = PROTOCOLS.get(proto, str(proto))
    return f"{name} {to} {struct.unpack('!H', rest[2:4])[0]}" if proto in (6, 17) else f"{name} {to}"


def main():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.bind((sys.argv[1], 3))
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    heard = set()
    print("ready", flush=True)
    while True:
        data, (_, proto, kind, _, _) = s.recvfrom(65536)
        if kind == socket.PACKET_OUTGOING or proto not in (0x0800, 0x86DD):
            continue
        line = what(data)
        if line and line not in heard:
            heard.add(line)
            os.write(log, line.encode() + b"\n")


main()
