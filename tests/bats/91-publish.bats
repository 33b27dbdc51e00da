#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Ports of the machine that lead into a sandbox.

# shellcheck disable=SC2030,SC2031 # each test is a subshell
bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	setup_in work
	cat >server.py <<'PYTHON'
# Says to each who comes what accept and getpeername say of them: server.py [ADDRESS] PORT [TIMES]
import socket, sys
address, port, times = (sys.argv[1:] + ["0"])[:3]
def listener():
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    s.listen(64)
    print("ready", flush=True)
    return s
s = listener()
while True:
    c, peer = s.accept()
    if c.getpeername() != peer:
        c.sendall(f"peer {c.getpeername()} is not {peer}\n".encode())
    c.sendall(f"{peer[0]} came to {c.getsockname()[0]} {c.getsockname()[1]}, {c.family.name}\n".encode())
    line = c.makefile().readline().strip()
    if line == "close":
        s.close()
        print("closed", flush=True)
        c.sendall(b"closed\n")
        c.makefile().readline()
        s = listener()
    c.close()
PYTHON
	cat >client.py <<'PYTHON'
# client.py ADDRESS PORT [TEXT...]: what the server says; or why not
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
    s.sendall("".join(t + "\n" for t in sys.argv[3:] or ["x"]).encode())
    print(s.makefile().read().strip() or "nothing")
except OSError as e:
    print(e.strerror or e)
PYTHON
	internet_start
}

# The server in a sandbox whose rules (JSON) publish it, in the background, listening.
serve() # RULES OPTIONS... -- ADDRESS PORT
{
	local rules=$1 options=()

	shift
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	if [[ -n $rules ]]; then
		jq -n --argjson rules "[$rules]" '{version: 1, domain: "web", net: {address: ["10.88.0.10", "fd00::10"], rules: $rules}}' >"$T/web.json"
		options+=(-p "$T/web.json")
	fi
	rm -f "$T/web.out"
	spawn web on_host "$VRUN" run -T --id "$MARK-web" "${options[@]}" -- python3 server.py "$@" </dev/null
	if ! wait_until grep -q ready "$T/web.out"; then
		fail "no server:" "$(<"$T/web.err")"
		return 1
	fi
}

end_server()
{
	"$VRUN" kill "$MARK-web" KILL
	wait_exit "${PID[web]}" || :
}

# Where the first published port is.
published()
{
	"$VRUN" ps --json | jq -r --arg id "$MARK-web" '.[] | select(.id == $id) | .published[0].at'
}

refuses() # PORT
{
	[[ $(on_host python3 client.py 127.0.0.1 "$1") == "Connection refused" ]]
}

listens_again()
{
	[[ $(grep -c ready "$T/web.out") == 2 ]]
}

readonly LOCAL='{"allow": "listen", "at": ":80", "from": "host", "publish": "127.0.0.1:0"}'

@test "a published port leads to the app, which sees who comes" {
	serve "$LOCAL" -- 0.0.0.0 80
	at=$(published)
	assert_matches "$at" '^127\.0\.0\.1:[1-9][0-9]+$'
	for _ in 1 2 3; do
		run -0 on_host python3 client.py 127.0.0.1 "${at#*:}"
		assert_output "127.0.0.1 came to 10.88.0.10 80, AF_INET"
	done
	run -0 "$VRUN" ps
	assert_contains "$output" "$at>80"
	end_server
	internet_stop
	assert_nothing_left
}

@test "IPv6 and an app that listens for both families" {
	serve '{"allow": "listen", "at": ":80", "from": ["host", "0.0.0.0/0", "::/0"], "publish": "[::]:18080"},
		{"allow": "listen", "at": ":80", "from": ["host", "0.0.0.0/0"], "publish": "0.0.0.0:18080"}' -- :: 80
	run -0 on_servers python3 client.py 2001:db8:1::2 18080
	assert_output "2001:db8:1::1 came to fd00::10 80, AF_INET6"
	run -0 on_servers python3 client.py 198.51.100.2 18080
	assert_output "::ffff:198.51.100.1 came to ::ffff:10.88.0.10 80, AF_INET6"
	end_server
}

