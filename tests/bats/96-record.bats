#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# "record" of rules, on the tests' internet. pcapng.py holds files to the formats.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	helper_setup
	need_command python3
	mkdir -m 0700 "$T/work" "$T/rec"
	cd "$T/work" || return 1
}

start()
{
	internet_start
	zone '{"web.example.com": {"A": ["192.0.2.10"], "AAAA": ["2001:db8:2::10"]},
		"six.example.com": {"AAAA": ["2001:db8:2::11"]}}'
	cat >lib.py <<-'END'
		import errno, hashlib, os, socket, struct, sys, time

		def sha(data):
		    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:16]}"

		def talk(host, size, port=8080, family=0):
		    """Sends that much and its end, reads to the end; what went and came, as the record has it."""
		    sent, got = os.urandom(size), b""
		    try:
		        a = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0]
		        with socket.socket(a[0]) as s:
		            s.settimeout(20)
		            s.connect(a[4])
		            me = s.getsockname()[1]
		            for i in range(0, size, 50000):
		                s.sendall(sent[i:i + 50000])
		                while len(got) < i: got += s.recv(65536)
		            s.shutdown(socket.SHUT_WR)
		            while data := s.recv(65536): got += data
		        return f"{me} {sha(sent)} {sha(got)}"
		    except OSError as e:
		        return errno.errorcode[e.errno]
	END
}

# vrun with these rules and options: record RULES OPTIONS... -- COMMAND...
record()
{
	jq -n --argjson rules "[$1]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/app.json"
	shift
	on_host "$VRUN" run -T -p "$T/app.json" "$@" </dev/null
}

readonly WEB='{"id": "web", "allow": "connect", "to": ["web.example.com:8080", "six.example.com:8080"], "record": "web.pcapng"}'

parsed()
{
	python3 "$BATS_TEST_DIRNAME/pcapng.py" "$1"
}

@test "what passes is recorded as packets with virtual addresses, and raw as it passed" {
	start
	{ cat lib.py; cat; } >talk.py <<-'END'
		print(talk("web.example.com", 200000, family=socket.AF_INET))
		print(talk("web.example.com", 0, family=socket.AF_INET))
		print(talk("six.example.com", 70000))
		print(talk("192.0.2.77", 1000, 80))
		s = socket.create_connection(("web.example.com", 8080)); s.recv(1000)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
	END
	run -0 --separate-stderr record "$WEB"', {"allow": "connect", "to": "192.0.2.77:80", "record": {"file": "raw", "format": "raw"}}' \
		--id "$MARK-talk" --record "$T/rec" -- python3 talk.py
	assert_equal "$(stat -c %a "$T/rec/web.pcapng")" 600 "its mode"
	parsed "$T/rec/web.pcapng" >"$T/parsed"
	for i in 0 1 2; do
		read -r port sent got <<<"${lines[i]}"
		to=192.0.2.10:8080
		((i < 2)) || to='\[2001:db8:2::11\]:8080'
		assert_matches "$(sed -n "$((i + 1))p" "$T/parsed")" ":$port $to $sent $got ended $MARK-talk: connect to (web|six).example.com:8080/tcp"
	done
	assert_contains "$(tail -1 "$T/parsed")" " reset " "the one that the app has reset"
	assert_equal "$(wc -l <"$T/parsed")" 4 "connections"
	read -r _ sent got <<<"${lines[3]}"
	assert_equal "$(stat -c %s "$T/rec/raw")" "$((${sent%%:*} + ${got%%:*}))" "what went and what came"
	grep -aq "192.0.2.77 80 from" "$T/rec/raw"
	internet_stop
	assert_nothing_left
}

@test "a record has a bound, and what finds no room in it does not pass" {
	start
	{ cat lib.py; cat; } >full.py <<-'END'
		print(talk("web.example.com", 5000, family=socket.AF_INET).split(" ")[-1] != "")
		print(talk("web.example.com", 500000, family=socket.AF_INET))
		print(talk("web.example.com", 10, family=socket.AF_INET))
		print(talk("192.0.2.77", 10, 80).count(" "))
	END
	run -0 --separate-stderr record "$WEB"', {"allow": "connect", "to": "192.0.2.77:80"}' \
		--record "$T/rec" --record-max 100kB -- python3 full.py
	assert_output "True
ECONNRESET
EACCES
2"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" "the record web.pcapng ends after"
	assert_contains "$stderr" "rule web has a record that is full"
	(($(stat -c %s "$T/rec/web.pcapng") <= 100000)) || fail "$(stat "$T/rec/web.pcapng")"
	parsed "$T/rec/web.pcapng" >"$T/parsed"
	assert_equal "$(wc -l <"$T/parsed")" 2 "connections in it"
	# The same where it is the system that has no room.
	rm "$T/rec/web.pcapng"
	(ulimit -f 99 && record "$WEB" --record "$T/rec" -- python3 full.py) >"$T/out" 2>"$T/err"
	assert_equal "$(head -3 "$T/out")" "True
ECONNRESET
EACCES" "under a limit of the system's"
	assert_contains "$(<"$T/err")" "File too large"
	parsed "$T/rec/web.pcapng" >/dev/null
	internet_stop
	assert_nothing_left
}

