#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# UDP ports of the machine that lead into a sandbox, on the tests' internet.

# shellcheck disable=SC2030,SC2031 # each test is a subshell
bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	setup_in work
	cat >server.py <<-'END'
		# Answers each datagram with who sent it, and itself: server.py ADDRESS PORT
		import errno, socket, sys
		s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
		s.bind((sys.argv[1], int(sys.argv[2])))
		print("ready", flush=True)
		while True:
		    data, peer = s.recvfrom(65535)
		    if data.startswith(b"send "):
		        # To somebody else, as a service that is misused would.
		        to = data.decode().split()
		        try:
		            s.sendto(b"unasked", (to[1], int(to[2])))
		            said = "sent"
		        except OSError as e:
		            said = errno.errorcode[e.errno]
		        s.sendto(said.encode(), peer)
		        continue
		    if data != b"quiet":
		        s.sendto(f"{peer[0]} ".encode() + data, peer)
		    print("from", peer[0], len(data), flush=True)
	END
	cat >client.py <<-'END'
		# client.py ADDRESS PORT [SOURCE [SOURCE-PORT]]: sends each line of its input, prints what comes back; or why not
		import socket, sys
		to = sys.argv[1], int(sys.argv[2])
		s = socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_DGRAM)
		if sys.argv[3:]:
		    s.bind((sys.argv[3], int((sys.argv + ["0"])[4])))
		s.connect(to)
		s.settimeout(10)
		for line in sys.stdin:
		    s.send(line.rstrip("\n").encode())
		    if line == "quiet\n":
		        continue
		    try:
		        print(s.recv(65535).decode(), flush=True)
		    except OSError as e:
		        print(e.strerror or e)
	END
	internet_listen
	internet_start
}

# The server in a sandbox with these rules (JSON), in the background, ready.
serve() # RULES ADDRESS PORT [OPTIONS...]
{
	jq -n --argjson rules "[$1]" '{version: 1, domain: "dns", net: {address: ["10.88.0.10", "fd00::10"], rules: $rules}}' >"$T/dns.json"
	rm -f "$T/dns.out"
	spawn dns on_host "$VRUN" run -T --id "$MARK-dns" -p "$T/dns.json" "${@:4}" -- python3 server.py "$2" "$3" </dev/null
	wait_until grep -q ready "$T/dns.out" || fail "no server:" "$(<"$T/dns.err")"
}

end_server()
{
	"$VRUN" kill "$MARK-dns" KILL
	wait_exit "${PID[dns]}" || :
}

# What is sent and not answered has come: it was sent before something that is.
came() # TEXT
{
	grep -qx "from $1" "$T/dns.out"
}

ask() # FROM-FUNCTION ADDRESS PORT [SOURCE [PORT]] <LINES
{
	"$1" python3 client.py "${@:2}"
}

published()
{
	"$VRUN" ps --json | jq -r --arg id "$MARK-dns" --arg proto "$1" '.[] | select(.id == $id) | .published[] | select(.proto == $proto).at'
}

readonly DNS='{"allow": "listen", "at": ":53", "proto": "udp", "from": "host", "publish": "127.0.0.1:0"}'
readonly WORLD='{"allow": "listen", "at": ":53", "proto": "udp", "from": ["host", "0.0.0.0/0"], "publish": "0.0.0.0:5353"},
	{"allow": "listen", "at": ":53", "proto": "udp", "from": ["host", "::/0"], "publish": "[::]:5353"}'

@test "datagrams come to a published port, and are answered" {
	serve "$DNS" 0.0.0.0 53
	at=$(published udp)
	assert_matches "$at" '^127\.0\.0\.1:[1-9][0-9]+$'
	run -0 ask on_host 127.0.0.1 "${at#*:}" <<<$'one\n\n'"$(printf '%9000s' x)"
	# The machine's loopback is "host" inside.
	assert_equal "${lines[0]}" "198.18.0.2 one" "the first"
	assert_equal "${lines[1]}" "198.18.0.2 " "of nothing"
	assert_equal "${#lines[2]}" 9011 "the length of a large one"
	run -0 "$VRUN" ps
	assert_contains "$output" "$at>53/udp"
	run -0 "$VRUN" sockets --json "$MARK-dns"
	assert_equal "$(jq -c '.[] | select(.protocol == "udp" and .remote) | [.local, (.remote | split(":")[0]), .bytesIn, .status]' <<<"$output")" \
		'["10.88.0.10:53","198.18.0.2",9003,"connected"]' "its flow"
	end_server
	internet_stop
	assert_nothing_left
}

