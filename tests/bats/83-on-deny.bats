#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# "onDeny": what a program gets for a call that the policy denies.

bats_require_minimum_version 1.5.0
load helper

# What bash says when it connects under that policy: knock POLICY
knock()
{
	printf '%s\n' "$1" >"$T/p.json"
	# shellcheck disable=SC2016 # the inner bash's
	run "$VRUN" run --quiet --cwd none -p "$T/p.json" -- bash -c 'exec 3<>/dev/tcp/192.0.2.1/7 && echo connected' </dev/null
}

@test "a denied connect gets the error that the policy names, or a rule of its own" {
	local errors=(EACCES "Permission denied" ECONNREFUSED "Connection refused" EHOSTUNREACH "No route to host") i

	for ((i = 0; i < ${#errors[@]}; i += 2)); do
		knock '{"version":1,"onDeny":"'"${errors[i]}"'","net":{"rules":[]}}'
		assert_status 1
		assert_contains "$output" "${errors[i + 1]}" "what bash says with ${errors[i]}"
		knock '{"version":1,"net":{"rules":[{"deny":"connect","to":"192.0.2.0/24:*","onDeny":"'"${errors[i]}"'"}]}}'
		assert_status 1
		assert_contains "$output" "${errors[i + 1]}" "what bash says with a rule's ${errors[i]}"
	done
}

@test "with onDeny kill the program is killed, and the denial is on record" {
	knock '{"version":1,"onDeny":"kill","net":{"rules":[]}}'
	assert_status 137
	run "$VRUN" run --cwd none -p "$T/p.json" -- bash -c 'exec 3<>/dev/tcp/192.0.2.1/7' </dev/null
	assert_status 137
	assert_contains "$output" "connect to 192.0.2.1:7/tcp" "what vrun says at the end"
}
