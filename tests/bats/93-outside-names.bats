#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Connections to host names, which may have several addresses: on the tests' internet.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	internet_setup
	# 192.0.2.66 loses what is sent there; at 192.0.2.67 nothing arrives, and it says so.
	zone '{"one.example.com": {"A": ["192.0.2.10"]},
		"slow.example.com": {"A": ["192.0.2.66", "192.0.2.11"]},
		"both.example.com": {"A": ["192.0.2.12"], "AAAA": ["2001:db8:2::12"]},
		"bad.example.com": {"A": ["192.0.2.67"]},
		"part.example.com": {"A": ["192.0.2.13"]}}'
	cat >"$T/work/c.py" <<-'END'
		import errno, select, socket, sys, time

		def made(family=socket.AF_INET):
		    s = socket.socket(family)
		    s.settimeout(10)
		    return s

		def place(name, port=80, family=socket.AF_INET):
		    return socket.getaddrinfo(name, port, family)[0][4]

		def talk(s, what=b"ping"):
		    s.settimeout(10)
		    s.sendall(what)
		    data = b""
		    while not data.endswith(what):
		        data += s.recv(100)
		    return data[:-len(what)].decode().split()

		def begin(name, port=80):
		    s = socket.socket()
		    s.setblocking(False)
		    return s, errno.errorcode.get(s.connect_ex(place(name, port)), 0)

		def ready(s, bits=select.POLLOUT):
		    p = select.poll()
		    p.register(s, bits)
		    return p.poll(10000)[0][1]

		def error(s):
		    return errno.errorcode.get(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
	END
}

readonly DENY='{"deny": "connect", "to": "192.0.2.13:443"}'
readonly ALL='{"allow": "connect", "to": "*.example.com:*"}'

app() # PYTHON
{
	printf 'from c import *\n%s\n' "$1" >app.py
	sandbox "$ALL,$DENY" python3 app.py
}

@test "an app that waits is connected to the address that answers" {
	run -0 --separate-stderr app '
s = made(); s.settimeout(None); s.connect(place("slow.example.com"))
print(talk(s)[0], s.getpeername()[0])
s = made(socket.AF_INET6); s.connect(place("both.example.com", family=socket.AF_INET6))
print(talk(s)[0], s.getpeername()[0])'
	assert_matches "$output" '192\.0\.2\.11[^ ]* 198\.18\.0\.[0-9]+' "to the second address, by the name's own"
	assert_matches "$output" '(2001:db8:2::12|192\.0\.2\.12) fd76:7275:6e00::' "to whichever was first"
	internet_stop
	assert_nothing_left
}

@test "an app that does not wait sees it connect while the gateway tries address after address" {
	run -0 --separate-stderr app '
s, rc = begin("slow.example.com")
print(rc, ready(s) == select.POLLOUT, error(s), talk(s)[0])
# The winner is tried first from then on; either way it is the same for the app.
s, rc = begin("slow.example.com")
print(rc, ready(s) == select.POLLOUT, s.getpeername()[1], talk(s)[0])'
	assert_matches "$output" 'EINPROGRESS True 0 .*192\.0\.2\.11.*EINPROGRESS True 80 .*192\.0\.2\.11' "both times"
	internet_stop
	assert_nothing_left
}

@test "an app that asks nothing of its socket is connected all the same" {
	run -0 --separate-stderr app '
import os
s, rc = begin("slow.example.com")
ready(s)
os.write(s.fileno(), b"ping")
data = b""
while not data.endswith(b"ping"):
    ready(s, select.POLLIN)
    data += os.read(s.fileno(), 100)
print(rc, data)
print(talk(s, b"more"))
s.shutdown(socket.SHUT_WR)
ready(s, select.POLLIN)
print(os.read(s.fileno(), 10))'
	assert_contains "$output" "192.0.2.11"
	assert_contains "$output" "b''" "the end came through, both ways"
	internet_stop
	assert_nothing_left
}

@test "what epolls were told before the connection holds while addresses are tried" {
	run -0 --separate-stderr app '
s = socket.socket()
s.setblocking(False)
e = select.epoll()
e.register(s, select.EPOLLOUT | select.EPOLLIN | select.EPOLLET)
e.poll(0)
rc = errno.errorcode.get(s.connect_ex(place("slow.example.com")))
while True:
    got = e.poll(10)
    if got[0][1] == select.EPOLLOUT:
        break
print(rc, error(s))
s.send(b"ping")
while not e.poll(10)[0][1] & select.EPOLLIN:
    pass # an edge more than on a plain socket: the new one is writable, too
print("[True]", talk(s, b"ping")[0])
e.modify(s, select.EPOLLIN)
e.unregister(s)'
	assert_contains "$output" "EINPROGRESS 0"
	assert_contains "$output" "[True]"
	internet_stop
	assert_nothing_left
}

@test "the real error reaches the app, and the socket can be used again" {
	run -0 --separate-stderr app '
s = made(); s.settimeout(None)
print(errno.errorcode[s.connect_ex(place("bad.example.com"))])
print(errno.errorcode[s.connect_ex(place("one.example.com", 81))])
s.connect(place("one.example.com"))
print(talk(s)[0])
s, rc = begin("bad.example.com")
if rc == "EINPROGRESS":
    ready(s)
    rc = error(s)
print(rc)'
	assert_contains "$output" "EHOSTUNREACH
ECONNREFUSED"
	assert_contains "$output" "192.0.2.10"
	internet_stop
	assert_nothing_left
}

@test "an address that the policy does not let through is denied with it, however the app connects" {
	run -0 --separate-stderr app '
s = made(); s.settimeout(None)
print(errno.errorcode[s.connect_ex(place("part.example.com", 443))])
s, rc = begin("part.example.com", 443)
if rc == "EINPROGRESS":
    ready(s)
    rc = error(s)
print(rc)'
	assert_output "EACCES
EACCES"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" "192.0.2.13" "what vrun says was denied"
	internet_stop
	assert_nothing_left
}

@test "a policy that forbids it takes a connection away that was handed over" {
	jq -n --argjson rules "[$ALL]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/app.json"
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "connect", to: "one.example.com:*"},
		{deny: "connect", to: "192.0.2.12:*"}]}}' >"$T/new.json"
	cat >app.py <<-'END'
		from c import *
		a, b = made(), made()
		a.connect(place("one.example.com"))
		b.connect(place("both.example.com"))
		talk(a), talk(b)
		c, rc = begin("slow.example.com") # relayed, since it asks nothing
		ready(c)
		c.send(b"x")
		print("connected", flush=True)
		b.settimeout(20)
		print("end:", b.recv(10), flush=True)
		ready(c, select.POLLHUP)
		print("and of the other", talk(a)[:1], flush=True)
	END
	spawn app on_host "$VRUN" run -T --id "$MARK-app" -p "$T/app.json" -- python3 app.py </dev/null
	wait_until grep -q connected "$T/app.out" || fail "$(<"$T/app.out")" "$(<"$T/app.err")"
	run -0 on_host "$VRUN" policy apply "$MARK-app" "$T/new.json"
	assert_contains "$output" "2 " "how many were cut"
	wait_exit "${PID[app]}" || fail "$(<"$T/app.out")" "$(<"$T/app.err")"
	assert_contains "$(<"$T/app.out")" "end: b''"
	assert_contains "$(<"$T/app.out")" "and of the other []"
	internet_stop
	assert_nothing_left
}
