#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The servers of the tests' internet: DNS from a file, echoes over TCP and UDP.

usage: internet.py ZONE LOG [PORT...]

ZONE is JSON, read anew for each question: {"web.example.com": {"A": ["192.0.2.10"], "AAAA": [...],
"TXT": [...], "TYPE15": ["000a..." in hex], "extra": [[1, "0a140001"]] (in every answer), "ttl": 300}}; "fail": true answers SERVFAIL, "drop": true not at all. LOG gets a line for
each question. The TCP ports (80, 443 and 8080) say who is connected to whom and then send back what
comes; so does UDP port 7, a datagram at a time.
"""
import json
import os
import select
import socket
import struct
import sys

IP_PKTINFO = 8  # linux/in.h
IPV6_FREEBIND = 78  # linux/in6.h
TYPES = {1: "A", 28: "AAAA", 16: "TXT"}


def read_name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), at + 1


def value(kind, text):
    if kind == "A":
        return socket.inet_aton(text)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, text)
    if kind.startswith("TYPE"):
        return bytes.fromhex(text)
    return bytes([len(text)]) + text.encode()


def answer(data, zone_file, log):
    name, at = read_name(data, 12)
    kind = struct.unpack("!H", data[at:at + 2])[0]
    kind = TYPES.get(kind, f"TYPE{kind}")
    with open(zone_file) as f:
        zone = json.load(f)
    os.write(log, f"{kind} {name}\n".encode())
    entry = zone.get(name.lower())
    if entry and entry.get("drop"):
        return None
    code = 3 if entry is None else 2 if entry.get("fail") else 0
    found, extra = (entry.get(kind, []), entry.get("extra", [])) if entry and code == 0 else ([], [])
    number = struct.unpack("!H", data[at:at + 2])[0]
    records = [(number, value(kind, text)) for text in found] + [(n, bytes.fromhex(text)) for n, text in extra]
    out = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0) + data[12:at + 4]
    for n, v in records:
        out += struct.pack("!HHHIH", 0xC00C, n, 1, entry.get("ttl", 300), len(v)) + v
    return out


def back(c):
    """From the address that it was sent to."""
    level, kind, data = c
    if level == socket.IPPROTO_IP:
        return level, kind, struct.pack("=I", 0) + data[4:8] + bytes(4)
    return level, kind, data[:16] + bytes(4)


def plain(a):
    return a[7:] if a.startswith("::ffff:") else a


def main():
    zone_file, log = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dns.bind(("198.51.100.53", 53))
    echoes = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        s = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)  # for bursts, whoever has the CPU
        s.bind((address, 7))
        echoes.append(s)
    listeners = []
    for port in [int(p) for p in sys.argv[3:]] or (80, 443, 8080):
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", port))
        s.listen(512)
        listeners.append(s)
    poll = select.poll()
    by_fd = {}
    for s in [dns] + echoes + listeners:
        poll.register(s, select.POLLIN)
        by_fd[s.fileno()] = s
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            s = by_fd[fd]
            if s is dns:
                data, peer = s.recvfrom(4096)
                out = answer(data, zone_file, log)
                if out:
                    s.sendto(out, peer)
            elif s in echoes:
                data, to, _, peer = s.recvmsg(65536, 256)
                s.sendmsg([data], [back(c) for c in to], 0, peer)
            elif s in listeners:
                c, peer = s.accept()
                here = c.getsockname()
                try:
                    c.send(f"{plain(here[0])} {here[1]} from {plain(peer[0])}\n".encode())
                except OSError:  # reset by now
                    c.close()
                    continue
                by_fd[c.fileno()] = c
                poll.register(c, select.POLLIN)
            else:
                try:
                    data = s.recv(65536)
                    s.setblocking(True)
                    s.sendall(data)
                except OSError:
                    data = b""
                if not data:
                    poll.unregister(s)
                    del by_fd[fd]
                    s.close()


main()
