#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun policy apply and what leads outside or comes in from there: connections
# that were handed over, relays, datagrams, ports of the machine.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	internet_setup
	mkfifo go
	cat >flows.py <<-'END'
		# Has a connection for each argument "tcp ADDRESS", a flow for "udp ADDRESS" and whoever comes for
		# "in PORT", or "late PORT", where nobody is accepted before it is told to; says which of them carry bytes
		# each time that it is told to.
		import array, os, socket, sys, threading

		def tcp(address):
		    s = socket.create_connection((address, 80), 10)
		    s.makefile().readline()
		    return s

		def udp(address):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.connect((address, 7))
		    return s

		def listener(port):
		    s = socket.socket()
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
		    s.bind(("0.0.0.0", int(port)))
		    s.listen(5)
		    return s

		def serve(s):
		    while True:
		        try:
		            c, _ = s.accept()
		        except OSError:
		            return
		        c.sendall(b"hello %d\n" % c.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
		        threading.Thread(target=echo, args=(c,), daemon=True).start()

		def echo(c):
		    try:
		        while data := c.recv(100):
		            c.sendall(data)
		    except OSError:
		        pass

		def alive(s):
		    try:
		        s.settimeout(10 if s.type == socket.SOCK_STREAM else 3)
		        s.send(b"ping")
		        return s.recv(100) == b"ping"
		    except OSError:
		        return False

		flows = []
		for kind, what in zip(sys.argv[1::2], sys.argv[2::2]):
		    if kind == "in":
		        threading.Thread(target=serve, args=(listener(what),), daemon=True).start()
		    elif kind == "late":
		        late = listener(what)
		    elif kind == "hide":
		        s = tcp(what)
		        a, b = socket.socketpair()
		        a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
		        s.close()
		    else:
		        flows.append((what, (tcp if kind == "tcp" else udp)(what)))
		print("ready", flush=True)
		# Its own writer, too: the end of another one would be the end of all.
		go = os.fdopen(os.open("go", os.O_RDWR | os.O_CLOEXEC), "r")
		while line := go.readline():
		    if line == "accept\n":
		        threading.Thread(target=serve, args=(late,), daemon=True).start()
		        continue
		    print("alive", *(what for what, s in flows if alive(s)), flush=True)
	END
	cat >visitor.py <<-'END'
		# visitor.py PORT: comes in, says so, and stays until it is cut or told to leave
		import socket, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
		try:
		    while data := s.recv(100):
		        print(data.decode().strip(), flush=True)
		    print("cut", flush=True)
		except ConnectionResetError:
		    print("cut", flush=True)
	END
}

policy() # FILE RULES
{
	jq -n --argjson rules "[$2]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/$1"
}

start() # ARGUMENTS OF flows.py...
{
	spawn app on_host "$VRUN" run -T --id "$MARK-app" -p "$T/app.json" -- python3 flows.py "$@" </dev/null
	wait_until grep -qx ready "$T/app.out" || fail "$(<"$T/app.out")" "$(<"$T/app.err")"
}

apply() # FILE OPTIONS...
{
	run -0 on_host "$VRUN" policy apply "${@:2}" "$MARK-app" "$T/$1"
}

alive() # [WHO]
{
	local who=${1:-app} before

	before=$(grep -c ^alive "$T/$who.out" || :)
	echo more >go
	wait_until more_than "$before" "$who" || fail "$(<"$T/$who.out")" "$(<"$T/$who.err")"
	grep ^alive "$T/$who.out" | tail -n 1
}

more_than() # NUMBER WHO
{
	(($(grep -c ^alive "$T/$2.out") > $1))
}

# Where the sandbox's port is published.
port_of() # PORT
{
	"$VRUN" ps --json | jq -r --arg id "$MARK-app" --argjson port "$1" \
		'.[] | select(.id == $id) | .published[] | select(.port == $port) | .at | sub(".*:"; "")'
}

has_published() # PORT
{
	[[ -n $(port_of "$1") ]]
}

# Comes in at a port of the machine and says how it was received.
knock() # PORT
{
	# shellcheck disable=SC2016 # the other shell's
	on_host bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && head -n 1 <&3' sh "$1" 2>&1 | grep -oE 'hello [0-9]+|Connection [a-z]+' | head -n 1
}

