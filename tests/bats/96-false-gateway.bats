#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What a gateway in somebody else's hands can do to the supervisor and to apps: nothing but not
# connect. What it could connect to anyway is its own matter (test-gateway.c has the other side).

bats_require_minimum_version 1.5.0
load helper

setup()
{
	local own=${VRUN%/vrun}

	helper_setup
	mkdir "$T/work" "$T/bin"
	cd "$T/work" || return 1
	# Helper programs are looked for beside vrun.
	cp "$VRUN" "$own/vrun-resolver" "$T/bin"
	cp "$own/tests/guest/false-gateway" "$T/bin/vrun-gateway"
	cp "$own/tests/guest/crowd" .
}

# How long it waits to be connected.
PATIENCE_MS=20000

# What an app sees of a gateway that behaves so, over a socket that is handed over, or relayed: dial HOW [RATE]
dial()
{
	local own=()

	is_root || own=(--user --map-root-user)
	jq -n --arg how "behave: $1" "{version: 1, comment: \$how, net: {rules: [
		{allow: \"connect\", to: \"192.0.2.1:7000\"${2:+, rate: \"$2\"}}]}}" >"$T/p.json"
	# shellcheck disable=SC2016 # for the shell inside
	run -0 --separate-stderr timeout 60 unshare "${own[@]}" --net bash -c '
		ip link set lo up
		ip addr add 192.0.2.1/24 dev lo
		coproc server { exec ./crowd serve 7000; }
		pid=$server_PID
		read -r _ <&"${server[0]}"
		"$@"
		status=$?
		exec 2>/dev/null # the shell tells of the end of its jobs
		kill -KILL "$pid"
		wait "$pid"
		exit "$status"
	' sh "$T/bin/vrun" run --id "$MARK-app" -p "$T/p.json" -- ./crowd dial 192.0.2.1 7000 "$PATIENCE_MS" </dev/null
}

# Both kinds of connect() end so, and the supervisor goes on.
both() # WHAT HOW...
{
	local want=$1 how rate

	shift
	for how; do
		for rate in "" 1000GB/s; do
			dial "$how" $rate
			assert_equal "$output" "nonblocking: $want
blocking: $want
served" "a gateway that is $how, ${rate:+relayed} (${stderr-})"
		done
	done
	assert_nothing_left
}

@test "a gateway that answers late, twice, or to others, too, connects" {
	both connected honest late twice racing others
}

@test "a flood of answers to nobody is passed over" {
	both connected flood
}

@test "descriptors that nobody asked for do not fill the supervisor's table" {
	ulimit -n 2000
	both connected pairs
}

@test "one that says what no gateway says is no gateway any more" {
	both ENETUNREACH resolved published arrived request half more negative large end
}

@test "an app is given no descriptor but that of a TCP socket of its family" {
	both ENETUNREACH file datagrams family local
}

@test "a refusal is one, and no descriptor none" {
	both ECONNREFUSED refused
	both ENFILE none
}

@test "nobody waits for a gateway that is silent longer than it said it would" {
	PATIENCE_MS=1000
	both waits silent
}
