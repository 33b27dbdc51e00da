#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What people run in sandboxes, against real servers of the tests' internet: what the policy names
# works, everything else is denied, and every program says so in its own words.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	helper_setup
	mkdir "$T/work" "$T/www"
	cd "$T/work" || return 1
	internet_start 8080
	# At evil.example.net and 192.0.2.99 there is the very same server.
	zone '{"web.example.com": {"A": ["192.0.2.10"], "AAAA": ["2001:db8:2::10"]}, "git.example.com": {"A": ["192.0.2.11"]},
		"registry.example.com": {"A": ["192.0.2.12"]}, "cache.example.com": {"A": ["192.0.2.13"]},
		"db.example.com": {"A": ["192.0.2.14"]}, "evil.example.net": {"A": ["192.0.2.99"]}}'
}

# nginx with TLS and without, for every name, on files below $T/www.
web_start()
{
	local who=()

	need_command nginx openssl
	is_root && who=(user "root root;")
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=Test CA' \
		-keyout "$T/ca.key" -out "$T/work/ca.pem" -addext 'basicConstraints=critical,CA:TRUE' \
		-addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=web.example.com' \
		-CA "$T/work/ca.pem" -CAkey "$T/ca.key" -keyout "$T/web.key" -out "$T/web.pem" \
		-addext 'subjectAltName=DNS:*.example.com,DNS:evil.example.net' -addext 'basicConstraints=critical,CA:FALSE' \
		-addext 'extendedKeyUsage=serverAuth' -addext 'authorityKeyIdentifier=keyid' 2>/dev/null
	cat >"$T/nginx.conf" <<-END
		${who[*]}
		worker_processes 1;
		daemon off;
		pid $T/nginx.pid;
		events { worker_connections 64; }
		http {
			access_log $T/access.log;
			client_body_temp_path $T/tmp/body;
			proxy_temp_path $T/tmp/proxy;
			fastcgi_temp_path $T/tmp/fastcgi;
			uwsgi_temp_path $T/tmp/uwsgi;
			scgi_temp_path $T/tmp/scgi;
			server {
				listen 80;
				listen [::]:80;
				listen 443 ssl http2;
				listen [::]:443 ssl http2;
				ssl_certificate $T/web.pem;
				ssl_certificate_key $T/web.key;
				root $T/www;
				index index.html index.json;
			}
		}
	END
	spawn nginx on_servers nginx -e stderr -c "$T/nginx.conf" </dev/null
	wait_until on_servers bash -c ': <>/dev/tcp/192.0.2.10/443' 2>/dev/null || fail "$(<"$T/nginx.err")"
}

end_server() # NAME PID-FILE
{
	kill -INT "$(head -n 1 "$2")"
	wait_exit "${PID[$1]}"
}

# A program fails, and what it and vrun say has these parts.
denied() # COMMAND PART...
{
	local part

	run sandbox "$RULES" bash -c "$1"
	assert_not_equal "$status" 0 "exit status of: $1" || return 1
	shift
	for part; do
		assert_contains "$output" "$part" || return 1
	done
}

