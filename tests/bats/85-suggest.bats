#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun policy suggest: from what was denied to a patch that allows it, and nothing else.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w
	printf '{\n  "version": 1,\n  "domain": "web",\n  "net": {\n    "address": ["10.88.0.10"]\n  }\n}\n' >web.json
	printf '{"version":1,"domain":"db","net":{"address":["10.88.0.11"],"rules":[]}}' >db.json
}

# A sandbox that does what a bash script says, prints "done", and stays: stay NAME SCRIPT [OPTION...]
stay()
{
	hold "$1"
	spawn "$1" reading "$T/$1.in" run --id "$MARK-$1" -p "$1.json" "${@:3}" -- \
		bash -c "$2"$'\n''echo done; read -r _'
	wait_until grep -qx 'done' "$T/$1.out" || fail "$(<"$T/$1.out")" "$(<"$T/$1.err")"
}

# shellcheck disable=SC2016 # the sandbox's
CONNECT='try() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }; '

@test "what a running sandbox was denied becomes a patch, and with it nothing is denied" {
	need_command patch
	script=$CONNECT'try 10.88.0.11 5432; try 10.88.0.11 5433; try 10.88.0.11 80; try 10.88.0.11 80; '
	stay db : --fabric "$MARK"
	stay web "$script try 192.0.2.1 25" --fabric "$MARK"
	run --separate-stderr "$VRUN" policy suggest "$MARK-web"
	assert_status 0
	assert_contains "$output" '+      { "allow": "connect", "to": "192.0.2.1:25" },'
	assert_contains "$output" '+      { "allow": "connect", "to": "db:80,5432-5433" }'
	# The other side has to let it in: its rules go to its own policy.
	assert_contains "$output" '+++ db.json'
	assert_contains "$output" '+  { "allow": "listen", "at": ":80,5432-5433", "from": ["web"] }'
	patch -p0 <<<"$output"
	run "$VRUN" policy check --strict web.json db.json --with web.json --with db.json
	assert_status 0
	run "$VRUN" policy suggest "$MARK-web"
	assert_status 0
	assert_output "$(printf '# %s: nothing to add\n' web.json db.json)"
	end_sandbox "$MARK-web"
	end_sandbox "$MARK-db"
	# Under the result the same run is denied nothing; what would go to the real world is not tried.
	rm "$T/web.in" "$T/db.in"
	stay db : --fabric "$MARK-2"
	stay web "$script" --fabric "$MARK-2"
	run "$VRUN" policy suggest "$MARK-web"
	assert_output "# nothing was denied"
}

@test "a log in a file and on standard input gives the same patch as the run" {
	stay web "$CONNECT"'try 192.0.2.1 25; try 192.0.2.1 26'
	run "$VRUN" policy suggest "$MARK-web"
	assert_status 0
	want=$output
	assert_contains "$want" '"192.0.2.1:25-26"'
	"$VRUN" log --json "$MARK-web" >records
	run "$VRUN" policy suggest records
	assert_output "$want"
	run "$VRUN" policy suggest - <records
	assert_output "$want"
	# From elsewhere the policy has to be named.
	mkdir other
	cd other
	run "$VRUN" policy suggest ../records
	assert_vrun_error "web.json"
	assert_contains "$output" "-p FILE"
	run "$VRUN" policy suggest -p ../web.json ../records
	assert_status 0
	assert_contains "$output" "+++ ../web.json"
}

@test "what a rule denies is told apart, and the exit status says so" {
	printf '{"version":1,"domain":"web","net":{"rules":[\n  {"id":"mail","deny":"connect","to":"*:25"}\n]}}' >web.json
	stay web "$CONNECT"'try 192.0.2.1 25; try 192.0.2.1 443'
	run "$VRUN" policy suggest "$MARK-web"
	assert_status 1
	assert_contains "$output" '# web.json: no rule allows "connect to 192.0.2.1:25/tcp": no rule can allow what rule mail'
	assert_contains "$output" '"to": "192.0.2.1:443"'
	assert_lacks "$output" '"to": "192.0.2.1:25'
	run --separate-stderr "$VRUN" policy suggest --json "$MARK-web"
	assert_status 1
	assert_equal "$(jq -c '[.denied, (.files[] | .policy, .denied, .rules), (.others[] | .attempt)]' <<<"$output")" \
		'[2,"web.json",2,[{"rule":{"allow":"connect","to":"192.0.2.1:443"},"seen":1}],"connect to 192.0.2.1:25/tcp"]'
}

@test "a forged log gets no more than it shows, and cannot write to the terminal" {
	record() # LINE [POLICY]
	{
		jq -cn --arg line "$1" --arg policy "${2-web.json}" \
			'{decision: "deny", attempt: "connect to \u001b[31mx", policy: $policy, line: $line, advice: "\u001b]0;x\u0007"}'
	}
	for line in '{"allow":"connect","to":"*:*"}' '{"allow":"connect","to":"db:1-2"}' \
		'{"allow":"connect","to":"10.0.0.0/8:1"}' '{"allow":"listen","at":":1","from":["*"]}' \
		'{"allow":"connect","to":"a:1"},{"allow":"connect","to":"*:*"}' '{"deny":"connect","to":"a:1"}' '{'; do
		record "$line" >log
		run "$VRUN" policy suggest log
		assert_vrun_error "log:1: "
	done
	record '' >log
	run "$VRUN" policy suggest log
	assert_status 1
	assert_lacks "$output" $'\033'
	record '{"allow":"connect","to":"a:1"}' $'x\n--- /etc/passwd' >log
	run "$VRUN" policy suggest log
	assert_vrun_error 'control character'
	echo 'no record' >log
	run "$VRUN" policy suggest log
	assert_vrun_error "log:1: "
	run "$VRUN" policy suggest ./missing
	assert_vrun_error "missing"
	run "$VRUN" policy suggest "$MARK-missing"
	assert_vrun_error "$MARK-missing"
}

@test "policy check says that nobody would carry out onDeny" {
	printf '{"version":1,"net":"none","onDeny":"kill"}' >none.json
	run "$VRUN" policy check none.json
	assert_status 1
	assert_contains "$output" '"onDeny" goes with rules'
}