@test "who comes from elsewhere is seen as they are, and answered from where they sent to" {
	serve "$WORLD" :: 53
	run -0 ask on_servers 198.51.100.2 5353 <<<four
	assert_output "::ffff:198.51.100.1 four"
	run -0 ask on_servers 2001:db8:1::2 5353 <<<six
	assert_output "2001:db8:1::1 six"
	run -0 ask on_servers 198.51.100.2 5353 203.0.113.9 <<<source
	assert_output "::ffff:203.0.113.9 source"
	# A client that is connected hears nobody else.
	run -0 ask on_host 127.0.0.7 5353 127.0.0.8 <<<seven
	assert_output "::ffff:198.18.0.2 seven"
	run -0 ask on_host ::1 5353 <<<loop
	assert_output "fd76:7275:6e00::2 loop"
	run -0 ask on_host 198.51.100.2 5353 <<<own
	assert_output "::ffff:198.51.100.2 own"
}

@test "from decides who is heard, by the address that they come from, and what is denied is on record" {
	serve '{"allow": "listen", "at": ":53", "proto": "udp", "from": ["203.0.113.0/24"], "publish": "0.0.0.0:5353"}' 0.0.0.0 53
	ask on_servers 198.51.100.2 5353 198.51.100.1 <<<quiet
	ask on_host 127.0.0.1 5353 <<<quiet
	run -0 ask on_servers 198.51.100.2 5353 203.0.113.9 <<<in
	assert_output "203.0.113.9 in"
	assert_equal "$(grep -c from "$T/dns.out")" 1 "datagrams that the app has seen"
	run -0 "$VRUN" log --json "$MARK-dns"
	assert_equal "$(jq -rs 'map(select(.decision == "deny")) | map("\(.call) \(.peer // .from // .address) \(.port)/\(.proto)") | sort | .[]' <<<"$output")" \
		"$(printf '%s\n' 'receive 198.51.100.1 53/udp' 'receive host 53/udp')" "on record"
}

@test "answers go to those who came and to nobody else" {
	serve "$WORLD" 0.0.0.0 53
	run -0 ask on_servers 198.51.100.2 5353 203.0.113.9 4000 <<<$'send 203.0.113.9 4001\nsend 192.0.2.99 53\nsend 203.0.113.9 4000'
	assert_output "EACCES
EACCES
unasked"
	internet_heard
	assert_lacks "$(<"$T/heard")" 192.0.2.99
}

# Who has an address of one's own to send from needs rights for it; test-flow-in has the same for everybody.
# bats test_tags=identity:root
@test "who pretends to be somebody inside is not heard" {
	serve "$WORLD" 0.0.0.0 53
	for a in 10.88.0.10 198.18.0.1 198.18.0.77 10.99.0.10; do
		on_servers ip route add local "$a/32" dev lo table local
		ask on_servers 198.51.100.2 5353 "$a" <<<quiet
	done
	run -0 ask on_servers 198.51.100.2 5353 203.0.113.9 <<<in
	assert_output "203.0.113.9 in"
	assert_equal "$(grep from "$T/dns.out")" $'from 10.99.0.10 5\nfrom 203.0.113.9 2' "what the app has seen"
}

@test "a rule publishes a port for both protocols, --publish one, and one that is taken stops the run" {
	spawn other on_host socat -u UDP4-RECV:5353,bind=127.0.0.1 CREATE:"$T/other"
	wait_until udp_bound 5353
	run on_host "$VRUN" run -T --publish 5353:53/udp -- true
	assert_vrun_error "publishing port 53 at 127.0.0.1:5353: Address already in use"
	run on_host "$VRUN" run -T --publish 224.0.0.1:5354:53/udp -- true
	assert_vrun_error "publishing port 53 at 224.0.0.1:5354: Cannot assign requested address"
	run on_host "$VRUN" run -T --publish 5353:53/sctp -- true
	assert_vrun_error "for UDP 5353:53/udp"
	serve '{"allow": "listen", "at": ":53", "proto": ["tcp", "udp"], "from": "host", "publish": "127.0.0.1:5354"}' 0.0.0.0 53 --publish 5355:53/udp
	assert_equal "$(published udp | sort | tr '\n' ' ')$(published tcp)" "127.0.0.1:5354 127.0.0.1:5355 127.0.0.1:5354" "published"
	run -0 ask on_host 127.0.0.1 5354 <<<both
	assert_output "198.18.0.2 both"
	run -0 ask on_host 127.0.0.1 5355 <<<option
	assert_output "198.18.0.2 option"
	kill "${PID[other]}"
	wait_exit "${PID[other]}" || :
}

udp_bound() # PORT
{
	[[ -n $(on_host ss -Huln "sport = :$1") ]]
}

@test "a new policy opens and closes ports, and forgets those whom it does not let in" {
	serve "$WORLD" 0.0.0.0 53
	run -0 ask on_servers 198.51.100.2 5353 203.0.113.9 4000 <<<one
	jq '.net.rules = [{"allow": "listen", "at": ":53", "proto": "udp", "from": ["host"], "publish": "0.0.0.0:5353"},
		{"allow": "listen", "at": ":53", "proto": "udp", "from": ["host"], "publish": "127.0.0.1:6000"}]' "$T/dns.json" >"$T/new.json"
	run -0 on_host "$VRUN" policy apply "$MARK-dns" "$T/new.json"
	ask on_servers 198.51.100.2 5353 203.0.113.9 4000 <<<quiet
	run -0 ask on_host 127.0.0.1 6000 <<<$'new\nsend 203.0.113.9 4000'
	assert_output "198.18.0.2 new
EACCES"
	run -0 ask on_host 127.0.0.1 5353 <<<old
	assert_output "198.18.0.2 old"
	run came "203.0.113.9 5"
	assert_status 1
	jq '.net.rules |= .[1:]' "$T/new.json" >"$T/last.json"
	run -0 on_host "$VRUN" policy apply "$MARK-dns" "$T/last.json"
	run -0 ask on_host 127.0.0.1 5353 <<<gone
	assert_output "Connection refused"
	run -0 ask on_host 127.0.0.1 6000 <<<still
	assert_output "198.18.0.2 still"
	# Without a rule for UDP for a while.
	jq '.net.rules[].proto = "tcp"' "$T/last.json" >"$T/tcp.json"
	run -0 on_host "$VRUN" policy apply "$MARK-dns" "$T/tcp.json"
	run -0 ask on_host 127.0.0.1 6000 <<<gone
	assert_output "Connection refused"
	run -0 on_host "$VRUN" policy apply "$MARK-dns" "$T/last.json"
	run -0 ask on_host 127.0.0.1 6000 <<<again
	assert_output "198.18.0.2 again"
}

