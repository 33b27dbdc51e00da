#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Real programs of Debian's packages, packed and run, as root and as an
# unprivileged user with the same commands.

bats_require_minimum_version 1.5.0
load helper

# A running sandbox in the background: its id in $ID.
start_bundle() # BUNDLE [OPTION...]
{
	local bundle=$1
	shift
	new_id
	ID=$REPLY
	spawn server "$VRUN" run --id "$ID" "$@" "$bundle" </dev/null
}

stop_bundle() # SIGNAL
{
	run "$VRUN" kill "$ID" "$1"
	assert_status 0
	wait_exit "${PID[server]}" || :
}

answers() # COMMAND...
{
	"$@" >/dev/null 2>&1
}

@test "redis-server keeps data, is asked over its socket, and saves it to its data directory" {
	need_command redis-server redis-cli
	mkdir "$T/sock"
	run "$VRUN" pack -o "$T/redis" --data "$T/sock:/run/redis" redis-server --port 0 \
		--unixsocket /run/redis/redis.sock --dir /run/redis --save '' --daemonize no
	assert_status 0
	start_bundle "$T/redis"
	sock=$T/redis/data/0/redis.sock
	wait_until answers redis-cli -s "$sock" ping
	run redis-cli -s "$sock" set key value
	assert_output OK
	run redis-cli -s "$sock" save
	assert_output OK
	run redis-cli -s "$sock" get key
	assert_output value
	stop_bundle TERM
	[[ -s $T/redis/data/0/dump.rdb ]] || fail "no dump.rdb in the data directory: $(ls -la "$T/redis/data/0")"
	assert_nothing_left

	# The same data in a second run.
	start_bundle "$T/redis"
	wait_until answers redis-cli -s "$sock" ping
	run redis-cli -s "$sock" get key
	assert_output value
	stop_bundle TERM
	run "$VRUN" verify "$T/redis"
	assert_status 0
	assert_nothing_left
}

@test "redis-server does not run with more than the caller's rights" {
	need_command redis-server redis-cli
	mkdir "$T/sock"
	run "$VRUN" pack -o "$T/redis" --data "$T/sock:/run/redis" redis-server --port 0 \
		--unixsocket /run/redis/redis.sock --save '' --daemonize no
	assert_status 0
	start_bundle "$T/redis"
	wait_until answers redis-cli -s "$T/redis/data/0/redis.sock" ping
	pid=$("$VRUN" ps --json | jq -r --arg id "$ID" '.[] | select(.id == $id).pid')
	status=$(<"/proc/$pid/status")
	assert_contains "$status" $'CapEff:\t0000000000000000' "the effective capabilities"
	assert_contains "$status" $'CapBnd:\t0000000000000000' "the bounding set"
	assert_contains "$status" $'NoNewPrivs:\t1' "no_new_privs"
	assert_contains "$status" $'Seccomp:\t2' "the filter"
	if is_root; then
		assert_not_equal "$(awk '/^Uid:/ { print $2 }' <<<"$status")" 0 "the uid outside"
	else
		assert_equal "$(awk '/^Uid:/ { print $2 }' <<<"$status")" "$EUID" "the uid outside"
	fi
	stop_bundle TERM
	assert_nothing_left
}

nginx_conf()
{
	cat >"$T/nginx.conf" <<-'END'
		user www-data;
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
			server {
				listen unix:/run/ng/nginx.sock;
				location / { return 200 "hello from nginx\n"; }
			}
		}
	END
}

@test "nginx starts as root inside, its workers have another user, and it answers" {
	need_command nginx curl
	nginx_conf
	mkdir "$T/sock"
	run "$VRUN" pack -o "$T/web" --cap CAP_SETUID --cap CAP_SETGID --cap CAP_CHOWN --cap CAP_DAC_OVERRIDE \
		--add "$T/nginx.conf:/etc/vrun-nginx.conf" --data "$T/sock:/run/ng" \
		nginx -c /etc/vrun-nginx.conf
	assert_status 0
	start_bundle "$T/web"
	wait_until answers curl -sf --unix-socket "$T/web/data/0/nginx.sock" http://web/
	run curl -s --unix-socket "$T/web/data/0/nginx.sock" http://web/
	assert_output "hello from nginx"
	master=$("$VRUN" ps --json | jq -r --arg id "$ID" '.[] | select(.id == $id).pid')
	# One may answer before the other is there, or has its user.
	wait_until others_user "$master" 2 || fail "workers: $(pgrep -P "$master" | tr '\n' ' ')"
	assert_equal "$(pgrep -P "$master" | wc -l)" 2 "the number of workers"
	worker=$(pgrep -P "$master" | head -1)
	assert_not_equal "$(stat -c %u "/proc/$worker")" "$(stat -c %u "/proc/$master")" "the worker's user"
	assert_not_equal "$(stat -c %u "/proc/$worker")" 0 "the worker's user outside"
	stop_bundle TERM
	assert_nothing_left
}

