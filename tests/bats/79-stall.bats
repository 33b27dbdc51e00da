#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# An app that wants its supervisor, which serves others, too, to wait for it.

bats_require_minimum_version 1.5.0
load helper

# The guest says so when another call of its own is not answered.
assert_not_stalled() # KIND
{
	local transport

	mkdir "$T/w"
	cp "${VRUN%/*}/tests/guest/stall" "$T/w"
	cd "$T/w" || return 1
	for transport in tcp wire; do
		echo "{\"version\":1,\"domain\":\"d\",\"net\":{\"transport\":\"$transport\",\"rules\":[]}}" >p.json
		run "$VRUN" run -q -p p.json -- ./stall "$1" </dev/null
		if [[ $transport == wire && $output == *SO_PASSRIGHTS* ]]; then
			continue # a kernel without wires has none to attack
		fi
		assert_status 0
		assert_contains "$output" ", 0 failed" "$transport"
	done
	cd "$T" || return 1
	assert_nothing_left
}

@test "a connection begun without waiting, and waited for by a second connect" {
	assert_not_stalled again
}

@test "two listeners of one port, of which one has a full queue" {
	assert_not_stalled two-queues
}

@test "a socket that waits by the time it is connected" {
	assert_not_stalled toggled
}

@test "a listener in the place of another socket of which listen was asked for" {
	assert_not_stalled shortened
}

@test "a connection with SO_LINGER that is closed while it is looked at" {
	assert_not_stalled lingering
}

@test "a listener of AF_UNIX from which somebody outside accepts, too" {
	mkdir "$T/w"
	cp "${VRUN%/*}/tests/guest/stall" "$T/w"
	cd "$T/w"
	echo '{"version":1,"domain":"d","net":{"rules":[]}}' >p.json
	spawn app "$VRUN" run -q -p p.json -- ./stall stolen </dev/null
	wait_until test -s "$T/app.out"
	spawn thief ./stall steal </dev/null
	wait_exit "${PID[app]}" || fail "$(<"$T/app.out")"
	assert_contains "$(<"$T/app.out")" ", 0 failed"
	wait_exit "${PID[thief]}"
	cd "$T"
	assert_nothing_left
}
