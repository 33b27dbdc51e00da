#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Datagrams to the outside, on the tests' internet.

bats_require_minimum_version 1.5.0
load helper
load internet

lines_of_app() # NUMBER
{
	(($(wc -l <"$T/app.out") == $1))
}

readonly ECHO='{"allow": "connect", "proto": "udp", "to": ["192.0.2.10:7", "192.0.2.10:9", "[2001:db8:2::10]:7", "echo.example.com:7", "198.51.100.53:53", "host:7007"]}'

@test "datagrams go out and come back, connected and not, IPv4 and IPv6, by address and by name" {
	zone '{"echo.example.com": {"A": ["192.0.2.20"], "AAAA": ["2001:db8:2::20"]}}'
	run -0 --separate-stderr sandbox "$ECHO" python3 -c '
import socket
for family, address in (socket.AF_INET, "192.0.2.10"), (socket.AF_INET6, "2001:db8:2::10"), \
        (socket.AF_INET, "echo.example.com"), (socket.AF_INET6, "echo.example.com"):
    to = socket.getaddrinfo(address, 7, family, socket.SOCK_DGRAM)[0][4]
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(10)
    for data in b"one", b"", b"x" * 1472, b"y" * 9000:
        s.sendto(data, to)
        got, peer = s.recvfrom(65535)
        assert (got, peer[:2]) == (data, to[:2]), (address, len(data), len(got), peer, to)
    c = socket.socket(family, socket.SOCK_DGRAM)
    c.settimeout(10)
    c.connect(to)
    c.send(b"connected")
    print(c.recv(100).decode(), c.getpeername()[0])'
	assert_output "connected 192.0.2.10
connected 2001:db8:2::10
connected 198.18.0.3
connected fd76:7275:6e00::3"
	# shellcheck disable=SC2154 # set by run
	assert_lacks "$stderr" denied
	internet_stop
	assert_nothing_left
}

@test "a port where nobody is refuses, as an error of the socket" {
	run -0 --separate-stderr sandbox "$ECHO" python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect(("192.0.2.10", 9))
s.send(b"x")
try:
    print(s.recv(10))
except ConnectionRefusedError:
    print("refused")'
	assert_output refused
}

@test "what no rule allows does not leave" {
	zone '{"in.example.com": {"A": ["10.20.0.1"]}, "echo.example.com": {"A": ["10.20.0.1"]}}'
	run -0 --separate-stderr sandbox "$ECHO" python3 -c '
import socket
for to in ("192.0.2.10", 8), ("192.0.2.11", 7), ("198.18.0.9", 7), ("10.20.0.1", 7):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.sendto(b"x", to)
        print("sent", to)
    except OSError as e:
        print(e.strerror)
print(socket.getaddrinfo("localhost", 7, socket.AF_INET, socket.SOCK_DGRAM)[0][4])
try:
    socket.getaddrinfo("echo.example.com", 7, socket.AF_INET)
except OSError as e:
    print("no address")'
	assert_output "Permission denied
Permission denied
Permission denied
Permission denied
('127.0.0.1', 7)
no address"
}

@test "an app asks a name server of its own, and a service of this machine" {
	zone '{"web.example.net": {"A": ["192.0.2.99"]}}'
	spawn echo on_host python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 7007))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(data + b" from " + peer[0].encode(), peer)' </dev/null
	wait_until grep -q ready "$T/echo.out"
	run -0 --separate-stderr sandbox "$ECHO" python3 -c '
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
q = b"".join(bytes([len(l)]) + l.encode() for l in "web.example.net".split(".")) + b"\0" + struct.pack("!HH", 1, 1)
s.sendto(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + q, ("198.51.100.53", 53))
print(socket.inet_ntoa(s.recv(512)[-4:]))
s.sendto(b"hello", socket.getaddrinfo("host", 7007, socket.AF_INET, socket.SOCK_DGRAM)[0][4])
print(s.recv(100).decode())'
	assert_output "192.0.2.99
hello from 127.0.0.1"
}

