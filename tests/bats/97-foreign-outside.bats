#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Containers of crun, runc and podman reach hosts outside as their policies say, through gateways
# that `vrun supervise` starts. A user's are made in a user namespace, as rootless podman does.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	setup_in work
	AS_ROOT=()
	is_root || AS_ROOT=(unshare --user --map-root-user)
}

# A busybox that runs a script (app.sh) under a policy of these rules, for another runtime. The
# profile is vrun's; its own "loose" one traps what has to be and lets everything else pass.
foreign_bundle() # NAME RULES [loose]
{
	jq -n --arg name "$1" --argjson rules "[$2]" '{version: 1, domain: $name, net: {rules: $rules}}' >"$T/$1.json"
	make_bundle "$T/$1" '.ociVersion = "1.0.2" | .process.args = ["sh", "/app.sh"] | .linux.namespaces |= map(select(.type != "user"))'
	echo 'nameserver 127.0.0.53' >"$T/$1/rootfs/etc/resolv.conf"
	cp "$T/work/app.sh" "$T/$1/rootfs/app.sh"
	"$VRUN" policy seccomp --listen "$T/agent" "$T/$1.json" >"$T/$1.profile"
	if [[ ${3-} == loose ]]; then
		jq '.syscalls = [{action: "SCMP_ACT_NOTIFY", names: ["bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername"]}]
			+ [2, 10 | {names: ["socket"], action: "SCMP_ACT_NOTIFY", args: [{index: 0, value: ., op: "SCMP_CMP_EQ"},
				{index: 1, value: 15, valueTwo: 1, op: "SCMP_CMP_MASKED_EQ"}]}] | .defaultAction = "SCMP_ACT_ALLOW" | del(.defaultErrnoRet)' \
			"$T/$1.profile" >"$T/new" && mv "$T/new" "$T/$1.profile"
	fi
	# Not with jq, to which large numbers are not exact.
	python3 -c 'import json, sys
config, profile = map(json.load, map(open, sys.argv[1:]))
config["linux"]["seccomp"] = profile
json.dump(config, open(sys.argv[1], "w"))' "$T/$1/config.json" "$T/$1.profile"
}

# In the work directory a script, to be run on the machine as root, or as root of a user namespace of
# the user's. crun 1.8 refuses a host with control groups of both versions: it is shown one.
work_script()
{
	cat >functions.sh <<-'END'
		set -u
		crun_run() # NAME
		{
			unshare -m sh -c 'umount -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null ||
				mount -t tmpfs none /sys/fs/cgroup
				exec crun --root "$0" --cgroup-manager=disabled run -b "$1" "$2"' "$T/crun" "$T/$1" "$VRUN_TEST_MARK-$1"
		}
		runc_run() { runc --root "$T/runc" run -b "$T/$1" "$VRUN_TEST_MARK-$1"; }
		# Listens before it is looked for.
		supervise()
		{
			"$VRUN" supervise --listen "$T/agent" "$@" >"$T/audit" 2>>"$T/supervise.err" </dev/null &
			supervisor=$!
			until grep -q " 00010000 .* $T/agent\$" /proc/net/unix; do kill -0 "$supervisor" || { cat "$T/supervise.err"; exit 1; }; done
		}
	END
	cat - >work.sh
}

@test "containers of crun and runc reach what their own policies name outside, and nothing else" {
	need_command crun runc busybox jq
	internet_listen
	internet_start
	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "api.example.com": {"A": ["192.0.2.11"]}, "evil.example.net": {"A": ["192.0.2.99"]}}'
	# The address of a name, then what a server says to whoever comes there.
	cat >app.sh <<-'END'
		say()
		{
			ip=$(nslookup -type=a $1.example.com 127.0.0.53 2>/dev/null | sed -n '/^Name/,$s/^Address[^:]*: //p')
			echo "$1 ${ip:+found} $(nc ${ip:-0.0.0.0} 80 </dev/null 2>&1 | cut -d' ' -f1-2)"
		}
		say web
		say api
		nslookup evil.example.net 127.0.0.53 2>&1 | grep -o NXDOMAIN | sort -u
		nc 192.0.2.99 80 </dev/null 2>&1
	END
	foreign_bundle one '{"allow": "connect", "to": "web.example.com:80"}'
	foreign_bundle two '{"allow": "connect", "to": "api.example.com:80"}'
	work_script <<-'END'
		. ./functions.sh
		supervise
		crun_run one || kill "$supervisor"
		wait "$supervisor"
		supervise
		runc_run two || kill "$supervisor"
		wait "$supervisor"
	END
	run --separate-stderr on_host "${AS_ROOT[@]}" bash work.sh </dev/null
	# shellcheck disable=SC2154 # set by run
	assert_output "web found 192.0.2.10 80