@test "from decides who may come in, by the address that they come from" {
	serve '{"allow": "listen", "at": ":80", "from": ["host"], "publish": "0.0.0.0:18081"}' -- 0.0.0.0 80
	run -0 on_host python3 client.py 127.0.0.1 18081
	assert_output "127.0.0.1 came to 10.88.0.10 80, AF_INET"
	run -0 on_servers python3 client.py 198.51.100.2 18081
	assert_output "Connection reset by peer"
	end_server
	assert_contains "$(<"$T/web.err")" "198.51.100.1"
	serve '{"allow": "listen", "at": ":80", "from": ["198.51.100.0/24"], "publish": "0.0.0.0:18081"},
		{"deny": "listen", "at": ":80", "from": ["198.51.100.53"]}' -- 0.0.0.0 80
	run -0 on_servers python3 client.py 198.51.100.2 18081
	assert_output "198.51.100.1 came to 10.88.0.10 80, AF_INET"
	run -0 on_host python3 client.py 127.0.0.1 18081
	assert_output "Connection reset by peer"
	run -0 on_servers python3 -c 'import socket
try: print(socket.create_connection(("198.51.100.2", 18081), 10, ("198.51.100.53", 0)).recv(9))
except OSError as e: print(e.strerror)'
	assert_output "Connection reset by peer"
	end_server
}

@test "options of the listener are those of its connections" {
	cat >server.py <<'PYTHON'
import socket
s = socket.socket()
s.bind(("0.0.0.0", 80))
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20000)
s.listen(5)
print("ready", flush=True)
c, _ = s.accept()
c.makefile().readline()
c.sendall(" ".join(str(c.getsockopt(*o)) for o in (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), (socket.SOL_SOCKET, socket.SO_SNDBUF))).encode())
PYTHON
	serve "$LOCAL" -- 0.0.0.0 80
	at=$(published)
	run -0 on_host python3 client.py 127.0.0.1 "${at#*:}"
	assert_output "1 1 77 40000"
	wait_exit "${PID[web]}"
}

@test "a listener that wants to hear of bytes only (TCP_DEFER_ACCEPT) hears of those who come" {
	cat >server.py <<'PYTHON'
import select, socket
def defer():
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
s = socket.socket()
defer()
s.bind(("0.0.0.0", 80))
s.listen(5)
defer()
print("ready", flush=True)
for wait in (True, False):
    if wait:
        select.select([s], [], [])
    c, peer = s.accept()
    c.sendall(c.makefile().readline().encode())
    c.close()
PYTHON
	serve "$LOCAL" -- 0.0.0.0 80
	at=$(published)
	for how in polled waited; do
		run -0 on_host timeout 15 python3 client.py 127.0.0.1 "${at#*:}" "$how"
		assert_output "$how"
	done
	wait_exit "${PID[web]}"
}

