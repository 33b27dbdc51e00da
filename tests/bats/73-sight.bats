#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What a person sees of a running sandbox: vrun sockets, vrun log, vrun ps. The guest "states" has
# sockets in every status (its source says which).

bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w states
}

policy() # NAME ADDRESS RULES
{
	printf '{"version":1,"domain":"%s","net":{"address":["%s"],"rules":[%s]}}\n' "$1" "$2" "$3" >"$T/$1.json"
}

# A guest that says "ready" and stays until stop_guest: start_guest NAME [OPTION...] -- ARGUMENTS
start_guest()
{
	local name=$1 options=()

	shift
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	hold "$name"
	spawn "$name" reading "$T/$name.in" run --id "$MARK-$name" -p "$T/$name.json" "${options[@]}" -- ./states "$@"
	wait_until grep -qx ready "$T/$name.out" || fail "$(<"$T/$name.out")" "$(<"$T/$name.err")"
}

stop_guest() # NAME
{
	release "$1"
	wait_exit "${PID[$1]}"
}

# A member of the one socket that a jq filter selects.
socket() # ID FILTER MEMBER
{
	"$VRUN" sockets "$1" --json | jq -r "[.[] | select($2)] | if length == 1 then .[0].$3 else \"\(length) of them\" end"
}

@test "vrun sockets shows every status, true queue depths, counters and the rule" {
	policy st 10.88.0.20 '{"id":"here","allow":"listen","at":":*","from":["lb"]}'
	start_guest st -- all 10.88.0.20
	id=$MARK-st
	assert_equal "$(socket "$id" '.status == "bound"' local)" 10.88.0.20:1001
	assert_equal "$(socket "$id" '.status == "listening"' local)" 10.88.0.20:1002
	assert_equal "$(socket "$id" '.status == "listening"' connectionQueue)" 2
	assert_equal "$(socket "$id" '.status == "listening"' backlog)" 7
	assert_equal "$(socket "$id" '.status == "listening"' rule)" here
	assert_equal "$(socket "$id" '.local == "10.88.0.20:1003" and .status == "connected"' state)" ESTABLISHED
	assert_equal "$(socket "$id" '.local == "10.88.0.20:1004" and .status == "receiving"' receiveQueue)" 1000
	assert_equal "$(socket "$id" '.local == "10.88.0.20:1004" and .status == "receiving"' bytesIn)" 1000
	assert_equal "$(socket "$id" '.remote == "10.88.0.20:1004"' bytesOut)" 1000
	assert_matches "$(socket "$id" '.status == "sending"' sendQueue)" '^[1-9][0-9]*$'
	assert_equal "$(socket "$id" '.remote == "10.88.0.20:1006"' status)" shutdown
	assert_equal "$(socket "$id" '.status == "unconnected" and .family == "inet6"' local)" '[::]:0'

	run "$VRUN" sockets "$id"
	assert_status 0
	assert_matches "${lines[0]}" '^ *SOCKET ID +DOMAIN +PROTO +STATUS +RECV-Q +SEND-Q +CONN-Q +LOCAL +REMOTE +IN +OUT +RULE +GEN +OPTIONS$'
	assert_matches "$output" " $id +st +tcp +listening +0 +0 +2/7 +10\.88\.0\.20:1002 +- .* here +1 .*reuseAddr"
	# Columns stand below their titles.
	head=${lines[0]%%STATUS*}
	assert_equal "${lines[1]:${#head}-1:1}" " "
	stop_guest st
	assert_status 0
	assert_nothing_left
}

@test "vrun sockets shows wires, whose bytes the kernel does not count" {
	printf '{"version":1,"domain":"st","net":{"transport":"wire","rules":[{"allow":"listen","at":":*"}]}}\n' >"$T/st.json"
	"$VRUN" run -p "$T/st.json" -- true 2>"$T/probe.err" || unsupported "no wires here: $(<"$T/probe.err")"
	start_guest st -- all 127.0.0.1
	id=$MARK-st
	assert_equal "$(socket "$id" '.status == "listening"' connectionQueue)" 2
	assert_equal "$(socket "$id" '.status == "listening"' transport)" wire
	assert_equal "$(socket "$id" '.local == "127.0.0.1:1004" and .status == "receiving"' receiveQueue)" 1000
	assert_equal "$(socket "$id" '.local == "127.0.0.1:1004" and .status == "receiving"' bytesIn)" null
	assert_equal "$(socket "$id" '.remote == "127.0.0.1:1005"' status)" sending
	assert_equal "$(socket "$id" '.remote == "127.0.0.1:1006"' status)" shutdown
	assert_contains "$("$VRUN" sockets "$id")" ' tcp/wire '
	stop_guest st
	assert_status 0
	assert_nothing_left
}

