#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Programs that connect in ways of their own, to servers outside.

bats_require_minimum_version 1.5.0
load helper
load machine

# A server on the machine, then a command: with-server SERVER-COMMAND PORT COMMAND...
setup()
{
	helper_setup
	mkdir "$T/work"
	cat >"$T/with-server" <<-'END'
		#!/bin/bash
		set -eu
		eval "$1" </dev/null >"$T/server.log" 2>&1 &
		server=$!
		until (exec 3<>"/dev/tcp/192.0.2.1/$2") 2>/dev/null; do kill -0 "$server"; done
		shift 2
		status=0
		"$@" || status=$?
		exec 2>/dev/null
		kill "$server"
		wait "$server" || :
		exit "$status"
	END
	chmod +x "$T/with-server"
	cd "$T/work" || return 1
}

with_server() # SERVER PORT RULES COMMAND...
{
	local server=$1 port=$2 rules=$3

	shift 3
	jq -n --argjson rules "[$rules]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/app.json"
	on_machine "$T/with-server" "$server" "$port" "$VRUN" run -p "$T/app.json" -- "$@"
}

@test "nginx passes requests on to a server outside" {
	need_command nginx curl python3
	mkdir "$T/www"
	echo "from outside" >"$T/www/page"
	cat >nginx.conf <<-'END'
		user root root;
		worker_processes 2;
		daemon off;
		error_log stderr;
		pid /tmp/nginx.pid;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path /tmp/body;
			proxy_temp_path /tmp/proxy;
			fastcgi_temp_path /tmp/fastcgi;
			uwsgi_temp_path /tmp/uwsgi;
			scgi_temp_path /tmp/scgi;
			upstream outside { server 192.0.2.1:8000; }
			server {
				listen 127.0.0.1:8080;
				location / { proxy_pass http://outside; }
			}
		}
	END
	cat >app.sh <<-'END'
		nginx -e stderr -c "$PWD/nginx.conf" &
		until curl -s -o /dev/null http://127.0.0.1:8080/; do kill -0 $! || exit 1; done
		for i in 1 2 3 4 5 6 7 8 9 10; do curl -sS -m 10 http://127.0.0.1:8080/page; done | sort | uniq -c
		kill $!
		wait $!
	END
	run -0 --separate-stderr with_server "exec python3 -m http.server --bind 192.0.2.1 --directory $T/www 8000" 8000 \
		'{"allow": "connect", "to": "192.0.2.1:8000"}' bash app.sh
	assert_matches "$output" '^ *10 from outside$'
	assert_nothing_left
}

@test "redis-cli and redis-benchmark speak to a server outside" {
	need_command redis-server redis-cli redis-benchmark
	run -0 --separate-stderr with_server \
		"exec redis-server --bind 192.0.2.1 --port 6379 --protected-mode no --save '' --daemonize no --dir $T" 6379 \
		'{"allow": "connect", "to": "192.0.2.1:6379"}' \
		sh -c 'redis-cli -h 192.0.2.1 ping && redis-benchmark -h 192.0.2.1 -q -n 2000 -c 50 -t get,set'
	assert_contains "$output" PONG
	assert_matches "$output" 'GET: [0-9.]+ requests per second'
	assert_nothing_left
}

@test "hundreds of connections are open at once, and are forgotten when they are closed" {
	need_command python3
	cat >many.py <<-'END'
		import resource, selectors, socket

		soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
		resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))

		def connected():
		    s = socket.socket()
		    s.settimeout(60)
		    s.connect(("192.0.2.1", 7000))
		    return s

		for round in range(3):
		    all = [connected() for _ in range(300)]
		    for i, s in enumerate(all):
		        s.sendall(str(i).encode())
		    print(sum(s.recv(10) == str(i).encode() for i, s in enumerate(all)))
		    for s in all:
		        s.close()
	END
	jq -n '{version: 1, domain: "app", limits: {sockets: 400},
		net: {rules: [{allow: "connect", to: "192.0.2.1:7000"}]}}' >"$T/app.json"
	run -0 --separate-stderr on_machine "$VRUN" run -p "$T/app.json" -- python3 many.py
	assert_output "300
300
300"
	assert_nothing_left
}

@test "connections live on when the gateway is killed, and new ones fail" {
	need_command python3
	cat >app.py <<-'END'
		import errno, socket, sys

		def connected():
		    s = socket.socket()
		    s.settimeout(None)
		    s.connect(("192.0.2.1", 7000))
		    return s

		a = connected()
		a.sendall(b"one")
		print(a.recv(10), flush=True)
		print("ready", flush=True)
		sys.stdin.readline()
		a.sendall(b"two")
		print(a.recv(10), flush=True)
		try:
		    connected()
		except OSError as e:
		    print(errno.errorcode[e.errno], flush=True)
	END
	cat >"$T/kill-gateway" <<-'END'
		#!/bin/bash
		set -eu
		mkfifo "$T/go"
		"$VRUN" run --id "$VRUN_TEST_MARK-app" -p "$T/app.json" -- python3 app.py <"$T/go" >"$T/app.out" 2>&1 &
		run=$!
		exec 3>"$T/go"
		until grep -q ready "$T/app.out"; do kill -0 "$run"; done
		"$VRUN" sockets --json "$VRUN_TEST_MARK-app" >"$T/rows"
		"$VRUN" sockets "$VRUN_TEST_MARK-app" >"$T/table"
		kill -KILL "$(pgrep -P "$run" vrun-gateway)"
		echo >&3
		exec 3>&-
		status=0
		wait "$run" || status=$?
		cat "$T/app.out"
		exit "$status"
	END
	chmod +x "$T/kill-gateway"
	jq -n '{version: 1, domain: "app", net: {rules: [{allow: "connect", to: "192.0.2.1:7000"}]}}' >"$T/app.json"
	run -0 on_machine "$T/kill-gateway"
	run -0 jq -r '.[] | select(.transport == "host") | "\(.status) \(.remote)"' "$T/rows"
	assert_output "connected 192.0.2.1:7000"
	assert_contains "$(<"$T/table")" "tcp/host"
	output=$(<"$T/app.out")
	assert_contains "$output" "b'one'"
	assert_contains "$output" "b'two'
ENETUNREACH"
	assert_nothing_left
}
