#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `vrun pack` and `vrun verify`: what is taken, that it is enough, that it is the same each time,
# that nothing stays behind when packing fails, and that verify names every change.

# shellcheck disable=SC2154 # stderr comes from run --separate-stderr
# shellcheck disable=SC2012 # names that ls shows are our own

bats_require_minimum_version 1.5.0
load helper

POSTGRES=/usr/lib/postgresql/15/bin

setup()
{
	# Python may be somebody's own further up in PATH.
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	helper_setup
}

pack() # ARG...
{
	vrun pack -q "$@"
}

# The program of a bundle, run by bubblewrap as config.json says and without vrun: whatever is
# missing in the bundle is missing here. The root is a copy, since bubblewrap has no overlay: directories
# of its own, and links to the files. Only with `run` or `spawn`: it replaces the shell that it is called in.
elsewhere() # BUNDLE [ARG...]   ARGs instead of the bundle's own
{
	local bundle=$1 copy args=()

	shift
	copy=$(mktemp -d "$T/elsewhere.XXXXXX")
	cp -al "$bundle/rootfs" "$copy"
	mapfile -d '' args < <(jq -j --arg bundle "$bundle" '
		def nul: map(., "\u0000") | join("");
		["--chdir", .process.cwd, "--uid", (.process.user.uid | tostring),
		 "--gid", (.process.user.gid | tostring)] + [.process.env[]
			| capture("(?<n>[^=]*)=(?<v>.*)"; "s") | "--setenv", .n, .v] + [.mounts[]
			| if .type == "tmpfs" and (.destination | startswith("/dev") | not)
			  then "--tmpfs", .destination
			  elif .type == "bind" then "--bind", $bundle + "/" + .source, .destination
			  else empty end]
		| nul' "$bundle/config.json")
	if (($# == 0)); then
		mapfile -d '' -O "${#args[@]}" args < <(jq -j '.process.args | map(., "\u0000") | join("")' \
			"$bundle/config.json")
	else
		args+=("$@")
	fi
	# exec: a signal for a background job has to reach the program.
	exec bwrap --die-with-parent --unshare-all --clearenv --bind "$copy/rootfs" / --proc /proc \
		--dev /dev "${args[@]}"
}

# All that is the same when a bundle is made twice: names, types, modes, times, targets, content.
listing() # DIR
{
	(cd "$1" && find . -printf '%P %y %m %T@ %l %n\n' | LC_ALL=C sort &&
		find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

manifest() # BUNDLE FILTER
{
	jq -r "$2" "$1/manifest.json"
}

unix_ready() # SOCKET
{
	[[ -S $1 ]] && socat -u OPEN:/dev/null "UNIX-CONNECT:$1" 2>/dev/null
}

# --- the programs --------------------------------------------------------------------------

@test "redis-server runs from its bundle, without vrun and in vrun" {
	local how

	need_command redis-server bwrap
	mkdir "$T/data"
	pack -o "$T/b" --data "$T/data:/data" redis-server --port 0 --unixsocket /data/s --save ''
	for how in elsewhere "$VRUN run"; do
		# shellcheck disable=SC2086 # two words
		spawn redis $how "$T/b"
		wait_until unix_ready "$T/b/data/0/s"
		run -0 redis-cli -s "$T/b/data/0/s" set key "from $how"
		assert_output OK
		run -0 redis-cli -s "$T/b/data/0/s" get key
		assert_output "from $how"
		kill "${PID[redis]}"
		wait_exit "${PID[redis]}"
		rm -f "$T/b/data/0/s"
	done
	run -0 vrun verify "$T/b"
}

@test "redis-server's bundle has its configuration and its service's directories" {
	need_command redis-server
	pack -o "$T/b" redis-server
	[[ -d $T/b/rootfs/run/redis ]]
	grep -q '^redis:x:' "$T/b/rootfs/etc/passwd"
	! is_root || [[ -f $T/b/rootfs/etc/redis/redis.conf ]]
	assert_equal "$(manifest "$T/b" .security.needs.serviceUser)" redis
	assert_equal "$(readlink "$T/b/rootfs/usr/bin/redis-server")" "$(readlink /usr/bin/redis-server)"
}

@test "nginx runs from its bundle with its own configuration and modules" {
	need_command nginx bwrap curl
	pack -o "$T/b" nginx -t
	run elsewhere "$T/b"
	assert_contains "$output" "syntax is ok"
	cat >"$T/nginx.conf" <<-END
		daemon off; master_process off; pid /run/nginx.pid; error_log stderr;
		events {}
		http {
			access_log off;
			server { listen unix:/data/s; root /usr/share/nginx/html; }
		}
	END
	mkdir "$T/data"
	pack -o "$T/c" --data "$T/data:/data" --add "$T/nginx.conf:/etc/nginx/nginx.conf" \
		--user www-data nginx
	spawn nginx "$VRUN" run "$T/c"
	wait_until unix_ready "$T/c/data/0/s"
	run -0 curl -s --unix-socket "$T/c/data/0/s" http://localhost/
	assert_contains "$output" "Welcome to nginx"
}

@test "python3 runs a script with its standard library, at its usual speed" {
	local want

	need_command python3 bwrap
	mkdir "$T/app"
	cat >"$T/app/app.py" <<-'END'
		import ctypes, encodings.idna, hashlib, json, lzma, os, sqlite3, ssl, sys, unittest, xml.etree
		import helper
		db = sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0]
		print(json.dumps({"helper": helper.word, "db": db, "args": sys.argv[1:], "cwd": os.getcwd(),
			"ca": len(ssl.create_default_context().get_ca_certs())}))
	END
	echo 'word = "here"' >"$T/app/helper.py"
	want=$(cd "$T/app" && env -i PATH="$PATH" LANG=C.UTF-8 python3 app.py one | sed "s|\"cwd\": \"[^\"]*\"|\"cwd\": \"/app\"|")
	cd "$T/app"
	pack -o "$T/b" --add "$T/app:/app" --cwd /app python3 app.py one
	run -0 elsewhere "$T/b"
	assert_output "$want"
	run -0 vrun run "$T/b"
	assert_output "$want"
	# Compiled modules are still right: none is compiled again.
	run -0 elsewhere "$T/b" /usr/bin/python3 -v -c 'import json'
	assert_contains "$output" "matches /usr/lib/python3"
	assert_lacks "$output" "is stale"
}

@test "a relative --add lands where the program will look for it" {
	need_command bwrap
	mkdir "$T/app"
	echo 'echo found' >"$T/app/app.sh"
	cd "$T/app"
	pack -o "$T/b" --add app.sh sh app.sh
	run -0 elsewhere "$T/b"
	assert_output found
	run -0 vrun run "$T/b"
	assert_output found
}

@test "node runs a script with the modules of the distribution" {
	need_command node bwrap
	cat >"$T/app.js" <<-'END'
		const zlib = require('zlib'), crypto = require('crypto'), tls = require('tls')
		console.log(zlib.gunzipSync(zlib.gzipSync('packed')).toString(), process.argv[2],
			crypto.createHash('sha256').update('').digest('hex').slice(0, 8), tls.rootCertificates.length > 50)
	END
	pack -o "$T/b" --add "$T/app.js:/app/app.js" node /app/app.js one
	run -0 elsewhere "$T/b"
	assert_output "packed one e3b0c442 true"
	run -0 vrun run "$T/b"
	assert_output "packed one e3b0c442 true"
}

@test "curl has its libraries, name services and certificates" {
	need_command curl bwrap
	pack -o "$T/b" curl -s file:///etc/hosts
	run -0 elsewhere "$T/b"
	assert_contains "$output" "127.0.0.1"
	run -0 elsewhere "$T/b" curl --version
	assert_contains "$output" https
	[[ -s $T/b/rootfs/etc/ssl/certs/ca-certificates.crt ]]
	[[ -e $T/b/rootfs/usr/lib/ssl/cert.pem || -d $T/b/rootfs/usr/lib/ssl/certs ]]
	# It resolves what needs no network, and fails with the right reason where it does.
	run elsewhere "$T/b" curl -s http://localhost:9/
	assert_status 7
	run elsewhere "$T/b" curl -s http://no.such.name.invalid/
	assert_status 6
}

@test "postgres serves its packed data as another user than root" {
	local how become=()

	need_command "$POSTGRES/postgres" bwrap
	! is_root || become=(setpriv --reuid postgres --regid postgres --clear-groups)
	mkdir "$T/pg"
	! is_root || chown postgres: "$T/pg"
	(cd / && "${become[@]}" "$POSTGRES/initdb" -D "$T/pg" -A trust -U app --no-sync >"$T/initdb.log" 2>&1) ||
		fail "$(<"$T/initdb.log")"
	pack -o "$T/b" --data "$T/pg:/data" --user postgres "$POSTGRES/postgres" -D /data \
		-c unix_socket_directories=/data -c listen_addresses= -c fsync=off
	for how in elsewhere "$VRUN run"; do
		# shellcheck disable=SC2086 # two words
		spawn postgres $how "$T/b"
		# Its socket is there before it lets anybody in.
		wait_until psql -q -h "$T/b/data/0" -U app -c 'select 1' -o /dev/null postgres
		run -0 psql -h "$T/b/data/0" -U app -Atc 'select 6 * 7, now() > (timestamptz '"'1 Jan 2000 Europe/Paris'"')' postgres
		assert_output "42|t"
		kill -INT "${PID[postgres]}"
		wait_exit "${PID[postgres]}"
		rm -f "$T"/b/data/0/{.s.PGSQL.5432*,postmaster.pid}
	done
	# What it wrote is in its data; the rest is as it was packed.
	run -0 vrun verify "$T/b"
	run -1 vrun verify --data "$T/b"
}

@test "perl and shell scripts bring their interpreters" {
	need_command perl bwrap
	printf '#!/usr/bin/env perl\nuse List::Util; use POSIX; print "perl ", List::Util::max(@ARGV), "\\n"\n' >"$T/p"
	printf '#!/bin/sh\necho "sh $*"\n' >"$T/s"
	chmod +x "$T/p" "$T/s"
	cd "$T"
	pack -o "$T/b" ./p 1 3 2
	run -0 elsewhere "$T/b"
	assert_output "perl 3"
	assert_equal "$(manifest "$T/b" '[.execution.interpreters[].path] | join(" ")')" "/usr/bin/env /usr/bin/perl"
	pack -o "$T/c" ./s a b
	run -0 elsewhere "$T/c"
	assert_output "sh a b"
	assert_equal "$(readlink "$T/c/rootfs/bin")" "$(readlink /bin)"
	assert_equal "$(readlink "$T/c/rootfs/usr/bin/sh")" "$(readlink /usr/bin/sh)"
}

@test "a program that no package owns gets its libraries all the same" {
	need_command bwrap
	mkdir -p "$T/opt/bin"
	cp /usr/bin/curl "$T/opt/bin/mine"
	pack -o "$T/b" "$T/opt/bin/mine" --version
	run -0 elsewhere "$T/b"
	assert_contains "$output" curl
	pack -o "$T/c" --no-packages redis-cli --version
	run -0 elsewhere "$T/c"
	assert_equal "$(manifest "$T/c" '.execution.packages | length')" 0
}

@test "a library that the program only mentions, and the one that libc does, are there" {
	need_command gcc bwrap
	cat >"$T/m.c" <<-'END'
		#include <dlfcn.h>
		#include <pthread.h>
		#include <stdio.h>
		#include <unistd.h>
		static void *sleeper(void *p) { for (;;) pause(); return p; }
		int main(void)
		{
			pthread_t t;
			pthread_create(&t, NULL, sleeper, NULL);
			pthread_cancel(t); /* loads libgcc_s.so.1 */
			pthread_join(t, NULL);
			puts(dlopen("libz.so.1", RTLD_NOW) ? "loaded" : dlerror());
			return 0;
		}
	END
	gcc -o "$T/m" "$T/m.c"
	pack -o "$T/b" "$T/m"
	run -0 elsewhere "$T/b"
	assert_output loaded
}

# --- what a bundle says ----------------------------------------------------------------------

@test "packing twice gives the same, wherever the bundle lies" {
	need_command nginx
	mkdir "$T/x" "$T/y" "$T/d"
	echo data >"$T/d/file"
	pack -o "$T/x/one" --data "$T/d:/data" nginx
	touch "$T/d/file"
	pack -o "$T/y/two" --data "$T/d:/data" nginx
	assert_equal "$(listing "$T/x/one")" "$(listing "$T/y/two")" "two bundles of the same"
	SOURCE_DATE_EPOCH=1000000000 pack -o "$T/z" nginx
	assert_equal "$(find "$T/z" -printf '%Ts\n' | sort -u)" 1000000000 "every time stamp"
	SOURCE_DATE_EPOCH=soon run pack -o "$T/v" nginx
	assert_vrun_error SOURCE_DATE_EPOCH
}

@test "config.json gives the program little, and what was asked for" {
	need_command nginx
	pack -o "$T/b" --user www-data:4242 --env A=1 --env LANG=C --cwd /srv/x --cap net_bind_service \
		--cap CAP_KILL --name edge --writable /srv/tmp nginx -g 'daemon off;'
	assert_equal "$(jq -c '[.process.user.uid, .process.user.gid, .process.cwd, .hostname, .process.noNewPrivileges]' "$T/b/config.json")" \
		'[33,4242,"/srv/x","edge",true]'
	assert_equal "$(jq -c '.process.args' "$T/b/config.json")" '["/usr/sbin/nginx","-g","daemon off;"]'
	assert_equal "$(jq -c '.process.env - ["HOME=/var/www"] | map(select(startswith("PATH") | not))' "$T/b/config.json")" \
		'["A=1","LANG=C"]'
	assert_equal "$(jq -c '.process.capabilities.ambient' "$T/b/config.json")" '["CAP_KILL","CAP_NET_BIND_SERVICE"]'
	assert_equal "$(jq -c '[.linux.namespaces[].type] | sort' "$T/b/config.json")" \
		'["cgroup","ipc","mount","network","pid","user","uts"]'
	assert_equal "$(jq -c '.mounts[] | select(.destination == "/srv/tmp") | .type' "$T/b/config.json")" '"tmpfs"'
	assert_equal "$(jq -c . "$T/b/policy.json")" '{"version":1,"domain":"edge","net":"none"}'
	[[ -d $T/b/rootfs/srv/x ]]
	pack -o "$T/c" nginx
	assert_equal "$(jq -c '[.process.capabilities[]] | add' "$T/c/config.json")" '[]' "capabilities without --cap"
	assert_equal "$(jq -r '.annotations."org.vrun.overlay"' "$T/c/config.json")" tmpfs
}

@test "with --read-only nothing but memory and data can be written to" {
	mkdir "$T/d"
	echo old >"$T/d/file"
	cat >"$T/w.sh" <<-'END'
		for path in /etc/x /usr/x /run/x /tmp/x /scratch/x /data/x; do
			if why=$( (: >"$path") 2>&1); then echo "$path yes"; else echo "$path ${why##*: }"; fi
		done
	END
	pack -o "$T/b" --read-only --writable /scratch --data "$T/d:/data" --add "$T/w.sh:/w.sh" sh /w.sh
	run -0 vrun run "$T/b"
	assert_output "/etc/x Read-only file system
/usr/x Read-only file system
/run/x yes
/tmp/x yes
/scratch/x yes
/data/x yes"
	[[ -e $T/b/data/0/x && ! -e $T/d/x ]]
	run -0 vrun verify "$T/b"
}

@test "the manifest says where each library came from and what the system must give" {
	need_command redis-server
	pack -o "$T/b" redis-server
	assert_equal "$(manifest "$T/b" '.execution.libraries[] | select(.name == "libc.so.6") | .path')" \
		"$(ldd /usr/bin/redis-server | awk '$1 == "libc.so.6" { print $3 }')"
	assert_equal "$(manifest "$T/b" '.execution.libraries[] | select(.name == "libc.so.6") | .package')" libc6
	assert_equal "$(manifest "$T/b" .system.architecture)" "$(uname -m)"
	assert_equal "$(manifest "$T/b" .system.libc.version)" "$(ldd --version | sed -n '1s/.* //p')"
	assert_equal "$(manifest "$T/b" .system.kernel)" \
		"$(file -L /usr/bin/redis-server 2>/dev/null | sed -n 's/.*GNU\/Linux \([0-9.]*\),.*/\1/p' | grep . || echo 3.2.0)"
	assert_equal "$(manifest "$T/b" '.security.files."/etc/hosts".sha256')" \
		"$(sha256sum "$T/b/rootfs/etc/hosts" | cut -d' ' -f1)"
	assert_equal "$(manifest "$T/b" '.security.needs.network | join(" ")')" "connect listen resolve"
}

@test "set-id bits and file capabilities are removed, and that is recorded" {
	mkdir "$T/d"
	cp /usr/bin/true "$T/d/setid"
	cp /usr/bin/true "$T/d/caps"
	chmod 6755 "$T/d/setid"
	mkdir -m 2775 "$T/d/dir"
	! is_root || setcap cap_net_raw+ep "$T/d/caps"
	pack -o "$T/b" --add "$T/d:/d" /usr/bin/true
	assert_equal "$(stat -c '%a' "$T"/b/rootfs/d/{setid,caps,dir} | tr '\n' ' ')" "755 755 775 "
	assert_equal "$(getcap "$T/b/rootfs/d/caps")" ""
	assert_equal "$(manifest "$T/b" '.security.removed[] | select(.path == "/d/setid") | .removed | join(" ")')" \
		"set-user-id set-group-id"
	assert_equal "$(manifest "$T/b" '.security.removed[] | select(.path == "/d/dir") | .removed | join(" ")')" \
		"set-group-id"
	! is_root ||
		assert_equal "$(manifest "$T/b" '.security.removed[] | select(.path == "/d/caps") | .removed | join(" ")')" \
			file-capabilities
	assert_equal "$(find "$T/b" ! -uid "$EUID")" ""
}

@test "links, holes and hard links are kept; devices and sockets are not" {
	local where=$T/d

	mkdir -p "$where/sub"
	echo one >"$where/a"
	ln "$where/a" "$where/sub/b"
	ln -s ../a "$where/sub/rel"
	ln -s /nowhere "$where/dangling"
	ln -s . "$where/loop"
	truncate -s 64M "$where/holes"
	printf x | dd of="$where/holes" bs=1 seek=40000000 conv=notrunc status=none
	mkfifo "$where/fifo"
	: >"$where/"$'new\nline'
	: >"$where/"$'not\xffutf8'
	: >"$where/back\\slash"
	run -0 --separate-stderr vrun pack -q -o "$T/b" --add "$where:/d" /usr/bin/true
	assert_contains "$stderr" "fifo: a FIFO cannot be packed; left out"
	assert_equal "$(cd "$T/b/rootfs/d" && find . ! -name fifo | sort | sha256sum)" \
		"$(cd "$where" && find . ! -name fifo | sort | sha256sum)"
	[[ $T/b/rootfs/d/a -ef $T/b/rootfs/d/sub/b ]]
	assert_equal "$(readlink "$T/b/rootfs/d/dangling")" /nowhere
	cmp "$where/holes" "$T/b/rootfs/d/holes"
	(($(stat -c %b "$T/b/rootfs/d/holes") < 1024)) || fail "a hole was filled"
	run -0 vrun verify "$T/b"
	run vrun pack -q -o "$T/c" --add "$where/fifo" /usr/bin/true
	assert_vrun_error "FIFO"
	# A link out of what was added does not bring what it leads to.
	echo secret >"$T/outside"
	ln -s "$T/outside" "$where/out"
	pack -o "$T/e" --add "$where:/d" /usr/bin/true 2>/dev/null
	[[ -L $T/e/rootfs/d/out && ! -e $T/e/rootfs$T/outside ]]
}

# bats test_tags=identity:root
@test "a library that only the host's cache knows gets a cache in the bundle" {
	need_command gcc bwrap
	make_sysroot "$T/root"
	mkdir -p "$T/root/opt/odd"
	echo 'int odd(void) { return 7; }' >"$T/odd.c"
	echo 'int odd(void); int main(void) { return odd(); }' >"$T/main.c"
	gcc -shared -fPIC -Wl,-soname,libodd.so.1 -o "$T/root/opt/odd/libodd.so.1.0" "$T/odd.c"
	ln -s libodd.so.1.0 "$T/root/opt/odd/libodd.so.1"
	gcc -o "$T/root/usr/bin/odd" "$T/main.c" "$T/root/opt/odd/libodd.so.1.0"
	ldconfig -r "$T/root" /opt/odd
	pack -o "$T/b" --root "$T/root" odd
	assert_equal "$(manifest "$T/b" '.execution.libraries[] | select(.name == "libodd.so.1") | .found')" cache
	run elsewhere "$T/b"
	assert_status 7
}

# The least that a program with a libc needs, in a directory: a host to pack from.
make_sysroot() # DIR
{
	local lib

	mkdir -p "$1"/usr/{bin,lib,lib64} "$1/etc"
	ln -s usr/bin "$1/bin"
	ln -s usr/lib "$1/lib"
	ln -s usr/lib64 "$1/lib64"
	for lib in $(ldd /usr/bin/true | grep -o '/[^ ]*'); do
		mkdir -p "$1$(dirname "$(readlink -f "$(dirname "$lib")")/x")"
		cp -L "$lib" "$1$(readlink -f "$(dirname "$lib")")/${lib##*/}"
	done
	cp /usr/bin/true "$1/usr/bin/true"
}

@test "libraries are found by RPATH and RUNPATH with \$ORIGIN, as the loader does" {
	need_command gcc bwrap
	mkdir -p "$T/app/bin" "$T/app/lib/deep"
	echo 'int deep(void) { return 3; }' >"$T/deep.c"
	echo 'int deep(void); int near(void) { return deep() + 1; }' >"$T/near.c"
	echo 'int near(void); int main(void) { return near(); }' >"$T/main.c"
	gcc -shared -fPIC -o "$T/app/lib/deep/libdeep.so" "$T/deep.c"
	gcc -shared -fPIC -o "$T/app/lib/libnear.so" "$T/near.c" -L"$T/app/lib/deep" -ldeep \
		-Wl,--enable-new-dtags,-rpath,'$ORIGIN/deep'
	gcc -o "$T/app/bin/main" "$T/main.c" -L"$T/app/lib" -lnear -Wl,--disable-new-dtags,-rpath,'${ORIGIN}/../lib' \
		-Wl,-rpath-link,"$T/app/lib/deep"
	pack -o "$T/b" "$T/app/bin/main"
	assert_equal "$(manifest "$T/b" '.execution.libraries[] | select(.name == "libnear.so") | .found')" rpath
	assert_equal "$(manifest "$T/b" '.execution.libraries[] | select(.name == "libdeep.so") | .found')" runpath
	run elsewhere "$T/b"
	assert_status 4
	run vrun run "$T/b"
	assert_status 4
	rm "$T/app/lib/deep/libdeep.so"
	run vrun pack -o "$T/c" "$T/app/bin/main"
	assert_vrun_error "libdeep.so, which it needs, is nowhere the dynamic loader looks"
}

# --- the trial run -------------------------------------------------------------------------------

@test "a trial run finds what no header tells, in children too" {
	mkdir -p "$T/home/mine"
	echo mine >"$T/home/mine/file"
	cat >"$T/s" <<-'END'
		#!/bin/sh
		(exec /usr/bin/tail -n 1 /usr/share/common-licenses/GPL-3 >/dev/null) | cat
		ls /etc/debian_version >/dev/null
		cat "$HOME/mine/file" >"$HOME/written"
		exit 4
	END
	chmod +x "$T/s"
	run -0 --separate-stderr vrun pack -q -o "$T/b" --trace "$T/s"
	assert_contains "$stderr" "exit code 4"
	assert_contains "$stderr" "paths of users' own"
	[[ -x $T/b/rootfs/usr/bin/tail && -x $T/b/rootfs/usr/bin/cat && -x $T/b/rootfs/usr/bin/ls ]]
	[[ -e $T/b/rootfs/usr/share/common-licenses/GPL-3 && -e $T/b/rootfs/etc/debian_version ]]
	[[ ! -e $T/b/rootfs$T/home/mine && -e $T/home/written ]]
	run -0 vrun pack -q -o "$T/c" --trace --add "$T/home/mine" "$T/s"
	[[ -e $T/c/rootfs$T/home/mine/file ]]
	# It has its libraries: it runs by itself.
	run elsewhere "$T/c" /usr/bin/tail --version
	assert_status 0
}

@test "a trial run ends when its time is over, with all that it started" {
	local seconds

	printf '#!/bin/sh\nsleep 1000 & trap "" TERM; while :; do sleep 1000; done\n' >"$T/s"
	chmod +x "$T/s"
	# More on a machine that does not come to the sleep in a second.
	for seconds in 1 4 16; do
		run -0 --separate-stderr vrun pack -q --force -o "$T/b" --trace-seconds "$seconds" "$T/s"
		assert_contains "$stderr" "ended after $seconds seconds"
		assert_nothing_left
		[[ ! -x $T/b/rootfs/usr/bin/sleep ]] || break
	done
	[[ -x $T/b/rootfs/usr/bin/sleep ]]
}

# --- failing ----------------------------------------------------------------------------------------

@test "what cannot be packed is refused with the reason, and nothing is left" {
	local -a cases=(
		"no program to pack" ""
		"no such program in PATH" "no-such-program"
		"No such file or directory" "$T/none"
		"not an executable file" "$T/plain"
		"neither an ELF program nor a script" "$T/text"
		"the interpreter of" "$T/orphan"
		"damaged ELF file" "$T/broken"
		"no user \"nobody-here\"" "--user nobody-here true"
		"no such capability" "--cap fly true"
		"--env wants NAME=VALUE" "--env X true"
		"No such file or directory" "--add $T/none true"
		"Not a directory" "--data $T/text true"
		"not packed" "--add /proc/self true"
		"wants an absolute path" "--cwd here true"
		"no such package" "--package no-such-package true"
		"wants a number" "--trace-seconds 0 true"
		"unknown option" "--frobnicate true"
		"wants a value" "--add"
	)
	local at # `run` has an i of its own

	mkdir "$T/out"
	echo text | tee "$T/text" >"$T/plain"
	printf '#!/no/such/interpreter\n' >"$T/orphan"
	head -c 1000 /usr/bin/true >"$T/broken"
	chmod +x "$T/text" "$T/orphan" "$T/broken"
	for ((at = 0; at < ${#cases[@]}; at += 2)); do
		# shellcheck disable=SC2086 # words
		run vrun pack -o "$T/out/b" ${cases[at + 1]}
		assert_vrun_error "${cases[at]}"
		assert_equal "$(ls -A "$T/out")" "" "left by: ${cases[at + 1]}"
	done
	run vrun pack true
	assert_vrun_error "-o BUNDLE"
	run vrun pack -o "$T/none/b" true
	assert_vrun_error "No such file or directory"
	run vrun pack -o "$T/text" true
	assert_vrun_error "File exists"
}

@test "an existing bundle is replaced only with --force, and only a bundle" {
	pack -o "$T/b" true
	run vrun pack -o "$T/b" true
	assert_vrun_error "--force replaces a bundle"
	echo mark >"$T/b/rootfs/mark"
	pack --force -o "$T/b" true
	[[ ! -e $T/b/rootfs/mark ]]
	mkdir "$T/mine"
	echo precious >"$T/mine/file"
	run vrun pack --force -o "$T/mine" true
	assert_vrun_error "exists and is not a bundle"
	assert_equal "$(<"$T/mine/file")" precious
	ln -s "$T/b" "$T/link"
	run vrun pack --force -o "$T/link" true
	assert_vrun_error "exists and is not a bundle"
	assert_equal "$(cd "$T" && echo .*vrun-*)" ".*vrun-*" "temporary directories"
}

@test "what a killed packer left is removed by the next one, and nothing else" {
	mkdir "$T/out" "$T/out/.b.vrun-precious" "$T/out/.other.vrun-01234567"
	mkfifo "$T/fifo"
	printf '#!/bin/sh\necho started >"%s"\nexec sleep 1000\n' "$T/fifo" >"$T/s"
	chmod +x "$T/s"
	spawn pack "$VRUN" pack -q -o "$T/out/b" --trace-seconds 600 "$T/s"
	wait_line "$T/fifo"
	# While it lives its directory is its own.
	pack -o "$T/out/c" true
	run vrun pack -q -o "$T/out/b/" true
	assert_status 0
	rm -rf "$T/out/b"
	assert_matches "$(ls -A "$T/out" | tr '\n' ' ')" '^\.b\.vrun-[0-9a-f]{8} \.b\.vrun-precious \.other\.vrun-01234567 c $'
	kill -KILL "${PID[pack]}"
	wait_exit "${PID[pack]}"
	assert_nothing_left
	pack -o "$T/out/b" true
	assert_equal "$(ls -A "$T/out" | tr '\n' ' ')" ".b.vrun-precious .other.vrun-01234567 b c "
}

@test "a bundle inside what is added does not contain itself" {
	mkdir "$T/d"
	echo x >"$T/d/file"
	cd "$T/d"
	pack -o b --add . true
	[[ -e $T/d/b/rootfs$T/d/file && ! -e $T/d/b/rootfs$T/d/b ]]
	assert_equal "$(find "$T/d/b/rootfs$T/d" -name '.*vrun*')" ""
	pack --force -o b --add . true
	[[ ! -e $T/d/b/rootfs$T/d/b ]]
}

@test "a full disk is said so, and nothing is left" {
	mkdir "$T/small"
	# shellcheck disable=SC2016 # for the inner shell
	run unshare -rm sh -c 'mount -t tmpfs -o size=3m none "$1" || exit 99
		"$2" pack -q -o "$1/b" redis-server; echo "status $?"; ls -A "$1"' sh "$T/small" "$VRUN"
	((status != 99)) || unsupported "no tmpfs can be mounted"
	assert_contains "$output" "No space left on device"
	assert_contains "$output" "make room"
	assert_matches "$output" 'status 125$' "nothing but the status is listed"
}

@test "Ctrl-C in any phase leaves nothing" {
	local call total when

	need_command strace redis-server
	mkdir "$T/d" "$T/out"
	head -c 3000000 /dev/urandom >"$T/d/large"
	# How often each call is made says where in the run its nth one lies.
	strace -o "$T/calls" -e trace=openat,openat2,mkdirat,fchmod,copy_file_range,pread64,readlinkat \
		"${VRUN%/vrun}/vrun-pack" pack -q -o "$T/out/b" --data "$T/d:/data" redis-server
	rm -rf "$T/out/b"
	for call in mkdirat openat2 pread64 copy_file_range fchmod; do
		total=$(grep -c "^$call(" "$T/calls")
		((total > 0)) || fail "no call of $call"
		for when in 1 $((total / 3 + 1)) $((2 * total / 3 + 1)) $((total - 1)); do
			# The dynamic loader's own calls come before anything is begun.
			[[ $call != pread64 || $when != 1 ]] || continue
			((when > 0)) || continue
			status=0
			strace -o /dev/null -e trace="$call" -e inject="$call":signal=SIGINT:when="$when" \
				"${VRUN%/vrun}/vrun-pack" pack -q -o "$T/out/b" --data "$T/d:/data" redis-server \
				2>"$T/err" || status=$?
			assert_equal "$status" 130 "status when $call number $when of $total is interrupted: $(<"$T/err")"
			assert_contains "$(<"$T/err")" "interrupted by Interrupt"
			assert_equal "$(ls -A "$T/out")" "" "left when $call number $when is interrupted"
		done
	done
}

@test "SIGTERM during the trial run ends it and leaves nothing" {
	mkdir "$T/out"
	printf '#!/bin/sh\necho started >"%s"\nsleep 1000\n' "$T/fifo" >"$T/s"
	mkfifo "$T/fifo"
	chmod +x "$T/s"
	spawn pack "$VRUN" pack -q -o "$T/out/b" --trace-seconds 600 "$T/s"
	wait_line "$T/fifo"
	kill -TERM "${PID[pack]}"
	wait_exit "${PID[pack]}"
	assert_equal "$status" 143
	assert_equal "$(ls -A "$T/out")" ""
	assert_nothing_left
}

# bats test_tags=identity:user
@test "what may not be read is an error when named, and left out with a word when not" {
	mkdir -p "$T/d"
	echo x >"$T/d/closed"
	chmod 0 "$T/d/closed"
	run vrun pack -q -o "$T/b" --add "$T/d" true
	assert_vrun_error "closed: Permission denied"
	[[ ! -e $T/b ]]
	if [[ -e /etc/redis/redis.conf && ! -r /etc/redis/redis.conf ]]; then
		run -0 --separate-stderr vrun pack -q -o "$T/c" redis-server
		assert_contains "$stderr" "left out"
	fi
}

# --- verify -----------------------------------------------------------------------------------------

@test "verify names each kind of change" {
	# shellcheck disable=SC2034 # the cases use it
	local root=$T/b/rootfs
	local -a cases=(
		'echo more >>"$root/etc/hosts"' "differs  /rootfs/etc/hosts: "
		'sed -i s/127/128/ "$root/etc/hosts"' "differs  /rootfs/etc/hosts: content"
		'chmod 600 "$root/etc/hosts"' "differs  /rootfs/etc/hosts: mode 0600, not 0644"
		'chmod u+s "$root/usr/bin/true"' "differs  /rootfs/usr/bin/true: mode 4755, not 0755"
		'rm "$root/etc/hosts"' "missing  /rootfs/etc/hosts"
		'rm "$root/etc/hosts"; ln -s /etc/passwd "$root/etc/hosts"' "differs  /rootfs/etc/hosts: a symlink, not a file"
		'rm "$root/etc/hosts"; mkdir "$root/etc/hosts"' "differs  /rootfs/etc/hosts: a directory, not a file"
		'rm "$root/etc/hosts"; mkfifo "$root/etc/hosts"' "differs  /rootfs/etc/hosts: a FIFO, not a file"
		'ln -sfn /etc "$root/lib"' "differs  /rootfs/lib: leads to /etc"
		'touch "$root/usr/new"' "extra    /rootfs/usr/new: a file"
		'mkdir "$root/new"; touch "$root/new/x"' "extra    /rootfs/new/x: a file"
		'ln -s / "$root/new"' "extra    /rootfs/new: a symlink"
		'chmod 1777 "$root/etc"' "differs  /rootfs/etc: mode 1777, not 0755"
		'mv "$root/usr" "$root/usr2"; ln -s usr2 "$root/usr"' "differs  /rootfs/usr: a symlink, not a directory"
		'rm -rf "$root"' "missing  /rootfs"
	)
	local at # `run` has an i of its own

	pack -o "$T/packed" true
	for ((at = 0; at < ${#cases[@]}; at += 2)); do
		rm -rf "$T/b"
		cp -a "$T/packed" "$T/b"
		eval "${cases[at]}"
		run -1 vrun verify "$T/b"
		assert_contains "$output" "${cases[at + 1]}" "after: ${cases[at]}"
		run -1 vrun verify --json "$T/b"
		assert_equal "$(jq '.ok' <<<"$output")" false
		run -1 --separate-stderr vrun verify -q "$T/b"
		assert_equal "$output" ""
		assert_contains "$stderr" "vrun: "
		run --separate-stderr vrun run --verify "$T/b"
		assert_vrun_error "differs from its manifest"
	done
}

# bats test_tags=identity:root
@test "verify sees changed capabilities and owners" {
	pack -o "$T/b" true
	setcap cap_net_raw+ep "$T/b/rootfs/usr/bin/true"
	run -1 vrun verify "$T/b"
	assert_contains "$output" "/rootfs/usr/bin/true: has file capabilities"
	setcap -r "$T/b/rootfs/usr/bin/true"
	chown 12345 "$T/b/rootfs/etc/hosts"
	run -1 vrun verify "$T/b"
	assert_contains "$output" "/rootfs/etc/hosts: belongs to user 12345, the bundle to 0"
}

@test "a bundle that was moved, copied or edited where it may be is as packed" {
	mkdir "$T/d"
	echo x >"$T/d/file"
	pack -o "$T/b" --data "$T/d:/data" true
	mv "$T/b" "$T/c"
	cp -rp "$T/c" "$T/e"
	(cd "$T/c" && tar cf - .) | (mkdir "$T/f" && cd "$T/f" && tar xpf -)
	run -0 vrun verify --data "$T/c"
	run -0 vrun verify --data "$T/e"
	run -0 vrun verify --data "$T/f"
	echo y >"$T/c/data/0/file"
	edit_bundle "$T/c" '.hostname = "other"'
	run -0 vrun verify "$T/c"
	assert_contains "$output" "edited since it was packed: config.json"
	run -1 vrun verify --data "$T/c"
	assert_contains "$output" "differs  /data/0/file: content"
	run -0 vrun verify --json "$T/c"
	assert_equal "$(jq -c '[.ok, .edited]' <<<"$output")" '[true,["config.json"]]'
}

@test "verify trusts neither manifest nor tree" {
	local filter
	local -a hostile=(
		'.security.files["/../../etc/passwd"] = .security.files["/etc/hosts"]'
		'.security.files["etc/passwd"] = .security.files["/etc/hosts"]'
		'.security.files["/etc//hosts"] = .security.files["/etc/hosts"]'
		'.security.files["/etc/./hosts"] = .security.files["/etc/hosts"]'
		'.security.files["/etc/\\x68osts"] = .security.files["/etc/hosts"]'
		'.security.files["/etc/hosts/x"] = .security.files["/etc/hosts"]'
		'.security.files["/none/x"] = .security.files["/etc/hosts"]'
		'.security.files["/etc/hosts"].sha256 = "00"'
		'.security.files["/etc/hosts"].sha256 = 7'
		'.security.files["/etc/hosts"].mode = "4755"'
		'.security.files["/etc/hosts"].mode = -1'
		'.security.files["/etc/hosts"].size = "large"'
		'.security.files["/etc/hosts"].type = "device"'
		'.security.files["/etc/hosts"] = []'
		'del(.security.files["/"])'
		'.security.files = []'
		'del(.security)'
		'.version = 2'
		'[]'
	)

	pack -o "$T/b" true
	cp "$T/b/manifest.json" "$T/good"
	for filter in "${hostile[@]}"; do
		jq "$filter" "$T/good" >"$T/b/manifest.json"
		run vrun verify "$T/b"
		assert_vrun_error manifest.json
	done
	for text in '' '{' '{"version": 1, "version": 1}' "$(printf '[%.0s' {1..5000})"; do
		printf '%s' "$text" >"$T/b/manifest.json"
		run vrun verify "$T/b"
		assert_vrun_error manifest.json
	done
	rm "$T/b/manifest.json"
	ln -s "$T/good" "$T/b/manifest.json"
	run vrun verify "$T/b"
	assert_vrun_error "manifest.json"
	rm "$T/b/manifest.json"
	run vrun verify "$T/b"
	assert_vrun_error "bundles of \`vrun pack\` have one"
	# A root file system that is a link out of the bundle is not followed.
	cp "$T/good" "$T/b/manifest.json"
	mv "$T/b/rootfs" "$T/outside"
	ln -s "$T/outside" "$T/b/rootfs"
	run vrun verify "$T/b"
	assert_vrun_error rootfs
	run vrun verify "$T/none"
	assert_vrun_error "No such file or directory"
	run vrun verify
	assert_vrun_error "no bundle to verify"
	# Names that would play with the terminal come out quoted.
	rm "$T/b/rootfs"
	mv "$T/outside" "$T/b/rootfs"
	touch "$T/b/rootfs/"$'\e[2J\nfake'
	run -1 vrun verify "$T/b"
	assert_contains "$output" '/rootfs/\x1b[2J\x0afake'
}
