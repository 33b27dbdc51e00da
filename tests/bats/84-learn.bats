#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun learn: from a run to a policy that allows what the run tried, and nothing else.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w
	cat >app.sh <<-'EOF'
		try() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
		try 192.0.2.1 443
		try 192.0.2.1 443
		try 192.0.2.1 80
		try 10.1.2.3 22
		try 127.0.0.1 9
		getent hosts api.example.com >/dev/null
		try www.example.com 8443
		try host 631
		exit 3
	EOF
}

rules() # FILE
{
	jq -c '.net.rules[] | del(.comment)' "$1"
}

@test "a policy is learned that names what was tried, and under it nothing is denied" {
	run --separate-stderr "$VRUN" learn -o app.json -- bash app.sh
	assert_status 3
	assert_output ""
	assert_equal "$(rules app.json)" "$(printf '%s\n' \
		'{"allow":"connect","to":"10.1.2.3:22"}' \
		'{"allow":"connect","to":"192.0.2.1:80,443"}' \
		'{"allow":"connect","to":"api.example.com:443"}' \
		'{"allow":"connect","to":"host:631"}' \
		'{"allow":"connect","to":"www.example.com:8443"}')"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" "learned 5 rules from "
	assert_contains "$stderr" '(seen once; a private address without a name)'
	assert_contains "$stderr" '(an address without a name)'
	assert_contains "$stderr" '(seen once; only looked up, so the port is a guess)'
	assert_contains "$stderr" '(a host outside at another port than the web'"'"'s)'
	assert_contains "$stderr" '(this machine itself)'
	assert_contains "$(jq -r .comment app.json)" "bash app.sh"
	assert_equal "$(jq -r '.net.rules[0].comment' app.json)" 'seen once; a private address without a name'
	run "$VRUN" policy check --strict app.json
	assert_status 0
	assert_output ""
	# What the same run tries is allowed now: it is held to the very policy. Nothing is sent by asking.
	for to in 192.0.2.1:443 192.0.2.1:80 10.1.2.3:22; do
		run "$VRUN" policy why app.json --connect "$to"
		assert_status 0
	done
	for to in 192.0.2.1:81 192.0.2.2:443 10.1.2.3:23 www.example.com:443 api.example.com:80 host:22 a.www.example.com:8443; do
		run "$VRUN" policy why app.json --connect "$to"
		assert_status 1
	done
	[[ -z $(find "$T/tmp" -name 'vrun-learn-*') ]]
}

@test "in a fabric both sides are learned, by name, and run under the result without a denial" {
	need_command python3
	cat >server.py <<-'EOF'
		import os, socket
		s = socket.socket()
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		s.bind(("", 5432))
		s.listen()
		open("listens", "w").close()
		open("over").read()
	EOF
	cat >client.sh <<-'EOF'
		for n in 1 2; do (exec 3<>/dev/tcp/10.88.0.11/5432) 2>/dev/null || code=7; done
		(exec 3<>/dev/tcp/10.88.0.11/9) 2>/dev/null
		exit ${code:-0}
	EOF
	echo '{"version":1,"domain":"web","net":{"address":["10.88.0.10"]}}' >web0.json
	echo '{"version":1,"domain":"db","net":{"address":["10.88.0.11"]}}' >db0.json
	mkfifo listens over
	spawn db "$VRUN" learn -o db.json --base db0.json --fabric "$MARK" --id "$MARK-db" -- python3 server.py
	: <listens
	run --separate-stderr "$VRUN" learn -o web.json --base web0.json --fabric "$MARK" --id "$MARK-web" -- bash client.sh
	assert_status 7
	assert_equal "$(rules web.json)" '{"allow":"connect","to":"db:9,5432"}'
	assert_equal "$(jq -c '[.domain, .net.address]' web.json)" '["web",["10.88.0.10"]]'
	: >over
	wait_exit "${PID[db]}"
	assert_equal "$status" 0 "$(<"$T/db.err")"
	assert_equal "$(rules db.json)" '{"allow":"listen","at":":9,5432","from":["web"]}'
	# Under what was learned the client gets through, and nothing is denied.
	spawn db "$VRUN" run -p db.json --fabric "$MARK-2" --id "$MARK-db2" --attempts db.tried -- python3 server.py
	: <listens
	run --separate-stderr "$VRUN" run -p web.json --fabric "$MARK-2" --id "$MARK-web2" --attempts web.tried -- bash client.sh
	assert_status 0
	: >over
	wait_exit "${PID[db]}"
	for tried in web.tried db.tried; do
		assert_equal "$(jq -c '[.[] | select(.decision == "deny")]' "$tried")" '[]' "$tried"
	done
	assert_equal "$(jq -c '[.[] | select(.peer == "db") | [.attempt, .count]]' web.tried)" \
		'[["connect to db:5432/tcp (10.88.0.11)",2],["connect to db:9/tcp (10.88.0.11)",1]]'
	# Learning again under it finds nothing to add.
	cp db.json again.json
	spawn db "$VRUN" run -p db.json --fabric "$MARK-3" --id "$MARK-db3" -- python3 server.py
	: <listens
	run --separate-stderr "$VRUN" learn -o web.json --base web.json --fabric "$MARK-3" -- bash client.sh
	assert_status 0
	assert_contains "$stderr" "learned 0 rules"
	: >over
	wait_exit "${PID[db]}"
	assert_equal "$(rules web.json)" '{"allow":"connect","to":"db:9,5432"}'
}

