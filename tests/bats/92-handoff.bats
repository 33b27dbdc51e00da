#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Connections that leave: an app's socket becomes one of the host's.

bats_require_minimum_version 1.5.0
load helper
load machine

TO_ALL='{"allow": "connect", "to": ["192.0.2.0/24:*", "198.51.100.0/24:*", "[2001:db8::/64]:*"]}'

@test "sockets that lead outside behave as on any Linux, over IPv4" {
	run -0 sandbox "$TO_ALL" ./outside ask 192.0.2.1 7000 198.51.100.66
	assert_contains "$output" " 0 failed"
	assert_contains "$output" "that copy is dead" "what vrun says of a copy in a message"
	assert_nothing_left
}

@test "sockets that lead outside behave as on any Linux, over IPv6" {
	run -0 sandbox "$TO_ALL" ./outside ask 2001:db8::1 7000
	assert_contains "$output" " 0 failed"
	assert_nothing_left
}

@test "a socket that is bound to a port which the machine does not give connects from another" {
	need_command python3
	mkdir "$T/work"
	cd "$T/work"
	cat >ports.py <<-'END'
		import socket, sys
		for port in map(int, sys.argv[1:]):
		    s = socket.socket()
		    s.bind(("", port))
		    s.connect(("192.0.2.1", 7001))
		    print(s.getsockname()[1] == port, s.recv(6), s.getpeername()[1], flush=True)
	END
	cat >taken.py <<-'END'
		import socket, subprocess, sys
		l = socket.socket()
		l.bind(("", 0))
		l.listen()
		sys.exit(subprocess.call(sys.argv[1:] + [str(l.getsockname()[1]), "700"]))
	END
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "connect", to: "192.0.2.1:7001"}]}}' >"$T/app.json"
	run -0 on_machine python3 taken.py "$VRUN" run -T -p "$T/app.json" -- python3 ports.py
	assert_output $'True b\'hello\\n\' 7001\nTrue b\'hello\\n\' 7001'
	assert_nothing_left
}

@test "what no rule allows is denied, and nothing of it leaves" {
	run -0 sandbox '{"allow": "connect", "to": "192.0.2.1:7001"}' ./outside try 192.0.2.1 7000
	assert_contains "$output" "connect: -13" "what the app sees"
	assert_contains "$output" "the policy denied" "what vrun says"
	assert_nothing_left
}

@test "curl, python and node fetch from a server outside" {
	need_command curl python3 node
	mkdir "$T/www"
	echo "from outside" >"$T/www/page"
	cat >"$T/work.sh" <<-'END'
		set -eu
		python3 -u -m http.server --bind 192.0.2.1 --directory "$1" 8000 >"$1/http.log" 2>&1 &
		server=$!
		shift
		status=0
		until curl -s -o /dev/null http://192.0.2.1:8000/; do :; done
		"$@" || status=$?
		kill "$server"
		wait "$server" || :
		exit "$status"
	END
	cat >"$T/fetch.py" <<-'END'
		import asyncio, urllib.request

		print(urllib.request.urlopen("http://192.0.2.1:8000/page", timeout=10).read())

		async def fetch():
		    r, w = await asyncio.open_connection("192.0.2.1", 8000)
		    w.write(b"GET /page HTTP/1.0\r\n\r\n")
		    return (await r.read()).splitlines()[-1]

		async def fetch_all():
		    print(set(await asyncio.gather(*[fetch() for _ in range(20)])))

		asyncio.run(fetch_all())
	END
	cat >"$T/fetch.js" <<-'END'
		require("http").get("http://192.0.2.1:8000/page", r => r.on("data", d => process.stdout.write(d)));
	END
	jq -n '{version: 1, net: {rules: [{allow: "connect", to: "192.0.2.1:8000"}]}}' >"$T/app.json"
	mkdir "$T/work"
	cp "$T"/fetch.* "$T/work"
	cd "$T/work"
	run -0 on_machine bash "$T/work.sh" "$T/www" "$VRUN" run -p "$T/app.json" -- \
		curl -sS -m 10 http://192.0.2.1:8000/page
	assert_output "from outside"
	run -0 on_machine bash "$T/work.sh" "$T/www" "$VRUN" run -p "$T/app.json" -- python3 fetch.py
	assert_output "b'from outside\\n'
{b'from outside'}"
	run -0 on_machine bash "$T/work.sh" "$T/www" "$VRUN" run -p "$T/app.json" -- node fetch.js
	assert_output "from outside"
	assert_nothing_left
}

@test "relayed connections behave as on any Linux, too" {
	# Nothing is exchanged: a copy in a message works.
	run -0 sandbox "{\"allow\": \"connect\", \"to\": \"192.0.2.1:7000-7002\", \"rate\": \"100MB/s\"}, $TO_ALL" \
		env OUTSIDE_NATIVE=1 ./outside ask 192.0.2.1 7000 198.51.100.66
	assert_contains "$output" " 0 failed"
	assert_nothing_left
}