@test "vrun sockets --watch --json tells what changes and ends with the sandbox" {
	policy st 10.88.0.20 '{"allow":"listen","at":":*"}'
	start_guest st -- pairs 127.0.0.1 2
	spawn watch "$VRUN" sockets "$MARK-st" --watch --json
	wait_until grep -q '"status":"listening"' "$T/watch.out"
	wait_until all_are_told
	assert_equal "$(jq -r 'select(.status == "connected").id' "$T/watch.out" | wc -l)" 4
	# It has looked once more by the time that it has slept once more.
	slept=$(switches "${PID[watch]}")
	wait_until slept_more "${PID[watch]}" "$((slept + 3))"
	# What it sees while the guest ends is its affair.
	kill -STOP "${PID[watch]}"
	assert_equal "$(jq -s length "$T/watch.out")" 5 "nothing is told twice"
	stop_guest st
	kill -CONT "${PID[watch]}"
	wait_exit "${PID[watch]}"
	assert_status 0
	assert_nothing_left
}

all_are_told()
{
	(($(wc -l <"$T/watch.out") >= 5))
}

# How often a process has waited.
switches() # PID
{
	awk '$1 == "voluntary_ctxt_switches:" { print $2 }' "/proc/$1/status"
}

slept_more() # PID NUMBER
{
	(($(switches "$1") >= $2))
}

@test "vrun ps shows domain, addresses and fabric" {
	policy st 10.88.0.20 '{"allow":"listen","at":":80"}'
	start_guest st --fabric "$MARK" -- try 127.0.0.1 1 0
	assert_equal "$(record "$MARK-st" '.domain + " " + .addresses[0] + " " + .fabric')" "st 10.88.0.20 $MARK"
	run "$VRUN" ps
	assert_status 0
	assert_matches "$output" "$MARK-st +[0-9]+ +[0-9]+s +[a-z]+ +st +10\.88\.0\.20 +- +$MARK "
	stop_guest st
	assert_nothing_left
}

@test "vrun sockets --fabric shows all that share it, an id only its own" {
	policy db 10.88.0.11 '{"allow":"listen","at":":1","from":["web"]}'
	policy web 10.88.0.10 '{"allow":"connect","to":"db:1"}'
	start_guest db --fabric "$MARK" -- pairs 10.88.0.11 1
	start_guest web --fabric "$MARK" -- try 10.88.0.11 1 1
	assert_equal "$("$VRUN" sockets --fabric "$MARK" --json | jq -r '[.[].domain] | unique | join(" ")')" "db web"
	assert_equal "$("$VRUN" sockets "$MARK-web" --json | jq -r '[.[].domain] | unique | join(" ")')" web
	assert_equal "$("$VRUN" sockets "$MARK-web" --json | jq -r '.[0].fabric')" "$MARK"
	assert_contains "$("$VRUN" sockets)" "$MARK-db"
	stop_guest web
	stop_guest db
	assert_nothing_left
}

