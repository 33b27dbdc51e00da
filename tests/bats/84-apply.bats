#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun policy apply: another policy for a sandbox that runs. What it forbids is
# cut, what it allows goes on. The guest "flows" has the connections.

# shellcheck disable=SC2030,SC2031 # each test is a subshell
bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w flows
	declare -gA FD=()
}

policy() # NAME TRANSPORT ADDRESS RULES
{
	printf '{"version":1,"domain":"%s","net":{"transport":"%s","address":["%s"],"rules":[%s]}}\n' "${1%%.*}" "$2" \
		"$3" "$4" >"$T/$1.json"
}

# A guest in the test's fabric that says "ready": start NAME ARGUMENTS... Its input is the FIFO
# $T/NAME.in, which the test holds open as descriptor FD[NAME].
start()
{
	local fd

	mkfifo "$T/$1.in"
	exec {fd}<>"$T/$1.in"
	FD[$1]=$fd
	spawn "$1" reading "$T/$1.in" run --fabric "$MARK" --id "$MARK-$1" -p "$T/$1.json" -- ./flows "${@:2}"
	wait_until grep -qx ready "$T/$1.out" || fail "$(<"$T/$1.out")" "$(<"$T/$1.err")"
}

# What "hold" says of its connections after another round: answer_of NAME
answer_of()
{
	local before

	before=$(grep -c ^alive "$T/$1.out" || :)
	echo >&"${FD[$1]}"
	wait_until more_than "$T/$1.out" "$before" || fail "$(<"$T/$1.out")" "$(<"$T/$1.err")"
	grep ^alive "$T/$1.out" | tail -n 1
}

more_than() # FILE NUMBER
{
	(($(grep -c ^alive "$1") > $2))
}

end_all()
{
	local name

	for name in "${!FD[@]}"; do
		# shellcheck disable=SC2093,SC1083,SC2086 # a descriptor by name
		exec {FD[$name]}<&-
		"$VRUN" kill "$MARK-$name" KILL 2>/dev/null || :
		wait_exit "${PID[$name]}" || :
	done
}

teardown()
{
	end_all
	helper_teardown
}

listen='{"allow":"listen","at":":7001-7003","from":["app"]},{"allow":"listen","at":":7001-7003","from":["app"],"proto":"udp"}'

