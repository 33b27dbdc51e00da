#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Thousands of connections with the outside at once, and what is left of them when one of vrun's
# processes is killed.

bats_require_minimum_version 1.5.0
load helper
load machine

readonly MANY=4000
readonly ALL='{"allow": "connect", "to": "192.0.2.1:7000"}'
readonly RELAYED='{"allow": "connect", "to": "192.0.2.1:7000", "rate": "1000GB/s"}'

setup()
{
	setup_in work crowd
	mkfifo in
	exec {IN}<>in
}

teardown()
{
	exec {IN}>&-
	helper_teardown
}

# Two descriptors of each connection are the supervisor's when it is relayed, and some are its own.
need_files() # COUNT
{
	(($(ulimit -Hn) >= $1)) || unsupported "the limit of open files is $(ulimit -Hn), and has to be $1"
}

# shellcheck disable=SC2034 # for machine.bash
SERVER=(./crowd serve 7000)

# On the machine, a sandbox with these rules (JSON).
sandbox() # RULES COMMAND...
{
	local rules=$1

	shift
	jq -n --argjson rules "[$rules]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/app.json"
	on_machine "$VRUN" run --id "$MARK-app" -p "$T/app.json" -- "$@"
}

# A line to the app.
ask()
{
	echo x >&"$IN"
}
said() # TEXT
{
	grep -q "$1" "$T/app.out"
}

# The pid of one of the run's processes.
pid_of() # NAME
{
	pgrep -x "$1" -P "$(<"$T/machine.pid")" || pgrep -x "$1" -P "$(pgrep -x vrun-supervisor -P "$(<"$T/machine.pid")")"
}

@test "4000 connections at once are handed over" {
	need_files $((MANY + 1000))
	run -0 sandbox "$ALL" ./crowd open 192.0.2.1 7000 $MANY </dev/null
	assert_output "$MANY open
$MANY answered"
	assert_nothing_left
}

@test "4000 connections at once are relayed" {
	need_files $((2 * MANY + 1000))
	run -0 sandbox "$RELAYED" ./crowd open 192.0.2.1 7000 $MANY </dev/null
	assert_output "$MANY open
$MANY answered"
	assert_nothing_left
}

@test "4000 flows of datagrams at once go out" {
	need_files $((2 * MANY + 1000))
	run -0 sandbox '{"allow": "connect", "proto": "udp", "to": "192.0.2.1:7000"}' \
		./crowd send 192.0.2.1 7000 $MANY </dev/null
	assert_output "$MANY open
$MANY answered, 0 from another port"
	assert_nothing_left
}

@test "batches of datagrams go out and come back whole" {
	run -0 sandbox '{"allow": "connect", "proto": "udp", "to": "192.0.2.1:7000"}' \
		./crowd batch 192.0.2.1 7000 1000 </dev/null
	assert_output "1000 connected
1000 with addresses
10 of 10 segments"
	assert_nothing_left
}

# A server in a sandbox, and its clients on the machine: come_in BACKLOG COUNT
come_in()
{
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "listen", at: ":80", from: "host",
		publish: "192.0.2.1:8080"}]}}' >"$T/app.json"
	cat >"$T/clients.sh" <<-'END'
		set -eu
		coproc app { exec "$1" run --id "$2-app" -p "$3" -- ./crowd serve 80 "$4"; }
		pid=$app_PID
		read -r _ <&"${app[0]}"
		./crowd open 192.0.2.1 8080 "$5"
		exec 2>/dev/null
		kill -TERM "$pid"
		wait "$pid" || :
	END
	on_machine bash "$T/clients.sh" "$VRUN" "$MARK" "$T/app.json" "$@" </dev/null
}

@test "4000 connections at once come in by a published port" {
	need_files $((MANY + 1000))
	run -0 come_in 1024 $MANY
	assert_output "$MANY open
$MANY answered"
	assert_nothing_left
}

