#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Names of real hosts as apps see them, and the gateway's life, on the tests' internet.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	setup_in work
	[[ $BATS_TEST_DESCRIPTION != *"replaced in mid-run"* && $BATS_TEST_DESCRIPTION != "new name servers"* ]] || internet_own_etc
	internet_start
}

# What a question with EDNS gets: "CODE ADDRESSES... TTL ede=N".
ask()
{
	cat <<'PYTHON'
import socket, struct, sys
def ask(name, kind):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    q = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
    s.sendto(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 1) + q + b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0),
             ("127.0.0.53", 53))
    r = s.recv(4096)
    code, n = r[3] & 15, struct.unpack("!H", r[6:8])[0]
    at, out, ttl, ede = 12 + len(q), [], "-", "-"
    while at < len(r):
        while r[at] and r[at] < 0xC0:
            at += 1 + r[at]
        at += 1 if r[at] == 0 else 2
        t, _, seconds, size = struct.unpack("!HHIH", r[at:at + 10])
        v = r[at + 10:at + 10 + size]
        at += 10 + size
        if t == 1:
            out.append(socket.inet_ntop(socket.AF_INET, v)); ttl = seconds
        elif t == 28:
            out.append(socket.inet_ntop(socket.AF_INET6, v)); ttl = seconds
        elif t == 41 and size > 5 and v[:2] == b"\0\x0f":
            ede = struct.unpack("!H", v[4:6])[0]
    print(code, *out, f"ttl={ttl}", f"ede={ede}", flush=True)
PYTHON
	printf '%s\n' "$1"
}

readonly WEB='{"allow": "connect", "to": ["*.example.com:443", "www.example.org:80"]}'

@test "names that the policy allows have addresses of its pools, and those have the names" {
	zone '{"web.example.com": {"A": ["192.0.2.10", "192.0.2.11"], "AAAA": ["2001:db8:2::10"]},
		"four.example.com": {"A": ["192.0.2.12"]}, "six.example.com": {"AAAA": ["2001:db8:2::11"]}}'
	run -0 --separate-stderr sandbox "$WEB" python3 -c 'import socket
def of(n, f):
    try:
        return sorted({a[4][0] for a in socket.getaddrinfo(n, 443, f)})
    except socket.gaierror as e:
        return "nodata" if e.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else e
print(of("WEB.example.com.", socket.AF_INET), of("web.example.com", socket.AF_INET6))
print(of("four.example.com", 0), of("six.example.com", 0))
print(socket.gethostbyaddr("198.18.0.3")[0], socket.gethostbyaddr("fd76:7275:6e00::5")[0])
print(of("web.example.com", 0))'
	assert_output "['198.18.0.3'] ['fd76:7275:6e00::3']
['198.18.0.4'] ['fd76:7275:6e00::5']
web.example.com six.example.com
['198.18.0.3', 'fd76:7275:6e00::3']"
	# shellcheck disable=SC2154 # set by run
	assert_lacks "$stderr" denied
	internet_stop
	assert_nothing_left
}

@test "an app that asks for many names at once is told of all of them" {
	zone "$(jq -n '[range(160) | {key: "n\(.).example.com", value: {A: ["192.0.2.\(. + 1)"]}}] | from_entries')"
	run -0 sandbox "$WEB" python3 -c 'import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
for i in range(160):
    n = b"n%d" % i
    s.sendto(struct.pack("!HHHHHH", i, 0x100, 1, 0, 0, 0) + bytes([len(n)]) + n + b"\7example\3com\0" + struct.pack("!HH", 1, 1),
             ("127.0.0.53", 53))
answers = {}
for _ in range(160):
    r = s.recv(512)
    answers[struct.unpack("!H", r[:2])[0]] = r[3] & 15, struct.unpack("!H", r[6:8])[0]
print(len(answers), set(answers.values()))'
	assert_output "160 {(0, 1)}"
	internet_stop
	assert_nothing_left
}

@test "names that no rule allows are never asked for outside" {
	zone '{"web.example.net": {"A": ["192.0.2.10"]}, "example.com": {"A": ["192.0.2.10"]}}'
	run -0 --separate-stderr sandbox "$WEB" python3 -c "$(ask '
for n in "web.example.net", "example.com", "com", "x.www.example.org":
    ask(n, 1)
ask("web.example.net", 16)')"
	assert_output "3 ttl=- ede=15
3 ttl=- ede=15
3 ttl=- ede=15
3 ttl=- ede=15
3 ttl=- ede=15"
	assert_contains "$stderr" "look up web.example.net"
	assert_equal "$(<"$T/questions")" "" "what the name server was asked"
}