is_free() # PORT
{
	[[ $(knock "$1") == "Connection refused" ]]
}

@test "what leads outside is cut: connections handed over, relays, datagrams; and what is allowed goes on" {
	policy app.json '{"allow":"connect","to":["192.0.2.10:80","192.0.2.11:80"]},
		{"allow":"connect","to":["192.0.2.12:80","192.0.2.13:80"],"rate":"1MB/s"},
		{"allow":"connect","to":["192.0.2.14:7","192.0.2.15:7"],"proto":"udp"}'
	policy less.json '{"allow":"connect","to":"192.0.2.11:80"},{"allow":"connect","to":"192.0.2.13:80","rate":"1MB/s"},
		{"allow":"connect","to":"192.0.2.15:7","proto":"udp"}'
	start tcp 192.0.2.10 tcp 192.0.2.11 tcp 192.0.2.12 tcp 192.0.2.13 udp 192.0.2.14 udp 192.0.2.15
	assert_equal "$(alive)" "alive 192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15" "before"
	apply less.json
	assert_output "in force as generation 2, 2 connections cut, 1 flow of datagrams cut"
	assert_equal "$(alive)" "alive 192.0.2.11 192.0.2.13 192.0.2.15" "after"
	run -0 "$VRUN" log --json "$MARK-app"
	assert_equal "$(jq -sr '[.[] | select(.call == "policy") | "\(.decision) \(.attempt)"] | sort | join("; ")' <<<"$output")" \
		"deny connect to 192.0.2.10:80/tcp; deny connect to 192.0.2.12:80/tcp; deny connect to 192.0.2.14:7/udp" \
		"what is on record of the cut"
	# A deny of all, and everything is gone.
	policy none.json '{"deny":"connect","to":"192.0.2.0/24:*","proto":["tcp","udp"]},{"allow":"connect","to":"203.0.113.9:9","proto":["tcp","udp"]}'
	apply none.json
	assert_equal "$(alive)" "alive" "at the end"
	"$VRUN" kill "$MARK-app" KILL
	wait_exit "${PID[app]}" || :
	internet_stop
	assert_nothing_left
}

@test "a connection that was handed over and is parked in a message: the sandbox is stopped" {
	policy app.json '{"allow":"connect","to":["192.0.2.10:80","192.0.2.11:80"]}'
	policy less.json '{"allow":"connect","to":"192.0.2.11:80"}'
	start tcp 192.0.2.11 hide 192.0.2.10
	apply less.json
	assert_output "in force as generation 2, 1 connection cut, 1 sandbox stopped, since it hid what had to be cut"
	wait_exit "${PID[app]}"
	assert_equal "$status" 137 "exit status of the sandbox"
	internet_stop
	assert_nothing_left
}