@test "rate, maxBytes and maxConnections hold" {
	need_command python3
	cat >"$T/limits.py" <<-'END'
		import errno, socket, threading, time

		def connected(a, p):
		    s = socket.socket()
		    s.settimeout(20)
		    s.connect((a, p))
		    return s

		def push(s, n):
		    s.sendall(b"x" * n)
		    s.shutdown(socket.SHUT_WR)

		def pull(s):
		    n = 0
		    while data := s.recv(65536):
		        n += len(data)
		    return n

		a, b = connected("192.0.2.1", 7000), connected("192.0.2.1", 7000)
		since = time.monotonic()
		threads = [threading.Thread(target=push, args=(s, 2000000)) for s in (a, b)]
		[t.start() for t in threads]
		print(pull(a), pull(b))
		took = time.monotonic() - since
		print("at its rate" if 0.8 < took else f"too fast: {took}")

		few = [connected("192.0.2.1", 7001) for _ in range(2)]
		try:
		    connected("192.0.2.1", 7001)
		except OSError as e:
		    print(errno.errorcode[e.errno])
		few.pop().close()
		# A look at what is closed that took long is not taken again at once.
		until = time.monotonic() + 20
		while len(few) < 2:
		    try:
		        few.append(connected("192.0.2.1", 7001))
		    except PermissionError:
		        if time.monotonic() > until: raise
		        time.sleep(0.01)
		print("again")

		s = connected("192.0.2.3", 7000)
		push(s, 50000)
		print(pull(s))
		s = connected("192.0.2.3", 7000)
		try:
		    s.sendall(b"x" * 50001) # no shutdown: after the reset it says ENOTCONN
		    pull(s)
		except OSError as e:
		    print(errno.errorcode[e.errno])
	END
	mkdir -p "$T/work"
	cp "$T/limits.py" "$T/work"
	run -0 --separate-stderr sandbox '{"allow": "connect", "to": "192.0.2.1:7000", "rate": "2MB/s", "burst": "100kB"},
		{"id": "few", "allow": "connect", "to": "192.0.2.1:7001", "maxConnections": 2},
		{"allow": "connect", "to": "192.0.2.3:7000", "maxBytes": "100kB"}' python3 limits.py
	assert_output "2000000 2000000
at its rate
EACCES
again
50000
ECONNRESET"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" 'rule few has its "maxConnections"'
	assert_contains "$stderr" 'it had moved the 100000 bytes of "maxBytes"'
	assert_nothing_left
}

@test "options that are not served are refused before anything runs" {
	for rule in '{"allow": "connect", "to": "db:5432", "rate": "1MB/s"}' \
		'{"allow": "connect", "to": "192.0.2.1:53", "proto": "udp", "maxBytes": "1MB"}' \
		'{"allow": "listen", "at": ":80", "from": ["host"], "rate": "1MB/s"}' \
		'{"allow": "connect", "to": "db:443", "tls": {"names": ["db.example.com"]}}'; do
		run sandbox "$rule" true
		assert_vrun_error "are served for TCP connections to the outside alone (leave them out of that rule)"
	done
	assert_nothing_left
}

@test "sockets of a domain with wires that lead outside behave as on any Linux, handed over and relayed" {
	need_wires
	export TRANSPORT=wire # for sandbox()
	run sandbox "$TO_ALL" ./outside ask 192.0.2.1 7000 198.51.100.66
	assert_contains "$output" " 0 failed"
	run sandbox "$TO_ALL" ./outside ask 2001:db8::1 7000
	assert_contains "$output" " 0 failed"
	run sandbox "{\"allow\": \"connect\", \"to\": \"192.0.2.1:7000-7002\", \"rate\": \"100MB/s\"}, $TO_ALL" \
		env OUTSIDE_NATIVE=1 ./outside ask 192.0.2.1 7000 198.51.100.66
	assert_contains "$output" " 0 failed"
	assert_nothing_left
}

# As the kernel would send it: a rate is no reason to lose it, and what is lost must not look like an end.
@test "what an app has sent before it ends goes out through a relay, or its server sees a reset" {
	need_command python3
	cat >"$T/count.py" <<-'END'
		import socket, sys

		s = socket.create_server(("192.0.2.1", 7000))
		print("ready", flush=True)
		c, n, end = s.accept()[0], 0, "end"
		try:
		    while data := c.recv(65536):
		        n += len(data)
		except OSError as e:
		    end = type(e).__name__
		with open(sys.argv[1], "w") as f:
		    print("all" if n == 150000 else "a part" if n else "nothing", end, file=f)
		s.accept() # until it is killed
	END
	cat >"$T/and-wait" <<-'END'
		"$@" || exit
		until [ -s "$got" ]; do :; done
	END
	mkdir "$T/work" "$T/rec"
	cd "$T/work"
	cat >send.py <<-'END'
		import os, socket

		s = socket.create_connection(("192.0.2.1", 7000))
		s.sendall(b"x" * 150000)
		os._exit(0)
	END
	export got=$T/got
	# shellcheck disable=SC2034 # on_machine's
	SERVER=(python3 "$T/count.py" "$got")
	# The record's last word comes when nothing else is left of the domain: a supervisor with AddressSanitizer shows what is.
	for case in "tcp 500KB/s - all end" "tcp 500KB/s record all end" "tcp 20KB/s - a part ConnectionResetError" "wire 500KB/s - all end"; do
		read -r transport rate record want <<<"$case"
		[[ $transport == tcp ]] || need_wires
		more={} options=()
		[[ $record == - ]] || more='{"record": "sent"}' options=(--record "$T/rec")
		jq -n --arg transport "$transport" --arg rate "$rate" --argjson more "$more" '{version: 1, domain: "app", net: {transport: $transport,
			rules: [{allow: "connect", to: "192.0.2.1:7000", rate: $rate} + $more]}}' >"$T/app.json"
		rm -f "$got"
		run -0 on_machine timeout 30 sh "$T/and-wait" "$VRUN" run -p "$T/app.json" "${options[@]}" -- python3 send.py
		[[ $output != *AddressSanitizer* ]] || fail "$output"
		assert_equal "$(<"$got")" "$want" "what the server saw of $case"
		assert_nothing_left
	done
}
