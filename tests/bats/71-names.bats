#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Names: what programs and libraries find of a fabric's domains, and what they do not.

bats_require_minimum_version 1.5.0
load helper
load domains

# A directory to run commands in: the test's own holds its home.
setup()
{
	setup_in work
}

# The same in the background until end_domain.
keep_domain() # NAME COMMAND...
{
	local name=$1

	shift
	spawn "$name" "$VRUN" run -T --fabric "$MARK" --id "$MARK-$name" -p "$T/$name.json" -- "$@" </dev/null
	wait_until grep -q ready "$T/$name.out"
}

end_domain() # NAME
{
	run "$VRUN" kill "$MARK-$1" KILL
	assert_status 0
	wait_exit "${PID[$1]}" || :
}

# A domain that is there, and one that may connect to it.
two_domains()
{
	policy db '"10.88.0.31", "fd76:7275:6e02::31"' '{"allow": "listen", "at": ":6379", "from": ["app"]}'
	policy app '"10.88.0.32"' '{"allow": "connect", "to": ["db:6379", "later:80", "10.88.0.33:99"]}'
	keep_domain db sh -c 'echo ready; exec sleep 1000'
}

@test "libraries of every kind find a domain by its name" {
	two_domains
	run -0 in_domain app getent ahostsv4 db
	assert_matches "${lines[0]}" '^10\.88\.0\.31 '
	run -0 in_domain app getent hosts db
	assert_matches "$output" '^fd76:7275:6e02::31 +db$'
	run -0 in_domain app busybox nslookup db 127.0.0.53
	assert_contains "$output" "Address: 10.88.0.31"
	assert_contains "$output" "Address: fd76:7275:6e02::31"
	run -0 in_domain app python3 -c 'import socket; print(sorted({a[4][0] for a in socket.getaddrinfo("DB.", 6379)}))'
	assert_output "['10.88.0.31', 'fd76:7275:6e02::31']"
	# It has no IPv6 address of its own.
	run -0 in_domain app python3 -c 'from socket import *
print(*{a[4][0] for a in getaddrinfo("db", 6379, flags=AI_ADDRCONFIG)})'
	assert_output 10.88.0.31
	end_domain db
	assert_nothing_left
}

@test "node's own resolver finds a domain by its name, and the name of an address" {
	need_command node
	two_domains
	run -0 in_domain app node -e 'const d = require("dns").promises;
		Promise.all([d.resolve4("db"), d.resolve6("db"), d.reverse("10.88.0.31"), d.lookup("db", 4).then(a => a.address)])
		.then(r => console.log(r.flat().join(" ")))'
	assert_output "10.88.0.31 fd76:7275:6e02::31 db 10.88.0.31"
	end_domain db
	assert_nothing_left
}

@test "a domain's own name and localhost are always there" {
	policy app '"10.88.0.32"'
	run -0 in_domain app getent hosts app
	assert_matches "$output" '^10\.88\.0\.32 +app$'
	run -0 in_domain app getent ahostsv4 localhost
	assert_matches "${lines[0]}" '^127\.0\.0\.1 '
	run -0 in_domain app getent hosts 10.88.0.32
	assert_matches "$output" ' app$'
	assert_nothing_left
}

@test "a program finds the name of its own host, unless a rule means somebody else by it" {
	# shellcheck disable=SC2016 # the other shell's
	local ask='getent ahostsv4 "$(uname -n)" | head -1; getent hosts "$(uname -n)"'

	policy app '"10.88.0.32", "fd76:7275:6e02::32"'
	policy peer '"10.88.0.34"' '{"allow": "connect", "to": "vrun:80"}'
	run -0 --separate-stderr in_domain app sh -c "$ask"
	assert_matches "$output" '^10\.88\.0\.32 .*fd76:7275:6e02::32 +vrun$'
	assert_equal "$stderr" "" "what vrun says at the end"
	run in_domain peer sh -c "$ask"
	assert_equal "$output" "" "what a name of a rule is that nobody has yet"
	policy vrun '"10.88.0.31"'
	keep_domain vrun sh -c 'echo ready; exec sleep 1000'
	run -0 in_domain peer sh -c "$ask"
	assert_matches "$output" '^10\.88\.0\.31 .*10\.88\.0\.31 +vrun$'
	run -0 --separate-stderr in_domain app sh -c "$ask"
	assert_matches "$output" '^10\.88\.0\.32 .*fd76:7275:6e02::32 +vrun$'
	assert_equal "$stderr" "" "what vrun says at the end"
	end_domain vrun
	assert_nothing_left
}

@test "names that no rule speaks of do not exist, whether they are there or not" {
	two_domains
	policy other '"10.88.0.34"'
	for name in db nobody db.example.com; do
		run --separate-stderr in_domain other getent hosts "$name"
		assert_equal "$status" 2 "exit status of getent hosts $name"
		assert_equal "$output" "" "what getent says of $name"
		# shellcheck disable=SC2154 # set by run
		assert_contains "$stderr" "look up $name" "what vrun says at the end"
	done
	# A name of a rule that nobody has yet is no denial.
	run --separate-stderr in_domain app getent hosts later
	assert_equal "$status" 2
	assert_lacks "$stderr" denied
	end_domain db
	assert_nothing_left
}