api  nc: can't
NXDOMAIN
nc: can't connect to remote host (192.0.2.99): Permission denied
web  nc: can't
api found 192.0.2.11 80
NXDOMAIN
nc: can't connect to remote host (192.0.2.99): Permission denied" || fail "$stderr" "$(<"$T/supervise.err")"
	assert_contains "$(<"$T/audit")" '"decision":"deny"'
	assert_equal "$(sort -u "$T/questions")" "A api.example.com
A web.example.com" "what the name server was asked"
	internet_heard
	assert_equal "$(grep ^tcp "$T/heard" | sort)" "tcp 192.0.2.10 80
tcp 192.0.2.11 80" "what arrived"
	internet_stop
	rm -rf "$T/crun" "$T/runc"
	assert_nothing_left
}

@test "only a container with vrun's own filter is handed sockets of the machine" {
	need_command runc busybox jq
	internet_start
	cat >app.sh <<-'END'
		mkfifo /tmp/in
		nc 192.0.2.10 80 </tmp/in >/tmp/out &
		exec 3>/tmp/in
		until grep -q from /tmp/out; do usleep 20000; done
		cut -d' ' -f1-2 /tmp/out
		exec sleep 1000
	END
	foreign_bundle strict '{"allow": "connect", "to": "192.0.2.10:80"}'
	foreign_bundle loose '{"allow": "connect", "to": "192.0.2.10:80"}' loose
	# It stays: who has ended before the supervisor looks is not refused for its policy.
	echo 'exec sleep 1000' >app.sh
	foreign_bundle shop '{"allow": "listen", "at": ":80", "from": ["host"], "publish": "127.0.0.1:0"}' loose
	work_script <<-'END'
		. ./functions.sh
		mkfifo said
		for name in strict loose; do
			supervise
			runc_run $name >said 2>&1 </dev/null &
			read -r line <said
			echo "$name: $line, $("$VRUN" sockets --supervisor "$T/agent" --json | jq -r '.[] | select(.status == "connected") | .transport')"
			runc --root "$T/runc" kill "$VRUN_TEST_MARK-$name" KILL || kill "$supervisor"
			wait
		done
		supervise
		runc_run shop </dev/null >/dev/null 2>&1 &
		shop=$!
		until grep -q publishes "$T/supervise.err"; do read -rt 0.02 <> <(:); done
		while kill -0 "$shop" 2>/dev/null; do
			runc --root "$T/runc" kill "$VRUN_TEST_MARK-shop" KILL 2>/dev/null
			read -rt 0.02 <> <(:)
		done
		cat "$T/supervise.err"
		kill "$supervisor"
		wait
	END
	run on_host "${AS_ROOT[@]}" timeout 60 bash work.sh </dev/null
	assert_contains "$output" "strict: 192.0.2.10 80, host
loose: 192.0.2.10 80, tcp
vrun: container $MARK-shop: its policy publishes ports, for which its filter has to be vrun's (give it"
	rm -rf "$T/runc"
	internet_stop
	assert_nothing_left
}

@test "another policy is put in force for a container of runc, its gateway's with it" {
	need_command runc busybox jq
	internet_start
	# What it is told to connect to.
	cat >app.sh <<-'END'
		while read -r to; do echo "$to: $(nc "$to" 80 </dev/null 2>&1 | cut -d' ' -f1-2)"; done
	END
	foreign_bundle one '{"allow": "connect", "to": "192.0.2.10:80"}'
	jq '.net.rules[0].to = "192.0.2.11:80"' "$T/one.json" >"$T/next.json"
	work_script <<-'END'
		. ./functions.sh
		apply() { "$VRUN" policy apply --supervisor "$T/agent" "$@" 2>&1 | sed "s/, . connection.* cut//"; }
		ask()
		{
			echo "$1" >&3
			read -r line <&4
			echo "$line"
		}
		supervise
		mkfifo in out
		runc_run one <in >out 2>&1 &
		exec 3>in 4<out
		ask 192.0.2.10
		ask 192.0.2.11
		apply --dry-run "$VRUN_TEST_MARK-one" "$T/next.json"
		apply "$VRUN_TEST_MARK-one" "$T/next.json"
		ask 192.0.2.10
		ask 192.0.2.11
		apply no-such "$T/next.json"
		exec 3>&-
		wait
	END
	run on_host "${AS_ROOT[@]}" timeout 60 bash work.sh </dev/null
	assert_output "192.0.2.10: 192.0.2.10 80
192.0.2.11: nc: can't
it can be applied; generation 1 is in force
in force as generation 2
192.0.2.10: nc: can't
192.0.2.11: 192.0.2.11 80
vrun: no container with that id is served here" || fail "$(<"$T/supervise.err")"
	rm -rf "$T/runc"
	internet_stop
	assert_nothing_left
}