@test "what a name server says of a name is what an app hears, but for addresses" {
	zone '{"web.example.com": {"A": ["192.0.2.10"], "ttl": 7}, "long.example.com": {"A": ["192.0.2.10"], "ttl": 9999},
		"bad.example.com": {"fail": true}, "text.example.com": {"TXT": ["x"]}}'
	run -0 --separate-stderr sandbox "$WEB" python3 -c "$(ask '
ask("web.example.com", 1)
ask("web.example.com", 28)
ask("long.example.com", 1)
ask("none.example.com", 1)
ask("bad.example.com", 1)
ask("web.example.com", 16)
ask("none.example.com", 16)')"
	assert_output "0 198.18.0.3 ttl=7 ede=-
0 ttl=- ede=-
0 198.18.0.4 ttl=60 ede=-
3 ttl=- ede=-
2 ttl=- ede=22
0 ttl=- ede=-
3 ttl=- ede=-"
}

@test "addresses that are not public are kept from a name, unless a rule has them" {
	zone '{"in.example.com": {"A": ["10.20.0.1"]}, "meta.example.com": {"A": ["169.254.169.254"]},
		"lo.example.com": {"A": ["127.0.0.1"], "AAAA": ["::1"]}, "both.example.com": {"A": ["10.20.0.1", "192.0.2.10"]},
		"nat.example.com": {"AAAA": ["64:ff9b::a14:1"]}}'
	local program

	program=$(ask '
for n in "in.example.com", "meta.example.com", "lo.example.com", "both.example.com":
    ask(n, 1)
ask("lo.example.com", 28)
ask("nat.example.com", 28)')
	run -0 --separate-stderr sandbox "$WEB" python3 -c "$program"
	assert_output "0 ttl=- ede=17
0 ttl=- ede=17
0 ttl=- ede=17
0 198.18.0.3 ttl=60 ede=-
0 ttl=- ede=17
0 ttl=- ede=17"
	assert_contains "$stderr" "in.example.com"
	# At the port of the name's rule; 127.0.0.1 is the domain's own wherever an address is written.
	run -0 --separate-stderr sandbox "$WEB"', {"allow": "connect", "to": ["10.20.0.0/16:443", "127.0.0.0/8:*"]}' \
		python3 -c "$program"
	assert_output "0 198.18.0.3 ttl=60 ede=-
0 ttl=- ede=17
0 ttl=- ede=17
0 198.18.0.4 ttl=60 ede=-
0 ttl=- ede=17
0 ttl=- ede=17"
	# A deny of what it resolves to, whatever allows it.
	run -0 --separate-stderr sandbox "$WEB"', {"allow": "connect", "to": "10.20.0.1:*"}, {"deny": "connect", "to": "192.0.2.0/24:*"}' \
		python3 -c "$(ask 'ask("both.example.com", 1)
ask("in.example.com", 1)')"
	assert_output "0 198.18.0.3 ttl=60 ede=-
0 198.18.0.4 ttl=60 ede=-"
}

@test "the machine outside is called host where a rule lets the app connect to it" {
	run -0 sandbox '{"allow": "connect", "to": "host:8080"}' sh -c 'getent ahostsv4 host; getent hosts fd76:7275:6e00::2'
	assert_matches "${lines[0]}" '^198\.18\.0\.2 '
	assert_matches "$output" 'fd76:7275:6e00::2 +host$'
	run -2 --separate-stderr sandbox "$WEB" getent hosts host
	assert_output ""
}

@test "a pool that is too small for all names keeps what it has given out" {
	zone "$(jq -n '[range(20) | {key: "n\(.).example.com", value: {A: ["192.0.2.10"], ttl: 1}}] | from_entries')"
	jq -n --argjson rule "$WEB" '{version: 1, domain: "app", net: {rules: [$rule], resolver: {pools: ["198.18.0.0/28"]}}}' >"$T/p.json"
	run -0 --separate-stderr on_host "$VRUN" run -T -p "$T/p.json" -- python3 -c "$(ask '
for i in range(14):
    ask(f"n{i}.example.com", 1)
ask("n0.example.com", 1)')" </dev/null
	assert_equal "${lines[0]}" "0 198.18.0.3 ttl=1 ede=-"
	assert_equal "${lines[11]}" "0 198.18.0.14 ttl=1 ede=-"
	assert_equal "${lines[12]}" "2 ttl=- ede=-"
	assert_equal "${lines[14]}" "0 198.18.0.3 ttl=1 ede=-"
}