@test "with --allow-all everything goes through but what the base denies, and what went is learned" {
	need_command python3
	cat >server.py <<-'EOF'
		import socket
		s = socket.socket()
		s.bind(("", 5432))
		s.listen()
		open("listens", "w").close()
		open("over").read()
	EOF
	cat >client.sh <<-'EOF'
		(exec 3<>/dev/tcp/10.88.0.11/5432) 2>/dev/null || exit 7
		(exec 3<>/dev/tcp/10.88.0.11/25) 2>/dev/null
		exit 0
	EOF
	echo '{"version":1,"domain":"web","net":{"address":["10.88.0.10"],"rules":[{"id":"mail","deny":"connect","to":"*:25"}]}}' >web0.json
	echo '{"version":1,"domain":"db","net":{"address":["10.88.0.11"]}}' >db0.json
	mkfifo listens over
	spawn db "$VRUN" learn -o db.json --base db0.json --allow-all --fabric "$MARK" --id "$MARK-db" -- python3 server.py
	: <listens
	run --separate-stderr "$VRUN" learn -o web.json --base web0.json --allow-all --fabric "$MARK" --id "$MARK-web" -- bash client.sh
	assert_status 0
	assert_equal "$(rules web.json)" "$(printf '%s\n' '{"id":"mail","deny":"connect","to":"*:25"}' '{"allow":"connect","to":"db:5432"}')"
	assert_contains "$stderr" "not learned: connect to db:25/tcp (10.88.0.11): denied by rule mail"
	: >over
	wait_exit "${PID[db]}"
	assert_contains "$(rules db.json)" '"at":":5432","from":["web"]'
}

@test "with --allow-all what is its own needs no rule, and a name that was only looked up has one" {
	cat >client.py <<-'EOF'
		import socket
		for name in "nobody.example", "nobody":
		    try:
		        socket.getaddrinfo(name, 80)
		    except OSError:
		        print(name)
		for host in "127.0.0.1", "::1":
		    try:
		        socket.create_connection((host, 9), 20)
		    except ConnectionRefusedError:
		        print(host)
	EOF
	run -0 --separate-stderr "$VRUN" learn -o p.json --allow-all -T -- python3 client.py
	assert_lacks "$stderr" warning
	assert_equal "$(jq -c '.net.rules[] | del(.comment)' p.json)" "$(printf '%s\n' \
		'{"allow":"connect","to":"nobody:443"}' '{"allow":"connect","to":"nobody.example:443"}')"
	run -0 --separate-stderr "$VRUN" run -T -p p.json -- python3 client.py
	assert_equal "$output" "$(printf '%s\n' nobody.example nobody 127.0.0.1 ::1)"
	# shellcheck disable=SC2154 # set by run
	assert_lacks "$stderr" "denied"
	# Where the base has the name at a port of its own, none is guessed.
	echo '{"version": 1, "net": {"rules": [{"allow": "connect", "to": ["*.example:80", "nobody:80"]}]}}' >base.json
	run -0 --separate-stderr "$VRUN" learn -o q.json --base base.json -T -- python3 client.py
	assert_equal "$(<q.json)" "$(<base.json)"
}