@test "nobody is let in while the app does not listen, and the port stays its own" {
	serve "$LOCAL" -- 0.0.0.0 80
	port=$(published)
	port=${port#*:}
	# The server closes its listener while it is connected to this one, and opens it again.
	mkfifo line
	spawn first on_host python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
f = s.makefile()
f.readline()
s.sendall(b"close\n")
print(f.readline(), end="", flush=True)
open("line").readline()
s.sendall(b"go on\n")
print(f.read() or "end", flush=True)' "$port" </dev/null
	wait_until grep -q closed "$T/first.out"
	run -0 on_host python3 client.py 127.0.0.1 "$port"
	assert_matches "$output" 'Connection (reset|refused)'
	# By whom the gateway hears of it.
	wait_until refuses "$port"
	run on_host python3 -c 'import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))' "$port"
	assert_contains "$output" "Address already in use"
	echo >line
	wait_until listens_again
	run -0 on_host python3 client.py 127.0.0.1 "$port"
	assert_output "127.0.0.1 came to 10.88.0.10 80, AF_INET"
	wait_exit "${PID[first]}"
	end_server
}

@test "--publish needs no policy, and adds to one" {
	serve "" --publish 127.0.0.1:0:8000 -- 0.0.0.0 8000
	at=$(published)
	run -0 on_host python3 client.py 127.0.0.1 "${at#*:}"
	assert_matches "$output" '^127\.0\.0\.1 came to 10\.88\.[0-9.]+ 8000, AF_INET$'
	end_server
	serve '{"allow": "connect", "to": "db:5432"}' --publish '[::1]:18082:8000' --publish 18082:8000 -- :: 8000
	run -0 on_host python3 client.py ::1 18082
	assert_output "::1 came to fd00::10 8000, AF_INET6"
	run -0 on_host python3 client.py 127.0.0.1 18082
	assert_output "::ffff:127.0.0.1 came to ::ffff:10.88.0.10 8000, AF_INET6"
	end_server
	for bad in 80 :80 80: 0.0.0.0:80:0 a:80:80 1.2.3.4:99999:80; do
		run "$VRUN" run --publish "$bad" -- true
		assert_vrun_error "--publish $bad"
	done
}

@test "a port that is taken, or that needs rights, stops the run before the app starts" {
	serve "$LOCAL" -- 0.0.0.0 80
	at=$(published)
	run on_host "$VRUN" run -T --publish "$at:80" -- touch started </dev/null
	assert_vrun_error "publishing port 80 at $at: Address already in use"
	[[ ! -e started ]] || fail "the app has run"
	end_server
	if is_root; then
		serve "" --publish 127.0.0.1:81:80 -- 0.0.0.0 80
		run -0 on_host python3 client.py 127.0.0.1 81
		assert_contains "$output" "127.0.0.1 came to"
		end_server
	else
		run on_host "$VRUN" run -T --publish 127.0.0.1:81:80 -- touch started </dev/null
		assert_vrun_error "Permission denied"
		[[ ! -e started ]] || fail "the app has run"
	fi
	internet_stop
	assert_nothing_left
}

@test "those who wait in accept, poll and epoll all hear of a visitor" {
	cat >waits.py <<'PYTHON'
import select, socket, sys, threading
s = socket.create_server(("0.0.0.0", 80), backlog=128)
print("ready", flush=True)
how = sys.argv[1]
for _ in range(20):
    if how == "poll":
        p = select.poll(); p.register(s, select.POLLIN); p.poll(20000)
    elif how == "epoll":
        e = select.epoll(); e.register(s, select.EPOLLIN); e.poll(20)
    elif how == "nonblock":
        s.setblocking(False); select.select([s], [], [], 20)
    c, _ = s.accept()
    c.setblocking(True)
    c.sendall(c.recv(100))
    c.close()
PYTHON
	for how in accept poll epoll nonblock; do
		jq -n --argjson rules "[$LOCAL]" '{version: 1, domain: "web", net: {rules: $rules}}' >"$T/web.json"
		rm -f "$T/web.out"
		spawn web on_host "$VRUN" run -T --id "$MARK-web" -p "$T/web.json" -- python3 waits.py "$how" </dev/null
		wait_until grep -q ready "$T/web.out"
		at=$(published)
		run -0 on_host python3 -c 'import socket, sys
for i in range(20):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
    s.sendall(b"%d" % i)
    assert s.recv(100) == b"%d" % i, i
print("done")' "${at#*:}"
		assert_equal "$output" "done" "visitors of $how"
		wait_exit "${PID[web]}"
		assert_equal "$status" 0 "$how: $(<"$T/web.err")"
	done
}

# A python3 program in the sandbox, which says "ready" when it listens at port 80.
serve_program() # FILE
{
	jq -n --argjson rules "[$LOCAL]" '{version: 1, domain: "web", net: {address: ["10.88.0.10"], rules: $rules}}' >"$T/web.json"
	spawn web on_host "$VRUN" run -T --id "$MARK-web" -p "$T/web.json" -- python3 "$1" </dev/null
	if ! wait_until grep -q ready "$T/web.out"; then
		fail "no server:" "$(<"$T/web.err")"
		return 1
	fi
	at=$(published)
}

@test "who waits to be accepted is let go when the app closes its listener" {
	cat >closes.py <<'PYTHON'
import select, socket
s = socket.create_server(("0.0.0.0", 80))
print("ready", flush=True)
p = select.poll()
p.register(s, select.POLLIN)
p.poll()
s.close()
print("closed", flush=True)
select.poll().poll()
PYTHON
	serve_program closes.py
	run -0 on_host timeout 15 python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try:
    print(s.recv(1))
except ConnectionResetError:
    print("reset")' "${at#*:}"
	assert_matches "$output" "^(b''|reset)\$"
	end_server
}

@test "of several listeners at a port one that was closed takes nobody in" {
	local transport transports=(tcp)

	! (need_wires) >/dev/null || transports+=(wire)
	cat >several.py <<'PYTHON'
import socket
def listener():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("0.0.0.0", 8080))
    s.listen(64)
    return s
three = [listener() for _ in range(3)]
three.pop(0).close()
three.pop(1).close()
print("ready", flush=True)
while True:
    c, _ = three[0].accept()
    c.recv(10)
    c.sendall(b"here\n")
    c.close()
PYTHON
	cp several.py server.py
	for transport in "${transports[@]}"; do
		jq -n --arg transport "$transport" '{version: 1, domain: "web", net: {transport: $transport, rules: [
			{allow: "listen", at: ":8080", from: ["host"], publish: "127.0.0.1:18080"}]}}' >"$T/web.json"
		serve '' -p "$T/web.json" --
		for _ in {1..6}; do
			run -0 on_host python3 client.py 127.0.0.1 18080
			assert_output "here"
		done
		end_server
	done
}

