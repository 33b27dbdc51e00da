#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Real servers and clients, each in a bundle and a domain of its own, over the
# virtual sockets of a fabric: allowed where both policies say so.

bats_require_minimum_version 1.5.0
load helper
load domains

# 77-wires.bats is a link to this file: the same over the other transport.
TRANSPORT=tcp
[[ ${BATS_TEST_FILENAME##*/} != *wires* ]] || TRANSPORT=wire

pack() # NAME ARG...
{
	local name=$1

	shift
	run "$VRUN" pack -q -o "$T/$name" "$@"
	assert_status 0
}

# A server in the background, in the test's fabric, with the policy of its name.
serve() # NAME [OPTION...]
{
	local name=$1

	shift
	spawn "$name" "$VRUN" run --fabric "$MARK" --id "$MARK-$name" -p "$T/$name.json" "$@" "$T/$name" </dev/null
}

# A client in the foreground.
client() # NAME [OPTION...]
{
	local name=$1

	shift
	"$VRUN" run --fabric "$MARK" -p "$T/$name.json" "$@" "$T/$name" </dev/null
}

client_works() # NAME
{
	client "$1" >/dev/null 2>&1
}

stop() # NAME SIGNAL
{
	run "$VRUN" kill "$MARK-$1" "$2"
	assert_status 0
	wait_exit "${PID[$1]}" || :
}

@test "redis answers another domain, over IPv4 and IPv6, and not a third one" {
	need_command redis-server redis-cli
	policy db '"10.88.0.20", "fd76:7275:6e02::20"' '{"allow": "listen", "at": ":6379", "from": ["app"]}'
	policy app '' '{"allow": "connect", "to": "db:6379"}'
	policy other '' '{"allow": "connect", "to": "db:6379"}'
	policy mute ''
	pack db redis-server --bind '* -::*' --protected-mode no --save '' --daemonize no
	pack app redis-cli -h 10.88.0.20 ping
	serve db
	wait_until client_works app
	run -0 client app
	assert_output PONG
	edit_bundle "$T/app" '.process.args |= map(if . == "10.88.0.20" then "fd76:7275:6e02::20" else . end)'
	run -0 client app
	assert_output PONG

	# The server's side does not let it in; the client's side does not let it out.
	for name in other mute; do
		ln -s app "$T/$name"
		run client "$name"
		assert_not_equal "$status" 0 "exit status of the domain $name"
		assert_contains "$output" "Permission denied" "what redis-cli says in the domain $name"
		assert_contains "$output" "the policy denied" "what vrun says in the domain $name"
	done
	stop db TERM
	assert_nothing_left
}

@test "redis-benchmark runs fifty clients over virtual sockets" {
	need_command redis-server redis-benchmark
	policy db '"10.88.0.21"' '{"allow": "listen", "at": ":6379", "from": ["app"]}'
	policy app '' '{"allow": "connect", "to": "db:6379"}'
	pack db redis-server --bind '*' --protected-mode no --save '' --daemonize no
	pack app redis-benchmark -h 10.88.0.21 -q -n 2000 -c 50 -t get,set
	serve db
	wait_until grep -q "Ready to accept" "$T/db.out"
	run -0 client app
	assert_contains "$output" "requests per second"
	assert_lacks "$output" "rror"
	stop db TERM
	assert_nothing_left
}

@test "nginx serves curl with forked workers that share its listener" {
	need_command nginx curl
	cat >"$T/nginx.conf" <<-'END'
		user www-data;
		worker_processes 3;
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
			server {
				listen 8080;
				listen [::]:8080 ipv6only=on;
				location / { return 200 "$remote_addr to $server_addr:$server_port\n"; }
			}
		}
	END
	policy web '"10.88.0.30", "fd76:7275:6e02::30"' '{"allow": "listen", "at": ":8080", "from": ["user"]}'
	policy user '"10.88.0.31", "fd76:7275:6e02::31"' '{"allow": "connect", "to": "web:8080"}'
	pack web --cap CAP_SETUID --cap CAP_SETGID --cap CAP_CHOWN --cap CAP_DAC_OVERRIDE \
		--add "$T/nginx.conf:/etc/vrun-nginx.conf" nginx -c /etc/vrun-nginx.conf
	pack user curl -sS -m 10 http://10.88.0.30:8080/ 'http://[fd76:7275:6e02::30]:8080/'
	serve web
	wait_until client_works user
	run -0 client user
	assert_output $'10.88.0.31 to 10.88.0.30:8080\nfd76:7275:6e02::31 to fd76:7275:6e02::30:8080'
	for _ in 1 2 3 4 5; do
		run -0 client user
	done
	stop web QUIT
	assert_nothing_left
}

@test "PostgreSQL works for pgbench, over the fabric and over its own socket" {
	local bin
	bin=$(postgres_bin)
	need_command pgbench
	mkdir -m 0700 "$T/cluster"
	policy pg '"10.88.0.40", "fd00:88::40"' '{"allow": "listen", "at": ":5432", "from": ["bench"]}'
	policy bench '' '{"allow": "connect", "to": "pg:5432"}'
	pack pg --user postgres --data "$T/cluster:/var/lib/pg" --add "$bin/initdb" --add /bin/sh \
		"$bin/postgres" -D /var/lib/pg -k /tmp -c listen_addresses='*'
	cp "$T/pg/config.json" "$T/config.saved"
	edit_bundle "$T/pg" '.process.args = ["'"$bin"'/initdb", "-D", "/var/lib/pg", "-U", "postgres", "-N", "-A", "trust"]'
	run "$VRUN" run "$T/pg"
	assert_status 0
	cp "$T/config.saved" "$T/pg/config.json"
	# Who comes from another address needs a line of its own.
	printf 'host all all %s trust\n' 10.88.0.0/16 ::/0 >>"$(find "$T/pg/data" -name pg_hba.conf)"
	pack bench "$bin/pgbench" -h 10.88.0.40 -U postgres -i -q -s 1 postgres
	serve pg
	wait_until client_works bench
	for host in 10.88.0.40 fd00:88::40 pg; do
		edit_bundle "$T/bench" '.process.args = [.process.args[0], "-h", "'"$host"'", "-U", "postgres", "-c", "4", "-j", "2", "-t", "25", "postgres"]'
		run -0 client bench
		assert_contains "$output" "number of transactions actually processed: 100/100"
	done
	stop pg INT
	assert_contains "$(<"$T/pg.err")" "database system is shut down" "the server's log"
	assert_nothing_left
}

@test "an asyncio server and client of python talk" {
	need_command python3
	cat >"$T/server.py" <<-'END'
		import asyncio
		async def serve(r, w):
		    while line := await r.readline():
		        w.write(line.upper())
		        await w.drain()
		    w.close()
		async def main():
		    s = await asyncio.start_server(serve, None, 7000)
		    print([x.getsockname()[1] for x in s.sockets], flush=True)
		    async with s:
		        await s.serve_forever()
		asyncio.run(main())
	END
	cat >"$T/client.py" <<-'END'
		import asyncio, sys
		async def one(i):
		    r, w = await asyncio.open_connection(sys.argv[1 + i % 3], 7000)
		    w.write(b"line %d\n" % i)
		    answer = await r.readline()
		    w.close()
		    await w.wait_closed()
		    return answer == b"LINE %d\n" % i
		async def main():
		    print(sum(await asyncio.gather(*(one(i) for i in range(120)))))
		asyncio.run(main())
	END
	policy srv '"10.88.0.50", "fd00:88::50"' '{"allow": "listen", "at": ":7000", "from": ["cli"]}'
	policy cli '' '{"allow": "connect", "to": "srv:7000"}'
	pack srv --add "$T/server.py:/server.py" --add "$T/client.py:/client.py" /usr/bin/python3 /server.py
	# The same with another script: a python has thousands of files.
	cp -al "$T/srv" "$T/cli"
	edit_bundle "$T/cli" '.process.args[-1:] = ["/client.py", "10.88.0.50", "fd00:88::50", "srv"]'
	serve srv
	wait_until test -s "$T/srv.out"
	run -0 client cli
	assert_output 120
	stop srv KILL # a program without a handler, as pid 1
	assert_nothing_left
}

@test "a Node server serves curl" {
	need_command node curl
	cat >"$T/server.js" <<-'END'
		require("http").createServer((q, r) => r.end(q.socket.remoteAddress + "\n"))
			.listen(3000, () => console.log("ready"));
	END
	policy web '"10.88.0.60", "fd00:88::60"' '{"allow": "listen", "at": ":3000", "from": ["user"]}'
	policy user '"10.88.0.61", "fd00:88::61"' '{"allow": "connect", "to": "web:3000"}'
	pack web --add "$T/server.js:/server.js" "$(command -v node)" /server.js
	pack user curl -sS -m 10 http://10.88.0.60:3000/ 'http://[fd00:88::60]:3000/' http://web:3000/
	serve web
	wait_until test -s "$T/web.out"
	run -0 client user
	assert_output "::ffff:10.88.0.61
fd00:88::61
fd00:88::61"
	stop web KILL
	assert_nothing_left
}

@test "calls in any order come to what they come to without a sandbox" {
	need_command ip unshare
	mkdir project && cd project
	cp "${VRUN%/*}/tests/guest/calls" .
	policy calls '"10.88.0.20","fd00::20"' '{"allow": "listen", "at": ":*"}'
	unshare -Urn sh -ec 'ip link set lo up
		ip address add 10.88.0.20/32 dev lo
		ip address add fd00::20/128 dev lo nodad
		exec "$@"' sh ./calls 1 400 "$TRANSPORT" >linux
	run -0 "$VRUN" run -q -p "$T/calls.json" -- ./calls 1 400 "$TRANSPORT"
	diff linux <(printf '%s\n' "$output") >differs || fail "without a sandbox (<), in a domain (>):" "$(head -n 20 differs)"
	cd "$T"
	assert_nothing_left
}

@test "two domains of one fabric cannot have the same name or address" {
	mkdir project && cd project
	policy a '"10.88.0.70"' '{"allow": "listen", "at": ":1"}'
	policy b '"10.88.0.70"' '{"allow": "listen", "at": ":1"}'
	spawn a "$VRUN" run --fabric "$MARK" -p "$T/a.json" -- sh -c 'echo up; exec sleep 60' </dev/null
	wait_until test -s "$T/a.out"
	run --separate-stderr "$VRUN" run --fabric "$MARK" -p "$T/a.json" -- true
	assert_vrun_error 'another one is called "a"'
	# shellcheck disable=SC2154 # set by run
	[[ $stderr != *"the supervisor has ended"* ]] || fail "beside the reason:" "$stderr"
	run --separate-stderr "$VRUN" run --fabric "$MARK" -p "$T/b.json" -- true
	assert_vrun_error 'another one has the address 10.88.0.70'
	# Another fabric is another world, and so is a run without one.
	run -0 "$VRUN" run --fabric "$MARK-2" -p "$T/b.json" -- true
	run -0 "$VRUN" run -p "$T/b.json" -- true
	kill "${PID[a]}"
	wait_exit "${PID[a]}" || :
	assert_nothing_left
}

is_zombie() # PID
{
	[[ $(ps -o stat= -p "$1") == Z* ]]
}

@test "a supervisor that is killed takes its sandbox with it, and nothing stays" {
	mkdir project && cd project
	policy a '' '{"allow": "listen", "at": ":1"}'
	spawn a "$VRUN" run -p "$T/a.json" -- sh -c 'echo up; exec sleep 60' </dev/null
	wait_until test -s "$T/a.out"
	supervisor=$(pgrep -P "${PID[a]}" -x vrun-supervisor)
	# vrun sees both ends at once.
	container=$(pgrep -P "${PID[a]}" -x vrun-init)
	kill -STOP "${PID[a]}"
	kill -KILL "$supervisor"
	wait_until is_zombie "$container"
	kill -CONT "${PID[a]}"
	status=0
	wait_exit "${PID[a]}" || status=$?
	assert_equal "$status" 125 "vrun's exit status"
	assert_contains "$(<"$T/a.err")" "the supervisor has ended"
	assert_nothing_left
}

@test "vrun killed with SIGKILL leaves neither app nor supervisor" {
	mkdir project && cd project
	policy a '' '{"allow": "listen", "at": ":1"}'
	for shared in "" "--fabric=$MARK"; do
		spawn a "$VRUN" run ${shared:+"$shared"} -p "$T/a.json" -- sh -c 'echo up; exec sleep 60' </dev/null
		wait_until test -s "$T/a.out"
		kill -KILL "${PID[a]}"
		wait_exit "${PID[a]}" || :
		assert_nothing_left
		rm -f "$T/a.out"
	done
}

@test "the ceiling bounds what a policy allows between domains" {
	need_command python3
	mkdir project && cd project
	cat >server.py <<-'END'
		import socket
		import threading
		def serve(s):
		    while True:
		        c = s.accept()[0]
		        c.recv(1)
		        c.close()
		for port in 7000, 7001:
		    threading.Thread(target=serve, args=(socket.create_server(("0.0.0.0", port)),)).start()
		print("up", flush=True)
	END
	policy srv '"10.88.0.80"' '{"allow": "listen", "at": ":7000-7001", "from": ["*"]}'
	policy cli '' '{"allow": "connect", "to": "srv:*"}'
	cp "$T/cli.json" "$T/wide.json"
	policy top '' '{"allow": "connect", "to": "srv:7001"}'
	connect='import socket; socket.create_connection(("10.88.0.80", 7000), 5)'
	spawn srv "$VRUN" run --fabric "$MARK" -p "$T/srv.json" -- python3 server.py </dev/null
	wait_until test -s "$T/srv.out"
	run -0 "$VRUN" run --fabric "$MARK" -p "$T/cli.json" -- python3 -c "$connect"
	run "$VRUN" run --fabric "$MARK" -p "$T/cli.json" --ceiling "$T/top.json" -- python3 -c "$connect"
	assert_status 1
	assert_contains "$output" "PermissionError"
	# What the ceiling counts it counts below all rules of the policy.
	policy cli '' '{"id": "seven", "allow": "connect", "to": "srv:7000"}' '{"allow": "connect", "to": "srv:7001-7009"}'
	policy top '' '{"id": "few", "allow": "connect", "to": "srv:*", "maxConnections": 2}'
	cat >few.py <<-'END'
		import socket, time
		held, until = [], time.monotonic() + 20
		def tries(port):
		    try: held.append(socket.create_connection(("10.88.0.80", port), 5))
		    except OSError as e: return type(e).__name__
		    return "connected"
		print(tries(7000), tries(7001), tries(7000), tries(7001))
		last = held.pop()
		last.shutdown(socket.SHUT_WR)
		last.recv(1) # the server has closed it
		last.close()
		# A look at what is closed that took long is not taken again at once.
		while (again := tries(7001)) != "connected" and time.monotonic() < until:
		    time.sleep(0.01)
		print(again, tries(7000))
	END
	run -0 --separate-stderr "$VRUN" run --fabric "$MARK" -p "$T/cli.json" --ceiling "$T/top.json" -- python3 few.py
	assert_output "connected connected PermissionError PermissionError
connected PermissionError"
	kill "${PID[srv]}"
	wait_exit "${PID[srv]}" || :
	assert_nothing_left
}

@test "SIGKILL at any moment of a launch with a supervisor leaves nothing" {
	local i pid fabric=

	mkdir project && cd project
	policy a '' '{"allow": "listen", "at": ":1"}'
	for ((i = 0; i < 40; i++)); do
		"$VRUN" run -q ${fabric:+"$fabric"} -p "$T/a.json" -- true </dev/null >/dev/null 2>&1 3>&- 4>&- &
		pid=$!
		# From before the first clone until after the end.
		sleep "0.0$((RANDOM % 4))$((RANDOM % 10))"
		kill -KILL "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
		((i != 20)) || fabric=--fabric=$MARK
	done
	cd "$T"
	assert_nothing_left
}