@test "many datagrams and many flows" {
	run -0 --separate-stderr sandbox "$ECHO" python3 -c '
import select, socket
to = ("192.0.2.10", 7)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect(to)
got = 0
# A window of 16, as a bulk transfer has it.
for i in range(3000):
    s.send(b"%08d" % i + b"z" * 1200)
    if i >= 16:
        got += len(s.recv(2000)) == 1208
for _ in range(16):
    got += len(s.recv(2000)) == 1208
print(got)
flows = []
for i in range(300):
    f = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    f.settimeout(10)
    f.sendto(b"%d" % i, to)
    flows.append(f)
print(sum(f.recv(100) == b"%d" % i for i, f in enumerate(flows)))
# One call for many, as QUIC has it: UDP_SEGMENT, UDP_GRO.
s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
s.setsockopt(socket.IPPROTO_UDP, 104, 1)
print(s.getsockopt(socket.IPPROTO_UDP, 103), s.getsockopt(socket.IPPROTO_UDP, 104))
s.send(b"s" * 2500)
left = 2500
while left > 0:
    left -= len(s.recv(65535))
print(left)
# No tunnel: UDP_ENCAP.
try:
    s.setsockopt(socket.IPPROTO_UDP, 100, 2)
except OSError as e:
    print(e.strerror)'
	assert_output "3000
300
1000 1
0
Protocol not available"
}

@test "sockets shows a flow to the outside, and a gateway that is killed ends it" {
	jq -n --argjson rule "$ECHO" '{version: 1, domain: "app", net: {rules: [$rule]}}' >"$T/p.json"
	mkfifo go
	spawn app on_host "$VRUN" run -T --id "$MARK-app" -p "$T/p.json" -- python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect(("192.0.2.10", 7))
s.send(b"x")
print(s.recv(10), flush=True)
open("go").readline()
for i in range(100):
    try:
        s.send(b"y")
        s.recv(10)
        print("got")
    except ConnectionRefusedError:
        print("refused", flush=True)
        break' </dev/null
	wait_until grep -q x "$T/app.out"
	run -0 "$VRUN" sockets --json "$MARK-app"
	assert_equal "$(jq -r '.[] | select(.protocol == "udp") | "\(.domain) \(.remote)"' <<<"$output")" "app 192.0.2.10:7"
	gateway=$(pgrep -x vrun-gateway -P "$(pgrep -x vrun -P "${PID[app]}")")
	kill -KILL "$gateway"
	wait_until gone "$gateway"
	echo >go
	wait_exit "${PID[app]}"
	assert_contains "$(<"$T/app.out")" refused
	assert_lacks "$(<"$T/app.out")" got
	internet_stop
	assert_nothing_left
}

@test "an address that is denied later is cut off also for the name that has it" {
	zone '{"echo.example.com": {"A": ["192.0.2.20"]}}'
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "connect", proto: "udp", to: "echo.example.com:7"}]}}' >"$T/p.json"
	jq '.net.rules += [{deny: "connect", proto: "udp", to: "192.0.2.20/31:*"}]' "$T/p.json" >"$T/less.json"
	mkfifo go
	spawn app on_host "$VRUN" run -T --id "$MARK-app" -p "$T/p.json" -- python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect(("echo.example.com", 7))
def tell():
    try:
        s.send(b"x")
        s.recv(10)
        print("got", flush=True)
    except ConnectionRefusedError:
        print("refused", flush=True)
go = open("go")
tell()
for i in range(3):
    go.readline()
    tell()' </dev/null
	exec 9<>go # one writer for all of it: the end of one would be a line to the next read
	wait_until grep -q got "$T/app.out"
	run -0 on_host "$VRUN" policy apply "$MARK-app" "$T/less.json"
	echo >&9
	wait_until grep -q refused "$T/app.out"
	echo >&9
	wait_until lines_of_app 3
	# What cut it off was the policy.
	run -0 on_host "$VRUN" policy apply "$MARK-app" "$T/p.json"
	echo >&9
	wait_exit "${PID[app]}"
	exec 9>&-
	assert_equal "$(<"$T/app.out")" $'got\nrefused\nrefused\ngot'
	internet_stop
	assert_nothing_left
}
