#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Datagrams between domains, of real programs.

bats_require_minimum_version 1.5.0
load helper
load domains

# A directory to run commands in, and a client.
setup()
{
	setup_in work
	cat >say.py <<-'END'
		import socket, sys
		host, port, own = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
		family = socket.AF_INET6 if ":" in host else socket.AF_INET
		s = socket.socket(family, socket.SOCK_DGRAM)
		s.settimeout(10)
		try:
		    s.bind(("", own))
		    if sys.argv[4] == "connect":
		        s.connect((host, port))
		        s.send(b"hello\n")
		    else:
		        s.sendto(b"hello\n", (host, port))
		    print(s.recv(100).decode().strip())
		except OSError as e:
		    print(e.strerror or e)
	END
}

# A server that sends back what it gets, with the address that it got it from.
serve() # NAME SOCAT-ADDRESS
{
	spawn "$1" "$VRUN" run -T --fabric "$MARK" --id "$MARK-$1" -p "$T/$1.json" -- \
		socat -d -d "$2" 'SYSTEM:read word; echo "$word from $SOCAT_PEERADDR"' </dev/null
	wait_until grep -q "receiving on" "$T/$1.err"
}

end_domain() # NAME
{
	run "$VRUN" kill "$MARK-$1" KILL
	assert_status 0
	wait_exit "${PID[$1]}" || :
}

say() # NAME HOST PORT [OWN-PORT [connect]]
{
	in_domain "$1" python3 say.py "$2" "$3" "${4:-0}" "${5:-sendto}"
}

two_domains()
{
	need_command socat python3
	policy db '"10.88.0.41", "fd76:7275:6e02::41"' \
		'{"allow": "listen", "at": ":5353", "proto": "udp", "from": ["app"]}'
	policy app '"10.88.0.42", "fd76:7275:6e02::42"' \
		'{"allow": "connect", "to": "db:5353", "proto": "udp"}'
}

@test "datagrams go to a domain and come back, by address and by name" {
	two_domains
	serve db UDP4-RECVFROM:5353,fork
	run -0 say app 10.88.0.41 5353
	assert_output "hello from 10.88.0.42"
	run -0 say app db 5353
	assert_output "hello from 10.88.0.42"
	run -0 say app db 5353 0 connect
	assert_output "hello from 10.88.0.42"
	# Two peers that both use one port.
	run -0 say app db 5353 5353
	assert_output "hello from 10.88.0.42"
	end_domain db
	assert_nothing_left
}

@test "datagrams go over IPv6" {
	two_domains
	serve db UDP6-RECVFROM:5353,fork
	run -0 say app fd76:7275:6e02::41 5353
	assert_contains "$output" "hello from [fd76:7275:6e02"
	end_domain db
	assert_nothing_left
}

@test "a port where nobody is refuses" {
	two_domains
	serve db UDP4-RECVFROM:5354,fork
	run -0 say app 10.88.0.41 5353 0 connect
	assert_output "Connection refused"
	end_domain db
	assert_nothing_left
}

@test "datagrams that a policy does not allow are denied, on either side" {
	two_domains
	policy other '"10.88.0.43"' '{"allow": "connect", "to": "*:*", "proto": "udp"}'
	policy mute '"10.88.0.44"'
	serve db UDP4-RECVFROM:5353,fork
	for name in other mute; do
		run -0 say "$name" 10.88.0.41 5353
		assert_contains "$output" "Permission denied" "what the program says in $name"
		assert_contains "$output" "udp" "what vrun says in $name"
		assert_lacks "$output" "hello from" "in $name"
	done
	run -0 say app 10.88.0.41 5355
	assert_contains "$output" "Permission denied"
	run -0 say app 192.0.2.1 5353
	assert_contains "$output" "Permission denied"
	end_domain db
	assert_nothing_left
}

@test "what is sent without a trap is decided on all the same" {
	need_command node
	two_domains
	policy other '"10.88.0.43"' '{"allow": "connect", "to": "*:*", "proto": "udp"}'
	serve db UDP4-RECVFROM:5353,fork
	# Until something comes, or its input ends.
	cat >send.js <<-'END'
		const s = require("dgram").createSocket("udp4");
		const end = text => { console.log(text); s.close(); process.stdin.destroy(); };
		s.on("message", m => end(String(m).trim()));
		process.stdin.on("end", () => end("nothing")).resume();
		s.send("hello\n", 5353, "10.88.0.41");
	END
	hold app
	spawn app reading "$T/app.in" run -T --fabric "$MARK" -p "$T/app.json" -- node send.js
	wait_until grep -q hello "$T/app.out" || fail "$(<"$T/app.err")"
	wait_exit "${PID[app]}"
	assert_equal "$(<"$T/app.out")" "hello from 10.88.0.42"
	# Once its denial is on record it has been decided on.
	hold other
	spawn other reading "$T/other.in" run -T --fabric "$MARK" --id "$MARK-other" -p "$T/other.json" -- node send.js
	wait_until denied_to other 10.88.0.43 || fail "$(<"$T/other.err")"
	release other
	wait_exit "${PID[other]}"
	assert_status 0
	assert_equal "$(<"$T/other.out")" nothing
	assert_contains "$(<"$T/other.err")" "10.88.0.43" "what vrun says at the end"
	release app
	end_domain db
	assert_nothing_left
}

denied_to() # NAME TEXT
{
	"$VRUN" log "$MARK-$1" 2>/dev/null | grep -qF "$2"
}

@test "a domain with rules for datagrams has an interface, another one its addresses on lo" {
	two_domains
	policy mute '"10.88.0.44"'
	run -0 in_domain app sh -c 'cut -s -d: -f1 /proc/net/dev | tr -d " " | sort | tr "\n" " "'
	assert_output "eth0 lo "
	run -0 in_domain mute sh -c 'cut -s -d: -f1 /proc/net/dev | tr -d " " | sort | tr "\n" " "'
	assert_output "lo "
	assert_nothing_left
}
