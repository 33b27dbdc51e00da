#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# "onDeny": what a program gets for a call that the policy denies.

bats_require_minimum_version 1.5.0
load helper

# vrun, which reads from a FIFO $T/in until the test closes descriptor IN.
waiting() # NAME ARGUMENTS...
{
	mkfifo "$T/in"
	exec {IN}<>"$T/in"
	spawn "$1" reading "$T/in" "${@:2}"
}

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

@test "a rule's message is said in the log and at the end, and what comes again is said once" {
	printf '%s\n' '{"version":1,"net":{"rules":[{"id":"no-mail","deny":"connect","to":"*:25","message":"mail leaves through the \u001b[31mrelay"}]}}' >"$T/p.json"
	# shellcheck disable=SC2016 # the inner bash's
	waiting app run --id "$MARK-app" --cwd none -p "$T/p.json" -- bash -c '
		for n in 1 2 3 4; do (exec 3<>/dev/tcp/192.0.2.1/25); done 2>/dev/null
		for n in 1 2 3; do exec 3<>/dev/tcp/192.0.2.1/25; done 2>/dev/null
		exec 3<>/dev/tcp/192.0.2.1/80
		echo done; read -r _'
	wait_until grep -q "done" "$T/app.out"
	run -0 "$VRUN" log "$MARK-app"
	# Four processes, of which each did it once, and one that did it three times.
	assert_equal "$(grep -c 'denied: connect to 192.0.2.1:25/tcp (rule no-mail): mail leaves through the \\x1b\[31mrelay$' <<<"$output")" 5
	assert_equal "$(grep -c 'and 2 times more, until ' <<<"$output")" 1
	assert_equal "$(grep -c 'denied: connect to 192.0.2.1:80/tcp$' <<<"$output")" 1
	run -0 "$VRUN" log --json "$MARK-app"
	assert_equal "$(jq -sr '[.[] | select(.rule == "no-mail") | .message] | unique | length, .[0]' <<<"$output" | head -1) $(wc -l <<<"$output")" "1 8"
	echo >&"$IN"
	wait_exit "${PID[app]}"
	assert_contains "$(<"$T/app.err")" "connect to 192.0.2.1:25/tcp (7 times): mail leaves through the \x1b[31mrelay; no rule can allow"
}

@test "another domain's policy gives the error, and kills nobody but its own" {
	cat >"$T/guest.sh" <<-'END'
		for port in 1 2 3; do exec 3<>/dev/tcp/10.88.0.11/$port; done
		echo alive
	END
	printf '%s\n' '{"version":1,"domain":"db","onDeny":"kill","net":{"address":["10.88.0.11"],"rules":[
		{"deny":"listen","at":":2","onDeny":"EHOSTUNREACH"},{"deny":"listen","at":":3","onDeny":"ECONNREFUSED"}]}}' >"$T/db.json"
	printf '%s\n' '{"version":1,"domain":"app","net":{"rules":[{"allow":"connect","to":"db:*"}]}}' >"$T/app.json"
	# shellcheck disable=SC2016 # the inner shell's
	waiting db run --fabric "$MARK" --id "$MARK-db" --cwd none -p "$T/db.json" -- sh -c 'echo ready; read -r _'
	wait_until grep -q ready "$T/db.out"
	run "$VRUN" why "$MARK-db" --accept-from app:1
	assert_status 1
	run -0 --separate-stderr "$VRUN" run --quiet --fabric "$MARK" --id "$MARK-app" --cwd none -p "$T/app.json" -- bash -s <"$T/guest.sh"
	assert_output alive
	# shellcheck disable=SC2154 # set by run
	assert_equal "$(grep -o 'connect: .*' <<<"$stderr")" "connect: Permission denied
connect: No route to host
connect: Connection refused"
	echo >&"$IN"
	wait_exit "${PID[db]}"
}

@test "policy why says what the program gets" {
	local p=$T/p.json

	printf '%s\n' '{"version":1,"onDeny":"EHOSTUNREACH","net":{"rules":[{"deny":"connect","to":"*:25","onDeny":"kill"},
		{"deny":"connect","to":"*:26","onDeny":"EACCES"},{"allow":"connect","to":"a.example.com:443"},{"deny":"connect","to":"192.0.2.0/24:*"}]}}' >"$p"
	expect_said() # TEXT OPTIONS...
	{
		run "$VRUN" policy why "$p" "${@:2}"
		assert_status 1
		assert_contains "$output" "$1"
	}
	expect_said "the program gets EHOSTUNREACH" --connect 203.0.113.1:80
	expect_said "the program is killed" --connect 203.0.113.1:25
	expect_said "the program gets EHOSTUNREACH" --connect a.example.com:80
	expect_said "the program is told that there is no such name" --connect b.example.com:443
	expect_said "the program is told that there is no such name" --resolve b.example.com
	expect_said "there is no such name: at that address no port is open" --resolve a.example.com --resolved 10.0.0.1
	expect_said "there is no such name" --connect a.example.com:443 --resolved 192.0.2.1
	run "$VRUN" policy why "$p" --connect 203.0.113.1:26
	assert_lacks "$output" "the program"
	run -0 "$VRUN" policy why "$p" --resolve a.example.com
	assert_contains "$output" "try --resolved"
	run "$VRUN" policy why "$p" --json --connect 203.0.113.1:25
	assert_equal "$(jq -r .onDeny <<<"$output")" kill
}