@test "of several listeners at a port whoever is woken has somebody to accept" {
	cat >server.py <<'PYTHON'
import select, socket
def listener():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("0.0.0.0", 8080))
    s.listen(64)
    s.setblocking(False)
    return s
three = {s.fileno(): s for s in (listener() for _ in range(3))}
poll = select.epoll()
for fd in three:
    poll.register(fd, select.EPOLLIN)
print("ready", flush=True)
served = vain = 0
while served < 60:
    for fd, _ in poll.poll():
        try:
            c, _ = three[fd].accept()
        except BlockingIOError:
            vain += 1
            continue
        c.sendall(b"here")
        c.close()
        served += 1
print("in vain", vain, flush=True)
PYTHON
	cat >many.py <<'PYTHON'
import socket
for _ in range(60):
    assert socket.create_connection(("127.0.0.1", 18080), 30).recv(9) == b"here"
PYTHON
	serve '{"allow": "listen", "at": ":8080", "from": ["host"], "publish": "127.0.0.1:18080"}' --
	run -0 on_host python3 many.py
	wait_exit "${PID[web]}"
	# Now and then one comes late, on a machine that is busy with others.
	assert_matches "$(<"$T/web.out")" 'in vain [0-9]$'
}

@test "a worker that sleeps is woken while the one that accepts is busy" {
	mkfifo go
	cat >workers.py <<'PYTHON'
import os, select, socket
s = socket.create_server(("0.0.0.0", 80), backlog=16)
go = os.open("go", os.O_RDWR)
done, tell = os.pipe()
print("ready", flush=True)
s.accept()[0].close() # from now on one process is known to accept
s.setblocking(False)
busy = os.fork()
e = select.epoll()
e.register(s, select.EPOLLIN | select.EPOLLEXCLUSIVE)
print("waits", flush=True)
while True:
    e.poll()
    os.read(go, 1)
    try:
        c = s.accept()[0]
    except BlockingIOError:
        continue
    if busy:
        os.read(done, 1)
    c.sendall(b"served")
    os.write(tell, b"x")
    c.close()
PYTHON
	serve_program workers.py
	run -0 on_host timeout 30 python3 -c '
import socket, subprocess, sys
def visit():
    return socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
first = visit()
first.recv(1)
while open(sys.argv[2]).read().count("waits") < 2:
    pass
a, b = visit(), visit()
while len(subprocess.run(sys.argv[3:], stdout=subprocess.PIPE, text=True).stdout.split("10.88.0.10:80 ")) < 3:
    pass
open("go", "w").write("xxxx")
print(a.recv(100), b.recv(100))' "${at#*:}" "$T/web.out" "$VRUN" sockets "$MARK-web"
	assert_output "b'served' b'served'"
	end_server
}