@test "a run whose gateway is killed has no names outside any more, and does not hang" {
	zone '{"web.example.com": {"A": ["192.0.2.10"]}}'
	mkfifo "$T/work/go"
	jq -n --argjson rule "$WEB" '{version: 1, domain: "app", net: {rules: [$rule]}}' >"$T/p.json"
	spawn app on_host "$VRUN" run -T -p "$T/p.json" -- sh -c '
		getent ahostsv4 web.example.com >/dev/null && echo found; read -r _ <go; getent ahostsv4 web.example.com; echo $?' </dev/null
	wait_until grep -q found "$T/app.out"
	gateway=$(gateway_of app)
	kill -KILL "$gateway"
	wait_until gone "$gateway"
	echo >"$T/work/go"
	wait_exit "${PID[app]}"
	assert_equal "$(<"$T/app.out")" "found
2" "what the app saw"
	internet_stop
	assert_nothing_left
}

# The vrun that was started in the background under a name, and its gateway.
vrun_of() # NAME
{
	pgrep -x vrun -P "${PID[$1]}"
}
gateway_of() # NAME
{
	pgrep -x vrun-gateway -P "$(vrun_of "$1")"
}

@test "a gateway has no rights, no files and ends with its run" {
	zone '{"web.example.com": {"A": ["192.0.2.10"]}}'
	jq -n --argjson rule "$WEB" '{version: 1, domain: "app", net: {rules: [$rule]}}' >"$T/p.json"
	spawn app on_host "$VRUN" run -T -p "$T/p.json" -- sh -c 'getent ahostsv4 web.example.com >/dev/null && echo found; exec sleep 1000' </dev/null
	wait_until grep -q found "$T/app.out"
	gateway=$(gateway_of app)
	assert_matches "$(<"/proc/$gateway/status")" 'CapEff:	0+
'
	assert_matches "$(<"/proc/$gateway/status")" 'NoNewPrivs:	1'
	assert_matches "$(<"/proc/$gateway/status")" 'Seccomp:	2'
	if is_root; then
		assert_lacks "$(grep ^Uid "/proc/$gateway/status")" "	0" "ids of the gateway"
		files=$(find "/proc/$gateway/fd" -type l -printf '%l\n' | grep -v -e '^socket:' -e '^anon_inode:' -e '^/dev/null$' -e 'app.err$' || :)
		assert_equal "$files" "" "files that it has"
	fi
	kill -TERM "$(vrun_of app)"
	wait_exit "${PID[app]}" || :
	assert_equal "$(gone "$gateway" && echo gone)" gone "the gateway, after its run"
	internet_stop
	assert_nothing_left
}

# A fabric takes ranges of ids, which a user cannot give inside the tests' internet.
# bats test_tags=identity:root
@test "who makes the supervisor look through many descriptors waits for it, not another domain" {
	need_command python3
	cat >looks.py <<-'END'
		import array, os, resource, socket
		told = os.open("looked", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
		most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
		resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
		a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
		for i in range(8200): os.dup(0)
		while True: # a copy of the socket is in a message, where nobody finds it
		    s = socket.socket()
		    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
		    s.connect(("192.0.2.10", 80))
		    s.close()
		    os.close(array.array("i", b.recvmsg(10, 1000)[1][0][2])[0])
		    os.write(told, b".")
	END
	echo '{"version":1,"domain":"looks","net":{"rules":[{"allow":"connect","to":"192.0.2.10:80"}]}}' >"$T/looks.json"
	echo '{"version":1,"domain":"other","net":{"rules":[]}}' >"$T/other.json"
	spawn looks on_host "$VRUN" run -qT --fabric "$MARK" -p "$T/looks.json" -- python3 looks.py </dev/null
	wait_until test -s looked
	run -0 on_host "$VRUN" run -qT --fabric "$MARK" -p "$T/other.json" -- python3 -c '
import os, socket
before = os.stat("looked").st_size
for i in range(5000): socket.socket().close()
print(os.stat("looked").st_size - before)' </dev/null
	# By turns it is 830. A look takes some thousand calls' time, and the others have four of five parts: that is three, or
	# more where this one has to wait for a CPU meanwhile (233 on a machine that was ten times as slow).
	((output < 500)) || fail "while another domain made 5000 calls it looked $output times"
	kill "$(vrun_of looks)"
	wait_exit "${PID[looks]}" || :
	internet_stop
	assert_nothing_left
}

# To read what the kernel says of one takes a microsecond for each of its files; it may be at many numbers.
@test "an app's large epolls are not what the supervisor spends its time with" {
	need_command python3
	cat >epolls.py <<-'END'
		import os, select, socket, time

		ep, files = select.epoll(), [os.eventfd(0) for i in range(100)]
		for n in range(200, 400):
		    for f in files:
		        os.dup2(f, n)
		        ep.register(n, 0)
		    os.close(n)
		for i in range(500): os.dup(ep.fileno())
		s = socket.socket()
		wait = os.pipe()
		if os.fork() == 0: # which has the socket, too
		    os.close(wait[1])
		    os.read(wait[0], 1)
		    os._exit(0)
		began = time.monotonic()
		s.connect(("192.0.2.10", 80))
		print(s.recv(1000).split()[0].decode())
		took = time.monotonic() - began
		print("soon" if took < 10 else f"after {took} s")
	END
	echo '{"version":1,"domain":"app","net":{"rules":[{"allow":"connect","to":"192.0.2.10:80"}]}}' >"$T/app.json"
	run -0 on_host timeout 120 "$VRUN" run -qT -p "$T/app.json" -- python3 epolls.py </dev/null
	assert_output "192.0.2.10
soon"
	internet_stop
	assert_nothing_left
}

# A machine that changes its network has questions under way for as long as somebody asks.
@test "new name servers are asked while the old ones owe an answer" {
	zone '{"b.example.com": {"A": ["192.0.2.10"]}}'
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "connect", to: "*.example.com:80"}]}}' >"$T/p.json"
	printf 'nameserver 192.0.2.11\n' >"$T/etc/resolv.conf"
	mkfifo go
	# One that hears, and says nothing.
	spawn deaf on_servers setpriv --pdeathsig KILL python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("192.0.2.11", 53))