both_transports()
{
	local t

	for t in tcp wire; do
		"$@" "$t"
		end_all
		FD=()
		rm "$T"/*.in
	done
}

cut_by_client() # TRANSPORT
{
	policy db "$1" 10.88.0.20 "$listen"
	policy app "$1" 10.88.0.21 '{"allow":"connect","to":"db:7001-7002"},{"allow":"connect","to":"db:7001-7002","proto":"udp"}'
	policy app.less "$1" 10.88.0.21 '{"allow":"connect","to":"db:7002"},{"allow":"connect","to":"db:7002","proto":"udp"}'
	start db serve 7001 7002 7003
	start app hold 10.88.0.20 7001 500 10.88.0.20 7002 500 10.88.0.20 7001 udp 10.88.0.20 7002 udp
	assert_equal "$(answer_of app)" "alive 500 500 1 1" "before, over $1"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.less.json"
	assert_output "in force as generation 2, 500 connections cut, 1 flow of datagrams cut"
	assert_equal "$(answer_of app)" "alive 0 500 0 1" "after, over $1"
	run -0 "$VRUN" log --json "$MARK-app"
	assert_equal "$(jq -sr '[.[] | select(.call == "policy") | .decision] | unique | join(" ")' <<<"$output")" deny \
		"what is on record of the cut"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.less.json"
	assert_output "in force as generation 3"
	# And back again: what was cut stays so, and can be made anew.
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.json"
	assert_output "in force as generation 4"
	assert_equal "$(answer_of app)" "alive 0 500 0 1" "at the end, over $1"
}

@test "a changed policy cuts a client's connections and flows, and leaves those that it allows" {
	both_transports cut_by_client
}

cut_by_server() # TRANSPORT
{
	policy db "$1" 10.88.0.20 "$listen"
	policy db.less "$1" 10.88.0.20 '{"allow":"listen","at":":7001-7002","from":["app"]},{"allow":"listen","at":":7003","from":["else"]},{"allow":"listen","at":":7001","from":["app"],"proto":"udp"}'
	policy db.deaf "$1" 10.88.0.20 '{"deny":"listen","at":":7001"},{"allow":"listen","at":":7002-7003","from":["app"]}'
	policy app "$1" 10.88.0.21 '{"allow":"connect","to":"db:*","proto":["tcp","udp"]}'
	start db serve 7001 7002 7003
	start app hold 10.88.0.20 7001 20 10.88.0.20 7002 20 10.88.0.20 7003 20 10.88.0.20 7001 udp 10.88.0.20 7003 udp
	assert_equal "$(answer_of app)" "alive 20 20 20 1 1" "before, over $1"
	run -0 "$VRUN" policy apply "$MARK-db" "$T/db.less.json"
	assert_output "in force as generation 2, 20 connections cut, 1 flow of datagrams cut"
	assert_equal "$(answer_of app)" "alive 20 20 0 1 0" "after, over $1"
	# The listener itself goes with a deny; its connections with it.
	run -0 "$VRUN" policy apply --json "$MARK-db" "$T/db.deaf.json"
	assert_equal "$(jq -c '[.connections, .listeners, .flows, .stopped]' <<<"$output")" "[20,1,1,0]" "over $1"
	assert_equal "$(answer_of app)" "alive 0 20 0 0 0" "at the end, over $1"
}

@test "a changed policy of the server's side cuts who may not come in any more" {
	both_transports cut_by_server
}

hidden() # TRANSPORT
{
	policy db "$1" 10.88.0.20 "$listen"
	policy app "$1" 10.88.0.21 '{"allow":"connect","to":"db:*"}'
	policy app.none "$1" 10.88.0.21 ''
	start db serve 7001
	start app hidden 10.88.0.20 7001
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.none.json"
	assert_output "in force as generation 2, 1 connection cut"
	assert_equal "$(answer_of app)" "alive 0" "the connection that was parked, over $1"
}

@test "a connection whose descriptor is parked in a message is cut at its other end" {
	both_transports hidden
}

@test "a descriptor in the table of one thread alone is found" {
	policy db wire 10.88.0.20 "$listen"
	policy app wire 10.88.0.21 '{"allow":"connect","to":"db:*"}'
	policy app.none wire 10.88.0.21 ''
	start db serve-hidden 7001 thread
	start app hidden 10.88.0.20 7001 thread
	wait_until grep -qx taken "$T/db.out"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.none.json"
	assert_output "in force as generation 2, 1 connection cut"
	assert_equal "$(answer_of app)" "alive 0" "the client's end"
	assert_equal "$(answer_of db)" "alive 0" "the server's end"
}

@test "both ends of a wire parked in messages: both sandboxes are stopped" {
	policy db wire 10.88.0.20 "$listen"
	policy app wire 10.88.0.21 '{"allow":"connect","to":"db:*"}'
	policy other wire 10.88.0.22 '{"allow":"connect","to":"db:*"}'
	policy app.none wire 10.88.0.21 ''
	start db serve-hidden 7001
	start other serve 7001
	start app hidden 10.88.0.20 7001
	wait_until grep -qx taken "$T/db.out"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.none.json"
	assert_output "in force as generation 2, 1 connection cut, 2 sandboxes stopped, since they hid what had to be cut"
	wait_exit "${PID[app]}"
	assert_equal "$status" 137 "exit status of the client's"
	wait_exit "${PID[db]}"
	assert_equal "$status" 137 "exit status of the server's"
	run -0 "$VRUN" ps --json
	assert_contains "$output" "$MARK-other" "who runs on"
	unset 'FD[app]' 'FD[db]'
}

@test "what cannot be put in force is refused as a whole, and the old policy stays" {
	policy db tcp 10.88.0.20 "$listen"
	policy app tcp 10.88.0.21 '{"allow":"connect","to":"db:7001"}'
	start db serve 7001
	start app hold 10.88.0.20 7001 3

	refused() # PART
	{
		run "$VRUN" policy apply "$MARK-app" "$T/app.new.json"
		assert_vrun_error "$1"
	}
	policy app.new tcp 10.88.0.99 ''
	refused '"address" cannot change while the container runs'
	policy app.new wire 10.88.0.21 ''
	refused '"transport" cannot change'
	policy app.new tcp 10.88.0.21 '{"allow":"connect","to":"db:7002","proto":"udp"}'
	refused "rules for UDP cannot change"
	jq '.domain = "else"' "$T/app.json" >"$T/app.new.json"
	refused '"domain" or "names" cannot change'
	jq '.net = "none"' "$T/app.json" >"$T/app.new.json"
	refused 'the form of "net" cannot change'
	jq '.limits.memory = "1G"' "$T/app.json" >"$T/app.new.json"
	refused '"memory" or "pids" of "limits" cannot change while the container runs ("vrun update '
	jq '.limits.files = 100' "$T/app.json" >"$T/app.new.json"
	refused '"files" of "limits" cannot change'
	jq '.net.resolver.pools = ["198.19.0.0/16"]' "$T/app.json" >"$T/app.new.json"
	refused '"pools" of the resolver cannot change'
	policy app.new tcp 10.88.0.21 '{"allow":"connect","to":"db:7001"},{"allow":"listen","at":":80","from":"host","publish":"127.0.0.1:0"}'
	refused 'that nothing leads outside cannot change'
	printf '{\n "version": 1,\n "domian": "app"\n}\n' >"$T/app.new.json"
	refused "app.new.json:3"
	run "$VRUN" policy apply "$MARK-nobody" "$T/app.json"
	assert_vrun_error "$MARK-nobody"
	run "$VRUN" policy apply "$MARK-app"
	assert_vrun_error "apply wants an ID and a FILE"
	# Where the records are may stand before the command, too.
	mkdir -m 0700 "$T/records"
	for verb in "apply $MARK-app $T/app.json" "show $MARK-app"; do
		# shellcheck disable=SC2086 # words
		run "$VRUN" --root "$T/records" policy $verb
		assert_vrun_error "no container with the id"
	done

	policy app.new tcp 10.88.0.21 ''
	run -0 "$VRUN" policy apply --dry-run "$MARK-app" "$T/app.new.json"
	assert_output "it can be applied; generation 1 is in force"
	assert_equal "$(answer_of app)" "alive 3" "after all that was refused"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.new.json"
	assert_output "in force as generation 2, 3 connections cut"
	run -0 "$VRUN" sockets --json "$MARK-db"
	assert_equal "$(jq '[.[] | select(.status == "listening")] | length' <<<"$output")" 1 "listeners of db"
}

@test "new calls are decided by the new policy at once" {
	policy db tcp 10.88.0.20 "$listen"
	policy app tcp 10.88.0.21 ''
	policy app.more tcp 10.88.0.21 '{"allow":"connect","to":"db:7001"}'
	start db serve 7001
	# Tries again and again until it is let in.
	cat >"$T/w/knock" <<-'END'
		#!/bin/bash
		echo ready
		until exec 3<>/dev/tcp/10.88.0.20/7001; do :; done 2>/dev/null
		echo hello >&3
		head -n 1 <&3
		read -r _
	END
	chmod +x "$T/w/knock"
	mkfifo "$T/app.in"
	exec {fd}<>"$T/app.in"
	FD[app]=$fd
	spawn app reading "$T/app.in" run --fabric "$MARK" --id "$MARK-app" -p "$T/app.json" -- ./knock
	wait_until grep -qx ready "$T/app.out" || fail "$(<"$T/app.err")"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.more.json"
	wait_until grep -qx hello "$T/app.out" || fail "$(<"$T/app.err")"
}

@test "policy show tells what is in force and which rules have decided" {
	policy db tcp 10.88.0.20 "$listen"
	policy app tcp 10.88.0.21 '{"id":"one","allow":"connect","to":"db:7001"},{"id":"two","allow":"connect","to":"db:7002"}'
	policy app.less tcp 10.88.0.21 '{"id":"two","allow":"connect","to":"db:7002"}'
	start db serve 7001 7002
	start app hold 10.88.0.20 7001 3 10.88.0.20 7002 2
	run -0 "$VRUN" policy show "$MARK-app"
	assert_contains "$output" "domain app (container $MARK-app), generation 1, policy $T/app.json"
	assert_matches "$output" ' 3  one +\{ "id": "one", "allow": "connect", "to": "db:7001" }'
	assert_matches "$output" ' 2  two '
	run -0 "$VRUN" policy show --json "$MARK-db"
	assert_equal "$(jq -c '[.generation, (.hits | add)]' <<<"$output")" "[1,7]" "what db's rules have decided"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.less.json"
	run -0 "$VRUN" policy show "$MARK-app"
	assert_contains "$output" "generation 2, policy $T/app.less.json"
	assert_matches "$output" ' 2  two '
	assert_lacks "$output" " one "
	# The text is a policy that means the same.
	"$VRUN" policy show --text "$MARK-app" >"$T/now.json"
	run -0 "$VRUN" policy diff "$T/app.less.json" "$T/now.json"
	run "$VRUN" policy show "$MARK-nobody"
	assert_vrun_error "$MARK-nobody"
}

@test "a policy of more than a megabyte is told, asked and changed as any other" {
	need_command python3
	policy db tcp 10.88.0.20 "$listen"
	# Characters of one to four bytes, so that every piece of the text ends among them somewhere.
	python3 - "$T" <<-'END'
		import json, sys
		rules = [{"comment": "x\u00e9\u20ac\U0001f600" * 6, "id": "rule-%d" % i, "allow": "connect", "to": "db-%d:%d" % (i, 1 + i)} for i in range(9000)]
		def write(name, extra):
		    with open(sys.argv[1] + "/" + name, "w") as f:
		        json.dump({"version": 1, "domain": "app", "net": {"address": ["10.88.0.21"], "rules": rules + extra}}, f, indent=1, ensure_ascii=False)
		write("app.json", [{"id": "last", "allow": "connect", "to": "db:7001"}])
		write("app.less.json", [])
		write("top.json", [{"id": "top", "allow": "connect", "to": "*:*"}])
	END
	(($(stat -c %s "$T/app.json") > 1 << 20)) || fail "$(stat -c %s "$T/app.json")"
	start db serve 7001
	mkfifo "$T/app.in"
	exec {fd}<>"$T/app.in"
	FD[app]=$fd
	spawn app reading "$T/app.in" run --fabric "$MARK" --id "$MARK-app" -p "$T/app.json" --ceiling "$T/top.json" -- ./flows hold 10.88.0.20 7001 3
	wait_until grep -qx ready "$T/app.out" || fail "$(<"$T/app.err")"
	run -0 "$VRUN" why "$MARK-app" --connect db:7001
	assert_contains "$output" "allowed by rule last ($T/app.json:"
	"$VRUN" policy show "$MARK-app" >shown
	assert_equal "$(grep -c 'rule-' shown)" 9000 "rules that are shown"
	assert_matches "$(grep last shown)" '^ +3  last '
	"$VRUN" policy show --json "$MARK-app" | jq -rj .policy.text | cmp - "$T/app.json"
	"$VRUN" policy show --json "$MARK-app" | jq -rj .ceiling.text | cmp - "$T/top.json"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.less.json"
	assert_output "in force as generation 2, 3 connections cut"
	run "$VRUN" why "$MARK-app" --connect db:7001
	assert_equal "$status" 1 "$output"
	assert_equal "$("$VRUN" policy show --json "$MARK-db" | jq -c '[.domain, .generation]')" '["db",1]' "of the other one"
}

@test "a gateway gets its own copy of a changed policy, or nothing changes" {
	policy app tcp 10.88.0.21 '{"allow":"connect","to":"*.example.com:443"}'
	policy app.more tcp 10.88.0.21 '{"allow":"connect","to":"*.example.com:443"},{"allow":"connect","to":"192.0.2.0/24:80"}'
	policy inside tcp 10.88.0.22 '{"allow":"connect","to":"db:7001"}'
	policy inside.out tcp 10.88.0.22 '{"allow":"connect","to":"*:443"}'
	start app serve 7001
	start inside serve 7001
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.more.json"
	assert_output "in force as generation 2"
	run -0 "$VRUN" policy apply --dry-run "$MARK-app" "$T/app.json"
	assert_output "it can be applied; generation 2 is in force"
	run -0 "$VRUN" policy apply "$MARK-app" "$T/app.json"
	assert_output "in force as generation 3"
	# One that was started without a way out gets none.
	run "$VRUN" policy apply "$MARK-inside" "$T/inside.out.json"
	assert_vrun_error "that nothing leads outside cannot change while the container runs"
	# Whoever asks the supervisor alone does not get past the gateway.
	run "$VRUN" policy apply --supervisor "$(state_dir)/fabric-$MARK.sock" "$MARK-app" "$T/app.more.json"
	assert_vrun_error "the gateway of the container was not given this policy"
	# Without its gateway nothing is put in force.
	kill -KILL "$(gateway_of app)"
	wait_until gateway_has_ended app
	run "$VRUN" policy apply "$MARK-app" "$T/app.more.json"
	assert_vrun_error "the gateway of $MARK-app has ended"
	run -0 "$VRUN" policy show "$MARK-app"
	assert_contains "$output" "generation 3"
}

state_dir()
{
	if is_root; then echo /run/vrun; else echo "$XDG_RUNTIME_DIR/vrun"; fi
}

# Whoever listens at the control socket of its record.
gateway_of() # NAME
{
	local child

	for child in $(ps -o pid= --ppid "$(jq .vrun.monitor "$(state_dir)/$MARK-$1.json")"); do
		[[ $(</proc/"$child"/comm) != vrun-gateway ]] || echo "$child"
	done
}

gateway_has_ended() # NAME
{
	! grep -q "vrun-gateway-$(jq -r .vrun.gateway "$(state_dir)/$MARK-$1.json")" /proc/net/unix
}