# The supervisor that a process of ours has started, or one of its own.
supervisor_below() # PID
{
	local pid up

	for pid in $(pgrep -x vrun-supervisor); do
		up=$pid
		while ((up > 1 && up != $1)); do
			up=$(awk '$1 == "PPid:" { print $2 }' "/proc/$up/status" 2>/dev/null)
			up=${up:-1} # it has ended
		done
		if ((up == $1)); then
			echo "$pid"
			return
		fi
	done
}

sockets_of() # SUPERVISOR
{
	awk '$1 == "sockets:" { print $3 }' "/proc/$1/net/sockstat"
}

few_sockets_more()
{
	(($(sockets_of "$supervisor") - before < 120))
}

accepted() # NUMBER
{
	local n

	n=$(tail -n 1 "$T/web.out")
	[[ $n != ready ]] && ((n >= $1))
}

# Making room frees the rows of closed sockets, of which the listener is one by then.
@test "a visitor of a domain that is full, and has closed its listener, is refused" {
	need_wires
	cat >full.py <<'PYTHON'
import socket, sys, time
def listen():
    s = socket.create_server(("0.0.0.0", 80))
    print("ready", flush=True)
    return s
s = listen()
first, _ = s.accept()
more = []
try:
    while True: more.append(socket.socket())
except OSError: pass
time.sleep(0.1) # a look that took long is not taken again at once
s.close()
first.sendall(b"come")
first.recv(1)
more.pop().close()
listen().accept()[0].sendall(b"well")
PYTHON
	jq -n --argjson rules "[$LOCAL]" '{version: 1, domain: "web", limits: {sockets: 6},
		net: {transport: "wire", address: ["10.88.0.10"], rules: $rules}}' >"$T/web.json"
	spawn web on_host "$VRUN" run -T --id "$MARK-web" -p "$T/web.json" -- python3 full.py </dev/null
	wait_until grep -q ready "$T/web.out"
	at=$(published)
	run -0 on_host timeout 20 python3 -c 'import socket, sys, time
def visit():
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(10)
    return s
first = visit()
print(first.recv(4))
try: print(visit().recv(4))
except OSError as e: print(e)
first.close()
while True:
    try: print(visit().recv(4))
    except OSError: time.sleep(0.01)
    else: break' "${at#*:}"
	assert_output "b'come'
[Errno 104] Connection reset by peer
b'well'"
	wait_exit "${PID[web]}" || fail "the app: $?" "$(<"$T/web.err")"
	internet_stop
	assert_nothing_left
}

@test "an app that keeps its own queue full holds nothing of the supervisor's" {
	# Two listeners share the port; where one is full the kernel drops what it sends there, and it sends half there.
	cat >full.py <<'PYTHON'
import select, socket
def listener(backlog):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("0.0.0.0", 80))
    s.listen(backlog)
    s.setblocking(False)
    return s
def accept():
    try: return other.accept()[0].close() is None
    except BlockingIOError: return False
full, other = listener(0), listener(1000)
clients = [socket.socket() for i in range(64)]
for c in clients:
    c.setblocking(False)
    c.connect_ex(("127.0.0.1", 80))
while accept(): pass
print("ready", flush=True)
n = 0
while True:
    select.select([other], [], [])
    n += accept()
    print(n, flush=True)
PYTHON
	serve_program full.py
	supervisor=$(supervisor_below "${PID[web]}")
	before=$(sockets_of "$supervisor")
	run -0 on_host python3 -c 'import socket, sys
for i in range(700):
    try: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10).close()
    except ConnectionResetError: pass' "${at#*:}"
	wait_until accepted 40 || fail "accepted: $(tail -n 1 "$T/web.out")"
	# Those in the queue of the other one are there until they are accepted.
	wait_until few_sockets_more || fail "sockets before: $before, after 700 visitors: $(sockets_of "$supervisor")"
	end_server
	internet_stop
	assert_nothing_left
}
