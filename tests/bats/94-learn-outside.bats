#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun learn and what lies outside, on the tests' internet: names, addresses, and a person's word.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	internet_setup
	# Whoever connects to the servers there is told to which address.
	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "intranet.example.com": {"A": ["10.20.0.1"]}}'
	cat >client.py <<-'EOF'
		import socket, sys
		for place in sys.argv[1:]:
		    host, port = place.rsplit(":", 1)
		    try:
		        with socket.create_connection((host, int(port)), 20) as s:
		            print(place, s.recv(10).decode().strip(), flush=True)
		    except OSError as e:
		        print(place, e.strerror, flush=True)
	EOF
}

rules() # FILE
{
	jq -c '.net.rules[] | del(.comment)' "$1"
}

@test "what went outside with --allow-all is learned by name, and goes under the result, too" {
	places=(web.example.com:80 web.example.com:443 192.0.2.12:8080)
	went=$(printf '%s\n' 'web.example.com:80 192.0.2.10' 'web.example.com:443 192.0.2.10' '192.0.2.12:8080 192.0.2.12')
	run --separate-stderr on_host "$VRUN" learn -o app.json --allow-all -T -- python3 client.py "${places[@]}"
	assert_status 0
	assert_output "$went"
	assert_equal "$(rules app.json)" "$(printf '%s\n' \
		'{"allow":"connect","to":"192.0.2.12:8080"}' \
		'{"allow":"connect","to":"web.example.com:80,443"}')"
	run --separate-stderr on_host "$VRUN" run -T -p app.json --attempts tried -- python3 client.py "${places[@]}" web.example.com:8080 192.0.2.10:80
	assert_status 0
	assert_output "$went
$(printf '%s Permission denied\n' web.example.com:8080 192.0.2.10:80)"
	assert_equal "$(jq -r '.[] | select(.decision == "deny") | .attempt' tried | sort)" "$(printf '%s\n' \
		'connect to 192.0.2.10:80/tcp' 'connect to web.example.com:8080/tcp')"
}

@test "a name whose address is not public is learned with that address, whichever way" {
	want=$(printf '%s\n' '{"allow":"connect","to":"10.20.0.1:80"}' '{"allow":"connect","to":"intranet.example.com:80"}')
	went='intranet.example.com:80 10.20.0.1'
	run --separate-stderr on_host "$VRUN" learn -o open.json --allow-all -T -- python3 client.py intranet.example.com:80
	assert_output "$went"
	assert_equal "$(rules open.json)" "$want"
	# With --deny the name comes first; which address it has only the next run can see.
	run --separate-stderr on_host "$VRUN" learn -o shut.json -T -- python3 client.py intranet.example.com:80
	assert_output "intranet.example.com:80 Permission denied"
	assert_equal "$(rules shut.json)" '{"allow":"connect","to":"intranet.example.com:80"}'
	run --separate-stderr on_host "$VRUN" learn -o shut.json --base shut.json -T -- python3 client.py intranet.example.com:80
	assert_output "intranet.example.com:80 Permission denied"
	assert_equal "$(rules shut.json | sort)" "$want"
	for policy in open shut; do
		run --separate-stderr on_host "$VRUN" run -T -p "$policy.json" -- python3 client.py intranet.example.com:80 intranet.example.com:443
		assert_output "$went"$'\n''intranet.example.com:443 Permission denied'
	done
}