@test "vrun sockets shows datagrams by flow, on both sides" {
	policy db 10.88.0.11 '{"id":"dns","allow":"listen","at":":5353","proto":"udp","from":["web"]}'
	policy web 10.88.0.10 '{"id":"ask","allow":"connect","to":"db:5353","proto":"udp"}'
	cp "$(dirname "$VRUN")/tests/guest/datagrams" .
	mkfifo one
	spawn db "$VRUN" run --id "$MARK-db" --fabric "$MARK" -p "$T/db.json" -- ./datagrams echo 0.0.0.0 5353 2
	wait_until grep -qx ready "$T/db.out"
	spawn web "$VRUN" run --id "$MARK-web" --fabric "$MARK" -p "$T/web.json" -- \
		sh -c './datagrams send connect 10.88.0.11 5353 && echo done; read -r go <one'
	wait_until grep -qx "done" "$T/web.out"
	for side in web:remote db:local; do
		assert_equal "$(socket "$MARK-${side%:*}" '.protocol == "udp"' "${side#*:}")" 10.88.0.11:5353
		assert_equal "$(socket "$MARK-${side%:*}" '.protocol == "udp"' status)" connected
	done
	assert_equal "$(socket "$MARK-web" '.protocol == "udp"' rule)" ask
	assert_equal "$(socket "$MARK-web" '.protocol == "udp"' bytesOut)" \
		"$(socket "$MARK-db" '.protocol == "udp"' bytesIn)"
	assert_matches "$("$VRUN" sockets "$MARK-web")" ' web +udp +connected +- +- +- +10\.88\.0\.10:[0-9]+ +10\.88\.0\.11:5353 '
	echo go >one
	wait_exit "${PID[web]}"
	end_sandbox "$MARK-db"
	wait_exit "${PID[db]}"
	assert_nothing_left
}

@test "vrun log shows what was denied, and the line that it gives allows it" {
	policy web 10.88.0.10 '{"id":"out","deny":"connect","to":"10.99.0.0/16:*"}'
	start_guest web -- try 10.88.0.77 5432 2
	run "$VRUN" log "$MARK-web"
	assert_status 0
	assert_matches "${lines[0]}" '^20[0-9-]+T[0-9:.]+Z web\[[0-9]+\] states: connect denied: connect to 10\.88\.0\.77:5432/tcp$'
	assert_equal "${lines[1]}" '    allowed by: { "allow": "connect", "to": "10.88.0.77:5432" }'
	assert_equal "${#lines[@]}" 4
	assert_equal "$("$VRUN" log --json "$MARK-web" | jq -r '[.id, .call, .decision, .attempt] | join("|")' | tail -1)" \
		"$MARK-web|connect|deny|connect to 10.88.0.77:5433/tcp"
	rule=$("$VRUN" log --json "$MARK-web" | head -1 | jq -r .line)
	stop_guest web
	policy web 10.88.0.10 "$rule"
	start_guest web -- try 10.88.0.77 5432 2
	run "$VRUN" log "$MARK-web"
	assert_status 0
	assert_lacks "$output" :5432/
	assert_contains "$output" :5433/
	stop_guest web

	# A rule that denies is named, and so is what to do.
	policy web 10.88.0.10 '{"id":"out","deny":"connect","to":"10.99.0.0/16:*"}'
	start_guest web -- try 10.99.0.1 80 1
	run "$VRUN" log "$MARK-web"
	assert_contains "${lines[0]}" '(rule out)'
	assert_contains "${lines[1]}" 'take it out or make it narrower'
	stop_guest web
	assert_nothing_left
}

@test "vrun log -f follows until the sandbox ends" {
	policy web 10.88.0.10 '{"allow":"listen","at":":80"}'
	mkfifo one two
	spawn web "$VRUN" run --id "$MARK-web" -p "$T/web.json" -- \
		sh -c 'read -r go <one; ./states try 10.88.0.77 80 2 </dev/null; read -r go <two; exit 7'
	wait_until record_there "$MARK-web"
	spawn log "$VRUN" log -f --json "$MARK-web"
	echo go >one
	wait_until has_lines "$T/log.out" 2
	assert_equal "$(jq -r .attempt "$T/log.out" | head -1)" 'connect to 10.88.0.77:80/tcp'
	echo go >two
	wait_exit "${PID[log]}"
	assert_status 0
	assert_equal "$(<"$T/log.err")" ""
	wait_exit "${PID[web]}"
	assert_status 7
	assert_nothing_left
}

record_there() # ID
{
	"$VRUN" ps -q | grep -qxF "$1"
}

has_lines() # FILE N
{
	[[ $(wc -l <"$1") -ge $2 ]]
}

@test "a sandbox without virtual sockets has none, and unknown names are errors" {
	hold none
	spawn none reading "$T/none.in" run --id "$MARK-none" -- cat
	wait_until record_there "$MARK-none"
	run -0 "$VRUN" sockets "$MARK-none" --json
	assert_output '[]'
	run -0 "$VRUN" log "$MARK-none"
	assert_output ''
	assert_equal "$(record "$MARK-none" .domain)" null
	release none
	wait_exit "${PID[none]}"
	for command in sockets log; do
		run --separate-stderr "$VRUN" "$command" "$MARK-nobody"
		assert_vrun_error 'no container with the id'
	done
	run --separate-stderr "$VRUN" sockets --fabric "$MARK"
	assert_vrun_error 'no fabric of that name'
	run --separate-stderr "$VRUN" sockets --fabric ../run
	assert_vrun_error 'no fabric of that name'
	run --separate-stderr "$VRUN" sockets --supervisor "$T/nothing"
	assert_vrun_error "$T/nothing"
	run --separate-stderr "$VRUN" log
	assert_vrun_error 'expected one id'
	assert_nothing_left
}

@test "vrun log calls a process what it is called in its sandbox" {
	need_command python3
	policy app 10.88.0.51 ''
	hold app
	spawn app reading "$T/app.in" run --id "$MARK-app" -p "$T/app.json" --cwd none -- python3 -c '
import os, socket, sys
try: socket.socket().connect(("192.0.2.1", 80))
except PermissionError: print(os.getpid(), flush=True)
sys.stdin.read()'
	wait_until test -s "$T/app.out"
	run -0 "$VRUN" log --json "$MARK-app"
	assert_equal "$(jq .ownPid <<<"$output")" "$(<"$T/app.out")"
	run -0 "$VRUN" log "$MARK-app"
	assert_contains "$output" "app[$(<"$T/app.out")]"
	release app
	wait_exit "${PID[app]}"
	assert_nothing_left
}
