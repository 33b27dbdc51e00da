#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun why ID: what it says of hosts outside and of those who come from there is
# what happens, on the tests' internet.

bats_require_minimum_version 1.5.0
load helper
load internet

reading() # FILE COMMAND...
{
	"${@:2}" <"$1"
}

random_policy() # SEED
{
	export VRUN_SEED=${VRUN_SEED:-$1}
	cp "$TOP/tests/policy/why_outside.py" why.py
	zone "$(python3 why.py zone)"
	python3 why.py policy app.json
	mkfifo go
	exec {fd}<>go
	spawn app reading go on_host "$VRUN" run -q -T --id "$MARK-app" -p app.json -- python3 why.py try
	wait_until grep -qx end "$T/app.out" || fail "$(<"$T/app.out")" "$(<"$T/app.err")"
	on_host python3 why.py visit 127.0.0.1 127.0.0.1 >local
	on_servers python3 why.py visit 198.51.100.1 198.51.100.2 >one
	on_servers python3 why.py visit 198.51.100.53 198.51.100.2 >two
	run python3 why.py compare "$MARK-app" "$T/app.out" local one two
	printf '%s\n' "$output"
	assert_status 0
	exec {fd}<&-
	"$VRUN" kill "$MARK-app" KILL
	wait_exit "${PID[app]}" || :
	internet_stop
	assert_nothing_left
}

@test "what why says of names, addresses and visitors under a random policy is what happens (1)" {
	random_policy 1
}

@test "what why says of names, addresses and visitors under a random policy is what happens (2)" {
	random_policy 2
}

@test "what why says of names, addresses and visitors under a random policy is what happens (3)" {
	random_policy 3
}