while True:
    print(s.recv(1000).split(b"\3com")[0][12:], flush=True)'
	wait_until deaf_is_there
	cat >app.py <<-'END'
		import os, socket, threading
		waits = threading.Thread(target=lambda: socket.getaddrinfo("a.example.com", 80), daemon=True)
		waits.start()
		open("go").readline()
		print(socket.create_connection(("b.example.com", 80), 20).recv(100).split()[0].decode())
		print("waits" if waits.is_alive() else "has ended", flush=True)
		os._exit(0)
	END
	spawn app on_host "$VRUN" run -T -p "$T/p.json" -- python3 app.py </dev/null
	wait_until grep -q example "$T/deaf.out"
	printf 'nameserver 198.51.100.53\n' >"$T/etc/new" && mv "$T/etc/new" "$T/etc/resolv.conf"
	echo >go
	wait_exit "${PID[app]}"
	assert_equal "$(<"$T/app.out")" $'192.0.2.10\nwaits' "$(<"$T/app.err")"
	kill "${PID[deaf]}"
	wait_exit "${PID[deaf]}"
	internet_stop
	assert_nothing_left
}

deaf_is_there()
{
	on_servers ss -Hlun src 192.0.2.11:53 | grep -q .
}

@test "resolv.conf and hosts hold that are replaced in mid-run" {
	zone '{"b.example.com": {"A": ["192.0.2.10"]}, "c.example.com": {"A": ["192.0.2.11"]}}'
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "connect", to: "*.example.com:80"}]}}' >"$T/p.json"
	# Where nobody answers names.
	printf 'nameserver 198.51.100.1\n' >"$T/etc/resolv.conf"
	mkfifo go
	# A server's greeting has the real address.
	cat >app.py <<-'END'
		import socket, sys
		go = open("go")
		for name in "a", "b", "c", "d":
		    try:
		        print(socket.create_connection((name + ".example.com", 80), 20).recv(100).split()[0].decode(), flush=True)
		    except OSError as e:
		        print(e, flush=True)
		    go.readline()
	END
	spawn app on_host "$VRUN" run -T -p "$T/p.json" -- python3 app.py </dev/null
	exec 9<>go
	wait_until lines_of_app 1
	printf 'nameserver 198.51.100.53\n' >"$T/etc/new" && mv "$T/etc/new" "$T/etc/resolv.conf"
	echo >&9
	wait_until lines_of_app 2
	# Once more, through a link.
	printf '# changed\nnameserver 198.51.100.53\n' >"$T/etc/servers" && ln -s servers "$T/etc/new" && mv "$T/etc/new" "$T/etc/resolv.conf"
	echo >&9
	wait_until lines_of_app 3
	echo "192.0.2.12 d.example.com" >"$T/etc/new" && mv "$T/etc/new" "$T/etc/hosts"
	echo >&9
	wait_until lines_of_app 4
	echo >&9
	exec 9>&-
	wait_exit "${PID[app]}"
	assert_matches "$(<"$T/app.out")" '.*[Nn]ame.*
192.0.2.10
192.0.2.11
192.0.2.12$'
	internet_stop
	assert_nothing_left
}

lines_of_app() # COUNT
{
	(($(wc -l <"$T/app.out") >= $1))
}