@test "curl, wget, git, python and node get what is allowed over TLS, and nothing else" {
	need_command curl wget git node python3
	web_start
	echo "from web" >"$T/www/page"
	git init -q --bare "$T/www/thing.git"
	git init -q -b main "$T/repo"
	echo "from git" >"$T/repo/file"
	git -C "$T/repo" add file
	git -C "$T/repo" -c user.name=t -c user.email=t@example.com commit -qm first
	git -C "$T/repo" push -q "$T/www/thing.git" main
	git -C "$T/www/thing.git" symbolic-ref HEAD refs/heads/main
	git -C "$T/www/thing.git" update-server-info
	RULES='{"allow": "connect", "to": ["web.example.com:443", "git.example.com:443", "git.example.com:80"]}'
	cat >all.sh <<-'END'
		export CURL_CA_BUNDLE=ca.pem SSL_CERT_FILE=ca.pem NODE_EXTRA_CA_CERTS=ca.pem GIT_SSL_CAINFO=$PWD/ca.pem
		echo "curl: $(curl -sS -m 20 https://web.example.com/page)"
		echo "curl -6: $(curl -6 -sS -m 20 https://web.example.com/page)"
		echo "wget: $(wget -q -O- --ca-certificate=ca.pem https://web.example.com/page)"
		git clone -q https://git.example.com/thing.git secure && echo "git: $(<secure/file)"
		git clone -q http://git.example.com/thing.git plain && echo "git: $(<plain/file)"
		python3 -c 'import urllib.request as r; print("python:", r.urlopen("https://web.example.com/page", timeout=20).read().decode().strip())'
		node -e 'fetch("https://web.example.com/page").then(r => r.text()).then(t => console.log("node:", t.trim()))'
	END
	run -0 --separate-stderr sandbox "$RULES" bash all.sh
	assert_output "curl: from web
curl -6: from web
wget: from web
git: from git
git: from git
python: from web
node: from web"
	# A server writes down what it has answered some time later.
	wait_until grep -qE '"(node|undici)"' "$T/access.log" || fail "$(<"$T/access.log")"
	: >"$T/questions"
	: >"$T/access.log"
	denied 'curl -sS --cacert ca.pem https://evil.example.net/page' 'Could not resolve host: evil.example.net' \
		'vrun:   look up evil.example.net' '"to": "evil.example.net'
	denied 'curl -sS http://web.example.com/page' 'vrun:   connect to web.example.com:80/tcp' \
		'{ "allow": "connect", "to": "web.example.com:80" }'
	denied 'curl -sS --cacert ca.pem --resolve web.example.com:443:192.0.2.99 https://web.example.com/page' \
		'vrun:   connect to 192.0.2.99:443/tcp'
	denied 'wget -T 20 -t 1 -O- http://192.0.2.10/page' 'Permission denied' 'vrun:   connect to 192.0.2.10:80/tcp'
	denied 'git clone http://evil.example.net/thing.git' 'Could not resolve host: evil.example.net'
	denied 'python3 -c "import urllib.request as r; r.urlopen(\"http://192.0.2.10/\")"' '[Errno 13] Permission denied'
	denied 'node -e "fetch(\"http://[2001:db8:2::10]/\").catch(e => { console.log(e.cause.code); process.exit(1) })"' EACCES
	assert_equal "$(grep -v ' web\.example\.com$' "$T/access.log" "$T/questions" || :)" "" "what the servers heard of all that"
	end_server nginx "$T/nginx.pid"
	internet_stop
	assert_nothing_left
}