@test "what looks like a pattern is pointed out and not written" {
	cat >app.sh <<-'EOF'
		for n in 1 2 3; do getent hosts "m$n.example.com"; (exec 3<>"/dev/tcp/192.0.2.$n/80"); done
		for n in 1 2 3 4 5 6 7 8 9; do (exec 3<>"/dev/tcp/198.51.100.1/10$n"); done
		:
	EOF
	run --separate-stderr "$VRUN" learn -o app.json -- bash app.sh
	assert_status 0
	assert_contains "$stderr" 'not generalised: 3 names below example.com; "*.example.com" would allow others, too'
	assert_contains "$stderr" 'not generalised: 3 addresses in 192.0.2.0/24'
	assert_contains "$stderr" 'not generalised: 9 ports of 198.51.100.1'
	assert_lacks "$(<app.json)" '*.'
	assert_lacks "$(<app.json)" '/24'
	assert_equal "$(rules app.json | wc -l)" 7
}

@test "an app that floods learns what there was room for, and is told of the rest" {
	need_command python3
	cat >app.py <<-'EOF'
		import socket
		for n in range(3000):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    try:
		        s.sendto(b"x", ("192.0.2.%d" % (n % 250), 1000 + n))
		    except OSError:
		        pass
		    s.close()
	EOF
	run --separate-stderr "$VRUN" learn -o app.json -- python3 app.py
	assert_status 0
	assert_matches "$stderr" '[1-9][0-9]* more found no room: run it again with --base'
	run "$VRUN" policy check app.json
	assert_status 0
}

@test "learn refuses what would lose or widen something" {
	echo '{"version":1,"net":{}}' >there.json
	run "$VRUN" learn -o there.json -- true
	assert_vrun_error "there already"
	run "$VRUN" learn -- true
	assert_vrun_error "-o FILE"
	run "$VRUN" learn -o new.json
	assert_vrun_error "no bundle and no command"
	for option in -p=x --policy=there.json -d --attempts=x; do
		[[ $option != -p=x ]] || option=-p
		run "$VRUN" learn -o new.json "$option" -- true
		assert_vrun_error "does not go with learn"
	done
	echo '{"version":1,"net":"none"}' >none.json
	run "$VRUN" learn -o new.json --base none.json -- true
	assert_vrun_error 'has no rules to add to'
	run "$VRUN" learn -o new.json --ceiling none.json -- true
	assert_vrun_error 'nothing was learned'
	run "$VRUN" learn -o new.json --no-such-option -- true
	assert_vrun_error 'unknown option'
	run "$VRUN" learn -o "$T/missing/new.json" -- true
	assert_vrun_error 'missing/new.json'
	[[ ! -e new.json ]]
	[[ -z $(find "$T/tmp" -name 'vrun-learn-*') ]]
}

# The command with a terminal on which these lines are typed; what it shows in $output.
typing() # TEXT COMMAND...
{
	local text=$1

	shift
	run script -qec "$(printf '%q ' "$@")" /dev/null < <(printf '%b' "$text")
}

# The same in the background, typing what comes from a file: what is shown goes to another.
typing_from() # FROM COMMAND TO
{
	exec script -qfec "$2" "$3" <"$1"
}

