#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun policy: check, why, test, diff and schema, as a person or a script meets them.

bats_require_minimum_version 1.5.0
load helper

# policy NAME RULES [DOMAIN]: writes NAME.json with these rules.
policy()
{
	printf '{\n  "version": 1,\n  "domain": "%s",\n  "net": { "rules": [\n    %s\n  ] }\n}\n' \
		"${3:-$1}" "$2" >"$1.json"
}

setup()
{
	helper_setup
	policy web '{ "allow": "connect", "to": "db:5432" },
    { "allow": "connect", "to": "*.example.com:443", "rate": "10MB/s" },
    { "id": "no-ads", "deny": "connect", "to": "ads.example.com:*", "message": "no advertisements" },
    { "allow": "listen", "at": ":8080", "from": ["lb", "host"] }'
	policy db '{ "allow": "listen", "at": ":5432", "from": ["web"] }'
}

@test "a policy without fault passes without a word" {
	run "$VRUN" policy check web.json db.json
	assert_status 0
	assert_output ""
}

@test "an unknown key is named with its line, its path, a suggestion and a caret" {
	policy bad '{ "allow": "connect", "too": "db:5432" }'
	run "$VRUN" policy check bad.json
	assert_status 1
	assert_output "$(printf '%s\n' \
		'vrun: bad.json:5: net.rules[0].too: unknown key "too" (did you mean "to"?)' \
		'      { "allow": "connect", "too": "db:5432" }' \
		'                            ^~~~~')"
}

@test "every verb says which option it does not know" {
	for verb in check why test diff suggest apply; do
		run "$VRUN" policy "$verb" --no-such-option
		assert_status 125
		assert_contains "$output" "no-such-option" "policy $verb"
	done
}

@test "a key given twice is named with its path" {
	printf '{"version":1,\n"net":{"rules":[{"allow":"connect","to":"a:1",\n "to":"b:1"}]}}' >twice.json
	run "$VRUN" policy check twice.json
	assert_status 1
	assert_contains "$output" "twice.json:3: net.rules[0].to: duplicate key"
}

@test "what a policy says cannot write to the terminal" {
	printf '{"version":1,"\033[31mred":1,\n"net":{"rules":[{"allow":"connect","to":"\033]0;x\007:1"}]}}' >esc.json
	run "$VRUN" policy check esc.json
	assert_status 1
	assert_lacks "$output" $'\033'
	printf '{"version":1,"\\u001b[31mred":1}' >esc.json
	run "$VRUN" policy check esc.json
	assert_status 1
	assert_lacks "$output" $'\033'
}

@test "an allow under a deny is an error, a suspicious rule a warning, and --strict makes it one too" {
	policy shadow '{ "allow": "connect", "to": "a.b.example:80" },
    { "deny": "connect", "to": "*.example:1-100" }'
	run "$VRUN" policy check shadow.json
	assert_status 1
	assert_contains "$output" "never allows anything: the rule of line 6 denies all of it"
	policy wide '{ "allow": "connect", "to": "0.0.0.0/0:443" }'
	run "$VRUN" policy check wide.json
	assert_status 0
	assert_contains "$output" "cloud metadata"
	run "$VRUN" policy check --strict wide.json
	assert_status 1
}

@test "the two sides of a fabric are held against each other" {
	policy app '{ "allow": "connect", "to": ["dbb:5432", "db:5433"] },
    { "allow": "listen", "at": ":80", "from": ["lbb"] }'
	run "$VRUN" policy check app.json --with db.json --with web.json
	assert_status 0
	assert_contains "$output" 'no domain here has the name "dbb" (did you mean "db"?)'
	assert_contains "$output" "allows db:5433/tcp, but db does not let app in"
	assert_contains "$output" '{ "allow": "listen", "at": ":5433", "from": ["app"] }'
	assert_contains "$output" 'no domain here has the name "lbb"'
	policy other '{ "allow": "connect", "to": "web:1" }' web
	run "$VRUN" policy check web.json --with other.json
	assert_status 1
	assert_contains "$output" 'both have the name "web"'
	run "$VRUN" policy check web.json --with web.json --with db.json
	assert_status 0
}