@test "names that nobody can have are on record, and never asked for outside" {
	policy app '"10.88.0.32"' '{"allow": "connect", "to": "*.example.com:443"}'
	cat >ask.py <<-'END'
		import socket
		def ask(*labels):
		    name = b"".join(bytes([len(l)]) + l for l in labels)
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.settimeout(30)
		    s.connect(("127.0.0.53", 53))
		    s.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + name + b"\0\0\1\0\1")
		    return s.recv(512)[3] & 15
		print(ask(b"a b", b"test"), ask(b"a b", b"test"), ask(b"\33[31m", b"se\"cret", b"test"), ask(b"a b", b"example", b"com"))
		# Addresses are no names, and what some libraries do with them is no denial.
		print(ask(b"192", b"0", b"2", b"1"), ask(b"2001:db8::1"))
	END
	run --separate-stderr in_domain app python3 ask.py
	assert_status 0
	assert_output $'3 3 3 3\n3 3'
	assert_equal "$stderr" 'vrun: the policy denied 2 calls:
vrun:   look up a?b.test; no rule can allow it: nobody has such a name
vrun:   look up ?[31m.se"cret.test; no rule can allow it: nobody has such a name' "what vrun says at the end"
	assert_nothing_left
}

@test "a domain is known by a rule for its address, too" {
	policy app '"10.88.0.32"' '{"allow": "connect", "to": "10.88.0.33:99"}'
	policy quiet '"10.88.0.33"'
	keep_domain quiet sh -c 'echo ready; exec sleep 1000'
	run -0 in_domain app getent hosts quiet
	assert_matches "$output" '^10\.88\.0\.33 +quiet$'
	run -0 in_domain app getent hosts 10.88.0.33
	assert_matches "$output" ' quiet$'
	end_domain quiet
	assert_nothing_left
}

@test "a client connects by name" {
	need_command redis-server redis-cli
	policy db '"10.88.0.31"' '{"allow": "listen", "at": ":6379", "from": ["app"]}'
	policy app '"10.88.0.32"' '{"allow": "connect", "to": "db:6379"}'
	spawn db "$VRUN" run -T --fabric "$MARK" --id "$MARK-db" -p "$T/db.json" -- \
		redis-server --bind '*' --protected-mode no --save '' --daemonize no </dev/null
	wait_until grep -q "Ready to accept" "$T/db.out"
	run -0 in_domain app redis-cli -h db ping
	assert_output PONG
	end_domain db
	assert_nothing_left
}

@test "names are there for domains with wires" {
	policy db '"10.88.0.31"' '{"allow": "listen", "at": ":6379", "from": ["app"]}'
	policy app '"10.88.0.32"' '{"allow": "connect", "to": "db:6379"}'
	for name in db app; do
		jq '.net.transport = "wire"' "$T/$name.json" >"$T/w" && mv "$T/w" "$T/$name.json"
	done
	run in_domain app true
	if ((status)) && [[ $output == *6.16* ]]; then
		unsupported "wires need Linux 6.16"
	fi
	assert_status 0
	keep_domain db sh -c 'echo ready; exec sleep 1000'
	run -0 in_domain app getent hosts db
	assert_matches "$output" '^10\.88\.0\.31 +db$'
	end_domain db
	assert_nothing_left
}

# What the domain of one policy that asks for its own name over TCP gets.
ask_over_tcp() # TRANSPORT
{
	need_command python3
	cat >ask.py <<-'END'
		import socket, struct
		s = socket.create_connection(("127.0.0.53", 53))
		for i in range(3): # several on one connection
		    q = struct.pack(">6H", i, 256, 1, 0, 0, 0) + b"\3app\0" + struct.pack(">2H", 1, 1)
		    s.sendall(struct.pack(">H", len(q)) + q)
		    n, = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL)); a = s.recv(n, socket.MSG_WAITALL)
		    print(socket.inet_ntoa(a[-4:]) if a[7] == 1 else a)
	END
	policy app '"10.88.0.32"' '{"allow": "connect", "to": "db:1"}'
	jq --arg t "$1" '.net.transport = $t' "$T/app.json" >"$T/app.new"
	mv "$T/app.new" "$T/app.json"
	run -0 in_domain app /usr/bin/python3 ask.py
	assert_output $'10.88.0.32\n10.88.0.32\n10.88.0.32'
}

@test "the resolver answers over TCP, also where streams are wires" {
	ask_over_tcp tcp
	ask_over_tcp wire
}

# As in the home of root, or of a user whose sandboxes have other ids.
@test "vrun's helper programs are started where nobody else may look for them" {
	mkdir -m 0700 "$T/closed"
	cp "${VRUN%/*}"/vrun{,-resolver,-gateway} "$T/closed/"
	chmod 0755 "$T/closed"/*
	policy app '"10.88.0.36"' '{"allow": "connect", "to": "host:1"}'
	run "$T/closed/vrun" run -p "$T/app.json" -- bash -c 'getent ahostsv4 app; : </dev/tcp/host/1' </dev/null
	assert_matches "${lines[0]}" '^10\.88\.0\.36 '
	assert_contains "$output" "Connection refused"
	assert_nothing_left
}

@test "a helper program that its process could not execute is named" {
	is_root || return 0 # whose helpers have ids that its mode may let in
	mkdir "$T/copy"
	cp "${VRUN%/*}"/vrun{,-resolver,-gateway} "$T/copy/"
	chmod 0700 "$T/copy"/vrun-*
	policy app '"10.88.0.36"' '{"allow": "connect", "to": "host:1"}'
	for helper in resolver gateway; do
		run "$T/copy/vrun" run -p "$T/app.json" -- true
		assert_vrun_error "vrun-$helper: Permission denied"
		assert_contains "$output" "chmod a+rx"
		chmod 0755 "$T/copy/vrun-$helper"
	done
	run -0 "$T/copy/vrun" run -p "$T/app.json" -- true
	assert_nothing_left
}