# So many children have another user than the process itself.
others_user() # PID COUNT
{
	[[ $(ps -o uid= --ppid "$1" | awk -v own="$(stat -c %u "/proc/$1")" '$1 != own' | wc -l) == "$2" ]]
}

@test "PostgreSQL, which refuses uid 0, initializes a cluster and answers queries" {
	local bin
	bin=$(postgres_bin)
	mkdir "$T/cluster" "$T/sock"
	chmod 0700 "$T/cluster"
	run "$VRUN" pack -o "$T/pg" --user postgres --data "$T/cluster:/var/lib/pg" --data "$T/sock:/run/pg" \
		--add "$bin/initdb" --add /bin/sh "$bin/postgres" -D /var/lib/pg -k /run/pg -c listen_addresses=
	assert_status 0
	# The cluster is made inside too: the same bundle with another program.
	cp "$T/pg/config.json" "$T/config.saved"
	edit_bundle "$T/pg" '.process.args = ["'"$bin"'/initdb", "-D", "/var/lib/pg", "-U", "postgres", "-N"]'
	run "$VRUN" run "$T/pg"
	assert_status 0
	cp "$T/config.saved" "$T/pg/config.json"
	start_bundle "$T/pg"
	wait_until answers psql -h "$T/pg/data/1" -U postgres -c 'select 1'
	run psql -h "$T/pg/data/1" -U postgres -Atc 'create table t as select generate_series(1, 1000) n; select sum(n) from t'
	assert_contains "$output" 500500 "the sum"
	stop_bundle INT
	assert_contains "$(<"$T/server.err")" "database system is shut down" "the server's log"
	assert_nothing_left
}

@test "python3 runs a script with modules of its library" {
	need_command python3
	cat >"$T/app.py" <<-'END'
		import hashlib, json, sqlite3, ssl, socket
		print(json.dumps({"n": sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0]}))
		try:
		    socket.create_connection(("192.0.2.1", 80), 2)
		except OSError as error:
		    print(error.errno)
	END
	run "$VRUN" pack -o "$T/py" --add "$T/app.py:/app.py" /usr/bin/python3 /app.py
	assert_status 0
	run "$VRUN" "$T/py"
	assert_status 0
	assert_output $'{"n": 42}\n13'
	assert_nothing_left
}

@test "node runs a script" {
	need_command node
	cat >"$T/app.js" <<-'END'
		const crypto = require("crypto"), fs = require("fs");
		fs.writeFileSync("/tmp/x", "x");
		console.log(crypto.createHash("sha256").update(fs.readFileSync("/tmp/x")).digest("hex").slice(0, 8));
	END
	run "$VRUN" pack -o "$T/js" --add "$T/app.js:/app.js" "$(command -v node)" /app.js
	assert_status 0
	run "$VRUN" "$T/js"
	assert_status 0
	assert_output 2d711642
	assert_nothing_left
}

@test "curl runs, and cannot reach anything" {
	need_command curl
	run "$VRUN" pack -o "$T/curl" curl -sS -m 60 http://192.0.2.1/
	assert_status 0
	run "$VRUN" "$T/curl"
	assert_status 7
	assert_contains "$output" "192.0.2.1" "curl's message"
	assert_nothing_left
}

@test "git, make and a compiler work in the current directory with run -- CMD" {
	need_command git make gcc
	mkdir "$T/project"
	cd "$T/project"
	printf 'int main(void) { return 42; }\n' >main.c
	printf 'main: main.c\n\t$(CC) -o $@ $<\n' >Makefile
	run "$VRUN" run -- sh -c 'git init -q . && git add main.c &&
		git -c user.name=x -c user.email=x@example.org commit -qm x && make -s && ./main'
	assert_status 42
	[[ -x main && -d .git ]] || fail "what was made is not there: $(ls -la)"
	cd /
	assert_nothing_left
}