@test "what every run refuses is an error for check, too" {
	local rules=('{ "allow": "listen", "at": ":53", "rate": "1MB/s" }' 'served for TCP connections to the outside alone'
		'{ "allow": "connect", "to": "db:1", "rate": "1MB/s" }' 'served for TCP connections to the outside alone') i

	for ((i = 0; i < ${#rules[@]}; i += 2)); do
		policy refused "${rules[i]}"
		run "$VRUN" policy check refused.json
		assert_status 1
		assert_contains "$output" "refused.json:5: a run is refused: "
		assert_contains "$output" "${rules[i + 1]}"
		assert_contains "$output" $'\n  '"    ${rules[i]:0:20}"
		run "$VRUN" policy check --json refused.json
		assert_status 1
		assert_equal "$(jq -c '[.[0].errors[].line]' <<<"$output")" "[5]"
		run "$VRUN" run --cwd none -p refused.json -- true
		assert_status 125
		assert_contains "$output" "${rules[i + 1]}"
	done
}

@test "check --json is a document with the places" {
	need_command jq
	policy bad '{ "allow": "connect", "too": "db:5432" }'
	run "$VRUN" policy check --json web.json bad.json
	assert_status 1
	assert_equal "$(jq -c '[.[].errors | length]' <<<"$output")" "[0,1]"
	assert_equal "$(jq -c '.[1].errors[0] | [.line, .column, .hint]' <<<"$output")" \
		'[5,27,"did you mean \"to\"?"]'
}

@test "why names the rule and the line on both sides" {
	run "$VRUN" policy why web.json --connect db:5432 --with db.json
	assert_status 0
	assert_matches "$output" '^allowed: connect to db:5432/tcp'
	assert_matches "$output" $'\n  web \(web.json\): allowed by rule r[0-9a-f]{8} \(web.json:5\)'
	assert_matches "$output" $'\n  db \(db.json\): allowed by rule r[0-9a-f]{8} \(db.json:5\)'
	run "$VRUN" policy why web.json --connect db:5432 --with web.json
	assert_status 0
}

@test "why says which line on which side would allow what is denied, and it does" {
	policy app '{ "allow": "connect", "to": "elsewhere:1" }'
	run "$VRUN" policy why app.json --connect db:5432 --with db.json
	assert_status 1
	assert_contains "$output" 'add to the rules of app.json: { "allow": "connect", "to": "db:5432" }'
	assert_contains "$output" 'add to the rules of db.json: { "allow": "listen", "at": ":5432", "from": ["app"] }'
	policy app '{ "allow": "connect", "to": "elsewhere:1" }, { "allow": "connect", "to": "db:5432" }'
	policy db '{ "allow": "listen", "at": ":5432", "from": ["web"] },
    { "allow": "listen", "at": ":5432", "from": ["app"] }'
	run "$VRUN" policy why app.json --connect db:5432 --with db.json
	assert_status 0
}

@test "why tells of a deny with its message, and of an address that a name may not have" {
	run "$VRUN" policy why web.json --connect ads.example.com:443
	assert_status 1
	assert_contains "$output" "denied by rule no-ads (web.json:7): no advertisements"
	run "$VRUN" policy why web.json --connect api.example.com:443 --resolved 169.254.169.254
	assert_status 1
	assert_contains "$output" "a metadata address, which needs an address rule"
	run "$VRUN" policy why web.json --connect api.example.com:443 --resolved 192.0.2.1
	assert_status 0
	assert_contains "$output" "relaying: rate"
}

@test "why answers for listeners, for those who come in and for look-ups" {
	run "$VRUN" policy why web.json --accept-from lb --listen :8080
	assert_status 0
	run "$VRUN" policy why web.json --accept-from lb:8080
	assert_status 0
	run "$VRUN" policy why web.json --accept-from db:8080
	assert_status 1
	run "$VRUN" policy why web.json --accept-from lb:8080 --proto udp
	assert_status 1
	run "$VRUN" policy why web.json --listen :9090
	assert_status 0
	assert_contains "$output" "the domain itself may connect, nobody else"
	run "$VRUN" policy why web.json --resolve api.example.com
	assert_status 0
	run "$VRUN" policy why web.json --resolve example.com
	assert_status 1
	run "$VRUN" policy why db.json --as cache --connect cache:1
	assert_status 0
}

@test "a ceiling bounds, and is named as the one that denies" {
	need_command jq
	policy ceiling '{ "allow": "connect", "to": "*:443" }'
	run "$VRUN" policy why web.json --connect db:5432 --ceiling ceiling.json
	assert_status 1
	assert_contains "$output" "no rule of ceiling.json allows it"
	run "$VRUN" policy why web.json --connect api.example.com:443 --ceiling ceiling.json
	assert_status 0
	run "$VRUN" policy why web.json --connect db:5432 --ceiling ceiling.json --json
	assert_status 1
	assert_equal "$(jq -c '[.allow, .sides[0].ceiling, .sides[0].file]' <<<"$output")" '[false,true,"ceiling.json"]'
}

@test "questions that make no sense are not answered with no" {
	local args

	while read -ra args; do
		run "$VRUN" policy "${args[@]}"
		assert_status 125
		assert_matches "$output" "^vrun( policy)?: "
	done <<-'END'
		why
		why web.json
		why web.json --connect
		why web.json --connect db
		why web.json --connect db:1-2
		why web.json --connect *.b:1
		why web.json --connect db:1 --listen :1
		why web.json --connect db:1 --proto sctp
		why web.json --listen :1 --resolved 10.0.0.1
		why web.json --accept-from lb
		why web.json --accept-from a.example:80
		why web.json db.json --listen :1
		why missing.json --listen :1
		check
		check web.json --with missing.json
		diff web.json
		test
		test missing
		schema more
		chek web.json
		why web.json --no-such-option
	END
}

@test "expectations are kept or not, in TAP" {
	cat >web.test.json <<-'END'
		{ "with": ["db.json"], "tests": [
		  { "expect": "allow", "connect": "db:5432" },
		  { "expect": "deny", "connect": ["db:22", "example.com:443"] },
		  { "expect": "deny", "connect": "ads.example.com:443", "rule": "no-ads" },
		  { "expect": "allow", "accept": ":8080", "from": "lb" } ] }
	END
	run "$VRUN" policy test .
	assert_status 0
	assert_contains "$output" "1..5"
	assert_lacks "$output" "not ok"
	run "$VRUN" policy test web.json
	assert_status 0
	sed -i 's/"expect": "allow", "connect"/"expect": "deny", "connect"/' web.test.json
	run "$VRUN" policy test web.test.json
	assert_status 1
	assert_contains "$output" "not ok 1 - web.test.json: deny connect db:5432/tcp"
	assert_matches "$output" '# +line 2: allowed by rule r[0-9a-f]{8} \(web.json:5\)'
	echo '{ "tests": [ { "expect": "perhaps" } ] }' >web.test.json
	run "$VRUN" policy test .
	assert_status 1
	mkdir none
	run "$VRUN" policy test none
	assert_status 125
	assert_contains "$output" "no expectations here"
}

@test "the ready policies keep what they promise" {
	run "$VRUN" policy test "$TOP/policies"
	assert_status 0
	run "$VRUN" policy check --strict "$TOP"/policies/*.json
	assert_status 0
	assert_output ""
}

@test "a policy may come through a pipe, and none comes from a FIFO that nobody writes to" {
	cat >slow.py <<-'EOF'
		import array, fcntl, os, subprocess, sys, termios, time
		r, w = os.pipe()
		p = subprocess.Popen([sys.argv[1], "policy", "check", "/dev/stdin"], stdin=r)
		os.write(w, b'{"version"')
		left = array.array("i", [1])
		def asleep():
		    with open(f"/proc/{p.pid}/stat") as f:
		        return f.read().rsplit(") ", 1)[1][0] == "S"
		# Until it waits for the rest, or has given up.
		while p.poll() is None and (left[0] or not asleep()):
		    fcntl.ioctl(w, termios.FIONREAD, left)
		    time.sleep(0.001)
		os.write(w, b': 1}')
		os.close(w)
		sys.exit(p.wait())
	EOF
	run -0 python3 slow.py "$VRUN"
	mkfifo nobody.json
	run "$VRUN" policy check nobody.json
	assert_contains "$output" "nobody.json: empty file"
}

@test "diff says what is newly allowed and denied, not how it is written" {
	policy again '{ "id": "other", "deny": "connect", "to": "ads.example.com:1-65535" },
    { "allow": "connect", "to": ["*.example.com:443"], "rate": "10000kB/s" },
    { "allow": "listen", "at": "*:8080", "from": ["host", "lb"] },
    { "allow": "connect", "proto": "tcp", "to": "DB:5432" }' web
	run "$VRUN" policy diff web.json again.json
	assert_status 0
	assert_output "no difference"
	policy wider '{ "allow": "connect", "to": "db:5432-5433" },
    { "allow": "connect", "to": "*.example.com:443" },
    { "allow": "listen", "at": ":8080", "from": ["lb"] }' web
	run "$VRUN" policy diff web.json wider.json
	assert_status 1
	assert_contains "$output" "+ connect to db:5433/tcp"
	assert_contains "$output" "+ connect to ads.example.com:443/tcp"
	assert_contains "$output" "- accept from host at :8080/tcp"
	assert_contains "$output" '~ connect to *.example.com:443/tcp: no options instead of "rate"'
}

@test "the schema that is printed is the one in bundle-spec" {
	run -0 --keep-empty-lines "$VRUN" policy schema
	diff <(printf '%s' "$output") "$TOP/bundle-spec/policy.schema.json"
}
