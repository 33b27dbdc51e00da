#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun up: several bundles of one file as a fabric.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	ROOT=$T/run/oci
	FABRIC=f${MARK//[^a-zA-Z0-9]/}
	mkdir -m 0700 "$ROOT"
	mkdir "$T/up"
}

up() # ARG...
{
	"$VRUN" --root "$ROOT" up "$@"
}

script() # NAME SHELL
{
	make_bundle "$T/up/$1" ".process.args = [\"sh\", \"-c\", $(jq -n --arg s "$2" '$s')]"
}

file() # BUNDLES-JSON
{
	jq -n --arg f "$FABRIC" --argjson b "$1" '{version: 1, fabric: $f, bundles: $b}' >"$T/up/up.json"
}

server_and_client()
{
	script server 'sleep 0.3; while :; do echo hello | nc -l -p 7000; done'
	# Its input does not end, or it might leave before it has read.
	script client 'mkfifo /tmp/f && nc 10.88.0.20 7000 <>/tmp/f'
	printf '{"version": 1, "domain": "server", "net": {"address": ["10.88.0.20"], "rules": [
		{"allow": "listen", "at": ":7000", "from": ["client"]}]}}' >"$T/up/server/policy.json"
	printf '{"version": 1, "domain": "client", "net": {"rules": [
		{"allow": "connect", "to": "server:7000"}]}}' >"$T/up/client.json"
}

@test "what comes after another is started when that listens, and reaches it" {
	server_and_client
	file '{"client": {"bundle": "client", "policy": "client.json", "after": ["server"]},
		"server": {"bundle": "server", "ready": 7000}}'
	spawn up "$VRUN" --root "$ROOT" up "$T/up/up.json" </dev/null
	wait_until grep -qx 'client | hello' "$T/up.out" || fail "$(cat "$T"/up.{out,err})"
	assert_contains "$("$VRUN" --root "$ROOT" ps -q)" "$FABRIC-server"
	kill -INT "${PID[up]}"
	wait_exit "${PID[up]}"
	assert_equal "$status" 130
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "lines are whole and have names, and what would move the cursor does not" {
	script one 'printf "a\tb\nc"; printf "\033[2Jd\n" >&2'
	script other 'i=0; while [ $i -lt 200 ]; do printf x; printf "y\n"; i=$((i + 1)); done'
	file '{"one": {"bundle": "one"}, "other": {"bundle": "other"}}'
	spawn up "$VRUN" --root "$ROOT" up "$T/up/up.json" </dev/null
	wait_exit "${PID[up]}"
	assert_equal "$status" 0
	assert_equal "$(grep '^one' "$T/up.out" | sed 's/^one *| //')" $'a\tb\nc'
	assert_equal "$(grep -c '^other | xy$' "$T/up.out")" 200
	assert_contains "$(<"$T/up.err")" 'one   | \x1b[2Jd'
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "one that fails ends the others, one that ends well does not" {
	script good 'echo done'
	script bad 'until [ -e /shared/up ]; do usleep 20000; done; exit 9'
	script long 'trap "echo stopped; exit 0" TERM; echo up; : >/shared/up; while :; do sleep 1000 & wait; done'
	mkdir -m 0777 "$T/shared"
	for name in bad long; do
		edit_bundle "$T/up/$name" '.mounts += [{destination: "/shared", type: "bind", source: (env.T + "/shared"), options: ["bind"]}]'
	done
	file '{"good": {"bundle": "good"}, "long": {"bundle": "long", "after": ["good"]}, "bad": {"bundle": "bad", "after": ["long"]}}'
	spawn up "$VRUN" --root "$ROOT" up "$T/up/up.json" </dev/null
	wait_exit "${PID[up]}"
	assert_equal "$status" 9
	assert_contains "$(<"$T/up.out")" "good | done"
	assert_contains "$(<"$T/up.out")" "long | up"
	assert_contains "$(<"$T/up.out")" "long | stopped"
	assert_contains "$(<"$T/up.err")" "bad ended with 9"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "what does not listen in time, or does not end in time, is not waited for" {
	server_and_client
	file '{"server": {"bundle": "server", "ready": 7001}}'
	run up --timeout 1 "$T/up/up.json"
	assert_vrun_error "server does not listen at port 7001 after 1 s"
	script deaf 'trap "" TERM; echo up; while :; do sleep 1; done'
	file '{"deaf": {"bundle": "deaf"}}'
	spawn up "$VRUN" --root "$ROOT" up --stop 1 "$T/up/up.json" </dev/null
	wait_until grep -q 'deaf | up' "$T/up.out"
	kill -TERM "${PID[up]}"
	wait_exit "${PID[up]}"
	assert_equal "$status" 143
	script plain 'sleep 1000'
	file '{"plain": {"bundle": "plain", "ready": 80}}'
	run up "$T/up/up.json"
	assert_vrun_error '"ready" needs a policy with rules'
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "killing vrun up ends what it has started" {
	script one 'echo up; exec sleep 1000'
	file '{"one": {"bundle": "one"}}'
	spawn up "$VRUN" --root "$ROOT" up "$T/up/up.json" </dev/null
	wait_until grep -q 'one | up' "$T/up.out"
	kill -KILL "${PID[up]}"
	wait_exit "${PID[up]}" || :
	wait_until no_runs
	rm -rf "$ROOT"
	assert_nothing_left
}

no_runs()
{
	[[ -z $("$VRUN" --root "$ROOT" ps -q) ]]
}

@test "a file that makes no sense is refused with its place" {
	file '{"a": {"bundle": "a", "after": ["b"]}, "b": {"bundle": "b", "after": ["a"]}}'
	run up "$T/up/up.json"
	assert_vrun_error "waits for itself"
	file '{"a": {"bundle": "a", "after": ["c"]}}'
	run up "$T/up/up.json"
	assert_vrun_error "bundles.a.after[0]: there is no such bundle"
	file '{"a": {"bundel": "a"}}'
	run up "$T/up/up.json"
	assert_vrun_error 'did you mean "bundle"'
	file '{"a/b": {"bundle": "a"}}'
	run up "$T/up/up.json"
	assert_vrun_error "a name has letters"
	echo '{"version": 1, "fabric": "x", "bundles": {}}' >"$T/up/up.json"
	run up "$T/up/up.json"
	assert_vrun_error "1 to 64 bundles"
	run up "$T/up/none.json"
	assert_vrun_error "none.json"
}