# A fabric takes ranges of ids, which a user cannot give inside the tests' internet.
# bats test_tags=identity:root
@test "a connection that an app has given to another domain of the fabric, and has no more itself, is cut there" {
	cat >pass.py <<-'END'
		# "give ADDRESS": to who takes it, at a socket in a directory that both are shown; "take": and says whether it
		# carries bytes each time that it is told to
		import array, os, select, socket, sys, time
		u = socket.socket(socket.AF_UNIX)
		if sys.argv[1] == "give":
		    s = socket.create_connection((sys.argv[2], 80), 10)
		    s.makefile().readline()
		    u.connect("passing")
		    u.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
		    s.close()
		    print("given", u.recv(1), flush=True)
		    time.sleep(1000)
		u.bind("passing")
		u.listen()
		print("ready", flush=True)
		c, _ = u.accept()
		s = array.array("i", c.recvmsg(1, 100)[1][0][2])[0]
		c.send(b"y")
		go = os.fdopen(os.open("go", os.O_RDWR | os.O_CLOEXEC), "r")
		while go.readline():
		    try:
		        os.write(s, b"ping")
		        there = select.select([s], [], [], 10)[0] and os.read(s, 100) == b"ping"
		    except OSError:
		        there = False
		    print("alive" if there else "alive not", flush=True)
	END
	policy app.json '{"allow":"connect","to":["192.0.2.10:80","192.0.2.11:80"]}'
	policy less.json '{"allow":"connect","to":"192.0.2.11:80"}'
	jq '.domain = "other"' "$T/less.json" >"$T/other.json"
	spawn other on_host "$VRUN" run -T --fabric "$MARK" --id "$MARK-other" -p "$T/other.json" -- python3 pass.py take </dev/null
	wait_until grep -qx ready "$T/other.out" || fail "$(<"$T/other.out")" "$(<"$T/other.err")"
	spawn app on_host "$VRUN" run -T --fabric "$MARK" --id "$MARK-app" -p "$T/app.json" -- python3 pass.py give 192.0.2.10 </dev/null
	wait_until grep -q given "$T/app.out" || fail "$(<"$T/app.out")" "$(<"$T/app.err")"
	assert_equal "$(alive other)" "alive" "before"
	apply less.json
	assert_output "in force as generation 2, 1 connection cut"
	assert_equal "$(alive other)" "alive not" "after"
	"$VRUN" kill "$MARK-app" KILL
	"$VRUN" kill "$MARK-other" KILL
	wait_exit "${PID[app]}" || :
	wait_exit "${PID[other]}" || :
	internet_stop
	assert_nothing_left
}

readonly IN='"allow": "listen", "from": "host"'

@test "who came in by a published port is cut when it is taken back, and others stay" {
	policy app.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:0\"}, {$IN, \"at\": \":9000\", \"publish\": \"127.0.0.1:0\"}"
	policy less.json "{$IN, \"at\": \":9000\", \"publish\": \"127.0.0.1:0\"}"
	start in 8000 in 9000
	first=$(port_of 8000) second=$(port_of 9000)
	spawn one on_host python3 visitor.py "$first" </dev/null
	spawn two on_host python3 visitor.py "$second" </dev/null
	wait_until grep -q hello "$T/one.out"
	wait_until grep -q hello "$T/two.out"
	apply less.json
	assert_output "in force as generation 2, 1 connection cut"
	wait_exit "${PID[one]}"
	assert_equal "$(<"$T/one.out")" "hello 77"$'\n'"cut" "who came in by the port that is no more"
	assert_equal "$(port_of 9000)" "$second" "the port that stays"
	assert_equal "$(knock "$second")" "hello 77" "who comes in there now"
	wait_until is_free "$first"
	assert_equal "$(<"$T/two.out")" "hello 77" "who came in before"
	"$VRUN" kill "$MARK-app" KILL
	wait_exit "${PID[two]}"
	wait_exit "${PID[app]}" || :
	internet_stop
	assert_nothing_left
}

# How many have come in whom nobody has accepted.
waiting()
{
	"$VRUN" sockets --json "$MARK-app" | jq '[.[] | select(.remote | tostring | contains("127.0.0.1"))] | length'
}

is_waiting()
{
	[[ $(waiting) == 1 ]]
}

@test "who came in and was not accepted yet is cut, and the sandbox, which hides nothing, goes on" {
	policy app.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:0\"}, {\"allow\": \"connect\", \"to\": \"192.0.2.11:80\"}"
	policy less.json '{"allow": "listen", "from": "10.0.0.0/8", "at": ":8000", "publish": "127.0.0.1:0"},
		{"allow": "connect", "to": "192.0.2.11:80"}'
	start tcp 192.0.2.11 late 8000
	spawn one on_host python3 visitor.py "$(port_of 8000)" </dev/null
	wait_until is_waiting
	apply less.json
	assert_output "in force as generation 2, 1 connection cut"
	wait_exit "${PID[one]}" || :
	assert_equal "$(<"$T/one.out")" "cut" "who came in"
	assert_equal "$(alive)" "alive 192.0.2.11" "the connection that is allowed"
	apply app.json
	assert_output "in force as generation 3"
	echo accept >go
	wait_until knock_is "hello 77" "$(port_of 8000)"
	"$VRUN" kill "$MARK-app" KILL
	wait_exit "${PID[app]}" || :
	internet_stop
	assert_nothing_left
}