@test "clients of an app that is slow to accept wait, and none is refused" {
	# More than its queue, the supervisor's and those that are under way.
	run -0 come_in 5 2000
	assert_output "2000 open
2000 answered"
	assert_nothing_left
}

@test "without descriptors connections fail, and those that are open go on" {
	spawn app sandbox "$RELAYED" sh -c 'exec ./crowd open 192.0.2.1 7000 300 <in' </dev/null
	wait_until said answered
	assert_equal "$(head -n 1 "$T/app.out")" "300 open"
	# The supervisor's limit, as if it had been so from the beginning.
	prlimit --pid "$(pid_of vrun-supervisor)" --nofile=300:300
	ask
	wait_until said alive
	assert_matches "$(tail -n 1 "$T/app.out")" '^300 alive, 0 ended; a new one: Too many open files'
	kill -TERM "$(<"$T/machine.pid")"
	wait_exit "${PID[app]}" || :
	assert_nothing_left
}

@test "a gateway that is killed leaves what is open, and nothing new gets out" {
	for rules in "$ALL" "$RELAYED"; do
		rm -f "$T/machine.pid"
		spawn app sandbox "$rules" sh -c 'exec ./crowd open 192.0.2.1 7000 100 <in' </dev/null
		wait_until said answered
		gateway=$(pid_of vrun-gateway)
		kill -KILL "$gateway"
		wait_until gone "$gateway"
		ask
		wait_until said alive
		assert_equal "$(tail -n 1 "$T/app.out")" "100 alive, 0 ended; a new one: Network is unreachable"
		kill -TERM "$(<"$T/machine.pid")"
		wait_exit "${PID[app]}" || :
		assert_nothing_left
	done
}

@test "a gateway that is killed while a hundred threads connect leaves none of them waiting" {
	for rules in "$ALL" "$RELAYED"; do
		rm -f "$T/machine.pid"
		spawn app sandbox "$rules" ./crowd storm 192.0.2.1 7000 100 </dev/null
		wait_until said storm
		kill -KILL "$(pid_of vrun-gateway)"
		wait_exit "${PID[app]}"
		assert_status 0
		assert_equal "$(<"$T/app.out")" "storm
over" "what the app saw: $(<"$T/app.err")"
		assert_nothing_left
	done
}

@test "a guard that is killed while a hundred threads connect lets nothing through that waits" {
	spawn app sandbox "$RELAYED" ./crowd storm 192.0.2.1 7000 100 </dev/null
	wait_until said storm
	kill -KILL "$(pid_of vrun-guard)"
	wait_exit "${PID[app]}"
	assert_status 0
	assert_equal "$(<"$T/app.out")" "storm
over" "what the app saw: $(<"$T/app.err")"
	assert_nothing_left
}

@test "a supervisor that is killed while a hundred threads connect takes its sandbox with it" {
	for rules in "$ALL" "$RELAYED"; do
		rm -f "$T/machine.pid"
		spawn app sandbox "$rules" ./crowd storm 192.0.2.1 7000 100 </dev/null
		wait_until said storm
		supervisor=$(pid_of vrun-supervisor) gateway=$(pid_of vrun-gateway)
		kill -KILL "$supervisor"
		wait_exit "${PID[app]}"
		assert_status 125
		assert_contains "$(<"$T/app.err")" "the supervisor has ended"
		wait_until gone "$gateway"
		assert_nothing_left
	done
}

@test "a keeper that is killed changes nothing for connections, nor for the end" {
	spawn app sandbox "$ALL" sh -c 'exec ./crowd open 192.0.2.1 7000 100 <in' </dev/null
	wait_until said answered
	keeper=$(pid_of vrun-keeper)
	kill -KILL "$keeper"
	wait_until gone "$keeper"
	ask
	wait_until said alive
	assert_equal "$(tail -n 1 "$T/app.out")" "100 alive, 0 ended; a new one: connected"
	kill -TERM "$(<"$T/machine.pid")"
	wait_exit "${PID[app]}" || :
	assert_nothing_left
}
