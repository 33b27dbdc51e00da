#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun why ID: what it says of a running sandbox is what happens there.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w
}

# A sandbox that stays: stay NAME [OPTION...]
stay()
{
	hold "$1"
	spawn "$1" reading "$T/$1.in" run --id "$MARK-$1" -p "$1.json" "${@:2}" -- sh -c 'echo ready; read -r _'
	wait_until grep -qx ready "$T/$1.out" || fail "$(<"$T/$1.err")"
}

# Three domains of random policies try what they find; then why is asked about all of it.
random_fabric() # SEED
{
	export VRUN_SEED=${VRUN_SEED:-$1}
	need_command python3
	cp "$(dirname "$VRUN")/tests/guest/attempts" .
	python3 "$TOP/tests/policy/why.py" policies .
	python3 "$TOP/tests/policy/why.py" attempts .
	local -A go=()
	local fd

	for name in a b c; do
		mkfifo "$name.go"
		# One writer for all of it: the end of one would be a line to the next read.
		exec {fd}<>"$name.go"
		go[$name]=$fd
		# It tries when all are there, and stays as long as it is asked about.
		# shellcheck disable=SC2016 # the other shell's
		spawn "$name" "$VRUN" run -q --id "$MARK-$name" --fabric "$MARK" -p "$name.json" -- \
			sh -c 'exec 3<"$0.go"; echo ready; read -r _ <&3; ./attempts <"$0.attempts" >"$0.tmp"; mv "$0.tmp" "$0.out"; read -r _ <&3' "$name"
	done
	for name in a b c; do
		wait_until grep -qx ready "$T/$name.out" || fail "$(<"$T/$name.err")"
	done
	for name in a b c; do
		echo >&"${go[$name]}"
	done
	for name in a b c; do
		wait_path "$name.out"
	done
	run python3 "$TOP/tests/policy/why.py" compare . "$MARK"
	assert_status 0 || fail "$(tail -n 5 "$T"/[abc].{out,err})"
	printf '%s\n' "$output"
	for name in a b c; do
		fd=${go[$name]}
		echo >&"$fd"
		exec {fd}>&-
		wait_exit "${PID[$name]}"
		assert_status 0
	done
}

@test "what why says of hundreds of attempts under random policies is what happens (1)" {
	random_fabric 1
}

@test "what why says of hundreds of attempts under random policies is what happens (2)" {
	random_fabric 2
}

@test "what why says of hundreds of attempts under random policies is what happens (3)" {
	random_fabric 3
}

@test "why of a run has the names and addresses that its domains were given, and both sides" {
	printf '{"version":1,"net":{"rules":[{"id":"go","allow":"connect","to":"db:5432"}]}}' >web.json
	printf '{"version":1,"domain":"db","net":{"rules":[\n{"id":"in","allow":"listen","at":":5432","from":["*"]},\n{"id":"no","deny":"listen","at":":5432","proto":"udp"}]}}' >db.json
	stay web --fabric "$MARK"
	run "$VRUN" why "$MARK-web" --connect db:5432
	assert_status 0 # no domain db yet: this side alone decides
	stay db --fabric "$MARK"
	run "$VRUN" why "$MARK-web" --connect db:5432
	assert_status 0
	assert_contains "$output" "allowed by rule go (web.json:1)"
	assert_contains "$output" "allowed by rule in (db.json:2)"
	address=$("$VRUN" ps --json >/dev/null; "$VRUN" why "$MARK-web" --connect db:5432 --json | jq -r .attempt | sed 's/.*(\(.*\))/\1/')
	run "$VRUN" policy why "$MARK-web" --connect "$address:5432"
	assert_status 0
	assert_contains "$output" "connect to db:5432"
	run "$VRUN" why "$MARK-web" --connect "$address:5433"
	assert_status 1
	run "$VRUN" why "$MARK-db" --accept-from "$MARK-web:5432"
	assert_status 0
	run "$VRUN" why "$MARK-db" --listen :5432 --proto udp
	assert_status 1
	assert_contains "$output" "denied by rule no (db.json:3)"
}

@test "a ceiling over a running sandbox is asked too" {
	printf '{"version":1,"domain":"web","net":{"rules":[{"allow":"connect","to":"192.0.2.1:80-90"}]}}' >web.json
	printf '{"version":1,"net":{"rules":[{"id":"top","deny":"connect","to":"*:85"}, {"allow":"connect","to":"0.0.0.0/0:*"}]}}' >top.json
	stay web --ceiling top.json
	run "$VRUN" why "$MARK-web" --connect 192.0.2.1:84
	assert_status 0
	run "$VRUN" why "$MARK-web" --connect 192.0.2.1:85
	assert_status 1
	assert_contains "$output" "rule top (top.json:1)"
	assert_contains "$output" "the ceiling decides"
	# The file may change: what is in force is asked.
	echo '{' >web.json
	run "$VRUN" why "$MARK-web" --connect 192.0.2.1:84
	assert_status 0
}

@test "why of what cannot be asked says what to do" {
	echo '{"version":1,"net":"none"}' >none.json
	run "$VRUN" why "$MARK-nobody" --connect db:1
	assert_vrun_error "$MARK-nobody"
	stay none
	run "$VRUN" why "$MARK-none" --connect db:1
	assert_vrun_error "no supervisor"
	assert_contains "$output" "vrun policy why FILE"
	run "$VRUN" why "$MARK-none" --connect db:1 --with none.json
	assert_vrun_error "go with a FILE"
	run "$VRUN" policy why ./none.json --connect db:1 --root /tmp
	assert_vrun_error "go with the ID"
	run "$VRUN" policy why ./none.json --connect db:1 --connect db:2
	assert_vrun_error "one question at a time"
}