@test "a policy cannot say where its records go, and nothing is written over" {
	local bad

	for bad in ../x /etc/x; do
		jq -n --arg f "$bad" '{version: 1, net: {rules: [{allow: "connect", to: "192.0.2.1:80", record: $f}]}}' >"$T/bad.json"
		run "$VRUN" policy check "$T/bad.json"
		assert_status 1
		assert_contains "$output" "a plain file name"
	done
	jq -n --argjson r "$WEB" '{version: 1, net: {rules: [$r]}}' >"$T/app.json"
	run "$VRUN" run -p "$T/app.json" -- true
	assert_vrun_error "rule web records to the file web.pcapng, and there is no directory for it (give one: --record DIR)"
	run "$VRUN" run -p "$T/app.json" --record "$T/none" -- true
	assert_vrun_error "No such file or directory"
	mkdir in
	ln -s "$T/work/in" "$T/link"
	run "$VRUN" run -p "$T/app.json" --record "$T/link" -- true
	assert_vrun_error "where the app may write"
	run "$VRUN" run -p "$T/app.json" --rw "$T/rec" --record "$T/rec" -- true
	assert_vrun_error "where the app may write"
	echo precious >"$T/target"
	ln -s "$T/target" "$T/rec/web.pcapng"
	run "$VRUN" run -p "$T/app.json" --record "$T/rec" -- true
	assert_vrun_error "is there already"
	assert_equal "$(<"$T/target")" precious
	rm "$T/rec/web.pcapng"
	# Nothing stays of a run that does not begin.
	jq '.net.rules += [{allow: "connect", to: "db:80", rate: "1M/s"}]' "$T/app.json" >"$T/no.json"
	run "$VRUN" run -p "$T/no.json" --record "$T/rec" -- true
	assert_vrun_error "to the outside alone"
	assert_equal "$(ls -A "$T/rec" in)" "$(printf '%s:\n\n%s:' "$T/rec" in)" "what is in both directories"
	assert_nothing_left
}

@test "a record is whole when the run is killed, apps cannot flood it away, and a new policy cannot add one" {
	start
	{ cat lib.py; cat; } >flood.py <<-'END'
		for i in range(4):
		    if os.fork() == 0:
		        kept = []
		        for n in range(40):
		            s = socket.create_connection(("web.example.com", 8080))
		            s.send(os.urandom(1000 * (n % 7)))
		            kept.append(s) if n % 2 else s.close()
		        os.kill(os.getpid(), 9)
		for i in range(4): os.wait()
		print(talk("web.example.com", 100000, family=socket.AF_INET), flush=True)
		s = socket.create_connection(("web.example.com", 8080))
		while True:
		    s.sendall(bytes(10000)); s.recv(100000)
	END
	jq -n --argjson r "$WEB" '{version: 1, domain: "app", net: {rules: [$r]}}' >"$T/app.json"
	spawn run on_host "$VRUN" run --id "$MARK-flood" -p "$T/app.json" --record "$T/rec" -- python3 flood.py
	wait_until grep -q ' ' "$T/run.out"
	jq '.net.rules[0].record = "other.pcapng"' "$T/app.json" >"$T/new.json"
	run on_host "$VRUN" policy apply "$MARK-flood" "$T/new.json"
	assert_contains "$output" "was not made with the container"
	run -0 on_host "$VRUN" policy apply "$MARK-flood" "$T/app.json"
	run -0 on_host "$VRUN" kill "$MARK-flood" KILL
	wait_exit "${PID[run]}"
	parsed "$T/rec/web.pcapng" >"$T/parsed"
	assert_equal "$(wc -l <"$T/parsed")" 162 "connections"
	read -r port sent got <"$T/run.out"
	assert_contains "$(<"$T/parsed")" ":$port 192.0.2.10:8080 $sent $got ended"
	internet_stop
	assert_nothing_left
}

teardown()
{
	# A frozen file system would hold up the end of all who have it open.
	[[ -z ${PID[internet]-} ]] || on_host fsfreeze --unfreeze "$T/rec" 2>/dev/null || :
	internet_teardown
}

# bats test_tags=identity:root
@test "a file system that hangs under a record holds up what is recorded there, and no other domain" {
	need_command mkfs.ext4
	truncate -s 16M "$T/disk"
	mkfs.ext4 -q "$T/disk"
	start
	# In the internet's mount namespace: in the machine's it would be copied into those that other tests make.
	on_host mount -o loop "$T/disk" "$T/rec" || unsupported "no loop devices here"
	mkfifo go
	{ cat lib.py; cat; } >waits.py <<-'END'
		s = socket.create_connection(("web.example.com", 8080))
		s.recv(1000) # its greeting
		print("connected", flush=True)
		open("go").read()
		s.sendall(b"x" * 1000)
		print("sent", flush=True)
		print(len(s.recv(5000)), "came", flush=True)
	END
	{ cat lib.py; cat; } >talks.py <<-'END'
		print(talk("web.example.com", 300000).count(" "))
	END
	jq -n --argjson r "$WEB" '{version: 1, domain: "a", net: {rules: [$r]}}' >"$T/a.json"
	jq -n '{version: 1, domain: "b", net: {rules: [{allow: "connect", to: "web.example.com:8080", rate: "1GB/s"}]}}' >"$T/b.json"
	spawn a on_host "$VRUN" run --fabric "$MARK" --id "$MARK-a" -p "$T/a.json" --record "$T/rec" -- python3 waits.py
	wait_until grep -q connected "$T/a.out"
	on_host fsfreeze --freeze "$T/rec"
	echo >go
	wait_until grep -q sent "$T/a.out"
	run on_host timeout 60 "$VRUN" run --quiet --fabric "$MARK" --id "$MARK-b" -p "$T/b.json" -- python3 talks.py </dev/null
	assert_equal "$status: $output" "0: 2" "the other domain"
	run ! grep -q came "$T/a.out"
	on_host fsfreeze --unfreeze "$T/rec"
	wait_until grep -q came "$T/a.out"
	wait_exit "${PID[a]}"
	on_host cat "$T/rec/web.pcapng" >"$T/record"
	parsed "$T/record" >/dev/null
	internet_stop
	assert_nothing_left
}