@test "runs over each other's result give one policy: under it nothing is denied, and nothing unseen goes" {
	first=(web.example.com:80 192.0.2.12:8080)
	second=(web.example.com:443 web.example.com:80 192.0.2.12:80 intranet.example.com:80)
	went()
	{
		printf '%s\n' "$@" | sed -E 's/^web.*/& 192.0.2.10/; s/^intranet.*/& 10.20.0.1/; s/^(192[^:]*):.*/& \1/'
	}
	run --separate-stderr on_host "$VRUN" learn -o app.json --allow-all -T -- python3 client.py "${first[@]}"
	assert_output "$(went "${first[@]}")"
	# Somebody has looked at it in between.
	jq '.domain = "app" | .net.rules += [{id: "no-mail", deny: "connect", to: "*:25"}, {comment: "mine", allow: "connect", to: "mirror.example.org:443"}]' \
		app.json >edited && mv edited app.json
	run --separate-stderr on_host "$VRUN" learn -o app.json --base app.json --allow-all -T -- python3 client.py "${second[@]}" web.example.com:25
	assert_output "$(went "${second[@]}")
web.example.com:25 Permission denied"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" 'in one with a rule of the base: { "allow": "connect", "to": "web.example.com:80,443" }'
	assert_contains "$stderr" 'kept, and not needed by this run: { "allow": "connect", "to": "mirror.example.org:443" }'
	assert_contains "$stderr" 'kept as they are: 2 rules of the base'
	assert_contains "$stderr" 'not learned: connect to web.example.com:25/tcp'
	assert_equal "$(rules app.json)" "$(printf '%s\n' \
		'{"allow":"connect","to":"192.0.2.12:80,8080"}' \
		'{"allow":"connect","to":"web.example.com:80,443"}' \
		'{"id":"no-mail","deny":"connect","to":"*:25"}' \
		'{"allow":"connect","to":"mirror.example.org:443"}' \
		'{"allow":"connect","to":"10.20.0.1:80"}' \
		'{"allow":"connect","to":"intranet.example.com:80"}')"
	assert_equal "$(jq -r '.net.rules[] | select(.to == "mirror.example.org:443") | .comment' app.json)" mine
	assert_matches "$(jq -r .comment app.json)" '^Learned on [-0-9]+ from: python3 .*; on [-0-9]+ from: python3 .*intranet.*\. Read it'
	# All of both runs, and what neither has seen.
	unseen=(web.example.com:8080 192.0.2.12:443 192.0.2.10:80 intranet.example.com:443 10.20.0.2:80 other.example.org:443)
	run --separate-stderr on_host "$VRUN" run -T -p app.json --attempts tried -- python3 client.py "${first[@]}" "${second[@]}"
	assert_output "$(went "${first[@]}" "${second[@]}")"
	assert_lacks "$stderr" "denied"
	assert_equal "$(jq -c '[.[] | select(.decision == "deny")]' tried)" "[]"
	run --separate-stderr on_host "$VRUN" run -T -p app.json -- python3 client.py "${unseen[@]}"
	assert_equal "$(cut -d ' ' -f 2- <<<"$output" | sort | uniq -c | sed 's/^ *//')" "1 Name or service not known
5 Permission denied" "what was not seen"
	# Learned once more it is the same, to the letter.
	cp app.json before.json
	run --separate-stderr on_host "$VRUN" learn -o app.json --base app.json -T -- python3 client.py "${first[@]}" "${second[@]}"
	assert_contains "$stderr" "learned 0 rules"
	assert_equal "$(<app.json)" "$(sed 's/seen once; //; s/"comment": "seen once", //' before.json)"
}

@test "nothing goes outside with --deny, no question either, and what was wanted is learned" {
	places=(web.example.com:80 other.example.org:443)
	run --separate-stderr on_host "$VRUN" learn -o app.json -T -- python3 client.py "${places[@]}"
	assert_status 0
	assert_output "$(printf '%s Permission denied\n' "${places[@]}")"
	assert_equal "$(<"$T/questions")" ""
	assert_equal "$(rules app.json)" "$(printf '%s\n' \
		'{"allow":"connect","to":"other.example.org:443"}' \
		'{"allow":"connect","to":"web.example.com:80"}')"
	run --separate-stderr on_host "$VRUN" run -T -p app.json -- python3 client.py web.example.com:80
	assert_output "web.example.com:80 192.0.2.10"
}

@test "with --ask a yes lets the very call go outside" {
	need_command script
	run on_host script -qec "'$VRUN' learn --ask -o app.json -- python3 client.py web.example.com:80 web.example.com:443" /dev/null \
		< <(printf 'y\nn\n')
	assert_contains "$output" "web.example.com:80 192.0.2.10"
	assert_contains "$output" "web.example.com:443 Permission denied"
	assert_equal "$(rules app.json)" '{"allow":"connect","to":"web.example.com:80"}'
}