@test "with --ask a person decides about each new destination, and the call waits so long" {
	need_command python3 script
	cat >server.py <<-'EOF'
		import socket
		s = socket.socket()
		s.bind(("", 5432))
		s.listen()
		open("listens", "w").close()
		open("over").read()
	EOF
	cat >client.sh <<-'EOF'
		for n in 1 2; do (exec 3<>/dev/tcp/10.88.0.11/5432) 2>/dev/null && echo through; done
		for n in 1 2; do (exec 3<>/dev/tcp/10.88.0.11/9) 2>/dev/null || echo refused; done
		(exec 3<>/dev/tcp/10.88.0.11/25) 2>/dev/null || echo no mail
		read -r line; echo "input: <$line>"
	EOF
	echo '{"version":1,"domain":"web","net":{"address":["10.88.0.10"],"rules":[{"id":"mail","deny":"connect","to":"*:25"}]}}' >web0.json
	echo '{"version":1,"domain":"db","net":{"address":["10.88.0.11"],"rules":[{"allow":"listen","at":":*","from":["web"]}]}}' >db.json
	mkfifo listens over
	spawn db "$VRUN" run -p db.json --fabric "$MARK" --id "$MARK-db" -- python3 server.py
	: <listens
	typing 'y\nn\n' "$VRUN" learn --ask -o web.json --base web0.json --fabric "$MARK" --id "$MARK-web" -- bash client.sh
	assert_status 0
	# Each destination once; what a rule denies is not asked about.
	assert_equal "$(grep -o 'wants to [^.]*[.0-9]*:[0-9]*' <<<"$output" | tr '\n' ';')" \
		'wants to connect to db:5432;wants to connect to db:9;'
	assert_equal "$(grep -o 'through' <<<"$output" | wc -l)" 2
	assert_equal "$(grep -o refused <<<"$output" | wc -l)" 2
	assert_contains "$output" "no mail"
	assert_contains "$output" "input: <>"
	assert_equal "$(rules web.json)" "$(printf '%s\n' '{"id":"mail","deny":"connect","to":"*:25"}' '{"allow":"connect","to":"db:5432"}')"
	assert_contains "$output" 'not learned: connect to db:9/tcp'
	: >over
	wait_exit "${PID[db]}"
}

@test "with --ask a call may be interrupted, and a run may be ended, while nobody answers" {
	need_command python3 script
	cat >app.py <<-'EOF'
		import signal, socket
		def ring(*_):
		    raise TimeoutError
		signal.signal(signal.SIGALRM, ring)
		s = socket.socket()
		try:
		    signal.alarm(1)
		    s.connect(("10.88.0.11", 5432))
		    print("connected")
		except TimeoutError:
		    print("interrupted", flush=True)
		# Another thread's call is still asked about when the first one has gone.
		try:
		    s.connect(("10.88.0.11", 9))
		except OSError as e:
		    print("second:", e.strerror, flush=True)
	EOF
	mkfifo answers
	exec {keys}<>answers
	spawn app typing_from answers "'$VRUN' learn --ask -o web.json --id '$MARK-web' -- python3 app.py" out
	wait_path out
	wait_until grep -q interrupted out
	printf 'n\nn\n' >&"$keys"
	wait_exit "${PID[app]}"
	assert_contains "$(<out)" "second: Permission denied"
	# And ended in the middle of a question.
	spawn app typing_from answers "'$VRUN' learn --ask -o web2.json --id '$MARK-web2' -- bash -c 'exec 3<>/dev/tcp/10.88.0.11/5432'" out2
	wait_path out2
	wait_until grep -q "wants to" out2
	"$VRUN" kill "$MARK-web2" KILL
	printf 'y\n' >&"$keys"
	wait_exit "${PID[app]}"
	exec {keys}>&-
	wait_until sandbox_gone "$MARK-web2"
}

@test "what stands before the command is the run's, too" {
	mkdir -m 0700 state
	run "$VRUN" --root "$T/w/state" learn -o app.json --id "$MARK-x" -- sh -c ':'
	assert_status 0
	assert_contains "$output" "learned 0 rules"
	cat >state.sh <<-'EOF'
		"$VRUN" --root "$T/w/state" why "$VRUN_TEST_MARK-x" --connect db:1 >why.out 2>&1
		"$VRUN" --root "$T/w/state" policy suggest "$VRUN_TEST_MARK-x" >suggest.out 2>&1
		"$VRUN" --root "$T/w/state" graph "$VRUN_TEST_MARK-x" >graph.out 2>&1
		: >over
	EOF
	mkfifo over ready
	spawn app "$VRUN" --root "$T/w/state" learn -o app2.json --id "$MARK-x" -- sh -c ': >ready; : <over'
	: <ready
	bash state.sh
	wait_exit "${PID[app]}"
	assert_contains "$(<why.out)" "denied: connect to db:1/tcp"
	assert_equal "$(<suggest.out)" "# nothing was denied"
	assert_contains "$(<graph.out)" "digraph"
	run "$VRUN" --policy app.json learn -o new.json -- true
	assert_vrun_error "--policy does not go with learn"
}

@test "--ask needs a terminal" {
	run setsid -w "$VRUN" learn --ask -o new.json -- true
	assert_vrun_error "--ask needs a terminal"
	run "$VRUN" learn --ask --allow-all -o new.json -- true
	assert_vrun_error "exclude each other"
}