# A package for pip, and one for npm, as registries of files have them.
make_packages()
{
	mkdir -p "$T/www/pip/thing" "$T/www/npm/thing/-" "$T/pkg/package"
	python3 - "$T/www/pip/thing/thing-1.0-py3-none-any.whl" <<-'END'
		import sys, zipfile
		meta = "thing-1.0.dist-info/"
		with zipfile.ZipFile(sys.argv[1], "w") as z:
		    z.writestr("thing.py", "print('from pip')\n")
		    z.writestr(meta + "METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
		    z.writestr(meta + "WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
		    z.writestr(meta + "RECORD", "".join(f"{n},,\n" for n in ("thing.py", meta + "METADATA", meta + "WHEEL", meta + "RECORD")))
	END
	echo '<a href="thing-1.0-py3-none-any.whl">thing-1.0-py3-none-any.whl</a>' >"$T/www/pip/thing/index.html"
	echo '{"name": "thing", "version": "1.0.0", "main": "thing.js"}' >"$T/pkg/package/package.json"
	echo 'console.log("from npm")' >"$T/pkg/package/thing.js"
	tar -C "$T/pkg" -czf "$T/www/npm/thing/-/thing-1.0.0.tgz" package
	jq -n --arg sum "sha512-$(openssl dgst -sha512 -binary "$T/www/npm/thing/-/thing-1.0.0.tgz" | base64 -w0)" '{name: "thing",
		"dist-tags": {latest: "1.0.0"}, versions: {"1.0.0": {name: "thing", version: "1.0.0",
		dist: {tarball: "https://registry.example.com/npm/thing/-/thing-1.0.0.tgz", integrity: $sum}}}}' >"$T/www/npm/thing/index.json"
}

# npm itself where there is one (Debian's is four hundred packages); else what it does, by node.
npm_install()
{
	if command -v npm >/dev/null; then
		echo 'npm install --cafile ca.pem --registry https://registry.example.com/npm/ --no-audit --no-fund --no-update-notifier --fetch-retries 0 thing'
		return
	fi
	cat >npm.js <<-'END'
		const { createHash } = require("crypto"), { execFileSync } = require("child_process"), fs = require("fs");
		(async () => {
			const about = await (await fetch("https://registry.example.com/npm/thing")).json();
			const dist = about.versions[about["dist-tags"].latest].dist;
			const tgz = Buffer.from(await (await fetch(dist.tarball)).arrayBuffer());
			if ("sha512-" + createHash("sha512").update(tgz).digest("base64") !== dist.integrity) throw Error("EINTEGRITY");
			fs.mkdirSync("node_modules/thing", { recursive: true });
			execFileSync("tar", ["-xz", "--strip-components=1", "-C", "node_modules/thing"], { input: tgz });
		})().catch(e => { console.error("npm ERR!", e.cause ?? e); process.exit(1) });
	END
	echo 'NODE_EXTRA_CA_CERTS=ca.pem node npm.js'
}

@test "pip and npm install from the registry that the policy names, and from nowhere else" {
	local pip npm

	need_command node python3
	pip=$(echo /usr/share/python-wheels/pip-*.whl)
	[[ -e $pip ]] || unsupported "python3-pip-whl is not installed"
	web_start
	make_packages
	npm=$(npm_install)
	pip="python3 $pip/pip --disable-pip-version-check install -q --retries 0 --timeout 20 --no-cache-dir --cert ca.pem --target site"
	RULES='{"allow": "connect", "to": "registry.example.com:443"}'
	run -0 --separate-stderr sandbox "$RULES" bash -euc "
		$pip --index-url https://registry.example.com/pip thing
		PYTHONPATH=site python3 -c 'import thing'
		$npm >npm.log 2>&1 || cat npm.log
		node -e 'require(\"thing\")'"
	assert_output "from pip
from npm"
	# shellcheck disable=SC2154 # set by run
	assert_lacks "$stderr" "look up registry.example.com"
	: >"$T/questions"
	RULES='{"allow": "connect", "to": "registry.example.org:443"}'
	denied "$pip --index-url https://registry.example.com/pip thing" 'vrun:   look up registry.example.com'
	denied "$npm" 'vrun:   look up registry.example.com' '"to": "registry.example.com'
	assert_equal "$(<"$T/questions")" "" "what the name server was asked"
	end_server nginx "$T/nginx.pid"
	internet_stop
	assert_nothing_left
}

postgres_start()
{
	local bin become=()

	bin=$(echo /usr/lib/postgresql/*/bin)
	[[ -x $bin/postgres ]] || unsupported "no PostgreSQL server is installed"
	! is_root || become=(setpriv --reuid postgres --regid postgres --clear-groups)
	mkdir -m 0700 "$T/pg"
	! is_root || chown postgres: "$T/pg"
	(cd / && "${become[@]}" "$bin/initdb" -D "$T/pg" -A trust -U app --no-sync --no-instructions >"$T/initdb.log" 2>&1) ||
		fail "$(<"$T/initdb.log")"
	echo 'host all all 0.0.0.0/0 trust' >>"$T/pg/pg_hba.conf"
	spawn postgres on_servers "${become[@]}" "$bin/postgres" -D "$T/pg" -k '' -c listen_addresses=192.0.2.14 </dev/null
	wait_until on_servers psql -qh 192.0.2.14 -U app -c 'select 1' -o /dev/null postgres 2>/dev/null || fail "$(<"$T/postgres.err")"
}

@test "redis-cli and psql speak to the servers that the policy names, and to no other" {
	need_command redis-server redis-cli psql
	postgres_start
	spawn redis on_servers redis-server --bind 192.0.2.13 --protected-mode no --save '' --daemonize no --dir "$T" </dev/null
	wait_until grep -q 'Ready to accept' "$T/redis.out"
	RULES='{"allow": "connect", "to": ["cache.example.com:6379", "db.example.com:5432"]}'
	run -0 --separate-stderr sandbox "$RULES" bash -c '
		redis-cli -h cache.example.com set a b; redis-cli -h cache.example.com get a
		psql -h db.example.com -U app -Atc "create table t as select generate_series(1, 1000) n; select sum(n) from t" postgres'
	assert_output "OK
b
SELECT 1000
500500"
	RULES='{"allow": "connect", "to": ["cache.example.com:6380", "db.example.com:5433"]}'
	denied 'redis-cli -h cache.example.com ping' 'Permission denied' 'vrun:   connect to cache.example.com:6379/tcp'
	denied 'psql -h db.example.com -U app -c "select 1" postgres' 'Permission denied' 'vrun:   connect to db.example.com:5432/tcp'
	denied 'psql -h 192.0.2.14 -U app -c "select 1" postgres' 'Permission denied' 'vrun:   connect to 192.0.2.14:5432/tcp'
	on_servers redis-cli -h 192.0.2.13 shutdown nosave || :
	wait_exit "${PID[redis]}"
	end_server postgres "$T/pg/postmaster.pid"
	internet_stop
	assert_nothing_left
}