@test "more visitors than are remembered are all answered" {
	cat >crowd.py <<-'END'
		import socket
		to = "198.51.100.2", 5353
		for i in range(3000):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.settimeout(10)
		    s.bind((f"203.0.113.{1 + i % 250}", 0))
		    s.sendto(b"x", to)
		    assert s.recv(100), i
		print("all")
	END
	serve "$WORLD" 0.0.0.0 53
	run -0 on_servers python3 crowd.py
	assert_output all
	run -0 "$VRUN" sockets --json "$MARK-dns"
	assert_equal "$(jq 'map(select(.protocol == "udp" and .remote)) | length' <<<"$output")" 1024 "flows"
}

@test "programs that connect their socket to who came are heard, too" {
	jq -n '{version: 1, domain: "echo", net: {rules: [{allow: "listen", at: ":7", proto: "udp", from: "host", publish: "127.0.0.1:7007"}]}}' >"$T/echo.json"
	spawn echo on_host "$VRUN" run -T -p "$T/echo.json" --id "$MARK-echo" -- socat UDP4-LISTEN:7,fork,reuseaddr EXEC:cat </dev/null
	wait_until udp_bound 7007
	WAIT_SECONDS=20 wait_until answers
	"$VRUN" kill "$MARK-echo" KILL
	wait_exit "${PID[echo]}" || :
}

# Until it has bound its socket, what comes is lost.
answers()
{
	[[ $(echo hello | on_host timeout 1 socat -t 0.5 - UDP4:127.0.0.1:7007) == hello ]]
}

@test "a gateway that is killed takes the ports with it, and nothing hangs" {
	serve "$WORLD" 0.0.0.0 53
	run -0 ask on_servers 198.51.100.2 5353 <<<one
	gateway=$(grep -lsaF vrun-gateway /proc/[0-9]*/cmdline | while IFS=/ read -r _ _ pid _; do
		[[ $(readlink "/proc/$pid/ns/net") != "$(readlink "/proc/$INTERNET_HOST/ns/net")" ]] || echo "$pid"
	done)
	assert_matches "$gateway" '^[0-9]+$'
	kill -KILL "$gateway"
	wait_until gone "$gateway"
	run -0 ask on_host 127.0.0.1 5353 <<<gone
	assert_output "Connection refused"
	wait_until closed
	end_server
}

closed()
{
	[[ $("$VRUN" ps) == *"(0.0.0.0:5353>53/udp)"* ]]
}