@test "ports are published, moved and taken back while the sandbox runs" {
	policy app.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:18100\"}, {$IN, \"at\": \":9000\"}"
	policy more.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:18100\"}, {$IN, \"at\": \":9000\", \"publish\": \"127.0.0.1:18200\"}"
	policy moved.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:18200\"}, {$IN, \"at\": \":9000\", \"publish\": \"127.0.0.1:18100\"}"
	start in 8000 in 9000
	assert_equal "$(knock 18200)" "Connection refused" "before"
	apply more.json --dry-run
	assert_equal "$(knock 18200)" "Connection refused" "after asking whether it could be"
	apply more.json
	assert_output "in force as generation 2"
	wait_until has_published 9000
	# Its listener was there before; its options are those of who comes all the same.
	wait_until knock_is "hello 77" 18200
	assert_equal "$(knock 18100)" "hello 77" "the port that was there"
	spawn one on_host python3 visitor.py 18100 </dev/null
	wait_until grep -q hello "$T/one.out"
	apply moved.json
	wait_until knock_is "hello 77" 18200
	wait_until knock_is "hello 77" 18100
	assert_equal "$(port_of 8000) $(port_of 9000)" "18200 18100" "where they are now"
	assert_equal "$(<"$T/one.out")" "hello 77" "who is there by a port that leads elsewhere now, and may be"
	apply app.json
	assert_output "in force as generation 4"
	wait_until is_free 18200
	wait_until knock_is "hello 77" 18100
	"$VRUN" kill "$MARK-app" KILL
	wait_exit "${PID[one]}"
	wait_exit "${PID[app]}" || :
	internet_stop
	assert_nothing_left
}

knock_is() # TEXT PORT
{
	[[ $(knock "$2") == "$1" ]]
}

@test "a port that cannot be had: nothing of the policy is put in force" {
	policy app.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:18300\"}"
	policy more.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:18300\"}, {$IN, \"at\": \":9000\", \"publish\": \"127.0.0.1:18302\"},
		{$IN, \"at\": \":9001\", \"publish\": \"127.0.0.1:18301\"}"
	spawn other on_host python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 18301))
s.listen()
print("ready", flush=True)
open("over").read()' </dev/null
	mkfifo over
	start in 8000
	wait_until grep -q ready "$T/other.out"
	for option in --dry-run --json; do
		run on_host "$VRUN" policy apply "$option" "$MARK-app" "$T/more.json"
		assert_vrun_error "publishing port 9001 at 127.0.0.1:18301: Address already in use (something listens there"
	done
	run -0 "$VRUN" policy show "$MARK-app"
	assert_contains "$output" "generation 1"
	assert_equal "$(knock 18302) $(knock 18300)" "Connection refused hello 77" "the port of the refused policy, and that of the one in force"
	: >over
	wait_exit "${PID[other]}"
	apply more.json
	assert_output "in force as generation 2"
	"$VRUN" kill "$MARK-app" KILL
	wait_exit "${PID[app]}" || :
	internet_stop
	assert_nothing_left
}

@test "policies that come while a sandbox starts stop it at no moment" {
	policy app.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:0\"}, {\"allow\": \"connect\", \"to\": \"192.0.2.11:80\"}"
	policy other.json "{$IN, \"at\": \":8000\", \"publish\": \"127.0.0.1:0\"}, {\"allow\": \"connect\", \"to\": \"192.0.2.12:80\"}"
	policy less.json '{"allow": "connect", "to": "192.0.2.11:80"}'
	cat >apply.sh <<-'END'
		while [[ -e applying ]]; do
			for name in other less; do
				"$VRUN" policy apply "$MARK-app" "$T/$name.json" 2>&1
			done
		done
	END
	: >applying
	spawn apply on_host env T="$T" MARK="$MARK" bash apply.sh </dev/null
	for _ in {1..15}; do
		run -0 on_host "$VRUN" run -T --id "$MARK-app" -p "$T/app.json" -- true </dev/null
	done
	rm applying
	wait_exit "${PID[apply]}"
	internet_stop
	assert_nothing_left
}
